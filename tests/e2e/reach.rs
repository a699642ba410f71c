//! The empty world: what a guest that tries everything reaches is exactly its grants, whoever decided them.

use bailiwick::consent::Choice;
use serde_json::{Value, json};

use crate::harness::{Caller, Server, Setup, Upstream, for_an_hour, packed, run, toml_of};

/// Which of web, files and clock.
type Subset = [bool; 3];

fn subsets() -> impl Iterator<Item = Subset> {
    (0..8).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
}

/// A name for a subset: `hfc` is all of it.
fn name(subset: Subset) -> String {
    let letters = ["h", "f", "c"].into_iter().zip(subset);
    let some: String = letters
        .filter(|(_, there)| *there)
        .map(|(letter, _)| letter)
        .collect();
    format!("p{some}")
}

fn need(text: &str) -> toml::Table {
    toml::from_str(&format!("{text}\nreason = \"The probe uses it.\"\n")).unwrap()
}

/// Web, files and clock, as needs. They are optional, so that the probe runs without.
fn optional_needs(subset: Subset) -> Vec<toml::Table> {
    let all = [
        "id = \"web\"\nkind = \"http\"\nhosts = [\"upstream.test\"]\nmethods = [\"GET\"]\npath = \"/\"\noptional = true",
        "id = \"notebook\"\nkind = \"files\"\nmount = \"notes\"\naccess = \"write\"\noptional = true",
        "id = \"clock\"\nkind = \"clock\"\noptional = true",
    ];
    let some = all.into_iter().zip(subset).filter(|(_, there)| *there);
    some.map(|(text, _)| need(text)).collect()
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
    let mut setup = Setup::new()
        .more_rules(rules)
        .host("upstream.test", upstream.port, false);
    for (name, needs) in probes {
        prefixes.push_str(&format!("{name} = \"{name}-\"\n"));
        setup = setup.package(name, &packed("reach_all", &toml_of(name, needs)).await);
    }
    let always = "[[mount]]\nname = \"always\"\npath = \"always/{tenant}/{sub}\"\n";
    setup.config(always).config(&prefixes).start().await
}

async fn reached(
    server: &Server,
    caller: &Caller,
    probe: &str,
    decide: impl Fn(&str) -> Choice,
) -> Value {
    let tool = format!("{probe}-reach_all");
    let arguments = json!({"url": "http://upstream.test/"});
    let answer = caller.call_deciding(server, &tool, arguments, decide).await;
    assert!(answer.is_reply(), "{tool}: {answer:?}");
    let intent = server.intents(&tool).await.pop().unwrap();
    let mut report = answer.structured();
    report["granted"] = json!(intent.granted.len());
    report
}

/// Asserts that the report tells of these grants and of nothing else.
fn check(report: &Value, [http, files, clock]: Subset, has_always: bool, case: &str) {
    let mut mounts = Vec::new();
    if has_always {
        mounts.push("/always");
    }
    if files {
        mounts.push("/notes");
    }
    let granted = mounts.len() + usize::from(http) + usize::from(clock);
    assert_eq!(report["granted"], granted, "{case}: {report}");
    assert_eq!(report["http"], http, "{case}: {report}");
    assert_eq!(report["files"], json!(mounts), "{case}: {report}");
    assert_eq!(report["files_writable"], json!(mounts), "{case}: {report}");
    assert_eq!(report["clock"], clock, "{case}: {report}");
    for (field, nothing) in [
        ("files_outside", json!([])),
        ("env", json!([])),
        ("args", json!([])),
        ("stdin", json!(false)),
        ("sockets", json!(false)),
        ("progress", json!(false)),
    ] {
        assert_eq!(report[field], nothing, "{case}: {field} in {report}");
    }
    assert_eq!(report["random"], true, "{case}: {report}");
}

#[test]
fn a_guest_reaches_what_its_manifest_asks_for_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let probe = |subset| {
            let mut needs = optional_needs(subset);
            needs.push(required_need());
            (name(subset), needs)
        };
        let probes: Vec<_> = subsets().map(probe).collect();
        let server = serve(&probes, &upstream, "").await;
        let alice = server.caller("alice");
        for subset in subsets() {
            let name = name(subset);
            let report = reached(&server, &alice, &name, |_| for_an_hour()).await;
            check(&report, subset, true, &name);
        }
        assert_eq!(upstream.seen().len(), 4);
        server.stop().await;
    });
}

#[test]
fn a_guest_reaches_what_its_user_agreed_to_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let mut needs = optional_needs([true; 3]);
        needs.push(required_need());
        let server = serve(&[("all".to_owned(), needs)], &upstream, "").await;
        for [http, files, clock] in subsets() {
            let case = name([http, files, clock]);
            let user = server.caller(&case);
            let decide = |capability: &str| {
                let agreed = match capability.split_once(' ').unwrap().0 {
                    "http" => http,
                    _ if capability.ends_with(" notes") => files,
                    _ => true,
                };
                if agreed { for_an_hour() } else { Choice::Deny }
            };
            let report = reached(&server, &user, "all", decide).await;
            // The clock has no effect outside: nobody is asked about it, so nobody can deny it.
            check(&report, [http, files, true], true, &case);
        }
        server.stop().await;
    });
}

#[test]
fn a_guest_reaches_what_policy_permits_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let mut needs = optional_needs([true; 3]);
        needs.push(required_need());
        // The client says in its name what is permitted to it.
        let rules: String = [("http", "h"), ("clock", "c")]
            .map(|(kind, letter)| {
                format!(
                    "@id(\"{kind}\") forbid (principal, action == Action::\"use\", resource) when {{ resource.kind == \"{kind}\" && !(context.client like \"p*{letter}*\") }};\n"
                )
            })
            .concat();
        let files = "@id(\"files\") forbid (principal, action == Action::\"use\", resource) when { resource has mount && resource.mount == \"notes\" && !(context.client like \"p*f*\") };\n";
        let server = serve(&[("all".to_owned(), needs)], &upstream, &(rules + files)).await;
        for subset in subsets() {
            let client = name(subset);
            let alice = server.caller("alice").via(&server, &client);
            let report = reached(&server, &alice, "all", |_| for_an_hour()).await;
            check(&report, subset, true, &client);
        }
        server.stop().await;
    });
}

#[test]
fn without_any_need_nothing_is_reached_and_nobody_is_asked() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&[("none".to_owned(), Vec::new())], &upstream, "").await;
        let alice = server.caller("alice");
        let report = reached(&server, &alice, "none", |asked| panic!("asked for {asked}")).await;
        check(&report, [false; 3], false, "none");
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
