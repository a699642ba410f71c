//! Which personal data and secrets are looked for in calls, and what becomes of them.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use crate::limits::{DATA_RULES_MAX, PROTECT_RULES_MAX};
use crate::protect::{
    Action, Class, Confidence, CustomRule, DataRule, DataRules, Detector, Direction, Safeguard,
    built_in,
};

/// Which data is looked for, and what becomes of it.
#[derive(Debug, Clone, Default)]
pub struct DataConfig {
    /// The operator's own classes, beside those that are built in.
    pub classes: Vec<CustomRule>,
    /// What becomes of what is found.
    pub rules: DataRules,
}

impl DataConfig {
    /// The names of all classes that are looked for.
    pub fn names(&self) -> BTreeSet<Class> {
        let own = self.classes.iter().map(|rule| rule.class.clone());
        let known = built_in().iter().filter_map(|one| one.name.parse().ok());
        own.chain(known).collect()
    }

    /// What looks for them. The patterns were tried when the configuration was read.
    pub fn safeguard(&self) -> Result<Safeguard, crate::protect::RuleError> {
        let detector = match self.classes.as_slice() {
            [] => Detector::built_in(),
            own => Detector::with(own)?,
        };
        Ok(Safeguard::new(detector, self.rules.clone()))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawData {
    act_on: Option<RawConfidence>,
    #[serde(default)]
    class: Vec<RawClass>,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawConfidence {
    Sure,
    Likely,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    name: Spanned<String>,
    pattern: Spanned<String>,
    #[serde(default)]
    words: Vec<String>,
    validator: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    class: Spanned<String>,
    tool: Option<Spanned<String>>,
    field: Option<Spanned<String>>,
    direction: Option<Direction>,
    action: Spanned<Action>,
    #[serde(default)]
    equal: bool,
}

pub(super) fn data(check: &mut Checker<'_>, raw: &RawData) -> DataConfig {
    let mut config = DataConfig {
        classes: Vec::new(),
        rules: DataRules {
            act_on: match raw.act_on {
                Some(RawConfidence::Likely) => Confidence::Likely,
                Some(RawConfidence::Sure) | None => Confidence::Sure,
            },
            rules: Vec::new(),
        },
    };
    if let Some(beyond) = raw.class.get(PROTECT_RULES_MAX) {
        let help = format!("at most {PROTECT_RULES_MAX} are searched for in every call");
        check.wrong(&beyond.name, "there are too many classes of data", &help);
        return config;
    }
    if let Some(beyond) = raw.rule.get(DATA_RULES_MAX) {
        let help = format!("keep at most {DATA_RULES_MAX}");
        check.wrong(&beyond.class, "there are too many rules about data", &help);
        return config;
    }
    for one in &raw.class {
        let Some(rule) = class(check, one) else {
            continue;
        };
        // By itself, so that a fault is told at its own line.
        if let Err(error) = Detector::with(std::slice::from_ref(&rule)) {
            let help = "see docs/data.md for what a pattern may be";
            check.wrong(&one.pattern, error.to_string(), help);
            continue;
        }
        config.classes.push(rule);
    }
    for one in &raw.rule {
        let rule = rule(check, one, &config);
        config.rules.rules.extend(rule);
    }
    config
}

fn class(check: &mut Checker<'_>, raw: &RawClass) -> Option<CustomRule> {
    let name = check.name(&raw.name, "write a short name such as `employee-no`");
    let validator = match &raw.validator {
        None => None,
        Some(validator) => Some(check.name(validator, "see docs/data.md for their names")?),
    };
    Some(CustomRule {
        class: name?,
        pattern: raw.pattern.get_ref().clone(),
        words: raw.words.clone(),
        validator,
    })
}

fn rule(check: &mut Checker<'_>, raw: &RawRule, config: &DataConfig) -> Option<DataRule> {
    let class = match raw.class.get_ref().as_str() {
        "*" => None,
        _ => Some(check.name::<Class>(&raw.class, "write the name of a class, or `*`")?),
    };
    if let Some(class) = &class
        && !config.names().contains(class)
    {
        let message = format!("there is no class of data `{class}`");
        let help = "see docs/data.md for the classes, or add `[[data.class]]`";
        check.wrong(&raw.class, message, help);
        return None;
    }
    let tool = match &raw.tool {
        None => None,
        Some(tool) => Some(check.name(tool, "write a name, `crm_*` or `*`")?),
    };
    let field = match &raw.field {
        None => None,
        Some(field) => Some(check.name(field, "write a path such as `/customer/*/email`")?),
    };
    let action = *raw.action.get_ref();
    if raw.equal && action != Action::Encrypt {
        let help = "write it beside `action = \"encrypt\"`, or remove it";
        check.wrong(
            &raw.action,
            "only what is encrypted has handles that show which values are equal",
            help,
        );
    }
    Some(DataRule {
        class,
        tool,
        field,
        direction: raw.direction,
        action,
        equal: raw.equal,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::ConfigError;
    use crate::config::testing::parse;
    use crate::protect::{Action, Confidence};

    #[test]
    fn classes_and_rules_are_read_in_their_order() {
        let data = parse(
            r#"[data]
act_on = "likely"
[[data.class]]
name = "employee-no"
pattern = "E-[0-9]{6}"
words = ["employee"]
[[data.rule]]
class = "employee-no"
tool = "hr_*"
field = "/person/*"
direction = "arguments"
action = "allow"
[[data.rule]]
class = "*"
action = "reject"
"#,
        )
        .unwrap()
        .data;
        assert_eq!(data.rules.act_on, Confidence::Likely);
        assert!(data.names().contains(&"employee-no".parse().unwrap()));
        assert!(data.names().contains(&"email".parse().unwrap()));
        let actions: Vec<_> = data.rules.rules.iter().map(|rule| rule.action).collect();
        assert_eq!(actions, [Action::Allow, Action::Reject]);
        assert!(data.rules.rules[1].class.is_none());
        data.safeguard().unwrap();
    }

    #[test]
    fn nothing_said_is_what_is_built_in_and_sure() {
        let data = parse("").unwrap().data;
        assert_eq!(data.rules.act_on, Confidence::Sure);
        assert!(data.rules.rules.is_empty() && data.classes.is_empty());
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_line() {
        let class = |name: &str, rest: &str| format!("[[data.class]]\nname = \"{name}\"\n{rest}\n");
        let rule = |rest: &str| format!("[[data.rule]]\n{rest}\n");
        for (wrong, line, says) in [
            (
                class("Employee", "pattern = \"E\""),
                9,
                "a class is named by",
            ),
            (class("x", "pattern = \"E(\""), 10, "no regular expression"),
            (class("x", "pattern = \"E*\""), 10, "empty text"),
            (
                class("x", "pattern = \"E\"\nvalidator = \"ghost\""),
                11,
                "ghost",
            ),
            (
                rule("class = \"ghost\"\naction = \"allow\""),
                9,
                "no class of data `ghost`",
            ),
            (rule("class = \"email\"\naction = \"hide\""), 10, "hide"),
            (
                rule("class = \"email\"\naction = \"mask\"\nequal = true"),
                10,
                "only what is encrypted",
            ),
            (
                rule("class = \"email\"\ntool = \"a b\"\naction = \"allow\""),
                10,
                "names no tool",
            ),
            (
                rule("class = \"email\"\nfield = \"a\"\naction = \"allow\""),
                10,
                "JSON Pointer",
            ),
            (
                rule("class = \"email\"\naction = \"allow\"\nfrom = 1"),
                11,
                "unknown field",
            ),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
