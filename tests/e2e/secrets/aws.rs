//! Requests that the server signs for a tool: checked by an upstream that reads the bytes for itself, and sent by a guest that
//! wants more signed than it may.

use serde_json::{Value, json};

use super::host::{Host, answer};
use super::signature::Service;
use super::{effects, is_clean, said};
use crate::cli::bailiwick;
use crate::harness::{Browser, Setup, private_file, run};

const SECRET: &str = "canary/0f+secret-access-key-0123456789AB";
const SESSION: &str = "canary-session-token-of-some-hours==";
const API: Service = Service {
    id: "ACCESSKEYOFTHETEST",
    secret: SECRET,
    session: Some(SESSION),
    region: "eu-central-1",
    name: "execute-api",
    objects: false,
};
const OBJECTS: Service = Service {
    session: None,
    name: "s3",
    objects: true,
    ..API
};

fn key(session: bool) -> String {
    let session = match session {
        true => format!(",\"SessionToken\":\"{SESSION}\""),
        false => String::new(),
    };
    format!(
        "{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{SECRET}\"{session}}}\n",
        API.id
    )
}

/// An upstream that says of each request what it makes of its signature, and shows what it was shown.
async fn checking(service: Service) -> Host {
    Host::start(move |_, request| {
        let fields = request.lines().filter(|line| {
            line.starts_with("authorization: ") || line.starts_with("x-amz-security-token: ")
        });
        let shown = fields.collect::<Vec<_>>().join(" ");
        let all = match service.check(request) {
            Ok(()) => answer("200 OK", "", &format!("good; {shown}")),
            Err(why) => answer("403 Forbidden", "", &format!("{why}; {shown}")),
        };
        // In one piece: the guest shows the first that comes.
        vec![all.concat()]
    })
    .await
}

async fn setup(host: &Host, service: &str, key: &str) -> Setup {
    let bound = format!(
        "[[secret]]\nname = \"tracker\"\nfile = \"key.json\"\nhosts = [\"api.test\"]\nform = \"aws-sigv4\"\nregion = \"eu-central-1\"\nservice = \"{service}\"\n"
    );
    let setup = Setup::new().guests(&["secret_sign"]).await;
    let setup = setup.host("api.test", host.port, false);
    setup.secret_file("key.json", key).config(&bound)
}

fn get(url: &str) -> Value {
    json!({"requests": [{"method": "GET", "url": url}]})
}

#[test]
fn a_request_is_signed_once_its_user_agreed_to_it_and_nobody_sees_with_what() {
    run(async {
        let host = checking(API).await;
        let server = setup(&host, "execute-api", &key(true)).await;
        let other = checking(API).await;
        let server = server.host("other.test", other.port, false).start().await;
        let alice = server.caller("alice");
        let requests = json!({"requests": [
            {"method": "GET", "url": "http://api.test/stage/a%2Fb//c/?z=1&a=x%20y&a=&b"},
            {"method": "POST", "url": "http://api.test/items", "body": "{\"n\":1}",
             "fields": [["content-type", "application/json"], ["x-amz-target", "Table.Get"], ["accept", "*/*"]]},
            {"method": "PUT", "url": "http://api.test/items/1", "body": "0123456789abcdef", "times": 32768},
        ]});
        let asked = alice.call("secret_sign", requests.clone()).await;
        let link = asked.link().unwrap();
        let all = server.asked(&link, "alice").await;
        assert_eq!(
            all,
            [
                "http GET,POST,PUT api.test /",
                "http GET,POST,PUT other.test /",
                "secret tracker api.test aws-sigv4"
            ]
        );
        let page = Browser::default().open(&link, "alice").await;
        let sentence = "Have its requests to api.test signed in the name of the operator of this server, with the key “tracker”; the tool never sees the key";
        assert!(page.html.contains(sentence), "{page:?}");
        assert!(host.seen().is_empty());

        let bob = server.caller("bob");
        let answer = bob.call_allowed(&server, "secret_sign", requests).await;
        let probes = answer.structured()["probes"].clone();
        for probe in probes.as_array().unwrap() {
            assert_eq!(probe["status"], 200, "{probe}");
            let told = probe["body"].as_str().unwrap();
            // What was echoed came, as stars; the id of the key is no secret.
            let stars = format!("Signature={}", "*".repeat(64));
            assert!(told.contains(&stars) && told.contains(API.id), "{told}");
            assert!(told.contains(&"*".repeat(SESSION.len())), "{told}");
        }
        let seen = host.seen();
        assert_eq!(seen.len(), 3);
        let signatures: Vec<_> = seen
            .iter()
            .map(|one| one.split("Signature=").nth(1).unwrap()[..64].to_owned())
            .collect();
        let told = effects(&server, "secret_sign").await;
        assert_eq!(told["secret tracker api.test"]["count"], 3);
        assert!(told["secret tracker (masked)"]["count"].as_u64() >= Some(6));
        let said = said(&server).await;
        for value in [SECRET, SESSION]
            .into_iter()
            .chain(signatures.iter().map(String::as_str))
        {
            is_clean("the answer", &answer.body, value);
            is_clean("what was said", &said, value);
        }

        // The check can fail: no part of what was signed can be another.
        let [get, post, _] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        assert_eq!(API.check(get), Ok(()));
        for (request, from, to) in [
            (get, "/stage/", "/stolen/"),
            (get, "a=x%20y", "a=x%20z"),
            (get, "GET ", "DELETE "),
            (get, "host: api.test", "host: other.test"),
            (get, "x-amz-date: 2", "x-amz-date: 3"),
            (get, SESSION, "another-session"),
            (post, "{\"n\":1}", "{\"n\":2}"),
            (post, "Table.Get", "Table.Put"),
            (post, "application/json", "text/plain"),
        ] {
            assert!(request.contains(from), "{request}");
            let tampered = request.replacen(from, to, 1);
            assert!(API.check(&tampered).is_err(), "{from}");
        }
        let stranger = Service {
            secret: "canary/another+secret-access-key",
            ..API
        };
        assert!(stranger.check(get).is_err());

        let rule = "@id(\"nothing-signed\") forbid (principal, action == Action::\"use\", resource)\n\
                    when { resource.kind == \"secret\" && resource has form && resource.form == \"aws-sigv4\" };\n";
        let server = server.restart(rule).await;
        let forbidden = server
            .caller("bob")
            .call("secret_sign", self::get("http://api.test/"))
            .await;
        assert!(!forbidden.body.contains("probes"), "{forbidden:?}");
        assert_eq!(host.seen().len(), 3);
        server.stop().await;
    });
}

#[test]
fn names_of_objects_are_signed_as_a_store_reads_them() {
    run(async {
        let host = checking(OBJECTS).await;
        let server = setup(&host, "s3", &key(false)).await;
        let other = checking(OBJECTS).await;
        let server = server.host("other.test", other.port, false).start().await;
        let alice = server.caller("alice");
        let requests = json!({"requests": [
            {"method": "GET", "url": "http://api.test/bucket//a+b/%C3%BC%20(1)!'*~=@:$,&?list-type=2&prefix=a%2Fb%20c&x"},
            {"method": "PUT", "url": "http://api.test/bucket/k%2Bv", "body": "contents",
             "fields": [["x-amz-meta-note", "two  spaces"], ["content-type", "text/plain"]]},
        ]});
        let answer = alice.call_allowed(&server, "secret_sign", requests).await;
        for probe in answer.structured()["probes"].as_array().unwrap() {
            assert_eq!(probe["status"], 200, "{probe}");
        }
        assert_eq!(host.seen().len(), 2);
        server.stop().await;
    });
}

#[test]
fn a_guest_has_nothing_signed_but_its_own_requests_to_the_one_host() {
    run(async {
        let led_on = Host::start(|path, request| match API.check(request) {
            Ok(()) if path == "/on" => answer(
                "302 Found",
                "location: http://other.test/taken\r\n",
                "moved",
            ),
            Ok(()) => answer("200 OK", "", "good"),
            Err(why) => answer("403 Forbidden", "", &why),
        })
        .await;
        let other = checking(API).await;
        let server = setup(&led_on, "execute-api", &key(true)).await;
        let server = server.host("other.test", other.port, false).start().await;
        let alice = server.caller("alice");
        let set = |name: &str| json!({"method": "GET", "url": "http://api.test/", "fields": [[name, "mine"]]});
        let asked =
            |query: &str| json!({"method": "GET", "url": format!("http://api.test/?{query}")});
        let requests = json!({"requests": [
            set("authorization"), set("AUTHORIZATION"), set("X-Amz-Date"), set("x-amz-security-token"), set("x-amz-content-sha256"),
            asked("X-Amz-Signature=mine"), asked("a=b&x-amz-algorithm"), asked("x%2damz-credential=mine"),
        ]});
        let refused = alice.call_allowed(&server, "secret_sign", requests).await;
        let probes = refused.structured()["probes"].clone();
        for probe in probes.as_array().unwrap() {
            assert_eq!(probe["error"], "http-request-denied", "{probe}");
        }
        let requests = json!({
            "requests": [
                // A byte more than is held.
                {"method": "PUT", "url": "http://api.test/", "body": "x", "times": 524_289},
                {"method": "GET", "url": "http://api.test/", "fields": [["x-amz-meta-note", "ü"]]},
            ],
            "trailed": ["http://api.test/"],
        });
        let refused = alice.call("secret_sign", requests).await;
        let probes = refused.structured()["probes"].clone();
        assert!(
            probes[0]["error"]
                .as_str()
                .unwrap()
                .starts_with("http-request-body-size"),
            "{probes}"
        );
        for probe in &probes.as_array().unwrap()[1..] {
            assert_eq!(probe["error"], "http-protocol-error", "{probe}");
        }
        assert!(led_on.seen().is_empty(), "{:?}", led_on.seen());
        // Another host gets nothing, by itself or led on to.
        let arguments = json!({
            "requests": [{"method": "GET", "url": "http://other.test/"}],
            "led_on": ["http://api.test/on"],
        });
        let answer = alice.call("secret_sign", arguments).await;
        let probes = answer.structured()["probes"].clone();
        for probe in probes.as_array().unwrap() {
            assert_eq!(probe["body"], "it is not signed; ", "{probe}");
        }
        assert_eq!(API.check(&led_on.seen()[0]), Ok(()));
        let seen = other.seen();
        assert!(seen[1].starts_with("GET /taken "), "{seen:?}");
        for request in seen {
            for trace in ["authorization", "x-amz-", API.id, SESSION] {
                assert!(!request.contains(trace), "{request}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn check_says_what_is_wrong_with_an_access_key_and_nothing_of_it() {
    run(async {
        let host = checking(API).await;
        let server = setup(&host, "execute-api", &key(true)).await;
        let server = server.start().await;
        server.write_config();
        let check =
            |status| bailiwick(server.dir(), &["check", "--config", "bailiwick.toml"]).ends(status);
        let text = check(0);
        assert!(text.contains("secret `tracker`: it can be read"), "{text}");
        for (file, says) in [
            (
                SECRET.to_owned(),
                "it is no access key; write a JSON object",
            ),
            (
                key(true).replace("SecretAccessKey", "SecretKey"),
                "it has no text `SecretAccessKey`",
            ),
            (
                key(true).replace("\"Version\":1", "\"Expiration\":\"2020-01-01T00:00:00Z\""),
                "it was good until its `Expiration`, which is over; put a new one in its place",
            ),
            (
                key(true).replace(SESSION, "canary token"),
                "`SessionToken`: it holds something else than visible ASCII",
            ),
        ] {
            private_file(&server.dir().join("key.json"), &file);
            let text = check(1);
            let told = format!("secret `tracker`: it cannot be read: {says}");
            assert!(text.contains(&told), "{text}");
            for value in [SECRET, SESSION, API.id, "canary"] {
                assert!(!text.contains(value), "{text}");
            }
        }
        server.stop().await;
    });
}
