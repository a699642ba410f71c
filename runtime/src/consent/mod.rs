//! What the user agreed to: ask, record, look up, revoke.
//!
//! Only the server's own page makes a record; an answer that a client relays never does.

use crate::capability::CapabilitySet;
use crate::policy::Permit;

/// A permit and what the user agreed to of it.
pub struct Consent {
    permit: Permit,
    agreed: CapabilitySet,
    records: Vec<String>,
}

impl Consent {
    /// What policy allows.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the user agreed to. Capabilities of tier T0 need no question.
    pub fn agreed(&self) -> &CapabilitySet {
        &self.agreed
    }

    /// The consent records that were used, by id.
    pub fn records(&self) -> &[String] {
        &self.records
    }
}
