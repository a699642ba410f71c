//! The intersection: what this one call may do.
//!
//! Pure and small, because everything rests on it. A grant set is made once, from a consent, and only shrinks.

use crate::capability::{Capability, CapabilitySet};
use crate::catalog::Tool;
use crate::consent::Consent;
use crate::ids::{ClientId, Tenant, User};
use crate::revocation::{RunningCall, Standing};

/// For whom a call runs, as far as host functions need to know: names, no claims and no token.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The isolation key.
    pub tenant: Tenant,
    /// The user for whom the call runs.
    pub user: User,
    /// The client through which it came.
    pub client: ClientId,
}

/// What one call may do: policy ∩ needs ∩ consent, and the tool it is for.
///
/// ```compile_fail,E0451
/// fn forge(tool: bailiwick::catalog::Tool, holder: bailiwick::grant::Holder) -> bailiwick::grant::GrantSet {
///     let granted = bailiwick::capability::CapabilitySet::none();
///     let running = bailiwick::revocation::RunningCalls::default().enter();
///     let standing = bailiwick::revocation::Standing::free([]);
///     bailiwick::grant::GrantSet { tool, holder, granted, standing, _running: running }
/// }
/// ```
pub struct GrantSet {
    tool: Tool,
    holder: Holder,
    granted: CapabilitySet,
    standing: Standing,
    /// While this lives, a revocation finds the call.
    _running: RunningCall,
}

/// A need without which the tool does not run is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tool needs `{capability}` (need `{need}`), which is not granted")]
pub struct Ungranted {
    /// The need, by the id that its author gave it.
    pub need: String,
    /// The first capability of it that is not granted.
    pub capability: Capability,
}

impl From<Consent> for GrantSet {
    fn from(consent: Consent) -> Self {
        let permit = consent.permit();
        let (tool, caller) = (permit.tool(), permit.caller());
        let granted = &(permit.allowed() & &tool.package().manifest().needs()) & consent.agreed();
        let records = |capability: &Capability| {
            let all = consent.records().iter();
            let behind = all.filter(|record| capability.within(&record.capability));
            behind.map(|record| record.id).collect()
        };
        let standing = granted.iter().map(|one| (one.clone(), records(one)));
        Self {
            standing: consent.running().stand(standing),
            granted,
            holder: Holder {
                tenant: caller.tenant().clone(),
                user: caller.user().clone(),
                client: caller.client().clone(),
            },
            tool: tool.clone(),
            _running: consent.into_running(),
        }
    }
}

impl GrantSet {
    /// The tool that may run, and no other.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// For whom it runs.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// What it may do.
    pub fn granted(&self) -> &CapabilitySet {
        &self.granted
    }

    /// For how long it may: what the consents behind it still are.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether every need that is not optional is met, at whatever size is left of it.
    pub fn suffices(&self) -> Result<(), Ungranted> {
        let required = self
            .tool
            .package()
            .manifest()
            .needs
            .iter()
            .filter(|need| !need.optional);
        for need in required {
            for capability in need.capabilities.iter() {
                if !self.granted.touches(capability) {
                    return Err(Ungranted {
                        need: need.id.clone(),
                        capability: capability.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}
