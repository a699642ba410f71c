use std::path::Path;

use super::super::{ClaimType, Config, ConfigError};

const HEAD: &str = r#"
    [server]
    listen = "127.0.0.1:8137"
    public_url = "https://mcp.example"
    [tools]
    dir = "tools.d"
    [state]
    url = "sqlite://bailiwick.db"
    [[issuer]]
    issuer = "https://as.example"
    algorithms = ["ES256"]
"#;

fn parse(issuer: &str) -> Result<Config, ConfigError> {
    let text = format!("{HEAD}{issuer}");
    Config::parse("bailiwick.toml", &text, Path::new("/srv"))
}

#[test]
fn claims_scopes_and_acr_are_mapped_for_each_issuer() {
    let config = parse(
        r#"
        role_prefix = "staff:"
        roles_claim = "realm_access.roles"
        groups_claim = ["https://example.test/groups"]
        acr = ["bronze", "gold"]
        tool_claims = ["customer"]
        [issuer.claims]
        customer = { path = "customer.id", type = "string" }
        level = { type = "integer", required = true }
        [issuer.scopes]
        admin = ["tools:call"]
        "#,
    );
    let config = config.unwrap();
    let issuer = &config.issuers[0];
    assert_eq!(issuer.claims.role_prefix, "staff:");
    assert_eq!(issuer.claims.roles, ["realm_access", "roles"]);
    assert_eq!(issuer.claims.groups, ["https://example.test/groups"]);
    assert_eq!(issuer.acr, ["bronze", "gold"]);
    let customer = &issuer.claims.extra["customer"];
    assert_eq!(
        (&*customer.path, customer.kind),
        (
            &["customer".to_owned(), "id".to_owned()][..],
            ClaimType::String
        )
    );
    assert!(customer.told && !issuer.claims.extra["level"].told);
    assert!(!customer.required && issuer.claims.extra["level"].required);
    assert_eq!(issuer.claims.extra["level"].path, ["level"]);
    let expanded = issuer.scopes.expand(["admin".to_owned()].into());
    assert!(expanded.contains("tools:call"));
}

#[test]
fn what_cannot_be_mapped_is_refused_with_its_line() {
    for (wrong, says) in [
        ("roles_claim = \"\"", "no name"),
        ("roles_claim = \"a..b\"", "no name"),
        ("groups_claim = []", "no name"),
        ("role_prefix = \"\"", "before roles"),
        ("role_prefix = \":\"", "before roles"),
        ("role_prefix = \"partner\"", "before roles"),
        ("role_prefix = \"pаrtner:\"", "before roles"),
        ("role_prefix = \"a b:\"", "before roles"),
        ("acr = [\"a\", \"a\"]", "twice"),
        ("acr = [\"\"]", "empty"),
        (
            "claims = { \"a-b\" = { type = \"string\" } }",
            "cannot read",
        ),
        ("claims = { a = { type = \"float\" } }", "unknown variant"),
        (
            "claims = { a = { type = \"string\", path = \"a.\" } }",
            "no name",
        ),
        ("claims = { a = { kind = \"string\" } }", "unknown field"),
        ("tool_claims = [\"email\"]", "no claim `email`"),
        (
            "tool_claims = [\"a\"]\nclaims = { a = { type = \"string\", path = \"jti\" } }",
            "about the token",
        ),
        (
            "tool_claims = [\"scope\"]\nclaims = { scope = { type = \"string\", path = \"x\" } }",
            "about the token",
        ),
        (
            "tool_claims = [\"subject\"]\nclaims = { subject = { type = \"string\" } }",
            "about the token",
        ),
        ("scopes = { admin = [\"two words\"] }", "not a scope"),
        ("scopes = { \"\" = [\"a\"] }", "not a scope"),
        (
            "claims = { a = { type = \"string\" } }\n[[issuer]]\nissuer = \"https://b.example\"\nalgorithms = [\"ES256\"]\nclaims = { a = { type = \"integer\" } }",
            "another type",
        ),
    ] {
        let ConfigError::Invalid { problems } = parse(wrong).unwrap_err() else {
            panic!("{wrong}")
        };
        let found = problems
            .iter()
            .find(|problem| problem.message.contains(says));
        assert!(
            found.is_some_and(|one| one.line.is_some()),
            "{wrong}: {problems:?}"
        );
    }
}
