//! A log of many records: written by the server's own writer, verified, searched and exported.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bailiwick::audit::{
    self, Audit, CallerFacts, DecisionFacts, Due, End, Entry, Filter, Format, ToolFacts, Used,
    Witness,
};
use bailiwick::capability::CapabilitySet;
use bailiwick::clock::{SharedClock, SystemClock, Timestamp};
use bailiwick::ids::{Digest, Tenant, User};
use bailiwick::store::{SharedStore, SqliteStore};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rounds::median;
use super::servers;

/// Calls that are recorded at once.
const AT_ONCE: u64 = 64;
/// Users, tools and clients, which take turns.
const USERS: u64 = 1_000;
const TOOLS: u64 = 20;
const CLIENTS: u64 = 50;
/// Calls whose intent is waited for, in the second run.
const DURABLE: u64 = 20_000;
/// Whose calls in the middle have a consent, and how many of them.
const CONSENTED: u64 = 7;
const CONSENTED_CALLS: u64 = 10;
/// How often each search is made; the median counts.
const SEARCHES: usize = 3;
/// As the configuration has it without a word.
const DUE: Due = Due {
    records: 1_000,
    every: Duration::from_secs(60),
};

/// Measures and prints.
pub async fn run(dir: &Path, records: u64) -> anyhow::Result<()> {
    bailiwick::crypto::install()?;
    std::fs::create_dir_all(dir)?;
    let file = dir.join("log.db");
    let clock: SharedClock = Arc::new(SystemClock);
    let began = clock.now();
    println!(
        "\na log of {records} records; load {}",
        servers::load_average()
    );
    write(&file, &clock, records).await?;
    let bytes = std::fs::metadata(&file)?.len();
    println!(
        "  file                        {:>10.1} MB, {} bytes a record",
        bytes as f64 / 1e6,
        bytes / records.max(1)
    );
    let store: SharedStore = Arc::new(SqliteStore::open(&file).await?);
    for _ in 0..SEARCHES {
        let timed = Instant::now();
        let verified = audit::verify(store.as_ref()).await?;
        ensure!(verified.records >= records, "records are missing");
        println!(
            "  verified with {} checkpoints{:>7.2} s",
            verified.checkpoints,
            timed.elapsed().as_secs_f64()
        );
    }
    let timed = Instant::now();
    let indexed = store.index_anew().await?;
    println!(
        "  indexed anew, {indexed} records{:>10.2} s",
        timed.elapsed().as_secs_f64()
    );
    search(&store, began, clock.now()).await?;
    for (name, format) in [
        ("JSON Lines", Format::Records),
        ("OCSF", Format::Ocsf),
        ("CloudEvents", Format::CloudEvents),
    ] {
        export(&store, &dir.join("export"), name, format).await?;
    }
    println!("load after: {}", servers::load_average());
    Ok(())
}

/// Writes so many records, two for each call, with checkpoints beside as the server makes them; then some whose intents are
/// waited for.
async fn write(file: &Path, clock: &SharedClock, records: u64) -> anyhow::Result<()> {
    let store: Arc<SqliteStore> = Arc::new(SqliteStore::open(file).await?);
    let shared = Arc::clone(&store) as SharedStore;
    let audit = Audit::start(shared, Arc::clone(clock)).await?;
    let witness = Witness::open(&audit, DUE, Vec::new()).await?;
    let stop = CancellationToken::new();
    let making = witness.start(&stop);
    let durable = DURABLE.min(records / 8);
    for (calls, is_durable, name) in [
        (records / 2 - durable, false, "without effects"),
        (durable, true, "with effects, intents waited for"),
    ] {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for first in 0..AT_ONCE {
            let audit = audit.clone();
            tasks.spawn(async move {
                for call in (first..calls).step_by(usize::try_from(AT_ONCE)?) {
                    let passed = call.abs_diff(calls / 2);
                    let consented = call % USERS == CONSENTED
                        && passed < CONSENTED_CALLS * USERS / 2
                        && !is_durable;
                    record(&audit, call, is_durable, consented).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(one) = tasks.join_next().await {
            one??;
        }
        audit.flush().await?;
        let took = began.elapsed().as_secs_f64();
        println!(
            "  written, calls {name:<34}{:>8} records in {took:.1} s, {:.0} a second",
            2 * calls,
            2.0 * calls as f64 / took
        );
    }
    stop.cancel();
    for task in making {
        task.await?;
    }
    witness.finish().await;
    store.close().await;
    Ok(())
}

fn tenant() -> anyhow::Result<Tenant> {
    Ok("acme".parse()?)
}

fn user(nth: u64) -> anyhow::Result<User> {
    Ok(User {
        issuer: "https://as.example".parse()?,
        subject: format!("user-{nth}").parse()?,
    })
}

/// The consent of those calls that have one.
fn consent() -> Uuid {
    Uuid::from_u128(0x0192_f7a4_0000_7000_8000_0000_0000_0007)
}

async fn record(audit: &Audit, nth: u64, is_durable: bool, consented: bool) -> anyhow::Result<()> {
    let mut entry: Entry = audit.open("tools/call");
    entry.caller(CallerFacts {
        tenant: tenant()?,
        user: user(nth % USERS)?,
        client: format!("client-{}", nth % CLIENTS).parse()?,
        jti_hash: Digest::of(&nth.to_be_bytes()),
        algorithm: "ES256".to_owned(),
        key_id: "2026-11".to_owned(),
        expires: Timestamp(1_900_000_000_000),
    });
    let tool = format!("tool-{}", nth % TOOLS);
    entry.tool(ToolFacts {
        name: tool.parse()?,
        version: "1.0.0".to_owned(),
        publisher: "example".parse()?,
        component_digest: Digest::of(tool.as_bytes()),
        definition_digest: Digest::of(b"definition"),
        manifest_digest: Digest::of(b"manifest"),
    });
    let schema = json!({"properties": {"text": {"type": "string"}}});
    let text = Value::from(format!("what nobody reads in the log, {nth}"));
    entry.arguments(&Map::from_iter([("text".to_owned(), text)]), &schema);
    let rules = DecisionFacts::by(&["users-use-tools"], Digest::of(b"rules"));
    entry.decision(rules);
    entry.granted(&CapabilitySet::none());
    if consented {
        entry.consent(vec![consent().to_string()]);
    }
    let end = End::Ran {
        ending: "replied".to_owned(),
        used: Used {
            memory_bytes_peak: 1_179_648,
            reply_bytes: 61,
            wall_ms: 3,
            ..Used::default()
        },
    };
    if is_durable {
        entry.intent().await?;
        entry.close(end).await?;
    } else {
        entry.intent_soon().await?;
        entry.close_soon(end).await?;
    }
    Ok(())
}

/// Searches by user, by consent, by tool, and by a hundredth of the time; by the index, and through every record.
async fn search(store: &SharedStore, began: Timestamp, ended: Timestamp) -> anyhow::Result<()> {
    let subject = audit::pseudonym(store.as_ref(), &tenant()?, &user(7)?).await?;
    let span = ended.since(began);
    let since = began.plus(span / 4);
    let since = Some(since);
    let until = since.map(|since| since.plus(span / 100));
    let none = Filter::default;
    let filters = [
        (
            "by user",
            Filter {
                subject: Some(subject),
                ..none()
            },
        ),
        (
            "by consent",
            Filter {
                consent: Some(consent().to_string()),
                ..none()
            },
        ),
        (
            "by tool",
            Filter {
                tool: Some("tool-7".parse()?),
                ..none()
            },
        ),
        (
            "by time, a hundredth",
            Filter {
                since,
                until,
                ..none()
            },
        ),
        (
            "by tool, client and time",
            Filter {
                tool: Some("tool-7".parse()?),
                client: Some("client-7".parse()?),
                since,
                until,
                ..none()
            },
        ),
        (
            "by user, tool and time",
            Filter {
                subject: Some(subject),
                tool: Some("tool-7".parse()?),
                since,
                until,
                ..none()
            },
        ),
        (
            "by what never was",
            Filter {
                decision: Some("nothing".to_owned()),
                ..none()
            },
        ),
        ("by nothing", none()),
    ];
    for (name, filter) in filters {
        let mut took = Vec::new();
        let mut all = Vec::new();
        for unindexed in [false, true] {
            let filter = Filter {
                unindexed,
                ..filter.clone()
            };
            let (mut times, mut found) = (Vec::new(), 0_u64);
            for _ in 0..SEARCHES {
                found = 0;
                let timed = Instant::now();
                audit::show(store.as_ref(), 1, &filter, |_| found += 1).await?;
                times.push(timed.elapsed().as_secs_f64());
            }
            took.push(median(&mut times));
            all.push(found);
        }
        ensure!(all.first() == all.last(), "the index hides records");
        println!(
            "  searched {name:<26}{:>8.3} s, through every record {:>6.2} s, {} found",
            took.first().copied().unwrap_or_default(),
            took.last().copied().unwrap_or_default(),
            all.first().copied().unwrap_or_default()
        );
    }
    Ok(())
}

/// Writes all of it to a file, as the command does.
async fn export(
    store: &SharedStore,
    file: &Path,
    name: &str,
    format: Format,
) -> anyhow::Result<()> {
    let timed = Instant::now();
    let mut out = BufWriter::new(File::create(file)?);
    let mut written = Ok(());
    audit::show(store.as_ref(), 1, &Filter::default(), |stored| {
        if written.is_ok() {
            written = writeln!(out, "{}", format.line(stored));
        }
    })
    .await?;
    written?;
    out.flush()?;
    let took = timed.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(file)?.len();
    println!(
        "  exported as {name:<23}{took:>8.2} s, {:.1} MB",
        bytes as f64 / 1e6
    );
    Ok(())
}
