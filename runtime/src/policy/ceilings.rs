//! What annotations of deciding rules bound: how long a consent lasts, how high a tier goes and how low, how fast, which data,
//! how much of the web.
//!
//! Every permit that holds for a call sets its bounds; together the strictest counts. A bound never allows anything.

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy};

use super::schema::action_name;
use crate::capability::{Capability, Http, HttpBudget, Tier};
use crate::protect::Class;

/// Longest consent that a rule can name: longer than any tier may last, and short enough to count with.
const CONSENT_DAYS_MAX: u32 = 3_650;

/// The bounds of one or several rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Days that a consent lasts at most; zero is one call.
    pub consent_days: Option<u32>,
    /// The highest tier of a capability.
    pub tier: Option<Tier>,
    /// The tier that a capability has at least, whatever we compute.
    pub tier_min: Option<Tier>,
    /// Classes of rate limits, all of which count.
    pub rates: BTreeSet<String>,
    /// Classes of data that the tool may be given, where a rule names them.
    pub data: Option<BTreeSet<Class>>,
    /// How much of each grant of `http` one call may use.
    pub http: HttpBudget,
}

impl Ceilings {
    /// The strictest of both.
    pub fn meet(&self, other: &Self) -> Self {
        Self {
            consent_days: strictest(self.consent_days, other.consent_days),
            tier: strictest(self.tier, other.tier),
            // The higher a tier is, the stricter it is asked about.
            tier_min: self.tier_min.max(other.tier_min),
            rates: self.rates.union(&other.rates).cloned().collect(),
            data: match (&self.data, &other.data) {
                (Some(a), Some(b)) => Some(a & b),
                (one, other) => one.as_ref().or(other.as_ref()).cloned(),
            },
            http: self.http.meet(&other.http),
        }
    }

    /// Whether a capability stays within them.
    pub fn allows(&self, capability: &Capability) -> bool {
        let within = match (capability.as_data(), &self.data) {
            (Some(class), Some(named)) => named.contains(class),
            (None, _) | (_, None) => true,
        };
        within && self.allows_tier(capability.tier())
    }

    /// What is left of a capability within them.
    pub fn narrowed(&self, capability: &Capability) -> Option<Capability> {
        let narrow = match capability {
            Capability::Http(http) => Capability::Http(Http {
                budget: Box::new(http.budget.meet(&self.http)),
                ..http.clone()
            }),
            other => other.clone(),
        };
        self.allows(capability).then_some(narrow)
    }

    /// What a capability of this tier by itself is treated as.
    pub fn raised(&self, tier: Tier) -> Tier {
        self.tier_min.map_or(tier, |lowest| tier.max(lowest))
    }

    /// Whether a capability of this tier by itself stays below, as it is treated.
    pub(super) fn allows_tier(&self, tier: Tier) -> bool {
        self.tier.is_none_or(|highest| self.raised(tier) <= highest)
    }

    /// Whether nothing can stay below: what is raised to one tier is not within a lower one.
    pub(super) fn exclude_all(&self) -> bool {
        self.tier_min
            .is_some_and(|lowest| !self.allows_tier(lowest))
    }
}

/// For people: what a consent and a capability may be at most.
impl fmt::Display for Ceilings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consent = self.consent_days.map(|days| match days {
            0 => "consent for one call".to_owned(),
            1 => "consent for 1 day".to_owned(),
            days => format!("consent for {days} days"),
        });
        let tier = self.tier.map(|tier| format!("tier {tier:?}"));
        let classes = |what: &str, all: Vec<&str>| format!("{what} {}", all.join(", "));
        let rates = self.rates.iter().map(String::as_str).collect();
        let rates = (!self.rates.is_empty()).then(|| classes("rates", rates));
        let data = self.data.as_ref().map(|data| match data.is_empty() {
            true => "no data".to_owned(),
            false => classes("data", data.iter().map(Class::as_str).collect()),
        });
        let http = (!self.http.is_whole()).then(|| format!("http {}", self.http));
        let all: Vec<_> = [consent, tier, rates, data, http]
            .into_iter()
            .flatten()
            .collect();
        let most = (!all.is_empty()).then(|| format!("at most {}", all.join(" and ")));
        let least = self.tier_min.map(|tier| format!("at least tier {tier:?}"));
        match (most, least) {
            (None, None) => out.write_str("no bound"),
            (Some(one), None) | (None, Some(one)) => out.write_str(&one),
            (Some(most), Some(least)) => write!(out, "{most}, {least}"),
        }
    }
}

fn strictest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// What is wrong with an annotation, and how to mend it.
pub(super) type Wrong = (String, &'static str);

/// The bounds that a rule sets, and what is wrong with its annotations.
pub(super) fn read(policy: &Policy) -> (Ceilings, Vec<Wrong>) {
    let (mut ceilings, mut wrong) = (Ceilings::default(), Vec::new());
    let mut bounds = false;
    for (name, value) in policy.annotations() {
        let read = match name {
            "max_consent" => consent(value).map(|longest| ceilings.consent_days = Some(longest)),
            "max_tier" => tier(value).map(|highest| ceilings.tier = Some(highest)),
            "min_tier" => match tier(value) {
                Ok(Tier::T0) | Err(_) => Err("write `T1`, `T2` or `T3`"),
                Ok(lowest) => {
                    ceilings.tier_min = Some(lowest);
                    Ok(())
                }
            },
            "rate" => classes(value).map(|all| ceilings.rates = all),
            "data" => data(value).map(|all| ceilings.data = Some(all)),
            "max_http" => http(value).map(|budget| ceilings.http = budget),
            "id" | "description" | "log_only" => continue,
            unknown => {
                let help = "use `@id`, `@description`, `@max_consent`, `@max_tier`, `@min_tier`, `@rate`, `@data`, `@max_http` and `@log_only`";
                wrong.push((format!("the annotation `@{unknown}` is unknown"), help));
                continue;
            }
        };
        bounds = true;
        if let Err(help) = read {
            wrong.push((
                format!("`@{name}(\"{value}\")` is not a bound that we keep"),
                help,
            ));
        }
    }
    if bounds && policy.effect() == Effect::Forbid {
        let message = "a `forbid` allows nothing that could be bounded".to_owned();
        wrong.push((message, "put the bound on the `permit`"));
    }
    if bounds && is_only_about(policy, "list") {
        let message = "a rule about listing allows nothing that could be bounded".to_owned();
        wrong.push((message, "put the bound on a rule about `call` or `use`"));
    }
    // A capability is used in a call, and what the tool is given is the call's.
    if ceilings.data.is_some() && is_only_about(policy, "use") {
        let message =
            "`@data` bounds what a call is given, and this rule allows no call".to_owned();
        wrong.push((message, "put it on the `permit` of the `call`"));
    }
    (ceilings, wrong)
}

/// Whether a rule is about this action and nothing else.
pub(super) fn is_only_about(policy: &Policy, action: &str) -> bool {
    let is = |uid: &EntityUid| action_name(uid) == Some(action);
    match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => is(&uid),
        ActionConstraint::In(uids) => uids.iter().all(is),
    }
}

fn consent(text: &str) -> Result<u32, &'static str> {
    const HELP: &str = "write whole days, `P30D` or `30`, at most 3650, or `once`";
    if text == "once" {
        return Ok(0);
    }
    let iso = text
        .strip_prefix('P')
        .and_then(|rest| rest.strip_suffix('D'));
    let digits = iso.unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let days = digits.parse::<u32>().ok().filter(|_| plain);
    match days.filter(|days| (1..=CONSENT_DAYS_MAX).contains(days)) {
        Some(days) => Ok(days),
        None => Err(HELP),
    }
}

fn tier(text: &str) -> Result<Tier, &'static str> {
    text.parse().map_err(|_| "write `T0`, `T1`, `T2` or `T3`")
}

/// `none`, or classes with commas between them. Whether they exist is looked up where the configuration is known.
fn data(text: &str) -> Result<BTreeSet<Class>, &'static str> {
    if text == "none" {
        return Ok(BTreeSet::new());
    }
    let all = text.split(',').map(|one| one.trim().parse());
    all.collect::<Result<_, _>>()
        .map_err(|_| "write classes of data with commas between them, or `none`")
}

fn http(text: &str) -> Result<HttpBudget, &'static str> {
    let budget = HttpBudget::of_words(text.split(' '));
    budget.map_err(|_| {
        "write some of `requests`, `send`, `receive`, `ms` and `parallel` in this order, such as `requests=5 send=65536`, each below what every call has"
    })
}

fn classes(text: &str) -> Result<BTreeSet<String>, &'static str> {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let all: Vec<&str> = text.split(',').map(str::trim).collect();
    if all.iter().all(|one| word(one)) {
        Ok(all.into_iter().map(str::to_owned).collect())
    } else {
        Err("write names with commas between them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &str) -> (Ceilings, Vec<Wrong>) {
        let text = format!("{annotations} permit(principal, action, resource);");
        read(&text.parse().unwrap())
    }

    #[test]
    fn bounds_are_read_and_anything_else_is_wrong() {
        let consent = |text: &str| of(&format!("@max_consent(\"{text}\")"));
        assert_eq!(consent("P30D").0.consent_days, Some(30));
        assert_eq!(consent("7").0.consent_days, Some(7));
        assert_eq!(consent("once").0.consent_days, Some(0));
        for bad in [
            "",
            "P",
            "PD",
            "0",
            "P0D",
            "P1M",
            "PT1H",
            "-1",
            "+1",
            "P1.5D",
            "1 day",
            "99999999999",
            "3651",
            "p1d",
            "¹",
        ] {
            assert!(!consent(bad).1.is_empty(), "{bad}");
        }
        assert_eq!(of("@max_tier(\"T1\")").0.tier, Some(Tier::T1));
        let web = |text: &str| of(&format!("@max_http(\"{text}\")"));
        assert_eq!(
            web("requests=5 send=9").0.http.to_string(),
            "requests=5 send=9"
        );
        for bad in [
            "",
            "requests",
            "requests=0",
            "requests=20",
            "send=9 requests=5",
            "GET",
        ] {
            assert!(!web(bad).1.is_empty(), "{bad}");
        }
        for bad in ["", "1", "t1", "T4", "T1 "] {
            assert!(!of(&format!("@max_tier(\"{bad}\")")).1.is_empty(), "{bad}");
            assert!(!of(&format!("@min_tier(\"{bad}\")")).1.is_empty(), "{bad}");
        }
        let data = of("@data(\"card, iban\")").0.data.unwrap();
        assert!(data.iter().map(Class::as_str).eq(["card", "iban"]));
        assert_eq!(of("@data(\"none\")").0.data, Some(BTreeSet::new()));
        for bad in ["", "card,", "Card", "a b"] {
            assert!(!of(&format!("@data(\"{bad}\")")).1.is_empty(), "{bad}");
        }
        assert_eq!(of("@min_tier(\"T3\")").0.tier_min, Some(Tier::T3));
        assert!(!of("@min_tier(\"T0\")").1.is_empty(), "it raises nothing");
        let rates = of("@rate(\"writes, daily\")").0.rates;
        assert!(rates.iter().eq(["daily", "writes"]));
        assert!(of("@rate(\"a b\")").1[0].1.contains("commas"));
        assert!(of("@max_teir(\"T1\")").1[0].0.contains("unknown"));
        assert!(of("@id(\"a\") @description(\"b\")").1.is_empty());
        for useless in [
            "@max_tier(\"T1\") forbid(principal, action, resource);",
            "@min_tier(\"T3\") forbid(principal, action, resource);",
            "@min_tier(\"T3\") permit(principal, action == Action::\"list\", resource);",
            "@max_tier(\"T1\") permit(principal, action == Action::\"list\", resource);",
            "@data(\"email\") permit(principal, action == Action::\"use\", resource);",
        ] {
            assert_eq!(read(&useless.parse().unwrap()).1.len(), 1, "{useless}");
        }
    }

    #[test]
    fn together_the_strictest_counts() {
        let set = |all: &[&str]| {
            all.iter()
                .map(|one| (*one).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let a = Ceilings {
            consent_days: Some(1),
            tier: Some(Tier::T2),
            tier_min: Some(Tier::T1),
            rates: set(&["a"]),
            data: Some(data("x,y").unwrap()),
            http: http("requests=5 ms=9").unwrap(),
        };
        let b = Ceilings {
            consent_days: Some(2),
            tier: Some(Tier::T1),
            tier_min: None,
            rates: set(&["b"]),
            data: Some(data("y,z").unwrap()),
            http: http("requests=3 send=7").unwrap(),
        };
        let both = Ceilings {
            consent_days: Some(1),
            tier: Some(Tier::T1),
            tier_min: Some(Tier::T1),
            rates: set(&["a", "b"]),
            data: Some(data("y").unwrap()),
            http: http("requests=3 send=7 ms=9").unwrap(),
        };
        assert_eq!(a.meet(&b), both);
        assert_eq!(b.meet(&a), both);
        assert_eq!(a.meet(&Ceilings::default()), a);
        assert_eq!(a.meet(&a), a);
        let allows =
            |bounds: &Ceilings, capability: &str| bounds.allows(&capability.parse().unwrap());
        assert!(allows(&a, "files write notes") && !allows(&both, "files write notes"));
        assert!(allows(&a, "data x") && !allows(&both, "data x") && allows(&both, "data y"));
        assert!(allows(&Ceilings::default(), "data x"));
        let narrowed = |capability: &str| both.narrowed(&capability.parse().unwrap());
        let left = narrowed("http GET a.example / send=9").unwrap();
        assert_eq!(
            left.to_string(),
            "http GET a.example / requests=3 send=7 ms=9"
        );
        assert_eq!(narrowed("http POST a.example /"), None, "above the tier");
        assert_eq!(narrowed("clock").unwrap().to_string(), "clock");
    }

    #[test]
    fn a_raised_tier_only_rises_and_counts_against_the_highest() {
        let raised = |text: &str| of(text).0;
        let two = raised("@min_tier(\"T2\")");
        assert_eq!(two.raised(Tier::T0), Tier::T2);
        assert_eq!(two.raised(Tier::T3), Tier::T3);
        assert_eq!(
            two.meet(&raised("@min_tier(\"T3\")")).raised(Tier::T1),
            Tier::T3
        );
        assert!(two.allows_tier(Tier::T1) && !two.exclude_all());
        let none = two.meet(&raised("@max_tier(\"T1\")"));
        assert!(!none.allows_tier(Tier::T0) && none.exclude_all());
        assert_eq!(none.to_string(), "at most tier T1, at least tier T2");
    }
}
