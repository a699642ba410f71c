//! The pages for people: sign-in, the consent page, one's own consents. Plain forms, no script.
//!
//! In reading order: `sign_in` makes the browser's session, `consent` shows a question and takes its answer, `consents` lists and
//! takes back, `history` tells what became of it, `receipt` hands out what was decided, signed. `page` is how every page is sent,
//! `language` chooses in which language, and `words` holds every text. A page decides nothing by itself and never sees an access
//! token; whoever opens one is the user who signed in, whatever the URL says.

mod changed;
mod client_view;
mod consent;
mod consents;
mod cookie;
mod dates;
mod fault;
mod form;
mod history;
mod host;
mod issuer;
pub mod language;
mod next;
mod pace;
pub mod page;
mod question_page;
mod receipt;
mod secret;
mod session;
mod sign_in;
mod standing;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use url::Url;

pub use issuer::{Exchange, ExchangeError};
pub use session::{OverError, forget_over};

use crate::audit::Audit;
use crate::clock::SharedClock;
use crate::config::SignIn;
use crate::consent::{Consents, RECEIPT_KEYS_PATH, ReceiptError, Receipts};
use crate::identity::{FetchKeys, Identity};
use crate::ids::{MountName, StoreName};
use crate::store::{SharedStore, random_secret};
use form::FormKey;
use issuer::IssuerClient;
use pace::Pace;

/// Largest form that is read, in bytes: a page with a hundred capabilities sends 10 KiB.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Name of the server's key that seals forms.
const FORM_KEY: &str = "web.forms";

/// What the pages need.
pub struct WebParts {
    /// Keeps sessions and sign-ins.
    pub store: SharedStore,
    /// Records sign-ins.
    pub audit: Audit,
    /// Questions and answers.
    pub consents: Consents,
    /// Verifies ID tokens.
    pub identity: Arc<Identity>,
    /// How a browser signs in; without it nobody can.
    pub sign_in: Option<SignIn>,
    /// Reads the metadata of the issuer.
    pub fetch: Arc<dyn FetchKeys>,
    /// Sends codes to the issuer.
    pub exchange: Arc<dyn Exchange>,
    /// The time.
    pub clock: SharedClock,
    /// The URL under which browsers reach us.
    pub public_url: Url,
    /// What is not a user's own.
    pub shared: Shared,
}

/// What users find and leave in common, as the operator bound it.
#[derive(Debug, Default)]
pub struct Shared {
    /// Stores of all users of a tenant.
    pub stores: BTreeSet<StoreName>,
    /// Mounts whose directory is not one per user.
    pub mounts: BTreeMap<MountName, Among>,
}

/// Who finds there what one user leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// The users of a tenant.
    Tenant,
    /// All users of the server.
    Everybody,
}

/// Everything behind the pages. Cheap to clone.
#[derive(Clone)]
pub struct WebState {
    store: SharedStore,
    audit: Audit,
    consents: Consents,
    identity: Arc<Identity>,
    issuer: Option<Arc<IssuerClient>>,
    pace: Arc<Pace>,
    clock: SharedClock,
    public_url: Url,
    forms: FormKey,
    receipts: Arc<Receipts>,
    shared: Arc<Shared>,
}

impl WebState {
    /// The state of the pages. The key of their forms is in the store, so that a restart does not spoil an open page.
    pub async fn open(parts: WebParts) -> Result<Self, ReceiptError> {
        let key = parts.store.secret(None, FORM_KEY, random_secret()?).await?;
        let issuer = parts.sign_in.map(|config| {
            let client = IssuerClient::new(config, &parts.public_url, parts.fetch, parts.exchange);
            Arc::new(client)
        });
        let receipts = Receipts::open(Arc::clone(&parts.store), &parts.public_url).await?;
        Ok(Self {
            receipts: Arc::new(receipts),
            shared: Arc::new(parts.shared),
            store: parts.store,
            audit: parts.audit,
            consents: parts.consents,
            identity: parts.identity,
            issuer,
            pace: Arc::new(Pace::new()),
            clock: parts.clock,
            public_url: parts.public_url,
            forms: FormKey::new(&key),
        })
    }
}

/// All pages.
pub fn router(state: WebState) -> Router {
    let forgery = forgery(&state.public_url);
    let hosts = host::Hosts::of(&state.public_url);
    let routes = Router::new()
        .route("/sign-in", get(sign_in::start))
        .route("/sign-in/callback", get(sign_in::finish))
        .route("/sign-out", post(sign_in::end))
        .route(
            "/consent/{ticket}",
            get(consent::show).post(consent::decide),
        )
        .route("/consents", get(consents::show))
        .route("/consents/history", get(history::show))
        .route("/consents/revoke-tool", post(consents::revoke_tool))
        .route("/consents/revoke-client", post(consents::revoke_client))
        .route("/consents/revoke-all", post(consents::revoke_all))
        .route("/consents/{id}/revoke", post(consents::revoke))
        .route("/consents/{id}/receipt", get(receipt::download))
        .route(RECEIPT_KEYS_PATH, get(receipt::keys))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(forgery.with_rejection_response(forged))
        .layer(middleware::from_fn_with_state(hosts, host::check))
        .with_state(state);
    page::secure(routes, "")
}

/// Refuses forms of other sites (`Sec-Fetch-Site`, else `Origin`). Behind it stands the token of each form.
fn forgery(public_url: &Url) -> CsrfLayer {
    let ours = public_url.origin().ascii_serialization();
    // An origin that is none is not trusted; then only `Sec-Fetch-Site` and the `Host` of the request count.
    CsrfLayer::new()
        .add_trusted_origin(ours)
        .unwrap_or_else(|_| CsrfLayer::new())
}

fn forged(error: ProtectionError) -> axum::response::Response {
    tracing::info!(%error, "a form of another site was refused");
    fault::Untold::Forged.into_response()
}
