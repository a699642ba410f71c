//! What processes hold, looked at again and again, and whether it grows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Context;

use super::rounds::median;

/// How much more a process may hold at the end than before: what machines do by themselves.
const MORE_MAX: f64 = 1.10;

/// What is looked at, its unit, and the growth beyond [`MORE_MAX`] that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Processes.
    Processes,
    /// Anonymous memory in memory, in KiB.
    Anonymous,
    /// All memory in memory, in KiB.
    Resident,
    /// Open descriptors.
    Descriptors,
    /// Threads.
    Threads,
    /// Mappings.
    Mappings,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Anonymous => "anonymous memory, KiB",
            Self::Resident => "resident memory, KiB",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Mappings => "mappings",
        }
    }

    fn slack(self) -> f64 {
        match self {
            Self::Processes | Self::Threads => 2.0,
            Self::Anonymous | Self::Resident => 2_048.0,
            Self::Descriptors => 4.0,
            Self::Mappings => 16.0,
        }
    }
}

/// What some processes hold together.
pub type Held = BTreeMap<What, u64>;

/// What these processes hold. One that ends meanwhile is not counted; one that does not let us look is counted as far as it does.
pub fn held(pids: &[u32]) -> Held {
    let mut all = Held::new();
    for pid in pids {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let mut add = |what, more: u64| *all.entry(what).or_default() += more;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        add(What::Processes, 1);
        add(What::Anonymous, of("RssAnon:"));
        add(What::Resident, of("VmRSS:"));
        add(What::Threads, of("Threads:"));
        if let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) {
            add(What::Descriptors, open.count() as u64);
        }
        if let Ok(maps) = std::fs::read_to_string(format!("/proc/{pid}/maps")) {
            add(What::Mappings, maps.lines().count() as u64);
        }
    }
    all
}

/// The processes that this one made.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    // Each thread has the children that it made.
    let lists = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let all: Vec<String> = lists.collect();
    let numbers = all.iter().flat_map(|list| list.split_whitespace());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// What some processes held over a run.
#[derive(Default)]
pub struct Looks(Vec<(Instant, Held)>);

impl Looks {
    /// Adds a look.
    pub fn add(&mut self, held: Held) {
        self.0.push((Instant::now(), held));
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, held)| held.is_empty())
    }

    /// Prints the median of each quarter and the growth a minute, and returns what grew from the second to the last.
    pub fn print(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let size = self.0.len() / 4;
        anyhow::ensure!(
            size >= 3,
            "too few looks to judge by: let it run for longer"
        );
        let mut grew = Vec::new();
        let middle = |quarter: usize| self.0.get(quarter * size + size / 2).map(|(at, _)| *at);
        let (from, to) = middle(1)
            .zip(middle(3))
            .context("a run has four quarters")?;
        let minutes = to.duration_since(from).as_secs_f64() / 60.0;
        let seen: BTreeSet<_> = self.0.iter().flat_map(|(_, held)| held.keys()).collect();
        for what in seen {
            let quarters: Vec<f64> = self
                .0
                .chunks(size)
                .take(4)
                .map(|some| {
                    let mut some: Vec<f64> = some
                        .iter()
                        .map(|(_, held)| *held.get(what).unwrap_or(&0) as f64)
                        .collect();
                    median(&mut some)
                })
                .collect();
            let [one, two, three, four] = quarters.as_slice() else {
                anyhow::bail!("a run has four quarters");
            };
            let is_flat = *four <= two * MORE_MAX + what.slack();
            let verdict = if is_flat { "flat" } else { "GROWS" };
            println!(
                "  {name:<14}{:<24}{one:>10.0}{two:>10.0}{three:>10.0}{four:>10.0}{:>13.2}{:>+10.1}  {verdict}",
                what.name(),
                four / two.max(1.0),
                (four - two) / minutes
            );
            if !is_flat {
                grew.push(format!("{} of {name}", what.name()));
            }
        }
        Ok(grew)
    }
}
