//! Limits on everybody: how often, how many at once and how much a day. One table, which is read again while the server runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use super::rates::RateClass;
use super::shares::{RawShares, shares};
use crate::capability::Tier;
use crate::ids::{Tenant, ToolName};
use crate::limits::{
    CALL_DEPTH_MAX, DAILY_MAX, LIMITS_MAX, RATE_CALLS_MAX, RATE_PERIOD_MAX,
    REQUESTS_IN_FLIGHT_DEFAULT, REQUESTS_IN_FLIGHT_MAX,
};

/// The limits in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests to `/mcp` that are being answered at once.
    pub requests_in_flight_max: usize,
    /// Whether requests from loopback are counted by address. A proxy that is not declared speaks from there for everybody.
    pub count_loopback: bool,
    /// Each limit, by its name.
    pub all: Vec<Limit>,
    /// The shares of tenants in the processors, among calls that compute for long; 1 for who is not named.
    pub shares: BTreeMap<Tenant, NonZeroU32>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Under which the log and its callers know it.
    pub name: String,
    /// Who has one of their own.
    pub per: Per,
    /// Calls of this tool alone.
    pub tool: Option<ToolName>,
    /// Calls of tools of this tier or a higher one alone.
    pub tier: Option<Tier>,
    /// How often.
    pub pace: Option<RateClass>,
    /// How many at once.
    pub at_once: Option<u32>,
    /// How much a day.
    pub daily: BTreeMap<Measure, u64>,
}

/// Who has a limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Each address, before its token is looked at; of IPv6 each network of 64 bits.
    Address,
    /// The same, counting tokens that were refused.
    Failures,
    /// Each tenant.
    Tenant,
    /// Each user of a tenant.
    User,
    /// Each client of a tenant, whoever uses it.
    Client,
    /// Each tool of a tenant, whoever calls it.
    Tool,
    /// Each user with each tool.
    UserTool,
}

/// What a daily budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Calls.
    Calls,
    /// Milliseconds in which tools run.
    Milliseconds,
    /// Bytes of replies.
    ReplyBytes,
}

impl fmt::Display for Per {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Address => "address, before any token is read",
            Self::Failures => "address, of refused tokens",
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Client => "client in a tenant",
            Self::Tool => "tool in a tenant",
            Self::UserTool => "user and tool",
        })
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Calls => "calls",
            Self::Milliseconds => "ms of running tools",
            Self::ReplyBytes => "bytes of replies",
        })
    }
}

/// A sentence for the operator.
impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(pace) = &self.pace {
            parts.push(format!("{} in {} s", pace.calls, pace.period.as_secs()));
        }
        if let Some(most) = self.at_once {
            parts.push(format!("{most} at once"));
        }
        let daily = self.daily.iter();
        parts.extend(daily.map(|(of, most)| format!("{most} {of} a day")));
        write!(
            out,
            "limit `{}`: {}, for each {}",
            self.name,
            parts.join(", "),
            self.per
        )?;
        if let Some(tool) = &self.tool {
            write!(out, ", of `{tool}` alone")?;
        }
        match self.tier {
            Some(tier) => write!(out, ", of tools of tier {tier:?} or higher"),
            None => Ok(()),
        }
    }
}

impl Limits {
    /// What holds where the configuration says nothing else. `places` are those of the sandbox.
    pub fn defaults(places: u32) -> Self {
        Self {
            requests_in_flight_max: REQUESTS_IN_FLIGHT_DEFAULT,
            count_loopback: false,
            all: default_limits(places),
            shares: BTreeMap::new(),
        }
    }

    /// The one limit of this kind that counts before a token is read.
    pub fn before_token(&self, per: Per) -> Option<(&str, &RateClass)> {
        let limit = self.all.iter().find(|limit| limit.per == per)?;
        Some((limit.name.as_str(), limit.pace.as_ref()?))
    }
}

fn default_limits(places: u32) -> Vec<Limit> {
    const MINUTE: Duration = Duration::from_secs(60);
    let limit = |name: &str, per| Limit {
        name: name.to_owned(),
        per,
        tool: None,
        tier: None,
        pace: None,
        at_once: None,
        daily: BTreeMap::new(),
    };
    let pace = |name, per, calls| Limit {
        pace: Some(RateClass {
            calls,
            period: MINUTE,
        }),
        ..limit(name, per)
    };
    let most = |name, per, most| Limit {
        at_once: Some(most),
        ..limit(name, per)
    };
    // A call may hold a place for each of those that it lies in.
    let deepest = u32::try_from(CALL_DEPTH_MAX).unwrap_or(u32::MAX);
    let share = |part: u32| part.max(deepest).min(places).max(1);
    vec![
        // A hundred people behind one address, each of whom asks once a second.
        pace("address", Per::Address, 6_000),
        // A client whose token has just expired tries a few times; nobody who has a token needs more.
        pace("failures", Per::Failures, 30),
        pace("tenant", Per::Tenant, 30_000),
        // Ten calls a second: more than any model makes, and than a person could watch.
        pace("user", Per::User, 600),
        // One program cannot take all that its tenant may.
        pace("client", Per::Client, 20_000),
        pace("user-tool", Per::UserTool, 300),
        Limit {
            tier: Some(Tier::T2),
            ..pace("writes", Per::User, 120)
        },
        // Each of them asks a person first.
        Limit {
            tier: Some(Tier::T3),
            ..pace("every-call", Per::User, 20)
        },
        most("tenant-share", Per::Tenant, share(places / 4 * 3)),
        most("user-share", Per::User, share(places / 4)),
        // Half an hour at the full rate, and four hours of running tools.
        Limit {
            daily: BTreeMap::from([
                (Measure::Calls, 20_000),
                (Measure::Milliseconds, 14_400_000),
            ]),
            ..limit("user-day", Per::User)
        },
        Limit {
            daily: BTreeMap::from([(Measure::Calls, 1_000_000)]),
            ..limit("tenant-day", Per::Tenant)
        },
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    #[serde(default = "yes")]
    defaults: bool,
    #[serde(default)]
    count_loopback: bool,
    requests_in_flight_max: Option<Spanned<usize>>,
    #[serde(default)]
    shares: RawShares,
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            defaults: true,
            count_loopback: false,
            requests_in_flight_max: None,
            shares: RawShares::new(),
        }
    }
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimit {
    name: Spanned<String>,
    per: Per,
    tool: Option<Spanned<String>>,
    tier: Option<Spanned<String>>,
    calls: Option<Spanned<u32>>,
    seconds: Option<Spanned<u64>>,
    at_once: Option<Spanned<u32>>,
    daily_calls: Option<Spanned<u64>>,
    daily_ms: Option<Spanned<u64>>,
    daily_reply_bytes: Option<Spanned<u64>>,
}

/// The limits, those of the configuration in place of the usual ones of the same name.
pub(super) fn limits(
    check: &mut Checker<'_>,
    head: &RawLimits,
    raw: &[RawLimit],
    classes: &BTreeMap<String, RateClass>,
    places: u32,
) -> Limits {
    let mut limits = Limits::defaults(places);
    if !head.defaults {
        limits.all.clear();
    }
    limits.count_loopback = head.count_loopback;
    if let Some(most) = &head.requests_in_flight_max {
        if !(1..=REQUESTS_IN_FLIGHT_MAX).contains(most.get_ref()) {
            let help = format!("choose from 1 to {REQUESTS_IN_FLIGHT_MAX}");
            check.wrong(most, "the requests in flight are out of range", &help);
        }
        limits.requests_in_flight_max = *most.get_ref();
    }
    limits.shares = shares(check, &head.shares);
    let mut named = BTreeSet::new();
    for raw in raw {
        let name = raw.name.get_ref();
        if !named.insert(name) || classes.contains_key(name) {
            let message = format!("there are two limits or rate classes `{name}`");
            check.wrong(&raw.name, message, "give each a name of its own");
        }
        if named.len() > LIMITS_MAX {
            let help = format!("{LIMITS_MAX} are enough; each is looked at for every call");
            check.wrong(&raw.name, "there are too many limits", &help);
        }
        let Some(limit) = limit(check, raw) else {
            continue;
        };
        let before_token = matches!(limit.per, Per::Address | Per::Failures);
        // Of those that count before a token is read, there is one of each kind.
        limits
            .all
            .retain(|one| one.name != limit.name && !(before_token && is_default_of(one, &limit)));
        if before_token && limits.all.iter().any(|one| one.per == limit.per) {
            let message = "there are two limits by address of the same kind";
            check.wrong(&raw.name, message, "keep one");
        }
        limits.all.push(limit);
    }
    limits
}

/// Whether a usual limit is the one that another by address stands in for.
fn is_default_of(one: &Limit, other: &Limit) -> bool {
    one.per == other.per && default_limits(1).contains(one)
}

fn limit(check: &mut Checker<'_>, raw: &RawLimit) -> Option<Limit> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let name = raw.name.get_ref();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        let help = format!("use ASCII letters, digits, `-` and `_`, {NAME_BYTES_MAX} at most");
        check.wrong(
            &raw.name,
            format!("a limit cannot be called `{name}`"),
            &help,
        );
    }
    let pace = pace(check, raw);
    let at_once = raw.at_once.as_ref().map(|most| {
        if *most.get_ref() == 0 {
            let help = "choose at least 1; a rule forbids a tool altogether";
            check.wrong(most, "a limit of no call at once", help);
        }
        *most.get_ref()
    });
    let mut daily = BTreeMap::new();
    for (of, most) in [
        (Measure::Calls, &raw.daily_calls),
        (Measure::Milliseconds, &raw.daily_ms),
        (Measure::ReplyBytes, &raw.daily_reply_bytes),
    ] {
        let Some(most) = most else { continue };
        if !(1..=DAILY_MAX).contains(most.get_ref()) {
            let help = format!("choose from 1 to {DAILY_MAX}");
            check.wrong(most, "a daily budget is out of range", &help);
        }
        daily.insert(of, *most.get_ref());
    }
    let tool = raw.tool.as_ref();
    let tool = tool.and_then(|tool| check.name(tool, "write the name under which it is served"));
    let tier = raw.tier.as_ref();
    let tier = tier.and_then(|tier| check.name(tier, "choose `T0`, `T1`, `T2` or `T3`"));
    let before_token = matches!(raw.per, Per::Address | Per::Failures);
    if before_token
        && (raw.tool.is_some() || raw.tier.is_some() || at_once.is_some() || !daily.is_empty())
    {
        let message = "before a token is read, neither a tool nor its calls are known";
        check.wrong(&raw.name, message, "write `calls` and `seconds` alone");
    }
    if pace.is_none() && at_once.is_none() && daily.is_empty() {
        let help = "write `calls` and `seconds`, `at_once`, or a daily budget";
        check.wrong(
            &raw.name,
            format!("the limit `{name}` bounds nothing"),
            help,
        );
        return None;
    }
    Some(Limit {
        name: name.clone(),
        per: raw.per,
        tool,
        tier,
        pace,
        at_once,
        daily,
    })
}

/// Longest name of a limit, in bytes: callers and the log are told it.
const NAME_BYTES_MAX: usize = 64;

fn pace(check: &mut Checker<'_>, raw: &RawLimit) -> Option<RateClass> {
    let (calls, seconds) = match (&raw.calls, &raw.seconds) {
        (Some(calls), Some(seconds)) => (calls, seconds),
        (None, None) => return None,
        (Some(_), None) | (None, Some(_)) => {
            let message = format!("the limit `{}` is half of one", raw.name.get_ref());
            check.wrong(&raw.name, message, "write `calls` and `seconds`");
            return None;
        }
    };
    if !(1..=RATE_CALLS_MAX).contains(calls.get_ref()) {
        let help = format!("choose from 1 to {RATE_CALLS_MAX}");
        check.wrong(calls, "the calls of a limit are out of range", &help);
    }
    let period = Duration::from_secs(*seconds.get_ref());
    if period.is_zero() || period > RATE_PERIOD_MAX {
        let help = format!("choose from 1 to {} seconds", RATE_PERIOD_MAX.as_secs());
        check.wrong(seconds, "the period of a limit is out of range", &help);
    }
    let calls = *calls.get_ref();
    Some(RateClass { calls, period })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    fn all(more: &str) -> Vec<String> {
        let limits = parse(more).unwrap().limits;
        limits.all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_hold_without_a_word_and_a_word_replaces_one_of_them() {
        let usual = all("");
        assert!(usual.contains(&"limit `user`: 600 in 60 s, for each user".to_owned()));
        let share = "limit `tenant-share`: 192 at once, for each tenant".to_owned();
        assert!(usual.contains(&share), "{usual:?}");
        let other = all("[[limit]]\nname = \"user\"\nper = \"user\"\ncalls = 5\nseconds = 1\n");
        assert_eq!(other.len(), usual.len());
        assert!(other.contains(&"limit `user`: 5 in 1 s, for each user".to_owned()));
        // One of another name stands beside it.
        let more = all(
            "[[limit]]\nname = \"costly\"\nper = \"tenant\"\ntool = \"fetch\"\ntier = \"T1\"\nat_once = 2\ndaily_ms = 9\n",
        );
        let costly = "limit `costly`: 2 at once, 9 ms of running tools a day, for each tenant, of `fetch` alone, \
                      of tools of tier T1 or higher";
        assert_eq!(more.last().unwrap(), costly);
        assert_eq!(more.len(), usual.len() + 1);
        // By address there is one, whatever it is called.
        let one = all("[[limit]]\nname = \"a\"\nper = \"address\"\ncalls = 5\nseconds = 1\n");
        let by_address = one.iter().filter(|text| text.contains("before any token"));
        assert_eq!(by_address.count(), 1);
        assert_eq!(all("[limits]\ndefaults = false\n"), [""; 0]);
    }

    #[test]
    fn a_small_server_leaves_each_user_room_for_calls_within_calls() {
        for (places, tenant, user) in [(1, 1, 1), (4, 4, 4), (32, 24, 8), (256, 192, 64)] {
            let limits = Limits::defaults(places);
            let share = |name| {
                let limit = limits.all.iter().find(|one| one.name == name);
                limit.unwrap().at_once
            };
            let expected = (Some(tenant), Some(user));
            assert_eq!((share("tenant-share"), share("user-share")), expected);
        }
    }

    #[test]
    fn what_bounds_nothing_or_cannot_be_is_refused_with_its_line() {
        for (wrong, says) in [
            ("per = \"user\"", "bounds nothing"),
            ("per = \"user\"\ncalls = 1", "half of one"),
            ("per = \"user\"\ncalls = 0\nseconds = 1", "calls of a limit"),
            (
                "per = \"user\"\ncalls = 1\nseconds = 0",
                "period of a limit",
            ),
            ("per = \"user\"\nat_once = 0", "no call at once"),
            ("per = \"user\"\ndaily_calls = 0", "daily budget"),
            ("per = \"user\"\nat_once = 1\ntier = \"T9\"", "no tier"),
            ("per = \"user\"\nat_once = 1\ntool = \"a b\"", ""),
            ("per = \"planet\"\nat_once = 1", "unknown variant"),
            ("per = \"user\"\nat_once = 1\nburst = 1", "unknown field"),
            ("per = \"address\"\nat_once = 1", "before a token"),
            (
                "per = \"user\"\nat_once = 1\n[rate.x]\ncalls = 1\nseconds = 1",
                "two limits",
            ),
            (
                "per = \"user\"\nat_once = 1\n[[limit]]\nname = \"x\"\nper = \"user\"\nat_once = 1",
                "two limits",
            ),
        ] {
            let text = format!("[[limit]]\nname = \"x\"\n{wrong}\n");
            let ConfigError::Invalid { problems } = parse(&text).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line.is_some_and(|line| line > 6) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
        assert!(parse("[limits]\nrequests_in_flight_max = 0\n").is_err());
        assert!(parse("[limits]\nsome = 0\n").is_err());
    }
}
