//! `bailiwick consent`: what the operator does about consents, also while a server runs on the same state.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use uuid::Uuid;

use super::{
    ConfigArgs, ConsentFilterArgs, ConsentListArgs, ConsentPreArgs, ConsentResumeArgs,
    ConsentRevokeArgs, ConsentShowArgs, check,
};
use crate::audit::{self, Audit, Evidenced};
use crate::capability::{Capability, Tier};
use crate::clients::Clients;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::consent::{
    Consents, PreConsent, Receipts, SEEN_WITHIN, as_json, is_live, is_revocable, proven, standing,
};
use crate::dev;
use crate::ids::{Issuer, User};
use crate::server;
use crate::store::{ConsentFilter, ConsentRow, ConsentState, SharedStore};

/// The state of this server, for one command.
struct State {
    config: Config,
    consents: Consents,
    audit: Audit,
    store: SharedStore,
}

impl State {
    async fn open(args: &ConfigArgs) -> anyhow::Result<Self> {
        let (mut config, is_dev) = args.read()?;
        if is_dev {
            // Its users are those of the embedded identity provider.
            dev::add_idp(&mut config, Arc::new(SystemClock))?;
        }
        anyhow::ensure!(
            config.state_file.exists(),
            "there is no state yet at `{}`; start the server once",
            config.state_file.display()
        );
        let state = server::State::open(&config, server::resolver(None)).await?;
        let store: SharedStore = Arc::clone(&state.store) as SharedStore;
        let audit = state.audit(Arc::new(SystemClock)).await?;
        // Nothing is read by most commands: what is wrong with reading must not keep anybody from revoking.
        let known = Clients::new(&config.clients, None);
        let consents = Consents::open(Arc::clone(&store), audit.clone())
            .await?
            .with_clients(Arc::new(known));
        Ok(Self {
            store,
            config,
            consents,
            audit,
        })
    }

    async fn row(&self, id: Uuid) -> anyhow::Result<ConsentRow> {
        let filter = ConsentFilter {
            id: Some(id),
            ..ConsentFilter::default()
        };
        let found = self.consents.find(&filter).await?.pop();
        found.with_context(|| {
            format!("there is no consent `{id}`; `bailiwick consent list --all` prints them")
        })
    }
}

pub(super) async fn list(args: &ConsentListArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(&args.config).await?;
    let now = SystemClock.now();
    let mut rows = state.consents.find(&filter(&args.filter)?).await?;
    rows.retain(|row| args.all || is_live(row, now));
    if args.json {
        let all: Vec<_> = rows.iter().map(|row| as_json(row, now)).collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else if rows.is_empty() {
        println!("there is no such consent");
    } else {
        for row in &rows {
            println!(
                "{}  {:<10}  {:<7}  {}  {} through {}: {}",
                row.id,
                standing(row, now),
                row.scope.as_str(),
                row.key.tool,
                row.key.user.subject,
                row.key.client,
                row.capability
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(args: &ConsentShowArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(&args.config).await?;
    let (row, now) = (state.row(args.id).await?, SystemClock.now());
    if args.receipt {
        let public_url = &state.config.server.public_url;
        let receipts = Receipts::open(Arc::clone(&state.store), public_url).await?;
        let receipt = receipts.of(&row, now).await?;
        println!("{}", serde_json::to_string_pretty(&receipt)?);
        return Ok(ExitCode::SUCCESS);
    }
    let (seq, who) = (row.evidence.audit_seq, row.key.who());
    let evidence = audit::evidenced(state.store.as_ref(), seq, &who, &proven(&row)).await?;
    let mut shown = as_json(&row, now);
    if let Value::Object(fields) = &mut shown {
        fields.insert("evidence".to_owned(), evidence.as_str().into());
    }
    let code = match evidence {
        Evidenced::Recorded | Evidenced::Unknown => ExitCode::SUCCESS,
        Evidenced::Differs => ExitCode::from(super::audit::DAMAGED),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(code);
    }
    let text = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Value::Object(fields) = &shown {
        for (name, value) in fields {
            println!("{name:<16} {}", text(value));
        }
    }
    Ok(code)
}

pub(super) async fn revoke(args: &ConsentRevokeArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(&args.config).await?;
    let now = SystemClock.now();
    let wanted = filter(&args.filter)?;
    let mut rows = Vec::new();
    for id in &args.ids {
        rows.push(state.row(*id).await?);
    }
    if args.ids.is_empty() {
        anyhow::ensure!(
            wanted != ConsentFilter::default(),
            "say which: name ids, or narrow down with `--user`, `--client` or `--tool`"
        );
        rows = state.consents.find(&wanted).await?;
        rows.retain(|row| row.state != ConsentState::Denied && is_revocable(row, now));
    }
    let mut revoked = 0;
    for row in &rows {
        if state
            .consents
            .revoke_for_operator(row, args.reason.as_deref(), SystemClock.now())
            .await?
        {
            revoked += 1;
            println!("revoked {}  {}: {}", row.id, row.key.tool, row.capability);
        } else {
            println!("{} had ended before: {}", row.id, standing(row, now));
        }
    }
    state.audit.flush().await?;
    if revoked > 0 {
        // A server on the same state looks at it at intervals; when this command has ended, it has looked.
        tokio::time::sleep(SEEN_WITHIN).await;
    }
    println!("{revoked} revoked; calls that ran under them are stopped");
    let any = revoked > 0 || rows.is_empty();
    Ok(if any {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn resume(args: &ConsentResumeArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(&args.config).await?;
    let wanted = filter(&args.filter)?;
    let mut rows = Vec::new();
    for id in &args.ids {
        rows.push(state.row(*id).await?);
    }
    if args.ids.is_empty() {
        anyhow::ensure!(
            wanted != ConsentFilter::default(),
            "say which: name ids, or narrow down with `--user`, `--client` or `--tool`"
        );
        rows = state.consents.find(&wanted).await?;
        rows.retain(|row| row.state == ConsentState::Suspended);
    }
    let snapshot = check::packages(&state.config).await?;
    let known = server::clients(&state.config, server::resolver(None))?;
    let consents = state.consents.clone().with_clients(Arc::new(known));
    let mut resumed = 0;
    for row in &rows {
        let tool = snapshot.tools.get(&row.key.tool);
        // A server that runs would suspend it again.
        if tool.is_none_or(|tool| *tool.publisher() != row.key.publisher) {
            println!(
                "{} stays as it is: no tool `{}` of publisher `{}` is served",
                row.id, row.key.tool, row.key.publisher
            );
        } else if !consents.client_is_back(row, SystemClock.now()).await {
            println!(
                "{} stays as it is: the client `{}` is not what it was when its user agreed",
                row.id, row.key.client
            );
        } else if state.consents.resume(row, SystemClock.now()).await? {
            resumed += 1;
            println!("resumed {}  {}: {}", row.id, row.key.tool, row.capability);
        } else {
            println!(
                "{} stays as it is: it is not suspended, has run out, or its user has decided anew",
                row.id
            );
        }
    }
    state.audit.flush().await?;
    println!("{resumed} resumed");
    Ok(if resumed > 0 || rows.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn pre_consent(args: &ConsentPreArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(&args.config).await?;
    let issuer = issuer(&state.config, args.issuer.as_deref())?;
    let tenant = match &args.tenant {
        Some(tenant) => tenant.parse()?,
        None => issuer.1,
    };
    let snapshot = check::packages(&state.config).await?;
    let name = args.tool.parse()?;
    let tool = snapshot.tools.get(&name).with_context(|| {
        format!("there is no tool `{name}`; `bailiwick check` prints those that are served")
    })?;
    let capabilities = match args.capabilities.as_slice() {
        [] => {
            let needs = tool.wants();
            needs
                .iter()
                .filter(|one| one.tier() > Tier::T0)
                .cloned()
                .collect()
        }
        some => some
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Capability>, _>>()?,
    };
    anyhow::ensure!(
        !capabilities.is_empty(),
        "`{name}` asks for nothing that needs a consent"
    );
    // All or none: what the operator may not agree to is said before anything is recorded.
    if let Some(much) = capabilities.iter().find(|one| one.tier() > Tier::T1) {
        anyhow::bail!(
            "`{much}` has tier {:?}, and only T0 and T1 can be agreed to for somebody else; let the user consent on the page, or name what may be with `--capability`",
            much.tier()
        );
    }
    let now = SystemClock.now();
    let from = args.from.map(|day| {
        let midnight = day.midnight().assume_utc();
        Timestamp::from_secs(midnight.unix_timestamp())
    });
    let begins = from.map_or(now, |from| from.max(now));
    for capability in capabilities {
        let wish = PreConsent {
            tenant: tenant.clone(),
            user: User {
                issuer: issuer.0.clone(),
                subject: args.user.parse()?,
            },
            client: args.client.parse()?,
            tool,
            capability,
            from,
            until: begins.plus(Duration::from_secs(u64::from(args.days) * 24 * 3600)),
        };
        let row = state.consents.pre_consent(wish, now).await?;
        println!(
            "recorded {}  {} for {} through {}, {}until {}: {}",
            row.id,
            row.key.tool,
            row.key.user.subject,
            row.key.client,
            row.not_before
                .map(|from| format!("from {} ", from.rfc3339()))
                .unwrap_or_default(),
            row.expires_at.rfc3339(),
            row.capability
        );
    }
    state.audit.flush().await?;
    Ok(ExitCode::SUCCESS)
}

fn issuer(config: &Config, named: Option<&str>) -> anyhow::Result<(Issuer, crate::ids::Tenant)> {
    let all = &config.issuers;
    let one = match (named, all.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(named), _) => all.iter().find(|one| one.issuer.as_str() == named),
    };
    let one = one.context("name one of the configured issuers with `--issuer`")?;
    Ok((one.issuer.clone(), one.claims.default_tenant.clone()))
}

fn filter(args: &ConsentFilterArgs) -> anyhow::Result<ConsentFilter> {
    Ok(ConsentFilter {
        subject: args.user.as_deref().map(str::parse).transpose()?,
        client: args.client.as_deref().map(str::parse).transpose()?,
        tool: args.tool.as_deref().map(str::parse).transpose()?,
        ..ConsentFilter::default()
    })
}
