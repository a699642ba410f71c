//! Reading the log: `bailiwick audit show` and `export`.

use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::ConfigArgs;
use super::{read_log, user_of};
use crate::audit::{self, Filter, Format, Line};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::store::SqliteStore;

/// How often `--follow` looks for new records.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Go on, and print new records as they are written
    #[arg(long)]
    follow: bool,
    /// Print each record whole, as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Which records; what is left out fits all.
#[derive(Args)]
struct FilterArgs {
    /// Only records about this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only records of this kind, such as `tool.call` or `consent.given`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only records in which this rule decided, could not be evaluated, or was under trial
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only records of this call, by its `event_id`, and of the calls that tools made within it
    #[arg(long, value_name = "ID")]
    call: Option<uuid::Uuid>,
    /// Only records of this user, by `sub`
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// Who vouches for the user; may be left out where one issuer is configured
    #[arg(long, value_name = "ISSUER", requires = "user")]
    issuer: Option<String>,
    /// The tenant of the user; the issuer's own when left out
    #[arg(long, value_name = "TENANT", requires = "user")]
    tenant: Option<String>,
    /// Only records of this client
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only records that name this consent
    #[arg(long, value_name = "ID")]
    consent: Option<uuid::Uuid>,
    /// Only records that ended so: `replied`, `refused`, `asked`, `failed`, `aborted`, … or that this stage refused: `policy`
    #[arg(long, value_name = "WORD")]
    decision: Option<String>,
    /// Only records from this time on, as in 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    since: Option<Timestamp>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Timestamp>,
    /// Look at every record, whatever the index says
    #[arg(long)]
    unindexed: bool,
}

fn instant(text: &str) -> Result<Timestamp, time::error::Parse> {
    let at = OffsetDateTime::parse(text, &Rfc3339)?;
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    Ok(Timestamp(i64::try_from(millis).unwrap_or(i64::MAX)))
}

#[derive(Args)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// The form, one record a line in each
    #[arg(long, value_enum, default_value_t = FormatArg::Jsonl)]
    format: FormatArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    /// The records as they stand in the log
    Jsonl,
    /// Events of the Open Cybersecurity Schema Framework
    Ocsf,
    /// CloudEvents in JSON
    Cloudevents,
}

pub(super) async fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let (config, store) = read_log(&args.config, args.filter.user.is_some()).await?;
    let filter = loop {
        match args.filter.filter(&config, &store).await? {
            Some(filter) => break filter,
            None if !args.follow => return Ok(nobody()),
            // Their first record may be the next.
            None => tokio::time::sleep(FOLLOW_EVERY).await,
        }
    };
    let mut next = 1;
    loop {
        let mut out = BufWriter::new(std::io::stdout());
        let mut written = Ok(());
        next = audit::show(&store, next, &filter, |stored| {
            if written.is_ok() {
                written = match args.json {
                    true => writeln!(out, "{}", stored.json),
                    false => writeln!(out, "{}", Line(stored)),
                };
            }
        })
        .await?;
        let is_over = ended(written.and_then(|()| out.flush()))?;
        if is_over || !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

/// Whether whoever reads has seen enough: `bailiwick audit show | head`.
fn ended(written: std::io::Result<()>) -> std::io::Result<bool> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error),
    }
}

impl FilterArgs {
    /// None where no record can be about the user.
    async fn filter(&self, config: &Config, store: &SqliteStore) -> anyhow::Result<Option<Filter>> {
        let subject = match &self.user {
            Some(user) => {
                let (issuer, tenant) = (self.issuer.as_deref(), self.tenant.as_deref());
                let (tenant, user) = user_of(user, issuer, tenant, config)?;
                match audit::pseudonym_if_any(store, &tenant, &user).await? {
                    None => return Ok(None),
                    known => known,
                }
            }
            None => None,
        };
        Ok(Some(Filter {
            tool: self.tool.as_deref().map(str::parse).transpose()?,
            kind: self.kind.clone(),
            rule: self.rule.clone(),
            call: self.call,
            subject,
            client: self.client.as_deref().map(str::parse).transpose()?,
            consent: self.consent.map(|id| id.to_string()),
            decision: self.decision.clone(),
            since: self.since,
            until: self.until,
            unindexed: self.unindexed,
        }))
    }
}

/// Tells that records of a user were looked for, of whom there is none.
fn nobody() -> ExitCode {
    eprintln!(
        "no record is about this user: there is no key of such a pseudonym, or it was destroyed"
    );
    ExitCode::SUCCESS
}

pub(super) async fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let (config, store) = read_log(&args.config, args.filter.user.is_some()).await?;
    let Some(filter) = args.filter.filter(&config, &store).await? else {
        return Ok(nobody());
    };
    let format = match args.format {
        FormatArg::Jsonl => Format::Records,
        FormatArg::Ocsf => Format::Ocsf,
        FormatArg::Cloudevents => Format::CloudEvents,
    };
    let mut out = BufWriter::new(std::io::stdout());
    let mut written = Ok(());
    audit::show(&store, 1, &filter, |stored| {
        if written.is_ok() {
            written = writeln!(out, "{}", format.line(stored));
        }
    })
    .await?;
    ended(written.and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}
