//! Personal data under encryption, put by the host into requests to hosts that were granted it: the tool never sees it, and what
//! the hosts say back is masked.

use serde_json::{Value, json};

use crate::data::check_silent;
use crate::harness::{Caller, Server, Setup, run};
use crate::sealed::sealing;
use crate::secrets::host::Host;

const PROBE: &str = "deliver_probe";
const EMAIL: &str = "delivered.canary@example.com";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain";

/// A host that says back all that it was sent, in several ways.
async fn echo() -> Host {
    Host::start(|_, request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        // What a guest sends in pieces comes in one here.
        let body = match request.contains("transfer-encoding: chunked") {
            true => body.split("\r\n").nth(1).unwrap_or_default(),
            false => body,
        };
        let hex: String = body.bytes().map(|byte| format!("{byte:02x}")).collect();
        let said = format!("{body}|{hex}");
        let length = said.len();
        vec![format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\nx-said: {body}\r\n\r\n{said}"
        )]
    })
    .await
}

/// A server whose tool may have e-mail addresses delivered to the first of these, and ask both.
async fn serve(host: &Host, other: &Host) -> Server {
    let setup = sealing(Setup::new()).guests(&[PROBE]).await;
    let setup = setup.host("example.com", host.port, false);
    setup.host("other.example", other.port, false).start().await
}

/// Handles of an address and of a name.
async fn keep(server: &Server, caller: &Caller, email: &str) -> (String, String) {
    let given = json!({"email": email, "nickname": "Nick \"Canary\" Ö"});
    let kept = caller.call_allowed(server, "deliver_keep", given).await;
    let kept = kept.structured();
    let handle = |field: &str| kept[field].as_str().unwrap().to_owned();
    (handle("email"), handle("nickname"))
}

fn letter(url: &str, kind: &str, body: &str) -> Value {
    json!({"url": url, "kind": kind, "body": body})
}

/// What a tool makes up itself.
fn guess(url: &str) -> Value {
    let mut letter = letter(url, TEXT, "someone ");
    letter["guess"] = json!(["delivered.canary", "@", "example", ".com"]);
    letter
}

/// Sends these in one call that the user allowed, and gives what came of each.
async fn send(server: &Server, caller: &Caller, letters: &[Value]) -> Vec<String> {
    let arguments = json!({"requests": letters});
    let answer = caller.call_allowed(server, PROBE, arguments).await;
    assert!(answer.is_reply(), "{answer:?}");
    serde_json::from_value(answer.structured()["came"].clone()).unwrap()
}

#[test]
fn a_value_is_sent_to_the_host_that_it_was_granted_to_and_its_tool_never_sees_it() {
    run(async {
        let (host, other) = (echo().await, echo().await);
        let server = serve(&host, &other).await;
        let alice = server.caller("alice");
        let (email, _) = keep(&server, &alice, EMAIL).await;
        let mut field = letter("http://example.com/?q=1", TEXT, "nothing");
        field["to"] = json!(email);
        let letters = [
            letter(
                "http://example.com/",
                JSON,
                &format!("{{\"to\": \"{email}\"}}"),
            ),
            letter("http://example.com/", FORM, &format!("to={email}&x=1")),
            letter(&format!("http://example.com/?to={email}"), TEXT, "nothing"),
            field,
        ];
        let came = send(&server, &alice, &letters).await;
        let seen = host.seen();
        assert!(
            seen[0].ends_with(&format!("{{\"to\": \"{EMAIL}\"}}")),
            "{seen:?}"
        );
        assert!(
            seen[1].ends_with("to=delivered.canary%40example.com&x=1"),
            "{seen:?}"
        );
        assert!(
            seen[2].starts_with("POST /?to=delivered.canary%40example.com "),
            "{seen:?}"
        );
        assert!(seen[3].contains(&format!("x-to: {EMAIL}\r\n")), "{seen:?}");
        let hex: String = "canary".bytes().map(|byte| format!("{byte:02x}")).collect();
        for came in &came[..2] {
            assert!(!came.contains("canary") && !came.contains(&hex), "{came}");
            assert!(came.contains("x-said") && came.contains("****"), "{came}");
        }
        let used = server.outcomes(PROBE).await;
        let mut used = used
            .iter()
            .filter_map(|one| one.result.as_ref()?.used.clone());
        let effects = used.next().unwrap().effects;
        let delivered = &effects["deliver example.com email deliver_keep:/email"];
        assert_eq!((delivered.count, delivered.bytes_out), (4, 4 * 28));
        check_silent(&server, "delivered.canary").await;
        server.stop().await;
    });
}

#[test]
fn a_handle_is_opened_or_its_request_refused_and_another_host_learns_and_tells_nothing() {
    run(async {
        let (host, other) = (echo().await, echo().await);
        let server = serve(&host, &other).await;
        let alice = server.caller("alice");
        let (email, nickname) = keep(&server, &alice, EMAIL).await;
        let (short, _) = keep(&server, &alice, "x@y.z").await;
        let escaped = email.replace('s', "\\u0073");
        let percent = email.replace('s', "%73");
        let to = "http://example.com/";
        let mut refused = vec![
            // Of a class and a field that was not granted, and what would be found in any text.
            letter(to, TEXT, &nickname),
            letter(to, TEXT, &short),
            letter(to, TEXT, &escaped),
            letter(to, TEXT, &percent),
            letter(to, "application/octet-stream", &email),
            letter(&format!("{to}{email}"), TEXT, "nothing"),
        ];
        let mut large = letter(to, TEXT, &"x".repeat(1024));
        large["times"] = json!(1025);
        refused.push(large);
        let came = send(&server, &alice, &refused).await;
        assert!(
            came.iter().all(|came| came.starts_with("refused")),
            "{came:?}"
        );
        assert_eq!(host.seen(), [""; 0]);
        let used = server.outcomes(PROBE).await;
        let mut used = used
            .iter()
            .filter_map(|one| one.result.as_ref()?.used.clone());
        assert_eq!(used.next().unwrap().effects["deliver (refused)"].refused, 6);

        // Escapes that everybody undoes are opened, and the host that nothing is delivered to gets the handle.
        let letters = [
            letter(to, JSON, &format!("\"{escaped}\"")),
            letter("http://other.example/", TEXT, &email),
            // Guesses: there they are only text, and here nothing more is sent.
            guess("http://other.example/"),
            guess(to),
            letter(to, TEXT, "nothing"),
        ];
        let came = send(&server, &alice, &letters).await;
        assert!(
            host.seen()[0].ends_with(&format!("\"{EMAIL}\"")),
            "{:?}",
            host.seen()
        );
        assert!(other.seen()[0].contains(&email), "{:?}", other.seen());
        // What it knew before comes back as it is; the reply is judged by its classes, as ever.
        assert!(came[2].contains("x-said"), "{came:?}");
        assert!(
            other.seen()[1].contains(&format!("someone {EMAIL}")),
            "{:?}",
            other.seen()
        );
        assert!(
            came[3].starts_with("refused") && came[4].starts_with("refused"),
            "{came:?}"
        );
        assert_eq!((host.seen().len(), other.seen().len()), (1, 2));
        server.stop().await;
    });
}

#[test]
fn a_consent_is_for_one_call_and_nothing_is_delivered_for_another_tenant() {
    run(async {
        let (host, other) = (echo().await, echo().await);
        let server = serve(&host, &other).await;
        let alice = server.caller("alice");
        let (email, _) = keep(&server, &alice, EMAIL).await;
        let letters = [letter("http://example.com/", TEXT, &email)];
        let other = server
            .caller("mallory")
            .with(&server, json!({"tenant": "other"}));
        let came = send(&server, &other, &letters).await;
        assert!(came[0].starts_with("refused"), "{came:?}");
        assert_eq!(host.seen(), [""; 0]);
        assert!(!send(&server, &alice, &letters).await[0].starts_with("refused"));
        let again = alice.call(PROBE, json!({"requests": letters})).await;
        assert!(again.link().is_some(), "{again:?}");
        assert_eq!(host.seen().len(), 1);
        server.stop().await;
    });
}
