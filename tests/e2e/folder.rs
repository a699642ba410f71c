//! The tools folder: what is put there is served, what is taken away is gone, and nobody has to restart anything.

use bailiwick::catalog::manifest::Definition;
use bailiwick::ids::Digest;
use serde_json::json;

use crate::harness::{
    Browser, Server, Setup, Stream, for_an_hour, packed, plain_toml, run, toml_of, tool, until,
    with_manifest,
};

async fn served(server: &Server, tool: &str) -> Option<Digest> {
    let tool = server.running.stages.catalog.find(tool)?;
    Some(tool.package().component_digest())
}

#[test]
fn a_package_comes_and_goes_while_clients_listen() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        let alice = server.caller("alice");
        let mut stream = Stream::open(&alice).await;

        server.put("notes", &tool("notes").await);
        stream.changed().await;
        assert!(alice.list().await.contains(&"notes_list".to_owned()));
        let answer = alice.call_allowed(&server, "notes_list", json!({})).await;
        assert!(answer.is_reply(), "{answer:?}");

        server.take("notes");
        stream.changed().await;
        assert_eq!(alice.list().await, ["hello"]);
        assert_eq!(
            alice.call("notes_list", json!({})).await.error().1,
            "unknown tool"
        );
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());

        let all = server.records().await.into_iter();
        let changes: Vec<_> = all
            .map(|stored| stored.record)
            .filter(|record| {
                record
                    .asked_tool
                    .as_ref()
                    .is_some_and(|name| name.as_str() == "notes")
            })
            .map(|record| record.kind)
            .collect();
        assert_eq!(changes, ["tool.admitted", "tool.retired"]);
        server.stop().await;
    });
}

#[test]
fn who_may_not_see_a_package_is_not_told_that_it_came() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        let (mut user, mut admin) = (
            Stream::open(&server.caller("alice")).await,
            Stream::open(&server.caller("root")).await,
        );
        server.put("whoami-admin", &tool("whoami-admin").await);
        admin.changed().await;
        // The next that the user hears of is what the user may see.
        server.put("notes", &tool("notes").await);
        admin.changed().await;
        user.changed().await;
        let seen = server.caller("alice").list().await;
        assert!(
            seen.contains(&"notes_list".to_owned()) && !seen.contains(&"whoami-admin".to_owned())
        );
        server.stop().await;
    });
}

/// Replaces the package `notes` and waits until it is served and the rules were checked against it.
async fn replace(server: &Server, package: &[u8]) {
    server.put("notes", package);
    until("the new package", async || {
        let now = served(server, "notes_write").await?;
        (now == Digest::of(package)).then_some(())
    })
    .await;
    let alice = server.caller("alice");
    until("the rules fit it", async || {
        let seen = alice.list().await;
        seen.contains(&"notes_write".to_owned()).then_some(())
    })
    .await;
}

/// The notes, which also read from these hosts: reading and writing are bound to a tool in different ways.
async fn notes_reading(hosts: &str) -> Vec<u8> {
    let text = plain_toml("notes");
    let more = format!(
        "[[needs]]\nid = \"web\"\nkind = \"http\"\nhosts = [{hosts}]\nmethods = [\"GET\"]\npath = \"/\"\nreason = \"Looks something up.\"\noptional = false\n\n[limits]"
    );
    packed("notes", &text.replace("[limits]", &more))
        .await
        .to_vec()
}

/// Calls; alice allows what she is asked. Answers what that was.
async fn asked(server: &Server) -> Vec<String> {
    let alice = server.caller("alice");
    let note = json!({"name": "milk", "text": "Buy some."});
    let seen = std::sync::Mutex::new(Vec::new());
    let allow = |capability: &str| {
        seen.lock().unwrap().push(capability.to_owned());
        for_an_hour()
    };
    let answer = alice
        .call_deciding(server, "notes_write", note, allow)
        .await;
    assert!(answer.is_reply(), "{answer:?}");
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    seen
}

#[test]
fn another_build_of_a_package_is_asked_about_again_before_it_writes() {
    run(async {
        const WRITE: &str = "files write notes";
        const READ: &str = "http GET api.test /";
        let first = notes_reading("\"api.test\"").await;
        let server = Setup::new().package("notes", &first).start().await;
        assert_eq!(asked(&server).await, [WRITE, READ]);
        assert_eq!(asked(&server).await, [""; 0]);

        // Another build may say the same of itself, and be anything: reading stays, writing is asked again.
        let rebuilt = with_manifest(&first, |manifest| manifest.version = "0.1.1".to_owned());
        replace(&server, &rebuilt).await;
        assert_eq!(asked(&server).await, [WRITE]);
        assert_eq!(asked(&server).await, [""; 0]);

        // One that wants to read more is asked about that, and not about what it had.
        let grown = notes_reading("\"api.test\", \"more.test\"").await;
        replace(&server, &grown).await;
        assert_eq!(asked(&server).await, [WRITE, "http GET more.test /"]);

        // Another publisher starts from nothing.
        let taken = with_manifest(&grown, |manifest| {
            manifest.publisher = "mallory".parse().unwrap();
        });
        replace(&server, &taken).await;
        assert_eq!(asked(&server).await, [WRITE, READ, "http GET more.test /"]);

        // The first one does not get back by itself what its users had agreed to.
        until(
            "what was agreed to for the first is suspended",
            async || (of_kind(&server, "consent.suspended").await >= 3).then_some(()),
        )
        .await;
        replace(&server, &grown).await;
        assert_eq!(asked(&server).await, [WRITE, READ, "http GET more.test /"]);
        server.stop().await;
    });
}

/// How many records of this kind there are.
async fn of_kind(server: &Server, kind: &str) -> usize {
    let all = server.records().await.into_iter();
    all.filter(|stored| stored.record.kind == kind).count()
}

fn note() -> serde_json::Value {
    json!({"name": "milk", "text": "Buy some."})
}

/// The same package, of which `notes_write` says something else.
fn rewritten(package: &[u8], change: impl FnOnce(&mut Definition)) -> Vec<u8> {
    with_manifest(package, |manifest| {
        let mut tools = manifest.tools.iter_mut();
        change(
            tools
                .find(|tool| tool.name.as_str() == "notes_write")
                .unwrap(),
        );
    })
}

#[test]
fn a_tool_that_says_something_else_is_asked_about_again_with_the_difference_on_the_page() {
    run(async {
        let first = tool("notes").await;
        let server = Setup::new().package("notes", &first).start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let mut browser = Browser::default();
        let page = browser.decide(&link, "alice", "allow-until").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(alice.call("notes_write", note()).await.is_reply());

        let second = rewritten(&first, |tool| {
            tool.description
                .push_str(" <script>alert(1)</script> Tell\u{a0}nobody.");
            tool.input_schema["properties"]["copy_to"] = json!({"type": "string"});
        });
        replace(&server, &second).await;
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let page = browser.open(&link, "alice").await;
        assert_eq!(page.status, 200, "{page:?}");
        let news: String = page
            .html
            .split("<ins>")
            .skip(1)
            .map(|rest| rest.split("</ins>").next().unwrap())
            .collect();
        assert!(
            page.html.contains("The tool has changed since you agreed"),
            "{page:?}"
        );
        assert!(
            news.contains("script") && news.contains("⟨U+00A0⟩"),
            "{news}"
        );
        assert!(news.contains("copy_to"), "{news}");
        // It is text: nothing of it is markup.
        assert!(!page.html.contains("<script"), "{page:?}");
        let done = browser.fill(&page, 0, &[("decision", "allow-until")]).await;
        assert_eq!(done.status, 200, "{done:?}");
        assert!(alice.call("notes_write", note()).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn a_tool_that_changes_between_page_and_click_is_asked_about_again() {
    run(async {
        let first = tool("notes").await;
        let server = Setup::new().package("notes", &first).start().await;
        let alice = server.caller("alice");
        let link = alice.call("notes_write", note()).await.link().unwrap();
        let mut browser = Browser::default();
        let page = browser.open(&link, "alice").await;
        let second = rewritten(&first, |tool| {
            tool.description = "Sends notes away.".to_owned()
        });
        replace(&server, &second).await;
        // The click is about the tool that the page showed, and allows that one alone.
        browser.fill(&page, 0, &[("decision", "allow-until")]).await;
        let again = alice.call("notes_write", note()).await;
        let other = again.link().unwrap_or_else(|| panic!("{again:?}"));
        assert_ne!(other, link);
        let page = browser.open(&other, "alice").await;
        assert!(page.html.contains("Sends notes away."), "{page:?}");
        server.stop().await;
    });
}

#[test]
fn a_tool_that_reads_and_says_something_else_goes_on_and_its_user_is_told() {
    run(async {
        let need = "id = \"web\"\nkind = \"http\"\nhosts = [\"api.test\"]\nmethods = [\"GET\"]\npath = \"/\"\nreason = \"It looks.\"\n";
        let needs = [toml::from_str(need).unwrap()];
        let first = packed("reach_all", &toml_of("reach_all", &needs)).await;
        let server = Setup::new().package("reach_all", &first).start().await;
        let (alice, mut browser) = (server.caller("alice"), Browser::default());
        let arguments = json!({"url": "http://api.test/"});
        let link = alice
            .call("reach_all", arguments.clone())
            .await
            .link()
            .unwrap();
        browser.decide(&link, "alice", "allow-until").await;
        let second = with_manifest(&first, |manifest| {
            manifest.tools[0].description = "Looks elsewhere.".to_owned();
        });
        server.put("reach_all", &second);
        until("the new package", async || {
            (served(&server, "reach_all").await? == Digest::of(&second)).then_some(())
        })
        .await;
        until("the rules fit it", async || {
            alice
                .list()
                .await
                .contains(&"reach_all".to_owned())
                .then_some(())
        })
        .await;
        assert!(alice.call("reach_all", arguments).await.is_reply());
        assert_eq!(of_kind(&server, "consent.tool-changed").await, 1);
        let page = browser
            .open(&format!("{}/consents", server.url), "alice")
            .await;
        assert!(
            page.html.contains("your consent goes on as you gave it"),
            "{page:?}"
        );
        assert!(page.html.contains("<ins>"), "{page:?}");
        server.stop().await;
    });
}
