//! The empty world: what a guest that tries everything reaches is exactly its grants, whoever decided them.

use std::collections::BTreeSet;

use bailiwick::consent::Choice;
use serde_json::{Value, json};

use crate::harness::{
    Caller, Server, Setup, Upstream, allowed, handles, packed, run, taking, toml_of,
};
use crate::sealed::sealing;

/// Every kind: a letter for it, its name, and a need of it.
const KINDS: [(char, &str, &str); 13] = [
    (
        'h',
        "http",
        "hosts = [\"upstream.test\"]\nmethods = [\"GET\"]\npath = \"/\"",
    ),
    ('f', "files", "mount = \"notes\"\naccess = \"write\""),
    ('c', "clock", ""),
    ('r', "progress", ""),
    ('k', "kv", "store = \"memory\"\naccess = \"write\""),
    ('g', "config", "keys = [\"region\"]"),
    ('a', "ask", ""),
    (
        's',
        "secret",
        "secret = \"tracker\"\nhosts = [\"upstream.test\"]\nform = \"bearer\"",
    ),
    ('l', "call", "tools = [\"hello\"]"),
    ('m', "claims", "claims = [\"nickname\"]"),
    ('d', "data", "classes = [\"email\"]"),
    ('o', "reveal", "classes = [\"motto\"]"),
    (
        'v',
        "deliver",
        "classes = [\"motto\"]\nhosts = [\"upstream.test\"]",
    ),
];
/// Kinds without an effect outside: nobody is asked about them, so nobody can deny them.
const FREE: [char; 4] = ['c', 'r', 'g', 'a'];
const VALUE: &str = "canary-4f0c-reach";
/// What is encrypted for each probe.
const MOTTO: &str = "motto-7b1d-reach";

/// Some of the kinds, by their letters.
type Subset = BTreeSet<char>;

/// None of them, and each alone.
fn alone() -> Vec<Subset> {
    let each = KINDS.map(|(letter, ..)| Subset::from([letter]));
    [Subset::new()].into_iter().chain(each).collect()
}

/// The same, all of them, and all but each.
fn subsets() -> Vec<Subset> {
    let all = every();
    let but = all.iter().map(|letter| &all - &Subset::from([*letter]));
    alone().into_iter().chain(but).chain([every()]).collect()
}

fn every() -> Subset {
    KINDS.map(|(letter, ..)| letter).into()
}

/// A name for a subset, in which its letters stand and no others.
fn name(subset: &Subset) -> String {
    format!("p{}", subset.iter().collect::<String>())
}

fn need(text: &str) -> toml::Table {
    toml::from_str(&format!("{text}\nreason = \"The probe uses it.\"\n")).unwrap()
}

/// Some of the kinds, as needs. They are optional, so that the probe runs without.
fn optional_needs(subset: &Subset) -> Vec<toml::Table> {
    let some = KINDS.iter().filter(|(letter, ..)| subset.contains(letter));
    some.map(|(_, kind, rest)| {
        need(&format!(
            "id = \"{kind}\"\nkind = \"{kind}\"\noptional = true\n{rest}"
        ))
    })
    .collect()
}

/// What the tool cannot do without, so that no call goes on before all of it is decided.
fn required_need() -> toml::Table {
    need(
        "id = \"always\"\nkind = \"files\"\nmount = \"always\"\naccess = \"write\"\noptional = false",
    )
}

/// A server with the probe under a name for each of these.
async fn serve(probes: &[(String, Vec<toml::Table>)], upstream: &Upstream, rules: &str) -> Server {
    let mut prefixes = "[tools.prefix]\n".to_owned();
    let mut settings = String::new();
    let mut setup = sealing(Setup::new())
        .more_rules(rules)
        .host("upstream.test", upstream.port, false)
        .secret_file("tracker", VALUE)
        .tools(&["hello"])
        .await;
    for (name, needs) in probes {
        prefixes.push_str(&format!("{name} = \"{name}-\"\n"));
        settings.push_str(&format!(
            "[tools.config.{name}]\nregion = \"eu\"\nunits = \"metric\"\n"
        ));
        let package = packed("reach_all", &toml_of(name, needs)).await;
        setup = setup.package(name, &taking(&package));
    }
    let bound = "[[mount]]\nname = \"always\"\npath = \"always/{tenant}/{sub}\"\n\
        [[kv]]\nname = \"other\"\n\
        [[secret]]\nname = \"tracker\"\nfile = \"tracker\"\nhosts = [\"upstream.test\"]\nform = \"bearer\"\n";
    let setup = setup.config(bound).config(&prefixes).config(&settings);
    setup.start().await
}

fn caller(server: &Server, user: &str) -> Caller {
    let claims = json!({"nickname": "Al", "name": "Alice", "email": "alice@example.com"});
    server.caller(user).with(server, claims).without_forms()
}

async fn reached(
    server: &Server,
    caller: &Caller,
    probe: &str,
    decide: impl Fn(&str) -> Choice,
) -> Value {
    let tool = format!("{probe}-reach_all");
    let motto = [("motto", "keep:/motto", MOTTO.to_owned())];
    let handle = handles(server, &tool, "dev", &motto).await.remove(0);
    let arguments = json!({"url": "http://upstream.test/", "handle": handle});
    let answer = caller.call_deciding(server, &tool, arguments, decide).await;
    assert!(answer.is_reply(), "{tool}: {answer:?}");
    let intent = server.intents(&tool).await.pop().unwrap();
    let mut report = answer.structured();
    report["granted"] = json!(intent.granted.len());
    report
}

/// Asserts that the report tells of these grants and of nothing else.
fn check(report: &Value, subset: &Subset, has_always: bool, case: &str) {
    let has = |letter| subset.contains(&letter);
    let names =
        |letter, name: &str| json!(has(letter).then_some(name).into_iter().collect::<Vec<_>>());
    let mut mounts = Vec::new();
    if has_always {
        mounts.push("/always");
    }
    if has('f') {
        mounts.push("/notes");
    }
    let ask = if has('a') { "unavailable" } else { "denied" };
    let granted = subset.len() + usize::from(has_always);
    for (field, right) in [
        ("granted", json!(granted)),
        ("http", json!(has('h'))),
        ("files", json!(mounts)),
        ("files_writable", json!(mounts)),
        ("clock", json!(has('c'))),
        ("progress", json!(has('r'))),
        ("stores", names('k', "memory")),
        ("settings", names('g', "region")),
        // Nobody can be shown a form by this client, which a tool that may ask is told.
        ("ask", json!(ask)),
        ("secrets", names('s', "tracker")),
        ("claims", names('m', "nickname")),
        ("opened", json!(has('o').then_some(MOTTO))),
        ("files_outside", json!([])),
        ("env", json!([])),
        ("args", json!([])),
        ("stdin", json!(false)),
        ("sockets", json!(false)),
        ("random", json!(true)),
    ] {
        assert_eq!(report[field], right, "{case}: {field} in {report}");
    }
    let called = report["call"].as_str().unwrap();
    match has('l') {
        true => assert!(called.contains("reach_all"), "{case}: {report}"),
        false => assert_eq!(called, "denied", "{case}: {report}"),
    }
    let said = report["said"].as_str().unwrap();
    assert_eq!(said == "someone@example.com", has('d'), "{case}: {report}");
    assert_eq!(said.contains("one"), has('d'), "{case}: {report}");
}

/// Asserts that the upstream heard of a case for each of these that has the web, with the secret if it has that as well.
fn check_heard(upstream: &Upstream, cases: &[Subset]) {
    let heads = upstream.seen();
    let web = cases.iter().filter(|subset| subset.contains(&'h'));
    assert_eq!(heads.len(), web.clone().count());
    let carried = heads.iter().filter(|head| head.contains(VALUE));
    let secret = web.clone().filter(|subset| subset.contains(&'s'));
    assert_eq!(carried.count(), secret.count());
    let told = heads.iter().filter(|head| head.contains(MOTTO));
    let delivered = web.filter(|subset| subset.contains(&'v'));
    assert_eq!(told.count(), delivered.count());
}

#[test]
fn a_guest_reaches_what_its_manifest_asks_for_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let mut cases = alone();
        cases.push(every());
        let probe = |subset: &Subset| {
            let mut needs = optional_needs(subset);
            needs.push(required_need());
            (name(subset), needs)
        };
        let probes: Vec<_> = cases.iter().map(probe).collect();
        let server = serve(&probes, &upstream, "").await;
        let alice = caller(&server, "alice");
        for subset in &cases {
            let name = name(subset);
            let report = reached(&server, &alice, &name, allowed).await;
            check(&report, subset, true, &name);
        }
        check_heard(&upstream, &cases);
        server.stop().await;
    });
}

#[test]
fn a_guest_reaches_what_its_user_agreed_to_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let mut needs = optional_needs(&every());
        needs.push(required_need());
        let server = serve(&[("all".to_owned(), needs)], &upstream, "").await;
        for subset in subsets() {
            let case = name(&subset);
            let user = caller(&server, &case);
            let decide = |capability: &str| {
                let kind = capability.split(' ').next().unwrap();
                let kind = KINDS.iter().find(|(_, name, _)| *name == kind).unwrap();
                match subset.contains(&kind.0) || capability.ends_with(" always") {
                    true => allowed(capability),
                    false => Choice::Deny,
                }
            };
            let report = reached(&server, &user, "all", decide).await;
            check(&report, &(&subset | &FREE.into()), true, &case);
        }
        check_heard(&upstream, &subsets());
        server.stop().await;
    });
}

#[test]
fn a_guest_reaches_what_policy_permits_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let mut needs = optional_needs(&every());
        needs.push(required_need());
        // The client says in its name what is permitted to it.
        let rules = KINDS.map(|(letter, kind, _)| {
            let what = match kind {
                "files" => "resource has mount && resource.mount == \"notes\"".to_owned(),
                kind => format!("resource.kind == \"{kind}\""),
            };
            format!(
                "@id(\"{kind}\") forbid (principal, action == Action::\"use\", resource) when {{ {what} && !(context.client like \"p*{letter}*\") }};\n"
            )
        });
        let server = serve(&[("all".to_owned(), needs)], &upstream, &rules.concat()).await;
        for subset in subsets() {
            let client = name(&subset);
            let alice = caller(&server, "alice").via(&server, &client);
            let report = reached(&server, &alice, "all", allowed).await;
            check(&report, &subset, true, &client);
        }
        check_heard(&upstream, &subsets());
        server.stop().await;
    });
}

#[test]
fn without_any_need_nothing_is_reached_and_nobody_is_asked() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&[("none".to_owned(), Vec::new())], &upstream, "").await;
        let alice = caller(&server, "alice");
        let report = reached(&server, &alice, "none", |asked| panic!("asked for {asked}")).await;
        check(&report, &Subset::new(), false, "none");
        assert_eq!(upstream.seen(), [""; 0]);
        server.stop().await;
    });
}

#[test]
fn the_surroundings_of_the_server_are_not_those_of_a_guest() {
    run(async {
        let guests = ["env_probe", "clock_probe"];
        let server = Setup::new().guests(&guests).await.start().await;
        let alice = server.caller("alice");
        let env = alice.call("env_probe", json!({})).await.structured();
        assert_eq!(env["env"], json!([]));
        assert_eq!(env["args"], json!([]));
        assert_eq!(env["initial_cwd"], Value::Null);
        assert_eq!(env["stdin_bytes"], 0);
        let clocks = alice.call("clock_probe", json!({})).await.structured();
        assert_eq!(clocks["monotonic_step"], 0, "{clocks}");
        assert_eq!(clocks["wall_step"], 0, "{clocks}");
        server.stop().await;
    });
}
