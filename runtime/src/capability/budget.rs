//! How much of one grant of `http` a single call may use.

use std::fmt;
use std::num::NonZeroU64;

use super::CapabilityError;
use crate::limits::{
    HTTP_BYTES_IN_MAX, HTTP_BYTES_OUT_MAX, HTTP_PARALLEL_MAX, HTTP_REQUESTS_MAX, HTTP_TOTAL_MAX,
};

/// What one call may use of one grant at most. Every part lies within what a whole call may use, and two meet in the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpBudget {
    requests: u64,
    send: u64,
    receive: u64,
    millis: u64,
    parallel: u64,
}

/// One part of a budget: what it is called, how it is read and changed, and what every call has anyway.
struct Part {
    word: &'static str,
    most: u64,
    get: fn(&HttpBudget) -> u64,
    of: fn(&mut HttpBudget) -> &mut u64,
}

/// The parts in the order in which they are written.
const PARTS: [Part; 5] = [
    Part {
        word: "requests",
        most: HTTP_REQUESTS_MAX,
        get: |budget| budget.requests,
        of: |budget| &mut budget.requests,
    },
    Part {
        word: "send",
        most: HTTP_BYTES_OUT_MAX,
        get: |budget| budget.send,
        of: |budget| &mut budget.send,
    },
    Part {
        word: "receive",
        most: HTTP_BYTES_IN_MAX,
        get: |budget| budget.receive,
        of: |budget| &mut budget.receive,
    },
    Part {
        word: "ms",
        most: HTTP_TOTAL_MAX.as_secs() * 1_000,
        get: |budget| budget.millis,
        of: |budget| &mut budget.millis,
    },
    Part {
        word: "parallel",
        most: HTTP_PARALLEL_MAX,
        get: |budget| budget.parallel,
        of: |budget| &mut budget.parallel,
    },
];

impl HttpBudget {
    /// What every call has: nothing is narrowed.
    pub const WHOLE: Self = Self {
        requests: PARTS[0].most,
        send: PARTS[1].most,
        receive: PARTS[2].most,
        millis: PARTS[3].most,
        parallel: PARTS[4].most,
    };

    /// Requests, refused ones among them.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Bytes that may be sent, heads among them.
    pub fn send(&self) -> u64 {
        self.send
    }

    /// Bytes that may be received, heads among them, after decompression.
    pub fn receive(&self) -> u64 {
        self.receive
    }

    /// How long one request may take, to the last byte of its answer, in milliseconds.
    pub fn millis(&self) -> u64 {
        self.millis
    }

    /// Requests whose answers are not read to their end, at once.
    pub fn parallel(&self) -> u64 {
        self.parallel
    }

    /// Whether nothing is narrowed.
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// The smaller of both, part by part.
    pub fn meet(&self, other: &Self) -> Self {
        let mut both = *self;
        for part in &PARTS {
            *(part.of)(&mut both) = (part.get)(self).min((part.get)(other));
        }
        both
    }

    /// Narrows one part by the word for it: `requests`, `send`, `receive`, `ms` or `parallel`.
    pub fn narrowed(mut self, word: &str, to: NonZeroU64) -> Result<Self, CapabilityError> {
        let wrong = || CapabilityError::Budget(format!("{word}={to}"));
        let part = PARTS.iter().find(|part| part.word == word);
        let part = part.ok_or_else(wrong)?;
        if to.get() > part.most {
            return Err(wrong());
        }
        *(part.of)(&mut self) = to.get();
        Ok(self)
    }

    /// Every part with the word for it, in order.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        PARTS.iter().map(|part| (part.word, (part.get)(self)))
    }

    /// One part by the word for it.
    pub fn part(&self, word: &str) -> Option<u64> {
        let part = PARTS.iter().find(|part| part.word == word);
        part.map(|part| (part.get)(self))
    }

    /// Reads words such as `requests=5`, each at most once and in their order, so that one budget has one text.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, CapabilityError> {
        let (mut budget, mut parts) = (Self::WHOLE, PARTS.iter());
        for text in words {
            let wrong = || CapabilityError::Budget(text.to_owned());
            let (word, number) = text.split_once('=').ok_or_else(wrong)?;
            // Those that were passed over cannot come again.
            let part = parts.find(|part| part.word == word).ok_or_else(wrong)?;
            let plain = !number.starts_with(['0', '+']);
            let number = number.parse::<u64>().ok().filter(|_| plain);
            // What every call has is not written, and more than that cannot be.
            let number = number.filter(|number| *number < part.most);
            *(part.of)(&mut budget) = number.ok_or_else(wrong)?;
        }
        Ok(budget)
    }

    /// What it says to a user, in the words of a language: requests, bytes sent and bytes received, where they are narrowed. How
    /// long and how many at once is no concern of theirs.
    pub fn told(&self, requests: &str, sent: &str, received: &str) -> Vec<String> {
        let told = |(word, is): (&str, u64)| match word {
            "requests" => Some(requests.replace("{}", &is.to_string())),
            "send" => Some(sent.replace("{}", &size(is))),
            "receive" => Some(received.replace("{}", &size(is))),
            _ => None,
        };
        self.narrow().filter_map(told).collect()
    }

    /// The same in English, to be put behind a sentence.
    pub(super) fn sentence(&self) -> String {
        let all = self.told("{} requests", "{} sent", "{} received");
        match all.is_empty() {
            true => String::new(),
            false => format!("; at most {} in one call", all.join(", ")),
        }
    }

    /// The parts that are narrowed, for people and for the text of a capability.
    fn narrow(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let parts = PARTS.iter().map(|part| (part, (part.get)(self)));
        parts
            .filter(|(part, is)| *is < part.most)
            .map(|(part, is)| (part.word, is))
    }
}

/// Bytes in the largest unit in which they are a whole number.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        _ if bytes.is_multiple_of(KIB * KIB) => format!("{} MiB", bytes / KIB / KIB),
        _ if bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

impl Default for HttpBudget {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// `requests=5 send=65536`: what is narrowed, and nothing where nothing is.
impl fmt::Display for HttpBudget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (word, is)) in self.narrow().enumerate() {
            let space = if place > 0 { " " } else { "" };
            write!(out, "{space}{word}={is}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HttpBudget, CapabilityError> {
        HttpBudget::of_words(text.split(' ').filter(|word| !word.is_empty()))
    }

    #[test]
    fn a_budget_has_one_text() {
        for text in [
            "",
            "requests=5",
            "requests=19 send=1048575 receive=1 ms=9999 parallel=1",
            "ms=1",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        for wrong in [
            "requests",
            "requests=",
            "requests=0",
            "requests=05",
            "requests=+5",
            "requests=-1",
            "requests=20",
            "requests=21",
            "requests=18446744073709551616",
            "requests=5 requests=4",
            "send=5 requests=4",
            "bytes=5",
            "ms=1.5",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_budgets_meet_in_the_smaller_part_by_part() {
        let (a, b) = (read("requests=5 ms=10"), read("requests=7 send=3"));
        let both = a.unwrap().meet(&b.unwrap());
        assert_eq!(both.to_string(), "requests=5 send=3 ms=10");
    }

    #[test]
    fn a_user_reads_how_much_and_not_how_fast() {
        let of = |text| read(text).unwrap().sentence();
        assert_eq!(
            of("requests=5 send=65536 receive=1048576 ms=5 parallel=1"),
            "; at most 5 requests, 64 KiB sent, 1 MiB received in one call"
        );
        assert_eq!(of("send=1000"), "; at most 1000 bytes sent in one call");
        assert_eq!(of("ms=5"), "");
    }

    #[test]
    fn nothing_is_narrowed_to_more_or_to_nothing() {
        let to = |word, number| HttpBudget::WHOLE.narrowed(word, NonZeroU64::new(number).unwrap());
        assert_eq!(to("requests", 20), Ok(HttpBudget::WHOLE));
        assert_eq!(to("send", 7).unwrap().send(), 7);
        assert!(to("requests", 21).is_err());
        assert!(to("words", 1).is_err());
    }

    #[test]
    fn each_part_is_read_by_its_own_word() {
        let budget = read("requests=5 send=4 receive=3 ms=2 parallel=1").unwrap();
        for (word, is) in [
            ("requests", 5),
            ("send", 4),
            ("receive", 3),
            ("ms", 2),
            ("parallel", 1),
        ] {
            assert_eq!(budget.part(word), Some(is), "{word}");
        }
        assert_eq!(HttpBudget::WHOLE.part("ms"), Some(10_000));
        assert_eq!(budget.part("words"), None);
    }
}
