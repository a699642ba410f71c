//! What `explain` and `policy diff` tell of bounds, of rules under trial, and of the token that would do.

use std::path::Path;

use crate::cli::{bailiwick, folder};
use crate::harness::run;

const RULES: &str = r#"
@id("staff")
@max_consent("P7D")
permit (principal in Role::"staff", action, resource);
@id("no-writing")
@log_only("true")
forbid (principal, action == Action::"call:notes_write", resource);
@id("strong")
forbid (principal, action == Action::"call:notes_write", resource)
unless { context has acr && context.acr == "gold" && context has auth_time && context.now - context.auth_time <= 300 };
@id("scoped")
forbid (principal, action == Action::"call:notes_list", resource)
unless { principal.scopes.contains("notes:read") };
"#;

const EXPECT: &str = r#"
[caller.ada]
client = "desk"
claims = { sub = "ada", scope = "tools:call", roles = ["staff"] }
[[case]]
name = "staff do not list without the scope"
caller = "ada"
tool = "notes_list"
expect = "deny"
"#;

/// A folder with the notes, these rules, and an issuer with an order of `acr`.
async fn notes(rules: &str) -> tempfile::TempDir {
    let folder = folder(&["notes"], rules).await;
    let file = folder.path().join("bailiwick.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let issuer = "[[issuer]]\nissuer = \"https://as.test\"\njwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\nacr = [\"bronze\", \"gold\"]\n";
    std::fs::write(&file, format!("{text}{issuer}")).unwrap();
    std::fs::write(folder.path().join("expect.toml"), EXPECT).unwrap();
    folder
}

/// What is said of a call by somebody of the staff with these further claims.
fn explain(here: &Path, tool: &str, more: &str, words: &[&str], status: i32) -> String {
    let arguments = match tool {
        "notes_write" => r#"{"name":"a","text":"b"}"#,
        _ => "{}",
    };
    let claims = format!(r#"{{"sub":"ada","scope":"tools:call","roles":["staff"]{more}}}"#);
    let own = [
        "explain",
        "--config",
        "bailiwick.toml",
        "--claims",
        &claims,
        "--tool",
        tool,
        "--arguments",
        arguments,
    ];
    bailiwick(here, &[&own, words].concat()).ends(status)
}

#[test]
fn an_explanation_says_when_arguments_hold_what_the_tool_may_not_be_given() {
    run(async {
        let folder = notes(RULES).await;
        let rules = r#"permit (principal in Role::"staff", action, resource);"#;
        std::fs::create_dir(folder.path().join("policy.all")).unwrap();
        std::fs::write(folder.path().join("policy.all/rules.cedar"), rules).unwrap();
        let explain = |text: &str, status| {
            let arguments = serde_json::json!({"name": "a", "text": text}).to_string();
            let claims = r#"{"sub":"ada","scope":"tools:call","roles":["staff"]}"#;
            let words = ["explain", "--config", "bailiwick.toml", "--claims", claims];
            let more = [
                "--rules",
                "policy.all",
                "--tool",
                "notes_write",
                "--arguments",
            ];
            let all = [&words[..], &more, &[&arguments]].concat();
            bailiwick(folder.path(), &all).ends(status)
        };
        assert!(explain("b", 0).contains("the call is permitted"));
        let refused = explain("write to ada@example.com", 1);
        let said = "in the arguments, `/text` holds data of class `email`, which this tool may not be given";
        assert!(
            refused.contains(said) && !refused.contains("ada@"),
            "{refused}"
        );
    });
}

#[test]
fn an_explanation_names_bounds_trials_and_the_token_that_would_do() {
    run(async {
        let folder = notes(RULES).await;
        let here = folder.path();
        let weak = explain(here, "notes_write", r#","acr":"bronze""#, &[], 1);
        for said in [
            "bounded by `staff`: at most consent for 7 days",
            "the call is refused by the rules: forbidden by strong",
            "with a sign-in of `acr` `gold` and a sign-in of the last 300 seconds it would be permitted",
        ] {
            assert!(weak.contains(said), "{said}\n{weak}");
        }
        // What is refused anyway a trial would not have changed.
        assert!(!weak.contains("under trial"), "{weak}");

        let unscoped = explain(here, "notes_list", "", &[], 1);
        let said = "with the scopes `notes:read` it would be permitted";
        assert!(unscoped.contains(said), "{unscoped}");
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let good = format!(r#","acr":"gold","auth_time":{}"#, now.as_secs());
        let good = explain(here, "notes_write", &good, &[], 0);
        for said in [
            "under trial, and without effect\n  `no-writing`: call would go from allow to refuse",
            "T2  files write notes   (at most consent for 7 days)",
        ] {
            assert!(good.contains(said), "{said}\n{good}");
        }

        // Another folder of rules, which bounds the tier below what the tool needs.
        std::fs::create_dir(here.join("policy.new")).unwrap();
        let low =
            r#"@id("low") @max_tier("T1") permit (principal in Role::"staff", action, resource);"#;
        std::fs::write(here.join("policy.new/rules.cedar"), low).unwrap();
        let other = ["--rules", "policy.new"];
        let refused = explain(here, "notes_write", "", &other, 1);
        let said = "it is of tier T2, and the rules bound it: at most tier T1";
        assert!(refused.contains(said), "{refused}");
        assert!(!refused.contains("it would be permitted"), "{refused}");
        let config = ["--config", "bailiwick.toml"];
        let matrix = ["explain", "--matrix", "expect.toml"];
        let of = |more: &[&str]| {
            let out = bailiwick(here, &[&matrix, &config[..], more].concat()).ends(0);
            let row = out.lines().find(|row| row.contains("notes_write"));
            row.unwrap().split_whitespace().nth(3).unwrap().to_owned()
        };
        assert_eq!((of(&[]).as_str(), of(&other).as_str()), ("no", "no"));
        std::fs::write(here.join("policy.new/rules.cedar"), low.replace("T1", "T2")).unwrap();
        assert_eq!(of(&other), "yes");
    });
}

#[test]
fn a_longer_consent_is_more_authority() {
    run(async {
        let week = r#"@id("staff") @max_consent("P7D") permit (principal in Role::"staff", action, resource);"#;
        let folder = notes(week).await;
        let here = folder.path();
        std::fs::create_dir(here.join("policy.new")).unwrap();
        let month = week.replace("P7D", "P30D");
        std::fs::write(here.join("policy.new/rules.cedar"), month).unwrap();
        let diff = |old: &str, new: &str, status: i32| {
            let words = ["policy", "diff", "--config", "bailiwick.toml"];
            let sets = ["--expect", "expect.toml", old, new];
            bailiwick(here, &[words, sets].concat()).ends(status)
        };
        let what = "keep a consent to `files write notes` through `notes_write` for 30 days instead of for 7 days";
        let grown = diff("policy.d", "policy.new", 1);
        let said = format!("+ ada may now {what}   (no longer bounded so by staff)");
        assert!(grown.contains(&said), "{grown}");
        let shrunk = diff("policy.new", "policy.d", 1);
        let said = format!("- ada may no longer {what}   (bounded by staff)");
        assert!(shrunk.contains(&said), "{shrunk}");
        assert!(diff("policy.d", "policy.d", 0).contains("nothing differs"));
    });
}

const TWO_ISSUERS: &str = r#"
[caller.ours]
issuer = "https://as.test"
client = "desk"
claims = { sub = "ada", scope = "tools:call", roles = ["staff"] }
[caller.theirs]
issuer = "https://partner.test"
client = "desk"
claims = { sub = "ada", scope = "tools:call", roles = ["staff"] }
[[case]]
name = "ours"
caller = "ours"
tool = "notes_list"
expect = "allow"
[[case]]
name = "theirs"
caller = "theirs"
tool = "notes_list"
expect = "deny"
[[case]]
name = "ours by a look-alike"
caller = "ours"
claims = { roles = ["stаff", "STAFF", "staff ", "ｓtaff"] }
tool = "notes_list"
expect = "deny"
[[case]]
name = "theirs by our name"
caller = "theirs"
claims = { roles = ["ours:staff"] }
tool = "notes_list"
expect = "deny"
"#;

#[test]
fn a_role_of_one_issuer_is_not_that_of_another_where_the_operator_says_so() {
    run(async {
        let staff = |role: &str, when: &str| {
            format!(r#"@id("staff") permit (principal in Role::"{role}", action, resource){when};"#)
        };
        let folder = notes(&staff("staff", "")).await;
        let here = folder.path();
        std::fs::write(here.join("expect.toml"), TWO_ISSUERS).unwrap();
        let file = here.join("bailiwick.toml");
        let one = std::fs::read_to_string(&file).unwrap();
        let partner = "[[issuer]]\nissuer = \"https://partner.test\"\njwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\n";
        let two = format!("{one}{partner}");
        let config = ["--config", "bailiwick.toml"];
        let warning = "the rule `staff` names a role or group without an issuer";
        let warns = || {
            let out = bailiwick(here, &[&["check"], &config[..]].concat());
            out.out.contains(warning)
        };
        let tested = |status: i32| {
            let words = ["policy", "test", "expect.toml"];
            bailiwick(here, &[&words, &config[..]].concat()).ends(status)
        };
        assert!(!warns(), "one issuer is no question");
        std::fs::write(&file, &two).unwrap();
        assert!(warns());
        let shared = tested(1);
        assert!(
            shared.contains("FAILED  theirs") && shared.contains("ok      ours"),
            "{shared}"
        );

        // By the rule, or by the configuration.
        let rules = here.join("policy.d/rules.cedar");
        let asks = " when { principal.issuer == \"https://as.test\" }";
        std::fs::write(&rules, staff("staff", asks)).unwrap();
        assert!(!warns());
        assert!(tested(0).contains("4 passed"));
        let prefixed = two
            .replace("acr = [", "role_prefix = \"ours:\"\nacr = [")
            .replace(partner, &format!("{partner}role_prefix = \"partner:\"\n"));
        std::fs::write(&file, prefixed).unwrap();
        std::fs::write(&rules, staff("ours:staff", "")).unwrap();
        assert!(!warns());
        assert!(tested(0).contains("4 passed"));
    });
}
