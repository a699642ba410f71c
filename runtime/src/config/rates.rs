//! The classes of rate limits that rules name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use crate::limits::{RATE_CALLS_MAX, RATE_PERIOD_MAX};

/// How often a user may call what falls under a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateClass {
    /// So many calls at once, and so many in each period from then on.
    pub calls: u32,
    /// The period.
    pub period: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRate {
    calls: Spanned<u32>,
    seconds: Spanned<u64>,
}

pub(super) fn rates(
    check: &mut Checker<'_>,
    raw: &BTreeMap<Spanned<String>, RawRate>,
) -> BTreeMap<String, RateClass> {
    let mut all = BTreeMap::new();
    for (name, rate) in raw {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.get_ref().is_empty() || !name.get_ref().bytes().all(plain) {
            let message = format!("rules cannot name a rate class `{}`", name.get_ref());
            check.wrong(name, message, "use ASCII letters, digits, `-` and `_`");
        }
        if !(1..=RATE_CALLS_MAX).contains(rate.calls.get_ref()) {
            let help = format!("choose from 1 to {RATE_CALLS_MAX}");
            check.wrong(
                &rate.calls,
                "the calls of a rate class are out of range",
                &help,
            );
        }
        let period = Duration::from_secs(*rate.seconds.get_ref());
        if period.is_zero() || period > RATE_PERIOD_MAX {
            let help = format!("choose from 1 to {} seconds", RATE_PERIOD_MAX.as_secs());
            check.wrong(
                &rate.seconds,
                "the period of a rate class is out of range",
                &help,
            );
        }
        let calls = *rate.calls.get_ref();
        all.insert(name.get_ref().clone(), RateClass { calls, period });
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn a_class_says_how_many_in_how_long() {
        let config = parse("[rate.writes]\ncalls = 30\nseconds = 60\n").unwrap();
        let class = config.rates.get("writes").unwrap();
        assert_eq!((class.calls, class.period.as_secs()), (30, 60));
    }

    #[test]
    fn what_bounds_nothing_or_everything_is_refused_with_its_line() {
        for (wrong, line, says) in [
            ("[rate.writes]\ncalls = 0\nseconds = 60\n", 9, "calls"),
            ("[rate.writes]\ncalls = 1000001\nseconds = 60\n", 9, "calls"),
            ("[rate.writes]\ncalls = 1\nseconds = 0\n", 10, "period"),
            ("[rate.writes]\ncalls = 1\nseconds = 86401\n", 10, "period"),
            ("[rate.\"a,b\"]\ncalls = 1\nseconds = 1\n", 8, "cannot name"),
            (
                "[rate.writes]\ncalls = 1\nseconds = 1\nburst = 3\n",
                11,
                "unknown field",
            ),
        ] {
            let ConfigError::Invalid { problems } = parse(wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
