//! `bailiwick explain`: the decision about one call, by the same pure functions that decide it.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Map, Value};

use super::{ExplainArgs, check};
use crate::clock::{Clock, SystemClock};
use crate::dev;
use crate::follow;
use crate::identity::{BearerToken, Identity};
use crate::idp::{DEFAULT_SCOPE, DevIdp};
use crate::policy::{Circumstances, Rules};
use crate::server;

pub(super) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let (mut config, _) = args.config.read()?;
    let arguments: Map<String, Value> =
        serde_json::from_str(&args.arguments).context("`--arguments` is not a JSON object")?;
    // The caller comes out of a token through the same verification as in a call; there is no other way to make one.
    let (token, fetch): (BearerToken, Arc<dyn crate::identity::FetchKeys>) =
        match (&args.user, &args.token_file) {
            (Some(user), _) => {
                let (_, idp) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
                let token = idp.access_token(DevIdp::user(user)?, &args.client, DEFAULT_SCOPE)?;
                (BearerToken::new(token), Arc::new(dev::OwnKeys(idp)))
            }
            (None, Some(file)) => (read_token(file)?, server::keys_over_egress(&config)?),
            (None, None) => {
                anyhow::bail!("name a caller with `--token-file FILE` or `--user NAME`")
            }
        };
    let identity = Identity::new(config.issuers.clone(), fetch)?;
    let now = SystemClock.now();
    identity.load(now).await;
    let caller = match identity.verify(token, now).await {
        Ok(caller) => caller,
        Err(error) => {
            println!("refused before any rule: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let snapshot = check::packages(&config).await?;
    let name = args.tool.parse()?;
    let Some(tool) = snapshot.tools.get(&name) else {
        println!("refused before any rule: there is no tool `{name}`");
        return Ok(ExitCode::FAILURE);
    };
    let all: Vec<_> = snapshot.tools.values().cloned().collect();
    let sources = follow::rule_sources(config.policy_dir.as_deref())?;
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
        println!("arguments do not fit the schema: {mismatch}");
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
    }
    println!();
    match rules.permit(&caller, tool, call) {
        Ok(permit) if permit.allowed().is_empty() => {
            println!("the call is permitted and needs no consent")
        }
        Ok(permit) => {
            println!("the call is permitted; the user is asked for what is above tier T0:");
            for capability in permit.allowed().iter() {
                println!("  {:?}  {capability}", capability.tier());
            }
        }
        Err(refusal) => {
            println!("the call is refused: {refusal}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
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
