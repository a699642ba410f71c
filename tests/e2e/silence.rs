//! Personal data, secrets and tokens are planted at every stage of a call, every stage fails, and none of it is found in anything that
//! comes out: answers, pages, the log, the audit, the files of the state, what the operator's commands print.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::{
    Answer, Browser, Caller, Collector, Era, Server, Setup, Upstream, http, log, packed, run,
    toml_of,
};
use crate::outage::{FREE, FULL, behind};
use crate::sealed::sealing;

/// In every planted value and in nothing else that this process does.
const WORD: &str = "kumquat";
/// Where planted values may stand: what users keep is theirs, and the packages and native code are no output.
const KEPT: [&str; 4] = ["notes", "tools.d", "planted-secret", "cache"];

/// A value of this stage that is personal data.
fn address(stage: &str) -> String {
    format!("{WORD}.{stage}@example.com")
}

/// One that is nothing that could be detected.
fn plain(stage: &str) -> String {
    format!("{WORD}-{stage}-7f3a91")
}

/// All that came out of one server, piece by piece, with where it was found.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn answer(&mut self, stage: &str, answer: &Answer) {
        let headers = format!("{:?}", answer.headers);
        self.add(&format!("answer: {stage}"), answer.body.clone());
        self.add(&format!("headers: {stage}"), headers);
    }

    /// Where planted values are found.
    fn found(&self) -> Vec<String> {
        let said = |text: &str| {
            let text = text.to_lowercase();
            let at = text.find(WORD)?;
            let end = text.len().min(at + 60);
            text.get(at..end).map(str::to_owned)
        };
        let found = self.0.iter();
        found
            .filter_map(|(place, text)| Some(format!("{place}: {}", said(text)?)))
            .collect()
    }
}

fn files(dir: &Path, all: &mut Outputs) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if KEPT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            files(&path, all);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            all.add(&format!("file {name}"), String::from_utf8_lossy(&bytes));
        }
    }
}

/// What is there beside the answers.
async fn gather(server: &Server, all: &mut Outputs) {
    for stored in server.records().await {
        all.add(&format!("record {}", stored.record.kind), stored.json);
    }
    for line in log::text().lines() {
        all.add("log", line);
    }
    for line in log::json().lines() {
        all.add("log as JSON", line);
    }
    for path in ["/metrics", "/info", "/readyz"] {
        let answer = Answer::read(http().get(server.watched(path))).await;
        all.answer(path, &answer);
    }
    files(server.dir(), all);
    server.write_config();
    let config = ["--config", "bailiwick.toml"];
    for command in [
        &["audit", "show", "--json"][..],
        &["consent", "list"],
        &["check"],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(config).collect();
        let printed = bailiwick(server.dir(), &args);
        all.add(&format!("{command:?}"), printed.out.clone());
        all.add(&format!("{command:?}"), printed.complaints.clone());
    }
    for path in [
        "/healthz",
        "/readyz",
        "/.well-known/oauth-protected-resource",
    ] {
        let answer = Answer::read(http().get(format!("{}{path}", server.url))).await;
        all.answer(path, &answer);
    }
}

const RULES: &str = r#"
@id("no-secret-names") forbid (principal, action == Action::"call:notes_write", resource)
when { context.args.name == "forbidden" };
@rate("one") permit (principal, action in Action::"call", resource in Package::"hello");
"#;

async fn served(upstream: &Upstream, collector: &Collector) -> Server {
    let needs = [
        "id = \"p\"\nkind = \"progress\"\noptional = true\nreason = \"For the test.\"\n",
        "id = \"web\"\nkind = \"http\"\nhosts = [\"example.com\"]\nmethods = [\"GET\", \"POST\"]\nreason = \"For the test.\"\n",
        "id = \"key\"\nkind = \"secret\"\nsecret = \"planted\"\nhosts = [\"example.com\"]\nform = \"bearer\"\nreason = \"For the test.\"\n",
    ];
    let needs = needs.map(|need| toml::from_str(need).unwrap());
    let leaky = packed("secret_echo", &toml_of("secret_echo", &needs)).await;
    let setup = sealing(Setup::new())
        .tools(&["hello", "notes", "fetch", "customers"])
        .await;
    let setup = setup
        .guests(&["data_leak", "reveal_probe", "ask_each"])
        .await;
    let setup = setup
        .watched()
        .config(&collector.config())
        .package("secret_echo", &leaky)
        .more_rules(RULES)
        .host("example.com", upstream.port, true)
        .secret_file("planted-secret", &format!("{WORD}-secret-of-the-operator"))
        .config("[[secret]]\nname = \"planted\"\nfile = \"planted-secret\"\nhosts = [\"example.com\"]\nform = \"bearer\"\n")
        .config("[[kv]]\nname = \"customers\"\nshare = \"tenant\"\n")
        .config("[rate.one]\ncalls = 1\nseconds = 86400\n");
    setup.start().await
}

/// A request that never becomes a call.
async fn before_the_line(server: &Server, caller: &Caller, all: &mut Outputs) {
    let claims = json!({"email": address("claim"), "name": plain("claim"), "exp": 1_000_000_000});
    for (stage, token) in [
        ("no-token", plain("token")),
        ("token-of-parts", format!("{0}.{0}.{0}", plain("token"))),
        ("expired-token", server.token("alice", claims.clone())),
        (
            "token-for-others",
            server.token(
                "alice",
                json!({"aud": "https://other.example/mcp", "email": address("aud")}),
            ),
        ),
    ] {
        let forged = caller.clone().bearing(&token);
        let answer = forged.call("hello", json!({"name": plain(stage)})).await;
        assert_eq!(answer.status, 401, "{stage}: {answer:?}");
        all.answer(stage, &answer);
        // Nor a part of the token, signed or not.
        let signature = token.rsplit('.').next().unwrap_or_default().to_owned();
        if signature.len() > 40 {
            assert!(!log::text().contains(&signature), "{stage}");
        }
    }
    let post = |body: String, kind: &str| {
        let request = http().post(caller.endpoint()).header("content-type", kind);
        request.body(body)
    };
    let broken = format!("{{\"jsonrpc\": \"2.0\", \"params\": \"{}\"", plain("json"));
    for (stage, request) in [
        ("not-json", post(broken.clone(), "application/json")),
        ("not-even-that", post(plain("text"), "text/plain")),
        (
            "huge",
            post(plain("huge").repeat(70_000), "application/json"),
        ),
        (
            "query",
            http().get(format!("{}?q={}", caller.endpoint(), plain("query"))),
        ),
        (
            "path",
            http().get(format!("{}/{}", server.url, plain("path"))),
        ),
        (
            "field",
            http()
                .get(caller.endpoint())
                .header("x-planted", plain("field")),
        ),
    ] {
        let request = request.bearer_auth(server.token("alice", json!({"email": address("edge")})));
        let answer = Answer::read(request).await;
        assert!(answer.status.as_u16() >= 400, "{stage}: {answer:?}");
        all.answer(stage, &answer);
    }
    let admin = http().post(format!("{}/admin/consents/revoke", server.url));
    let admin = admin
        .bearer_auth(server.token("alice", json!({})))
        .json(&json!({"user": plain("admin")}));
    all.answer("admin", &Answer::read(admin).await);
}

/// Calls that end at each stage of the line.
async fn on_the_line(alice: &Caller, all: &mut Outputs) {
    for (stage, tool, arguments) in [
        ("catalog", "no_such_tool", json!({"name": plain("catalog")})),
        (
            "schema",
            "notes_write",
            json!({"name": [plain("schema")], "text": address("schema")}),
        ),
        (
            "policy",
            "notes_write",
            json!({"name": "forbidden", "text": plain("policy")}),
        ),
        (
            "data",
            "notes_write",
            json!({"name": "a", "text": address("data")}),
        ),
        (
            "consent",
            "notes_write",
            json!({"name": "a", "text": plain("consent")}),
        ),
        ("rate", "hello", json!({"name": plain("rate")})),
    ] {
        for era in [Era::Modern, Era::Legacy] {
            let caller = alice.clone().in_era(era);
            let answer = caller.call(tool, arguments.clone()).await;
            // What is greeted is the one reply among them, and says the name that it was given.
            match answer.body.contains("Hello,") {
                true => assert_eq!(stage, "rate"),
                false => all.answer(stage, &answer),
            }
            if let Some(link) = answer.link() {
                let page = Browser::default().open(&link, "alice").await;
                assert_eq!(page.status, 200, "{page:?}");
                all.add("consent page", page.html);
            }
        }
    }
    let forged = json!({
        "name": "notes_write", "arguments": {"name": "a", "text": plain("state")},
        "requestState": plain("state"), "inputResponses": {"consent": {"action": plain("state")}},
    });
    all.answer("state", &alice.send("tools/call", forged).await);
    let asked = alice.call("ask_each", json!({})).await;
    if asked.form().is_some() {
        let said = json!({"action": "accept", "content": {"planted": address("form")}});
        all.answer(
            "form",
            &alice.fill("ask_each", json!({}), &asked, said).await,
        );
    }
    let refused = alice
        .call("notes_write", json!({"name": "b", "text": plain("denied")}))
        .await;
    let link = refused.link().unwrap_or_else(|| panic!("{refused:?}"));
    let denied = Browser::default().decide(&link, "alice", "deny").await;
    all.add("the page after a denial", denied.html);
    let denied = alice
        .call("notes_write", json!({"name": "b", "text": plain("denied")}))
        .await;
    all.answer("denied", &denied);
}

/// Calls that reach their tool, which leaks what it has.
async fn in_the_sandbox(server: &Server, caller: &Caller, all: &mut Outputs) {
    let smuggled =
        |stage: &str| -> Vec<String> { address(stage).chars().map(String::from).collect() };
    for place in ["reply", "error", "log", "number"] {
        let arguments = json!({"say": smuggled(place), "place": place});
        let answer = caller.call("data_leak", arguments).await;
        all.answer(&format!("leaked by {place}"), &answer);
    }
    let added = json!({"company": "C", "name": plain("name"), "email": address("customer")});
    all.answer(
        "customer",
        &caller.call_allowed(server, "customer_add", added).await,
    );
    // What is opened is answered to whoever allowed it, and said nowhere else.
    let shown = caller
        .call_allowed(server, "customer_show", json!({"number": 1}))
        .await;
    assert!(shown.body.contains(&address("customer")), "{shown:?}");
    let kept = json!({"email": address("panic"), "nicknames": [plain("panic")]});
    let kept = caller.call("reveal_keep", kept).await;
    all.answer("kept", &kept);
    let handles: Vec<Value> = kept.structured()["held"]
        .as_array()
        .unwrap()
        .iter()
        .take(2)
        .cloned()
        .collect();
    let crashed = json!({"handles": handles, "panic": true});
    all.answer(
        "panic",
        &caller.call_allowed(server, "reveal_probe", crashed).await,
    );
    // A host that is not there, a path that is nobody's business, and a key that must not come back.
    let lost = json!({"url": format!("http://127.0.0.1/{}", plain("url"))});
    all.answer("fetch", &caller.call_allowed(server, "fetch", lost).await);
    let echoed = caller.call_allowed(server, "secret_echo", json!({})).await;
    all.answer("secret", &echoed);
}

/// Pages that strangers can reach.
async fn on_pages(server: &Server, all: &mut Outputs) {
    for path in [
        format!("/consent/{}", plain("ticket")),
        format!("/sign-in?next={}", plain("next")),
        format!(
            "/sign-in/callback?code={}&state={}",
            plain("code"),
            plain("state")
        ),
        format!(
            "/sign-in/callback?error={}&error_description={}",
            plain("error"),
            plain("text")
        ),
        format!("/consents?tool={}", plain("tool")),
    ] {
        let cookie = format!("__Host-session={0}; session={0}", plain("cookie"));
        let request = http()
            .get(format!("{}{path}", server.url))
            .header("cookie", cookie);
        let answer = Answer::read(request).await;
        all.add(
            &format!("page {path}").replace(WORD, "planted"),
            answer.body.clone(),
        );
    }
}

#[test]
fn nothing_that_is_planted_at_any_stage_is_found_in_anything_that_comes_out() {
    run(async {
        let upstream = Upstream::start().await;
        let collector = Collector::start().await;
        let server = served(&upstream, &collector).await;
        let told = json!({"email": address("token"), "name": plain("token"), "sid": plain("sid")});
        let alice = server.caller("alice").with(&server, told);
        let mut all = Outputs::default();
        before_the_line(&server, &alice, &mut all).await;
        on_the_line(&alice, &mut all).await;
        in_the_sandbox(&server, &alice, &mut all).await;
        on_pages(&server, &mut all).await;
        // Nowhere to write to.
        behind(&server, FULL).await;
        let refused = alice
            .call(
                "fetch",
                json!({"url": format!("https://example.com/{}", plain("full"))}),
            )
            .await;
        all.answer("full", &refused);
        behind(&server, FREE).await;
        gather(&server, &mut all).await;
        // Every byte that the collector of traces was sent.
        collector.received("tools/call notes_write").await;
        all.add("traces", collector.bytes());
        assert_eq!(all.found(), [""; 0]);
        assert!(
            all.0.len() > 200,
            "too little was searched: {}",
            all.0.len()
        );

        // The search would see a leak in each place: a line of the log, a record, a file, an answer.
        let leaks = Outputs(vec![]);
        assert_eq!(leaks.found(), [""; 0]);
        tracing::info!("a deliberate leak of {}", plain("log"));
        std::fs::write(server.dir().join("leak.txt"), address("file")).unwrap();
        let mut leaks = Outputs::default();
        gather(&server, &mut leaks).await;
        let places = leaks.found();
        for place in [
            "log: kumquat-log",
            "log as JSON: kumquat-log",
            "file leak.txt: kumquat.file",
        ] {
            assert!(
                places.iter().any(|one| one.starts_with(place)),
                "{place}: {places:?}"
            );
        }
        server.stop().await;
    });
}
