//! Why a call is not permitted.

use crate::capability::Capability;

/// Why a call is not permitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller lacks a role that the tool's author demands.
    #[error("the tool's author demands the role `{role}`")]
    MissingRole { role: String },
    /// The token lacks scopes that the tool's author demands.
    #[error("the tool's author demands the scopes {}", scopes.join(", "))]
    MissingScopes { scopes: Vec<String> },
    /// The sign-in is weaker than the tool's author demands.
    #[error("the tool's author demands a sign-in of `acr` `{wanted}`")]
    WeakSignIn { wanted: String },
    /// No rule permits the call, or a rule forbids it.
    #[error("{}", if rules.is_empty() { "no rule permits it".to_owned() } else { format!("forbidden by {}", rules.join(", ")) })]
    Denied { rules: Vec<String> },
    /// A required capability is denied by the rules, so asking the user for it would be in vain.
    #[error("no rule permits `{capability}`, which the tool needs")]
    CapabilityDenied {
        capability: Capability,
        rules: Vec<String>,
    },
    /// The rules in force were checked against another definition of the tool, or against none.
    #[error("the rules were not checked against this definition of the tool")]
    Unchecked,
    /// A rule could not be evaluated; that refuses. The texts may quote arguments, the ids never do.
    #[error("a rule could not be evaluated: {}", errors.join("; "))]
    Evaluation {
        errors: Vec<String>,
        erred: Vec<String>,
    },
}

impl Refusal {
    /// Its name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingRole { .. } => "missing-role",
            Self::MissingScopes { .. } => "missing-scopes",
            Self::WeakSignIn { .. } => "weak-sign-in",
            Self::Denied { .. } => "denied",
            Self::CapabilityDenied { .. } => "capability-denied",
            Self::Unchecked => "unchecked-definition",
            Self::Evaluation { .. } => "evaluation-error",
        }
    }

    /// The rules that refused, by id.
    pub fn rules(&self) -> &[String] {
        match self {
            Self::Denied { rules } | Self::CapabilityDenied { rules, .. } => rules,
            Self::MissingRole { .. }
            | Self::MissingScopes { .. }
            | Self::WeakSignIn { .. }
            | Self::Unchecked
            | Self::Evaluation { .. } => &[],
        }
    }

    /// The rules that could not be evaluated, by id.
    pub fn erred(&self) -> &[String] {
        match self {
            Self::Evaluation { erred, .. } => erred,
            Self::Denied { .. }
            | Self::CapabilityDenied { .. }
            | Self::MissingRole { .. }
            | Self::MissingScopes { .. }
            | Self::WeakSignIn { .. }
            | Self::Unchecked => &[],
        }
    }
}
