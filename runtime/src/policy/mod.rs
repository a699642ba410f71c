//! Decides what a caller may do with a tool.
//!
//! Never reads a clock, a file or the network: a decision can be replayed from the audit log.

use std::sync::Arc;

use crate::capability::CapabilitySet;
use crate::catalog::Tool;
use crate::identity::Caller;

/// What the operator's rules allow this caller on this tool with these arguments.
pub struct Permit {
    caller: Arc<Caller>,
    tool: Tool,
    allowed: CapabilitySet,
    rules: Vec<String>,
}

impl Permit {
    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What for.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// The part of the tool's needs that the rules allow.
    pub fn allowed(&self) -> &CapabilitySet {
        &self.allowed
    }

    /// The rules that decided, by id.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }
}
