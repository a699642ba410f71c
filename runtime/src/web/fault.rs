//! What goes wrong on our side: in full for the log, as an id for the reader.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::language::Language;
use super::page::{self, Message};
use crate::audit::AuditError;
use crate::consent::{ReceiptError, TicketError};
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

impl Fault {
    /// What stopped an end of consents that nobody can be blamed for but us.
    pub(super) fn of(error: TicketError) -> Self {
        match error {
            TicketError::Audit(error) => error.into(),
            TicketError::Store(error) => error.into(),
            other => {
                tracing::error!(error = %other, "consents could not be ended");
                Self::Store(StoreError::Corrupt {
                    table: "consent",
                    column: "state",
                })
            }
        }
    }
}

/// What is to be said where the browser's language is not known: `speak` makes a page of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Untold {
    /// Something went wrong on our side, under this number in the log.
    Fault(Uuid),
    /// A form came from another site.
    Forged,
}

impl Untold {
    pub(super) fn page(self, language: Language) -> Response {
        let w = language.words();
        match self {
            Self::Fault(id) => {
                let text = (w.notices.fault_text)(id);
                let message = Message::new(w, w.notices.fault, &text);
                page::show(StatusCode::SERVICE_UNAVAILABLE, &message)
            }
            Self::Forged => page::show(StatusCode::FORBIDDEN, &Message::of(w, &w.notices.forged)),
        }
    }
}

impl IntoResponse for Untold {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, Extension(self)).into_response()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let id = Uuid::now_v7();
        let cause: &(dyn std::error::Error + 'static) = &self;
        tracing::error!(%id, error = cause, "a page could not be shown");
        Untold::Fault(id).into_response()
    }
}
