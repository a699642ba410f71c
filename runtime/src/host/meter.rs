//! Counts what the host functions of one call did.
//!
//! Names, counts and sizes; never a value that passed through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sandbox::Effect;

/// Distinct effects of one call that are kept by name; a guest chooses parts of some names.
const EFFECTS_MAX: usize = 128;
/// Where every further effect is counted.
const EFFECTS_BEYOND: &str = "beyond the limit of names";

/// The effects of one call, shared by the host functions that it has.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<BTreeMap<String, Effect>>>);

impl Meter {
    /// Adds `change` to what is known of `effect`, such as `http GET example.com`.
    pub fn record(&self, effect: String, change: Effect) {
        let mut effects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = effects.len() < EFFECTS_MAX || effects.contains_key(&effect);
        let name = if known {
            effect
        } else {
            EFFECTS_BEYOND.to_owned()
        };
        let sum = effects.entry(name).or_default();
        sum.count = sum.count.saturating_add(change.count);
        sum.refused = sum.refused.saturating_add(change.refused);
        sum.bytes_out = sum.bytes_out.saturating_add(change.bytes_out);
        sum.bytes_in = sum.bytes_in.saturating_add(change.bytes_in);
    }

    /// What happened so far.
    pub fn snapshot(&self) -> BTreeMap<String, Effect> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once() -> Effect {
        Effect {
            count: 1,
            bytes_in: 3,
            ..Effect::default()
        }
    }

    #[test]
    fn an_effect_is_summed_under_its_name() {
        let meter = Meter::default();
        meter.clone().record("http GET a.example".into(), once());
        meter.record("http GET a.example".into(), once());
        let effects = meter.snapshot();
        assert_eq!(effects.len(), 1);
        assert_eq!(effects["http GET a.example"].count, 2);
        assert_eq!(effects["http GET a.example"].bytes_in, 6);
    }

    #[test]
    fn a_guest_cannot_fill_the_meter_with_names() {
        let meter = Meter::default();
        for number in 0..10_000 {
            meter.record(format!("http GET {number}.example"), once());
        }
        let effects = meter.snapshot();
        assert_eq!(effects.len(), EFFECTS_MAX + 1);
        assert_eq!(
            effects.values().map(|effect| effect.count).sum::<u64>(),
            10_000
        );
    }
}
