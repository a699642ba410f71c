//! Reads rules and checks them before they can decide anything.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    ActionConstraint, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};

use super::admin::{self, AdminRules, Part as Door};
use super::anonymous::{self, Part};
use super::ceilings::{self, Ceilings};
use super::known::{self, Left};
use super::memo::Memo;
use super::rule::RuleFacts;
use super::schema::Schemas;
use super::shape::unreadable;
use super::slice::Sliced;
use super::trial::Trial;
use super::{Rules, Vocabulary, could, issuers, reads, schema};
use crate::catalog::Tool;
use crate::ids::{Digest, ToolName};
use crate::limits::{RULE_DEPTH_MAX, RULE_STACK_BYTES};
use crate::problem::Problem;
use crate::stack::with_room;
use text::{Place, help, in_order, problem, rendered};

/// The rules cannot be used. What was in force before stays in force.
#[derive(Debug, thiserror::Error)]
#[error("the rules have {} problem(s): {}", problems.len(), problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PolicyError {
    /// Everything that is wrong, in the order of the files.
    pub problems: Vec<Problem>,
}

/// Loads on a stack of its own: rules nest, and what reads them recurses.
pub(super) fn on_a_large_stack(
    sources: &[(String, String)],
    tools: &[Tool],
    vocabulary: Vocabulary,
) -> Result<Rules, PolicyError> {
    with_room(RULE_STACK_BYTES, || load(sources, tools, vocabulary))
        .unwrap_or_else(|| Err(PolicyError::unreadable()))
}

impl PolicyError {
    /// Reading the rules came to no end of its own.
    pub(crate) fn unreadable() -> Self {
        Self {
            problems: vec![problem(
                &("rules".to_owned(), None),
                "the rules could not be read",
                "the log says more",
            )],
        }
    }
}

/// Levels of expressions: an operator in the JSON form is an object in an object.
fn depth(value: &serde_json::Value) -> usize {
    let deepest = match value {
        serde_json::Value::Object(members) => members.values().map(depth).max(),
        serde_json::Value::Array(all) => all.iter().map(depth).max(),
        _ => return 0,
    };
    deepest.unwrap_or(0) + 1
}

fn load(
    sources: &[(String, String)],
    tools: &[Tool],
    vocabulary: Vocabulary,
) -> Result<Rules, PolicyError> {
    let schemas = Schemas::new(tools, &vocabulary).map_err(|message| PolicyError {
        problems: vec![Problem {
            file: "generated schema".to_owned(),
            line: None,
            message,
            help: None,
        }],
    })?;
    let mut loader = Loader {
        tools,
        vocabulary: &vocabulary,
        policies: PolicySet::new(),
        all: PolicySet::new(),
        anonymous: PolicySet::new(),
        admin: PolicySet::new(),
        told: BTreeMap::new(),
        on_trial: BTreeSet::new(),
        places: BTreeMap::new(),
        ceilings: BTreeMap::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    for (file, text) in sources {
        loader.file(file, text);
    }
    loader.tags();
    loader.validate(&loader.all.clone(), &schemas.requests);
    let admin = loader.admin();
    let open = loader.anonymous();
    let admin = match admin {
        Some(admin) if loader.problems.is_empty() => admin,
        Some(_) | None => {
            return Err(PolicyError {
                problems: loader.problems,
            });
        }
    };
    let whole: Vec<u8> = sources
        .iter()
        .flat_map(|(file, text)| [file.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat())
        .collect();
    let checked = tools
        .iter()
        .map(|tool| (tool.name().clone(), tool.definition_digest()));
    let could = could::without_arguments(&loader.policies).map_err(|message| PolicyError {
        problems: vec![problem(
            &("rules".to_owned(), None),
            &message,
            "tell its author",
        )],
    })?;
    let shown = loader
        .policies
        .policies()
        .filter(|policy| ceilings::is_only_about(policy, "list"));
    let unreadable = tools
        .iter()
        .flat_map(|tool| unreadable(tool.name(), &tool.definition().input_schema));
    Ok(Rules {
        checked: checked.collect(),
        unreadable: unreadable.collect(),
        memo: Memo::new(),
        shown: shown.map(|policy| policy.id().to_string()).collect(),
        could: Sliced::new(could),
        open,
        admin,
        told: loader.told.into_values().collect(),
        trial: (!loader.on_trial.is_empty()).then_some(Trial {
            policies: Sliced::new(loader.all),
            rules: loader.on_trial,
        }),
        ceilings: loader.ceilings,
        count: loader.places.len(),
        warnings: loader.warnings,
        policies: Sliced::new(loader.policies),
        schemas,
        vocabulary,
        digest: Digest::of(&whole),
    })
}

/// Collects rules, and what is wrong with them while the rest is still read.
struct Loader<'a> {
    tools: &'a [Tool],
    vocabulary: &'a Vocabulary,
    /// The rules that decide.
    policies: PolicySet,
    /// Those, and the rules under trial.
    all: PolicySet,
    on_trial: BTreeSet<String>,
    /// What is asked about callers without a token.
    anonymous: PolicySet,
    /// What decides about the administrators' door, and about nothing else.
    admin: PolicySet,
    /// What rules say of themselves, by id.
    told: BTreeMap<String, RuleFacts>,
    places: BTreeMap<PolicyId, Place>,
    ceilings: BTreeMap<String, Ceilings>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Loader<'_> {
    fn file(&mut self, file: &str, text: &str) {
        let parsed = match text.parse::<PolicySet>() {
            Ok(parsed) => parsed,
            Err(error) => return self.problems.extend(rendered(file, text, &error)),
        };
        if parsed.templates().next().is_some() {
            self.problems.push(problem(
                &(file.to_owned(), None),
                "a rule with a slot such as `?principal` decides nothing",
                "write the rule out",
            ));
        }
        for (policy, line) in in_order(&parsed, text) {
            self.rule(&policy, (file.to_owned(), line));
        }
    }

    /// Adds one rule under the id that its author gave it, or `file:line`.
    fn rule(&mut self, policy: &Policy, place: Place) {
        let wrong = |message: &str, help: &str| problem(&place, message, help);
        let (bounds, mistakes) = ceilings::read(policy);
        let mistakes = mistakes.iter().map(|(message, help)| wrong(message, help));
        self.problems.extend(mistakes);
        let unknown = bounds.rates.difference(&self.vocabulary.rates);
        for class in unknown {
            let message = format!("there is no rate class `{class}`");
            let known: Vec<_> = self.vocabulary.rates.iter().map(String::as_str).collect();
            let help = match known.as_slice() {
                [] => format!("add `[rate.{class}]` to the configuration"),
                known => format!(
                    "add `[rate.{class}]` to the configuration, or use {}",
                    known.join(", ")
                ),
            };
            self.problems.push(wrong(&message, &help));
        }
        let named = bounds.data.iter().flatten();
        for class in named.filter(|class| !self.vocabulary.data.contains(class)) {
            let message = format!("there is no class of data `{class}`");
            let help = "use one of the classes in docs/data.md, or add `[[data.class]]` to the configuration";
            self.problems.push(wrong(&message, help));
        }
        if let ActionConstraint::Eq(action) = policy.action_constraint()
            && Ok(action) == schema::action(schema::CALL)
        {
            let message = "`action == Action::\"call\"` never applies, since every tool has an action of its own in that group";
            let help = "write `action in Action::\"call\"`";
            self.problems.push(wrong(message, help));
            return;
        }
        let name = policy.annotation("id").map_or_else(
            || format!("{}:{}", place.0, place.1.unwrap_or_default()),
            str::to_owned,
        );
        let id = PolicyId::new(&name);
        if self.places.insert(id.clone(), place.clone()).is_some() {
            let message = format!("there is another rule with the id `{name}`");
            self.problems
                .push(wrong(&message, "give each rule its own `@id`"));
            return;
        }
        let part = admin::part(policy);
        let facts = RuleFacts::of(policy, &name, &place, part == Door::Admin);
        self.told.insert(name.clone(), facts);
        if part != Door::Tools && bounds != Ceilings::default() {
            let message = "what administrators do has no bounds of this kind";
            self.problems
                .push(wrong(message, "take the annotation away"));
        }
        if bounds.exclude_all() {
            let message = format!(
                "the rule `{name}` raises every tier above the highest that it allows ({bounds}), so it allows the use of nothing"
            );
            self.warnings
                .push(wrong(&message, "mend `@min_tier` or `@max_tier`"));
        }
        let nothing = match bounds.tier_min {
            Some(_) => known::without_needs(policy, self.tools),
            None => Vec::new(),
        };
        if !nothing.is_empty() {
            let message = format!(
                "the rule `{name}` raises the tier of what a call may use, and these tools use nothing that could be asked about: {}",
                nothing.join(", ")
            );
            let help = "`@min_tier` stops none of their calls; forbid what must not be";
            self.warnings.push(wrong(&message, help));
        }
        if bounds != Ceilings::default() {
            self.ceilings.insert(name.clone(), bounds);
        }
        let policy = policy.new_id(id);
        if !policy
            .to_json()
            .is_ok_and(|json| depth(&json) < 2 * RULE_DEPTH_MAX)
        {
            let message = format!("the rule is nested deeper than {RULE_DEPTH_MAX} levels");
            self.problems.push(wrong(&message, "write several rules"));
            return;
        }
        for message in reads::unreadable(&policy, self.tools, self.vocabulary) {
            let help = "decide by what rules can read; `bailiwick check` names the rest";
            self.problems.push(wrong(&message, help));
        }
        if self.vocabulary.shared_roles && issuers::trusts_any(&policy) {
            let message = format!(
                "the rule `{name}` names a role or group without an issuer, and more than one issuer can give it"
            );
            let help =
                "ask for `principal.issuer` as well, or give each `[[issuer]]` its `role_prefix`";
            self.warnings.push(wrong(&message, help));
        }
        match part {
            Door::Tools => {}
            Door::Admin => return self.admin_rule(policy, &place),
            Door::Mixed => {
                let message = "a rule is about tools or about administrators, not about both";
                self.problems.push(wrong(message, "write two rules"));
                return;
            }
        }
        let (left, missing) = known::left(&policy, self.tools);
        if !missing.is_empty() {
            let message = format!(
                "the rule `{name}` names what is not admitted: {}",
                missing.join(", ")
            );
            let help = "it has no effect there until it is";
            self.warnings.push(wrong(&message, help));
        }
        let policy = match left {
            Left::Whole => policy,
            Left::Part(policy) => *policy,
            Left::Nothing => return,
        };
        let decides = match policy.annotation("log_only") {
            None => true,
            Some("true") => {
                self.on_trial.insert(name.clone());
                false
            }
            Some(_) => {
                let message = "`@log_only` is neither there nor `@log_only(\"true\")`";
                self.problems.push(wrong(
                    message,
                    "write `@log_only(\"true\")`, or leave it out",
                ));
                return;
            }
        };
        let part = anonymous::part(&policy);
        let own = part == Part::Own;
        if own {
            if !decides || !ceilings::is_only_about(&policy, "list") {
                let help = "write `action == Action::\"list\"`, and no `@log_only`";
                self.problems
                    .push(wrong("whoever has no token lists, and nothing else", help));
                return;
            }
            if !self.vocabulary.anonymous {
                let message = format!(
                    "the rule `{name}` is about callers without a token, and none is answered"
                );
                self.warnings
                    .push(wrong(&message, "set `anonymous = true` in `[discovery]`"));
            }
        }
        let mut added = Ok(());
        if own || (decides && part == Part::Shared) {
            added = self.anonymous.add(policy.clone());
        }
        if !own {
            added = added.and(self.all.add(policy.clone()));
        }
        if decides && !own {
            added = added.and(self.policies.add(policy));
        }
        if let Err(error) = added {
            self.problems
                .push(wrong(&error.to_string(), "give each rule its own `@id`"));
        }
    }

    /// Adds a rule about the administrators' door.
    fn admin_rule(&mut self, policy: Policy, place: &Place) {
        if admin::names_the_group(&policy) {
            let message = "`action == Action::\"admin\"` never applies, since it is a group";
            let help = "write `action in Action::\"admin\"`";
            self.problems.push(problem(place, message, help));
        }
        if policy.annotation("log_only").is_some() {
            let message = "a rule about administrators cannot be on trial: nobody would tell what it would have changed";
            let help = "take `@log_only` away";
            self.problems.push(problem(place, message, help));
        }
        if let Err(error) = self.admin.add(policy) {
            let help = "give each rule its own `@id`";
            self.problems.push(problem(place, &error.to_string(), help));
        }
    }

    /// The rules about the administrators' door, checked against a schema of their own.
    fn admin(&mut self) -> Option<AdminRules> {
        let all = std::mem::take(&mut self.admin);
        let made = schema::admin(self.vocabulary).and_then(|schema| {
            self.validate(&all, &schema);
            AdminRules::new(all, schema)
        });
        made.map_err(|message| {
            let place = ("rules".to_owned(), None);
            self.problems
                .push(problem(&place, &message, "tell its author"));
        })
        .ok()
    }

    /// Tags of tools that are not admitted do nothing, and say so.
    fn tags(&mut self) {
        for name in self.vocabulary.tags.keys() {
            if !self.tools.iter().any(|tool| tool.name().as_str() == name) {
                let place = ("tools.tags".to_owned(), None);
                let message = format!("tool `{name}` has tags and is not admitted");
                self.warnings
                    .push(problem(&place, &message, "they wait until it is"));
            }
        }
    }

    /// The tools that are open to callers without a token. Rules are checked for them only where the door is open: one
    /// that reads who the caller is must say `principal is User` then.
    fn anonymous(&mut self) -> BTreeMap<ToolName, Digest> {
        let policies = std::mem::take(&mut self.anonymous);
        let own = policies
            .policies()
            .any(|policy| anonymous::part(policy) == Part::Own);
        if !own && !self.vocabulary.anonymous {
            return BTreeMap::new();
        }
        let Ok(schemas) = Schemas::anonymous(self.tools, self.vocabulary) else {
            return BTreeMap::new();
        };
        let before = self.problems.len();
        self.validate(&policies, &schemas.requests);
        for problem in self.problems.iter_mut().skip(before) {
            let help = "a `forbid` closes tools to callers without a token too; begin it with `principal is User` if it is not about them";
            problem.help = Some(help.to_owned());
        }
        match self.vocabulary.anonymous {
            true => anonymous::open(&policies, &schemas, self.tools, self.vocabulary),
            false => BTreeMap::new(),
        }
    }

    /// A warning here means a rule that can never apply, or text made to look like other text: no rule may be so.
    fn validate(&mut self, policies: &PolicySet, schema: &Schema) {
        let outcome = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
        let mut said = BTreeSet::new();
        let errors = outcome
            .validation_errors()
            .map(|error| (error.policy_id().clone(), error.to_string(), help(error)));
        let warnings = outcome.validation_warnings().map(|warning| {
            (
                warning.policy_id().clone(),
                warning.to_string(),
                help(warning),
            )
        });
        for (id, message, help) in errors.chain(warnings) {
            if said.insert((id.clone(), message.clone())) {
                let place = self.places.get(&id).cloned();
                let (file, line) = place.unwrap_or_else(|| (id.to_string(), None));
                self.problems.push(Problem {
                    file,
                    line,
                    message,
                    help,
                });
            }
        }
    }
}
