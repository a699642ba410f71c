//! What the records of a user mean for one call. Pure: records in, plan out.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::question::longest;
use super::{DENIAL_TTL, REFUSED_TWICE_TTL, TOUCH_EVERY, UsedRecord};
use crate::capability::{Capability, CapabilitySet, Tier};
use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::policy::Permit;
use crate::store::{Channel, ConsentRow, ConsentState, Pinned, Scope};

/// One thing that a call wants and that the user must agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) capability: Capability,
    /// How it is consented to: by what it does, or more strictly by rules.
    pub(super) tier: Tier,
    pub(super) optional: bool,
    pub(super) reason: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// The call goes on with this.
    Go(Agreed),
    /// The user is asked for these, none of which the tool must have. The call can go on without.
    Offer { without: Agreed, asked: Vec<Wanted> },
    /// The user refused a short while ago.
    Denied { again_from: Timestamp },
    /// The user is asked for these.
    Ask(Vec<Wanted>),
}

/// What records agree to. The call goes on with it once the records for one call are used up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) capabilities: CapabilitySet,
    pub(super) records: Vec<UsedRecord>,
    pub(super) consume: Vec<Uuid>,
    /// Of the rest, what was not noted to be used for a while.
    pub(super) touch: Vec<Uuid>,
}

/// The permitted part of the tool's needs that is not free: what policy denies is never asked.
pub(super) fn wanted(permit: &Permit) -> Vec<Wanted> {
    let mut all: BTreeMap<Capability, Wanted> = BTreeMap::new();
    for need in permit.tool().needs() {
        let permitted = &need.capabilities & permit.allowed();
        for capability in permitted.iter() {
            let tier = permit.tier(capability);
            if tier == Tier::T0 {
                continue;
            }
            let wanted = Wanted {
                capability: capability.clone(),
                tier,
                optional: need.optional,
                reason: need.reason.clone(),
            };
            all.entry(capability.clone())
                .and_modify(|same| same.optional &= need.optional)
                .or_insert(wanted);
        }
    }
    all.into_values().collect()
}

/// The part of a permit that needs no consent.
pub(super) fn free(permit: &Permit) -> CapabilitySet {
    let free = |one: &&Capability| permit.tier(one) == Tier::T0;
    permit.allowed().iter().filter(free).cloned().collect()
}

/// Whether an agreement serves this tool with these arguments, as it is now. `tier` is how its capability is consented to now,
/// whatever it was when it was agreed to.
fn serves(
    row: &ConsentRow,
    tier: Tier,
    pinned: &Pinned,
    arguments: Digest,
    now: Timestamp,
) -> bool {
    // A publisher is a claim until packages are signed, and anybody can copy a definition. So nobody inherits the right
    // to write or to send out but the very build that the user agreed to; reading goes with the tool and its publisher.
    let same_build = row.pinned.component == pinned.component;
    let tier_allows = match tier {
        Tier::T0 | Tier::T1 => true,
        Tier::T2 => same_build,
        Tier::T3 => same_build && row.scope == Scope::Once && row.arguments.is_some(),
    };
    // The operator agrees to no more than reading in somebody's stead, whatever the record says.
    let may_agree = row.channel == Channel::Page || tier <= Tier::T1;
    // What rules raised since is agreed to for no longer than its tier lets.
    let short_enough = row.scope == Scope::Once
        || longest(tier).is_some_and(|longest| row.decided_at.plus(longest) > now);
    row.state == ConsentState::Active
        && may_agree
        && short_enough
        && row.not_before.is_none_or(|from| from <= now)
        && row.expires_at > now
        && row.idle_expires_at.is_none_or(|lapses| lapses > now)
        && row.arguments.is_none_or(|bound| bound == arguments)
        && tier_allows
}

/// Whether it is good for a number of calls, each of which is counted.
fn is_counted(row: &ConsentRow) -> bool {
    row.scope == Scope::Once || row.uses_max.is_some()
}

/// Until when a denial keeps us from asking for this.
fn quiet_until(denial: &ConsentRow, want: &Wanted) -> Timestamp {
    let quiet = denial.expires_at.since(denial.decided_at);
    if want.optional || quiet <= REFUSED_TWICE_TTL {
        denial.expires_at
    } else {
        // It was a denial of something optional, for a long time, and now the tool does not run without.
        denial.decided_at.plus(DENIAL_TTL)
    }
}

/// What these records mean for a call that wants this. `tier` says how a capability is consented to.
pub(super) fn plan(
    wanted: &[Wanted],
    rows: &[ConsentRow],
    tier: impl Fn(&Capability) -> Tier,
    pinned: &Pinned,
    arguments: Digest,
    now: Timestamp,
) -> Plan {
    let serving = |counted: bool| {
        let tier = &tier;
        rows.iter().filter(move |row| {
            let tier = tier(&row.capability);
            is_counted(row) == counted && serves(row, tier, pinned, arguments, now)
        })
    };
    let standing: CapabilitySet = serving(false).map(|row| row.capability.clone()).collect();
    // What is good for a number of calls is used where nothing else serves.
    let mut counted: Vec<&ConsentRow> = Vec::new();
    let mut open = Vec::new();
    for want in wanted {
        let covers = |row: &&ConsentRow| want.capability.within(&row.capability);
        if standing.covers(&want.capability) || counted.iter().any(covers) {
            continue;
        }
        match serving(true).find(covers) {
            Some(row) => counted.push(row),
            None => open.push(want),
        }
    }

    let denied = |want: &Wanted| {
        rows.iter()
            .filter(|row| row.state == ConsentState::Denied)
            // What was refused with some arguments may be asked with others.
            .filter(|row| row.arguments.is_none_or(|bound| bound == arguments))
            .filter(|row| row.capability.meet(&want.capability).is_some())
            .map(|row| quiet_until(row, want))
            .filter(|until| *until > now)
            .max()
    };
    let mut ask = false;
    let mut again_from = None;
    for want in open.iter().filter(|want| !want.optional) {
        match denied(want) {
            // A tool that grew keeps what it had: the call goes on at the old size.
            Some(_) if standing.touches(&want.capability) => {}
            Some(until) => again_from = again_from.max(Some(until)),
            None => ask = true,
        }
    }
    if let Some(again_from) = again_from {
        return Plan::Denied { again_from };
    }
    let unanswered = open.into_iter().filter(|want| denied(want).is_none());
    let asked: Vec<_> = unanswered.cloned().collect();
    if ask {
        return Plan::Ask(asked);
    }

    let matters = |row: &&ConsentRow| {
        wanted
            .iter()
            .any(|want| row.capability.meet(&want.capability).is_some())
    };
    let consume: Vec<Uuid> = counted.iter().map(|row| row.id).collect();
    let stale = |row: &&ConsentRow| {
        let used = row.last_used_at;
        used.is_none_or(|used| now.since(used) >= TOUCH_EVERY)
    };
    let agreed = Agreed {
        touch: serving(false)
            .filter(matters)
            .filter(stale)
            .map(|row| row.id)
            .collect(),
        records: serving(false)
            .filter(matters)
            .chain(counted.iter().copied())
            .map(|row| UsedRecord {
                id: row.id,
                capability: row.capability.clone(),
            })
            .collect(),
        capabilities: standing
            .iter()
            .chain(counted.iter().map(|row| &row.capability))
            .cloned()
            .collect(),
        consume,
    };
    if asked.is_empty() {
        Plan::Go(agreed)
    } else {
        // Whatever the tool must have is there, so what is left is optional.
        Plan::Offer {
            without: agreed,
            asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONSENT_T2_MAX;
    use crate::store::{ConsentKey, row_id};

    const NOW: Timestamp = Timestamp(1_000);

    fn pinned() -> Pinned {
        let digest = Digest::of(b"tool");
        Pinned {
            component: digest,
            definition: digest,
            manifest: digest,
        }
    }

    fn row(capability: &str, scope: Scope) -> ConsentRow {
        let digest = Digest::of(b"");
        ConsentRow {
            id: row_id(NOW),
            key: ConsentKey {
                tenant: "acme".parse().unwrap(),
                user: crate::ids::User {
                    issuer: "https://as.test".parse().unwrap(),
                    subject: "alice".parse().unwrap(),
                },
                client: "client-1".parse().unwrap(),
                tool: "notes".parse().unwrap(),
                publisher: "example".parse().unwrap(),
            },
            pinned: pinned(),
            tier: capability.parse::<Capability>().unwrap().tier(),
            capability: capability.parse().unwrap(),
            scope,
            sign_in: None,
            state: ConsentState::Active,
            arguments: None,
            ticket: digest,
            ui: digest,
            acr: None,
            auth_time: None,
            decided_at: NOW,
            not_before: None,
            expires_at: Timestamp(2_000),
            uses_max: None,
            uses: 0,
            last_used_at: None,
            idle_expires_at: None,
            channel: Channel::Page,
            ended_at: None,
            evidence: Default::default(),
            seen: None,
        }
    }

    fn go(rows: &[ConsentRow]) -> bool {
        go_at(rows, Tier::T2, NOW)
    }

    /// The same where the rules have what writes consented to as this tier.
    fn go_at(rows: &[ConsentRow], tier: Tier, now: Timestamp) -> bool {
        let wanted = [Wanted {
            capability: "files write notes".parse().unwrap(),
            tier,
            optional: false,
            reason: String::new(),
        }];
        let arguments = Digest::of(b"{}");
        let tier = |one: &Capability| one.tier().max(tier);
        let plan = plan(&wanted, rows, tier, &pinned(), arguments, now);
        matches!(plan, Plan::Go(_))
    }

    #[test]
    fn what_rules_raise_to_the_highest_tier_is_served_once_with_its_arguments_alone() {
        let standing = row("files write notes", Scope::Until);
        let mut once = row("files write notes", Scope::Once);
        let both = [standing, once.clone()];
        assert!(both.iter().all(|row| go(std::slice::from_ref(row))));
        assert!(!go_at(&both, Tier::T3, NOW));
        once.arguments = Some(Digest::of(b"{}"));
        assert!(go_at(&[once.clone()], Tier::T3, NOW));
        once.pinned.component = Digest::of(b"another build");
        assert!(!go_at(&[once], Tier::T3, NOW));
    }

    #[test]
    fn what_rules_raise_is_agreed_to_no_longer_than_its_tier_lets() {
        let mut read = row("files write notes", Scope::Until);
        read.expires_at = Timestamp(0).plus(CONSENT_T2_MAX * 2);
        let before = Timestamp(NOW.plus(CONSENT_T2_MAX).0 - 1);
        assert!(go_at(&[read.clone()], Tier::T2, before));
        assert!(!go_at(&[read], Tier::T2, NOW.plus(CONSENT_T2_MAX)));
    }

    #[test]
    fn a_consent_serves_from_its_beginning_on() {
        let mut later = row("files write notes", Scope::Until);
        later.not_before = Some(Timestamp(1_500));
        assert!(!go_at(&[later.clone()], Tier::T2, Timestamp(1_499)));
        assert!(go_at(&[later], Tier::T2, Timestamp(1_500)));
    }

    #[test]
    fn a_consent_that_lapsed_unused_serves_nothing() {
        let mut unused = row("files write notes", Scope::Until);
        unused.idle_expires_at = Some(Timestamp(1_500));
        assert!(go_at(&[unused.clone()], Tier::T2, Timestamp(1_499)));
        assert!(!go_at(&[unused], Tier::T2, Timestamp(1_500)));
    }

    /// Whether a call that writes notes, each of which is asked about, asks after this denial.
    fn asks(denied: &ConsentRow) -> bool {
        let wanted = [Wanted {
            capability: "files write notes".parse().unwrap(),
            tier: Tier::T3,
            optional: false,
            reason: String::new(),
        }];
        let rows = std::slice::from_ref(denied);
        let arguments = Digest::of(b"{}");
        let plan = plan(&wanted, rows, |_| Tier::T3, &pinned(), arguments, NOW);
        matches!(plan, Plan::Ask(_))
    }

    #[test]
    fn a_denial_of_something_else_is_none_of_this() {
        for (capability, same) in [
            ("files write notes", true),
            ("files write notes a", true),
            ("files write mail", false),
            ("http GET a.example /", false),
        ] {
            let mut denied = row(capability, Scope::Until);
            denied.state = ConsentState::Denied;
            assert_eq!(asks(&denied), !same, "{capability}");
        }
    }

    #[test]
    fn a_denial_of_some_arguments_is_none_of_others() {
        let mut denied = row("files write notes", Scope::Until);
        denied.state = ConsentState::Denied;
        assert!(!asks(&denied), "a denial of all");
        denied.arguments = Some(Digest::of(b"{}"));
        assert!(!asks(&denied));
        denied.arguments = Some(Digest::of(b"{\"all\":true}"));
        assert!(asks(&denied));
    }

    #[test]
    fn a_consent_bound_to_arguments_serves_no_others() {
        let mut bound = row("files write notes", Scope::Once);
        bound.arguments = Some(Digest::of(b"{}"));
        assert!(go(&[bound.clone()]));
        bound.arguments = Some(Digest::of(b"{\"all\":true}"));
        assert!(!go(&[bound]));
    }

    #[test]
    fn a_smaller_consent_does_not_serve_a_larger_need() {
        assert!(go(&[row("files write notes", Scope::Until)]));
        assert!(!go(&[row("files read notes", Scope::Until)]));
        assert!(!go(&[row("files write notes a", Scope::Until)]));
        assert!(!go(&[row("files write mail", Scope::Until)]));
        assert!(!go(&[]));
    }

    #[test]
    fn a_consent_that_ended_serves_nothing() {
        let good = row("files write notes", Scope::Until);
        for state in [
            ConsentState::Denied,
            ConsentState::Consumed,
            ConsentState::Revoked,
            ConsentState::Superseded,
            ConsentState::Suspended,
        ] {
            let ended = ConsentRow {
                state,
                ..good.clone()
            };
            assert!(!go(&[ended]), "{state:?}");
        }
        let late = ConsentRow {
            expires_at: NOW,
            ..good
        };
        assert!(!go(&[late]));
    }
}
