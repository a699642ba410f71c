//! Where a decision stands, and what became of it: facts, which each language puts into words.

use crate::clock::Timestamp;
use crate::consent::{self, has_begun, is_live, is_revocable};
use crate::store::{Channel, ConsentRow, ConsentState, Ender, Scope};

/// Where a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Allowed for one call before then.
    Once(Timestamp),
    /// Allowed until its user signs out in the browser in which it was given, and until then at most.
    Session(Timestamp),
    /// Allowed from then on until the other.
    Later(Timestamp, Timestamp),
    /// Allowed until then.
    Until {
        end: Timestamp,
        /// Calls that are left, where they are counted.
        left: Option<u32>,
        /// When it ends if nobody uses it, where that is sooner.
        lapses: Option<Timestamp>,
    },
    /// Ended because nobody used it.
    Lapsed,
    /// Its time has passed.
    Passed(Timestamp),
    /// Refused, and asked again after.
    Refused(Timestamp),
    /// Refused for the second time, and not asked before.
    RefusedTwice(Timestamp),
    /// Refused, and may be asked again.
    RefusedOnce,
    /// Allowed for so many calls, which were made.
    CallsMade(u32),
    /// Allowed for one call, which was made and may still run.
    CallRuns,
    /// Allowed for one call, which was made.
    CallMade,
    /// Taken back.
    TakenBack,
    /// Ended when its user signed out.
    SignedOut,
    /// A later decision stands in its place.
    Replaced,
    /// It is suspended, and may hold again.
    Suspended(Suspension),
}

/// Why a consent is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspension {
    /// A tool of another publisher took the name.
    Publisher,
    /// Sign-ins of the client lead back to other hosts.
    Client,
    /// What the client said of itself cannot be read any more.
    ClientGone,
}

impl Suspension {
    fn of(row: &ConsentRow) -> Self {
        match row.evidence.ended_by {
            Some(Ender::Client) => Self::Client,
            Some(Ender::ClientGone) => Self::ClientGone,
            Some(Ender::Publisher | Ender::User | Ender::Operator | Ender::SignOut) | None => {
                Self::Publisher
            }
        }
    }
}

impl Standing {
    pub(super) fn of(row: &ConsentRow, now: Timestamp) -> Self {
        let live = is_live(row, now);
        let end = row.expires_at;
        match (row.state, row.scope) {
            (ConsentState::Active, Scope::Once) if live => Self::Once(end),
            (ConsentState::Active, Scope::Session) if live => Self::Session(end),
            (ConsentState::Active, Scope::Until) if live && !has_begun(row, now) => {
                Self::Later(row.not_before.unwrap_or(now), end)
            }
            (ConsentState::Active, Scope::Until) if live => Self::Until {
                end,
                left: row.uses_max.map(|max| max.saturating_sub(row.uses)),
                lapses: row.idle_expires_at.filter(|lapses| *lapses < end),
            },
            (ConsentState::Active, _) if end > now => Self::Lapsed,
            (ConsentState::Active, _) => Self::Passed(end),
            (ConsentState::Denied, _)
                if live && end.since(row.decided_at) == consent::REFUSED_TWICE_TTL =>
            {
                Self::RefusedTwice(end)
            }
            (ConsentState::Denied, _) if live => Self::Refused(end),
            (ConsentState::Denied, _) => Self::RefusedOnce,
            (ConsentState::Consumed, Scope::Session | Scope::Until) => Self::CallsMade(row.uses),
            (ConsentState::Consumed, Scope::Once) if is_revocable(row, now) => Self::CallRuns,
            (ConsentState::Consumed, Scope::Once) => Self::CallMade,
            (ConsentState::Revoked, _) if row.evidence.ended_by == Some(Ender::SignOut) => {
                Self::SignedOut
            }
            (ConsentState::Revoked, _) => Self::TakenBack,
            (ConsentState::Superseded, _) => Self::Replaced,
            (ConsentState::Suspended, _) => Self::Suspended(Suspension::of(row)),
        }
    }
}

/// Something that happened to a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened<'a> {
    /// It was allowed.
    Allowed {
        by_operator: bool,
        scope: Scope,
        /// From when on, where that was not at once.
        from: Option<Timestamp>,
        end: Timestamp,
        /// Calls at most, where they are counted.
        calls: Option<u32>,
    },
    /// It was refused.
    Refused { again: Timestamp },
    /// It was used, this time the last.
    Used { times: Option<u32> },
    /// It was used with another build of the tool from then on.
    ToolChanged { version: &'a str },
    /// Its one call was made.
    CallMade,
    /// All its calls were made.
    CallsMade(u32),
    /// Its user took it back.
    TakenBack,
    /// The operator took it back.
    TakenBackByOperator,
    /// Its user signed out in the browser in which it was given.
    SignedOut,
    /// It was used through a client that is not what it was from then on.
    ClientChanged,
    /// It was suspended.
    Suspended(Suspension),
    /// A later decision stands in its place.
    Replaced,
    /// Nobody used it.
    Lapsed,
    /// Its time passed.
    Passed,
}

impl<'a> Happened<'a> {
    /// What happened to a decision until `now`, the first first.
    pub(super) fn to(row: &'a ConsentRow, now: Timestamp) -> Vec<(Timestamp, Self)> {
        let decided = if row.evidence.refused {
            Self::Refused {
                again: row.expires_at,
            }
        } else {
            Self::Allowed {
                by_operator: row.channel == Channel::Operator,
                scope: row.scope,
                from: row.not_before,
                end: row.expires_at,
                calls: row.uses_max,
            }
        };
        let mut all = vec![(row.decided_at, decided)];
        if let Some(seen) = &row.seen {
            let version = &seen.version;
            all.push((seen.at, Self::ToolChanged { version }));
        }
        let evidence = &row.evidence;
        if let (Some(then), Some(seen)) = (&evidence.client, &evidence.client_seen)
            && *then != seen.facts
        {
            all.push((seen.at, Self::ClientChanged));
        }
        let used_up = row.state == ConsentState::Consumed;
        if let Some(at) = row.last_used_at.filter(|_| !used_up) {
            let times = row.uses_max.map(|_| row.uses);
            all.push((at, Self::Used { times }));
        }
        all.extend(Self::end(row, now));
        all.sort_by_key(|(at, _)| *at);
        all
    }

    /// How it ended, if it did.
    fn end(row: &ConsentRow, now: Timestamp) -> Option<(Timestamp, Self)> {
        let what = match row.state {
            ConsentState::Active => {
                let lapsed = row.idle_expires_at.filter(|at| *at < row.expires_at);
                let (at, what) = match lapsed {
                    Some(at) if at <= now => (at, Self::Lapsed),
                    Some(_) | None => (row.expires_at, Self::Passed),
                };
                return (at <= now).then_some((at, what));
            }
            ConsentState::Denied => return None,
            ConsentState::Consumed if row.scope == Scope::Once => Self::CallMade,
            ConsentState::Consumed => Self::CallsMade(row.uses),
            ConsentState::Revoked if row.evidence.ended_by == Some(Ender::Operator) => {
                Self::TakenBackByOperator
            }
            ConsentState::Revoked if row.evidence.ended_by == Some(Ender::SignOut) => {
                Self::SignedOut
            }
            ConsentState::Revoked => Self::TakenBack,
            ConsentState::Superseded => Self::Replaced,
            ConsentState::Suspended => Self::Suspended(Suspension::of(row)),
        };
        row.ended_at.map(|at| (at, what))
    }
}
