//! How every page of ours is sent: escaped by its template, in the browser's language, without script, never framed, never
//! cached.

use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tower_http::set_header::SetResponseHeaderLayer;

use super::language;
use super::text::plain;
use super::words::{Notice, Words};
use crate::ids::User;

/// Longest name of a user, a client or an issuer that a page shows, in characters.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// Longest version that a page shows, in characters.
pub(super) const VERSION_CHARS_MAX: usize = 40;

/// A page with a title and a sentence: what happened, and what to do.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    w: &'static Words,
    title: &'a str,
    text: &'a str,
    link: Option<Link<'a>>,
    viewer: Option<Viewer>,
}

/// A way on from a page.
struct Link<'a> {
    to: &'a str,
    label: &'a str,
}

impl<'a> Message<'a> {
    /// What happened and what to do.
    pub(crate) fn new(w: &'static Words, title: &'a str, text: &'a str) -> Self {
        Self {
            w,
            title,
            text,
            link: None,
            viewer: None,
        }
    }

    /// The same for what is always said in the same words.
    pub(super) fn of(w: &'static Words, notice: &Notice) -> Self {
        Self::new(w, notice.title, notice.text)
    }

    /// With a way on, to an address that the caller vouches for.
    #[must_use]
    pub(super) fn link(mut self, to: &'a str, label: &'a str) -> Self {
        self.link = Some(Link { to, label });
        self
    }

    /// For somebody who signed in.
    #[must_use]
    pub(super) fn viewer(mut self, viewer: Viewer) -> Self {
        self.viewer = Some(viewer);
        self
    }
}

/// Who looks at a page, as the page shows it.
pub(super) struct Viewer {
    /// The user's name at the issuer.
    pub(super) name: String,
    /// The issuer.
    pub(super) issuer: String,
    /// The token of the form that signs out.
    pub(super) sign_out: String,
}

impl Viewer {
    pub(super) fn new(user: &User, sign_out: String) -> Self {
        Self {
            name: plain(user.subject.as_str(), NAME_CHARS_MAX),
            issuer: plain(user.issuer.as_str(), NAME_CHARS_MAX),
            sign_out,
        }
    }
}

/// Renders a page.
pub fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page could not be rendered",
            )
                .into_response()
        }
    }
}

/// Adds the style sheet, and the headers without which no page leaves.
///
/// `form_targets` are origins other than our own to which a form may lead. Browsers apply `form-action` to the redirects
/// after a form as well.
pub fn secure(router: Router, form_targets: &str) -> Router {
    let targets = format!("'self' {form_targets}");
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action {}; frame-ancestors 'none'; base-uri 'none'",
        targets.trim_end()
    );
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(
        "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ));
    let set = |router: Router, name: HeaderName, value: HeaderValue| {
        router.layer(SetResponseHeaderLayer::overriding(name, value))
    };
    let router = router
        .route("/style.css", get(style))
        .layer(middleware::from_fn(language::speak));
    let router = set(router, header::CONTENT_SECURITY_POLICY, policy);
    let router = set(
        router,
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let router = set(
        router,
        header::X_FRAME_OPTIONS,
        HeaderValue::from_static("DENY"),
    );
    let router = set(
        router,
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    let router = set(router, opener, HeaderValue::from_static("same-origin"));
    set(
        router,
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    )
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../templates/style.css"),
    )
}
