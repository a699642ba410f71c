//! Every text of the pages, once in each language.
//!
//! A language is one value of [`Words`], so that a text which is missing in one of them does not compile. What authors, operators
//! and issuers wrote is shown as they wrote it. A pair stands around something that the page puts between its halves.

mod clients_en;
mod clients_ja;
mod en;
mod ja;
mod notices_en;
mod notices_ja;

pub(crate) use en::EN;
pub(crate) use ja::JA;

use uuid::Uuid;

use super::standing::{Happened, Standing};
use super::text::Deceptive;
use crate::capability::Capability;
use crate::clients::Unread;
use crate::clock::Timestamp;
use crate::store::ClientKind;

/// What stands before something, and what behind it.
pub(crate) type Around = (&'static str, &'static str);

/// Every text of the pages in one language.
pub(crate) struct Words {
    /// Which, as BCP 47 writes it.
    pub(crate) tag: &'static str,
    pub(super) day: fn(Timestamp) -> String,
    pub(super) moment: fn(Timestamp) -> String,
    /// One capability in a sentence.
    pub(super) sentence: fn(&Capability) -> String,
    pub(super) standing: fn(Standing) -> String,
    pub(super) frame: Frame,
    pub(super) question: QuestionWords,
    pub(super) client: ClientWords,
    pub(super) decided: DecidedWords,
    pub(super) changed: ChangedWords,
    pub(super) consents: ConsentsWords,
    pub(super) history: HistoryWords,
    pub(super) notices: Notices,
    pub(super) ways: Ways,
    pub(crate) idp: IdpWords,
}

/// What stands on every page.
pub(super) struct Frame {
    pub(super) signed_in_as: Around,
    pub(super) nav: &'static str,
    pub(super) my_consents: &'static str,
    pub(super) history: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) sign_out_everywhere: &'static str,
}

/// The consent page.
pub(super) struct QuestionWords {
    /// Around the title of the tool.
    pub(super) title: Around,
    pub(super) intro: &'static str,
    /// The same where another tool calls it.
    pub(super) intro_within: &'static str,
    pub(super) beware_t2: &'static str,
    pub(super) beware_t3: &'static str,
    pub(super) beware_opens: &'static str,
    pub(super) you: &'static str,
    /// Around the issuer.
    pub(super) at_issuer: Around,
    pub(super) client: &'static str,
    pub(super) tool: &'static str,
    /// Before the tools that wait for it, and behind them.
    pub(super) called_by: &'static str,
    pub(super) called_by_note: &'static str,
    pub(super) version: &'static str,
    pub(super) build: &'static str,
    pub(super) publisher: &'static str,
    pub(super) publisher_unproven: &'static str,
    pub(super) purpose: &'static str,
    /// A warning about a name: what kind of name it is.
    pub(super) deceptive: fn(Name, Deceptive) -> &'static str,
    pub(super) tags: [&'static str; 4],
    /// What tiers that can do harm are marked with.
    pub(super) caution: &'static str,
    pub(super) caution_opens: &'static str,
    pub(super) danger: &'static str,
    pub(super) needed: &'static str,
    pub(super) optional: &'static str,
    pub(super) meaning: Meanings,
    pub(super) why: &'static str,
    pub(super) exactly: &'static str,
    pub(super) deny: &'static str,
    pub(super) deny_30_days: &'static str,
    pub(super) once_10_minutes: &'static str,
    pub(super) once_5_minutes: &'static str,
    /// Until its user signs out, and until then at most.
    pub(super) session: fn(end: &str) -> String,
    pub(super) proposed: &'static str,
    pub(super) until: &'static str,
    pub(super) last_day: &'static str,
    pub(super) at_most: fn(day: &str, lapses: bool) -> String,
    /// Around the number of calls.
    pub(super) calls: Around,
    pub(super) any_number: &'static str,
    pub(super) once_only: &'static str,
    /// Above the arguments to which the answer is bound.
    pub(super) arguments: &'static str,
    pub(super) arguments_note: &'static str,
    pub(super) sign_in_first: &'static str,
    pub(super) no_acr: &'static str,
    pub(super) refusal_first: &'static str,
    pub(super) refusal_second: &'static str,
    pub(super) afterwards: fn(closes: &str) -> String,
    pub(super) save: &'static str,
}

/// What is known of a client.
pub(super) struct ClientWords {
    /// Behind the host of a client that describes itself there.
    pub(super) verified: &'static str,
    /// Around the name that it gives itself.
    pub(super) calls_itself: Around,
    /// Around the hosts to which its sign-ins lead back.
    pub(super) leads_back: Around,
    /// Behind the name that the operator gives it.
    pub(super) named: &'static str,
    pub(super) registered: &'static str,
    pub(super) unread: fn(Unread) -> &'static str,
    /// What is different about it: what stands first, and what may follow.
    pub(super) changed: fn(day: &str) -> String,
    pub(super) changed_kind: fn(before: ClientKind, after: ClientKind) -> Option<&'static str>,
    pub(super) changed_hosts: fn(before: &str, after: &str) -> String,
    pub(super) changed_name: fn(before: &str, after: &str) -> String,
    pub(super) changed_otherwise: &'static str,
    /// Above the difference, where a consent goes on.
    pub(super) went_on: &'static str,
}

/// A name that somebody else chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Title,
    Client,
    Publisher,
}

/// What it means to allow something.
pub(super) struct Meanings {
    pub(super) nothing: &'static str,
    pub(super) reads_web: &'static str,
    pub(super) reads_files: &'static str,
    pub(super) writes_web: &'static str,
    pub(super) writes_files: &'static str,
    pub(super) given_data: &'static str,
    pub(super) lends_secret: &'static str,
    pub(super) signs: &'static str,
    pub(super) calls: &'static str,
    pub(super) told: &'static str,
    pub(super) opens: &'static str,
    pub(super) delivers: &'static str,
    pub(super) harms: &'static str,
    pub(super) raised: &'static str,
    /// Behind it, where a store is not the user's own.
    pub(super) shared: &'static str,
    /// The same of a folder: of a tenant's users, and of all.
    pub(super) shared_folder: &'static str,
    pub(super) open_folder: &'static str,
}

/// The page after an answer.
pub(super) struct DecidedWords {
    pub(super) page: &'static str,
    pub(super) before: &'static str,
    pub(super) before_text: &'static str,
    pub(super) allowed: &'static str,
    pub(super) refused: &'static str,
    pub(super) refused_text: &'static str,
    pub(super) go_back: &'static str,
    pub(super) call_again: &'static str,
}

/// What is different about a tool.
pub(super) struct ChangedWords {
    pub(super) publisher: fn(day: &str, before: &str) -> String,
    pub(super) since: fn(day: &str, version: Option<&str>) -> String,
    pub(super) needs: &'static str,
    pub(super) texts_unknown: &'static str,
    pub(super) texts_same: &'static str,
    pub(super) texts_differ: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) input: &'static str,
    pub(super) output: &'static str,
    pub(super) gone: &'static str,
    pub(super) new: &'static str,
    pub(super) cut: &'static str,
    pub(super) legend: &'static str,
}

/// The page of one's own consents.
pub(super) struct ConsentsWords {
    pub(super) none: &'static str,
    pub(super) intro: &'static str,
    pub(super) order: &'static str,
    pub(super) by_tool: &'static str,
    pub(super) by_client: &'static str,
    /// Around the publisher of a tool.
    pub(super) by_publisher: Around,
    pub(super) tool: &'static str,
    pub(super) client: &'static str,
    pub(super) decided: fn(&str) -> String,
    pub(super) decided_by_operator: fn(&str) -> String,
    pub(super) last_used: fn(&str) -> String,
    pub(super) unused: &'static str,
    pub(super) receipt: &'static str,
    pub(super) changed: &'static str,
    pub(super) take_back: &'static str,
    pub(super) ask_again: &'static str,
    pub(super) take_back_tool: fn(u32) -> String,
    pub(super) take_back_client: fn(u32) -> String,
    pub(super) take_back_all: fn(u32) -> String,
    pub(super) earlier: &'static str,
    pub(super) newest: &'static str,
    pub(super) ended: &'static str,
    pub(super) see_history: &'static str,
}

/// The page of what happened.
pub(super) struct HistoryWords {
    pub(super) intro: &'static str,
    pub(super) none: &'static str,
    pub(super) happened: fn(Happened) -> String,
    pub(super) operator_says: &'static str,
    pub(super) earlier: &'static str,
    pub(super) newest: &'static str,
    pub(super) others: &'static str,
    pub(super) others_text: &'static str,
    pub(super) opened: fn(times: u32, last: &str) -> String,
}

/// What happened, and what to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notice {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

/// Pages that say one thing.
pub(super) struct Notices {
    pub(super) fault: &'static str,
    pub(super) fault_text: fn(Uuid) -> String,
    pub(super) other_host: Notice,
    pub(super) forged: Notice,
    pub(super) question_signed_out: Notice,
    pub(super) question_expired: Notice,
    pub(super) question_fresh: Notice,
    pub(super) question_no_acr: Notice,
    pub(super) question_unknown: Notice,
    /// The title above the texts that follow.
    pub(super) not_taken: &'static str,
    pub(super) page_changed: &'static str,
    pub(super) past: &'static str,
    pub(super) misfit: &'static str,
    /// What follows each of the next.
    pub(super) nothing_decided: &'static str,
    pub(super) not_chosen: fn(&str) -> String,
    pub(super) no_day: fn(&str) -> String,
    pub(super) no_number: fn(&str) -> String,
    pub(super) once_only: fn(&str) -> String,
    pub(super) consent_unknown: Notice,
    pub(super) consents_signed_out: Notice,
    pub(super) consents_unclear: Notice,
    pub(super) receipt_unknown: Notice,
    pub(super) link_incomplete: Notice,
    pub(super) too_many: Notice,
    pub(super) issuer_unavailable: Notice,
    pub(super) no_sign_in: Notice,
    pub(super) page_too_old: Notice,
    /// Nobody was signed in.
    pub(super) signed_out: Notice,
    pub(super) signed_out_here: Notice,
    pub(super) signed_out_everywhere: Notice,
    pub(super) sign_in: SignInFailed,
}

/// Why nobody was signed in.
pub(super) struct SignInFailed {
    pub(super) title: &'static str,
    pub(super) incomplete: &'static str,
    pub(super) other_browser: &'static str,
    pub(super) gone: &'static str,
    pub(super) other_issuer: &'static str,
    pub(super) declined: &'static str,
    pub(super) code: &'static str,
    pub(super) issuer: &'static str,
    pub(super) keys: &'static str,
    pub(super) id_token: &'static str,
}

/// What the ways on are called.
pub(super) struct Ways {
    pub(super) question: &'static str,
    pub(super) fresh: &'static str,
    pub(super) consents: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) again: &'static str,
}

/// The pages of the embedded identity provider.
pub(crate) struct IdpWords {
    pub(crate) title: &'static str,
    pub(crate) note: fn(&[&str]) -> String,
    pub(crate) wrong: fn(&str) -> String,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    pub(crate) sign_in: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) incomplete: &'static str,
    pub(crate) client: &'static str,
    pub(crate) redirect: &'static str,
    pub(crate) flow: &'static str,
    pub(crate) no_code: &'static str,
}
