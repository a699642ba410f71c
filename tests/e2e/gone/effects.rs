//! Clients that leave while an effect of the guest waits: for a host, for a secret, for a store.

use std::time::{Duration, Instant};

use serde_json::json;

use super::leaving::{Holds, LOCK_WAIT, Lock, ONE, Slow, agreed, asked, cancelled, left};
use crate::harness::{Setup, played, run};
use crate::sealed::sealing;

/// Longest that a guest takes until it writes, from when it has its place.
const BEGINS: Duration = Duration::from_millis(500);
const EMAIL: &str = "left.canary@example.com";

#[test]
fn a_request_ends_with_its_client_before_its_answer_and_in_the_midst_of_it() {
    run(async {
        let host = Slow::start(|_, _| "seen".to_owned()).await;
        let setup = Setup::new().tools(&["fetch"]).await.limits(ONE);
        let server = setup.host("pages.test", host.port, true).start().await;
        let alice = server.caller("alice");
        let page = json!({"url": "http://pages.test/"});
        let read = agreed(&server, &alice, "fetch", &page).await;
        assert!(read.is_reply(), "{read:?}");
        for holds in [Holds::Answer, Holds::Body] {
            host.hold(holds);
            let before = host.seen();
            let waits = async || host.seen().waited > before.waited;
            let record = left(&server, &alice, ("fetch", &page), waits).await;
            let asked = &cancelled(&record)["http GET pages.test"];
            assert_eq!(asked["count"], 1, "{record:?}");
            host.is_left(before).await;
            host.hold(Holds::Nothing);
            let read = alice.call("fetch", page.clone()).await;
            assert_eq!(read.structured()["text"], "seen", "{holds:?}");
        }
        server.stop().await;
    });
}

#[test]
fn a_secret_that_its_vault_is_slow_to_give_is_not_waited_for_nor_sent() {
    run(async {
        let vault = Slow::start(|path, _| {
            assert_eq!(path, "/v1/kv/data/bots/tracker");
            json!({"data": {"data": {"token": "canary-0d55-of-the-vault"}}}).to_string()
        })
        .await;
        let host = Slow::start(|_, _| "seen".to_owned()).await;
        let secret = format!(
            "[[secret]]\nname = \"tracker\"\nhosts = [\"api.test\"]\nform = \"bearer\"\n\
             vault = {{ address = \"http://127.0.0.1:{}\", mount = \"kv\", path = \"bots/tracker\", field = \"token\", token_file = \"vault-token\" }}\n",
            vault.port
        );
        let setup = Setup::new().guests(&["secret_echo"]).await.limits(ONE);
        let setup = setup.secret_file("vault-token", "a-token-of-the-vault\n");
        let setup = setup.host("api.test", host.port, false).config(&secret);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let arguments = json!({"urls": ["http://api.test/"]});
        asked(&server, &alice, "secret_echo", &arguments).await;

        vault.hold(Holds::Answer);
        let (before, untouched) = (vault.seen(), host.seen());
        let waits = async || vault.seen().waited > before.waited;
        let record = left(&server, &alice, ("secret_echo", &arguments), waits).await;
        let effects = cancelled(&record);
        assert!(effects["secret tracker api.test"].is_null(), "{effects}");
        vault.is_left(before).await;
        assert_eq!(host.seen(), untouched);

        // Nor is what it was waited for with kept from the next: once the vault answers, it is sent, and its client may leave again.
        vault.hold(Holds::Nothing);
        host.hold(Holds::Answer);
        let waits = async || host.seen().waited > untouched.waited;
        let record = left(&server, &alice, ("secret_echo", &arguments), waits).await;
        let effects = cancelled(&record);
        assert_eq!(effects["secret tracker api.test"]["count"], 1, "{effects}");
        host.is_left(untouched).await;
        host.hold(Holds::Nothing);
        let used = alice.call("secret_echo", arguments).await;
        assert!(used.text().contains("seen"), "{used:?}");
        server.stop().await;
    });
}

#[test]
fn a_delivery_ends_with_its_client_and_its_consent_is_used_up() {
    run(async {
        let host = Slow::start(|_, _| "seen".to_owned()).await;
        let setup = sealing(Setup::new()).guests(&["deliver_probe"]).await;
        let setup = setup.host("example.com", host.port, false).limits(ONE);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let given = json!({"email": EMAIL});
        let kept = agreed(&server, &alice, "deliver_keep", &given).await;
        let email = kept.structured()["email"].as_str().unwrap().to_owned();
        let letter = json!({"url": "http://example.com/", "kind": "text/plain", "body": email});
        let letters = json!({"requests": [letter]});
        asked(&server, &alice, "deliver_probe", &letters).await;

        host.hold(Holds::Answer);
        let before = host.seen();
        let waits = async || host.seen().waited > before.waited;
        let record = left(&server, &alice, ("deliver_probe", &letters), waits).await;
        // The value is out, and the record says so.
        let effects = cancelled(&record);
        let delivered = &effects["deliver example.com email deliver_keep:/email"];
        assert_eq!(delivered["count"], 1, "{effects}");
        host.is_left(before).await;
        host.hold(Holds::Nothing);
        let again = alice.call("deliver_probe", letters.clone()).await;
        assert!(again.link().is_some(), "it was for one call: {again:?}");
        let sent = agreed(&server, &alice, "deliver_probe", &letters).await;
        assert!(
            sent.structured()["came"][0]
                .as_str()
                .unwrap()
                .contains("seen")
        );
        server.stop().await;
    });
}

#[test]
fn a_write_that_waits_for_the_lock_of_its_store_is_never_made() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await.limits(ONE);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let note = |name: &str| json!({"name": name, "text": "one's own"});
        let first = agreed(&server, &alice, "memory_remember", &note("first")).await;
        assert!(first.is_reply(), "{first:?}");
        played(LOCK_WAIT, async || {
            let lock = Lock::of(&server, "kv").await;
            let mut since = None;
            let waits = async || {
                if server.running.stages.sandbox.places().0 == 0 {
                    return false;
                }
                since.get_or_insert_with(Instant::now).elapsed() >= BEGINS
            };
            let late = note("late");
            let record = left(&server, &alice, ("memory_remember", &late), waits).await;
            // It was counted when it began, and did not come to its end.
            let write = &cancelled(&record)["kv write memory"];
            assert_eq!(write["count"], 1, "{record:?}");
            assert!(write["bytes_out"].is_null(), "{record:?}");
            lock.open().await;
            let next = alice.call("memory_remember", note("next")).await;
            assert!(next.is_reply(), "{next:?}");
            let listed = agreed(&server, &alice, "memory_list", &json!({})).await;
            assert_eq!(listed.structured()["names"], json!(["first", "next"]));
        })
        .await;
        server.stop().await;
    });
}
