//! Every guest of `guests.toml`, and what Rust has no words for: each comes to an end that has a name, in its time and
//! in its bounds, and nobody beside it notices.

use std::collections::BTreeSet;
use std::time::Duration;

use bailiwick::capability::HostName;
use bailiwick::catalog::package;
use bailiwick::egress::{Resolve, Resolving};
use bailiwick::limits::{CALL_WALL_MAX, TABLE_ELEMENTS_MAX};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::harness::{
    Answer, Caller, GUEST_WALL_MS, Server, Setup, Stopwatch, Upstream, allowed, everywhere_apart,
    guests, handmade, hostile, hurried_toml_of, pack, run,
};

mod watch;

use watch::{Ran, Table, Used, Watch, quiet};

/// Attacks at once, beside the neighbour.
const AT_ONCE: usize = 3;
/// How late an end may come: a tick of the clock, one bulk instruction, and a loaded machine. What that withholds comes on top.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Longest answer for a neighbour who needs a millisecond, while the attackers have more threads than there are cores.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(2);
/// How far the process may grow while they attack: replies of 256 KiB each, copies on the way, and the other tests in this process.
const GROWTH_BYTES_MAX: u64 = 128 * MIB;
/// And what the guests themselves have, where they run in it: 64 MiB each.
const GUESTS_BYTES_MAX: u64 = (AT_ONCE as u64) * 64 * MIB;
const MIB: u64 = 1024 * 1024;

/// One guest, and all that it is called with.
struct Attack {
    name: String,
    calls: Vec<Expected>,
    /// Whether its own test prepares what it looks for. Here that is not there, and what it makes in its place is its own.
    is_prepared: bool,
}

/// One call, and how it may end.
struct Expected {
    arguments: serde_json::Value,
    outcome: Vec<String>,
    /// What its reply says, where it has one: a guest that found something says something else.
    says: Option<String>,
}

impl Attack {
    /// Whether its time is expected to run out, so that it wishes for little.
    fn is_hurried(&self) -> bool {
        let mut endings = self.calls.iter().flat_map(|call| &call.outcome);
        endings.any(|ending| ending == "out-of-time")
    }

    fn deadline(&self) -> Duration {
        match self.is_hurried() {
            true => Duration::from_millis(GUEST_WALL_MS),
            false => CALL_WALL_MAX,
        }
    }
}

/// Makes a component.
type Make = fn() -> Vec<u8>;

/// Guests that the harness makes and that are called twice, with their endings.
const HANDMADE: [(&str, Make, &[&str]); 6] = [
    ("br_table_loop", handmade::br_table_loop, &["out-of-time"]),
    (
        "table_grow",
        handmade::table_grow,
        &["replied", "out-of-time", "out-of-bounds"],
    ),
    ("start_loop", hostile::start_loop, &["out-of-time"]),
    ("bulk_table", hostile::bulk_table, &["out-of-time"]),
    ("residue_table", hostile::residue_table, &["replied"]),
    ("residue_stack", hostile::residue_stack, &["replied"]),
];

/// Guests with so many ways, and how each of them ends. Behind them comes the one that does everything as it is meant.
const WITH_WAYS: [(&str, Make, usize, &[&str]); 9] = [
    (
        "lift_lies",
        hostile::lift_lies,
        hostile::LIES.len(),
        &["trapped"],
    ),
    (
        "text_lies",
        hostile::text_lies,
        hostile::TEXTS.len(),
        &["trapped"],
    ),
    (
        "string_bomb",
        hostile::string_bomb,
        hostile::TEXT_BOMBS.len(),
        &["out-of-bounds"],
    ),
    (
        "list_bomb",
        hostile::list_bomb,
        hostile::LIST_BOMBS.len(),
        &["out-of-bounds"],
    ),
    (
        "flag_lies",
        hostile::flag_lies,
        hostile::FLAGS.len(),
        &["replied", "trapped"],
    ),
    (
        "trap_midcall",
        hostile::trap_midcall,
        hostile::MIDCALL.len(),
        &["trapped"],
    ),
    (
        "spin_midcall",
        hostile::spin_midcall,
        hostile::NEVER_BACK.len(),
        &["out-of-time"],
    ),
    (
        "drop_tree",
        hostile::drop_tree,
        2,
        &["replied", "trapped", "out-of-bounds"],
    ),
    (
        "segment_dropped",
        hostile::segment_dropped,
        hostile::SEGMENTS.len(),
        &["trapped"],
    ),
];

/// How a guest of [`WITH_WAYS`] may end as well.
fn also_ends(name: &str) -> Option<&'static str> {
    // In a process of its own the guest's text is read whole before it is too long, within the bounds of that process.
    (everywhere_apart() && name == "string_bomb").then_some("out-of-time")
}

fn owned(outcome: &[&str]) -> Vec<String> {
    outcome.iter().map(|&ending| ending.to_owned()).collect()
}

fn attacks() -> Vec<Attack> {
    // It asks for the time 200 000 times, which is a message each where guests run apart.
    let too_slow = |name: &str| everywhere_apart() && name == "clock_probe";
    let twice =
        |name: &str, arguments: serde_json::Value, outcome: Vec<String>, says: Option<&str>| {
            let call = || Expected {
                arguments: arguments.clone(),
                outcome: outcome.clone(),
                says: says.map(str::to_owned),
            };
            Attack {
                name: name.to_owned(),
                calls: vec![call(), call()],
                is_prepared: guests().get(name).is_some_and(|guest| guest.is_prepared()),
            }
        };
    let built = guests().iter();
    let built = built.filter(|(name, guest)| !guest.is_refused() && !too_slow(name));
    let built =
        built.map(|(name, guest)| twice(name, guest.arguments(), guest.outcome.clone(), None));
    let made = HANDMADE.iter().map(|(name, _, outcome)| {
        let nothing = name.starts_with("residue").then_some("0000000000000000");
        twice(name, json!({}), owned(outcome), nothing)
    });
    let ways = WITH_WAYS.iter().map(|(name, _, ways, outcome)| {
        let call = |way: usize, outcome: &[&str]| Expected {
            arguments: json!({"case": format!("{way:02}")}),
            outcome: owned(outcome),
            says: Some(format!("{way:016x}")),
        };
        let outcome: Vec<_> = outcome.iter().copied().chain(also_ends(name)).collect();
        let ways = (0..*ways).map(|way| call(way, &outcome));
        Attack {
            name: (*name).to_owned(),
            calls: ways.chain([call(hostile::CONTROL, &["replied"])]).collect(),
            is_prepared: false,
        }
    });
    built.chain(made).chain(ways).collect()
}

/// The package of a guest that the harness makes.
async fn handmade_package(name: &str) -> Option<Vec<u8>> {
    let ways = WITH_WAYS.iter().map(|(name, make, _, _)| (name, make));
    let mut all = HANDMADE
        .iter()
        .map(|(name, make, _)| (name, make))
        .chain(ways);
    let component = all.find(|(one, _)| **one == name)?.1();
    Some(match name {
        // It cannot be asked what it is.
        "start_loop" => {
            let model = handmade::component(name, "", "unreachable");
            let model = made(&model, &hurried_toml_of(name, &[])).await;
            let manifest = package::read(&model).unwrap().manifest().unwrap();
            package::write(&component, &manifest).unwrap()
        }
        "flag_lies" => {
            let need = "id = \"notebook\"\nkind = \"files\"\nmount = \"notes\"\naccess = \"write\"\nreason = \"The attack needs it.\"\noptional = false\n";
            let need = toml::from_str(need).unwrap();
            made(&component, &hurried_toml_of(name, &[need])).await
        }
        _ => made(&component, &hurried_toml_of(name, &[])).await,
    })
}

async fn made(component: &[u8], toml: &str) -> Vec<u8> {
    let package = pack(component, toml).await;
    package.unwrap_or_else(|error| panic!("{error}: {toml}"))
}

#[test]
fn every_attack_ends_with_its_name_in_its_time_and_the_neighbour_does_not_notice() {
    run(async {
        let upstream = Upstream::start().await;
        let attacks = attacks();
        let mut setup = Setup::new()
            .tools(&["hello"])
            .await
            .host("example.com", upstream.port, true)
            // Some come to their end after a thousand messages to their server, beside attackers that compute.
            .call_timeout(CALL_WALL_MAX);
        for attack in &attacks {
            let name = &attack.name;
            setup = match handmade_package(name).await {
                Some(package) => setup.package(name, &package),
                // The packer does not make it; whoever made it has written its manifest himself.
                None if name == "describe_forged" => {
                    setup.package(name, &crate::admission::forged().await)
                }
                None if attack.is_hurried() => setup.hurried(&[name]).await,
                None => setup.guests(&[name]).await,
            };
        }
        let server = setup.start().await;
        let served = server.running.stages.catalog.snapshot();
        assert_eq!(served.refused, []);

        let quiet = quiet(&server).await;
        let watch = Watch::start(&server);
        let mut ran: Vec<_> = stream::iter(&attacks)
            .map(|attack| {
                let server = &server;
                async move { (attack, attack.run(server).await) }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let seen = watch.end().await;
        ran.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        let mut table = Table::new(&quiet);
        for (attack, ran) in ran {
            let used = attack.check_records(&server, &ran).await;
            let row = (attack.name.as_str(), attack.calls.len());
            table.row(row, &ran, &used, &seen);
        }
        println!("{}", table.text);
        assert!(
            seen.samples.len() >= attacks.len(),
            "{}",
            seen.samples.len()
        );
        assert!(seen.slowest() < NEIGHBOUR_MAX, "{:?}", seen.slowest());
        let guests = if everywhere_apart() {
            0
        } else {
            GUESTS_BYTES_MAX
        };
        assert!(
            seen.growth_bytes() < GROWTH_BYTES_MAX + guests,
            "{}",
            seen.growth_bytes()
        );
        server.stop().await;
    });
}

impl Attack {
    /// The user who calls it, and no other tool: so no attack finds what another left.
    fn caller(&self, server: &Server) -> Caller {
        server.caller(&self.name)
    }

    /// Makes its calls one after the other, so at least twice: the first spoils nothing for the next, nor for another tool.
    async fn run(&self, server: &Server) -> Ran {
        let caller = self.caller(server);
        let mut ran = Ran::begins();
        let mut asked = false;
        for (number, call) in self.calls.iter().enumerate() {
            let name = format!("{} ({number})", self.name);
            let watch = Stopwatch::start();
            let mut answer = caller.call(&self.name, call.arguments.clone()).await;
            // What is asked about at every call is asked about again.
            if let Some(link) = answer.link().filter(|_| asked || number == 0) {
                assert!(server.decide_each(&link, &self.name, allowed).await);
                answer = caller.call(&self.name, call.arguments.clone()).await;
                asked = true;
                if let Some(link) = answer.link().filter(|_| number == 0) {
                    assert!(server.decide_each(&link, &self.name, allowed).await);
                    answer = caller.call(&self.name, call.arguments.clone()).await;
                }
            }
            let took = watch.took();
            // The record says how long the guest ran; this is with all that a busy machine adds.
            let most = self.deadline() + 5 * LATE_MAX;
            assert!(took < most, "{name} took {took:?}");
            ran.withheld.push(watch.withheld());
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            if answer.is_reply() && !self.is_prepared {
                call.found_nothing(&answer, &name);
            }
            let other = caller.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(other.text(), "Hello, Ada!", "after {name}");
        }
        ran.ends()
    }

    /// Each call has an intent and an outcome, which are as they should be.
    async fn check_records(&self, server: &Server, made: &Ran) -> Used {
        let name = &self.name;
        let ran: Vec<_> = server
            .outcomes(name)
            .await
            .into_iter()
            .filter(|record| record.ticket.is_none())
            // Another attack may call it as well.
            .filter(|record| record.parent.is_none())
            .collect();
        let mut intents = server.intents(name).await;
        intents.retain(|intent| intent.parent.is_none());
        let calls = self.calls.len();
        assert_eq!((ran.len(), intents.len()), (calls, calls), "{name}");
        let mut all = Used {
            endings: BTreeSet::new(),
            wall: Duration::ZERO,
            memory_bytes: 0,
        };
        for (number, (call, (record, intent))) in
            self.calls.iter().zip(ran.iter().zip(&intents)).enumerate()
        {
            assert_eq!(record.event_id, intent.event_id, "{name} ({number})");
            let result = record.result.as_ref().unwrap();
            let status = &result.status;
            assert!(
                call.outcome.contains(status),
                "{name} ({number}) ended {status}"
            );
            let used = result.used.as_ref().unwrap();
            let took = Duration::from_millis(used.wall_ms);
            let late = LATE_MAX + made.withheld[number];
            assert!(took < self.deadline() + late, "{name} took {took:?}");
            assert!(used.memory_bytes_peak <= 64 * MIB, "{name}: {used:?}");
            all.endings.insert(status.clone());
            all.wall = all.wall.max(took);
            all.memory_bytes = all.memory_bytes.max(used.memory_bytes_peak);
        }
        all
    }
}

impl Expected {
    /// A guest that got out, or saw what was not for it, says so.
    fn found_nothing(&self, answer: &Answer, name: &str) {
        if let Some(says) = &self.says {
            assert_eq!(&answer.text(), says, "{name}");
        }
        let result = answer.result();
        let escaped = result["structuredContent"]["escaped"].as_array();
        assert!(escaped.is_none_or(Vec::is_empty), "{name}: {answer:?}");
        let marks = name.starts_with("residue_memory");
        assert!(
            !marks || answer.text().starts_with("found 0 "),
            "{name}: {answer:?}"
        );
    }
}

#[test]
fn a_table_grows_no_further_than_its_bound() {
    run(async {
        let package = handmade_package("table_grow").await.unwrap();
        let server = Setup::new().package("table_grow", &package).start().await;
        let answer = server.caller("alice").call("table_grow", json!({})).await;
        let outcome = server.outcomes("table_grow").await.pop().unwrap();
        let status = outcome.result.unwrap().status;
        if answer.is_reply() {
            let elements = usize::from_str_radix(&answer.text(), 16).unwrap();
            assert!(elements <= TABLE_ELEMENTS_MAX, "{elements}");
            assert_eq!(status, "replied");
        } else {
            let ended = ["out-of-time", "out-of-bounds"].contains(&status.as_str());
            assert!(answer.is_tool_error() && ended, "{status}: {answer:?}");
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

/// Panics when it is asked for a name.
struct Broken;

impl Resolve for Broken {
    fn resolve<'a>(&'a self, name: &'a HostName) -> Resolving<'a> {
        panic!("a fault that the test planted at `{name}`")
    }
}

#[test]
fn a_guest_that_drives_a_host_function_into_a_panic_ends_its_own_call_alone() {
    run(async {
        let setup = Setup::new().resolver(Broken).guests(&["http_any"]).await;
        let server = setup.tools(&["hello"]).await.start().await;
        let alice = server.caller("alice");
        for _ in 0..2 {
            let url = json!({"url": "https://panics.example.org/"});
            let answer = alice.call_allowed(&server, "http_any", url).await;
            assert!(!answer.body.contains("planted"), "{answer:?}");
            let other = alice.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(other.text(), "Hello, Ada!");
        }
        let mut outcomes = server.outcomes("http_any").await;
        outcomes.retain(|record| record.ticket.is_none());
        let intents = server.intents("http_any").await;
        assert_eq!((outcomes.len(), intents.len()), (2, 2));
        for outcome in outcomes {
            assert_eq!(outcome.result.unwrap().status, "fault");
        }
        server.stop().await;
    });
}
