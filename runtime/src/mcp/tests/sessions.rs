//! Sessions of older clients: whose they are, how they end, and what stays as it was without them.

use http::HeaderMap;

use super::subscriptions::Stream;
use super::*;
use crate::limits::{SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSIONS_PER_USER_MAX};

pub(super) const HEADER: &str = "mcp-session-id";

/// A rig with sessions, and its clock.
pub(super) fn rig() -> (Arc<Rig>, ManualClock) {
    let clock = ManualClock::new(testing::NOW);
    let shared = Arc::new(clock.clone());
    let rig = Rig::with(|settings| {
        settings.sessions = true;
        settings.clock = shared;
    });
    (Arc::new(rig), clock)
}

pub(super) fn initialize(version: &str, elicitation: Value) -> Request<Body> {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {"elicitation": elicitation},
        "clientInfo": {"name": "t", "version": "1"},
    });
    without(legacy("initialize", params), "mcp-protocol-version")
}

/// The same request from a caller with these claims.
pub(super) fn by(request: Request<Body>, claims: Value) -> Request<Body> {
    with(request, "authorization", &bearer(claims))
}

/// Begins a session of a client that shows links, for a caller with these claims.
pub(super) async fn begin(rig: &Rig, claims: Value) -> String {
    let request = initialize(LEGACY, json!({"url": {}, "form": {}}));
    let shown = rig.send(by(request, claims)).await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    shown.header(HEADER).unwrap().to_owned()
}

pub(super) fn within(session: &str, request: Request<Body>) -> Request<Body> {
    with(request, HEADER, session)
}

pub(super) fn list() -> Request<Body> {
    legacy("tools/list", json!({}))
}

/// GET or DELETE.
pub(super) fn bare(method: Method) -> Request<Body> {
    let mut request = without(list(), "content-type");
    *request.method_mut() = method;
    *request.body_mut() = Body::empty();
    request
}

fn reply() -> Request<Body> {
    let body = json!({"jsonrpc": "2.0", "id": "q", "result": {"action": "accept"}});
    with(post(body.to_string()), "mcp-protocol-version", LEGACY)
}

async fn is_alive(rig: &Rig, session: &str, claims: Value) -> bool {
    let shown = rig.send(by(within(session, list()), claims)).await;
    shown.status == StatusCode::OK
}

#[tokio::test]
async fn d4_d7_4_h2_s4_3_an_id_is_256_random_bits_and_never_the_same() {
    let (rig, _) = rig();
    let (one, other) = (begin(&rig, json!({})).await, begin(&rig, json!({})).await);
    assert_ne!(one, other);
    for id in [&one, &other] {
        assert_eq!(id.len(), 43, "32 bytes in base64url");
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    }
}

#[tokio::test]
async fn only_initialize_of_an_older_revision_with_a_token_begins_a_session() {
    let (rig, _) = rig();
    for request in [
        list(),
        legacy("ping", json!({})),
        modern("server/discover", json!({})),
        modern("tools/list", json!({})),
    ] {
        let shown = rig.send(request).await;
        assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
        assert_eq!(shown.header(HEADER), None);
    }
    let request = without(initialize(LEGACY, json!({})), "authorization");
    let shown = rig.send(request).await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(shown.header(HEADER), None);
    // What it may now be told of is said.
    let shown = rig.send(initialize(LEGACY, json!({}))).await;
    assert_eq!(
        shown.result()["capabilities"],
        json!({"tools": {"listChanged": true}})
    );
}

#[tokio::test]
async fn p10_the_revision_without_sessions_ignores_the_header() {
    let (rig, _) = rig();
    let request = within("whatever", modern("tools/list", json!({})));
    assert_eq!(rig.send(request).await.status, StatusCode::OK);
    for method in [Method::GET, Method::DELETE] {
        let request = with(bare(method), "mcp-protocol-version", MODERN);
        let shown = rig.send(within("whatever", request)).await;
        assert_eq!(shown.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

/// Everything of an answer but the name of its request.
fn all(shown: Shown) -> (StatusCode, HeaderMap, String) {
    let mut headers = shown.headers;
    assert!(headers.remove("x-request-id").is_some());
    (shown.status, headers, shown.body)
}

#[tokio::test]
async fn d7_1_d7_2_d7_6_h4_s4_4_the_id_of_another_user_or_client_or_tenant_is_as_unknown_as_none() {
    let (rig, _) = rig();
    let alice = json!({"sub": "alice"});
    let id = begin(&rig, alice.clone()).await;
    let unknown = "A".repeat(43);
    for other in [
        json!({"sub": "mallory"}),
        json!({"sub": "alice", "client_id": "other"}),
        json!({"sub": "alice", "tenant": "other"}),
    ] {
        for request in [
            list,
            || legacy("initialize", json!({})),
            || legacy("tools/call", json!({"name": "echo", "arguments": {}})),
            || legacy("tools/call", json!({"name": "admin", "arguments": {}})),
            reply,
            || bare(Method::GET),
            || bare(Method::DELETE),
        ] {
            let foreign = rig.send(by(within(&id, request()), other.clone())).await;
            let unknown = rig
                .send(by(within(&unknown, request()), other.clone()))
                .await;
            assert_eq!(foreign.status, StatusCode::NOT_FOUND, "{foreign:?}");
            assert_eq!(foreign.json()["error"]["code"], -32001);
            assert_eq!(all(foreign), all(unknown));
        }
    }
    assert_eq!(rig.line.ran(), []);
    assert!(is_alive(&rig, &id, alice).await, "nobody ended it");
}

#[tokio::test]
async fn d7_3_d7_4_h1_h3_s4_2_an_id_without_a_good_token_is_worth_nothing() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let expired = json!({"exp": testing::NOW.secs() - 3600});
    for request in [list, || bare(Method::GET), || bare(Method::DELETE), reply] {
        let shown = rig
            .send(without(within(&id, request()), "authorization"))
            .await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        let shown = rig.send(by(within(&id, request()), expired.clone())).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        assert!(shown.header("www-authenticate").is_some());
    }
    assert!(is_alive(&rig, &id, json!({})).await);
    // A new token of the same user and client goes on where the old one was.
    assert!(is_alive(&rig, &id, json!({"jti": "next"})).await);
}

#[tokio::test]
async fn what_names_no_session_in_one_way_is_an_unknown_session() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    let long = "A".repeat(4096);
    for bad in ["", " ", "x", &id[1..], &format!("{id}="), &long] {
        let shown = rig.send(within(bad, list())).await;
        assert_eq!(shown.code(), (404, -32001), "{bad}");
    }
    let mut twice = within(&id, list());
    twice.headers_mut().append(HEADER, id.parse().unwrap());
    assert_eq!(rig.send(twice).await.code(), (404, -32001));
}

#[tokio::test]
async fn d7_4_a_session_ends_when_nobody_uses_it_and_in_any_case_at_its_age() {
    let (rig, clock) = rig();
    let (used, idle) = (begin(&rig, json!({})).await, begin(&rig, json!({})).await);
    let step = SESSION_IDLE_MAX - Duration::from_secs(1);
    clock.advance(step);
    assert!(is_alive(&rig, &used, json!({})).await);
    clock.advance(Duration::from_secs(1));
    assert!(!is_alive(&rig, &idle, json!({})).await);
    assert!(is_alive(&rig, &used, json!({})).await);
    let mut age = SESSION_IDLE_MAX;
    while age + step < SESSION_AGE_MAX {
        clock.advance(step);
        age += step;
        assert!(is_alive(&rig, &used, json!({})).await, "{age:?}");
    }
    clock.advance(SESSION_AGE_MAX - age);
    assert!(!is_alive(&rig, &used, json!({})).await);
}

#[tokio::test]
async fn initialize_always_gives_a_new_id_and_ends_the_session_that_it_shows() {
    let (rig, _) = rig();
    let old = begin(&rig, json!({})).await;
    let shown = rig
        .send(within(&old, initialize(LEGACY, json!({"url": {}}))))
        .await;
    let new = shown.header(HEADER).unwrap();
    assert_ne!(new, old);
    assert!(is_alive(&rig, new, json!({})).await);
    assert!(!is_alive(&rig, &old, json!({})).await);
    // An id that we did not give is not taken over.
    let fixed = "B".repeat(43);
    let shown = rig
        .send(within(&fixed, initialize(LEGACY, json!({}))))
        .await;
    assert_eq!(shown.code(), (404, -32001));
}

#[tokio::test]
async fn d7_4_a_user_has_so_many_sessions_and_the_oldest_gives_way() {
    let (rig, clock) = rig();
    let second = Duration::from_secs(1);
    let mallory = begin(&rig, json!({"sub": "mallory"})).await;
    let mut ids = Vec::new();
    for _ in 0..SESSIONS_PER_USER_MAX {
        clock.advance(second);
        ids.push(begin(&rig, json!({})).await);
    }
    clock.advance(second);
    assert!(
        is_alive(&rig, &ids[0], json!({})).await,
        "so it is not the oldest"
    );
    clock.advance(second);
    // Whatever the client: the bound is the user's.
    begin(&rig, json!({"client_id": "other"})).await;
    assert!(is_alive(&rig, &ids[0], json!({})).await);
    assert!(!is_alive(&rig, &ids[1], json!({})).await);
    assert!(is_alive(&rig, &ids[2], json!({})).await);
    assert!(is_alive(&rig, &mallory, json!({"sub": "mallory"})).await);
}

#[tokio::test]
async fn d3_d7_5_a_session_keeps_to_its_revision() {
    let (rig, _) = rig();
    let id = begin(&rig, json!({})).await;
    for request in [list, reply, || bare(Method::GET), || bare(Method::DELETE)] {
        let other = with(request(), "mcp-protocol-version", "2025-06-18");
        let shown = rig.send(within(&id, other)).await;
        assert_eq!(shown.code(), (400, -32020), "{shown:?}");
        let none = without(within(&id, request()), "mcp-protocol-version");
        assert_eq!(rig.send(none).await.code(), (400, -32020));
        let unserved = with(request(), "mcp-protocol-version", "2024-11-05");
        assert_eq!(rig.send(within(&id, unserved)).await.code(), (400, -32022));
    }
    assert!(is_alive(&rig, &id, json!({})).await);
}

#[tokio::test]
async fn d4_d7_2_delete_ends_a_session_and_every_later_use_is_of_an_unknown_one() {
    let (rig, _) = rig();
    let (id, other) = (begin(&rig, json!({})).await, begin(&rig, json!({})).await);
    let mut stream = Stream::open(&rig, within(&id, bare(Method::GET))).await;
    let shown = rig.send(within(&id, bare(Method::DELETE))).await;
    assert_eq!(
        (shown.status, shown.body.as_str()),
        (StatusCode::NO_CONTENT, "")
    );
    assert_eq!(stream.next().await, None, "its stream ends with it");
    for request in [list, reply, || bare(Method::GET), || bare(Method::DELETE)] {
        let shown = rig.send(within(&id, request())).await;
        assert_eq!(shown.code(), (404, -32001));
    }
    assert!(is_alive(&rig, &other, json!({})).await);
}

#[tokio::test]
async fn without_a_session_there_is_nothing_but_post() {
    let (rig, _) = rig();
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH] {
        let shown = rig.send(bare(method)).await;
        assert_eq!(shown.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(shown.header("allow"), Some("POST"));
    }
    let shown = rig.send(reply()).await;
    assert_eq!(shown.code(), (400, -32600), "an answer to nobody");
    let id = begin(&rig, json!({})).await;
    let shown = rig.send(within(&id, bare(Method::PUT))).await;
    assert_eq!(shown.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn off_as_ever_no_method_and_no_answer_is_taken() {
    let rig = Rig::new();
    for method in [Method::GET, Method::DELETE] {
        let shown = rig.send(within("x", bare(method))).await;
        assert_eq!(shown.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let shown = rig.send(within("x", reply())).await;
    assert_eq!(shown.code(), (400, -32600));
}

#[tokio::test]
async fn each_caller_hears_of_its_own_changes_on_its_own_stream() {
    let (rig, _) = rig();
    let admin =
        json!({"sub": "root", "roles": ["user", "admin"], "scope": "tools:call tools:admin"});
    let (one, root) = (
        begin(&rig, json!({})).await,
        begin(&rig, admin.clone()).await,
    );
    let get = |id: &str| within(id, bare(Method::GET));
    let mut of_one = Stream::open(&rig, get(&one)).await;
    let mut of_root = Stream::open(&rig, by(get(&root), admin)).await;
    // Hidden from one: then only root is told.
    rig.line
        .tools
        .lock()
        .unwrap()
        .retain(|tool| tool.name.as_str() != "admin");
    rig.line.changed.send_modify(|count| *count += 1);
    let told = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    assert_eq!(of_root.next().await, Some(told.clone()));
    rig.line.add(listed("new"));
    assert_eq!(of_one.next().await, Some(told.clone()));
    assert_eq!(of_root.next().await, Some(told.clone()));
    // A newer stream takes the place of the one before, so that nothing is told twice.
    let mut newer = Stream::open(&rig, get(&one)).await;
    assert_eq!(of_one.next().await, None);
    // Nothing is resumed: an event id that anybody shows is not looked at.
    rig.line.add(listed("newer"));
    assert_eq!(newer.next().await, Some(told));
    drop(newer);
    let mut resumed = Stream::open(&rig, with(get(&one), "last-event-id", "0")).await;
    rig.shutdown.cancel();
    assert_eq!(resumed.next().await, None, "and the server's end ends it");
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let (rig, clock) = rig();
    let id = begin(&rig, json!({})).await;
    clock.advance(Duration::from_secs(60));
    let soon = json!({"exp": testing::NOW.secs() + 60});
    let mut stream = Stream::open(&rig, by(within(&id, bare(Method::GET)), soon)).await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn pages_of_allowed_origins_can_use_sessions_only_where_there_are_any() {
    let (with_sessions, _) = rig();
    for (rig, has) in [(with_sessions, true), (Arc::new(Rig::new()), false)] {
        let preflight = Request::builder()
            .method(Method::OPTIONS)
            .uri("/mcp")
            .header("host", "mcp.test")
            .header("origin", "https://app.test")
            .header("access-control-request-method", "DELETE")
            .body(Body::empty())
            .unwrap();
        let shown = rig.send(preflight).await;
        let methods = shown.header("access-control-allow-methods").unwrap();
        assert_eq!(methods.contains("DELETE"), has);
        let headers = shown.header("access-control-allow-headers").unwrap();
        assert_eq!(headers.contains(HEADER), has);
        let shown = rig.send(with(list(), "origin", "https://app.test")).await;
        let exposed = shown.header("access-control-expose-headers").unwrap();
        assert_eq!(exposed.contains(HEADER), has);
    }
}
