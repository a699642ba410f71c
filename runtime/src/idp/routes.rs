//! The endpoints of the embedded identity provider.

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{DevIdp, SharedIdp, USERS, WEB_CLIENT};
use crate::web::language::Language;
use crate::web::page::{self, Message};
use crate::web::words::{IdpWords, Words};

/// All endpoints, to be served on loopback.
pub fn router(idp: SharedIdp) -> Router {
    let back = Url::parse(&idp.redirect_uri)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let routes = Router::new()
        .route(super::OPENID_METADATA, get(document))
        .route(super::METADATA, get(document))
        .route(super::JWKS, get(document))
        .route("/authorize", get(ask).post(sign_in))
        .route("/token", post(token))
        .with_state(idp);
    page::secure(routes, &back)
}

async fn document(State(idp): State<SharedIdp>, uri: Uri) -> Response {
    match idp.document(uri.path()) {
        Some(document) => Json(document).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// An authorization request (RFC 6749 §4.1.1 with RFC 7636 §4.3 and OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Deserialize, Serialize)]
struct Authorize {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    scope: String,
}

impl Authorize {
    /// Whether the request is one that the registered client could make.
    fn check(&self, idp: &DevIdp, w: &IdpWords) -> Result<(), &'static str> {
        if self.client_id != WEB_CLIENT {
            return Err(w.client);
        }
        // RFC 9700 §2.1: exact string matching.
        if self.redirect_uri != idp.redirect_uri {
            return Err(w.redirect);
        }
        if self.response_type != "code"
            || self.code_challenge_method != "S256"
            || self.code_challenge.len() != 43
        {
            return Err(w.flow);
        }
        Ok(())
    }
}

#[derive(Template)]
#[template(path = "idp-sign-in.html")]
struct SignInPage<'a> {
    w: &'static Words,
    request: &'a Authorize,
    note: String,
    wrong: Option<String>,
}

fn form(w: &'static Words, request: &Authorize, wrong: bool) -> Response {
    let status = if wrong {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::OK
    };
    let users = USERS.map(|user| user.name);
    let page = SignInPage {
        w,
        request,
        note: (w.idp.note)(&users),
        wrong: wrong.then(|| (w.idp.wrong)(users[0])),
    };
    page::show(status, &page)
}

fn refused(w: &'static Words, text: &str) -> Response {
    let message = Message::new(w, w.idp.refused, text);
    page::show(StatusCode::BAD_REQUEST, &message)
}

async fn ask(
    State(idp): State<SharedIdp>,
    language: Language,
    query: Result<Query<Authorize>, QueryRejection>,
) -> Response {
    let w = language.words();
    let Ok(Query(request)) = query else {
        return refused(w, w.idp.incomplete);
    };
    match request.check(&idp, &w.idp) {
        Ok(()) => form(w, &request, false),
        Err(text) => refused(w, text),
    }
}

#[derive(Deserialize)]
struct SignIn {
    user: String,
    password: String,
    #[serde(flatten)]
    request: Authorize,
}

async fn sign_in(
    State(idp): State<SharedIdp>,
    language: Language,
    form_data: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let w = language.words();
    let Ok(Form(form_data)) = form_data else {
        return refused(w, w.idp.incomplete);
    };
    let request = form_data.request;
    if let Err(text) = request.check(&idp, &w.idp) {
        return refused(w, text);
    }
    // The password of a development user is its name.
    let user = match DevIdp::user(&form_data.user) {
        Ok(user) if form_data.password == user.name => user,
        Ok(_) | Err(_) => return form(w, &request, true),
    };
    let (Ok(code), Ok(mut back)) = (
        idp.issue(user, request.code_challenge, request.nonce),
        Url::parse(&request.redirect_uri),
    ) else {
        return refused(w, w.idp.no_code);
    };
    // RFC 9207: the response names its issuer.
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &request.state)
        .append_pair("iss", &idp.issuer);
    Redirect::to(back.as_str()).into_response()
}

#[derive(Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    redirect_uri: String,
    client_id: String,
    code_verifier: String,
}

async fn token(State(idp): State<SharedIdp>, Form(exchange): Form<Exchange>) -> Response {
    let error =
        |name: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": name}))).into_response();
    if exchange.grant_type != "authorization_code" {
        return error("unsupported_grant_type");
    }
    if exchange.client_id != WEB_CLIENT || exchange.redirect_uri != idp.redirect_uri {
        return error("invalid_client");
    }
    let Some((user, nonce)) = idp.redeem(&exchange.code, &exchange.code_verifier) else {
        return error("invalid_grant");
    };
    // The page needs to know who signed in, not to call tools: its access token is for no resource of ours.
    let access = idp.access_token_for(user, WEB_CLIENT, "openid", &idp.issuer);
    match (access, idp.id_token(user, nonce.as_deref())) {
        (Ok(access_token), Ok(id_token)) => (
            [(header::CACHE_CONTROL, "no-store")],
            Json(json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token})),
        )
            .into_response(),
        (Err(_), _) | (_, Err(_)) => error("server_error"),
    }
}
