//! Numbers that many threads add to at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::ids::ToolName;
use crate::limits::METERED_TOOLS_MAX;

/// What is in none of the sets of words.
pub(super) const OTHER: &str = "other";

/// A number for each word of a closed set. What is none of its words counts as `other`.
#[derive(Debug)]
pub struct Words {
    words: &'static [&'static str],
    counts: Box<[AtomicU64]>,
    other: AtomicU64,
}

impl Words {
    /// All at zero.
    pub fn new(words: &'static [&'static str]) -> Self {
        Self {
            words,
            counts: words.iter().map(|_| AtomicU64::new(0)).collect(),
            other: AtomicU64::new(0),
        }
    }

    /// One more.
    pub fn one(&self, word: &str) {
        self.add(word, 1);
    }

    /// So many more.
    pub fn add(&self, word: &str, more: u64) {
        let mut places = self.words.iter().zip(&self.counts);
        let place = places.find_map(|(one, count)| (*one == word).then_some(count));
        place
            .unwrap_or(&self.other)
            .fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were of each. `other` is among them only if something was.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let other = self.other.load(Ordering::Relaxed);
        let other = (other > 0).then_some((OTHER, other));
        let counts = self.words.iter().copied().zip(&self.counts);
        let counts = counts.map(|(word, count)| (word, count.load(Ordering::Relaxed)));
        counts.chain(other)
    }
}

/// How long something took, in buckets.
#[derive(Debug)]
pub struct Seconds {
    /// Upper bounds in seconds, each below the next one.
    bounds: &'static [f64],
    /// One for each bound, and one for what took longer.
    buckets: Box<[AtomicU64]>,
    micros: AtomicU64,
}

impl Seconds {
    /// Nothing yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            micros: AtomicU64::new(0),
        }
    }

    /// One more, that took so long.
    pub fn took(&self, time: Duration) {
        let secs = time.as_secs_f64();
        let at = self.bounds.partition_point(|bound| *bound < secs);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sum in seconds, number, and how many fell into each bucket alone.
    pub fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|one| one.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        (sum, count, buckets)
    }
}

/// How calls ended, for each tool that was admitted, as long as there are not too many.
#[derive(Debug)]
pub(super) struct Tools {
    ends: &'static [&'static str],
    known: ArcSwap<HashMap<ToolName, Arc<Words>>>,
    other: Words,
}

impl Tools {
    pub(super) fn new(ends: &'static [&'static str]) -> Self {
        Self {
            ends,
            known: ArcSwap::default(),
            other: Words::new(ends),
        }
    }

    /// A call of this tool ended so. A tool of which nothing was admitted is `other`, and so are those beyond the bound.
    pub(super) fn ended(&self, tool: Option<&ToolName>, end: &str) {
        let Some(tool) = tool else {
            return self.other.one(end);
        };
        if let Some(words) = self.known.load().get(tool) {
            return words.one(end);
        }
        // Once for each tool.
        self.known.rcu(|known| {
            let mut more = HashMap::clone(known);
            if more.len() < METERED_TOOLS_MAX {
                more.entry(tool.clone())
                    .or_insert_with(|| Arc::new(Words::new(self.ends)));
            }
            more
        });
        match self.known.load().get(tool) {
            Some(words) => words.one(end),
            None => self.other.one(end),
        }
    }

    /// What there was of each, where there was something.
    pub(super) fn each(&self) -> Vec<(String, &'static str, u64)> {
        let known = self.known.load();
        let mut all: Vec<(&str, &Words)> = known
            .iter()
            .map(|(tool, words)| (tool.as_str(), &**words))
            .collect();
        all.sort_unstable_by_key(|(tool, _)| *tool);
        all.push((OTHER, &self.other));
        let each = all.into_iter().flat_map(|(tool, words)| {
            let some = words.each().filter(|(_, count)| *count > 0);
            some.map(move |(end, count)| (tool.to_owned(), end, count))
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_of_the_set_is_one_other() {
        let words = Words::new(&["a", "b"]);
        assert_eq!(words.each().collect::<Vec<_>>(), [("a", 0), ("b", 0)]);
        words.one("b");
        for odd in ["", "c\nd 1", "A", "x".repeat(10_000).as_str()] {
            words.one(odd);
        }
        let all: Vec<_> = words.each().collect();
        assert_eq!(all, [("a", 0), ("b", 1), (OTHER, 4)]);
    }

    #[test]
    fn a_time_falls_into_the_first_bucket_that_holds_it() {
        let seconds = Seconds::new(&[0.1, 1.0]);
        for ms in [50, 100, 101, 1_000, 1_001] {
            seconds.took(Duration::from_millis(ms));
        }
        let (sum, count, buckets) = seconds.read();
        assert!((sum - 2.252).abs() < 1e-9, "{sum}");
        assert_eq!(count, 5);
        assert_eq!(buckets, [(0.1, 2), (1.0, 2), (f64::INFINITY, 1)]);
        seconds.took(Duration::MAX);
        assert_eq!(seconds.read().1, 6);
    }

    #[test]
    fn there_is_a_bound_to_names_of_tools() {
        let tools = Tools::new(&["replied"]);
        for n in 0..METERED_TOOLS_MAX + 10 {
            let name: ToolName = format!("tool{n}").parse().unwrap();
            tools.ended(Some(&name), "replied");
            tools.ended(Some(&name), "replied");
        }
        tools.ended(None, "replied");
        let all = tools.each();
        assert_eq!(all.len(), METERED_TOOLS_MAX + 1);
        assert_eq!(all.last(), Some(&(OTHER.to_owned(), "replied", 21)));
        assert!(all.iter().rev().skip(1).all(|(_, _, count)| *count == 2));
    }

    #[test]
    fn many_threads_lose_no_count() {
        let tools = Tools::new(&["replied", "trapped"]);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let tools = &tools;
                scope.spawn(move || {
                    for round in 0..1_000 {
                        let name: ToolName = format!("tool{}", round % 20).parse().unwrap();
                        tools.ended(Some(&name), if n % 2 == 0 { "replied" } else { "trapped" });
                    }
                });
            }
        });
        let all = tools.each();
        assert_eq!(all.len(), 40);
        assert_eq!(all.iter().map(|(_, _, count)| count).sum::<u64>(), 8_000);
    }
}
