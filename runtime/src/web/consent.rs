//! The consent page: shows a question to the user whom it is for, and takes the answer.
//!
//! Nothing is chosen for the user. The answer counts only if it comes from exactly the page that was shown, in the session to
//! which it was shown; the digest of that page goes into the record.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use url::Url;

use super::changed::ChangedView;
use super::fault::Fault;
use super::form::{Fields, Purpose};
use super::next::{self, Next};
use super::page::{self, Message, NAME_CHARS_MAX, Viewer};
use super::words::{day, end_of_day, iso_day, moment, plain, standing};
use super::{WebState, session, sign_in};
use crate::capability::{Capability, Tier};
use crate::clock::Timestamp;
use crate::consent::{
    Answer, Asked, CALLS_MAX, Choice, IDLE_TTL, ONCE_TTL, OPTIONAL_DENIAL_TTL, PageFacts, Question,
    REFUSED_TWICE_TTL, SignInFacts, T3_TTL, TicketError, TicketId,
};
use crate::ids::Digest;
use crate::store::Session;

/// The language in which the page is written.
const LOCALE: &str = "en";
/// Longest text of an author that the page shows, in characters.
const TEXT_CHARS_MAX: usize = 600;
/// What is proposed for a capability that reads.
const PROPOSED_T1: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
/// What is proposed for a capability that writes.
const PROPOSED_T2: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// `GET /consent/{ticket}`: shows the question, after sign-in.
pub(super) async fn show(
    State(web): State<WebState>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let Ok(id) = ticket.parse::<TicketId>() else {
        return Ok(not_for_you(None));
    };
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::Question(id)));
    };
    let now = web.clock.now();
    match web.consents.question(&id, &session.who, now).await {
        Ok(question) => {
            Ok(Html(Shown::render(&web, &session, &id, &question, now)?.html).into_response())
        }
        Err(TicketError::Answered { allowed }) => {
            answered(&web, &session, &id, allowed, false).await
        }
        Err(error) => not_shown(&web, &session, &id, error),
    }
}

/// `POST /consent/{ticket}`: the answer.
pub(super) async fn decide(
    State(web): State<WebState>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let Ok(id) = ticket.parse::<TicketId>() else {
        return Ok(not_for_you(None));
    };
    let Some(session) = session::current(&web, &headers).await? else {
        // A redirect would lead the form to the issuer, which our own `form-action` forbids.
        let message = Message::new(
            "You are not signed in any more",
            "Nothing was decided. Open the question again; you will be asked to sign in.",
        );
        let path = id.path();
        return Ok(page::show(
            StatusCode::FORBIDDEN,
            &message.link(&path, "Open the question again"),
        ));
    };
    let now = web.clock.now();
    let question = match web.consents.question(&id, &session.who, now).await {
        Ok(question) => question,
        Err(TicketError::Answered { allowed }) => {
            return answered(&web, &session, &id, allowed, true).await;
        }
        Err(error) => return not_shown(&web, &session, &id, error),
    };
    let fields = Fields(form.map(|Form(fields)| fields).unwrap_or_default());
    let Some(shown) = shown_before(&web, &session, &id, &question, &fields)? else {
        let text =
            "The page was opened in another session, or has changed since. Nothing was decided.";
        return Ok(again(&web, &session, &id, StatusCode::FORBIDDEN, text));
    };
    let answers = match answers(&question, &fields) {
        Ok(answers) => answers,
        Err(error) => {
            let text = format!("{error} Nothing was decided.");
            return Ok(again(&web, &session, &id, StatusCode::BAD_REQUEST, &text));
        }
    };
    let facts = SignInFacts {
        acr: session.acr.clone(),
        amr: session.amr.clone(),
        auth_time: session.auth_time,
    };
    let decided = web
        .consents
        .decide(&id, &session.who, &answers, shown, &facts, now)
        .await;
    match decided {
        Ok(decided) => answered(&web, &session, &id, decided.allowed, false).await,
        Err(TicketError::Answered { allowed }) => {
            answered(&web, &session, &id, allowed, true).await
        }
        Err(error) => not_shown(&web, &session, &id, error),
    }
}

/// Why a form gives no answer. The reader sees the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Incomplete {
    #[error("You did not choose for “{0}”.")]
    NotChosen(String),
    #[error("For “{0}” the last day is missing or is no date.")]
    NoDay(String),
    #[error("For “{0}” the number of calls is no number from 1 to 1000.")]
    NoNumber(String),
    #[error("“{0}” can be allowed for one call only.")]
    OnceOnly(String),
}

/// What the user chose, for each capability that is asked.
fn answers(question: &Question, fields: &Fields) -> Result<Vec<Answer>, Incomplete> {
    let one = |(n, asked): (usize, &Asked)| {
        let named = || asked.sentence.clone();
        let choice = match fields.one(&format!("decision-{n}")) {
            Some("deny") => Choice::Deny,
            Some("allow-once") => Choice::Once,
            Some("allow-until") if asked.longest.is_none() => {
                return Err(Incomplete::OnceOnly(named()));
            }
            Some("allow-until") => {
                let day = fields.one(&format!("until-{n}")).and_then(end_of_day);
                let day = day.ok_or_else(|| Incomplete::NoDay(named()))?;
                match fields.one(&format!("calls-{n}")).unwrap_or_default() {
                    "" => Choice::Until(day),
                    calls => calls
                        .parse()
                        .ok()
                        .filter(|calls| (1..=CALLS_MAX).contains(calls))
                        .map(|calls| Choice::Times(calls, day))
                        .ok_or_else(|| Incomplete::NoNumber(named()))?,
                }
            }
            // An unknown choice is none, and none is not taken for an answer: a denial is a decision of the user as well.
            Some(_) | None => return Err(Incomplete::NotChosen(named())),
        };
        Ok(Answer {
            capability: asked.capability.clone(),
            choice,
        })
    };
    question.asked.iter().enumerate().map(one).collect()
}

/// The page from which this form came, if we showed it in this session and would show the same now.
fn shown_before(
    web: &WebState,
    session: &Session,
    id: &TicketId,
    question: &Question,
    fields: &Fields,
) -> Result<Option<PageFacts>, Fault> {
    let Some(at) = fields.one("shown-at").and_then(|at| at.parse().ok()) else {
        return Ok(None);
    };
    let shown = Shown::render(web, session, id, question, Timestamp(at))?;
    let bare = Purpose::Decide {
        ticket: id.hash(),
        page: shown.bare.as_bytes(),
    };
    let ours = web.forms.holds(fields.one("token"), session.id_hash, &bare);
    Ok(ours.then(|| PageFacts {
        digest: Digest::of(shown.html.as_bytes()),
        locale: LOCALE,
    }))
}

/// The page of a question, exactly as it is sent.
struct Shown {
    html: String,
    /// The same without its token, which the token covers.
    bare: String,
}

impl Shown {
    /// Depends on nothing but what is given, so that an answer can prove what was shown.
    fn render(
        web: &WebState,
        session: &Session,
        id: &TicketId,
        question: &Question,
        at: Timestamp,
    ) -> Result<Self, Fault> {
        let mut page = QuestionPage::new(session::viewer(web, session), id, question, at);
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
    viewer: Viewer,
    action: String,
    token: String,
    shown_at: i64,
    client_host: Option<String>,
    client: String,
    tool: String,
    title: String,
    description: String,
    version: String,
    publisher: String,
    digest: String,
    closes: String,
    change: Option<ChangedView>,
    /// What a refusal leads to.
    refusal: Option<&'static str>,
    asked: Vec<AskedView>,
}

/// One capability as the page shows it.
struct AskedView {
    /// Its place in the question, by which the form names it.
    n: usize,
    sentence: String,
    text: String,
    reason: String,
    optional: bool,
    tag: &'static str,
    meaning: &'static str,
    deny: &'static str,
    once: &'static str,
    until: Option<UntilView>,
}

/// The days that can be chosen.
struct UntilView {
    first: String,
    last: String,
    proposed: String,
    last_in_words: String,
    /// Whether it ends sooner when nobody uses it.
    lapses: bool,
}

impl QuestionPage {
    fn new(viewer: Viewer, id: &TicketId, question: &Question, at: Timestamp) -> Self {
        let all = question.asked.iter().enumerate();
        let mut asked: Vec<_> = all.map(|(n, one)| AskedView::new(n, one, at)).collect();
        asked.sort_by_key(|one| one.optional);
        Self {
            viewer,
            action: id.path(),
            token: String::new(),
            shown_at: at.0,
            client_host: host_of(question.client.as_str()),
            client: plain(question.client.as_str(), NAME_CHARS_MAX),
            tool: question.tool.to_string(),
            title: plain(&question.title, NAME_CHARS_MAX),
            description: plain(&question.description, TEXT_CHARS_MAX),
            version: plain(&question.version, 40),
            publisher: plain(question.publisher.as_str(), NAME_CHARS_MAX),
            digest: question.component.short(),
            closes: moment(question.expires_at),
            change: question.changed.as_ref().map(ChangedView::new),
            refusal: refusal(question),
            asked,
        }
    }
}

/// What it means to refuse once more, where a second refusal within a day makes the tool quiet.
fn refusal(question: &Question) -> Option<&'static str> {
    const _: () = assert!(REFUSED_TWICE_TTL.as_secs() == 24 * 3600);
    let counts = |one: &Asked| !one.optional && one.tier < Tier::T3;
    if !question.asked.iter().any(counts) {
        return None;
    }
    Some(if question.refused_before {
        "You refused this tool within the last 24 hours. If you refuse again what it needs, it is not asked about for 24 hours, and its calls fail until then. You can change that under “My consents”."
    } else {
        "If you refuse what a tool needs twice within 24 hours, it is not asked about for 24 hours. You can change that under “My consents”."
    })
}

impl AskedView {
    fn new(n: usize, asked: &Asked, at: Timestamp) -> Self {
        const ONCE: (&str, &str) = (
            "for one call within ten minutes",
            "for one call within five minutes",
        );
        const _: () = assert!(ONCE_TTL.as_secs() == 600 && T3_TTL.as_secs() == 300);
        const _: () = assert!(CALLS_MAX == 1_000 && IDLE_TTL.as_secs() == 30 * 24 * 3600);
        const _: () = assert!(OPTIONAL_DENIAL_TTL.as_secs() == 30 * 24 * 3600);
        let deny = if asked.quiet() == OPTIONAL_DENIAL_TTL {
            "Do not allow, and do not ask again for 30 days"
        } else {
            "Do not allow"
        };
        let (tag, once) = match asked.tier {
            Tier::T0 => ("no effect outside", ONCE.0),
            Tier::T1 => ("reads", ONCE.0),
            Tier::T2 => ("writes", ONCE.0),
            Tier::T3 => ("single use", ONCE.1),
        };
        Self {
            n,
            sentence: plain(&asked.sentence, TEXT_CHARS_MAX),
            text: plain(&asked.capability.to_string(), TEXT_CHARS_MAX),
            reason: plain(&asked.reason, TEXT_CHARS_MAX),
            optional: asked.optional,
            tag,
            meaning: meaning(&asked.capability, asked.tier),
            deny,
            once,
            until: asked.longest.map(|longest| {
                let proposed = match asked.tier {
                    Tier::T0 | Tier::T1 => PROPOSED_T1,
                    Tier::T2 | Tier::T3 => PROPOSED_T2,
                };
                UntilView {
                    first: iso_day(at),
                    last: iso_day(at.plus(longest)),
                    proposed: iso_day(at.plus(proposed.min(longest))),
                    last_in_words: day(at.plus(longest)),
                    lapses: asked.tier <= Tier::T1,
                }
            }),
        }
    }
}

/// What it means to allow this, in a sentence of ours.
fn meaning(capability: &Capability, tier: Tier) -> &'static str {
    match (tier, capability) {
        (Tier::T0, _) => "This has no effect outside the tool.",
        (Tier::T1, Capability::Http(_)) => {
            "It only reads. The web site sees what the tool asks it for."
        }
        (Tier::T1, Capability::Files(_) | Capability::Clock | Capability::Progress) => {
            "It only reads. Nothing is changed."
        }
        (Tier::T2, Capability::Http(_)) => {
            "It can change things there, and it can send there whatever it is given and whatever else it may read."
        }
        (Tier::T2, Capability::Files(_) | Capability::Clock | Capability::Progress) => {
            "It can overwrite and delete what lies there. This cannot be undone here."
        }
        (Tier::T3, _) => {
            "It can do lasting harm, so you are asked at every call, and your answer is good for exactly this one."
        }
    }
}

/// The host of a client whose id is a URL: that much of it is proven by the issuer that fetched its metadata from there.
fn host_of(client: &str) -> Option<String> {
    let url = Url::parse(client).ok()?;
    (url.scheme() == "https").then_some(())?;
    url.host_str().map(|host| plain(host, NAME_CHARS_MAX))
}

#[derive(Template)]
#[template(path = "decided.html")]
struct DecidedPage {
    viewer: Viewer,
    allowed: bool,
    again: bool,
    decided: Vec<DecidedView>,
}

struct DecidedView {
    sentence: String,
    standing: String,
}

/// What was decided about a question. `again` when somebody tries to answer it once more.
async fn answered(
    web: &WebState,
    session: &Session,
    id: &TicketId,
    allowed: bool,
    again: bool,
) -> Result<Response, Fault> {
    let now = web.clock.now();
    let mut rows = web.consents.list(&session.who).await?;
    rows.retain(|row| row.ticket == id.hash());
    rows.sort_by(|a, b| a.capability.cmp(&b.capability));
    let page = DecidedPage {
        viewer: session::viewer(web, session),
        allowed,
        again,
        decided: rows
            .iter()
            .map(|row| DecidedView {
                sentence: plain(&row.capability.sentence(), TEXT_CHARS_MAX),
                standing: standing(row, now),
            })
            .collect(),
    };
    let status = if again {
        StatusCode::CONFLICT
    } else {
        StatusCode::OK
    };
    Ok(page::show(status, &page))
}

/// Why a question is not shown, or its answer not taken.
fn not_shown(
    web: &WebState,
    session: &Session,
    id: &TicketId,
    error: TicketError,
) -> Result<Response, Fault> {
    let viewer = session::viewer(web, session);
    match error {
        TicketError::Unknown => Ok(not_for_you(Some(viewer))),
        TicketError::Expired => {
            let message = Message::new(
                "This question has expired",
                "Nothing was decided. Go back to your client and let it call the tool again; it will show you a new link.",
            );
            Ok(page::show(StatusCode::GONE, &message.viewer(viewer)))
        }
        TicketError::FreshSignIn => {
            let path = next::sign_in(&Next::Question(id.clone()), true);
            let message = Message::new(
                "Sign in once more",
                "What you want to allow needs a sign-in within the last five minutes. Nothing was decided.",
            );
            Ok(page::show(
                StatusCode::FORBIDDEN,
                &message.link(&path, "Sign in once more").viewer(viewer),
            ))
        }
        TicketError::Past => {
            let text = "The last day has passed. Nothing was decided.";
            Ok(again(web, session, id, StatusCode::BAD_REQUEST, text))
        }
        error @ (TicketError::NotAsked { .. }
        | TicketError::OnceOnly { .. }
        | TicketError::Answered { .. }) => {
            tracing::warn!(%error, "an answer did not fit its question");
            let text = "What came back is not what the page asks. Nothing was decided.";
            Ok(again(web, session, id, StatusCode::BAD_REQUEST, text))
        }
        TicketError::Store(error) => Err(error.into()),
        TicketError::Audit(error) => Err(error.into()),
    }
}

/// One page for a question of another user and for none: nobody learns which it is.
fn not_for_you(viewer: Option<Viewer>) -> Response {
    let mut message = Message::new(
        "This question is not for you, or no longer open",
        "Only the user for whom a tool was called can see and answer its question. If that is you, check that the link is complete and that you are signed in under the right name. If somebody sent you this link, close it.",
    );
    if let Some(viewer) = viewer {
        message = message.viewer(viewer);
    }
    page::show(StatusCode::NOT_FOUND, &message)
}

fn again(
    web: &WebState,
    session: &Session,
    id: &TicketId,
    status: StatusCode,
    text: &str,
) -> Response {
    let path = id.path();
    let message = Message::new("Your answer was not taken", text)
        .link(&path, "Open the question again")
        .viewer(session::viewer(web, session));
    page::show(status, &message)
}
