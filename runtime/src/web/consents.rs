//! One's own consents: what one decided, by tool or by client, and the buttons that take it back.

use std::collections::HashMap;

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::{Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::changed::ChangedView;
use super::client_view;
use super::fault::Fault;
use super::form::{Fields, Purpose};
use super::language::Language;
use super::next::Next;
use super::page::{self, Message, NAME_CHARS_MAX, Viewer};
use super::question_page::sentence;
use super::standing::Standing;
use super::text::plain;
use super::words::{Notice, Words};
use super::{WebState, session, sign_in};
use crate::clock::Timestamp;
use crate::store::{Channel, ConsentRow, ConsentState, Holding, Session};

/// Decisions that have ended and are still shown, the newest. The history has all of them.
const ENDED_MAX: u32 = 5;

#[derive(Template)]
#[template(path = "consents.html")]
struct ConsentsPage {
    w: &'static Words,
    viewer: Viewer,
    token: String,
    by_client: bool,
    groups: Vec<GroupView>,
    /// How many consents there are, also on other pages; denials aside.
    given: u32,
    take_back_all: String,
    /// The last one that is shown, if there are earlier ones.
    before: Option<Uuid>,
    /// Whether these are the newest.
    newest: bool,
    ended: Vec<EndedView>,
}

/// What was decided about one tool, or through one client.
struct GroupView {
    /// The tool or the client, as it is shown.
    name: String,
    /// Of a tool.
    publisher: Option<String>,
    records: Vec<RecordView>,
    /// How many consents there are of it, also on other pages; denials aside.
    given: u32,
    /// Where the form leads that takes all of it back, what it says, and the names that it sends.
    action: &'static str,
    take_back: fn(u32) -> String,
    fields: Vec<(&'static str, String)>,
}

struct RecordView {
    id: Uuid,
    sentence: String,
    allowed: bool,
    /// The client where tools are in order, and the other way round.
    other: String,
    standing: String,
    decided: String,
    /// When it was used last; nothing for a denial.
    used: Option<String>,
    /// What is different about the tool by now.
    change: Option<ChangedView>,
    /// What is different about the client.
    client_change: Option<String>,
}

struct EndedView {
    id: Uuid,
    tool: String,
    sentence: String,
    standing: String,
}

/// In which order the list is, and where it begins.
#[derive(Default, Deserialize)]
pub(super) struct Order {
    by: Option<String>,
    before: Option<Uuid>,
}

/// `GET /consents`, and `GET /consents?by=client`; with `before=ID`, what was decided before that.
pub(super) async fn show(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    query: Result<Query<Order>, QueryRejection>,
) -> Result<Response, Fault> {
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::Consents));
    };
    let w = language.words();
    // What cannot be read is as good as none: by tool, and the newest.
    let order = query.map(|Query(order)| order).unwrap_or_default();
    let by_client = order.by.as_deref() == Some("client");
    let now = web.clock.now();
    let (live, more) = web.consents.held(&session.who, order.before, now).await?;
    let holdings = web.consents.holdings(&session.who, now).await?;
    let ended = match order.before {
        None => web.consents.ended(&session.who, ENDED_MAX, now).await?,
        Some(_) => Vec::new(),
    };
    let (mut changes, mut client_changes) = (HashMap::new(), HashMap::new());
    for row in &live {
        if let Some(changed) = web.consents.changed(row).await? {
            changes.insert(row.id, ChangedView::new(w, &changed));
        }
        if let Some(changed) = web.consents.client_changed(row).await? {
            client_changes.insert(row.id, client_view::change(w, &changed));
        }
    }
    let groups = grouped(
        w,
        &live,
        &holdings,
        by_client,
        (changes, client_changes),
        now,
    );
    let given = holdings.iter().map(|one| one.given).sum();
    let page = ConsentsPage {
        w,
        viewer: session::viewer(&web, &session),
        token: web.forms.seal(session.id_hash, &Purpose::Revoke),
        by_client,
        groups,
        given,
        take_back_all: (w.consents.take_back_all)(given),
        before: live.last().map(|row| row.id).filter(|_| more),
        newest: order.before.is_none(),
        ended: ended
            .iter()
            .map(|row| EndedView {
                id: row.id,
                tool: row.key.tool.to_string(),
                sentence: sentence(w, &row.capability),
                standing: (w.standing)(Standing::of(row, now)),
            })
            .collect(),
    };
    Ok(page::show(StatusCode::OK, &page))
}

/// `POST /consents/{id}/revoke`.
pub(super) async fn revoke(
    State(web): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let (session, _) = match allowed(&web, w, &headers, form).await? {
        Ok(allowed) => allowed,
        Err(refused) => return Ok(refused),
    };
    let taken = match id.parse::<Uuid>() {
        Ok(id) => take_back(&web, &session, id).await?,
        Err(_) => false,
    };
    if taken {
        return Ok(Redirect::to("/consents").into_response());
    }
    let notice = &w.notices.consent_unknown;
    Ok(not_done(&web, w, &session, StatusCode::NOT_FOUND, notice))
}

/// `POST /consents/revoke-all`: takes every consent back. Denials stay.
pub(super) async fn revoke_all(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let (session, _) = match allowed(&web, language.words(), &headers, form).await? {
        Ok(allowed) => allowed,
        Err(refused) => return Ok(refused),
    };
    revoke_those(&web, &session, |_| true).await?;
    Ok(Redirect::to("/consents").into_response())
}

/// `POST /consents/revoke-tool`: takes every consent to one tool of one publisher back. Denials stay.
pub(super) async fn revoke_tool(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let (session, fields) = match allowed(&web, w, &headers, form).await? {
        Ok(allowed) => allowed,
        Err(refused) => return Ok(refused),
    };
    let (Some(tool), Some(publisher)) = (fields.one("tool"), fields.one("publisher")) else {
        let notice = &w.notices.consents_unclear;
        return Ok(not_done(&web, w, &session, StatusCode::BAD_REQUEST, notice));
    };
    let meant =
        |row: &ConsentRow| row.key.tool.as_str() == tool && row.key.publisher.as_str() == publisher;
    revoke_those(&web, &session, meant).await?;
    Ok(Redirect::to("/consents").into_response())
}

/// `POST /consents/revoke-client`: takes every consent through one client back. Denials stay.
pub(super) async fn revoke_client(
    State(web): State<WebState>,
    headers: HeaderMap,
    language: Language,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Response, Fault> {
    let w = language.words();
    let (session, fields) = match allowed(&web, w, &headers, form).await? {
        Ok(allowed) => allowed,
        Err(refused) => return Ok(refused),
    };
    let Some(client) = fields.one("client") else {
        let notice = &w.notices.consents_unclear;
        return Ok(not_done(&web, w, &session, StatusCode::BAD_REQUEST, notice));
    };
    revoke_those(&web, &session, |row| row.key.client.as_str() == client).await?;
    Ok(Redirect::to("/consents?by=client").into_response())
}

/// Takes those consents of this user back that are meant.
async fn revoke_those(
    web: &WebState,
    session: &Session,
    meant: impl Fn(&ConsentRow) -> bool,
) -> Result<(), Fault> {
    let mut before = None;
    // All of them, and not only those that a page has room for.
    loop {
        let now = web.clock.now();
        let (rows, more) = web.consents.held(&session.who, before, now).await?;
        for row in rows.iter().filter(|row| row.state != ConsentState::Denied) {
            if meant(row) {
                take_back(web, session, row.id).await?;
            }
        }
        before = rows.last().map(|row| row.id);
        if !more {
            return Ok(());
        }
    }
}

async fn take_back(web: &WebState, session: &Session, id: Uuid) -> Result<bool, Fault> {
    let taken = web.consents.revoke(&session.who, id, web.clock.now()).await;
    taken.map_err(Fault::of)
}

/// The session of whoever sent this form from our page, with its fields, or the page that says why it does not count.
async fn allowed(
    web: &WebState,
    w: &'static Words,
    headers: &HeaderMap,
    form: Result<Form<Vec<(String, String)>>, FormRejection>,
) -> Result<Result<(Session, Fields), Response>, Fault> {
    let fields = Fields(form.map(|Form(fields)| fields).unwrap_or_default());
    let session = session::current(web, headers).await?;
    let ours = |session: &Session| {
        let token = fields.one("token");
        web.forms.holds(token, session.id_hash, &Purpose::Revoke)
    };
    let Some(session) = session.filter(ours) else {
        let message =
            Message::of(w, &w.notices.consents_signed_out).link("/consents", w.ways.consents);
        return Ok(Err(page::show(StatusCode::FORBIDDEN, &message)));
    };
    Ok(Ok((session, fields)))
}

fn not_done(
    web: &WebState,
    w: &'static Words,
    session: &Session,
    status: StatusCode,
    notice: &Notice,
) -> Response {
    let message = Message::of(w, notice)
        .link("/consents", w.ways.consents)
        .viewer(session::viewer(web, session));
    page::show(status, &message)
}

/// By tool or by client, in the order in which each was last decided about.
fn grouped(
    w: &Words,
    rows: &[ConsentRow],
    holdings: &[Holding],
    by_client: bool,
    (mut changes, mut client_changes): (HashMap<Uuid, ChangedView>, HashMap<Uuid, String>),
    now: Timestamp,
) -> Vec<GroupView> {
    let mut groups: Vec<GroupView> = Vec::new();
    for row in rows {
        let record = RecordView {
            change: changes.remove(&row.id),
            client_change: client_changes.remove(&row.id),
            ..RecordView::new(w, row, by_client, now)
        };
        let group = GroupView::of(w, row, holdings, by_client);
        let place = groups.iter().position(|one| one.fields == group.fields);
        let place = place.unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.records.push(record);
        }
    }
    for group in &mut groups {
        group.records.sort_by(|a, b| a.other.cmp(&b.other));
    }
    groups
}

impl GroupView {
    /// The one to which a record belongs, without it.
    fn of(w: &Words, row: &ConsentRow, holdings: &[Holding], by_client: bool) -> Self {
        let key = &row.key;
        let same = |one: &&Holding| match by_client {
            true => one.client == key.client,
            false => one.tool == key.tool && one.publisher == key.publisher,
        };
        let given = holdings.iter().filter(same).map(|one| one.given).sum();
        let empty = |name, publisher, action, take_back, fields| Self {
            name,
            publisher,
            records: Vec::new(),
            given,
            action,
            take_back,
            fields,
        };
        if by_client {
            empty(
                plain(key.client.as_str(), NAME_CHARS_MAX),
                None,
                "/consents/revoke-client",
                w.consents.take_back_client,
                vec![("client", key.client.to_string())],
            )
        } else {
            empty(
                key.tool.to_string(),
                Some(plain(key.publisher.as_str(), NAME_CHARS_MAX)),
                "/consents/revoke-tool",
                w.consents.take_back_tool,
                vec![
                    ("tool", key.tool.to_string()),
                    ("publisher", key.publisher.to_string()),
                ],
            )
        }
    }

    /// What the button says that takes all of it back.
    fn take_back_all(&self) -> String {
        (self.take_back)(self.given)
    }
}

impl RecordView {
    fn new(w: &Words, row: &ConsentRow, by_client: bool, now: Timestamp) -> Self {
        let allowed = row.state != ConsentState::Denied;
        let since = (w.moment)(row.decided_at);
        let used = |at| (w.consents.last_used)(&(w.day)(at));
        Self {
            id: row.id,
            sentence: sentence(w, &row.capability),
            allowed,
            other: if by_client {
                row.key.tool.to_string()
            } else {
                plain(row.key.client.as_str(), NAME_CHARS_MAX)
            },
            standing: (w.standing)(Standing::of(row, now)),
            decided: match row.channel {
                Channel::Page => (w.consents.decided)(&since),
                Channel::Operator => (w.consents.decided_by_operator)(&since),
            },
            used: allowed.then(|| {
                row.last_used_at
                    .map_or_else(|| w.consents.unused.to_owned(), used)
            }),
            change: None,
            client_change: None,
        }
    }
}
