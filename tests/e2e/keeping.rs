//! The shipped tools that keep what they are told: what they may keep of people is their user's to say, class by class.

use bailiwick::consent::Choice;
use serde_json::{Value, json};

use crate::harness::{Browser, Server, Setup, for_an_hour, log, run};

const ADDRESS: &str = "canary.51ad@example.com";
const NUMBER: &str = "+81 90 5555 0173";

/// What keeps a text, and what brings it back.
fn tools(text: &str) -> [(&'static str, Value, &'static str, Value); 2] {
    let kept = json!({"name": "ada", "text": text});
    let named = json!({"name": "ada"});
    [
        ("notes_write", kept.clone(), "notes_read", named.clone()),
        ("memory_remember", kept, "memory_recall", named),
    ]
}

async fn server() -> Server {
    let setup = Setup::new().shipped(&["notes", "memory"]).await;
    setup.start().await
}

/// Of the classes of personal data this one alone is allowed; what is no data is.
fn but(class: &'static str) -> impl Fn(&str) -> Choice {
    move |one| match one.strip_prefix("data ") {
        Some(other) if other != class => Choice::Deny,
        _ => for_an_hour(),
    }
}

#[test]
fn an_address_is_kept_once_its_user_agreed_and_shown_where_they_agreed() {
    run(async {
        let server = server().await;
        let alice = server.caller("alice");
        for (write, arguments, read, named) in tools(&format!("She is at {ADDRESS}.")) {
            let asked = alice.call(write, arguments.clone()).await;
            let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
            let page = Browser::default().open(&link, "alice").await.html;
            assert!(page.contains("Be given e-mail addresses"), "{page}");
            assert!(
                page.contains("optional: the tool also works without it"),
                "{page}"
            );
            server.decide_each(&link, "alice", but("email")).await;
            let kept = alice.call(write, arguments).await;
            assert!(kept.is_reply(), "{kept:?}");
            // The other tool asks for itself: with the class it shows the address, without it is masked.
            let shown = alice
                .call_deciding(&server, read, named.clone(), but("email"))
                .await;
            assert!(shown.text().contains(ADDRESS), "{shown:?}");
            server.take_back_of("alice", read, "data email").await;
            let masked = alice
                .call_deciding(&server, read, named, |_| Choice::Deny)
                .await;
            assert!(
                masked.is_reply() && !masked.body.contains(ADDRESS),
                "{masked:?}"
            );
        }
        server.stop().await;
    });
}

#[test]
fn what_its_user_did_not_agree_to_is_refused_and_never_kept() {
    run(async {
        let server = server().await;
        let alice = server.caller("alice");
        for (write, arguments, read, named) in tools(&format!("Her number is {NUMBER}.")) {
            // The one class is not the other, and nobody is asked again about what they denied.
            let refused = alice
                .call_deciding(&server, write, arguments.clone(), but("email"))
                .await;
            assert!(
                refused.is_tool_error() && refused.link().is_none(),
                "{refused:?}"
            );
            assert!(refused.text().contains("`phone`"), "{refused:?}");
            assert!(!refused.body.contains(NUMBER), "{refused:?}");
            assert_eq!(server.intents(write).await.len(), 0, "it did not run");
            // Without personal data it runs as ever.
            let other = json!({"name": "milk", "text": "Buy some."});
            assert!(alice.call(write, other).await.is_reply());
            let read = alice
                .call_deciding(&server, read, named, but("phone"))
                .await;
            assert!(read.is_tool_error(), "nothing was kept: {read:?}");
        }
        // A class that they do not ask for stays out, whatever its user allows.
        let card = json!({"name": "card", "text": "card 4012 8888 8888 1881"});
        let bob = server.caller("bob");
        let refused = bob.call_allowed(&server, "memory_remember", card).await;
        assert!(refused.is_tool_error(), "{refused:?}");
        assert!(refused.text().contains("`card`"), "{refused:?}");
        for stored in server.records().await {
            assert!(!stored.json.contains(NUMBER), "{}", stored.json);
        }
        assert!(!log::text().contains(NUMBER), "the log holds it");
        server.stop().await;
    });
}
