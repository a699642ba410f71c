//! How pages show a client: what is verified of it, what it says of itself, and what is not known.

use url::Url;

use super::page::NAME_CHARS_MAX;
use super::text::plain;
use super::words::{ClientWords, Words};
use crate::clients::Unread;
use crate::consent::{AskingClient, ClientChanged, ClientSaid, Question};
use crate::store::ClientKind;

/// A client, for the consent page.
pub(super) struct ClientView {
    pub(super) id: String,
    /// The host of its id, where that is an https URL.
    pub(super) host: Option<String>,
    /// Whether its document was read there.
    pub(super) verified: bool,
    /// What the operator calls it.
    pub(super) named: Option<String>,
    /// What it calls itself.
    pub(super) calls_itself: Option<String>,
    /// Where its sign-ins lead back to.
    pub(super) leads_back: Option<String>,
    /// What is not known of it.
    pub(super) unknown: Option<&'static str>,
    /// The same, where somebody looked and found nothing.
    pub(super) alert: Option<&'static str>,
    /// What is different about it.
    pub(super) change: Option<String>,
}

impl ClientView {
    pub(super) fn new(w: &Words, question: &Question) -> Self {
        let id = question.client.as_str();
        let words = &w.client;
        let mut view = Self {
            id: plain(id, NAME_CHARS_MAX),
            host: host_of(id),
            verified: false,
            named: None,
            calls_itself: None,
            leads_back: None,
            unknown: None,
            alert: None,
            change: None,
        };
        let Some(asking) = &question.asking else {
            view.unknown = Some(words.registered);
            return view;
        };
        let name = asking
            .name
            .as_deref()
            .map(|name| plain(name, NAME_CHARS_MAX));
        match asking.kind {
            ClientKind::MetadataDocument => {
                view.verified = true;
                view.calls_itself = name;
                view.leads_back = Some(hosts(&asking.redirect_hosts));
            }
            ClientKind::PreRegistered => {
                view.host = None;
                view.named = name;
            }
            ClientKind::Registered => match asking.unread {
                Some(why) if why.was_looked_for() || why == Unread::Busy => {
                    view.alert = Some((words.unread)(why));
                }
                Some(why) => view.unknown = Some((words.unread)(why)),
                None => view.unknown = Some(words.registered),
            },
        }
        let changed = asking.changed.as_ref();
        view.change = changed.map(|changed| change(w, changed));
        view
    }
}

/// The names of a client that others chose.
pub(super) fn names(question: &Question) -> impl Iterator<Item = &str> {
    let name = |asking: &AskingClient| match asking.kind {
        ClientKind::MetadataDocument => true,
        // The operator's own words.
        ClientKind::PreRegistered | ClientKind::Registered => false,
    };
    let asking = question.asking.as_ref().filter(|asking| name(asking));
    let called = asking.and_then(|asking| asking.name.as_deref());
    [Some(question.client.as_str()), called]
        .into_iter()
        .flatten()
}

/// What is different about a client, in sentences of ours.
pub(super) fn change(w: &Words, changed: &ClientChanged) -> String {
    let words: &ClientWords = &w.client;
    let (before, after) = (&changed.before, &changed.after);
    let mut text = (words.changed)(&(w.day)(changed.agreed_at));
    let mut told = false;
    if let Some(kind) = (words.changed_kind)(before.kind, after.kind) {
        text.push_str(kind);
        told = true;
    }
    if before.kind == after.kind && before.redirect_hosts != after.redirect_hosts {
        let (before, after) = (hosts(&before.redirect_hosts), hosts(&after.redirect_hosts));
        text.push_str(&(words.changed_hosts)(&before, &after));
        told = true;
    }
    if let (Some(before), Some(after)) = (name(before), name(after))
        && before != after
    {
        text.push_str(&(words.changed_name)(&before, &after));
        told = true;
    }
    if !told {
        text.push_str(words.changed_otherwise);
    }
    text
}

fn name(said: &ClientSaid) -> Option<String> {
    said.name.as_deref().map(|name| plain(name, NAME_CHARS_MAX))
}

fn hosts(hosts: &[String]) -> String {
    let shown: Vec<_> = hosts
        .iter()
        .map(|host| plain(host, NAME_CHARS_MAX))
        .collect();
    shown.join(", ")
}

/// The host of a client whose id is an https URL.
fn host_of(client: &str) -> Option<String> {
    let url = Url::parse(client).ok()?;
    (url.scheme() == "https").then_some(())?;
    url.host_str().map(|host| plain(host, NAME_CHARS_MAX))
}
