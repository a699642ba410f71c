//! Every guest of `guests.toml`, and what Rust has no words for: each comes to an end that has a name, in its time and
//! in its bounds, and nobody beside it notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bailiwick::limits::{CALL_WALL_DEFAULT, TABLE_ELEMENTS_MAX};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::harness::{
    Caller, GUEST_WALL_MS, Server, Setup, Upstream, guests, handmade, hurried_toml_of, pack, run,
};

/// Attacks at once, beside the neighbour.
const AT_ONCE: usize = 3;
/// How late an end may come: a tick of the clock, one bulk instruction, and a loaded machine.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Longest answer for a neighbour who needs a millisecond, while the attackers have more threads than there are cores.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(2);
/// How far the process may grow while they attack. Each has 64 MiB of memory and a reply of 256 KiB; the rest is for
/// copies on the way, and for the other tests in this process.
const GROWTH_BYTES_MAX: u64 = (AT_ONCE as u64) * 64 * MIB + 128 * MIB;
const MIB: u64 = 1024 * 1024;

struct Attack {
    name: String,
    arguments: serde_json::Value,
    outcome: Vec<String>,
}

impl Attack {
    /// Whether its time is expected to run out, so that it wishes for little.
    fn is_hurried(&self) -> bool {
        self.outcome.iter().any(|ending| ending == "out-of-time")
    }

    fn deadline(&self) -> Duration {
        match self.is_hurried() {
            true => Duration::from_millis(GUEST_WALL_MS),
            false => CALL_WALL_DEFAULT,
        }
    }
}

/// Endings of the guests that the harness makes.
const HANDMADE: [(&str, &[&str]); 2] = [
    ("br_table_loop", &["out-of-time"]),
    ("table_grow", &["replied", "out-of-time", "out-of-bounds"]),
];

fn attacks() -> Vec<Attack> {
    let built = guests().iter().filter(|(_, guest)| !guest.is_refused());
    let built = built.map(|(name, guest)| Attack {
        name: name.clone(),
        arguments: guest.arguments(),
        outcome: guest.outcome.clone(),
    });
    let made = HANDMADE.iter().map(|(name, outcome)| Attack {
        name: (*name).to_owned(),
        arguments: json!({}),
        outcome: outcome.iter().map(|&ending| ending.to_owned()).collect(),
    });
    built.chain(made).collect()
}

#[test]
fn every_attack_ends_with_its_name_in_its_time_and_the_neighbour_does_not_notice() {
    run(async {
        let upstream = Upstream::start().await;
        let attacks = attacks();
        let mut setup =
            Setup::new()
                .tools(&["hello"])
                .await
                .host("example.com", upstream.port, true);
        for attack in &attacks {
            let name = &attack.name;
            setup = match name.as_str() {
                "table_grow" => made(setup, name, handmade::table_grow()).await,
                "br_table_loop" => made(setup, name, handmade::br_table_loop()).await,
                // The packer does not make it; whoever made it has written its manifest himself.
                "describe_forged" => setup.package(name, &crate::admission::forged().await),
                _ if attack.is_hurried() => setup.hurried(&[name]).await,
                _ => setup.guests(&[name]).await,
            };
        }
        let server = setup.start().await;
        let served = server.running.stages.catalog.snapshot();
        assert_eq!(served.refused, []);

        let watch = Watch::start(&server);
        stream::iter(&attacks)
            .for_each_concurrent(AT_ONCE, |attack| attack.run(&server))
            .await;
        let seen = watch.end().await;
        assert!(seen.answers >= attacks.len() as u64, "{seen:?}");
        assert!(seen.slowest < NEIGHBOUR_MAX, "{seen:?}");
        assert!(seen.growth_bytes < GROWTH_BYTES_MAX, "{seen:?}");

        for attack in &attacks {
            attack.check_records(&server).await;
        }
        server.stop().await;
    });
}

async fn made(setup: Setup, name: &str, component: Vec<u8>) -> Setup {
    let package = pack(&component, &hurried_toml_of(name, &[])).await;
    setup.package(
        name,
        &package.unwrap_or_else(|error| panic!("{name}: {error}")),
    )
}

impl Attack {
    /// The user who calls it, and no other tool: so no attack finds what another left.
    fn caller(&self, server: &Server) -> Caller {
        server.caller(&self.name)
    }

    /// Calls it twice: the first call spoils nothing for the second, nor for another tool.
    async fn run(&self, server: &Server) {
        let caller = self.caller(server);
        let first = caller.call(&self.name, self.arguments.clone()).await;
        let calls = match first.link() {
            Some(link) => {
                let hour = crate::harness::for_an_hour();
                assert!(server.decide(&link, &self.name, hour).await);
                2
            }
            None => 1,
        };
        for _ in 0..calls {
            let began = Instant::now();
            let answer = caller.call(&self.name, self.arguments.clone()).await;
            let took = began.elapsed();
            let most = self.deadline() + 2 * LATE_MAX;
            assert!(took < most, "{} took {took:?}", self.name);
            assert_eq!(answer.status, 200, "{}: {answer:?}", self.name);
            let other = caller.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(other.text(), "Hello, Ada!", "after {}", self.name);
        }
    }

    async fn check_records(&self, server: &Server) {
        let name = &self.name;
        let ran: Vec<_> = server
            .outcomes(name)
            .await
            .into_iter()
            .filter(|record| record.ticket.is_none())
            .collect();
        let intents = server.intents(name).await;
        assert_eq!((ran.len(), intents.len()), (2, 2), "{name}");
        for (record, intent) in ran.iter().zip(&intents) {
            assert!(ran.iter().any(|record| record.event_id == intent.event_id));
            let result = record.result.as_ref().unwrap();
            let status = &result.status;
            assert!(self.outcome.contains(status), "{name} ended {status}");
            let used = result.used.as_ref().unwrap();
            let took = Duration::from_millis(used.wall_ms);
            assert!(took < self.deadline() + LATE_MAX, "{name} took {took:?}");
            assert!(used.memory_bytes_peak <= 64 * MIB, "{name}: {used:?}");
        }
    }
}

/// A neighbour who calls all the time, and an eye on the memory of the process.
struct Watch {
    ended: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    before: u64,
    calling: tokio::task::JoinHandle<(u64, Duration)>,
}

#[derive(Debug)]
struct Seen {
    answers: u64,
    slowest: Duration,
    growth_bytes: u64,
}

impl Watch {
    fn start(server: &Server) -> Self {
        let neighbour = server.caller("neighbour");
        let (ended, peak) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (until, highest) = (Arc::clone(&ended), Arc::<AtomicU64>::clone(&peak));
        let calling = tokio::spawn(async move {
            let (mut answers, mut slowest) = (0, Duration::ZERO);
            while !until.load(Ordering::Acquire) {
                let began = Instant::now();
                let answer = neighbour.call("hello", json!({"name": "Bob"})).await;
                assert_eq!(answer.text(), "Hello, Bob!");
                slowest = slowest.max(began.elapsed());
                answers += 1;
                highest.fetch_max(resident_bytes(), Ordering::AcqRel);
            }
            (answers, slowest)
        });
        Self {
            ended,
            peak,
            before: resident_bytes(),
            calling,
        }
    }

    async fn end(self) -> Seen {
        self.ended.store(true, Ordering::Release);
        let (answers, slowest) = self.calling.await.unwrap();
        let peak = self.peak.load(Ordering::Acquire).max(resident_bytes());
        Seen {
            answers,
            slowest,
            growth_bytes: peak.saturating_sub(self.before),
        }
    }
}

/// What of this process lies in memory.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_table_grows_no_further_than_its_bound() {
    run(async {
        let setup = made(Setup::new(), "table_grow", handmade::table_grow()).await;
        let server = setup.start().await;
        let answer = server.caller("alice").call("table_grow", json!({})).await;
        if answer.is_reply() {
            let elements = usize::from_str_radix(&answer.text(), 16).unwrap();
            assert!(elements <= TABLE_ELEMENTS_MAX, "{elements}");
        }
        server.stop().await;
    });
}

#[test]
fn a_reply_that_looks_like_frames_is_inert_data_in_one_frame() {
    run(async {
        let server = Setup::new().guests(&["reply_frames"]).await.start().await;
        let answer = server.caller("alice").call("reply_frames", json!({})).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let blocks = answer.result()["content"].as_array().unwrap().len();
        assert_eq!(blocks, 4);
        let text = answer.text();
        let commands = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(commands, None, "{text:?}");
        server.stop().await;
    });
}

#[test]
fn a_log_that_looks_like_records_stays_one_line_for_each_message() {
    run(async {
        let server = Setup::new().guests(&["log_forge"]).await.start().await;
        let answer = server.caller("alice").call("log_forge", json!({})).await;
        assert!(answer.is_reply(), "{answer:?}");
        let log = crate::harness::log::text();
        assert!(
            log.contains("forged record"),
            "the guest's messages are kept"
        );
        for line in log.split('\n') {
            assert!(
                !line.starts_with("2026-01-01T00:00:00Z ERROR bailiwick"),
                "{line}"
            );
            let hidden = line
                .chars()
                .find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}'));
            assert!(hidden.is_none(), "{hidden:?} in {line:?}");
        }
        server.stop().await;
    });
}

#[test]
fn a_reply_against_its_own_schema_is_not_shown_and_is_named() {
    run(async {
        let server = Setup::new().guests(&["reply_schema"]).await.start().await;
        let alice = server.caller("alice");
        let answer = alice.call("reply_schema", json!({})).await;
        assert!(answer.is_tool_error(), "{answer:?}");
        assert!(!answer.body.contains("many"), "{answer:?}");
        assert!(answer.result()["structuredContent"].is_null(), "{answer:?}");
        let outcome = server.outcomes("reply_schema").await.pop().unwrap();
        assert_eq!(outcome.result.unwrap().status, "reply-invalid");
        server.stop().await;
    });
}
