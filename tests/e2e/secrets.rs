//! Secrets: attached where user, operator and request agree, seen by nobody, and gone with their consent.

mod aws;
pub mod host;
mod issues;
mod signature;

use std::time::Duration;

use bailiwick::consent::Choice;
use bailiwick::limits::SECRET_FRESH_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use host::{Host, answer, bearer};

use crate::cli::bailiwick;
use crate::harness::{
    Answer, Browser, Era, Server, Setup, for_an_hour, log, private_file, run, until,
};

fn percent(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn unicode(value: &str) -> String {
    value.bytes().map(|byte| format!("\\u{byte:04X}")).collect()
}

/// The forms in which an upstream can echo a value, by the path that is asked for.
fn echoed(form: &str, value: &str) -> String {
    match form {
        "raw" => value.to_owned(),
        "base64-0" => STANDARD.encode(value),
        "base64-1" => STANDARD.encode(format!("x{value}")),
        "base64-2" => URL_SAFE.encode(format!("xy{value}z")),
        "hex" => hex(value),
        "HEX" => hex(value).to_ascii_uppercase(),
        "percent" => percent(value),
        "json" => format!("{{\"a\":\"{}\"}}", unicode(value)),
        "escaped" => serde_json::to_string(value).unwrap().replace('/', "\\/"),
        _ => "seen".to_owned(),
    }
}

fn hex(value: &str) -> String {
    value.bytes().map(|byte| format!("{byte:02x}")).collect()
}

const FORMS: [&str; 9] = [
    "raw", "base64-0", "base64-1", "base64-2", "hex", "HEX", "percent", "json", "escaped",
];

/// What must stand nowhere: the value, and enough of every form to know it by.
fn traces(value: &str) -> Vec<String> {
    let mut all: Vec<String> =
        [value.to_owned(), percent(value), unicode(value), hex(value)].to_vec();
    all.push(hex(value).to_ascii_uppercase());
    all.push(
        serde_json::to_string(value)
            .unwrap()
            .trim_matches('"')
            .replace('/', "\\/"),
    );
    for before in 0..3 {
        let letters = STANDARD.encode(format!("{}{value}", "x".repeat(before)));
        all.push(letters[4..12].to_owned());
        all.push(letters[4..12].replace('+', "-").replace('/', "_"));
    }
    all
}

#[track_caller]
fn is_clean(what: &str, text: &str, value: &str) {
    for trace in traces(value) {
        assert!(!text.contains(&trace), "{what} has {trace}");
    }
}

async fn echo_host() -> Host {
    Host::start(|path, request| {
        let value = bearer(request).to_owned();
        let form = path
            .trim_start_matches('/')
            .split('?')
            .next()
            .unwrap_or_default();
        let text = echoed(form, &value);
        let field = echoed(form, &value).replace(['{', '}'], "");
        answer(
            "200 OK",
            &format!("x-echo: {field}\r\n"),
            &format!("<{text}>"),
        )
    })
    .await
}

const BOUND: &str = "[[secret]]\nname = \"tracker\"\nfile = \"tracker\"\nhosts = [\"api.test\"]\nform = \"bearer\"\n";

/// A server with these guests, of which the host `api.test` is this one.
async fn server_with(guests: &[&str], host: &Host, value: &str) -> Server {
    setup(guests, host, value).await.start().await
}

async fn setup(guests: &[&str], host: &Host, value: &str) -> Setup {
    let setup = Setup::new().guests(guests).await;
    let setup = setup.host("api.test", host.port, false);
    setup
        .secret_file("tracker", &format!("{value}\n"))
        .config(BOUND)
}

/// Everything that a server of ours has said: in its records, and in the log.
async fn said(server: &Server) -> String {
    let mut all = log::text();
    for stored in server.records().await {
        all.push_str(&stored.json);
    }
    all
}

async fn effects(server: &Server, tool: &str) -> Value {
    let outcome = server.outcomes(tool).await.pop().unwrap();
    let result = serde_json::to_value(outcome.result.as_ref().unwrap()).unwrap();
    result["used"]["effects"].clone()
}

#[test]
fn a_secret_is_used_once_its_user_agreed_to_it_and_policy_can_forbid_it() {
    run(async {
        let value = "canary-5e11-used/once+";
        let host = echo_host().await;
        let server = server_with(&["secret_echo"], &host, value).await;
        let alice = server.caller("alice");
        let arguments = json!({"urls": ["http://api.test/"]});
        let asked = alice.call("secret_echo", arguments.clone()).await;
        let link = asked.link().unwrap();
        let all = server.asked(&link, "alice").await;
        assert_eq!(
            all,
            ["http GET api.test /", "secret tracker api.test bearer"]
        );
        let page = Browser::default().open(&link, "alice").await;
        let sentence = "Use the key “tracker” of this server with api.test; the tool never sees it";
        assert!(page.html.contains(sentence), "{page:?}");
        assert!(host.seen().is_empty());
        // Without it the tool does not run, and nothing is asked.
        let no_secret = |capability: &str| match capability.starts_with("secret") {
            true => Choice::Deny,
            false => for_an_hour(),
        };
        server.decide_each(&link, "alice", no_secret).await;
        let refused = alice.call("secret_echo", arguments.clone()).await;
        assert!(
            !refused.body.contains("seen") && host.seen().is_empty(),
            "{refused:?}"
        );

        let bob = server.caller("bob");
        let used = bob
            .call_allowed(&server, "secret_echo", arguments.clone())
            .await;
        assert!(
            used.is_reply() && used.text().contains("exists: true"),
            "{used:?}"
        );
        assert_eq!(bearer(&host.seen()[0]), value);
        let told = effects(&server, "secret_echo").await;
        assert_eq!(told["secret tracker api.test"]["count"], 1);
        is_clean("what was said", &said(&server).await, value);

        let rule = "@id(\"no-key\") forbid (principal, action == Action::\"use\", resource)\n\
                    when { resource.kind == \"secret\" && resource has secret && resource.secret == \"tracker\" && resource has host && resource.host == \"api.test\" };\n";
        let server = server.restart(rule).await;
        let before = host.seen().len();
        let forbidden = server.caller("bob").call("secret_echo", arguments).await;
        assert!(!forbidden.body.contains("exists"), "{forbidden:?}");
        assert_eq!(host.seen().len(), before);
        server.stop().await;
    });
}

#[test]
fn no_form_of_a_secret_that_an_upstream_echoes_reaches_anybody() {
    run(async {
        let value = "canary/8d21+\"echoed\"~~%value";
        let host = echo_host().await;
        let server = server_with(&["secret_echo"], &host, value).await;
        let alice = server.caller("alice");
        let urls: Vec<_> = FORMS
            .iter()
            .map(|form| format!("http://api.test/{form}"))
            .collect();
        for fail in [false, true] {
            let arguments = json!({"urls": urls, "fail": fail});
            let answer = alice.call_allowed(&server, "secret_echo", arguments).await;
            assert_eq!(answer.is_tool_error(), fail, "{answer:?}");
            // The upstream did echo: what it said is there, as stars.
            assert!(
                answer.text().contains(&"*".repeat(value.len())),
                "{answer:?}"
            );
            is_clean("the answer", &answer.body, value);
        }
        // Who watches the call sees no more of it.
        let watched = alice.clone().in_era(Era::Legacy).request(
            "tools/call",
            json!({"name": "secret_echo", "arguments": {"urls": urls}, "_meta": {"progressToken": "p"}}),
        );
        let watched = Answer::read(watched).await.body;
        assert!(watched.contains("notifications/progress"), "{watched}");
        assert!(watched.contains(&"*".repeat(value.len())), "{watched}");
        is_clean("its progress", &watched, value);
        let seen = host.seen();
        assert!(
            seen.iter().all(|request| bearer(request) == value),
            "{seen:?}"
        );
        let masked = effects(&server, "secret_echo").await["secret tracker (masked)"].clone();
        assert!(masked["count"].as_u64() >= Some(18), "{masked}");
        let said = said(&server).await;
        assert!(
            said.contains(&"*".repeat(value.len())),
            "the guest's log is there, masked"
        );
        is_clean("what was said", &said, value);
        server.stop().await;
    });
}

#[test]
fn a_guest_can_read_a_secret_nowhere() {
    run(async {
        let value = "canary-77ab-read-nowhere";
        let host = echo_host().await;
        let server = server_with(&["secret_read"], &host, value).await;
        let alice = server.caller("alice");
        let url = json!({"url": "http://api.test/raw"});
        let found = alice.call_allowed(&server, "secret_read", url).await;
        assert!(found.is_reply(), "{found:?}");
        let exists = found.structured()["exists"].clone();
        let exists = exists.as_array().unwrap();
        assert_eq!(exists[0], json!(["tracker", true]));
        assert!(exists[1..].iter().all(|one| one[1] == false), "{exists:?}");
        assert_eq!(bearer(&host.seen()[0]), value);
        is_clean("what it read", &found.body, value);
        is_clean("what was said", &said(&server).await, value);
        server.stop().await;
    });
}

#[test]
fn a_secret_goes_to_no_other_host_and_not_with_a_redirect() {
    run(async {
        let value = "canary-90cd-other-host";
        let first = Host::start(|_, _| {
            answer(
                "302 Found",
                "location: http://other.test/taken\r\n",
                "moved",
            )
        })
        .await;
        let other = echo_host().await;
        let setup = setup(&["secret_other_host"], &first, value).await;
        let server = setup.host("other.test", other.port, false).start().await;
        let alice = server.caller("alice");
        let hosts = json!({"first": "http://api.test/", "other": "http://other.test/"});
        let answer = alice
            .call_allowed(&server, "secret_other_host", hosts)
            .await;
        let probes = answer.structured()["probes"].as_array().unwrap().len();
        assert_eq!(probes, 7, "{answer:?}");
        assert_eq!(bearer(&first.seen()[0]), value);
        let seen = other.seen();
        assert_eq!(seen.len(), 7);
        assert!(
            seen.iter().any(|request| request.contains("/taken")),
            "{seen:?}"
        );
        for request in seen {
            assert_eq!(bearer(&request), "nothing");
            is_clean("the other host", &request, value);
        }
        server.stop().await;
    });
}

#[test]
fn a_guest_that_sets_the_field_of_a_secret_itself_is_refused() {
    run(async {
        let host = echo_host().await;
        let server = server_with(&["secret_override"], &host, "canary-11fe-override").await;
        let alice = server.caller("alice");
        let own = json!({
            "url": "http://api.test/",
            "fields": [["authorization", "Bearer mine"], ["Authorization", ""], ["AUTHORIZATION", "Basic bWluZQ=="]],
        });
        let refused = alice.call_allowed(&server, "secret_override", own).await;
        let probes = refused.structured()["probes"].clone();
        for probe in probes.as_array().unwrap() {
            assert_eq!(probe["error"], "http-request-denied", "{probe}");
        }
        assert!(host.seen().is_empty());
        // Another field is the guest's own business.
        let own = json!({"url": "http://api.test/", "fields": [["x-own", "mine"]], "queries": ["authorization=mine"]});
        let sent = alice.call("secret_override", own).await;
        assert!(sent.structured()["probes"][1]["status"] == 200, "{sent:?}");
        assert_eq!(host.seen().len(), 2);
        server.stop().await;
    });
}

#[test]
fn after_its_consent_is_revoked_a_secret_is_not_attached_and_nothing_is_asked_without_it() {
    run(async {
        let value = "canary-42aa-revoked";
        let host = Host::start(|_, _| {
            std::thread::sleep(Duration::from_millis(100));
            answer("200 OK", "", "seen")
        })
        .await;
        let server = server_with(&["secret_echo"], &host, value).await;
        let alice = server.caller("alice");
        let first = json!({"urls": ["http://api.test/"]});
        assert!(
            alice
                .call_allowed(&server, "secret_echo", first)
                .await
                .is_reply()
        );
        let before = host.seen().len();
        let urls: Vec<_> = (0..20).map(|n| format!("http://api.test/{n}")).collect();
        let (caller, arguments) = (alice.clone(), json!({"urls": urls}));
        let running = tokio::spawn(async move { caller.call("secret_echo", arguments).await });
        until("the call has begun", async || {
            (host.seen().len() > before).then_some(())
        })
        .await;
        server.take_back("alice", "secret").await;
        let after = host.seen().len();
        let answer = running.await.unwrap();
        assert!(answer.text().contains("may not reach"), "{answer:?}");
        assert!(
            host.seen().len() <= after + 1,
            "what was on its way may arrive"
        );
        assert!(host.seen().len() < before + 20);
        assert!(host.seen().iter().all(|request| bearer(request) == value));
        // It is asked about again, and about nothing else.
        let again = alice.call("secret_echo", json!({"urls": []})).await;
        let asked = server.asked(&again.link().unwrap(), "alice").await;
        assert_eq!(asked, ["secret tracker api.test bearer"]);
        server.stop().await;
    });
}

#[test]
fn a_secret_is_rotated_without_a_restart_and_neither_value_is_shown() {
    run(async {
        let (old, new) = ("canary-61-old-value", "fresh-bird-62-value");
        let host = Host::start(move |_, request| {
            let text = format!("{} {old} {new}", bearer(request));
            answer("200 OK", "", &text)
        })
        .await;
        let server = server_with(&["secret_echo"], &host, old).await;
        let alice = server.caller("alice");
        let arguments = json!({"urls": ["http://api.test/"]});
        let answer = alice
            .call_allowed(&server, "secret_echo", arguments.clone())
            .await;
        is_clean("the first answer", &answer.body, old);
        private_file(&server.dir().join("tracker"), new);
        tokio::time::sleep(SECRET_FRESH_MAX + Duration::from_millis(200)).await;
        let answer = alice.call("secret_echo", arguments.clone()).await;
        for value in [old, new] {
            is_clean("the second answer", &answer.body, value);
        }
        let seen = host.seen();
        assert_eq!((bearer(&seen[0]), bearer(&seen[1])), (old, new));
        // What the operator takes away is gone.
        std::fs::remove_file(server.dir().join("tracker")).unwrap();
        tokio::time::sleep(SECRET_FRESH_MAX + Duration::from_millis(200)).await;
        let failed = alice.call("secret_echo", arguments).await;
        assert!(
            failed
                .text()
                .contains("a secret that this request needs cannot be used now"),
            "{failed:?}"
        );
        assert_eq!(host.seen().len(), 2);
        let log = log::text();
        assert!(log.contains("a secret cannot be read") && log.contains("tracker"));
        server.stop().await;
    });
}

#[test]
fn check_says_of_each_secret_whether_it_can_be_read_and_never_its_value() {
    run(async {
        let value = "canary-30be-check";
        let host = echo_host().await;
        let more = "[[secret]]\nname = \"other\"\nfile = \"missing\"\nhosts = [\"api.test\"]\nform = \"basic\"\nuser = \"robot\"\n\
                    [[secret]]\nname = \"apart\"\nfile = \"s/{tenant}/x\"\nhosts = [\"api.test\"]\nform = \"bearer\"\n";
        let bad = setup(&["secret_read"], &host, value)
            .await
            .config(more)
            .start()
            .await;
        bad.write_config();
        let text = bailiwick(bad.dir(), &["check", "--config", "bailiwick.toml"]).ends(1);
        assert!(text.contains("secret `tracker`: it can be read"), "{text}");
        assert!(
            text.contains("secret `other`: it cannot be read: its file cannot be opened"),
            "{text}"
        );
        assert!(
            text.contains("secret `apart`: each tenant has its own"),
            "{text}"
        );
        assert!(!text.contains("no `[[secret]]` binds it"), "{text}");
        is_clean("check", &text, value);
        bad.stop().await;

        let unbound = Setup::new().guests(&["secret_read"]).await.start().await;
        unbound.write_config();
        let text = bailiwick(unbound.dir(), &["check", "--config", "bailiwick.toml"]).ends(0);
        assert!(
            text.contains("needs `secret tracker api.test bearer`, and no `[[secret]]` binds it"),
            "{text}"
        );
        unbound.stop().await;
    });
}
