use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpHooks};

use super::source::FilePath;
use super::*;
use crate::capability::Capability;
use crate::clock::SystemClock;
use crate::config::{SecretSource, VaultSource, VaultToken};
use crate::egress::testing::{Authority, Names, Switchboard, Upstream, bound, scope};
use crate::egress::{NoNames, Whose};
use crate::host::http::Hooks;
use crate::ids::User;
use crate::revocation::RunningCalls;

mod answers;
mod aws;
mod sources;
mod vault;

const VALUE: &str = "canary/value+71";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn holder(tenant: &str) -> Holder {
    Holder {
        tenant: tenant.parse().unwrap(),
        user: User {
            issuer: "https://as.example".parse().unwrap(),
            subject: "alice".parse().unwrap(),
        },
        client: "client".parse().unwrap(),
    }
}

fn secret(text: &str) -> Secret {
    match text.parse().unwrap() {
        Capability::Secret(secret) => secret,
        other => panic!("{other}"),
    }
}

fn whose() -> Whose {
    Whose::of(["test"])
}

/// A folder in which files are written as an operator would.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> String {
        let file = self.0.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        mode(&file, 0o600);
        file.to_str().unwrap().to_owned()
    }
}

fn mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
}

fn binding(name: &str, file: &str, hosts: &[&str], form: &str) -> SecretBinding {
    SecretBinding {
        name: name.parse().unwrap(),
        source: SecretSource::File(file.to_owned()),
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        form: form.parse().unwrap(),
        user: "robot".to_owned(),
        aws: None,
    }
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// A call with these grants, which reaches the upstream under each of these names.
struct Call {
    hooks: Hooks,
    lender: Lender,
    meter: Meter,
}

impl Call {
    fn new(upstream: SocketAddr, secrets: &Secrets, grants: &[&str]) -> Self {
        let grants = grants.iter().map(|text| (secret(text), Live::free()));
        Self::under(upstream, secrets, grants.collect())
    }

    fn under(upstream: SocketAddr, secrets: &Secrets, grants: Vec<(Secret, Live)>) -> Self {
        let web = ["http GET,POST api.test /", "http GET other.test /"];
        Self::reaching(upstream, secrets, grants, &web)
    }

    /// The same with these parts of the web.
    fn reaching(
        upstream: SocketAddr,
        secrets: &Secrets,
        grants: Vec<(Secret, Live)>,
        web: &[&str],
    ) -> Self {
        let hosts = ["api.test", "other.test"].map(|name| bound(name, upstream, false));
        let egress = Egress::new(hosts.to_vec(), Vec::new(), Arc::new(NoNames)).unwrap();
        let meter = Meter::default();
        let scopes = web.iter().map(|text| (scope(text), Live::free())).collect();
        let lender = secrets.lender(grants, &holder("acme"), &meter);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let hooks = Hooks::new(Arc::new(egress), scopes, &whose(), meter.clone(), deadline);
        Self {
            hooks: hooks.lending(lender.clone()),
            lender,
            meter,
        }
    }

    async fn get(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<Response<WasiBody>, Error> {
        let mut request = Request::get(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::new()).map_err(Into::into).boxed_unsync();
        let request = request.body(body).unwrap();
        let nothing = Box::new(async { Ok(()) });
        let answer = self.hooks.send_request(request, None, nothing);
        Box::into_pin(answer).await.map(|(response, _)| response)
    }

    async fn refused(&mut self, url: &str, fields: &[(&str, &str)]) -> bool {
        let answer = self.get(url, fields).await;
        matches!(answer, Err(Error::HttpRequestDenied))
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Text(value) => value.expose().to_owned(),
        Value::Key(key) => panic!("{}", key.id),
    }
}

async fn text(response: Response<WasiBody>) -> String {
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

fn secrets(bindings: &[SecretBinding]) -> Secrets {
    Secrets::new(bindings, None, &clock())
}

#[tokio::test]
async fn a_secret_is_attached_in_its_form_to_its_host_and_to_no_other() {
    let folder = Folder::new();
    let file = folder.put("tracker", &format!("{VALUE}\n"));
    for (form, written) in [
        ("bearer", format!("authorization: Bearer {VALUE}\r\n")),
        (
            "basic",
            "authorization: Basic cm9ib3Q6Y2FuYXJ5L3ZhbHVlKzcx\r\n".to_owned(),
        ),
        ("header X-Api-Key", format!("x-api-key: {VALUE}\r\n")),
        (
            "query api_key",
            "GET /a?b=c&api_key=canary%2Fvalue%2B71 HTTP/1.1\r\n".to_owned(),
        ),
    ] {
        let upstream = Upstream::answering(OK).await;
        let all = secrets(&[binding("tracker", &file, &["api.test"], form)]);
        let grant = format!("secret tracker api.test {form}");
        let mut call = Call::new(upstream.address, &all, &[&grant]);
        assert!(call.lender.exists("tracker"));
        for host in ["api.test", "other.test"] {
            let answer = call.get(&format!("http://{host}/a?b=c"), &[]).await;
            assert_eq!(text(answer.unwrap()).await, "ok");
        }
        let seen = upstream.seen();
        assert!(seen[0].contains(&written), "{form}: {}", seen[0]);
        assert!(
            !seen[1].contains("canary") && !seen[1].contains("authorization"),
            "{}",
            seen[1]
        );
        let effects = call.meter.snapshot();
        assert_eq!(effects["secret tracker api.test"].count, 1);
        assert!(!format!("{effects:?} {:?}", call.lender).contains("canary"));
    }
}

#[tokio::test]
async fn a_secret_goes_over_https_to_a_public_host() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("api.example.com")).await;
    let board = Switchboard::default().with("93.184.216.34:443", upstream.address);
    let names = Names::default().with("api.example.com", &[&["93.184.216.34"]]);
    let egress = Egress::new(Vec::new(), Vec::new(), Arc::new(names))
        .unwrap()
        .with_roots([authority.root()])
        .unwrap()
        .with_dial(Arc::new(board));
    let all = secrets(&[binding("tracker", &file, &["api.example.com"], "bearer")]);
    let grants = ["secret tracker api.example.com bearer"];
    let mut call = Call::new(upstream.address, &all, &grants);
    let scopes = vec![(scope("http GET api.example.com /"), Live::free())];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let hooks = Hooks::new(
        Arc::new(egress),
        scopes,
        &whose(),
        call.meter.clone(),
        deadline,
    );
    call.hooks = hooks.lending(call.lender.clone());
    let answer = call.get("https://api.example.com/", &[]).await.unwrap();
    assert_eq!(text(answer).await, "ok");
    let seen = upstream.seen().join("\n");
    assert!(
        seen.contains(&format!("authorization: Bearer {VALUE}\r\n")),
        "{seen}"
    );
    // In plain text it goes nowhere.
    assert!(call.refused("http://api.example.com/", &[]).await);
}

#[tokio::test]
async fn a_secret_that_is_not_bound_exactly_so_is_not_attached_and_its_request_is_not_sent() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let upstream = Upstream::answering(OK).await;
    let port = upstream.address.port();
    let other_port = format!("api.test:{}", port.wrapping_add(1));
    for (hosts, form) in [
        (["other.test"], "bearer"),
        ([&*other_port], "bearer"),
        (["api.test"], "basic"),
        (["api.test"], "header authorization"),
    ] {
        let all = secrets(&[binding("tracker", &file, &hosts, form)]);
        let mut call = Call::new(upstream.address, &all, &["secret tracker api.test bearer"]);
        assert!(!call.lender.exists("tracker"));
        assert!(
            call.refused("http://api.test/", &[]).await,
            "{hosts:?} {form}"
        );
    }
    let mut call = Call::new(
        upstream.address,
        &secrets(&[]),
        &["secret tracker api.test bearer"],
    );
    assert!(call.refused("http://api.test/", &[]).await);
    assert_eq!(call.meter.snapshot()["http GET (refused)"].refused, 1);
    assert!(upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_secret_for_one_port_does_not_go_to_another() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let upstream = Upstream::answering(OK).await;
    let port = upstream.address.port();
    let at = format!("api.test:{port}");
    let all = secrets(&[binding("tracker", &file, &[&at], "bearer")]);
    let grant = format!("secret tracker {at} bearer");
    let mut call = Call::new(upstream.address, &all, &[&grant]);
    // The same place under the number of its port, and under that of the scheme.
    call.get(&format!("http://{at}/"), &[]).await.unwrap();
    call.get("http://api.test/", &[]).await.unwrap();
    let seen = upstream.seen();
    assert!(seen[0].contains("authorization"), "{}", seen[0]);
    assert!(!seen[1].contains("authorization"), "{}", seen[1]);
}

#[tokio::test]
async fn a_guest_that_sets_the_field_itself_is_refused() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let upstream = Upstream::answering(OK).await;
    let call = |form: &str| {
        let all = secrets(&[binding("tracker", &file, &["api.test"], form)]);
        let grant = format!("secret tracker api.test {form}");
        Call::new(upstream.address, &all, &[&grant])
    };
    for form in ["bearer", "basic", "header authorization"] {
        let own = [("Authorization", "Bearer mine")];
        assert!(call(form).refused("http://api.test/", &own).await, "{form}");
    }
    let mut header = call("header x-api-key");
    assert!(
        header
            .refused("http://api.test/", &[("X-API-Key", "mine")])
            .await
    );
    let mut query = call("query api_key");
    for own in [
        "api_key=mine",
        "a=b&api_key",
        "API_KEY=x",
        "api%5Fkey=x",
        "a=b;api_key=x",
    ] {
        assert!(
            query.refused(&format!("http://api.test/?{own}"), &[]).await,
            "{own}"
        );
    }
    assert!(upstream.saw_nobody().await);
    // Beside it, a guest may say what it likes.
    let mut other = call("header x-api-key");
    let own = [("authorization", "Bearer mine")];
    assert!(other.get("http://api.test/?api_key=x", &own).await.is_ok());
}

#[tokio::test]
async fn two_secrets_share_no_field() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let upstream = Upstream::answering(OK).await;
    let all = secrets(&[
        binding("a", &file, &["api.test"], "bearer"),
        binding("b", &file, &["api.test"], "basic"),
        binding("c", &file, &["api.test"], "query key"),
    ]);
    let grants = ["secret a api.test bearer", "secret b api.test basic"];
    let mut call = Call::new(upstream.address, &all, &grants);
    assert!(call.refused("http://api.test/", &[]).await);
    let grants = ["secret a api.test bearer", "secret c api.test query key"];
    let mut call = Call::new(upstream.address, &all, &grants);
    assert!(call.get("http://api.test/", &[]).await.is_ok());
}

#[tokio::test]
async fn without_its_consent_a_secret_goes_nowhere_and_no_request_goes_without_it() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let upstream = Upstream::answering(OK).await;
    let all = secrets(&[binding("tracker", &file, &["api.test"], "bearer")]);
    let running = RunningCalls::default();
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [Uuid::nil()]));
    let capability: Capability = "secret tracker api.test bearer".parse().unwrap();
    let standing = entered.stand([(capability.clone(), vec![Uuid::nil()])]);
    let grant = secret("secret tracker api.test bearer");
    let grants = vec![(grant, standing.of(&capability))];
    let mut call = Call::under(upstream.address, &all, grants);
    assert!(call.get("http://api.test/", &[]).await.is_ok());
    running.revoke_soon(&[Uuid::nil()]);
    assert!(call.refused("http://api.test/", &[]).await);
    assert!(!call.lender.exists("tracker"));
    // Its other grants hold.
    assert!(call.get("http://other.test/", &[]).await.is_ok());
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn an_answer_ends_with_the_consent_to_its_secret() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let repeat = crate::egress::testing::After::Repeat(b"1\r\nx\r\n", Duration::from_millis(5));
    let upstream = Upstream::then(head, repeat).await;
    let all = secrets(&[binding("tracker", &file, &["api.test"], "bearer")]);
    let running = RunningCalls::default();
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [Uuid::nil()]));
    let capability: Capability = "secret tracker api.test bearer".parse().unwrap();
    let standing = entered.stand([(capability.clone(), vec![Uuid::nil()])]);
    let grants = vec![(
        secret("secret tracker api.test bearer"),
        standing.of(&capability),
    )];
    let mut call = Call::under(upstream.address, &all, grants);
    let mut body = call.get("http://api.test/", &[]).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    running.revoke_soon(&[Uuid::nil()]);
    let cut = body.frame().await.unwrap();
    assert!(matches!(cut, Err(Error::HttpRequestDenied)), "{cut:?}");
}

#[tokio::test]
async fn a_request_that_is_made_again_carries_its_secret_again() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    let upstream = Upstream::answering(busy).await;
    let retry = crate::config::Retry {
        attempts: 2,
        first: Duration::from_millis(1),
        most: Duration::from_millis(1),
    };
    let hosts = vec![bound("api.test", upstream.address, false)];
    let egress = Egress::new(hosts, Vec::new(), Arc::new(NoNames)).unwrap();
    let egress = Arc::new(egress.with_retry(retry));
    let all = secrets(&[binding("tracker", &file, &["api.test"], "query key")]);
    let mut call = Call::new(
        upstream.address,
        &all,
        &["secret tracker api.test query key"],
    );
    let scopes = vec![(scope("http GET api.test /"), Live::free())];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let hooks = Hooks::new(egress, scopes, &whose(), call.meter.clone(), deadline);
    call.hooks = hooks.lending(call.lender.clone());
    let last = call.get("http://api.test/", &[]).await.unwrap();
    assert_eq!(last.status(), 503);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    let once = "GET /?key=canary%2Fvalue%2B71 HTTP/1.1";
    assert!(
        seen.iter().all(|request| request.starts_with(once)),
        "{seen:?}"
    );
    assert_eq!(call.meter.snapshot()["secret tracker api.test"].count, 2);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_fails_the_request_and_says_no_more() {
    let folder = Folder::new();
    let upstream = Upstream::answering(OK).await;
    let missing = folder.0.path().join("missing");
    let short = folder.put("short", "1234567");
    for file in [missing.to_str().unwrap(), &short] {
        let all = secrets(&[binding("tracker", file, &["api.test"], "bearer")]);
        let grants = ["secret tracker api.test bearer"];
        let mut call = Call::new(upstream.address, &all, &grants);
        let failed = call.get("http://api.test/", &[]).await;
        let Err(Error::InternalError(Some(why))) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(why, "a secret that this request needs cannot be used now");
        assert!(all.readable().await[0].1.as_ref().unwrap().is_err());
    }
    assert!(upstream.saw_nobody().await);
}
