//! The intersection: what this one call may do.
//!
//! Pure and small, because everything rests on it. A grant set is made once, from a consent, and only shrinks: where one tool
//! calls another, to what the grants of both have in common.

use std::sync::Arc;

use crate::capability::{Capability, CapabilitySet};
use crate::catalog::Tool;
use crate::consent::Consent;
use crate::ids::{ClientId, Tenant, User};
use crate::policy::Permit;
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
///     let running = std::sync::Arc::new(running);
///     bailiwick::grant::GrantSet { tool, holder, granted, standing, running, _outside: None }
/// }
/// ```
pub struct GrantSet {
    tool: Tool,
    holder: Holder,
    granted: CapabilitySet,
    standing: Standing,
    /// While this lives, a revocation finds the call.
    running: Arc<RunningCall>,
    /// The call that this one is within, for as long as this one runs.
    _outside: Option<Held>,
}

/// What a call holds while another one is made within it.
///
/// ```compile_fail,E0451
/// fn forge(granted: bailiwick::capability::CapabilitySet) -> bailiwick::grant::Held {
///     let running = std::sync::Arc::new(bailiwick::revocation::RunningCalls::default().enter());
///     let standing = bailiwick::revocation::Standing::free([]);
///     bailiwick::grant::Held { granted, standing, _running: running }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Held {
    granted: CapabilitySet,
    standing: Standing,
    _running: Arc<RunningCall>,
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
        let granted = &(permit.allowed() & &tool.wants()) & consent.agreed();
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
            running: Arc::new(consent.into_running()),
            _outside: None,
        }
    }
}

/// Whether a call may do this only if the call that it is within may do it too.
///
/// All but what has no effect outside and is the called tool's own: real time, progress, which nobody hears, questions, which
/// nobody is asked, what the operator set for its package, and its own pseudonym of the user.
fn is_shared(capability: &Capability) -> bool {
    match capability {
        Capability::Http(_)
        | Capability::Files(_)
        | Capability::Kv(_)
        | Capability::Data(_)
        | Capability::Secret(_)
        | Capability::Call(_)
        | Capability::Reveal(_)
        | Capability::Deliver(_) => true,
        Capability::Claims(claim) => !claim.is_pseudonym(),
        Capability::Clock | Capability::Progress | Capability::Ask | Capability::Config(_) => false,
    }
}

/// What is left of `own` within a call that may do `outside`.
fn within(own: &CapabilitySet, outside: &CapabilitySet) -> CapabilitySet {
    let both = own & outside;
    let shared = both.iter().filter(|one| is_shared(one));
    let alone = own.iter().filter(|one| !is_shared(one));
    shared.chain(alone).cloned().collect()
}

/// Whether every need of the tool that is not optional is met, at whatever size is left of it.
fn suffices(tool: &Tool, granted: &CapabilitySet) -> Result<(), Ungranted> {
    for need in tool.needs().filter(|need| !need.optional) {
        for capability in need.capabilities.iter() {
            if !granted.touches(capability) {
                return Err(Ungranted {
                    need: need.id.clone(),
                    capability: capability.clone(),
                });
            }
        }
    }
    Ok(())
}

impl Held {
    /// All that a call within this one could be granted of this permit, whatever its user agrees to.
    pub fn foresee(&self, permit: &Permit) -> CapabilitySet {
        within(permit.allowed(), &self.granted)
    }

    /// Whether that is enough for the tool. If not, its user need not be asked.
    pub fn could_suffice(&self, permit: &Permit) -> Result<(), Ungranted> {
        suffices(permit.tool(), &self.foresee(permit))
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

    /// What a call holds that is made within this one.
    pub fn held(&self) -> Held {
        Held {
            granted: self.granted.clone(),
            standing: self.standing.clone(),
            _running: Arc::clone(&self.running),
        }
    }

    /// What is left of it for a call within another one: no tool gains an effect by way of another, and what is
    /// taken from either of the two calls is taken from this one.
    pub fn under(self, outside: Held) -> Self {
        let granted = within(&self.granted, &outside.granted);
        let made_by = Capability::Call(self.tool.name().clone());
        let around = (&outside.standing, &made_by);
        let standing = self.standing.narrowed(granted.iter(), around, is_shared);
        self.running.stand_on(standing.clone());
        Self {
            granted,
            standing,
            _outside: Some(outside),
            ..self
        }
    }

    /// Whether every need that is not optional is met, at whatever size is left of it.
    pub fn suffices(&self) -> Result<(), Ungranted> {
        suffices(&self.tool, &self.granted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capability::set_tests::set;

    proptest! {
        #[test]
        fn a_call_within_another_is_never_wider_than_either(own in set(), outside in set()) {
            let left = within(&own, &outside);
            for one in left.iter() {
                prop_assert!(own.covers(one), "{} is not its own", one);
                prop_assert!(!is_shared(one) || outside.covers(one), "{} is not the caller's", one);
            }
            prop_assert_eq!(within(&left, &outside), left.clone());
            prop_assert!(within(&own, &CapabilitySet::none()).iter().all(|one| one.tier() == crate::capability::Tier::T0));
        }

        #[test]
        fn what_both_may_do_is_left(own in set()) {
            prop_assert_eq!(within(&own, &own), own);
        }
    }
}
