//! What became of one's own decisions: each with what happened to it, the newest first, and who else opened one's questions.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::changed::ChangedView;
use super::client_view;
use super::fault::Fault;
use super::language::Language;
use super::next::Next;
use super::page::{self, NAME_CHARS_MAX, Viewer};
use super::question_page::sentence;
use super::standing::{Happened, Standing};
use super::text::plain;
use super::words::Words;
use super::{WebState, session, sign_in};
use crate::clock::Timestamp;
use crate::consent::HISTORY_PAGE;
use crate::store::{ConsentRow, ForeignVisit};

/// Questions that others opened and that are shown, the last.
const OTHERS_MAX: u32 = 20;

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    w: &'static Words,
    viewer: Viewer,
    others: Vec<OtherView>,
    decisions: Vec<DecisionView>,
    /// The last one that is shown, if there are earlier ones.
    before: Option<Uuid>,
    /// Whether these are the newest.
    newest: bool,
}

/// A question that somebody else opened.
struct OtherView {
    tool: String,
    client: String,
    opened: String,
}

/// A decision.
struct DecisionView {
    id: Uuid,
    sentence: String,
    tool: String,
    publisher: String,
    client: String,
    standing: String,
    events: Vec<EventView>,
    reason: Option<String>,
    /// What is different about the tool by now.
    change: Option<ChangedView>,
    /// What is different about the client.
    client_change: Option<String>,
}

/// What happened to it, and when.
struct EventView {
    at: String,
    text: String,
}

/// Where the page begins.
#[derive(Deserialize)]
pub(super) struct From {
    before: Option<Uuid>,
}

/// `GET /consents/history`, and `GET /consents/history?before=ID` for what was decided before that.
pub(super) async fn show(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    query: Result<Query<From>, QueryRejection>,
) -> Result<Response, Fault> {
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::History));
    };
    let w = language.words();
    let now = web.clock.now();
    // What is no id is as good as none: the newest.
    let before = query.ok().and_then(|Query(from)| from.before);
    let (rows, more) = web.consents.history(&session.who, before).await?;
    let mut decisions = Vec::with_capacity(HISTORY_PAGE);
    for row in &rows {
        let changed = web.consents.changed(row).await?;
        let change = changed.map(|changed| ChangedView::new(w, &changed));
        let changed = web.consents.client_changed(row).await?;
        decisions.push(DecisionView {
            client_change: changed.map(|changed| client_view::change(w, &changed)),
            ..DecisionView::new(w, row, change, now)
        });
    }
    let others = match before {
        None => {
            web.consents
                .foreign_visits(&session.who, OTHERS_MAX)
                .await?
        }
        Some(_) => Vec::new(),
    };
    let page = HistoryPage {
        w,
        viewer: session::viewer(&web, &session),
        others: others.iter().map(|one| OtherView::new(w, one)).collect(),
        before: rows.last().map(|row| row.id).filter(|_| more),
        decisions,
        newest: before.is_none(),
    };
    Ok(page::show(StatusCode::OK, &page))
}

impl OtherView {
    fn new(w: &Words, visit: &ForeignVisit) -> Self {
        Self {
            tool: visit.tool.to_string(),
            client: plain(visit.client.as_str(), NAME_CHARS_MAX),
            opened: (w.history.opened)(visit.visits, &(w.moment)(visit.last_at)),
        }
    }
}

impl DecisionView {
    fn new(w: &Words, row: &ConsentRow, change: Option<ChangedView>, now: Timestamp) -> Self {
        let reason = row.evidence.end_reason.as_deref();
        let event = |(at, what)| EventView {
            at: (w.moment)(at),
            text: match what {
                Happened::ToolChanged { version } => {
                    let version = &plain(version, page::VERSION_CHARS_MAX);
                    (w.history.happened)(Happened::ToolChanged { version })
                }
                other => (w.history.happened)(other),
            },
        };
        Self {
            id: row.id,
            sentence: sentence(w, &row.capability),
            tool: row.key.tool.to_string(),
            publisher: plain(row.key.publisher.as_str(), NAME_CHARS_MAX),
            client: plain(row.key.client.as_str(), NAME_CHARS_MAX),
            standing: (w.standing)(Standing::of(row, now)),
            events: Happened::to(row, now).into_iter().map(event).collect(),
            reason: reason.map(|reason| plain(reason, NAME_CHARS_MAX)),
            change,
            client_change: None,
        }
    }
}
