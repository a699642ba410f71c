//! The receipt of a decision, for its user, and the key by which anybody checks one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::fault::Fault;
use super::language::Language;
use super::next::Next;
use super::page::{self, Message};
use super::{WebState, session, sign_in};

/// `GET /consents/{id}/receipt`: a file to keep.
pub(super) async fn download(
    State(web): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    language: Language,
) -> Result<Response, Fault> {
    let Some(session) = session::current(&web, &headers).await? else {
        return Ok(sign_in::redirect(&Next::Consents));
    };
    let row = match id.parse::<Uuid>() {
        Ok(id) => web.consents.record(&session.who, id).await?,
        Err(_) => None,
    };
    let Some(row) = row else {
        // The same for the record of another user and for none.
        let w = language.words();
        let message = Message::of(w, &w.notices.receipt_unknown)
            .link("/consents", w.ways.consents)
            .viewer(session::viewer(&web, &session));
        return Ok(page::show(StatusCode::NOT_FOUND, &message));
    };
    let receipt = web.receipts.of(&row, web.clock.now()).await?;
    let name = format!("attachment; filename=\"consent-{}.jws.json\"", row.id);
    let kind = "application/jose+json".to_owned();
    Ok((
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_DISPOSITION, name),
        ],
        Json(receipt),
    )
        .into_response())
}

/// `GET /receipts/jwks.json`: public, so that a receipt can be checked without us and without an account.
pub(super) async fn keys(State(web): State<WebState>) -> Response {
    let kind = (header::CONTENT_TYPE, "application/jwk-set+json");
    ([kind], Json(web.receipts.key_set())).into_response()
}
