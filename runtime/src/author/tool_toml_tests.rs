use super::*;

const HEAD: &str = "name = \"a\"\nversion = \"1.0.0\"\ntitle = \"A\"\ndescription = \"Does a\"\npublisher = \"example.test\"\n";

fn parse(rest: &str) -> Result<ToolToml, TomlError> {
    ToolToml::parse("tool.toml", &format!("{HEAD}{rest}"))
}

fn problem(rest: &str) -> String {
    let problems = parse(rest).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

fn asked(rest: &str) -> Vec<String> {
    let needs = parse(rest).unwrap().needs;
    needs
        .iter()
        .flat_map(|need| need.capabilities.iter().map(ToString::to_string))
        .collect()
}

#[test]
fn nothing_is_asked_for_unless_it_is_written() {
    let toml = parse("").unwrap();
    assert!(toml.needs.is_empty() && toml.build.is_none());
    assert!(toml.manifest(Vec::new()).needs().is_empty());
}

#[test]
fn each_kind_becomes_its_capabilities() {
    let http = "[[needs]]\nid=\"web\"\nkind=\"http\"\nhosts=[\"api.example\",\"*.b.example:8443\"]\nmethods=[\"POST\",\"GET\"]\npath=\"/v1/\"\nreason=\"r\"\n";
    assert_eq!(
        asked(http),
        [
            "http GET,POST *.b.example:8443 /v1/",
            "http GET,POST api.example /v1/"
        ]
    );
    let files = "[[needs]]\nid=\"f\"\nkind=\"files\"\nmount=\"notes\"\naccess=\"read\"\npath=\"in box/x\"\nreason=\"r\"\noptional=true\n";
    assert_eq!(asked(files), ["files read notes in box/x"]);
    assert!(parse(files).unwrap().needs[0].optional);
    assert_eq!(
        asked("[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"r\"\n"),
        ["clock"]
    );
    assert_eq!(
        asked("[[needs]]\nid=\"p\"\nkind=\"progress\"\nreason=\"r\"\n"),
        ["progress"]
    );
    let data = "[[needs]]\nid=\"d\"\nkind=\"data\"\nclasses=[\"email\",\"card\"]\nreason=\"r\"\n";
    assert_eq!(asked(data), ["data card", "data email"]);
    let kv = "[[needs]]\nid=\"k\"\nkind=\"kv\"\nstore=\"memory\"\naccess=\"write\"\nreason=\"r\"\n";
    assert_eq!(asked(kv), ["kv write memory"]);
    assert_eq!(
        asked(&format!("{kv}prefix=\"a/\"\n")),
        ["kv write memory a/"]
    );
    let config =
        "[[needs]]\nid=\"c\"\nkind=\"config\"\nkeys=[\"units\",\"region\"]\nreason=\"r\"\n";
    assert_eq!(asked(config), ["config region", "config units"]);
    let secret = "[[needs]]\nid=\"s\"\nkind=\"secret\"\nsecret=\"tracker\"\nhosts=[\"b.example:8443\",\"A.example\"]\nform=\"header X-Api-Key\"\nreason=\"r\"\n";
    assert_eq!(
        asked(secret),
        [
            "secret tracker a.example header x-api-key",
            "secret tracker b.example:8443 header x-api-key"
        ]
    );
    let call =
        "[[needs]]\nid=\"c\"\nkind=\"call\"\ntools=[\"memory_recall\",\"fetch\"]\nreason=\"r\"\n";
    assert_eq!(asked(call), ["call fetch", "call memory_recall"]);
    let claims =
        "[[needs]]\nid=\"c\"\nkind=\"claims\"\nclaims=[\"subject\",\"email\"]\nreason=\"r\"\n";
    assert_eq!(asked(claims), ["claims email", "claims subject"]);
}

#[test]
fn what_is_no_tool_and_no_claim_is_told() {
    let need = |rest: &str| format!("[[needs]]\nid=\"n\"\nreason=\"r\"\n{rest}");
    for (wrong, says) in [
        ("kind=\"call\"\n", "has no `tools`"),
        ("kind=\"call\"\ntools=[\"a b\"]\n", "the tool name"),
        ("kind=\"call\"\ntools=[\"*\"]\n", "the tool name"),
        ("kind=\"claims\"\n", "has no `claims`"),
        (
            "kind=\"claims\"\nclaims=[\"jti\"]\n",
            "no claim that a tool can be told",
        ),
        (
            "kind=\"claims\"\nclaims=[\"SCOPE\"]\n",
            "no claim that a tool can be told",
        ),
        (
            "kind=\"claims\"\nclaims=[\"email\"]\ntools=[\"a\"]\n",
            "`tools` has no meaning",
        ),
    ] {
        let told = problem(&need(wrong));
        assert!(told.contains(says), "{wrong}: {told}");
    }
}

#[test]
fn a_secret_is_asked_for_with_exact_hosts_and_one_form() {
    let secret = |rest: &str| format!("[[needs]]\nid=\"s\"\nkind=\"secret\"\nreason=\"r\"\n{rest}");
    for (wrong, says) in [
        (
            "hosts=[\"a.example\"]\nform=\"bearer\"\n",
            "has no `secret`",
        ),
        ("secret=\"t\"\nform=\"bearer\"\n", "has no `hosts`"),
        ("secret=\"t\"\nhosts=[\"a.example\"]\n", "has no `form`"),
        (
            "secret=\"t\"\nhosts=[]\nform=\"bearer\"\n",
            "asks for nothing",
        ),
        (
            "secret=\"t t\"\nhosts=[\"a.example\"]\nform=\"bearer\"\n",
            "the secret name",
        ),
        (
            "secret=\"t\"\nhosts=[\"*\"]\nform=\"bearer\"\n",
            "not the host of a secret",
        ),
        (
            "secret=\"t\"\nhosts=[\"*.example\"]\nform=\"bearer\"\n",
            "not the host of a secret",
        ),
        (
            "secret=\"t\"\nhosts=[\"a.example\"]\nform=\"cookie\"\n",
            "not the form of a secret",
        ),
        (
            "secret=\"t\"\nhosts=[\"a.example\"]\nform=\"bearer\"\npath=\"/\"\n",
            "`path` has no meaning",
        ),
    ] {
        let told = problem(&secret(wrong));
        assert!(told.contains(says), "{told}");
    }
    assert!(
        problem("[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"r\"\nform=\"bearer\"\n")
            .contains("`form` has no meaning")
    );
}

#[test]
fn what_stores_and_settings_are_asked_for_by_is_checked() {
    let kv = |rest: &str| format!("[[needs]]\nid=\"k\"\nkind=\"kv\"\nreason=\"r\"\n{rest}");
    for (wrong, says) in [
        ("access=\"read\"\n", "has no `store`"),
        ("store=\"a\"\n", "has no `access`"),
        ("store=\"a b\"\naccess=\"read\"\n", "the store name"),
        ("store=\"a\"\naccess=\"own\"\n", "not an access"),
        (
            "store=\"a\"\naccess=\"read\"\nprefix=\"a b\"\n",
            "not a prefix",
        ),
        (
            "store=\"a\"\naccess=\"read\"\npath=\"a\"\n",
            "`path` has no meaning",
        ),
    ] {
        let told = problem(&kv(wrong));
        assert!(told.contains(says), "{told}");
    }
    let config = |rest: &str| format!("[[needs]]\nid=\"c\"\nkind=\"config\"\nreason=\"r\"\n{rest}");
    assert!(problem(&config("")).contains("has no `keys`"));
    assert!(problem(&config("keys=[]\n")).contains("asks for nothing"));
    assert!(problem(&config("keys=[\"a\",\"b c\"]\n")).contains("the configuration key"));
    assert!(problem(&config("keys=[\"a\"]\nstore=\"a\"\n")).contains("`store` has no meaning"));
}

#[test]
fn a_problem_names_its_line_and_its_mending() {
    assert_eq!(
        problem("[[needs]]\nid=\"c\"\nkind=\"klock\"\nreason=\"r\"\n"),
        "tool.toml:8: `klock` is not a kind of capability; use `http`, `files`, `clock`, `progress`, `data`, `ask`, `kv`, `config`, `secret`, `call`, `claims`, `reveal` or `deliver`"
    );
    assert_eq!(
        problem("[[needs]]\nid=\"f\"\nkind=\"files\"\nmount=\"notes\"\nreason=\"r\"\n"),
        "tool.toml:6: a need of kind `files` has no `access`; add `access`"
    );
    assert_eq!(
        problem("[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"r\"\nmount=\"notes\"\n"),
        "tool.toml:10: `mount` has no meaning in a need of kind `clock`; remove it"
    );
    assert_eq!(
        problem("[[needs]]\nid=\"d\"\nkind=\"data\"\nreason=\"r\"\n"),
        "tool.toml:6: a need of kind `data` has no `classes`; add `classes`"
    );
    assert!(
        problem("[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"r\"\nclasses=[\"email\"]\n")
            .contains("`classes` has no meaning in a need of kind `clock`")
    );
    let classes = "[[needs]]\nid=\"d\"\nkind=\"data\"\nclasses=[\"E mail\"]\nreason=\"r\"\n";
    assert!(problem(classes).starts_with("tool.toml:9: "));
    assert!(problem("[limits]\nmemory_mib = 100000\n").contains("limits.memory_mib"));
    assert!(problem("[limits]\nmemory = 1\n").starts_with("tool.toml:7: unknown field `memory`"));
    assert!(problem("[[needs]]\nid=\"c\"\nkind=\"clock\"\n").contains("missing field `reason`"));
    assert!(
        problem("[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"\"\n")
            .contains("reason of need `c`")
    );
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = parse(
        "[[needs]]\nid=\"w\"\nkind=\"http\"\nhosts=[\"127.0.0.1\",\"ok.example\",\"a b\"]\nmethods=[\"GET\"]\nreason=\"r\"\n[build]\ncommand=[]\nartifact=\"a.wasm\"\n",
    )
    .unwrap_err()
    .problems;
    assert_eq!(
        problems
            .iter()
            .map(|problem| problem.line)
            .collect::<Vec<_>>(),
        [Some(9), Some(9), Some(12)]
    );
}

#[test]
fn a_part_cannot_bring_other_parts_along() {
    for (hosts, methods, path) in [
        ("a.example /x", "GET", "/"),
        ("a.example", "GET,POST", "/"),
        ("a.example", "CONNECT", "/"),
        ("a.example", "GET", "/a b"),
        ("a.example", "GET", "/a/../b"),
        ("a.example", "GET", "a"),
    ] {
        let text = format!(
            "[[needs]]\nid=\"w\"\nkind=\"http\"\nhosts=[\"{hosts}\"]\nmethods=[\"{methods}\"]\npath=\"{path}\"\nreason=\"r\"\n"
        );
        assert!(parse(&text).is_err(), "{text}");
    }
    let files =
        "[[needs]]\nid=\"f\"\nkind=\"files\"\nmount=\"notes sub\"\naccess=\"read\"\nreason=\"r\"\n";
    assert!(parse(files).is_err());
}

#[test]
fn a_build_stays_in_its_folder() {
    let build = parse("[build]\ncommand=[\"make\"]\nartifact=\"out/a.wasm\"\n")
        .unwrap()
        .build
        .unwrap();
    assert_eq!(build.artifact, Path::new("out/a.wasm"));
    for outside in ["../a.wasm", "/tmp/a.wasm"] {
        assert!(
            parse(&format!(
                "[build]\ncommand=[\"make\"]\nartifact=\"{outside}\"\n"
            ))
            .is_err()
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let error = ToolToml::read(Path::new("/nowhere/tool.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nowhere/tool.toml: cannot be read"),
        "{error}"
    );
}

#[test]
fn how_much_of_the_web_a_call_may_use_is_part_of_what_is_asked_for() {
    let web = |rest: &str| {
        format!(
            "[[needs]]\nid=\"web\"\nkind=\"http\"\nhosts=[\"a.example\",\"b.example\"]\nmethods=[\"GET\"]\nreason=\"r\"\n{rest}"
        )
    };
    let all = "requests=5\nsend_bytes=1024\nreceive_bytes=4096\nrequest_ms=500\nparallel=1\n";
    let budget = "requests=5 send=1024 receive=4096 ms=500 parallel=1";
    assert_eq!(
        asked(&web(all)),
        [
            format!("http GET a.example / {budget}"),
            format!("http GET b.example / {budget}")
        ]
    );
    assert_eq!(
        asked(&web("requests=20\n")),
        ["http GET a.example /", "http GET b.example /"],
        "what every call has"
    );
    let wrong = problem(&web("requests=21\n"));
    assert!(wrong.contains("21 is more than every call has"), "{wrong}");
    assert!(wrong.contains("at most 20"), "{wrong}");
    assert!(parse(&web("requests=0\n")).is_err());
    let clock = "[[needs]]\nid=\"c\"\nkind=\"clock\"\nreason=\"r\"\nrequests=1\n";
    assert!(problem(clock).contains("has no meaning"));
}
