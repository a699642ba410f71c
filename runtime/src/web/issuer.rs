//! We as an OpenID Connect client of the one issuer at which browsers sign in.
//!
//! Endpoints come from that issuer's own metadata. Of its answer the ID token is read and nothing is kept: the pages need to know
//! who signed in, not to act for anybody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::clock::Timestamp;
use crate::config::SignIn;
use crate::consent::T3_TTL;
use crate::egress::Egress;
use crate::identity::{
    BearerToken, ClientSecretError, FetchKeys, KeyError, Metadata, basic, client_secret_file,
    discover,
};
use crate::ids::{Digest, Issuer};
use crate::limits::{JWKS_FETCH_MAX, JWKS_REFETCH_MIN, JWKS_TTL, TOKEN_BYTES_MAX};

/// Largest answer of a token endpoint, in bytes: three tokens of the largest size that we read, and what surrounds them.
const ANSWER_BYTES_MAX: usize = 4 * TOKEN_BYTES_MAX;
/// One exchange of a code, from connecting to the last byte. A person waits.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// What we ask about the age of an ordinary sign-in, in `max_age`. A year bounds little; it is there because an issuer has to
/// say when the user proved who they are (`auth_time`) only where a bound was asked for, and our records want to know.
const AGE_ASKED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Carries one form to a token endpoint.
///
/// An implementation follows no redirect, takes `https` alone (or a loopback address that the operator named), and bounds size
/// and time.
#[async_trait]
pub trait Exchange: Send + Sync + 'static {
    /// The whole answer, whatever its status.
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        form: Bytes,
    ) -> Result<Response<Bytes>, ExchangeError>;
}

#[async_trait]
impl Exchange for Egress {
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        form: Bytes,
    ) -> Result<Response<Bytes>, ExchangeError> {
        self.send_own(
            Method::POST,
            url,
            headers,
            form,
            ANSWER_BYTES_MAX,
            EXCHANGE_MAX,
        )
        .await
        .map_err(ExchangeError::new)
    }
}

/// Why a token endpoint gave no answer.
#[derive(Debug)]
pub struct ExchangeError(Box<dyn std::error::Error + Send + Sync>);

impl ExchangeError {
    /// With the error of whatever carried the request, or with a text.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The issuer does not do its part.
#[derive(Debug, thiserror::Error)]
pub(super) enum IssuerFault {
    /// No metadata to be had.
    #[error("the issuer's metadata cannot be read")]
    Metadata(#[from] KeyError),
    /// It was tried a moment ago.
    #[error("the issuer's metadata could not be read a moment ago; it is tried again soon")]
    TriedJustNow,
    /// The metadata lacks an endpoint.
    #[error("the issuer's metadata has no `{0}`; browsers cannot sign in there")]
    NoEndpoint(&'static str),
    /// Our secret cannot be read.
    #[error("the client secret file cannot be used; check `client_secret_file`")]
    Secret(#[source] ClientSecretError),
    /// The token endpoint cannot be reached.
    #[error("the token endpoint cannot be reached")]
    Exchange(#[from] ExchangeError),
    /// It did not answer in time.
    #[error("the token endpoint did not answer within {} s", EXCHANGE_MAX.as_secs())]
    Deadline,
    /// It does not take the code: the browser's part, not the issuer's.
    #[error(
        "the token endpoint does not take the code; it was used before, is too old, or belongs to another sign-in"
    )]
    Code,
    /// It refused for another reason.
    #[error("the token endpoint answered with status {status} and error `{error}`")]
    Refused { status: StatusCode, error: String },
    /// Its answer has no ID token.
    #[error("the token endpoint's answer is no JSON with an `id_token`")]
    Answer,
}

/// What an authorization request carries.
pub(super) struct Begin<'a> {
    pub(super) state: &'a Secret,
    pub(super) nonce: &'a Secret,
    pub(super) verifier: &'a Secret,
    /// Whether the user shall prove anew who they are.
    pub(super) fresh: bool,
}

/// We as a client of the issuer.
pub(super) struct IssuerClient {
    config: SignIn,
    redirect_uri: String,
    fetch: Arc<dyn FetchKeys>,
    exchange: Arc<dyn Exchange>,
    /// Held while the metadata are read, so that many visitors cause one reading.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

impl IssuerClient {
    pub(super) fn new(
        config: SignIn,
        public_url: &Url,
        fetch: Arc<dyn FetchKeys>,
        exchange: Arc<dyn Exchange>,
    ) -> Self {
        let base = public_url.as_str().trim_end_matches('/');
        Self {
            config,
            // One fixed string: issuers compare it as such (RFC 9700 §2.1).
            redirect_uri: format!("{base}/sign-in/callback"),
            fetch,
            exchange,
            known: Mutex::default(),
        }
    }

    /// The issuer.
    pub(super) fn issuer(&self) -> &Issuer {
        &self.config.issuer
    }

    /// Our client id there.
    pub(super) fn client_id(&self) -> &str {
        &self.config.client_id
    }

    /// The issuer's metadata, read again when they are old and no more often than every few seconds.
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, IssuerFault> {
        let mut known = self.known.lock().await;
        let within = |at: Timestamp, span| at <= now && now.since(at) < span;
        let last = known.metadata.clone();
        if let Some((metadata, at)) = &last
            && within(*at, JWKS_TTL)
        {
            return Ok(Arc::clone(metadata));
        }
        let last = last.map(|(metadata, _)| metadata);
        if known
            .failed_at
            .is_some_and(|at| within(at, JWKS_REFETCH_MIN))
        {
            return last.ok_or(IssuerFault::TriedJustNow);
        }
        let read = discover(&self.config.issuer, self.fetch.as_ref());
        let read = tokio::time::timeout(JWKS_FETCH_MAX, read)
            .await
            .unwrap_or(Err(KeyError::Deadline {
                limit: JWKS_FETCH_MAX,
            }));
        match read {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Arc::clone(&metadata), now));
                known.failed_at = None;
                Ok(metadata)
            }
            Err(error) => {
                known.failed_at = Some(now);
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(issuer = %self.config.issuer, error = cause, "the metadata for sign-in could not be read");
                // Where endpoints are changes rarely: what was read last is likely still so, and the issuer checks.
                last.ok_or(IssuerFault::Metadata(error))
            }
        }
    }

    /// Where to send a browser to begin (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1).
    pub(super) fn authorization_url(
        &self,
        metadata: &Metadata,
        begin: &Begin<'_>,
    ) -> Result<Url, IssuerFault> {
        let mut url = metadata
            .authorization_endpoint
            .clone()
            .ok_or(IssuerFault::NoEndpoint("authorization_endpoint"))?;
        // Ask before anybody types a password in vain.
        if metadata.token_endpoint.is_none() {
            return Err(IssuerFault::NoEndpoint("token_endpoint"));
        }
        let challenge =
            URL_SAFE_NO_PAD.encode(Digest::of(begin.verifier.as_str().as_bytes()).as_bytes());
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", "openid")
            .append_pair("state", begin.state.as_str())
            .append_pair("nonce", begin.nonce.as_str())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        // OpenID Connect Core §2: `auth_time` is required of the issuer if `max_age` was asked, and by `prompt` alone it is not.
        let age = if begin.fresh {
            url.query_pairs_mut().append_pair("prompt", "login");
            T3_TTL
        } else {
            AGE_ASKED
        };
        url.query_pairs_mut()
            .append_pair("max_age", &age.as_secs().to_string());
        Ok(url)
    }

    /// Exchanges a code for an ID token, not yet verified (RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub(super) async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &Secret,
    ) -> Result<BearerToken, IssuerFault> {
        let url = metadata
            .token_endpoint
            .as_ref()
            .ok_or(IssuerFault::NoEndpoint("token_endpoint"))?;
        let secret = self.client_secret().await?;
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier.as_str()),
        ];
        match &secret {
            Some(secret) if metadata.secret_in_form => {
                form.push(("client_id", &self.config.client_id));
                form.push(("client_secret", secret));
            }
            // RFC 6749 §2.3.1: the way that every server with client passwords must take.
            Some(secret) => {
                headers.insert(header::AUTHORIZATION, self.basic(secret)?);
            }
            None => form.push(("client_id", &self.config.client_id)),
        }
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let answer = self.exchange.post(url, headers, form.into());
        let answer = tokio::time::timeout(EXCHANGE_MAX, answer)
            .await
            .map_err(|_| IssuerFault::Deadline)??;
        id_token(&answer)
    }

    async fn client_secret(&self) -> Result<Option<Zeroizing<String>>, IssuerFault> {
        match &self.config.client_secret_file {
            // Read each time: a secret that was renewed is used from then on.
            Some(file) => client_secret_file(file)
                .await
                .map(Some)
                .map_err(IssuerFault::Secret),
            None => Ok(None),
        }
    }

    fn basic(&self, secret: &str) -> Result<HeaderValue, IssuerFault> {
        basic(&self.config.client_id, secret).ok_or(IssuerFault::Secret(ClientSecretError::Value))
    }
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn id_token(answer: &Response<Bytes>) -> Result<BearerToken, IssuerFault> {
    if answer.status() != StatusCode::OK {
        let error = serde_json::from_slice(answer.body())
            .map(|refusal: Refusal| refusal.error)
            .ok()
            .and_then(|error| error_code(&error).map(str::to_owned));
        // RFC 6749 §5.2.
        if error.as_deref() == Some("invalid_grant") {
            return Err(IssuerFault::Code);
        }
        return Err(IssuerFault::Refused {
            status: answer.status(),
            error: error.unwrap_or_else(|| "none".to_owned()),
        });
    }
    serde_json::from_slice(answer.body())
        .map(|tokens: Tokens| BearerToken::new(tokens.id_token))
        .map_err(|_| IssuerFault::Answer)
}

/// An error code (RFC 6749 §4.1.2.1, §5.2), if it looks like one; nothing else of an answer comes into our log.
pub(super) fn error_code(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(plain)).then_some(text)
}
