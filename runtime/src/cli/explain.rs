//! `bailiwick explain`: the decision about one call, by the same pure functions that decide it.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value};

use super::rehearse::Rehearsal;
use super::{ExplainArgs, check, matrix};
use crate::catalog::Tool;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::dev;
use crate::follow;
use crate::identity::{BearerToken, Caller, Credentials, Identity};
use crate::idp::{DEFAULT_SCOPE, DevIdp};
use crate::policy::{CallerText, Ceilings, Circumstances, Permit, Rules, StepUp};
use crate::protect::{Direction, May, Withheld, rewrite};
use crate::server;

pub(super) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.who.matrix {
        return matrix::run(&args.config, args.rules.as_deref(), file).await;
    }
    let (mut config, dev) = args.config.read()?;
    let arguments: Map<String, Value> =
        serde_json::from_str(&args.arguments).context("`--arguments` is not a JSON object")?;
    let caller = match caller(args, &mut config, dev).await? {
        Ok(caller) => caller,
        Err(refused) => {
            println!("refused before any rule, by the token: {refused}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let snapshot = check::packages(&config).await?;
    let name = args.tool.as_deref().unwrap_or_default().parse()?;
    let Some(tool) = snapshot.tools.get(&name) else {
        println!("refused before any rule, by the catalog: there is no tool `{name}`");
        return Ok(ExitCode::FAILURE);
    };
    let all: Vec<_> = snapshot.tools.values().cloned().collect();
    let dir = args.rules.as_deref().or(config.policy_dir.as_deref());
    let sources = follow::rule_sources(dir)?;
    let rules = Rules::load_with(&sources, &all, server::vocabulary(&config))?;

    println!(
        "caller   {} of {}",
        caller.user().subject,
        caller.user().issuer
    );
    println!("client   {}", caller.client());
    println!(
        "roles    {}",
        listed(caller.roles().iter().map(String::as_str))
    );
    println!(
        "scopes   {}",
        listed(caller.scopes().iter().map(String::as_str))
    );
    println!(
        "tool     {} of package {} ({})",
        tool.name(),
        tool.package().manifest().name,
        tool.package().component_digest().short()
    );
    if let Err(mismatch) = tool.check_arguments(&Value::Object(arguments.clone())) {
        println!(
            "note     the arguments do not fit the tool's schema, which refuses the call: {mismatch}"
        );
    }
    println!();
    let call = Circumstances {
        arguments: &arguments,
        now: SystemClock.now(),
    };
    for step in rules.explain(&caller, tool, call) {
        let verdict = if step.allowed { "allowed" } else { "refused" };
        let by = match (step.rules.is_empty(), step.errors.is_empty()) {
            (_, false) => step.errors.join("; "),
            (false, true) => format!("by {}", step.rules.join(", ")),
            (true, true) => "no rule permits it".to_owned(),
        };
        println!("{verdict}  {:<44} {by}", step.question);
        for (rule, bounds) in rules.bounds_of(&step) {
            println!("         bounded by `{rule}`: {bounds}");
        }
    }
    nearly(&rules, &caller, tool, call);
    on_trial(&rules, &caller, tool, call);
    println!();
    let permit = rules.permit(&caller, tool, call);
    if let Ok(permit) = &permit
        && let Some(withheld) = withheld(&config, tool, permit, &arguments)?
    {
        println!("the rules permit the call, and it is refused: in the arguments, {withheld}");
        return Ok(ExitCode::FAILURE);
    }
    match permit {
        Ok(permit) if permit.allowed().is_empty() => {
            println!("the call is permitted and needs no consent")
        }
        Ok(permit) => {
            println!("the call is permitted; the user is asked for what is above tier T0:");
            // As it is consented to, which rules may have raised.
            for capability in permit.allowed().iter() {
                let bounds = permit.ceilings(capability);
                let bounds = match bounds == Ceilings::default() {
                    true => String::new(),
                    false => format!("   ({bounds})"),
                };
                println!("  {:?}  {capability}{bounds}", permit.tier(capability));
            }
        }
        Err(refusal) => {
            println!("the call is refused by the rules: {refusal}");
            if let Some(needed) = rules.step_up(&caller, tool, Some(call)) {
                println!("with {} it would be permitted", token_words(&needed));
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why these arguments do not reach the tool, whatever its user agrees to: personal data, or a secret.
fn withheld(
    config: &Config,
    tool: &Tool,
    permit: &Permit,
    arguments: &Map<String, Value>,
) -> anyhow::Result<Option<Withheld>> {
    let safeguard = config.data.safeguard()?;
    let schema = &tool.definition().input_schema;
    let found = safeguard.search(&Value::Object(arguments.clone()), schema);
    let may = May {
        tool: tool.name(),
        defined: &tool.definition().name,
        granted: &permit.allowed().classes(),
        bound: permit.data(),
        key: config.seal.is_some(),
    };
    let judged = safeguard.judge(Direction::Arguments, &found, may);
    let changes = match judged.pass {
        Ok(changes) => changes,
        Err(withheld) => return Ok(Some(withheld)),
    };
    let mut arguments = Value::Object(arguments.clone());
    let unfit = rewrite(&mut arguments, &changes, &mut |_| String::new());
    Ok(unfit.into_iter().next().map(Withheld::from))
}

/// The caller, or why the token makes none.
async fn caller(
    args: &ExplainArgs,
    config: &mut Config,
    dev: bool,
) -> anyhow::Result<Result<Arc<Caller>, String>> {
    let now = SystemClock.now();
    if let Some(claims) = &args.who.claims {
        if dev {
            dev::add_idp(config, Arc::new(SystemClock))?;
        }
        let text = CallerText {
            issuer: args.issuer.clone(),
            client: Some(args.client.clone()),
            claims: read_claims(claims)?,
        };
        let rehearsal = Rehearsal::new(&config.issuers)?;
        let caller = rehearsal.caller(&text, now);
        return Ok(caller.map_err(|error| format!("{error:#}")));
    }
    let (token, fetch): (BearerToken, Arc<dyn crate::identity::FetchKeys>) =
        match (&args.who.user, &args.who.token_file) {
            (Some(user), _) => {
                let (_, idp) = dev::add_idp(config, Arc::new(SystemClock))?;
                let token = idp.access_token(DevIdp::user(user)?, &args.client, DEFAULT_SCOPE)?;
                (BearerToken::new(token), Arc::new(dev::OwnKeys(idp)))
            }
            (None, Some(file)) => (read_token(file)?, server::keys_over_egress(config)?),
            (None, None) => anyhow::bail!(
                "name a caller with `--token-file FILE`, `--claims JSON` or `--user NAME`"
            ),
        };
    let identity = Identity::new(config.issuers.clone(), fetch)?;
    identity.load(now).await;
    let caller = identity.verify(Credentials::bearer(token), now).await;
    Ok(caller.map_err(|error| error.to_string()))
}

/// Claims that stand on the command line, or in a file.
fn read_claims(given: &str) -> anyhow::Result<Map<String, Value>> {
    if given.trim_start().starts_with('{') {
        return serde_json::from_str(given).context("`--claims` is not a JSON object");
    }
    let text =
        std::fs::read_to_string(given).with_context(|| format!("`{given}` cannot be read"))?;
    serde_json::from_str(&text).with_context(|| format!("`{given}` is not a JSON object"))
}

/// What the refusals hung on.
fn nearly(rules: &Rules, caller: &Caller, tool: &Tool, call: Circumstances<'_>) {
    let mut question = String::new();
    for near in rules.nearly(caller, tool, call) {
        if question != near.question {
            println!("\n{} is refused", near.question);
            question.clone_from(&near.question);
        }
        let how = match near.forbids {
            true => "forbids it:",
            false => "would permit it, but:",
        };
        println!("  `{}` {how}", near.rule);
        for change in near.change {
            println!("    {change}");
        }
    }
}

/// What rules under trial would have changed.
fn on_trial(rules: &Rules, caller: &Caller, tool: &Tool, call: Circumstances<'_>) {
    let observed = rules.observe(caller, tool, call);
    if !observed.is_empty() {
        println!("\nunder trial, and without effect");
    }
    for one in observed {
        let bounds = one.bounds.as_ref().map(|bounds| format!(" ({bounds})"));
        println!(
            "  `{}`: {} would go from {} to {}{}",
            one.rules.join("`, `"),
            one.question,
            one.decided(),
            one.would,
            bounds.unwrap_or_default()
        );
    }
}

/// The token that would do.
fn token_words(needed: &StepUp) -> String {
    let scopes = (!needed.scopes.is_empty()).then(|| {
        let all = needed.scopes.join("`, `");
        format!("the scopes `{all}`")
    });
    let sign_in = needed.sign_in.as_ref();
    let acr = sign_in.map(|one| &one.acr).filter(|acr| !acr.is_empty());
    let acr = acr.map(|acr| format!("a sign-in of `acr` `{}`", acr.join("` or `")));
    let age = sign_in
        .and_then(|one| one.max_age_secs)
        .map(|secs| match secs {
            0 => "a new sign-in".to_owned(),
            secs => format!("a sign-in of the last {secs} seconds"),
        });
    let all: Vec<_> = [acr, age, scopes].into_iter().flatten().collect();
    all.join(" and ")
}

fn read_token(file: &std::path::Path) -> anyhow::Result<BearerToken> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(64 * 1024).read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file)
            .with_context(|| format!("`{}` cannot be read", file.display()))?;
    }
    Ok(BearerToken::new(text.trim().to_owned()))
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = words.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}
