//! What rules have asked about at every call (tier T3), over HTTP: shown with its arguments, allowed once, after a fresh sign-in.

use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Era, Server, Setup, run};

const WRITE: &str = "notes_write";
/// The usual rules let everybody write; this one has each writing asked about.
const RULES: &str = r#"
@id("every-writing-is-asked-about") @min_tier("T3")
permit (principal in Role::"user", action == Action::"call:notes_write", resource);
"#;

async fn served() -> Server {
    let setup = Setup::new().tools(&["notes"]).await.more_rules(RULES);
    setup.machines().start().await
}

fn note(name: &str) -> Value {
    json!({"name": name, "text": "<b>Pay</b> \u{202e}90\u{200b} to the \"house\"\nand go"})
}

fn link(answer: &Answer) -> String {
    answer.link().unwrap_or_else(|| panic!("{answer:?}"))
}

#[test]
fn each_call_is_shown_whole_and_allowed_once_and_another_is_asked_about_anew() {
    run(async {
        let server = served().await;
        let alice = server.caller("alice");
        let asked = alice.call(WRITE, note("a")).await;
        let mut browser = Browser::default();
        let page = browser.open(&link(&asked), "alice").await;
        assert_eq!(page.status, 200, "{page:?}");
        for shown in [
            "The call, exactly as it will be made",
            "&#34;name&#34;: &#34;a&#34;",
            "&#60;b&#62;Pay&#60;/b&#62; ⟨U+202E⟩90⟨U+200B⟩",
            "to the \\&#34;house\\&#34;\\nand go",
            "Single use",
        ] {
            assert!(page.html.contains(shown), "{shown}: {}", page.html);
        }
        let done = browser.fill(&page, 0, &[("decision", "allow-once")]).await;
        assert!(done.html.contains("the tool may go on"), "{done:?}");

        // Other arguments are another question, also while the first waits.
        let other = alice.call(WRITE, note("b")).await;
        assert_ne!(link(&other), link(&asked));
        // The client repeats the very call, and that is all that was allowed.
        let reply = alice.retry(WRITE, note("a"), &asked, "accept").await;
        assert!(reply.is_reply(), "{reply:?}");
        let replayed = alice.call(WRITE, note("a")).await;
        assert_ne!(link(&replayed), link(&asked));
        // An older client is asked as well, with the link in words.
        let legacy = server.caller("alice").in_era(Era::Legacy);
        assert_eq!(link(&legacy.call(WRITE, note("b")).await), link(&other));
        // Another tool of the package writes under no such rule.
        let read = alice.call("notes_read", json!({"name": "a"})).await;
        let page = browser.open(&link(&read), "alice").await;
        assert!(page.html.contains("allow-until"), "{page:?}");
        assert!(!page.html.contains("The call, exactly"), "{page:?}");

        let given = server.records().await.into_iter();
        let given = given.filter(|one| one.record.kind == "consent.given");
        assert_eq!(given.count(), 1);
        server.stop().await;
    });
}

#[test]
fn whom_nobody_stands_behind_and_what_cannot_be_shown_is_refused_in_words() {
    run(async {
        let server = served().await;
        let machine = server.caller("dev-client");
        let refused = machine.call(WRITE, note("a")).await;
        assert!(refused.text().contains("no user"), "{refused:?}");
        let alice = server.caller("alice");
        let long = json!({"name": "a", "text": "x".repeat(8_000)});
        let refused = alice.call(WRITE, long).await;
        assert!(refused.is_tool_error(), "{refused:?}");
        assert!(
            refused.text().contains("too long to be shown to the user"),
            "{refused:?}"
        );
        server.stop().await;
    });
}

#[test]
fn what_is_asked_about_stands_in_no_record_log_or_state_and_a_restart_forgets_it() {
    run(async {
        let server = served().await;
        let value = "tulip-7431-marmalade";
        let values = json!({"name": value, "text": value});
        let asked = server.caller("alice").call(WRITE, values.clone()).await;
        let mut browser = Browser::default();
        let page = browser.open(&link(&asked), "alice").await;
        assert!(page.html.contains(value), "{page:?}");
        for stored in server.records().await {
            assert!(!format!("{:?}", stored.record).contains(value));
        }
        let link = link(&asked);
        let server = server.restart("").await;
        // The page is over, and the same call opens the same question again.
        let over = browser.open(&link, "alice").await;
        assert_eq!(over.status, 410, "{over:?}");
        let again = server.caller("alice").call(WRITE, values.clone()).await;
        assert_eq!(again.link(), Some(link.clone()), "{again:?}");
        let page = browser.open(&link, "alice").await;
        assert!(page.html.contains(value), "{page:?}");
        let done = browser.fill(&page, 0, &[("decision", "deny")]).await;
        assert_eq!(done.status, 200, "{done:?}");
        let refused = server.caller("alice").call(WRITE, values).await;
        assert!(refused.text().contains("did not allow"), "{refused:?}");
        let dir = server.dir().to_owned();
        for file in std::fs::read_dir(&dir).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                let bytes = std::fs::read(&file).unwrap();
                let found = bytes
                    .windows(value.len())
                    .any(|part| part == value.as_bytes());
                assert!(!found, "{}", file.display());
            }
        }
        assert!(!crate::harness::log::text().contains(value));
        server.stop().await;
    });
}
