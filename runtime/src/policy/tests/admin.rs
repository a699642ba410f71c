//! The administrators' door is opened by rules about it, for the caller's own tenant, and by nothing else.

use super::*;
use crate::identity::testing::NOW;
use crate::policy::{AdminAction, AdminResource, compare_admin, own_admin};

const ADMINS: &str = r#"
    @id("admins") permit(principal in Role::"admin", action in Action::"admin", resource);
"#;

fn tenant(name: &str) -> AdminResource {
    AdminResource::Tenant(name.parse().unwrap())
}

fn admin(tenant: &str) -> Arc<Caller> {
    caller(json!({"roles": ["admin"], "tenant": tenant}))
}

/// What a caller may do: the server, the tenants `north` and `south`.
fn reach(text: &str, caller: &Arc<Caller>) -> Vec<String> {
    let rules = rules(text, &[notes()]).unwrap_or_else(|error| panic!("{error}"));
    let mut reach = Vec::new();
    for action in [AdminAction::Read, AdminAction::Revoke] {
        for on in [AdminResource::Server, tenant("north"), tenant("south")] {
            if let Ok(permit) = rules.permit_admin(caller, action, &on, NOW) {
                assert!(!permit.rules().is_empty());
                reach.push(format!("{} {on}", action.as_str()));
            }
        }
    }
    let own = AdminResource::Tenant(caller.tenant().clone()).to_string();
    let administers = reach
        .iter()
        .any(|one| one.ends_with("the server") || one.ends_with(&own));
    assert_eq!(rules.administers(caller, NOW), administers, "{text}");
    reach
}

const OWN: [&str; 3] = [
    "admin:read the server",
    "admin:read tenant north",
    "admin:revoke tenant north",
];

#[test]
fn without_a_rule_nobody_is_an_administrator() {
    let all = json!({"roles": ["admin", "root"], "scope": "tools:call admin", "tenant": "north"});
    assert_eq!(reach("", &caller(all)), [""; 0]);
}

#[test]
fn a_role_decides_and_without_it_the_door_is_shut() {
    assert_eq!(reach(ADMINS, &admin("north")), OWN);
    let others = [
        json!({"tenant": "north"}),
        json!({"roles": ["Admin"], "tenant": "north"}),
        json!({"groups": ["admin"], "tenant": "admin"}),
    ];
    for other in others {
        assert_eq!(reach(ADMINS, &caller(other)), [""; 0]);
    }
}

#[test]
fn no_rule_about_tools_opens_the_door() {
    for open in [
        "permit(principal, action, resource);",
        "permit(principal in Role::\"admin\", action, resource);",
        "permit(principal, action in [Action::\"list\", Action::\"call\", Action::\"use\"], resource);",
        "permit(principal, action, resource) unless { false };",
    ] {
        assert_eq!(reach(open, &admin("north")), [""; 0], "{open}");
    }
}

#[test]
fn no_rule_about_the_door_opens_a_tool() {
    let tool = notes();
    let rules = rules(ADMINS, std::slice::from_ref(&tool)).unwrap();
    let admin = admin("north");
    assert!(!rules.lists(&admin, &tool));
    assert!(rules.permit(&admin, &tool, &Map::new()).is_err());
}

#[test]
fn another_tenant_is_reached_only_where_a_permit_names_it() {
    let south = "permit(principal in Role::\"admin\", action in Action::\"admin\", resource == Tenant::\"south\");";
    let all = "permit(principal in Role::\"admin\", action in Action::\"admin\", resource in Server::\"bailiwick\");";
    let both = ["admin:read tenant south", "admin:revoke tenant south"];
    assert_eq!(reach(south, &admin("north")), both);
    assert_eq!(
        reach(all, &admin("north")),
        [&OWN[..2], &both[..1], &OWN[2..], &both[1..]].concat()
    );
    // What is said of a resource in a condition names nothing.
    for wide in [
        "permit(principal, action in Action::\"admin\", resource is Tenant);",
        "permit(principal, action in Action::\"admin\", resource) when { resource == Tenant::\"south\" };",
        "permit(principal, action in Action::\"admin\", resource) when { true };",
    ] {
        let reached = reach(wide, &admin("north"));
        assert!(
            reached.iter().all(|one| !one.contains("south")),
            "{wide}: {reached:?}"
        );
    }
    // A forbid holds for every tenant, whether it names it or not.
    for forbid in [
        "forbid(principal, action in Action::\"admin\", resource);",
        "forbid(principal, action in Action::\"admin\", resource) when { context.client == \"client-1\" };",
    ] {
        let text = format!("{all}\n{forbid}");
        assert_eq!(reach(&text, &admin("north")), [""; 0], "{forbid}");
    }
}

#[test]
fn an_administrator_of_a_tenant_alone_sees_nothing_of_the_server() {
    let own =
        "permit(principal in Role::\"admin\", action in Action::\"admin\", resource is Tenant);";
    assert_eq!(reach(own, &admin("north")), OWN[1..]);
}

#[test]
fn looking_and_taking_back_can_be_told_apart() {
    let reads = "permit(principal in Role::\"admin\", action == Action::\"admin:read\", resource);";
    assert_eq!(reach(reads, &admin("north")), OWN[..2]);
}

#[test]
fn a_sign_in_and_the_time_count_as_for_calls() {
    let fresh = format!(
        "{ADMINS} forbid(principal, action == Action::\"admin:revoke\", resource)
         unless {{ context has auth_time && context.now - context.auth_time <= 300 && context.client == \"client-1\" }};"
    );
    let at = |age: i64| {
        caller(json!({"roles": ["admin"], "tenant": "north", "auth_time": NOW.secs() - age}))
    };
    assert_eq!(reach(&fresh, &at(300)), OWN);
    assert_eq!(reach(&fresh, &at(301)), OWN[..2]);
    assert_eq!(reach(&fresh, &admin("north")), OWN[..2]);
}

#[test]
fn an_error_while_deciding_refuses() {
    let errs = format!(
        "{ADMINS} forbid(principal, action in Action::\"admin\", resource)
         when {{ context.now + 9223372036854775807 < 0 }};"
    );
    let rules = rules(&errs, &[]).unwrap();
    let refused = rules.permit_admin(
        &admin("north"),
        AdminAction::Read,
        &AdminResource::Server,
        NOW,
    );
    assert!(matches!(refused, Err(Refusal::Evaluation { .. })));
}

#[test]
fn what_could_be_misread_is_refused_at_load_with_a_way_to_mend_it() {
    for (text, says) in [
        (
            "permit(principal, action == Action::\"admin\", resource);",
            "write `action in Action::\"admin\"`",
        ),
        (
            "permit(principal, action in [Action::\"list\", Action::\"admin\"], resource);",
            "write two rules",
        ),
        (
            "permit(principal, action in Action::\"admin:delete\", resource);",
            "admin:delete",
        ),
        (
            "permit(principal, action, resource) when { action in Action::\"admin\" };",
            "admin",
        ),
        (
            "permit(principal, action, resource == Server::\"bailiwick\");",
            "Server",
        ),
        (
            "permit(principal is Anonymous, action in Action::\"admin\", resource);",
            "Anonymous",
        ),
        (
            "permit(principal, action in Action::\"admin\", resource in Server::\"other\");",
            "other",
        ),
        (
            "permit(principal, action in Action::\"admin\", resource is Tool);",
            "Tool",
        ),
        (
            "permit(principal, action == Action::\"admin:revoke\", resource == Server::\"bailiwick\");",
            "",
        ),
        (
            "permit(principal, action in Action::\"admin\", resource) when { context.tier < 1 };",
            "tier",
        ),
        (
            "permit(principal, action in Action::\"admin\", resource) unless { context has args };",
            "`context` never has `args`",
        ),
        (
            "@log_only(\"true\") permit(principal, action in Action::\"admin\", resource);",
            "take `@log_only` away",
        ),
        (
            "@max_tier(\"T1\") permit(principal, action in Action::\"admin\", resource);",
            "take the annotation away",
        ),
    ] {
        let error = rules(text, &[notes()])
            .err()
            .unwrap_or_else(|| panic!("{text}"));
        let said = error.to_string();
        assert!(said.contains(says), "{text}: {said}");
        assert_eq!(error.problems[0].line, Some(1), "{said}");
    }
}

#[test]
fn what_the_log_says_is_changed_by_a_rule_about_it_and_for_the_server_alone() {
    let may = |text: &str, on: &AdminResource| {
        let rules = rules(text, &[]).unwrap();
        rules
            .permit_admin(&admin("north"), AdminAction::Log, on, NOW)
            .is_ok()
    };
    let about = |action: &str| {
        format!(
            "@id(\"a\") permit(principal in Role::\"admin\", action == Action::\"{action}\", resource);"
        )
    };
    assert!(may(&about("admin:log"), &AdminResource::Server));
    assert!(may(ADMINS, &AdminResource::Server));
    for other in ["admin:read", "admin:revoke"] {
        assert!(!may(&about(other), &AdminResource::Server), "{other}");
    }
    assert!(!may(
        "@id(\"a\") permit(principal, action, resource);",
        &AdminResource::Server
    ));
    assert!(!may(ADMINS, &tenant("north")));
}

#[test]
fn two_sets_differ_where_the_door_opens_or_shuts() {
    let load = |text: &str| rules(text, &[]).unwrap();
    let (none, open) = (load(""), load(ADMINS));
    let shut = load(&format!(
        "{ADMINS} @id(\"no\") forbid(principal, action == Action::\"admin:revoke\", resource);"
    ));
    let north = admin("north");
    let asked = own_admin(&north);
    let grown = compare_admin(&none, &open, &north, &asked, NOW);
    assert_eq!(grown.len(), 4);
    assert!(grown.iter().all(|one| one.grows && one.by == ["admins"]));
    let shrunk = compare_admin(&open, &shut, &north, &asked, NOW);
    assert_eq!(shrunk.len(), 1, "{shrunk:?}");
    assert_eq!(shrunk[0].what, "do `admin:revoke` on tenant north");
    assert!(!shrunk[0].grows && shrunk[0].how == How::Forbid && shrunk[0].by == ["no"]);
    let stranger = caller(json!({}));
    assert!(compare_admin(&none, &open, &stranger, &own_admin(&stranger), NOW).is_empty());
    assert_eq!(open.edits(&shut).added, ["no"]);
}

#[test]
fn rules_tell_of_themselves_and_not_what_they_say() {
    let text = format!(
        "{ADMINS}\n@id(\"a\") @description(\"for staff\") permit(principal, action, resource)\nwhen {{ principal.subject == \"x\" }};"
    );
    let rules = rules(&text, &[]).unwrap();
    let told = serde_json::to_value(rules.told()).unwrap();
    assert_eq!(
        told,
        json!([
            {"id": "a", "file": "rules.cedar", "line": 4, "effect": "permit", "about": "tools",
             "annotations": {"id": "a", "description": "for staff"}},
            {"id": "admins", "file": "rules.cedar", "line": 2, "effect": "permit", "about": "admin",
             "annotations": {"id": "admins"}},
        ])
    );
}

#[test]
fn one_administers_who_may_do_anything_to_the_server_or_the_own_tenant() {
    let administers = |text: &str, caller: &Arc<Caller>| {
        let rules = rules(text, &[notes()]).unwrap();
        rules.administers(caller, NOW)
    };
    assert!(administers(ADMINS, &admin("north")));
    assert!(!administers(ADMINS, &caller(json!({"tenant": "north"}))));
    assert!(!administers("", &admin("north")));
    for action in ["admin:read", "admin:revoke", "admin:log"] {
        let one = format!("permit(principal, action == Action::\"{action}\", resource);");
        assert!(administers(&one, &admin("north")), "{action}");
    }
    let south = "permit(principal, action in Action::\"admin\", resource == Tenant::\"south\");";
    assert!(!administers(south, &admin("north")));
    assert!(administers(south, &admin("south")));
}
