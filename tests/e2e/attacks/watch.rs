//! What a neighbour sees beside the attacks, what the process takes meanwhile, and the table of both.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Caller, Server, Stopwatch, everywhere_apart};

/// Calls of a neighbour while nothing attacks.
const QUIET_CALLS: usize = 100;

/// When an attack ran.
pub(super) struct Ran {
    began: Instant,
    ended: Instant,
    /// What the machine withheld during each of its calls.
    pub(super) withheld: Vec<Duration>,
}

impl Ran {
    pub(super) fn begins() -> Self {
        let began = Instant::now();
        Self {
            began,
            ended: began,
            withheld: Vec::new(),
        }
    }

    pub(super) fn ends(self) -> Self {
        Self {
            ended: Instant::now(),
            ..self
        }
    }
}

/// What the records say of all the calls of an attack.
pub(super) struct Used {
    pub(super) endings: BTreeSet<String>,
    pub(super) wall: Duration,
    pub(super) memory_bytes: u64,
}

/// One call of the neighbour, and what of the process lay in memory after it.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    began: Instant,
    took: Duration,
    /// What the machine withheld of it.
    withheld: Duration,
    resident_bytes: u64,
}

async fn sample(neighbour: &Caller) -> Sample {
    let (began, watch) = (Instant::now(), Stopwatch::start());
    let answer = neighbour.call("hello", json!({"name": "Bob"})).await;
    assert_eq!(answer.text(), "Hello, Bob!");
    Sample {
        began,
        took: watch.elapsed(),
        withheld: watch.withheld(),
        resident_bytes: resident_bytes(),
    }
}

/// What the neighbour sees while nothing attacks.
pub(super) async fn quiet(server: &Server) -> Vec<Sample> {
    let neighbour = server.caller("neighbour");
    let mut samples = Vec::new();
    for _ in 0..QUIET_CALLS {
        samples.push(sample(&neighbour).await);
    }
    samples
}

/// A neighbour who calls all the time, and an eye on the memory of the process.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    before_bytes: u64,
    calling: tokio::task::JoinHandle<Vec<Sample>>,
}

pub(super) struct Seen {
    pub(super) samples: Vec<Sample>,
    before_bytes: u64,
}

impl Watch {
    pub(super) fn start(server: &Server) -> Self {
        let neighbour = server.caller("neighbour");
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let calling = tokio::spawn(async move {
            let mut samples = Vec::new();
            while !until.load(Ordering::Acquire) {
                samples.push(sample(&neighbour).await);
            }
            samples
        });
        Self {
            ended,
            before_bytes: resident_bytes(),
            calling,
        }
    }

    pub(super) async fn end(self) -> Seen {
        self.ended.store(true, Ordering::Release);
        Seen {
            samples: self.calling.await.unwrap(),
            before_bytes: self.before_bytes,
        }
    }
}

impl Seen {
    /// The longest call, without what the machine withheld of it.
    pub(super) fn slowest(&self) -> Duration {
        let took = |one: &Sample| one.took.saturating_sub(one.withheld);
        self.samples.iter().map(took).max().unwrap_or_default()
    }

    pub(super) fn growth_bytes(&self) -> u64 {
        let most = self.samples.iter().map(|one| one.resident_bytes).max();
        let most = most.unwrap_or_default().max(resident_bytes());
        most.saturating_sub(self.before_bytes)
    }

    /// The calls that were under way while the attack ran, and what of the process lay in memory before.
    fn beside(&self, ran: &Ran) -> (Vec<Sample>, u64) {
        let beside = |one: &&Sample| one.began < ran.ended && one.began + one.took > ran.began;
        let before = self
            .samples
            .iter()
            .take_while(|one| one.began + one.took <= ran.began);
        let before = before
            .last()
            .map_or(self.before_bytes, |one| one.resident_bytes);
        (
            self.samples.iter().filter(beside).copied().collect(),
            before,
        )
    }
}

fn p99(samples: &[Sample]) -> Duration {
    let mut all: Vec<_> = samples.iter().map(|one| one.took).collect();
    all.sort_unstable();
    let at = (all.len() * 99).div_ceil(100).saturating_sub(1);
    all.get(at).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// What of this process lies in memory.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// What is printed: one row for each attack.
pub(super) struct Table {
    pub(super) text: String,
    quiet: Duration,
}

impl Table {
    pub(super) fn new(quiet: &[Sample]) -> Self {
        let head = "| attack | calls | ended | longest ms | guest KiB | server grew KiB | neighbour's p99 ms (calls) | against quiet |\n\
                    |---|---|---|---|---|---|---|---|\n";
        let quiet = p99(quiet);
        let isolation = if everywhere_apart() {
            "process"
        } else {
            "in-process"
        };
        Self {
            text: format!(
                "isolation = \"{isolation}\"; p99 while quiet: {:.1} ms\n\n{head}",
                ms(quiet)
            ),
            quiet,
        }
    }

    pub(super) fn row(
        &mut self,
        (name, calls): (&str, usize),
        ran: &Ran,
        used: &Used,
        seen: &Seen,
    ) {
        let (beside, before) = seen.beside(ran);
        let most = beside.iter().map(|one| one.resident_bytes).max();
        let grew = most.unwrap_or(before).saturating_sub(before) / 1024;
        let endings: Vec<_> = used.endings.iter().map(String::as_str).collect();
        let p99 = p99(&beside);
        writeln!(
            self.text,
            "| `{name}` | {calls} | {} | {} | {} | {grew} | {:.1} ({}) | {:.1} |",
            endings.join(", "),
            used.wall.as_millis(),
            used.memory_bytes / 1024,
            ms(p99),
            beside.len(),
            ms(p99) / ms(self.quiet).max(f64::MIN_POSITIVE),
        )
        .unwrap();
    }
}
