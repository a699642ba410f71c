//! Clients that leave while the holder of the keys does not answer: on the way in, in the guest, between two guests, on the way out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::leaving::{
    Holds, LOCK_WAIT, Leaving, Lock, ONE, Seen, Slow, agreed, asked, cancelled, left, never_began,
    never_ran,
};
use crate::harness::{Caller, Server, Setup, packed, played, run, toml_of};
use crate::sealed::sealing;

const KEEP: &str = "reveal_keep";
const PROBE: &str = "reveal_probe";
const LEAK: &str = "data_leak";
const EACH: &str = "call_each";
/// How many values are kept.
const KEPT: &str = "SELECT COUNT(*) FROM seal_value";
/// The outer one and the one within.
const TWO: &str = "[[limit]]\nname = \"two\"\nper = \"tenant\"\nat_once = 2\n";

/// The transit engine of a vault: what it encrypts can be read by everybody, and is not kept.
async fn vault() -> Slow {
    Slow::start(|path, request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let asked: Value = serde_json::from_str(body).unwrap();
        let data = match path {
            "/v1/transit/encrypt/ours" => {
                let plain = asked["plaintext"].as_str().unwrap();
                json!({"ciphertext": format!("vault:v1:{plain}")})
            }
            "/v1/transit/decrypt/ours" => {
                let text = asked["ciphertext"].as_str().unwrap();
                let plain = text.strip_prefix("vault:v1:").unwrap();
                assert!(STANDARD.decode(plain).is_ok());
                json!({"plaintext": plain})
            }
            other => panic!("{other}"),
        };
        json!({"data": data}).to_string()
    })
    .await
}

/// With keys that this vault holds.
fn held_by(vault: &Slow, setup: Setup) -> Setup {
    let seal = format!(
        "[seal]\nvault = {{ address = \"http://127.0.0.1:{}\", mount = \"transit\", key = \"ours\", token_file = \"vault-token\" }}\n",
        vault.port
    );
    let setup = setup.secret_file("vault-token", "a-token-of-the-vault\n");
    setup.config(&seal)
}

/// In pieces in which nothing is recognized, so that it reaches any tool.
fn smuggled(email: &str) -> Value {
    let pieces: Vec<_> = email.chars().map(String::from).collect();
    json!({"say": pieces, "place": "reply"})
}

/// What happened at the vault, from which nothing is answered from now on. What the state is encrypted with is there by then.
async fn holding(vault: &Slow, server: &Server) -> Seen {
    server.records().await;
    vault.hold(Holds::Answer);
    vault.seen()
}

#[test]
fn arguments_that_wait_for_a_key_reach_no_tool_when_their_client_leaves() {
    run(async {
        let vault = vault().await;
        let setup = held_by(&vault, Setup::new()).guests(&[PROBE]).await;
        let server = setup.limits(ONE).start().await;
        let alice = server.caller("alice");
        let nothing = agreed(&server, &alice, PROBE, &json!({"handles": []})).await;
        assert!(nothing.is_reply(), "{nothing:?}");
        let before = holding(&vault, &server).await;
        let given = json!({"email": "key.canary@example.com"});
        let waits = async || vault.seen().waited > before.waited;
        let record = left(&server, &alice, (KEEP, &given), waits).await;
        never_began(&record);
        vault.is_left(before).await;
        assert!(server.intents(KEEP).await.is_empty());
        vault.hold(Holds::Nothing);
        let kept = alice.call(KEEP, given).await;
        assert!(kept.is_reply() && !kept.body.contains("canary"), "{kept:?}");

        // Whoever begins anew does not know the keys any more, and a guest that opens a value waits for them.
        let handles = json!({"handles": [kept.structured()["held"][0]]});
        asked(&server, &alice, PROBE, &handles).await;
        let server = server.restart("").await;
        let alice = server.caller("alice");
        // A handle is not encrypted, so this asks for the keys of the state alone.
        let handle = json!({"email": handles["handles"][0]});
        assert!(alice.call(KEEP, handle).await.is_reply());
        opens_nothing(&vault, &server, &alice, &handles).await;
        server.stop().await;
    });
}

/// Leaves while the guest opens a value.
async fn opens_nothing(vault: &Slow, server: &Server, alice: &Caller, handles: &Value) {
    let before = holding(vault, server).await;
    let waits = async || vault.seen().waited > before.waited;
    let record = left(server, alice, (PROBE, handles), waits).await;
    let effects = cancelled(&record);
    assert!(
        effects["reveal email reveal_keep:/email"].is_null(),
        "{effects}"
    );
    vault.is_left(before).await;
    vault.hold(Holds::Nothing);
    let opened = agreed(server, alice, PROBE, handles).await;
    assert_eq!(opened.structured()["opened"][0], "key.canary@example.com");
}

#[test]
fn a_reply_that_waits_for_a_key_is_not_waited_for_when_its_client_leaves() {
    run(async {
        let vault = vault().await;
        let rule = format!(
            "[[data.rule]]\nclass = \"email\"\ntool = \"{LEAK}\"\ndirection = \"reply\"\naction = \"encrypt\"\n"
        );
        let setup = held_by(&vault, Setup::new()).guests(&[LEAK]).await;
        let server = setup.config(&rule).limits(ONE).start().await;
        let alice = server.caller("alice");
        assert!(alice.call(LEAK, smuggled("nobody")).await.is_reply());
        let before = holding(&vault, &server).await;
        let says = smuggled("out.canary@example.com");
        let waits = async || vault.seen().waited > before.waited;
        let record = left(&server, &alice, (LEAK, &says), waits).await;
        // The guest had answered; nobody hears what.
        cancelled(&record);
        assert!(record.result.unwrap().used.unwrap().reply_bytes > 0);
        vault.is_left(before).await;
        vault.hold(Holds::Nothing);
        let said = alice.call(LEAK, says).await;
        assert!(said.is_reply() && !said.body.contains("canary"), "{said:?}");
        server.stop().await;
    });
}

#[test]
fn what_one_tool_answers_another_is_not_waited_for_when_their_client_leaves() {
    run(async {
        let vault = vault().await;
        let rules = [(LEAK, "allow"), (EACH, "encrypt")].map(|(tool, action)| {
            format!("[[data.rule]]\nclass = \"email\"\ntool = \"{tool}\"\ndirection = \"reply\"\naction = \"{action}\"\n")
        });
        let need = "id = \"n\"\nreason = \"The test needs it.\"\nkind = \"call\"\ntools = [\"data_leak\"]\noptional = false\n";
        // It has more time than this waits, so that nothing ends it but that its client left.
        let toml =
            toml_of(EACH, &[toml::from_str(need).unwrap()]) + "[limits]\ntimeout_ms = 30000\n";
        let setup = held_by(&vault, Setup::new()).guests(&[LEAK]).await;
        let setup = setup.package(EACH, &packed(EACH, &toml).await);
        let server = setup.config(&rules.concat()).limits(TWO).start().await;
        let alice = server.caller("alice");
        let within =
            |email| json!({"steps": [{"tool": LEAK, "arguments": smuggled(email).to_string()}]});
        let first = agreed(&server, &alice, EACH, &within("nobody")).await;
        assert!(first.text().contains("nobody"), "{first:?}");
        let before = holding(&vault, &server).await;
        let says = within("on.canary@example.com");
        let waits = async || vault.seen().waited > before.waited;
        let outer = left(&server, &alice, (EACH, &says), waits).await;
        cancelled(&outer);
        vault.is_left(before).await;
        // The one within had come to its end.
        let inner = server.outcomes(LEAK).await.pop().unwrap();
        assert_eq!(inner.parent, Some(outer.event_id));
        assert_eq!(inner.result.unwrap().status, "replied");
        vault.hold(Holds::Nothing);
        let said = alice.call(EACH, says).await;
        assert!(said.is_reply() && !said.body.contains("canary"), "{said:?}");
        server.stop().await;
    });
}

#[test]
fn values_that_wait_to_be_kept_are_not_when_their_client_leaves() {
    run(async {
        let setup = sealing(Setup::new()).guests(&[PROBE]).await;
        let server = setup.limits(ONE).start().await;
        let alice = server.caller("alice");
        let given = json!({"email": "kept.canary@example.com"});
        assert!(alice.call(KEEP, given.clone()).await.is_reply());
        played(LOCK_WAIT, async || {
            let intents = server.intents(KEEP).await.len();
            let leaving = Leaving::of(&server, KEEP).await;
            let mut lock = Lock::of(&server, "sealed").await;
            let kept = lock.count(KEPT).await;
            let params = json!({"name": KEEP, "arguments": given});
            let request = alice.request("tools/call", params);
            let waits = async || server.intents(KEEP).await.len() > intents;
            leaving.leave(request, waits).await;
            let record = leaving.record().await;
            never_ran(&record);
            lock.open().await;
            assert!(alice.call(KEEP, given.clone()).await.is_reply());
            let mut lock = Lock::of(&server, "sealed").await;
            assert_eq!(lock.count(KEPT).await, kept + 1, "the next one alone");
            lock.open().await;
        })
        .await;
        server.stop().await;
    });
}
