//! The rules that ship in `policies/`: read a second time by a naive evaluator, and gone through where they are finite.
//!
//! What is called exhaustive here is so over the parts that the rules look at: all sets of roles, all values of `acr` and sign-in
//! times on both sides of every bound, all hours of a week. It is no symbolic proof.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::naive;
use super::*;
use crate::catalog::described;
use crate::identity::testing::{NOW, caller_of, issuer};
use crate::identity::{ClaimType, ExtraClaim, IssuerConfig};
use crate::policy::expect::Expectations;

macro_rules! templates {
    ($($name:literal),*) => {
        [$(($name,
            include_str!(concat!("../../../../policies/", $name, "/rules.cedar")),
            include_str!(concat!("../../../../policies/", $name, "/expect.toml")))),*]
    };
}

const TEMPLATES: [(&str, &str, &str); 7] = templates![
    "read-only",
    "admin-by-role",
    "owner-only",
    "per-tenant",
    "business-hours",
    "contractors-without-egress",
    "break-glass"
];

/// Every role that a template names, and one that none does.
const ROLES: [&str; 7] = [
    "staff",
    "admin",
    "accountant",
    "contractor",
    "night-shift",
    "on-call",
    "other",
];

fn with_customer(issuer: &mut IssuerConfig) {
    let claim = ExtraClaim {
        path: vec!["customer".to_owned()],
        kind: ClaimType::String,
        required: false,
        told: false,
    };
    issuer.claims.extra.insert("customer".to_owned(), claim);
}

/// The tools that the templates' expectations describe, all of them together.
fn all_tools() -> (Vec<Tool>, Vocabulary) {
    let mut tools: BTreeMap<ToolName, Tool> = BTreeMap::new();
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, _, expect) in TEMPLATES {
        for one in Expectations::parse(name, expect).unwrap().tools {
            for tool in described(one.manifest).unwrap() {
                tags.entry(tool.name().to_string())
                    .or_default()
                    .extend(one.tags.clone());
                tools.insert(tool.name().clone(), tool);
            }
        }
    }
    let mut issuer = issuer();
    with_customer(&mut issuer);
    let words = Vocabulary::new(&[issuer], &tags, false);
    (tools.into_values().collect(), words)
}

fn loaded(text: &str) -> (Rules, Vec<Tool>) {
    let (tools, words) = all_tools();
    let sources = [("rules.cedar".to_owned(), text.to_owned())];
    let rules = Rules::load_with(&sources, &tools, words).unwrap_or_else(|error| panic!("{error}"));
    (rules, tools)
}

fn template(name: &str) -> &'static str {
    TEMPLATES.iter().find(|(one, ..)| *one == name).unwrap().1
}

fn subsets<'a>(of: &[&'a str]) -> Vec<Vec<&'a str>> {
    (0..1_usize << of.len())
        .map(|mask| {
            let chosen = of.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
            chosen.map(|(_, one)| *one).collect()
        })
        .collect()
}

fn arguments(customer: &str) -> Map<String, Value> {
    map(json!({"customer": customer}))
}

/// What a caller may at all: whether one sees a tool, may call it, and with which capabilities.
fn reach(rules: &Rules, caller: &Arc<Caller>, tool: &Tool, now: Timestamp) -> BTreeSet<String> {
    let arguments = arguments("c-1");
    let call = Circumstances {
        arguments: &arguments,
        now,
    };
    let mut all = BTreeSet::new();
    if rules.lists(caller, tool) {
        all.insert("list".to_owned());
    }
    if let Ok(permit) = rules.permit(caller, tool, call) {
        all.insert("call".to_owned());
        all.extend(permit.allowed().iter().map(ToString::to_string));
    }
    all
}

#[test]
fn nobody_without_the_role_reaches_an_administrators_tool() {
    let (rules, tools) = loaded(template("admin-by-role"));
    let tagged: Vec<_> = tools
        .iter()
        .filter(|tool| tool.name().as_str() == "accounts_delete")
        .collect();
    assert_eq!(tagged.len(), 1);
    let mut reached = 0;
    for roles in subsets(&ROLES) {
        for groups in [json!([]), json!(["admin"])] {
            let who = caller(
                json!({"roles": roles, "groups": groups, "scope": "tools:call admin", "tenant": "admin"}),
            );
            for tool in &tagged {
                let reach = reach(&rules, &who, tool, NOW);
                let steps = rules.explain(&who, tool, &Map::new());
                let is_admin = roles.contains(&"admin");
                assert_eq!(!reach.is_empty(), is_admin, "{roles:?}");
                assert_eq!(steps.iter().any(|step| step.allowed), is_admin, "{roles:?}");
                reached += usize::from(is_admin);
            }
        }
    }
    assert_eq!(reached, 128);
}

#[test]
fn nobody_without_the_role_reaches_an_admin_action() {
    // Each template alone, and all rules about tools of all of them together with one that permits everything.
    let mut sets: Vec<String> = TEMPLATES.map(|(_, text, _)| text.to_owned()).to_vec();
    let mut all = "permit (principal, action, resource);\n".to_owned();
    for (name, text, _) in TEMPLATES {
        all.push_str(&text.replace("@id(\"", &format!("@id(\"{name}-")));
    }
    sets.push(all);
    let places = ["north", "admin"].map(|name| AdminResource::Tenant(name.parse().unwrap()));
    let places: Vec<_> = [AdminResource::Server].into_iter().chain(places).collect();
    let mut reached = 0;
    for text in &sets {
        let (rules, _) = loaded(text);
        let has_door = text.contains("Action::\"admin\"");
        for roles in subsets(&ROLES) {
            for own in ["north", "admin"] {
                let who = caller(
                    json!({"roles": roles, "groups": ["admin"], "scope": "tools:call admin", "tenant": own}),
                );
                for action in [AdminAction::Read, AdminAction::Revoke] {
                    for on in &places {
                        let decided = rules.permit_admin(&who, action, on, NOW).is_ok();
                        let within = match on {
                            AdminResource::Server => action == AdminAction::Read,
                            AdminResource::Tenant(tenant) => tenant.as_str() == own,
                        };
                        let expected = has_door && within && roles.contains(&"admin");
                        assert_eq!(decided, expected, "{roles:?} of {own}: {action:?} {on}");
                        reached += usize::from(decided);
                    }
                }
            }
        }
    }
    // The template and all together; half of all sets of roles, two tenants, three things that one may do.
    assert_eq!(reached, 2 * 64 * 2 * 3);
}

#[test]
fn nothing_that_changes_things_without_a_fresh_sign_in() {
    // Whatever else permits it.
    let text = format!(
        "{}\n@id(\"all\") permit (principal, action, resource);",
        template("break-glass")
    );
    let (rules, tools) = loaded(&text);
    let (now, mut reached) = (NOW.secs(), 0);
    let changes = |tool: &&Tool| tool.wants().tier() > crate::capability::Tier::T1;
    let tools: Vec<_> = tools.iter().filter(changes).collect();
    let mut ages: Vec<Option<i64>> = [-100_000, -61, -60, -1, 0, 1, 299, 300, 301, 100_000]
        .map(Some)
        .to_vec();
    ages.push(None);
    for roles in subsets(&["staff", "on-call", "admin"]) {
        for acr in [None, Some("silver"), Some("gold"), Some("Gold")] {
            for age in &ages {
                let at = age.map(|age| now - age);
                let who = caller(json!({"roles": roles, "acr": acr, "auth_time": at}));
                let fresh =
                    acr == Some("gold") && age.is_some_and(|age| (-60..=300).contains(&age));
                for tool in &tools {
                    let reach = reach(&rules, &who, tool, NOW);
                    let needs = tool.wants();
                    for need in needs
                        .iter()
                        .filter(|need| need.tier() >= crate::capability::Tier::T2)
                    {
                        let used = reach.contains(&need.to_string());
                        assert_eq!(used, fresh, "{need} {roles:?} {acr:?} {age:?}");
                        reached += usize::from(used);
                    }
                }
            }
        }
    }
    assert!(reached > 0);
}

#[test]
fn every_hour_of_a_week_is_business_or_is_not() {
    let (rules, tools) = loaded(template("business-hours"));
    let tool = tools
        .iter()
        .find(|tool| tool.name().as_str() == "notes_write")
        .unwrap();
    let staff = caller(json!({"roles": ["staff"]}));
    let mut open = 0;
    // 2027-01-04 was a Monday.
    for hour in 0..7 * 24 {
        let now = Timestamp::from_secs(1_799_020_800 + hour * 3600);
        let business = hour / 24 < 5 && (7..18).contains(&(hour % 24));
        let arguments = &Map::new();
        let permit = rules.permit(&staff, tool, Circumstances { arguments, now });
        assert_eq!(permit.is_ok(), business, "hour {hour}");
        open += i32::from(business);
    }
    assert_eq!(open, 55);
    // The clock has no part in what is listed.
    assert!(rules.lists(&staff, tool));
}

#[test]
fn adding_a_forbid_never_widens() {
    let parsed = TEMPLATES.map(|(_, text, _)| text.parse::<cedar_policy::PolicySet>().unwrap());
    let forbids = parsed.iter().flat_map(|set| set.policies());
    let forbids = forbids.filter(|policy| policy.effect() == cedar_policy::Effect::Forbid);
    let mut forbids: Vec<_> = forbids.filter_map(|policy| policy.to_cedar()).collect();
    forbids.push("forbid (principal, action, resource);".to_owned());
    forbids.push("forbid (principal, action == Action::\"list\", resource);".to_owned());
    forbids.push(
        "forbid (principal, action == Action::\"use\", resource) when { context.now > 0 };"
            .to_owned(),
    );
    let mut roles = subsets(&["staff", "contractor"]);
    roles.push(ROLES.to_vec());
    let who: Vec<_> = roles
        .into_iter()
        .map(|roles| {
            let claims = json!({"roles": roles, "customer": "c-1", "tenant": "north", "acr": "gold", "auth_time": NOW.secs()});
            caller_of(with_customer, claims)
        })
        .collect();
    let mut narrowed = 0;
    for (_, text, _) in TEMPLATES {
        let (before, tools) = loaded(text);
        let asked = who
            .iter()
            .flat_map(|who| tools.iter().map(move |tool| (who, tool)));
        let asked: Vec<_> = asked
            .map(|(who, tool)| (who, tool, reach(&before, who, tool, NOW)))
            .collect();
        for forbid in &forbids {
            let forbid = forbid.replace("@id(\"", "@id(\"added-");
            let (after, _) = loaded(&format!("{text}\n{forbid}"));
            for (who, tool, was) in &asked {
                let is = reach(&after, who, tool, NOW);
                assert!(is.is_subset(was), "{forbid}: {was:?} {is:?}");
                narrowed += was.len() - is.len();
            }
        }
    }
    assert!(narrowed > 0);
}

#[test]
fn the_expectations_of_the_documentation_are_read() {
    let page = include_str!("../../../../docs/policy.md");
    let parts = page.split("```toml\n").skip(1);
    let blocks = parts.map(|rest| rest.split("```").next().unwrap_or_default());
    let is_file = |block: &&str| block.contains("[[case]]") || block.contains("[[admin]]");
    let files: Vec<_> = blocks.filter(is_file).collect();
    assert_eq!(files.len(), 2);
    // The second goes on where the first ends.
    let file = files.concat();
    let read = Expectations::parse("docs/policy.md", &file).unwrap_or_else(|all| panic!("{all:?}"));
    assert_eq!(
        (read.cases.len(), read.admin.len(), read.tools.len()),
        (2, 1, 1)
    );
}

/// Generated facts of a caller, from which both the token and the naive facts are made.
#[derive(Debug, Clone)]
struct Facts {
    roles: BTreeSet<&'static str>,
    tenant: &'static str,
    customer: Option<&'static str>,
    acr: Option<&'static str>,
    age: Option<i64>,
    has_user: bool,
    at: i64,
    argument: &'static str,
}

fn facts() -> impl Strategy<Value = Facts> {
    let roles = proptest::sample::subsequence(&ROLES[..], 0..=ROLES.len());
    let age = proptest::option::of(prop_oneof![-70..310_i64, Just(86_400)]);
    let names = proptest::sample::select(vec!["c-1", "C-1", "c-2"]);
    (
        roles,
        proptest::sample::select(vec!["north", "south", "admin", "other"]),
        proptest::option::of(names.clone()),
        proptest::option::of(proptest::sample::select(vec!["gold", "silver"])),
        age,
        proptest::bool::weighted(0.9),
        0..7 * 86_400_i64,
        names,
    )
        .prop_map(
            |(roles, tenant, customer, acr, age, has_user, at, argument)| Facts {
                roles: roles.into_iter().collect(),
                tenant,
                customer,
                acr,
                age,
                has_user,
                at,
                argument,
            },
        )
}

impl Facts {
    fn now(&self) -> i64 {
        NOW.secs() + self.at
    }

    fn caller(&self) -> Arc<Caller> {
        let claims = json!({
            "sub": if self.has_user { "alice" } else { "client-1" },
            "roles": self.roles, "tenant": self.tenant, "customer": self.customer, "acr": self.acr,
            "auth_time": self.age.map(|age| self.now() - age),
        });
        caller_of(with_customer, claims)
    }

    fn question(&self, action: String, resource: Value, tool: Value) -> naive::Question {
        let mut groups: Vec<String> = self
            .roles
            .iter()
            .map(|role| format!("Role::{role}"))
            .collect();
        groups.push(format!("Tenant::{}", self.tenant));
        let mut claims = json!({});
        if let Some(customer) = self.customer {
            claims["customer"] = json!(customer);
        }
        let mut context = json!({"tool": tool, "client": "client-1"});
        if let Some(acr) = self.acr {
            context["acr"] = json!(acr);
        }
        if let Some(age) = self.age {
            context["auth_time"] = json!(self.now() - age);
        }
        if action != "list" {
            context["now"] = json!(self.now());
            context["hour"] = json!(self.now() / 3600 % 24);
            // 1970-01-01 was a Thursday, the fourth day.
            context["weekday"] = json!((self.now() / 86_400 + 3) % 7 + 1);
        }
        if action.starts_with("call:") {
            context["args"] = json!({"customer": self.argument});
        }
        let principal = json!({
            "uids": [], "groups": groups, "tenant": self.tenant, "has_user": self.has_user, "claims": claims,
        });
        naive::Question {
            principal,
            action,
            resource,
            context,
        }
    }
}

/// A tool as the naive reader sees it.
fn plain(tool: &Tool, tags: &[&str]) -> Value {
    let manifest = tool.package().manifest();
    let writes = |one: &Capability| one.tier() > crate::capability::Tier::T1;
    json!({
        "uids": [format!("Tool::{}", tool.name())],
        "groups": [format!("Package::{}", manifest.name)],
        "package": manifest.name.as_str(),
        "tags": tags,
        "read_only": !manifest.needs().iter().any(writes),
    })
}

fn used(tool: &Tool, capability: &Capability) -> Value {
    let mut used = json!({
        "uids": [format!("Capability::{capability}")],
        "groups": [format!("Tool::{}", tool.name()), format!("Package::{}", tool.package().manifest().name)],
        "kind": capability.kind().as_str(),
        "tier": match capability.tier() {
            crate::capability::Tier::T0 => 0,
            crate::capability::Tier::T1 => 1,
            crate::capability::Tier::T2 => 2,
            crate::capability::Tier::T3 => 3,
        },
    });
    if let Capability::Http(http) = capability {
        used["host"] = json!(http.host.to_string());
    }
    used
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_naive_reader_decides_the_same_and_none_when_anything_errs(
        facts in facts(), chosen in proptest::sample::subsequence((0..TEMPLATES.len()).collect::<Vec<_>>(), 1..=3), errs in proptest::bool::weighted(0.2),
    ) {
        let mut text = String::new();
        for index in chosen {
            let (name, rules, _) = TEMPLATES[index];
            text.push_str(&rules.replace("@id(\"", &format!("@id(\"{name}-")));
        }
        if errs {
            // Past the largest number, at any time.
            text.push_str("forbid (principal, action in Action::\"call\", resource) when { context.now + 9223372036854775807 < 0 };");
        }
        let (rules, tools) = loaded(&text);
        let parsed: cedar_policy::PolicySet = text.parse().unwrap();
        let (who, arguments) = (facts.caller(), arguments(facts.argument));
        let call = Circumstances { arguments: &arguments, now: Timestamp::from_secs(facts.now()) };
        for tool in &tools {
            let tags: Vec<&str> = rules.vocabulary.tags_of(tool.name()).collect();
            let seen = plain(tool, &tags);
            let ask = |action: String, resource: Value| {
                naive::permits(&parsed, &facts.question(action, resource, seen.clone()))
            };
            let mut expected = ask(format!("call:{}", tool.name()), seen.clone()).then(BTreeSet::new);
            for need in tool.needs() {
                for capability in need.capabilities.iter() {
                    match (ask("use".to_owned(), used(tool, capability)), need.optional) {
                        (true, _) => { expected.as_mut().map(|all| all.insert(capability.to_string())); }
                        (false, true) => {}
                        (false, false) => expected = None,
                    }
                }
            }
            let found = rules.permit(&who, tool, call).ok();
            let found = found.map(|permit| permit.allowed().iter().map(ToString::to_string).collect());
            prop_assert_eq!(&found, &expected, "{} {:?}", tool.name(), facts);
            prop_assert!(!errs || found.is_none());
            let listed = ask("list".to_owned(), seen.clone());
            let steps = rules.explain(&who, tool, call);
            prop_assert_eq!(steps[0].allowed, listed);
            // Nobody sees a tool that the rules do not list, and whoever may call one that they list sees it.
            prop_assert!(listed || !rules.lists(&who, tool));
            prop_assert!(!listed || found.is_none() || rules.lists(&who, tool));
        }
    }
}
