//! The tools folder: what is put there is served, what is taken away is gone, and nobody has to restart anything.

use bailiwick::ids::Digest;
use serde_json::json;

use crate::harness::{
    Server, Setup, Stream, for_an_hour, packed, root, run, tool, until, with_manifest,
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
    let text = std::fs::read_to_string(root().join("tools/notes/tool.toml")).unwrap();
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

        // And with the first one again, its reading is as it was.
        replace(&server, &grown).await;
        assert_eq!(asked(&server).await, [""; 0]);
        server.stop().await;
    });
}
