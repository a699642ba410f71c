use super::*;

const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:8137"
        public_url = "https://mcp.example"
        [[issuer]]
        issuer = "https://as.example"
        jwks_file = "keys.json"
        algorithms = ["ES256", "EdDSA", "RS256"]
        required_scopes = ["tools:call"]
        [tools]
        dir = "tools.d"
        [policy]
        dir = "policy.d"
        [state]
        url = "sqlite://bailiwick.db"
        [[mount]]
        name = "notes"
        path = "notes/{tenant}/{sub}"
        [[egress.host]]
        name = "api.example.test"
        address = "127.0.0.1:9000"
    "#;

#[test]
fn where_each_call_has_a_process_there_are_as_many_places_and_shares_are_of_those() {
    let parsed = |isolation: &str| parse(&format!("{isolation}{GOOD}")).unwrap();
    let (here, apart) = (parsed(""), parsed("isolation = \"process\"\n"));
    assert_eq!(here.isolation, Isolation::InProcess);
    let share = |config: &Config, name: &str| {
        let found = config.limits.all.iter().find(|one| one.name == name);
        found.and_then(|one| one.at_once)
    };
    assert_eq!(here.server.calls_in_flight_max, 256);
    assert_eq!(share(&here, "tenant-share"), Some(192));
    assert_eq!(apart.server.calls_in_flight_max, 64);
    assert_eq!(share(&apart, "tenant-share"), Some(48));
    assert_eq!(share(&apart, "user-share"), Some(16));
    assert!(parse(&format!("isolation = \"thread\"\n{GOOD}")).is_err());
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse("bailiwick.toml", text, Path::new("/srv"))
}

#[test]
fn the_documented_configuration_is_accepted() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.issuers[0].audience, ["https://mcp.example/mcp"]);
    assert_eq!(config.mounts[0].path, "/srv/notes/{tenant}/{sub}");
    assert!(config.sign_in.is_none());
    assert!(!config.egress_hosts[0].any);
}

#[test]
fn what_would_open_a_door_is_refused_with_its_line() {
    for (from, to, line, says) in [
        (
            r#"algorithms = ["ES256", "EdDSA", "RS256"]"#,
            "algorithms = []",
            8,
            "empty",
        ),
        (
            r#"["ES256", "EdDSA", "RS256"]"#,
            r#"["HS256", "RS256"]"#,
            8,
            "HMAC",
        ),
        (r#"["ES256", "EdDSA", "RS256"]"#, r#"["none"]"#, 8, "none"),
        ("https://mcp.example", "http://mcp.example", 4, "https"),
        ("127.0.0.1:8137", "0.0.0.0:8137", 3, "loopback"),
        ("{tenant}/{sub}", "{sub}", 18, "share"),
        ("{tenant}/{sub}", "{home}", 18, "placeholder"),
        ("{tenant}/{sub}", "{tenant}-{sub}", 18, "run together"),
        ("{tenant}/{sub}", "{tenant}{sub}", 18, "run together"),
        (
            r#"name = "api.example.test""#,
            r#"name = "127.0.0.1""#,
            20,
            "not a host",
        ),
        // A token for tools would be one for administrators.
        (
            r#"required_scopes = ["tools:call"]"#,
            r#"required_scopes = ["admin"]"#,
            6,
            "administer",
        ),
        (
            r#"required_scopes = ["tools:call"]"#,
            "required_scopes = [\"tools:call\"]\n[issuer.scopes]\n\"tools:call\" = [\"admin\"]",
            6,
            "administer",
        ),
        (
            "[tools]",
            "[admin]\nscope = \"a b\"\n[tools]",
            11,
            "no scope",
        ),
        ("[tools]", "[admin]\nscope = \"\"\n[tools]", 11, "no scope"),
        (
            "[tools]",
            "[admin]\nrole = \"x\"\n[tools]",
            11,
            "unknown field",
        ),
        (
            r#"jwks_file = "keys.json""#,
            "audience = []",
            7,
            "audiences",
        ),
        (
            r#"jwks_file = "keys.json""#,
            "strict = false",
            7,
            "unknown field",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let ConfigError::Invalid { problems } = parse(&GOOD.replace(from, to)).unwrap_err() else {
            panic!("{to}")
        };
        assert!(
            problems
                .iter()
                .any(|p| p.line == Some(line) && p.message.contains(says)),
            "{to}: {problems:?}"
        );
    }
}

#[test]
fn a_mount_is_bounded_by_what_is_written_and_else_by_the_usual() {
    use crate::limits::FILES_COUNT_CEILING;

    let path = r#"path = "notes/{tenant}/{sub}""#;
    let with = |more: &str| {
        assert!(GOOD.contains(path));
        parse(&GOOD.replace(path, &format!("{path}\n{more}")))
    };
    let quota = |more: &str| with(more).unwrap().mounts[0].quota;
    assert_eq!(quota(""), Quota::default());
    let most = format!(
        "max_bytes = {}\nmax_files = {FILES_COUNT_CEILING}",
        i64::MAX
    );
    for (text, bytes, files) in [
        ("max_bytes = 1", 1, FILES_COUNT_MAX),
        ("max_files = 1", FILES_BYTES_MAX, 1),
        ("max_bytes = 4096\nmax_files = 20", 4_096, 20),
        (&most, i64::MAX.unsigned_abs(), FILES_COUNT_CEILING),
    ] {
        assert_eq!(quota(text), Quota { bytes, files }, "{text}");
    }
    let over = format!("max_files = {}", FILES_COUNT_CEILING + 1);
    for (text, says) in [
        ("max_bytes = 0", "cannot be bounded"),
        ("max_files = 0", "cannot be bounded"),
        (over.as_str(), "cannot be bounded"),
        ("max_bytes = -1", "integer"),
        ("max_files = -1", "integer"),
        ("max_bytes = \"4 MiB\"", "invalid type"),
        ("max_files = 1.5", "invalid type"),
        ("max_names = 5", "unknown field"),
    ] {
        let ConfigError::Invalid { problems } = with(text).unwrap_err() else {
            panic!("{text}")
        };
        assert!(
            problems
                .iter()
                .any(|p| p.line == Some(19) && p.message.contains(says)),
            "{text}: {problems:?}"
        );
    }
}

#[test]
fn calls_of_tools_by_tools_are_bounded_lower_and_never_higher() {
    let with = |more: &str| parse(&GOOD.replace("[[issuer]]", &format!("{more}\n[[issuer]]")));
    let bounds = |more: &str| with(more).unwrap().server.call_bounds;
    assert_eq!(bounds(""), CallBounds::default());
    let lowest = CallBounds { depth: 1, tree: 1 };
    assert_eq!(bounds("call_depth_max = 1\ncall_tree_max = 1"), lowest);
    let (depth, tree) = (CALL_DEPTH_MAX, CALL_TREE_MAX);
    let most = format!("call_depth_max = {depth}\ncall_tree_max = {tree}");
    assert_eq!(bounds(&most), CallBounds { depth, tree });
    for wrong in [
        "call_depth_max = 0".to_owned(),
        format!("call_depth_max = {}", depth + 1),
        "call_tree_max = 0".to_owned(),
        format!("call_tree_max = {}", tree + 1),
        "call_tree_max = -1".to_owned(),
    ] {
        let ConfigError::Invalid { problems } = with(&wrong).unwrap_err() else {
            panic!("{wrong}")
        };
        let told = |one: &Problem| {
            let says = ["out of range", "integer"];
            one.line == Some(5) && says.iter().any(|says| one.message.contains(says))
        };
        assert!(problems.iter().any(told), "{wrong}: {problems:?}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let text = GOOD
        .replace("https://mcp.example", "http://mcp.example")
        .replace("sqlite://", "mysql://");
    let ConfigError::Invalid { problems } = parse(&text).unwrap_err() else {
        panic!()
    };
    assert_eq!(problems.len(), 2, "{problems:?}");
}
