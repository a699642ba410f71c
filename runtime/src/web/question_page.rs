//! A question as a page, exactly as it is sent.

use std::time::Duration;

use askama::Template;

use super::changed::ChangedView;
use super::client_view::{self, ClientView};
use super::dates::iso_day;
use super::fault::Fault;
use super::form::Purpose;
use super::language::Language;
use super::next::{self, Next};
use super::page::{NAME_CHARS_MAX, VERSION_CHARS_MAX, Viewer};
use super::text::{deceptive, marked, plain};
use super::words::{Meanings, Name, QuestionWords, Words};
use super::{Among, WebState, session};
use crate::capability::{Capability, Tier};
use crate::clock::Timestamp;
use crate::consent::{
    Asked, CALLS_MAX, IDLE_TTL, ONCE_TTL, OPTIONAL_DENIAL_TTL, Question, REFUSED_TWICE_TTL, T3_TTL,
    TicketError, TicketId,
};
use crate::store::Session;

/// Longest text of an author that the page shows, in characters.
const TEXT_CHARS_MAX: usize = 600;
/// What is proposed for a capability that reads.
const PROPOSED_T1: Duration = Duration::from_secs(30 * 24 * 3600);
/// What is proposed for a capability that writes.
const PROPOSED_T2: Duration = Duration::from_secs(7 * 24 * 3600);

/// The page of a question, exactly as it is sent.
pub(super) struct Shown {
    pub(super) html: String,
    /// The same without its token, which the token covers.
    pub(super) bare: String,
}

impl Shown {
    /// Depends on nothing but what is given, so that an answer can prove what was shown.
    pub(super) fn render(
        web: &WebState,
        session: &Session,
        id: &TicketId,
        question: &Question,
        language: Language,
        at: Timestamp,
    ) -> Result<Self, Fault> {
        let viewer = session::viewer(web, session);
        let mut page = QuestionPage::new(web, language.words(), viewer, session, id, question, at);
        let bare = page.render()?;
        let purpose = Purpose::Decide {
            ticket: id.hash(),
            page: bare.as_bytes(),
        };
        page.token = web.forms.seal(session.id_hash, &purpose);
        let html = page.render()?;
        Ok(Self { html, bare })
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct QuestionPage {
    w: &'static Words,
    viewer: Viewer,
    action: String,
    token: String,
    shown_at: i64,
    client: ClientView,
    tool: String,
    /// The tools that wait for it, the first one first, where another tool calls it.
    path: Vec<String>,
    title: String,
    description: String,
    version: String,
    publisher: String,
    digest: String,
    change: Option<ChangedView>,
    /// What is wrong with the names.
    deceptive: Vec<&'static str>,
    /// The worst of it.
    beware: Option<&'static str>,
    /// What stands in the way of allowing what is asked at every call.
    hindrance: Option<Hindrance>,
    /// The arguments of the call, a line each, where the answer is good for them alone.
    arguments: Option<Vec<String>>,
    /// What a refusal leads to.
    refusal: Option<&'static str>,
    afterwards: String,
    asked: Vec<AskedView>,
}

/// Why something could not be allowed as its user is signed in now, and the way on, if there is one.
struct Hindrance {
    text: &'static str,
    way: Option<(String, &'static str)>,
}

/// One capability as the page shows it.
struct AskedView {
    /// Its place in the question, by which the form names it.
    n: usize,
    sentence: String,
    text: String,
    reason: String,
    optional: bool,
    /// `t0` to `t3`, for the style sheet.
    tier: &'static str,
    tag: &'static str,
    /// What stands above it where it can do harm.
    warning: Option<&'static str>,
    meaning: &'static str,
    /// What more there is to say where rules have it asked about more strictly than what it does.
    stricter: Option<&'static str>,
    /// Whom else it concerns.
    shared: Option<&'static str>,
    deny: &'static str,
    once: &'static str,
    longer: Option<LongerView>,
}

/// What can be chosen beside one call.
struct LongerView {
    session: String,
    /// Whether that is what we propose.
    session_proposed: bool,
    until: UntilView,
}

/// The days that can be chosen.
struct UntilView {
    first: String,
    last: String,
    proposed: String,
    at_most: String,
}

impl QuestionPage {
    fn new(
        web: &WebState,
        w: &'static Words,
        viewer: Viewer,
        session: &Session,
        id: &TicketId,
        question: &Question,
        at: Timestamp,
    ) -> Self {
        let all = question.asked.iter().enumerate();
        let end = session.expires_at;
        let mut asked: Vec<_> = all
            .map(|(n, one)| AskedView {
                shared: shared(web, w, &one.capability),
                ..AskedView::new(w, n, one, at, end)
            })
            .collect();
        asked.sort_by_key(|one| one.optional);
        let closes = (w.moment)(question.expires_at);
        Self {
            w,
            viewer,
            action: id.path(),
            token: String::new(),
            shown_at: at.0,
            client: ClientView::new(w, question),
            tool: question.tool.to_string(),
            path: question.path.iter().map(ToString::to_string).collect(),
            title: plain(&question.title, NAME_CHARS_MAX),
            description: plain(&question.description, TEXT_CHARS_MAX),
            version: plain(&question.version, VERSION_CHARS_MAX),
            publisher: plain(question.publisher.as_str(), NAME_CHARS_MAX),
            digest: question.component.short(),
            change: question
                .changed
                .as_ref()
                .map(|changed| ChangedView::new(w, changed)),
            deceptive: deceptive_names(w, question),
            hindrance: hindrance(w, session, id, question, at),
            arguments: question.arguments.as_deref().map(lines),
            beware: beware(&w.question, question),
            refusal: refusal(&w.question, question),
            afterwards: (w.question.afterwards)(&closes),
            asked,
        }
    }
}

/// The worst of what is asked, above all of it.
fn beware(w: &QuestionWords, question: &Question) -> Option<&'static str> {
    let worst = question
        .asked
        .iter()
        .max_by_key(|one| (harm(one), raised(one)))?;
    match harm(worst) {
        Tier::T3 if raised(worst) => Some(w.beware_t3),
        Tier::T3 => Some(w.beware_opens),
        Tier::T2 => Some(w.beware_t2),
        Tier::T0 | Tier::T1 => None,
    }
}

/// What is wrong with names that others chose, in sentences of ours.
fn deceptive_names(w: &Words, question: &Question) -> Vec<&'static str> {
    let title = [(Name::Title, question.title.as_str())];
    let client = client_view::names(question).map(|name| (Name::Client, name));
    let publisher = [(Name::Publisher, question.publisher.as_str())];
    let warning = |(name, text)| Some((w.question.deceptive)(name, deceptive(text)?));
    let names = title.into_iter().chain(client).chain(publisher);
    let mut warnings: Vec<_> = names.filter_map(warning).collect();
    // Of the two names of a client both may be wrong in the same way.
    warnings.dedup();
    warnings
}

/// What it means to refuse once more, where a second refusal within a day makes the tool quiet.
fn refusal(w: &QuestionWords, question: &Question) -> Option<&'static str> {
    const _: () = assert!(REFUSED_TWICE_TTL.as_secs() == 24 * 3600);
    let counts = |one: &Asked| !one.optional && one.tier < Tier::T3;
    if !question.asked.iter().any(counts) {
        return None;
    }
    Some(if question.refused_before {
        w.refusal_second
    } else {
        w.refusal_first
    })
}

impl AskedView {
    fn new(w: &'static Words, n: usize, asked: &Asked, at: Timestamp, end: Timestamp) -> Self {
        // The texts say these numbers.
        const _: () = assert!(ONCE_TTL.as_secs() == 600 && T3_TTL.as_secs() == 300);
        const _: () = assert!(CALLS_MAX == 1_000 && IDLE_TTL.as_secs() == 30 * 24 * 3600);
        const _: () = assert!(OPTIONAL_DENIAL_TTL.as_secs() == 30 * 24 * 3600);
        let words = &w.question;
        let [t0, t1, t2, t3] = words.tags;
        let (tier, tag, warning, once) = match harm(asked) {
            Tier::T0 => ("t0", t0, None, words.once_10_minutes),
            Tier::T1 => ("t1", t1, None, words.once_10_minutes),
            Tier::T2 => ("t2", t2, Some(words.caution), words.once_10_minutes),
            Tier::T3 => {
                let warning = match raised(asked) {
                    true => words.danger,
                    false => words.caution_opens,
                };
                ("t3", t3, Some(warning), words.once_5_minutes)
            }
        };
        Self {
            n,
            sentence: sentence(w, &asked.capability),
            text: plain(&asked.capability.to_string(), TEXT_CHARS_MAX),
            reason: plain(&asked.reason, TEXT_CHARS_MAX),
            optional: asked.optional,
            tier,
            tag,
            warning,
            meaning: meaning(&words.meaning, &asked.capability),
            stricter: match asked.tier {
                _ if !raised(asked) => None,
                Tier::T3 => Some(words.meaning.harms),
                Tier::T0 | Tier::T1 | Tier::T2 => Some(words.meaning.raised),
            },
            shared: None,
            deny: if asked.quiet() == OPTIONAL_DENIAL_TTL {
                words.deny_30_days
            } else {
                words.deny
            },
            once,
            longer: asked.longest.map(|longest| {
                let proposed = match asked.tier {
                    Tier::T0 | Tier::T1 => PROPOSED_T1,
                    Tier::T2 | Tier::T3 => PROPOSED_T2,
                };
                let last = (w.day)(at.plus(longest));
                LongerView {
                    session: (words.session)(&(w.moment)(end.min(at.plus(longest)))),
                    session_proposed: asked.tier >= Tier::T2,
                    until: UntilView {
                        first: iso_day(at),
                        last: iso_day(at.plus(longest)),
                        proposed: iso_day(at.plus(proposed.min(longest))),
                        at_most: (words.at_most)(&last, asked.tier <= Tier::T1),
                    },
                }
            }),
        }
    }
}

/// What is said where others find what the tool writes there, and the other way round.
fn shared(web: &WebState, w: &Words, capability: &Capability) -> Option<&'static str> {
    let meaning = &w.question.meaning;
    match capability {
        Capability::Kv(kv) => {
            let is_shared = web.shared.stores.contains(&kv.store);
            is_shared.then_some(meaning.shared)
        }
        Capability::Files(files) => match web.shared.mounts.get(&files.mount)? {
            Among::Tenant => Some(meaning.shared_folder),
            Among::Everybody => Some(meaning.open_folder),
        },
        _ => None,
    }
}

/// What it is marked as: by what it does, or as asked about at every call.
fn harm(asked: &Asked) -> Tier {
    match asked.tier {
        Tier::T3 => Tier::T3,
        Tier::T0 | Tier::T1 | Tier::T2 => asked.capability.tier(),
    }
}

/// Whether rules have it asked about more strictly than what it does calls for.
fn raised(asked: &Asked) -> bool {
    asked.tier > asked.capability.tier()
}

/// JSON in lines, with what hides in it named.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(marked).collect()
}

/// What stands in the way of allowing what is asked at every call, as its user is signed in.
fn hindrance(
    w: &'static Words,
    session: &Session,
    id: &TicketId,
    question: &Question,
    at: Timestamp,
) -> Option<Hindrance> {
    if question.asked.iter().all(|one| one.tier < Tier::T3) {
        return None;
    }
    match session::facts(session).suffices(at) {
        Ok(()) => None,
        Err(TicketError::NoAcr) => Some(Hindrance {
            text: w.question.no_acr,
            way: None,
        }),
        Err(_) => {
            let way = next::sign_in(&Next::Question(id.clone()), true);
            Some(Hindrance {
                text: w.question.sign_in_first,
                way: Some((way, w.ways.fresh)),
            })
        }
    }
}

/// What can be done, in a sentence of ours. Names in it are shown as those of others.
pub(super) fn sentence(w: &Words, capability: &Capability) -> String {
    plain(&(w.sentence)(capability), TEXT_CHARS_MAX)
}

/// What it means to allow this, by what it does.
fn meaning(w: &Meanings, capability: &Capability) -> &'static str {
    match (capability.tier(), capability) {
        (Tier::T0, _) => w.nothing,
        (Tier::T1, Capability::Http(_)) => w.reads_web,
        (Tier::T1 | Tier::T2, Capability::Data(_)) => w.given_data,
        (
            Tier::T1,
            Capability::Files(_)
            | Capability::Clock
            | Capability::Progress
            | Capability::Ask
            | Capability::Kv(_)
            | Capability::Config(_)
            | Capability::Secret(_)
            | Capability::Reveal(_)
            | Capability::Deliver(_),
        ) => w.reads_files,
        (Tier::T1 | Tier::T2, Capability::Call(_)) => w.calls,
        (Tier::T1 | Tier::T2, Capability::Claims(_)) => w.told,
        (Tier::T2, Capability::Http(_)) => w.writes_web,
        (Tier::T2, Capability::Secret(secret)) if secret.form.signs() => w.signs,
        (Tier::T2, Capability::Secret(_)) => w.lends_secret,
        (
            Tier::T2,
            Capability::Files(_)
            | Capability::Clock
            | Capability::Progress
            | Capability::Ask
            | Capability::Kv(_)
            | Capability::Config(_)
            | Capability::Reveal(_)
            | Capability::Deliver(_),
        ) => w.writes_files,
        (Tier::T3, Capability::Reveal(_)) => w.opens,
        (Tier::T3, Capability::Deliver(_)) => w.delivers,
        (Tier::T3, _) => w.harms,
    }
}
