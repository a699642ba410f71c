//! Counts what the host functions of one call did.
//!
//! Names, counts and sizes; never a value that passed through.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::Effect;

/// Distinct effects of one call that are kept by name; a guest chooses parts of some names.
const EFFECTS_MAX: usize = 128;
/// Where every further effect is counted.
const EFFECTS_BEYOND: &str = "beyond the limit of names";

/// The effects of one call, shared by the host functions that it has.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Metered>);

#[derive(Debug, Default)]
struct Metered {
    effects: Mutex<BTreeMap<String, Effect>>,
    acted: AtomicBool,
}

impl Meter {
    /// Adds `change` to what is known of `effect`, such as `http GET example.com`. From then on the call has acted.
    pub fn record(&self, effect: String, change: Effect) {
        self.act();
        self.note(effect, change);
    }

    /// The call has, or may have, had an effect outside.
    pub fn act(&self) {
        self.0.acted.store(true, Ordering::Release);
    }

    /// Whether the call has had an effect outside, as far as can be told: rather too early than too late.
    pub fn has_acted(&self) -> bool {
        self.0.acted.load(Ordering::Acquire)
    }

    /// Adds `change` likewise, for what changes nothing outside: a call that begins again can do it again.
    pub fn note(&self, effect: String, change: Effect) {
        let mut effects = self.lock();
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
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Effect>> {
        let effects = &self.0.effects;
        effects.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_call_has_acted_from_its_first_effect_on_and_not_by_what_it_says() {
        let meter = Meter::default();
        meter.note("progress".into(), once());
        assert!(!meter.has_acted());
        meter.record("http GET a.example".into(), Effect::default());
        assert!(meter.clone().has_acted());
        let meter = Meter::default();
        meter.act();
        assert!(meter.has_acted());
        assert!(meter.snapshot().is_empty());
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
