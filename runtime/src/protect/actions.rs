//! The operator's word on what becomes of data that was found: by class, tool, field and direction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Class, Confidence, Finding};
use crate::ids::ToolName;

/// Whether data goes to a tool or comes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the tool.
    Arguments,
    /// From it.
    Reply,
}

/// What becomes of data that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It goes on as it is.
    Allow,
    /// It goes on unreadable.
    Mask,
    /// A handle goes on in its place, and the value is kept under a key of the tenant.
    Encrypt,
    /// The call does not run, or its reply is not shown.
    Reject,
}

impl Action {
    /// The word for it in the configuration and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Mask => "mask",
            Self::Encrypt => "encrypt",
            Self::Reject => "reject",
        }
    }
}

/// A pattern of the configuration says nothing that could be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no name of a tool, with or without a star behind it.
    #[error("`{0}` names no tool")]
    Tool(String),
    /// It is no JSON Pointer.
    #[error("`{0}` is no JSON Pointer")]
    Field(String),
}

/// One tool, or all whose names begin alike: `crm_find`, `crm_*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPattern {
    begins: String,
    ends: bool,
}

impl ToolPattern {
    fn matches(&self, tool: &ToolName) -> bool {
        match self.ends {
            true => tool.as_str() == self.begins,
            false => tool.as_str().starts_with(&self.begins),
        }
    }
}

impl FromStr for ToolPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (begins, ends) = match text.strip_suffix('*') {
            Some(begins) => (begins, false),
            None => (text, true),
        };
        let names = begins.parse::<ToolName>().is_ok() || begins.is_empty() && !ends;
        names
            .then(|| Self {
                begins: begins.to_owned(),
                ends,
            })
            .ok_or_else(|| PatternError::Tool(text.to_owned()))
    }
}

/// A JSON Pointer (RFC 6901) in which `*` stands for any one name or number. It means the value there and all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern(Vec<String>);

impl FieldPattern {
    fn matches(&self, pointer: &str) -> bool {
        let mut found = pointer.split('/').skip(1);
        self.0.iter().all(|wanted| {
            let segment = found.next();
            segment.is_some_and(|segment| wanted == "*" || wanted == segment)
        })
    }
}

impl FromStr for FieldPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut segments = text.split('/');
        match segments.next() {
            Some("") if !text.is_empty() => Ok(Self(segments.map(str::to_owned).collect())),
            _ => Err(PatternError::Field(text.to_owned())),
        }
    }
}

/// One rule. What it leaves out it does not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRule {
    /// The class; none is any.
    pub class: Option<Class>,
    /// The tools; none is any.
    pub tool: Option<ToolPattern>,
    /// The place in the arguments, or in structured output; none is any.
    pub field: Option<FieldPattern>,
    /// The direction; none is both.
    pub direction: Option<Direction>,
    /// What is done.
    pub action: Action,
    /// Whether handles of what is encrypted show which values are equal.
    pub equal: bool,
}

impl DataRule {
    fn is_about(&self, direction: Direction, tool: &ToolName, finding: &Finding) -> bool {
        self.class.as_ref().is_none_or(|one| *one == finding.class)
            && self.tool.as_ref().is_none_or(|one| one.matches(tool))
            && self.direction.is_none_or(|one| one == direction)
            && self
                .field
                .as_ref()
                .is_none_or(|one| one.matches(&finding.pointer))
    }
}

/// The rules in their order, of which the first that is about a finding counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRules {
    /// How sure a finding must be to count.
    pub act_on: Confidence,
    /// The rules.
    pub rules: Vec<DataRule>,
}

impl Default for DataRules {
    fn default() -> Self {
        Self {
            act_on: Confidence::Sure,
            rules: Vec::new(),
        }
    }
}

impl DataRules {
    /// The first rule that is about this; none where no rule is.
    pub(super) fn about(
        &self,
        direction: Direction,
        tool: &ToolName,
        finding: &Finding,
    ) -> Option<&DataRule> {
        let mut about = self.rules.iter();
        about.find(|rule| rule.is_about(direction, tool, finding))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_tools_is_a_name_or_the_beginning_of_names() {
        let matches = |pattern: &str, tool: &str| {
            let pattern: ToolPattern = pattern.parse().unwrap();
            pattern.matches(&tool.parse().unwrap())
        };
        assert!(matches("crm_find", "crm_find") && !matches("crm_find", "crm_find2"));
        assert!(matches("crm_*", "crm_find") && !matches("crm_*", "cr"));
        assert!(matches("*", "anything"));
        for bad in ["", "a b", "a*b", "**"] {
            assert!(bad.parse::<ToolPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_field_is_a_place_and_all_below_it() {
        let matches = |pattern: &str, pointer: &str| {
            pattern.parse::<FieldPattern>().unwrap().matches(pointer)
        };
        assert!(matches("/a", "/a") && matches("/a", "/a/b/0") && !matches("/a", "/ab"));
        assert!(matches("/a/*/b", "/a/0/b") && !matches("/a/*/b", "/a/b"));
        assert!(!matches("/a", ""));
        for bad in ["", "a", "a/b"] {
            assert!(bad.parse::<FieldPattern>().is_err(), "{bad}");
        }
    }
}
