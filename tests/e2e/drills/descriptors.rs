//! No descriptors are left: who is connected is served on or told that it cannot be, nobody is dropped without a record, and when
//! there are some again the server takes connections without being started anew.

use std::time::Duration;

use rustix::process::{Resource, Signal};

use super::*;
use crate::harness::Setup;

/// The limit on open files, by the name that the kernel has for it.
const FILES: (Resource, &str) = (Resource::Nofile, "Max open files");

#[test]
fn without_descriptors_who_is_connected_is_answered_and_afterwards_all_are() {
    run(async {
        let setup = Setup::new().tools(&["hello", "notes"]).await.watched();
        let server = setup.start().await;
        let alice = server.caller("alice");
        let first = alice
            .call_allowed(&server, "notes_write", note("milk", "old"))
            .await;
        assert!(first.is_reply(), "{first:?}");
        let mut server = server.into_process().await;
        server.start().await;
        let alice = server.caller("alice");
        // One connection each for calls and for whoever watches, which stay open.
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(1)
            .build()
            .unwrap();
        let call = async |tool: &str, arguments: Value| {
            let params = json!({"name": tool, "arguments": arguments});
            Answer::read(alice.request_by(&client, "tools/call", params)).await
        };
        assert!(call("notes_write", note("milk", "old")).await.is_reply());
        let open = server.metric("process_open_fds").await;
        // It counts the one by which they are counted.
        let before = server.limit(FILES, (open - 1.0).to_string().parse().ok());

        let refused = call("notes_write", note("milk", "new")).await;
        // Its folder cannot be opened, or its intent not be recorded, whichever comes first.
        assert!([500, 503].contains(&refused.status.as_u16()), "{refused:?}");
        let kept = std::fs::read_to_string(server.dir().join("notes/dev/alice/milk.md"));
        assert_eq!(kept.unwrap(), "old");
        assert!(call("hello", json!({"name": "Ada"})).await.is_reply());
        assert_eq!(server.watched("/healthz").await.status, 200);
        // Somebody new is not heard, and waits.
        let stranger = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        let unheard = stranger.get(format!("{}/healthz", server.url)).send().await;
        assert!(unheard.is_err(), "{unheard:?}");
        assert!(
            server.log().contains("no connection can be accepted"),
            "{}",
            server.log()
        );

        server.limit(FILES, before);
        until("connections are taken again", async || {
            let answer = stranger.get(format!("{}/readyz", server.url)).send().await;
            answer
                .is_ok_and(|answer| answer.status() == 200)
                .then_some(())
        })
        .await;
        assert!(call("notes_write", note("milk", "new")).await.is_reply());
        let records = server.records(1).await;
        assert_closed(&records);
        let endings = endings(&records, "notes_write");
        assert_eq!(
            endings.len(),
            5,
            "asked, replied, replied, refused, replied: {endings:?}"
        );
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        assert_whole(&server, &[]);
    });
}
