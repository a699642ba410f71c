//! Everything that the pages stand on, for real: store, audit log, consents, identity, and the embedded identity provider.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use url::Url;

use crate::audit::{self, Audit, Filter};
use crate::catalog;
use crate::clients::Clients;
use crate::clock::{ManualClock, Timestamp};
use crate::config::{ClaimMap, IssuerConfig, KeySource, SignIn};
use crate::consent::{Arguments, Consent, ConsentError, Consents};
use crate::egress::{Egress, NoNames};
use crate::identity::{BearerToken, Credentials, FetchError, FetchKeys, Identity};
use crate::idp::{self, DevIdp, SigningKey};
use crate::ids::{Tenant, TenantUser, User};
use crate::limits::JWKS_BYTES_MAX;
use crate::policy::Rules;
use crate::store::{SharedStore, SqliteStore, Store};
use crate::web::{Exchange, ExchangeError, Shared, WebParts, WebState, router};

/// When everything happens.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// The way out, through the real filter; what the token endpoint answers can be seen and replaced.
pub(super) struct Wire {
    egress: Egress,
    pub(super) sent: Mutex<Vec<(HeaderMap, String)>>,
    pub(super) answers: Mutex<Vec<Bytes>>,
    pub(super) instead: Mutex<Option<Result<Response<Bytes>, &'static str>>>,
    secret_in_form: bool,
}

impl FetchKeys for Wire {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        let timeout = std::time::Duration::from_secs(5);
        Box::pin(async move {
            let read = self.egress.fetch(url, JWKS_BYTES_MAX, timeout).await;
            let read = read.map_err(FetchError::new)?;
            if !self.secret_in_form || !url.path().starts_with("/.well-known/") {
                return Ok(read);
            }
            let mut metadata: serde_json::Value = serde_json::from_slice(&read).unwrap();
            metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
            Ok(metadata.to_string().into())
        })
    }
}

#[async_trait]
impl Exchange for Wire {
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        form: Bytes,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let text = String::from_utf8(form.to_vec()).unwrap();
        self.sent.lock().unwrap().push((headers.clone(), text));
        let instead = self.instead.lock().unwrap().take();
        if let Some(instead) = instead {
            return instead.map_err(ExchangeError::new);
        }
        let answer = Exchange::post(&self.egress, url, headers, form).await?;
        self.answers.lock().unwrap().push(answer.body().clone());
        Ok(answer)
    }
}

pub(super) struct World {
    pub(super) ours: String,
    pub(super) issuer: String,
    pub(super) clock: ManualClock,
    pub(super) store: Arc<SqliteStore>,
    pub(super) audit: Audit,
    pub(super) consents: Consents,
    pub(super) identity: Arc<Identity>,
    pub(super) idp: Arc<DevIdp>,
    pub(super) wire: Arc<Wire>,
}

/// What differs from an ordinary server.
#[derive(Default)]
pub(super) struct Options {
    pub(super) client_secret: Option<std::path::PathBuf>,
    /// An identity provider whose metadata say that it takes secrets in the form alone.
    pub(super) secret_in_form: bool,
    pub(super) no_sign_in: bool,
    /// An identity provider that does not answer.
    pub(super) no_issuer: bool,
    /// What is known of clients.
    pub(super) clients: Option<Arc<Clients>>,
}

impl World {
    pub(super) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Self {
        let clock = ManualClock::new(NOW);
        let (listener, ours) = listen().await;
        let (idp_listener, issuer) = listen().await;
        let idp = Arc::new(DevIdp::new(
            issuer.clone(),
            format!("{ours}/mcp"),
            format!("{ours}/sign-in/callback"),
            SigningKey::generate().unwrap(),
            Arc::new(clock.clone()),
        ));
        if !options.no_issuer {
            serve(idp_listener, idp::router(Arc::clone(&idp)));
        }
        let origin = Url::parse(&issuer).unwrap().origin();
        let wire = Arc::new(Wire {
            egress: Egress::new(Vec::new(), vec![origin], Arc::new(NoNames)).unwrap(),
            sent: Mutex::default(),
            answers: Mutex::default(),
            instead: Mutex::default(),
            secret_in_form: options.secret_in_form,
        });
        let identity = Identity::new(
            vec![issuer_config(&issuer, &ours)],
            Arc::clone(&wire) as Arc<dyn FetchKeys>,
        );
        let identity = Arc::new(identity.unwrap());
        let store = Arc::new(SqliteStore::in_memory().await.unwrap());
        let shared: SharedStore = Arc::clone(&store) as SharedStore;
        let audit = Audit::start(Arc::clone(&shared), Arc::new(clock.clone()))
            .await
            .unwrap();
        let consents = Consents::open(Arc::clone(&shared), audit.clone())
            .await
            .unwrap();
        let clients = options.clients.unwrap_or_else(|| Arc::new(Clients::none()));
        let consents = consents.with_clients(clients);
        let sign_in = SignIn {
            issuer: issuer.parse().unwrap(),
            client_id: idp::WEB_CLIENT.to_owned(),
            client_secret_file: options.client_secret,
        };
        let state = WebState::open(WebParts {
            store: shared,
            audit: audit.clone(),
            consents: consents.clone(),
            identity: Arc::clone(&identity),
            sign_in: (!options.no_sign_in).then_some(sign_in),
            fetch: Arc::clone(&wire) as Arc<dyn FetchKeys>,
            exchange: Arc::clone(&wire) as Arc<dyn Exchange>,
            clock: Arc::new(clock.clone()),
            public_url: Url::parse(&ours).unwrap(),
            shared: Shared::default(),
        });
        serve(listener, router(state.await.unwrap()));
        Self {
            ours,
            issuer,
            clock,
            store,
            audit,
            consents,
            identity,
            idp,
            wire,
        }
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.ours)
    }

    pub(super) fn now(&self) -> Timestamp {
        use crate::clock::Clock;
        self.clock.now()
    }

    pub(super) fn user(&self, name: &str) -> TenantUser {
        TenantUser {
            tenant: "default".parse().unwrap(),
            user: User {
                issuer: self.issuer.parse().unwrap(),
                subject: name.parse().unwrap(),
            },
        }
    }

    /// A call of `user` through `client`, as far as consent: what it comes to.
    pub(super) async fn call(&self, user: &str, client: &str) -> Result<Consent, ConsentError> {
        let rules = "permit(principal, action, resource);";
        self.call_under(rules, user, client, json!({})).await
    }

    /// The same under these rules and with these arguments.
    pub(super) async fn call_under(
        &self,
        rules: &str,
        user: &str,
        client: &str,
        values: Value,
    ) -> Result<Consent, ConsentError> {
        let user = DevIdp::user(user).unwrap();
        let token = self
            .idp
            .access_token(user, client, idp::DEFAULT_SCOPE)
            .unwrap();
        let caller = self
            .identity
            .verify(Credentials::bearer(BearerToken::new(token)), self.now())
            .await
            .unwrap();
        let mut manifest = catalog::testing::manifest(
            "notes",
            &[
                ("read", &["files read notes"], false),
                ("send", &["http GET,POST api.example.test /v1/"], true),
            ],
        );
        manifest.title = "Notes <b>& more</b>".to_owned();
        manifest.needs[0].reason = "</q><script>alert(1)</script>\u{202e}evil".to_owned();
        let tool = catalog::testing::tool_of(manifest);
        let rules = [("all.cedar".to_owned(), rules.to_owned())];
        let rules = Rules::load(&rules, std::slice::from_ref(&tool)).unwrap();
        let permit = rules.permit(&caller, &tool, &Map::new()).unwrap();
        let values = values.as_object().unwrap();
        self.consents
            .confirm(permit, &Arguments::of(values), self.now())
            .await
    }

    /// The address of the question that such a call raises.
    pub(super) async fn question(&self, user: &str) -> String {
        match self.call(user, "https://client.example/meta.json").await {
            Err(ConsentError::Needed(needed)) => self.at(&needed.path),
            other => panic!("no question: {other:?}"),
        }
    }

    /// All records of the audit log.
    pub(super) async fn audit_text(&self) -> String {
        self.audit.flush().await.unwrap();
        let mut text = String::new();
        let store: &dyn Store = self.store.as_ref();
        audit::show(store, 0, &Filter::default(), |stored| {
            text.push_str(&stored.json)
        })
        .await
        .unwrap();
        text
    }

    /// The kinds of the events in the audit log.
    pub(super) async fn events(&self) -> Vec<String> {
        self.audit.flush().await.unwrap();
        let mut kinds = Vec::new();
        let store: &dyn Store = self.store.as_ref();
        audit::show(store, 0, &Filter::default(), |stored| {
            kinds.push(stored.record.kind.clone());
        })
        .await
        .unwrap();
        kinds
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn serve(listener: TcpListener, router: axum::Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

fn issuer_config(issuer: &str, ours: &str) -> IssuerConfig {
    IssuerConfig {
        issuer: issuer.parse().unwrap(),
        keys: KeySource::Discovery,
        audience: vec![format!("{ours}/mcp")],
        other_audiences: false,
        algorithms: vec![jsonwebtoken::Algorithm::ES256],
        required_scopes: Vec::new(),
        client_claim: "client_id".to_owned(),
        claims: ClaimMap {
            role_prefix: String::new(),
            roles: vec!["roles".to_owned()],
            groups: vec!["groups".to_owned()],
            tenant: vec!["tenant".to_owned()],
            default_tenant: "default".parse::<Tenant>().unwrap(),
            extra: Default::default(),
        },
        acr: Vec::new(),
        scopes: Default::default(),
        allow_without_user: false,
        proof: Default::default(),
        introspection: None,
    }
}
