//! The answer of a user: checked, bounded, recorded.

use std::time::Duration;

use uuid::Uuid;

use super::question::{Asked, Shown};
use super::{
    CALLS_MAX, Consents, IDLE_TTL, Question, REFUSED_TWICE_TTL, T3_TTL, TicketError, TicketId,
    proven,
};
use crate::audit::{Event, EventKind};
use crate::capability::{Capability, Tier};
use crate::clock::Timestamp;
use crate::ids::{Digest, TenantUser};
use crate::limits::SIGN_IN_TTL;
use crate::store::{
    Applied, Change, Channel, ConsentRow, ConsentState, Decision, Evidence, Scope, TicketRow,
    row_id,
};

/// What a user decides about one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it is about.
    pub capability: Capability,
    /// What the user decides.
    pub choice: Choice,
}

/// What a user can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Allow one call.
    Once,
    /// Allow every call until the user signs out in this browser, or until then.
    Session {
        /// The sign-in, as the browser's session says.
        sign_in: Digest,
        /// When the session ends in any case.
        end: Timestamp,
    },
    /// Allow every call until then, or for as long as its tier allows.
    Until(Timestamp),
    /// The same, for so many calls at most.
    Times(u32, Timestamp),
    /// Refuse.
    Deny,
}

/// How the user had signed in who answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInFacts {
    /// `acr` of the ID token.
    pub acr: Option<String>,
    /// `amr` of the ID token.
    pub amr: Vec<String>,
    /// `auth_time` of the ID token.
    pub auth_time: Option<Timestamp>,
}

impl SignInFacts {
    /// Whether what is of tier T3 can be allowed now: the user signed in just now, and the issuer says how.
    pub fn suffices(&self, now: Timestamp) -> Result<(), TicketError> {
        if self.acr.is_none() {
            // Whoever signs in again comes back without it.
            return Err(TicketError::NoAcr);
        }
        let recent = |at: Timestamp| at <= now && now.since(at) <= T3_TTL;
        match self.auth_time.is_some_and(recent) {
            true => Ok(()),
            false => Err(TicketError::FreshSignIn),
        }
    }
}

/// What the user had in front of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFacts {
    /// SHA-256 of the page as it was sent: every byte of the document, the token of its form among them.
    pub digest: Digest,
    /// Its language, as BCP 47 writes it.
    pub locale: &'static str,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Whether all was allowed without which the tool does not run.
    pub allowed: bool,
    /// The records that were made, denials among them.
    pub records: Vec<Uuid>,
}

impl Consents {
    /// Answers a question, once. What is asked and not answered is denied.
    pub async fn decide(
        &self,
        id: &TicketId,
        signed_in: &TenantUser,
        answers: &[Answer],
        page: PageFacts,
        sign_in: &SignInFacts,
        now: Timestamp,
    ) -> Result<Decided, TicketError> {
        let row = self.open_row(id, signed_in, now).await?;
        let refused_before = self.refused_before(&row.key, now).await?;
        let arguments = self.arguments.of(row.id_hash);
        let question = Question::of(row.clone(), refused_before, arguments)?;
        let shown = Shown::from_row(&row)?;
        let client = shown.client_text();
        let context = Context {
            refused_before,
            row: &row,
            page,
            sign_in,
            evidence: Evidence {
                by: Some(signed_in.user.clone()),
                amr: sign_in.amr.clone(),
                locale: Some(page.locale.to_owned()),
                ..shown.evidence()
            },
            now,
        };
        let decided = context.records(&question, answers)?;
        let allowed = question
            .asked
            .iter()
            .filter(|asked| !asked.optional)
            .all(|asked| {
                decided.iter().any(|record| {
                    record.state == ConsentState::Active && record.capability == asked.capability
                })
            });
        let ids = decided.iter().map(|record| record.id).collect();
        let in_sign_in = decided.iter().any(|record| record.sign_in.is_some());
        let events = events(&row, &decided, page);
        let change = Change::Decide(Decision {
            ticket: row.id_hash,
            who: signed_in.clone(),
            at: now,
            allowed,
            records: decided,
            client,
        });
        match self.audit.commit(change, events).await? {
            Applied::Done => {
                let meters = self.audit.meters();
                meters.decided(now.since(row.created_at));
                self.arguments.forget(row.id_hash);
                // What it replaces has ended, also for calls that run on it. The answer counts either way.
                if let Err(error) = self.recheck(signed_in, now).await {
                    tracing::error!(%error, "what an answer replaced cannot be read; calls that stand on consents are stopped");
                }
                Ok(Decided {
                    allowed,
                    records: ids,
                })
            }
            // Somebody was faster, in another window: say what became of the question, or of the sign-in.
            Applied::Refused | Applied::Existing(_) => {
                self.open_row(id, signed_in, now).await?;
                Err(match in_sign_in {
                    true => TicketError::SignedOut,
                    false => TicketError::Unknown,
                })
            }
        }
    }
}

/// What every record of one answer has in common.
struct Context<'a> {
    row: &'a TicketRow,
    page: PageFacts,
    sign_in: &'a SignInFacts,
    evidence: Evidence,
    /// Whether the user refused this tool a short while ago.
    refused_before: bool,
    now: Timestamp,
}

impl Context<'_> {
    fn records(
        &self,
        question: &Question,
        answers: &[Answer],
    ) -> Result<Vec<ConsentRow>, TicketError> {
        for (n, answer) in answers.iter().enumerate() {
            let about = |other: &Answer| other.capability == answer.capability;
            let asked = question
                .asked
                .iter()
                .any(|asked| asked.capability == answer.capability);
            if !asked || answers.iter().take(n).any(about) {
                return Err(TicketError::NotAsked {
                    capability: answer.capability.to_string(),
                });
            }
        }
        question
            .asked
            .iter()
            .map(|asked| {
                let choice = answers
                    .iter()
                    .find(|answer| answer.capability == asked.capability)
                    .map_or(Choice::Deny, |answer| answer.choice);
                self.record(asked, choice)
            })
            .collect()
    }

    fn record(&self, asked: &Asked, choice: Choice) -> Result<ConsentRow, TicketError> {
        let (scope, state, expires_at) = match choice {
            Choice::Deny => (
                Scope::Until,
                ConsentState::Denied,
                self.now.plus(self.quiet(asked)),
            ),
            Choice::Once => (
                Scope::Once,
                ConsentState::Active,
                self.now.plus(asked.waits()),
            ),
            Choice::Until(date) | Choice::Times(_, date) => {
                let end = self.end(asked, date)?;
                (Scope::Until, ConsentState::Active, end)
            }
            Choice::Session { end, .. } => {
                let end = self.end(asked, end.min(self.now.plus(SIGN_IN_TTL)))?;
                (Scope::Session, ConsentState::Active, end)
            }
        };
        let (uses_max, sign_in) = match choice {
            Choice::Times(calls, _) => (Some(calls.clamp(1, CALLS_MAX)), None),
            Choice::Session { sign_in, .. } => (None, Some(sign_in)),
            Choice::Once | Choice::Until(_) | Choice::Deny => (None, None),
        };
        let lapses =
            scope == Scope::Until && state == ConsentState::Active && asked.tier <= Tier::T1;
        let bound = asked.tier == Tier::T3;
        if bound && state == ConsentState::Active {
            self.sign_in.suffices(self.now)?;
        }
        Ok(ConsentRow {
            id: row_id(self.now),
            key: self.row.key.clone(),
            pinned: self.row.pinned,
            capability: asked.capability.clone(),
            tier: asked.tier,
            scope,
            sign_in,
            state,
            arguments: bound.then_some(self.row.arguments),
            ticket: self.row.id_hash,
            ui: self.page.digest,
            acr: self.sign_in.acr.clone(),
            auth_time: self.sign_in.auth_time,
            decided_at: self.now,
            not_before: None,
            expires_at,
            uses_max,
            uses: 0,
            last_used_at: None,
            idle_expires_at: lapses.then(|| self.now.plus(IDLE_TTL)),
            channel: Channel::Page,
            ended_at: None,
            evidence: Evidence {
                refused: state == ConsentState::Denied,
                ..self.evidence.clone()
            },
            seen: None,
        })
    }

    /// When an agreement to more than one call ends that shall end then.
    fn end(&self, asked: &Asked, wish: Timestamp) -> Result<Timestamp, TicketError> {
        let longest = asked.longest.ok_or_else(|| TicketError::OnceOnly {
            capability: asked.capability.to_string(),
        })?;
        if wish <= self.now {
            return Err(TicketError::Past);
        }
        Ok(wish.min(self.now.plus(longest)))
    }

    /// How long a denial is not asked about again. The second of a tool within a day makes it quiet for a day.
    fn quiet(&self, asked: &Asked) -> Duration {
        let quiet = asked.quiet();
        if self.refused_before && !asked.optional && asked.tier < Tier::T3 {
            quiet.max(REFUSED_TWICE_TTL)
        } else {
            quiet
        }
    }
}

fn events(row: &TicketRow, decided: &[ConsentRow], page: PageFacts) -> Vec<Event> {
    [
        (EventKind::ConsentGiven, ConsentState::Active),
        (EventKind::ConsentDenied, ConsentState::Denied),
    ]
    .into_iter()
    .filter_map(|(kind, state)| {
        let some: Vec<_> = decided.iter().filter(|one| one.state == state).collect();
        // What is proven is the same of all of them: they are of one answer.
        let first = some.first()?;
        let told = |one: &&ConsentRow| {
            let scope = one.scope.as_str();
            format!(
                "{} ({scope}, to {})",
                one.capability,
                one.expires_at.rfc3339()
            )
        };
        let event = Event::new(kind)
            .user(&row.key.tenant, &row.key.user)
            .client(&row.key.client)
            .tool(&row.key.tool)
            .ticket(row.id_hash)
            .consents(some.iter().map(|one| one.id.to_string()).collect())
            .fact("capabilities", some.iter().map(told).collect::<Vec<_>>())
            .fact("component_digest", row.pinned.component.to_string())
            .fact("ui_digest", page.digest.to_string())
            .evidence(proven(first));
        Some(match &first.evidence.client {
            Some(client) => event.fact("client_kind", client.kind.as_str()).fact(
                "client_metadata",
                client.metadata.map(|one| one.to_string()),
            ),
            None => event,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ConsentKey, Pinned, TicketState};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn ticket() -> TicketRow {
        let digest = Digest::of(b"");
        TicketRow {
            id_hash: digest,
            nonce: [0; 16],
            key: ConsentKey {
                tenant: "acme".parse().unwrap(),
                user: crate::ids::User {
                    issuer: "https://as.test".parse().unwrap(),
                    subject: "alice".parse().unwrap(),
                },
                client: "client-1".parse().unwrap(),
                tool: "pay".parse().unwrap(),
                publisher: "example".parse().unwrap(),
            },
            pinned: Pinned {
                component: digest,
                definition: digest,
                manifest: digest,
            },
            question: digest,
            arguments: Digest::of(b"{\"amount\":1}"),
            shown: String::new(),
            state: TicketState::Open,
            created_at: NOW,
            expires_at: NOW.plus(T3_TTL),
        }
    }

    fn record(
        choice: Choice,
        acr: Option<&str>,
        auth_time: Option<Timestamp>,
    ) -> Result<ConsentRow, TicketError> {
        let capability: Capability = "http POST bank.example /".parse().unwrap();
        let asked = Asked {
            sentence: capability.sentence(),
            capability,
            reason: String::new(),
            optional: false,
            tier: Tier::T3,
            longest: super::super::question::longest(Tier::T3),
        };
        let sign_in = SignInFacts {
            acr: acr.map(str::to_owned),
            amr: Vec::new(),
            auth_time,
        };
        let context = Context {
            row: &ticket(),
            page: PageFacts {
                digest: Digest::of(b"page"),
                locale: "en",
            },
            sign_in: &sign_in,
            evidence: Evidence::default(),
            refused_before: false,
            now: NOW,
        };
        context.record(&asked, choice)
    }

    #[test]
    fn the_highest_tier_is_allowed_once_for_these_arguments_after_a_fresh_sign_in() {
        let minute_ago = Timestamp(NOW.0 - 60_000);
        let row = record(Choice::Once, Some("mfa"), Some(minute_ago)).unwrap();
        assert_eq!(row.scope, Scope::Once);
        assert_eq!(row.arguments, Some(ticket().arguments));
        assert_eq!(row.expires_at, NOW.plus(T3_TTL));

        let hour_ago = Timestamp(NOW.0 - 3_600_000);
        let ahead = Timestamp(NOW.0 + 60_000);
        for (acr, at) in [
            (Some("mfa"), Some(hour_ago)),
            (Some("mfa"), Some(ahead)),
            (Some("mfa"), None),
        ] {
            let stale = record(Choice::Once, acr, at);
            assert!(matches!(stale, Err(TicketError::FreshSignIn)), "{stale:?}");
        }
        for at in [Some(minute_ago), Some(hour_ago), None] {
            let unsaid = record(Choice::Once, None, at);
            assert!(matches!(unsaid, Err(TicketError::NoAcr)), "{unsaid:?}");
        }
        let session = Choice::Session {
            sign_in: Digest::of(b"sign-in"),
            end: NOW.plus(T3_TTL),
        };
        let longer = record(session, Some("mfa"), Some(minute_ago));
        assert!(
            matches!(longer, Err(TicketError::OnceOnly { .. })),
            "{longer:?}"
        );
        let always = record(
            Choice::Until(NOW.plus(T3_TTL)),
            Some("mfa"),
            Some(minute_ago),
        );
        assert!(
            matches!(always, Err(TicketError::OnceOnly { .. })),
            "{always:?}"
        );
        assert!(record(Choice::Deny, None, None).is_ok());
    }
}
