mod refusals;
mod veils;

use std::net::SocketAddr;
use std::time::Duration;

use ::http::{Request, Response};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;
use wasmtime_wasi_http::WasiHttpHooks;

use super::*;
use crate::audit::Audit;
use crate::capability::Capability;
use crate::clock::{Clock, SystemClock};
use crate::config::{Retry, SealConfig};
use crate::egress::testing::{After, Upstream, bound, scope};
use crate::egress::{Egress, NoNames, Whose};
use crate::host::http::Hooks;
use crate::host::secret::Lender;
use crate::limits::{SEALED_KEEP_DEFAULT, SEALED_VALUES_MAX};
use crate::revocation::RunningCalls;
use crate::seal::{Keeping, Owner, Plain, Provider, Seals, add_version};
use crate::store::seals::Most;
use crate::store::{SharedStore, SqliteSealedValues, SqliteStore};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const EMAIL: &str = "canary+1@example.com";
const NAME: &str = "Ö \"Canary\" & co";
const GRANT: &str = "deliver api.test email keep:/email";
const NAMES: &str = "deliver api.test nickname";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const PLAIN: &[(&str, &str)] = &[("content-type", "text/plain")];

fn owner(tenant: &str, package: &str) -> Owner {
    Owner {
        tenant: tenant.parse().unwrap(),
        publisher: "example".parse().unwrap(),
        package: package.parse().unwrap(),
    }
}

/// Where values are kept.
struct Keep {
    dir: TempDir,
    seals: Seals,
}

impl Keep {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        add_version(&dir.path().join("keys")).unwrap();
        let seals = seals(&dir).await;
        Self { dir, seals }
    }

    async fn put(&self, owner: &Owner, class: &str, field: &str, value: &str) -> String {
        let plain = Plain {
            field: field.to_owned(),
            class: class.parse().unwrap(),
            value: Zeroizing::new(value.to_owned()),
            equal: false,
        };
        let now = SystemClock.now();
        let prepared = self.seals.prepare(owner, vec![plain], now).await.unwrap();
        let handle = prepared.handles()[0].to_string();
        prepared.keep(now).await.unwrap();
        handle
    }

    async fn email(&self) -> String {
        self.email_of(EMAIL).await
    }

    async fn email_of(&self, value: &str) -> String {
        self.put(&owner("acme", "crm"), "email", "keep:/email", value)
            .await
    }

    async fn name(&self) -> String {
        self.put(&owner("acme", "crm"), "nickname", "keep:/nick", NAME)
            .await
    }
}

/// As a process that begins now.
async fn seals(dir: &TempDir) -> Seals {
    let store: SharedStore = Arc::new(SqliteStore::in_memory().await.unwrap());
    let audit = Audit::start(store, Arc::new(SystemClock)).await.unwrap();
    let config = SealConfig {
        key_file: Some(dir.path().join("keys")),
        vault: None,
        keep: SEALED_KEEP_DEFAULT,
        values_max: SEALED_VALUES_MAX,
        package_values_max: SEALED_VALUES_MAX,
    };
    let keeping = Keeping {
        span: config.keep,
        most: Most {
            tenant: SEALED_VALUES_MAX,
            package: SEALED_VALUES_MAX,
        },
    };
    let values = SqliteSealedValues::open(&dir.path().join("s.sealed")).await;
    let provider = Provider::new(&config, None).unwrap();
    Seals::new(Arc::new(values.unwrap()), provider, audit, keeping)
}

/// A call of the package that has these grants, which reaches the upstream under two names.
struct Call {
    hooks: Hooks,
    courier: Courier,
    meter: Meter,
}

impl Call {
    fn new(upstream: SocketAddr, seals: &Seals, grants: &[&str]) -> Self {
        let grants = grants.iter().map(|text| (deliver(text), Live::free()));
        Self::under(upstream, seals, grants.collect(), Lender::default(), 1)
    }

    fn under(
        upstream: SocketAddr,
        seals: &Seals,
        grants: Vec<(Deliver, Live)>,
        lender: Lender,
        attempts: u32,
    ) -> Self {
        let hosts = ["api.test", "other.test"].map(|name| bound(name, upstream, false));
        let egress = Egress::new(hosts.to_vec(), Vec::new(), Arc::new(NoNames)).unwrap();
        let egress = egress.with_retry(Retry {
            attempts,
            first: Duration::from_millis(5),
            most: Duration::from_millis(5),
        });
        let meter = Meter::default();
        let web = ["http GET,POST,PUT api.test /", "http POST other.test /"];
        let scopes = web.iter().map(|text| (scope(text), Live::free())).collect();
        let kept = Kept {
            seals: seals.clone(),
            owner: owner("acme", "crm"),
        };
        let courier = Courier::new(grants, kept, meter.clone(), Arc::new(SystemClock));
        let deadline = Instant::now() + Duration::from_secs(20);
        let whose = Whose::of(["test"]);
        let hooks = Hooks::new(Arc::new(egress), scopes, &whose, meter.clone(), deadline);
        Self {
            hooks: hooks.lending(lender.delivering(Some(courier.clone()))),
            courier,
            meter,
        }
    }

    async fn send(
        &mut self,
        (method, url): (&str, &str),
        fields: &[(&str, &str)],
        body: WasiBody,
    ) -> Result<Response<WasiBody>, Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let nothing = Box::new(async { Ok(()) });
        let answer = self.hooks.send_request(request, None, nothing);
        Box::into_pin(answer).await.map(|(response, _)| response)
    }

    async fn post(
        &mut self,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<WasiBody>, Error> {
        self.send(("POST", "http://api.test/"), fields, bytes(body))
            .await
    }

    fn effect(&self, name: &str) -> Effect {
        let effects = self.meter.snapshot();
        let effect = effects.get(name).copied();
        effect.unwrap_or_else(|| panic!("`{name}` is not among {effects:?}"))
    }
}

fn deliver(text: &str) -> Deliver {
    match text.parse().unwrap() {
        Capability::Deliver(deliver) => deliver,
        other => panic!("{other}"),
    }
}

fn bytes(body: impl Into<Vec<u8>>) -> WasiBody {
    let body = Full::new(Bytes::from(body.into()));
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes in pieces, and of which nobody knows beforehand how long it is.
fn pieces(all: Vec<hyper::body::Frame<Bytes>>) -> WasiBody {
    let all = futures_util::stream::iter(all.into_iter().map(Ok));
    http_body_util::StreamBody::new(all).boxed_unsync()
}

async fn text(response: Response<WasiBody>) -> Result<String, Error> {
    let body = response.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

fn answer(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{fields}\r\n{body}")
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_value_stands_where_its_handle_stood_and_is_recorded_by_its_size() {
    let keep = Keep::new().await;
    let (email, name) = (keep.email().await, keep.name().await);
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT, NAMES]);
    assert!(!call.courier.has_begun());
    let json = format!("{{\"to\": \"{email}\", \"name\": \"{name}\", \"n\": 1.0}}");
    let fields = [JSON[0], ("content-length", &json.len().to_string())];
    call.post(&fields, &json).await.unwrap();
    assert!(call.courier.has_begun());
    let read = body_of(&upstream.seen()[0]).to_owned();
    let value: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert_eq!(
        (&value["to"], &value["name"]),
        (&EMAIL.into(), &NAME.into())
    );
    assert!(read.ends_with("\"n\": 1.0}"), "{read}");
    let length = format!("content-length: {}\r\n", read.len());
    assert!(
        upstream.seen()[0].contains(&length),
        "{:?}",
        upstream.seen()
    );

    call.post(FORM, &format!("a=1&name={name}")).await.unwrap();
    let seen = upstream.seen();
    let pairs: Vec<_> = url::form_urlencoded::parse(body_of(&seen[1]).trim().as_bytes()).collect();
    assert!(
        pairs.iter().any(|(_, value)| value.contains(NAME)),
        "{seen:?}"
    );

    // A handle in a query, in a field, and twice in a body that comes in pieces.
    let (front, back) = email.split_at(20);
    let all = [format!("{email} {front}"), format!("{back}.")];
    let all = all.map(|piece| hyper::body::Frame::data(Bytes::from(piece)));
    let url = format!("http://api.test/a%20b?q=1&to={email}&z");
    let fields = [PLAIN[0], ("x-to", &format!("mailto {email}"))];
    call.send(("POST", &url), &fields, pieces(all.into()))
        .await
        .unwrap();
    let seen = upstream.seen().pop().unwrap();
    assert!(
        seen.starts_with("POST /a%20b?q=1&to=canary%2B1%40example.com&z HTTP/1.1"),
        "{seen}"
    );
    assert!(
        seen.contains(&format!("x-to: mailto {EMAIL}\r\n")),
        "{seen}"
    );
    assert!(seen.contains(&format!("{EMAIL} {EMAIL}.")), "{seen}");
    let effect = call.effect("deliver api.test email keep:/email");
    assert_eq!((effect.count, effect.bytes_out), (5, 5 * size(EMAIL.len())));
    let names: Vec<String> = call.meter.snapshot().into_keys().collect();
    assert_eq!(
        names,
        [
            "deliver api.test email keep:/email",
            "deliver api.test nickname keep:/nick",
            "http POST api.test"
        ]
    );
}

#[tokio::test]
async fn a_host_that_nothing_is_delivered_to_gets_the_handle() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(answer("", EMAIL)).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let sent = call
        .send(("POST", "http://other.test/"), PLAIN, bytes(email.clone()))
        .await;
    assert_eq!(text(sent.unwrap()).await.unwrap(), EMAIL);
    assert!(upstream.seen()[0].contains(&email), "{:?}", upstream.seen());
    assert!(!call.courier.has_begun());
}

#[tokio::test]
async fn a_request_that_carries_a_value_is_made_once() {
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::keeping(&[BUSY]).await;
    let grants = vec![(deliver(GRANT), Live::free())];
    let mut call = Call::under(upstream.address, &keep.seals, grants, Lender::default(), 3);
    call.send(("GET", "http://api.test/?a=b"), &[], bytes(""))
        .await
        .unwrap();
    assert_eq!(upstream.seen().len(), 3);
    let url = format!("http://api.test/?to={email}");
    call.send(("GET", &url), &[], bytes("")).await.unwrap();
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn after_a_value_was_delivered_no_other_tool_is_called() {
    use crate::host::tools::{CallError, Calls, Unmade};
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let tools = vec![("fetch".parse().unwrap(), Live::free())];
    let calls = Calls::new(tools, None, Meter::default()).before(Some(call.courier.clone()));
    let refused = async || match calls.call("fetch", "{}").await {
        Err(Unmade::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    call.post(PLAIN, "nothing").await.unwrap();
    // Nobody makes calls here, which is another answer.
    assert_eq!(refused().await, CallError::Unavailable);
    call.post(PLAIN, &email).await.unwrap();
    assert_eq!(refused().await, CallError::Denied);
}

#[tokio::test]
async fn what_is_signed_is_the_request_with_the_value_in_it() {
    use crate::config::{AwsScope, SecretBinding, SecretSource};
    use crate::grant::Holder;
    use crate::host::secret::Secrets;
    let keep = Keep::new().await;
    let email = keep.email().await;
    let file = keep.dir.path().join("aws");
    std::fs::write(
        &file,
        "{\"AccessKeyId\":\"AKIDEXAMPLE\",\"SecretAccessKey\":\"wJalrXUtnFEMI/K7MDENG\"}",
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let binding = SecretBinding {
        name: "tracker".parse().unwrap(),
        source: SecretSource::File(file.to_str().unwrap().to_owned()),
        hosts: vec!["api.test".parse().unwrap()],
        form: "aws-sigv4".parse().unwrap(),
        user: String::new(),
        aws: Some(AwsScope {
            region: "eu-central-1".to_owned(),
            service: "s3".to_owned(),
        }),
    };
    let secret = match "secret tracker api.test aws-sigv4".parse().unwrap() {
        Capability::Secret(secret) => secret,
        other => panic!("{other}"),
    };
    let holder = Holder {
        tenant: "acme".parse().unwrap(),
        user: crate::ids::User {
            issuer: "https://as.example".parse().unwrap(),
            subject: "alice".parse().unwrap(),
        },
        client: "client".parse().unwrap(),
    };
    let secrets = Secrets::new(&[binding], None, &(Arc::new(SystemClock) as SharedClock));
    let lender = secrets.lender(vec![(secret, Live::free())], &holder, &Meter::default());
    let upstream = Upstream::answering(OK).await;
    let grants = vec![(deliver(GRANT), Live::free())];
    let mut call = Call::under(upstream.address, &keep.seals, grants, lender, 1);
    call.send(
        ("PUT", "http://api.test/key"),
        PLAIN,
        bytes(format!("to {email}")),
    )
    .await
    .unwrap();
    let seen = upstream.seen().pop().unwrap();
    let sent = format!("to {EMAIL}");
    assert!(seen.contains(&sent), "{seen}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, sent.as_bytes());
    let digest = format!("x-amz-content-sha256: {}\r\n", hex::encode(digest));
    assert!(seen.contains(&digest), "{seen}");
}
