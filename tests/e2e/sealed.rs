//! Personal data under encryption: a tool holds a handle, and reads the value in one call that its user agreed to.

use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::data::check_silent;
use crate::harness::{Answer, Browser, Caller, Server, Setup, log, packed, run, toml_of};

const KEEP: &str = "reveal_keep";
const PROBE: &str = "reveal_probe";

/// With a key to encrypt with.
pub fn sealing(setup: Setup) -> Setup {
    let key = format!("1 {}=\n", "A".repeat(43));
    setup
        .secret_file("seal.key", &key)
        .config("[seal]\nkey_file = \"seal.key\"\n")
}

async fn keeper() -> Server {
    let setup = sealing(Setup::new()).guests(&[PROBE]).await;
    setup.start().await
}

/// What the tool holds of what it was given.
fn held(answer: &Answer) -> Vec<String> {
    assert!(answer.is_reply(), "{answer:?}");
    serde_json::from_value(answer.structured()["held"].clone()).unwrap()
}

/// Opens these, after the user allowed exactly this call.
async fn open(server: &Server, caller: &Caller, handles: &[String], panic: bool) -> Answer {
    let arguments = json!({"handles": handles, "panic": panic});
    caller.call_allowed(server, PROBE, arguments).await
}

fn list(answer: &Answer, name: &str) -> Vec<String> {
    serde_json::from_value(answer.structured()[name].clone()).unwrap()
}

fn is_handle(text: &str) -> bool {
    bailiwick::protect::Handle::is_one(text)
}

#[test]
fn a_value_is_kept_from_its_tool_and_read_in_the_one_call_that_its_user_allowed() {
    run(async {
        let server = keeper().await;
        let alice = server.caller("alice");
        let given = json!({"email": "first.canary@example.com", "nicknames": ["Bunny Canary", "Bear Canary"]});
        let kept = alice.call(KEEP, given).await;
        let handles: Vec<String> = held(&kept).into_iter().take(3).collect();
        assert!(handles.iter().all(|one| is_handle(one)), "{handles:?}");
        assert!(!kept.body.contains("anary"), "{kept:?}");
        let outcome = server.outcomes(KEEP).await.pop().unwrap();
        let counts = json!({"email": {"encrypt": 1}, "nickname": {"encrypt": 2}});
        assert_eq!(outcome.facts["data_in"], counts);

        // A handle is no data: it goes in and out as it is, also where its field wants to be encrypted.
        let again = alice.call(KEEP, json!({"email": handles[0]})).await;
        assert_eq!(held(&again)[0], handles[0]);

        let arguments = json!({"handles": handles, "panic": false});
        let asked = alice.call(PROBE, arguments.clone()).await;
        let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
        let mut browser = Browser::default();
        let page = browser.open(&link, "alice").await;
        for shown in [
            "Read e-mail addresses that were given to it encrypted in “reveal_keep:/email”",
            "The call, exactly as it will be made",
            "Single use",
            "Some of it lets the tool read data that was kept from it.",
            "Caution: this lets the tool read data that was kept from it.",
        ] {
            assert!(page.html.contains(shown), "{shown}: {}", page.html);
        }
        // Which is what it does by itself: no operator said so.
        for untrue in ["The operator of this server says", "lasting harm"] {
            assert!(!page.html.contains(untrue), "{untrue}: {}", page.html);
        }
        browser.fill(&page, 0, &[("decision", "allow-once")]).await;
        let opened = alice.call(PROBE, arguments.clone()).await;
        assert_eq!(
            list(&opened, "opened"),
            ["first.canary@example.com", "Bunny Canary", "Bear Canary"],
            "{opened:?}"
        );
        assert!(alice.call(PROBE, arguments).await.link().is_some());
        let outcome = server.outcomes(PROBE).await;
        let used = outcome
            .iter()
            .find_map(|one| one.result.as_ref()?.used.clone());
        let effects = used.unwrap().effects;
        let email = &effects["reveal email reveal_keep:/email"];
        assert_eq!((email.count, email.bytes_in), (1, 24));
        assert_eq!(effects["reveal nickname reveal_keep:/nicknames/*"].count, 2);

        // Not even a panic gets a value into the log.
        let crashed = open(&server, &alice, &handles, true).await;
        assert!(
            crashed.is_tool_error() && !crashed.body.contains("anary"),
            "{crashed:?}"
        );
        for value in ["first.canary", "Bunny Canary", "Bear Canary"] {
            check_silent(&server, value).await;
        }
        assert!(log::text().contains("the call has opened encrypted data"));
        server.stop().await;
    });
}

#[test]
fn what_is_not_granted_or_belongs_to_others_is_denied_like_what_does_not_exist() {
    run(async {
        let needs = [
            "id = \"p\"\nkind = \"progress\"\noptional = true\nreason = \"For the test.\"\n",
            "id = \"opened\"\nkind = \"reveal\"\nclasses = [\"email\"]\nfields = [\"reveal_keep:/email\"]\nreason = \"For the test.\"\n",
        ];
        let needs = needs.map(|need| toml::from_str::<toml::Table>(need).unwrap());
        let mut setup = sealing(Setup::new());
        setup = setup.config("[tools.prefix]\none = \"one-\"\ntwo = \"two-\"\n");
        for name in ["one", "two"] {
            let toml = toml_of(name, &needs);
            setup = setup.package(name, &packed(PROBE, &toml).await);
        }
        let server = setup.start().await;
        let alice = server.caller("alice");
        let given = json!({"email": "owned.by@example.com", "nicknames": ["Owned"]});
        let handles = held(&alice.call("one-reveal_keep", given).await);
        let open = async |caller: &Caller, tool: &str| {
            let arguments = json!({"handles": handles});
            caller.call_allowed(&server, tool, arguments).await
        };
        // The email alone; the nickname is of another class, and the note no handle.
        let own = open(&alice, "one-reveal_probe").await;
        assert_eq!(list(&own, "opened"), ["owned.by@example.com"], "{own:?}");
        assert_eq!(list(&own, "refused"), ["Denied", "Denied"]);
        // Another package with the same code, publisher and consent.
        let other = open(&alice, "two-reveal_probe").await;
        assert_eq!(list(&other, "refused"), ["Denied"; 3], "{other:?}");
        // Another tenant with the same tool, user and consent.
        let elsewhere = alice.clone().with(&server, json!({"tenant": "elsewhere"}));
        let other = open(&elsewhere, "one-reveal_probe").await;
        assert_eq!(list(&other, "refused"), ["Denied"; 3], "{other:?}");
        // A colleague in the same tenant is asked for themselves, and reads it then.
        let root = server.caller("root");
        let asked = root
            .call("one-reveal_probe", json!({"handles": handles}))
            .await;
        assert!(asked.link().is_some(), "{asked:?}");
        let own = open(&root, "one-reveal_probe").await;
        assert_eq!(list(&own, "opened"), ["owned.by@example.com"], "{own:?}");
        server.stop().await;
    });
}

#[test]
fn guessing_opens_nothing_and_ends() {
    run(async {
        let setup = sealing(Setup::new()).guests(&["reveal_guess"]).await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "reveal_guess", json!({})).await;
        let expected = json!({"opened": 0, "denied": 1000, "too_many": 100, "other": []});
        assert_eq!(answer.structured(), expected, "{answer:?}");
        server.stop().await;
    });
}

#[test]
fn without_a_key_what_is_to_be_encrypted_does_not_reach_its_tool() {
    run(async {
        let server = Setup::new().guests(&[PROBE]).await.start().await;
        let alice = server.caller("alice");
        let refused = alice
            .call(KEEP, json!({"email": "no.key@example.com"}))
            .await;
        assert!(refused.is_tool_error(), "{refused:?}");
        for part in ["`/email`", "no key", "[seal]"] {
            assert!(refused.text().contains(part), "{part}: {refused:?}");
        }
        let outcome = server.outcomes(KEEP).await.pop().unwrap();
        assert_eq!(outcome.result.unwrap().reason.unwrap(), "data-no-key");
        server.stop().await;
    });
}

#[test]
fn the_operator_has_a_class_encrypted_whatever_the_author_says() {
    run(async {
        let config = "[[data.rule]]\nclass = \"email\"\naction = \"encrypt\"\nequal = true\n[[data.rule]]\nclass = \"card\"\naction = \"encrypt\"\n";
        let setup = sealing(Setup::new()).guests(&["data_leak"]).await;
        let server = setup.config(config).start().await;
        let alice = server.caller("alice");
        let say = async |text: &str| {
            let arguments = json!({"say": [text], "place": "reply"});
            alice.call("data_leak", arguments).await
        };
        let said = |answer: &Answer| answer.structured()["said"].as_str().unwrap().to_owned();
        let first = said(&say("write to same.one@example.com now").await);
        let second = said(&say("write to same.one@example.com now").await);
        let other = said(&say("write to other.one@example.com now").await);
        let handle = |text: &str| text.split(' ').nth(2).unwrap().to_owned();
        let equal = |text: &str| handle(text).rsplit('_').next().unwrap().to_owned();
        for text in [&first, &second, &other] {
            assert!(
                text.starts_with("write to sealed_") && text.ends_with(" now"),
                "{text}"
            );
            assert!(is_handle(&handle(text)), "{text}");
        }
        assert_ne!(handle(&first), handle(&second));
        assert_eq!(equal(&first), equal(&second));
        assert_ne!(equal(&first), equal(&other));
        // On the way back as well, where the tool has it from elsewhere.
        let pieces: Vec<String> = "from.elsewhere@example.com"
            .chars()
            .map(String::from)
            .collect();
        let back = alice
            .call("data_leak", json!({"say": pieces, "place": "reply"}))
            .await;
        assert!(is_handle(&said(&back)), "{back:?}");
        assert_eq!(
            back.result()["_meta"]["bailiwick/encrypted"]["email"],
            2,
            "{back:?}"
        );
        assert!(!back.body.contains("from.elsewhere"), "{back:?}");
        let card = say("4111 1111 1111 1111").await;
        assert!(is_handle(&said(&card)), "{card:?}");
        check_silent(&server, "from.elsewhere").await;
        server.stop().await;
    });
}

const ROLES: &str = r#"
permit (principal, action in [Action::"list", Action::"call"], resource);
permit (principal, action == Action::"use", resource) unless { resource.kind == "reveal" };
@id("support-reads-customers")
permit (principal in Role::"admin", action == Action::"use", resource) when { resource.kind == "reveal" };
"#;

#[test]
fn check_names_what_wants_data_encrypted_where_there_is_no_key() {
    run(async {
        let rule = "[[data.rule]]\nclass = \"email\"\naction = \"encrypt\"\n";
        let notes = [
            "note: the tool `customer_add` wants data encrypted, and there is no `[seal]`",
            "note: a `[[data.rule]]` wants data encrypted, and there is no `[seal]`",
        ];
        for keyed in [false, true] {
            let setup = Setup::new().tools(&["customers"]).await.config(rule);
            let setup = if keyed { sealing(setup) } else { setup };
            let server = setup.start().await;
            server.write_config();
            let text = bailiwick(server.dir(), &["check", "--config", "bailiwick.toml"]).ends(0);
            for note in notes {
                assert_eq!(text.contains(note), !keyed, "{note}: {text}");
            }
            assert!(!text.contains("`customer_list` wants"), "{text}");
            server.stop().await;
        }
    });
}

#[test]
fn customers_are_kept_encrypted_and_shown_to_whoever_has_the_role_and_agrees() {
    run(async {
        let setup = sealing(Setup::new()).tools(&["customers"]).await;
        let setup = setup.config("[[kv]]\nname = \"customers\"\nshare = \"tenant\"\n");
        let server = setup.only_rules(ROLES).start().await;
        let (alice, root) = (server.caller("alice"), server.caller("root"));
        let new = json!({"company": "Engines", "name": "Ada Canary", "email": "ada.canary@example.com", "phone": "+44 20 7946 0958"});
        let added = alice.call_allowed(&server, "customer_add", new).await;
        assert_eq!(added.text(), "Customer 1 was added.", "{added:?}");
        let listed = root.call_allowed(&server, "customer_list", json!({})).await;
        let record: &Value = &listed.structured()["customers"][0];
        assert!(is_handle(record["email"].as_str().unwrap()), "{listed:?}");
        // Without the role there is no such tool.
        let refused = alice.call("customer_show", json!({"number": 1})).await;
        assert!(!alice.list().await.contains(&"customer_show".to_owned()));
        assert!(
            !refused.body.contains("anary") && refused.link().is_none(),
            "{refused:?}"
        );
        // With the role and without consent it is asked about.
        let which = json!({"number": 1});
        assert!(
            root.call("customer_show", which.clone())
                .await
                .link()
                .is_some()
        );
        let shown = root.call_allowed(&server, "customer_show", which).await;
        let expected = json!({"company": "Engines", "name": "Ada Canary", "email": "ada.canary@example.com", "phone": "+44 20 7946 0958"});
        assert_eq!(shown.structured(), expected, "{shown:?}");
        for value in ["Ada Canary", "ada.canary", "7946 0958"] {
            check_silent(&server, value).await;
        }
        let intent = server.intents("customer_show").await.pop().unwrap();
        assert!(
            intent
                .granted
                .contains(&"reveal email customer_add:/email".to_owned())
        );
        let add = server.intents("customer_add").await.pop().unwrap();
        assert_eq!(add.granted, ["kv write customers"]);
        server.stop().await;
    });
}
