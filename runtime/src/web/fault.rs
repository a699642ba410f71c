//! What goes wrong on our side: in full for the log, as an id for the reader.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::page;
use crate::audit::AuditError;
use crate::consent::ReceiptError;
use crate::store::StoreError;

/// A page cannot be made for a reason of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// State cannot be read or kept.
    #[error("the state cannot be read or kept")]
    Store(#[from] StoreError),
    /// Something cannot be recorded, so it is not done.
    #[error("it cannot be recorded, so it is not done")]
    Audit(#[from] AuditError),
    /// A receipt cannot be made.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A page cannot be rendered.
    #[error("a page cannot be rendered")]
    Page(#[from] askama::Error),
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let id = Uuid::now_v7();
        let cause: &(dyn std::error::Error + 'static) = &self;
        tracing::error!(%id, error = cause, "a page could not be shown");
        page::message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Something is wrong on our side",
            &format!(
                "Nothing was changed. Try again in a minute. If it stays so, tell the operator this number: {id}."
            ),
        )
    }
}
