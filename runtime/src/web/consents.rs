//! One's own consents: what one decided, by tool, and the buttons that take it back.

use std::collections::HashMap;

use askama::Template;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::{Redirect, Response};
use uuid::Uuid;

use super::changed::ChangedView;
use super::fault::Fault;
use super::form::{Fields, Purpose};
use super::next::Next;
use super::page::{self, Message, NAME_CHARS_MAX, Viewer};
use super::words::{day, moment, plain, standing};
use super::{WebState, session, sign_in};
use crate::clock::Timestamp;
use crate::consent::{TicketError, is_revocable};
use crate::store::{Channel, ConsentFilter, ConsentRow, ConsentState, Ender, Session};

/// Decisions that have ended and are still shown, the newest.
const ENDED_MAX: usize = 20;

#[derive(Template)]
#[template(path = "consents.html")]
struct ConsentsPage {
    viewer: Viewer,
    token: String,
    tools: Vec<ToolView>,
    /// How many of them are consents and no denials.
    given: usize,
    ended: Vec<EndedView>,
}

struct ToolView {
    name: String,
    publisher: String,
    records: Vec<RecordView>,
}

struct RecordView {
    id: Uuid,
    sentence: String,
    allowed: bool,
    client: String,
    standing: String,
    since: String,
    used: Option<String>,
    by_operator: bool,
    /// What is different about the tool by now.
    change: Option<ChangedView>,
}

struct EndedView {
    id: Uuid,
    tool: String,
    sentence: String,
    standing: String,
    since: String,
    ended: Option<String>,
    by_operator: bool,
    reason: Option<String>,
}

/// `GET /consents`.
pub(super) async fn show(
    State(web): State<WebState>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::Consents));
    };
    let now = web.clock.now();
    let rows = web.consents.list(&session.who).await?;
    let (live, ended): (Vec<_>, Vec<_>) = rows.iter().partition(|row| is_revocable(row, now));
    let mut changes = HashMap::new();
    for row in &live {
        if let Some(changed) = web.consents.changed(row).await? {
            changes.insert(row.id, ChangedView::new(&changed));
        }
    }
    let page = ConsentsPage {
        viewer: session::viewer(&web, &session),
        token: web.forms.seal(session.id_hash, &Purpose::Revoke),
        given: live
            .iter()
            .filter(|row| row.state != ConsentState::Denied)
            .count(),
        tools: by_tool(&live, changes, now),
        ended: ended
            .into_iter()
            .take(ENDED_MAX)
            .map(|row| EndedView::new(row, now))
            .collect(),
    };
    Ok(page::show(StatusCode::OK, &page))
}

/// `POST /consents/{id}/revoke`.
pub(super) async fn revoke(
    State(web): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let session = match allowed(&web, &headers, form).await? {
        Ok(session) => session,
        Err(refused) => return Ok(refused),
    };
    let taken = match id.parse::<Uuid>() {
        Ok(id) => take_back(&web, &session, id).await?,
        Err(_) => false,
    };
    if taken {
        return Ok(Redirect::to("/consents").into_response());
    }
    let message = Message::new(
        "There is nothing to take back",
        "You have no such consent, or it has ended. Nothing was changed.",
    )
    .link("/consents", "Show my consents")
    .viewer(session::viewer(&web, &session));
    Ok(page::show(StatusCode::NOT_FOUND, &message))
}

/// `POST /consents/revoke-all`: takes every consent back. Denials stay.
pub(super) async fn revoke_all(
    State(web): State<WebState>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let session = match allowed(&web, &headers, form).await? {
        Ok(session) => session,
        Err(refused) => return Ok(refused),
    };
    let now = web.clock.now();
    // All of them, and not only those that the page has room for.
    let own = ConsentFilter {
        subject: Some(session.who.user.subject.clone()),
        ..ConsentFilter::default()
    };
    for row in web.consents.find(&own).await? {
        if !row.key.is_of(&session.who) {
            // The same name by another issuer, or in another tenant, is another user.
            continue;
        }
        if row.state != ConsentState::Denied && is_revocable(&row, now) {
            take_back(&web, &session, row.id).await?;
        }
    }
    Ok(Redirect::to("/consents").into_response())
}

async fn take_back(web: &WebState, session: &Session, id: Uuid) -> Result<bool, Fault> {
    let taken = web.consents.revoke(&session.who, id, web.clock.now()).await;
    taken.map_err(|error| match error {
        TicketError::Audit(error) => error.into(),
        TicketError::Store(error) => error.into(),
        other => {
            tracing::error!(error = %other, "a consent could not be taken back");
            crate::store::StoreError::Corrupt {
                table: "consent",
                column: "state",
            }
            .into()
        }
    })
}

/// The session of whoever sent this form from our page, or the page that says why it does not count.
async fn allowed(
    web: &WebState,
    headers: &HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Result<Session, Response>, Fault> {
    let fields = Fields(form.map(|Form(fields)| fields).unwrap_or_default());
    let session = session::current(web, headers).await?;
    let ours = |session: &Session| {
        let token = fields.one("token");
        web.forms.holds(token, session.id_hash, &Purpose::Revoke)
    };
    Ok(session.filter(ours).ok_or_else(|| {
        let message = Message::new(
            "You are not signed in any more",
            "Nothing was changed. Show your consents again; you may be asked to sign in.",
        );
        page::show(
            StatusCode::FORBIDDEN,
            &message.link("/consents", "Show my consents"),
        )
    }))
}

/// By tool, in the order in which each was last decided about.
fn by_tool(
    rows: &[&ConsentRow],
    mut changes: HashMap<Uuid, ChangedView>,
    now: Timestamp,
) -> Vec<ToolView> {
    let mut tools: Vec<ToolView> = Vec::new();
    for row in rows {
        let name = row.key.tool.to_string();
        let publisher = plain(row.key.publisher.as_str(), NAME_CHARS_MAX);
        let record = RecordView {
            id: row.id,
            sentence: plain(&row.capability.sentence(), NAME_CHARS_MAX),
            allowed: row.state != ConsentState::Denied,
            client: plain(row.key.client.as_str(), NAME_CHARS_MAX),
            standing: standing(row, now),
            since: moment(row.decided_at),
            used: row.last_used_at.map(day),
            by_operator: row.channel == Channel::Operator,
            change: changes.remove(&row.id),
        };
        let same = |tool: &&mut ToolView| tool.name == name && tool.publisher == publisher;
        match tools.iter_mut().find(same) {
            Some(tool) => tool.records.push(record),
            None => tools.push(ToolView {
                name,
                publisher,
                records: vec![record],
            }),
        }
    }
    for tool in &mut tools {
        tool.records.sort_by(|a, b| a.client.cmp(&b.client));
    }
    tools
}

impl EndedView {
    fn new(row: &ConsentRow, now: Timestamp) -> Self {
        Self {
            id: row.id,
            tool: row.key.tool.to_string(),
            sentence: plain(&row.capability.sentence(), NAME_CHARS_MAX),
            standing: standing(row, now),
            since: moment(row.decided_at),
            ended: row.ended_at.map(moment),
            by_operator: row.evidence.ended_by == Some(Ender::Operator),
            reason: row
                .evidence
                .end_reason
                .as_deref()
                .map(|reason| plain(reason, NAME_CHARS_MAX)),
        }
    }
}
