//! The consent page: shows a question to the user whom it is for, and takes the answer.
//!
//! Nothing is chosen for the user. The answer counts only if it comes from exactly the page that was shown, in the session to
//! which it was shown; the digest of that page goes into the record.

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::dates::end_of_day;
use super::fault::Fault;
use super::form::{Fields, Purpose};
use super::language::Language;
use super::next::{self, Next};
use super::page::{self, Message, Viewer};
use super::question_page::{Shown, sentence};
use super::standing::Standing;
use super::words::{Notices, Words};
use super::{WebState, session, sign_in};
use crate::clock::Timestamp;
use crate::consent::{
    Answer, Asked, CALLS_MAX, Choice, PageFacts, Question, TicketError, TicketId,
};
use crate::ids::Digest;
use crate::store::Session;

/// `GET /consent/{ticket}`: shows the question, after sign-in.
pub(super) async fn show(
    State(web): State<WebState>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    language: Language,
) -> Result<Response, Fault> {
    let w = language.words();
    let Ok(id) = ticket.parse::<TicketId>() else {
        return Ok(not_for_you(w, None));
    };
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::Question(id)));
    };
    let now = web.clock.now();
    match web.consents.question(&id, &session.who, now).await {
        Ok(question) => {
            let shown = Shown::render(&web, &session, &id, &question, language, now)?;
            Ok(Html(shown.html).into_response())
        }
        Err(TicketError::Answered { allowed }) => {
            answered(&web, w, &session, &id, allowed, false).await
        }
        Err(error) => not_shown(&web, w, &session, &id, error),
    }
}

/// `POST /consent/{ticket}`: the answer.
pub(super) async fn decide(
    State(web): State<WebState>,
    Path(ticket): Path<String>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let Ok(id) = ticket.parse::<TicketId>() else {
        return Ok(not_for_you(w, None));
    };
    let Some(session) = session::current(&web, &headers).await? else {
        // A redirect would lead the form to the issuer, which our own `form-action` forbids.
        let path = id.path();
        let message = Message::of(w, &w.notices.question_signed_out).link(&path, w.ways.question);
        return Ok(page::show(StatusCode::FORBIDDEN, &message));
    };
    let now = web.clock.now();
    let question = match web.consents.question(&id, &session.who, now).await {
        Ok(question) => question,
        Err(TicketError::Answered { allowed }) => {
            return answered(&web, w, &session, &id, allowed, true).await;
        }
        Err(error) => return not_shown(&web, w, &session, &id, error),
    };
    let fields = Fields(form.map(|Form(fields)| fields).unwrap_or_default());
    let Some(shown) = shown_before(&web, &session, &id, &question, &fields)? else {
        let text = w.notices.page_changed;
        return Ok(again(&web, w, &session, &id, StatusCode::FORBIDDEN, text));
    };
    let answers = match answers(&question, &session, &fields) {
        Ok(answers) => answers,
        Err(error) => {
            let text = format!("{}{}", error.told(w), w.notices.nothing_decided);
            return Ok(again(
                &web,
                w,
                &session,
                &id,
                StatusCode::BAD_REQUEST,
                &text,
            ));
        }
    };
    let facts = session::facts(&session);
    let decided = web
        .consents
        .decide(&id, &session.who, &answers, shown, &facts, now)
        .await;
    match decided {
        Ok(decided) => answered(&web, w, &session, &id, decided.allowed, false).await,
        Err(TicketError::Answered { allowed }) => {
            answered(&web, w, &session, &id, allowed, true).await
        }
        Err(error) => not_shown(&web, w, &session, &id, error),
    }
}

/// Why a form gives no answer, by what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incomplete<'a> {
    NotChosen(&'a Asked),
    NoDay(&'a Asked),
    NoNumber(&'a Asked),
    OnceOnly(&'a Asked),
}

impl Incomplete<'_> {
    fn told(self, w: &Words) -> String {
        let n: &Notices = &w.notices;
        let (tell, asked) = match self {
            Self::NotChosen(asked) => (n.not_chosen, asked),
            Self::NoDay(asked) => (n.no_day, asked),
            Self::NoNumber(asked) => (n.no_number, asked),
            Self::OnceOnly(asked) => (n.once_only, asked),
        };
        tell(&sentence(w, &asked.capability))
    }
}

/// What the user chose, for each capability that is asked.
fn answers<'a>(
    question: &'a Question,
    session: &Session,
    fields: &Fields,
) -> Result<Vec<Answer>, Incomplete<'a>> {
    let one = |(n, asked): (usize, &'a Asked)| {
        let choice = match fields.one(&format!("decision-{n}")) {
            Some("deny") => Choice::Deny,
            Some("allow-once") => Choice::Once,
            Some("allow-session" | "allow-until") if asked.longest.is_none() => {
                return Err(Incomplete::OnceOnly(asked));
            }
            Some("allow-session") => Choice::Session {
                sign_in: session.sign_in,
                end: session.expires_at,
            },
            Some("allow-until") => {
                let day = fields.one(&format!("until-{n}")).and_then(end_of_day);
                let day = day.ok_or(Incomplete::NoDay(asked))?;
                match fields.one(&format!("calls-{n}")).unwrap_or_default() {
                    "" => Choice::Until(day),
                    calls => calls
                        .parse()
                        .ok()
                        .filter(|calls| (1..=CALLS_MAX).contains(calls))
                        .map(|calls| Choice::Times(calls, day))
                        .ok_or(Incomplete::NoNumber(asked))?,
                }
            }
            // An unknown choice is none, and none is not taken for an answer: a denial is a decision of the user as well.
            Some(_) | None => return Err(Incomplete::NotChosen(asked)),
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
    // In which language it was shown, whatever the browser prefers by now.
    let Some(language) = fields.one("language").and_then(Language::of_tag) else {
        return Ok(None);
    };
    let shown = Shown::render(web, session, id, question, language, Timestamp(at))?;
    let bare = Purpose::Decide {
        ticket: id.hash(),
        page: shown.bare.as_bytes(),
    };
    let ours = web.forms.holds(fields.one("token"), session.id_hash, &bare);
    Ok(ours.then(|| PageFacts {
        digest: Digest::of(shown.html.as_bytes()),
        locale: language.tag(),
    }))
}

#[derive(Template)]
#[template(path = "decided.html")]
struct DecidedPage {
    w: &'static Words,
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
    w: &'static Words,
    session: &Session,
    id: &TicketId,
    allowed: bool,
    again: bool,
) -> Result<Response, Fault> {
    let now = web.clock.now();
    let mut rows = web.consents.decided(&session.who, id).await?;
    rows.sort_by(|a, b| a.capability.cmp(&b.capability));
    let page = DecidedPage {
        w,
        viewer: session::viewer(web, session),
        allowed,
        again,
        decided: rows
            .iter()
            .map(|row| DecidedView {
                sentence: sentence(w, &row.capability),
                standing: (w.standing)(Standing::of(row, now)),
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
    w: &'static Words,
    session: &Session,
    id: &TicketId,
    error: TicketError,
) -> Result<Response, Fault> {
    let viewer = session::viewer(web, session);
    match error {
        TicketError::Unknown => Ok(not_for_you(w, Some(viewer))),
        TicketError::Expired => {
            let message = Message::of(w, &w.notices.question_expired).viewer(viewer);
            Ok(page::show(StatusCode::GONE, &message))
        }
        TicketError::FreshSignIn => {
            let path = next::sign_in(&Next::Question(id.clone()), true);
            let message = Message::of(w, &w.notices.question_fresh).link(&path, w.ways.fresh);
            Ok(page::show(StatusCode::FORBIDDEN, &message.viewer(viewer)))
        }
        TicketError::NoAcr => {
            let message = Message::of(w, &w.notices.question_no_acr).viewer(viewer);
            Ok(page::show(StatusCode::FORBIDDEN, &message))
        }
        TicketError::SignedOut => {
            let path = id.path();
            let message =
                Message::of(w, &w.notices.question_signed_out).link(&path, w.ways.question);
            Ok(page::show(StatusCode::FORBIDDEN, &message))
        }
        TicketError::Past => {
            let text = w.notices.past;
            Ok(again(web, w, session, id, StatusCode::BAD_REQUEST, text))
        }
        error @ (TicketError::NotAsked { .. }
        | TicketError::OnceOnly { .. }
        | TicketError::Answered { .. }) => {
            tracing::warn!(%error, "an answer did not fit its question");
            let text = w.notices.misfit;
            Ok(again(web, w, session, id, StatusCode::BAD_REQUEST, text))
        }
        TicketError::Store(error) => Err(error.into()),
        TicketError::Audit(error) => Err(error.into()),
    }
}

/// One page for a question of another user and for none: nobody learns which it is.
fn not_for_you(w: &'static Words, viewer: Option<Viewer>) -> Response {
    let mut message = Message::of(w, &w.notices.question_unknown);
    if let Some(viewer) = viewer {
        message = message.viewer(viewer);
    }
    page::show(StatusCode::NOT_FOUND, &message)
}

fn again(
    web: &WebState,
    w: &'static Words,
    session: &Session,
    id: &TicketId,
    status: StatusCode,
    text: &str,
) -> Response {
    let path = id.path();
    let message = Message::new(w, w.notices.not_taken, text)
        .link(&path, w.ways.question)
        .viewer(session::viewer(web, session));
    page::show(status, &message)
}
