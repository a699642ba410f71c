//! Which token would do, where nothing but its scopes or the sign-in behind it is missing.
//!
//! Nothing is granted here: the same rules are asked again for a token as the caller might bring.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

use super::ask::{self, Bearing, Question};
use super::{Asking, Caller, Circumstances, Rules, Tool, missing_role, reads};
use crate::clock::Timestamp;
use crate::limits::{STEP_UP_SCOPES_MAX, STEP_UP_SIGN_INS_MAX};

/// What a token must have for a call to be permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// All scopes that the call needs, those that the caller has included: no one of them can be left out.
    pub scopes: Vec<String>,
    /// The sign-in that it needs; none where the caller's own suffices.
    pub sign_in: Option<SignIn>,
}

/// A sign-in that would do (RFC 9470).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignIn {
    /// The values of `acr` any of which would do, the weakest first; none where the caller's own does.
    pub acr: Vec<String>,
    /// How many seconds it may lie back, where the caller's own lies back too far.
    pub max_age_secs: Option<u64>,
}

/// A sign-in at some time, for questions that know no time: the last second that has a date of four digits in its year.
const SOME_TIME_SECS: i64 = 253_402_300_799;

/// After a sign-in of this moment a client needs so long to call again, in seconds.
const RETURN_SECS: i64 = 60;

/// What rules name of what a token says: all that can be tried.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    scopes: BTreeSet<String>,
    /// Values of `acr`, if rules read it.
    acr: Option<BTreeSet<String>>,
    /// Seconds, in rules that read `auth_time`.
    ages: Option<BTreeSet<i64>>,
}

impl Named {
    /// What this rule names.
    pub(super) fn by(policy: &Policy) -> Self {
        let mut all = Self::default();
        if let Ok(json) = policy.to_json() {
            collect(&json, &is_scopes, &mut all.scopes);
            if reads(&json, "acr") {
                collect(&json, &is_acr, all.acr.get_or_insert_default());
            }
            if reads(&json, "auth_time") {
                numbers(&json, all.ages.get_or_insert_default());
            }
        }
        all
    }

    /// What another rule names as well.
    pub(super) fn add(&mut self, other: &Self) {
        self.scopes.extend(other.scopes.iter().cloned());
        if let Some(values) = &other.acr {
            let own = self.acr.get_or_insert_default();
            own.extend(values.iter().cloned());
        }
        if let Some(ages) = &other.ages {
            self.ages.get_or_insert_default().extend(ages);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.acr.is_none() && self.ages.is_none()
    }
}

fn is_scopes(expression: &Value) -> bool {
    reads::path_from("principal", expression).is_some_and(|names| names == ["scopes"])
}

fn is_acr(expression: &Value) -> bool {
    reads::path_from("context", expression).is_some_and(|names| names == ["acr"])
}

/// Whether an expression reads this of the context.
fn reads(expression: &Value, name: &str) -> bool {
    let path = reads::path_from("context", expression);
    path.is_some_and(|names| names == [name])
        || match expression {
            Value::Object(members) => members.values().any(|one| reads(one, name)),
            Value::Array(all) => all.iter().any(|one| reads(one, name)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
}

/// Every text that stands beside something of this kind, as its equal or as an element of a set.
fn collect(expression: &Value, is: &dyn Fn(&Value) -> bool, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            let (left, right) = (members.get("left"), members.get("right"));
            match (left, right) {
                (Some(left), Some(right)) if is(left) => texts(right, found),
                (Some(left), Some(right)) if is(right) => texts(left, found),
                _ => {}
            }
            members.values().for_each(|one| collect(one, is, found));
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, is, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every text that an expression writes out.
fn texts(expression: &Value, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => match members.get("Value") {
            Some(Value::String(text)) => {
                found.insert(text.clone());
            }
            _ => members.values().for_each(|one| texts(one, found)),
        },
        Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every number that an expression writes out, and the one below it, for rules that say `<`.
fn numbers(expression: &Value, found: &mut BTreeSet<i64>) {
    match expression {
        Value::Object(members) => match members.get("Value").and_then(Value::as_i64) {
            Some(number) => found.extend([number, number.saturating_sub(1)]),
            None => members.values().for_each(|one| numbers(one, found)),
        },
        Value::Array(all) => all.iter().for_each(|one| numbers(one, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Rules {
    /// The token with which this call would be permitted, where nothing else is missing. Scopes alone are tried first, then
    /// the strength of the sign-in, then its age, then both. Without arguments: some call.
    ///
    /// For a caller to whom the tool is listed; to any other it would tell that the tool exists.
    pub fn step_up(
        &self,
        caller: &Caller,
        tool: &Tool,
        call: Option<Circumstances<'_>>,
    ) -> Option<StepUp> {
        let own = Bearing::of(caller);
        let trying = Trying {
            rules: self,
            caller,
            tool,
            call,
        };
        if !self.is_checked(tool) || missing_role(caller, tool).is_some() || trying.would(own) {
            return None;
        }
        let named = self.policies.about(tool).named.clone();
        if let Some(scopes) = trying.scopes(own, &named) {
            return Some(StepUp {
                scopes,
                sign_in: None,
            });
        }
        // Nobody stands behind the token who could sign in.
        if !caller.has_user() {
            return None;
        }
        let values = trying.values(&named);
        let strong = || {
            let (scopes, acr) = trying.stronger(own, &values, &named)?;
            Some((scopes, acr, None))
        };
        let fresh = || {
            let (scopes, max_age_secs) = trying.fresher(own, &named)?;
            Some((scopes, Vec::new(), max_age_secs))
        };
        let both = || {
            let (scopes, acr) = trying.stronger(trying.fresh(own), &values, &named)?;
            let strong = Bearing {
                acr: acr.first().map(String::as_str),
                ..own
            };
            let (_, max_age_secs) = trying.fresher(strong, &named)?;
            Some((scopes, acr, max_age_secs))
        };
        strong()
            .or_else(fresh)
            .or_else(both)
            .map(|(scopes, acr, max_age_secs)| StepUp {
                scopes,
                sign_in: Some(SignIn { acr, max_age_secs }),
            })
    }

    /// Whether the call would be permitted to a caller with this token, leaving aside the `acr` that the tool's author
    /// demands. Without arguments: whether some call would.
    pub(super) fn would(
        &self,
        caller: &Caller,
        tool: &Tool,
        bearing: Bearing<'_>,
        call: Option<Circumstances<'_>>,
    ) -> bool {
        let asking = Asking {
            caller,
            bearing,
            tool,
            vocabulary: &self.vocabulary,
            now: call.map(|call| call.now),
        };
        let manifest = tool.package().manifest();
        if !manifest
            .requires
            .scopes
            .iter()
            .all(|scope| bearing.scopes.contains(scope))
        {
            return false;
        }
        let said = match call {
            Some(call) => {
                let question = Question::Call(call.arguments);
                ask::ask(
                    &self.policies.about(tool).rules,
                    &self.schemas,
                    &asking,
                    question,
                )
            }
            None => ask::ask(
                &self.could.about(tool).rules,
                &self.schemas,
                &asking,
                Question::CouldCall,
            ),
        };
        // Which rules hold depends on the arguments, and so what they bound: without them, only what bounds every call.
        let mut bounding = said.rules;
        if call.is_none() {
            bounding.retain(|rule| !self.policies.varies(rule));
        }
        let of_call = self.bounds(&bounding);
        let required = tool.needs().filter(|need| !need.optional);
        let mut required = required.flat_map(|need| need.capabilities.iter());
        said.allowed
            && required.all(|capability| {
                let step = match call {
                    Some(_) => {
                        let question = Question::Use(capability);
                        ask::ask(
                            &self.policies.about(tool).rules,
                            &self.schemas,
                            &asking,
                            question,
                        )
                    }
                    None => self.could_use(caller, bearing, tool, capability),
                };
                let bounds = of_call.meet(&self.bounds(&step.rules));
                step.allowed && bounds.allows(capability)
            })
    }
}

/// One call, tried with other tokens.
struct Trying<'a> {
    rules: &'a Rules,
    caller: &'a Caller,
    tool: &'a Tool,
    call: Option<Circumstances<'a>>,
}

impl Trying<'_> {
    fn would(&self, bearing: Bearing<'_>) -> bool {
        let mut demanded = self.tool.package().manifest().requires.acr.iter();
        let reaches = |wanted: &String| {
            let acr = bearing.acr;
            acr.is_some_and(|acr| self.caller.would_reach_acr(acr, wanted))
        };
        demanded.all(reaches) && self.rules.would(self.caller, self.tool, bearing, self.call)
    }

    /// The scopes that the call needs with this sign-in; none if no scopes would do.
    fn scopes(&self, bearing: Bearing<'_>, of_rules: &Named) -> Option<Vec<String>> {
        let own = bearing.scopes;
        let would = |scopes: &BTreeSet<String>| self.would(Bearing { scopes, ..bearing });
        let requires = &self.tool.package().manifest().requires.scopes;
        let demanded: BTreeSet<String> = requires.iter().cloned().collect();
        let named: BTreeSet<String> = of_rules.scopes.union(&demanded).cloned().collect();
        if named.len() > STEP_UP_SCOPES_MAX {
            return None;
        }
        let with = |more: &BTreeSet<String>| own.union(more).cloned().collect();
        let one_more = named.iter().map(|scope| {
            let mut more = demanded.clone();
            more.insert(scope.clone());
            more
        });
        // The fewest first: what the author demands, that and one more, and only then all that rules name.
        let mut candidates = [demanded.clone()]
            .into_iter()
            .chain(one_more)
            .chain([named.clone()]);
        let enough: BTreeSet<String> = candidates.find(|more| would(&with(more)))?;
        // Then away with each that the call does not need, those among them that the caller has.
        let mut needed: BTreeSet<String> = with(&enough);
        for scope in named.iter().rev() {
            if needed.remove(scope) && !would(&needed) {
                needed.insert(scope.clone());
            }
        }
        needed.retain(|scope| named.contains(scope));
        needed.extend(self.caller.scopes_always().iter().cloned());
        Some(needed.into_iter().collect())
    }

    /// The values of `acr` that a better sign-in could have: those of the issuer's order; without one, those that rules and
    /// the author name.
    fn values(&self, named: &Named) -> Vec<String> {
        let demanded = &self.tool.package().manifest().requires.acr;
        if named.acr.is_none() && demanded.is_none() {
            return Vec::new();
        }
        let order = self.caller.acr_order();
        let mut all: Vec<String> = match order.is_empty() {
            false => order.to_vec(),
            true => {
                let named = named.acr.iter().flatten();
                let all: BTreeSet<_> = named.chain(demanded).cloned().collect();
                all.into_iter().collect()
            }
        };
        // A list with spaces between its values can say no other (RFC 9470 §3).
        let is_word = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        all.retain(|one| !one.is_empty() && one.bytes().all(is_word));
        all.truncate(STEP_UP_SIGN_INS_MAX);
        all
    }

    /// Whether the call would be permitted with this sign-in and some scopes: those that it surely needs, or all.
    fn could(&self, bearing: Bearing<'_>, named: &Named) -> bool {
        let demanded = self.tool.package().manifest().requires.scopes.iter();
        let least: BTreeSet<String> = bearing.scopes.iter().chain(demanded).cloned().collect();
        let most: BTreeSet<String> = least.union(&named.scopes).cloned().collect();
        let mut all = [&least, &most].into_iter();
        all.any(|scopes| self.would(Bearing { scopes, ..bearing }))
    }

    /// With which scopes a stronger sign-in would do, and the values of `acr` any of which is strong enough.
    fn stronger(
        &self,
        bearing: Bearing<'_>,
        values: &[String],
        named: &Named,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let mut tried = values.iter().map(|acr| Bearing {
            acr: Some(acr),
            ..bearing
        });
        let first = tried.find(|one| self.could(*one, named))?;
        let scopes = self.scopes(first, named)?;
        let all: BTreeSet<String> = bearing.scopes.iter().chain(&scopes).cloned().collect();
        let would = |acr: &str| {
            self.would(Bearing {
                scopes: &all,
                acr: Some(acr),
                ..bearing
            })
        };
        let acr = values.iter().filter(|acr| would(acr)).cloned().collect();
        Some((scopes, acr))
    }

    /// With a sign-in of this moment.
    fn fresh<'b>(&self, bearing: Bearing<'b>) -> Bearing<'b> {
        let some_time = Timestamp::from_secs(SOME_TIME_SECS);
        let now = self.call.map_or(some_time, |call| call.now);
        Bearing {
            auth_time: Some(now),
            ..bearing
        }
    }

    /// With which scopes a fresher sign-in would do, and how many seconds it may lie back. Where no time is known, that is
    /// not known either.
    fn fresher(&self, bearing: Bearing<'_>, named: &Named) -> Option<(Vec<String>, Option<u64>)> {
        let ages = named.ages.as_ref()?;
        let fresh = self.fresh(bearing);
        let scopes = self.scopes(fresh, named)?;
        let Some(call) = self.call else {
            return Some((scopes, None));
        };
        let all: BTreeSet<String> = bearing.scopes.iter().chain(&scopes).cloned().collect();
        let lies_back = |secs: i64| {
            self.would(Bearing {
                scopes: &all,
                auth_time: Some(Timestamp::from_secs(call.now.secs().saturating_sub(secs))),
                ..bearing
            })
        };
        let longest_first = ages.iter().rev().filter(|secs| **secs > 0);
        let mut tried = longest_first.take(STEP_UP_SIGN_INS_MAX).copied();
        let found = tried.find(|secs| lies_back(*secs));
        // Otherwise a sign-in of this moment must at least still be good when its token is brought.
        let secs = found.or_else(|| {
            let later = Trying {
                call: Some(Circumstances {
                    now: Timestamp::from_secs(call.now.secs().saturating_add(RETURN_SECS)),
                    ..call
                }),
                ..*self
            };
            let returning = Bearing {
                scopes: &all,
                ..fresh
            };
            later.would(returning).then_some(0)
        });
        Some((scopes, Some(u64::try_from(secs?).ok()?)))
    }
}
