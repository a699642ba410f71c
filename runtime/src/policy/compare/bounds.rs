//! In which bounds two sets of rules differ.

use super::{Difference, How};
use crate::capability::Tier;
use crate::policy::{Ceilings, Rules};

/// The bounds of one set of rules, and the rules that may have set them.
pub(super) type Bounded<'a> = (&'a Rules, &'a Ceilings, &'a [String]);

/// In which bounds of a capability, which has this tier by itself, two sets differ.
pub(super) fn bounded(
    old: Bounded<'_>,
    new: Bounded<'_>,
    own: Tier,
    through: &str,
) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut differ = |grows: bool, what: String, same: &dyn Fn(&Ceilings, &Ceilings) -> bool| {
        let (rules, bounds, by) = if grows { old } else { new };
        let sets = |rule: &&String| {
            rules
                .ceilings
                .get(*rule)
                .is_some_and(|own| same(own, bounds))
        };
        let mut by: Vec<_> = by.iter().filter(sets).cloned().collect();
        by.sort();
        by.dedup();
        all.push(Difference {
            grows,
            what,
            by,
            how: How::Bound,
        });
    };
    // Without a bound there is none that is longer or higher.
    let (was, is) = (old.1.consent_days, new.1.consent_days);
    if was != is {
        let grows = is.unwrap_or(u32::MAX) > was.unwrap_or(u32::MAX);
        let (wide, narrow) = if grows { (is, was) } else { (was, is) };
        let what = format!(
            "keep a consent to {through} {} instead of {}",
            days(wide),
            days(narrow)
        );
        differ(grows, what, &|a, b| a.consent_days == b.consent_days);
    }
    let (was, is) = (old.1.tier, new.1.tier);
    if was != is {
        let grows = is.unwrap_or(Tier::T3) > was.unwrap_or(Tier::T3);
        let (wide, narrow) = if grows { (is, was) } else { (was, is) };
        // Nothing is above the highest tier, so a bound there is none.
        if wide.unwrap_or(Tier::T3) != narrow.unwrap_or(Tier::T3) {
            let what = format!(
                "use {through} bounded at tier {:?} instead of {:?}",
                wide.unwrap_or(Tier::T3),
                narrow.unwrap_or(Tier::T3)
            );
            differ(grows, what, &|a, b| a.tier == b.tier);
        }
    }
    let (was, is) = (old.1.raised(own), new.1.raised(own));
    if was != is {
        // What is asked about less strictly is more authority. The rules that raise it stand where it is the stricter.
        let grows = is < was;
        let (wide, narrow) = if grows { (is, was) } else { (was, is) };
        let what = format!("use {through} asked about as tier {wide:?} instead of {narrow:?}");
        differ(grows, what, &|a, b| a.tier_min == b.tier_min);
    }
    for ((word, was), (_, is)) in old.1.http.parts().zip(new.1.http.parts()) {
        if was != is {
            let (wide, narrow) = (was.max(is), was.min(is));
            let what = format!("use {through} with `{word}={wide}` instead of `{word}={narrow}`");
            differ(is > was, what, &|a, b| {
                a.http.part(word) == b.http.part(word)
            });
        }
    }
    all
}

fn days(longest: Option<u32>) -> String {
    match longest {
        None => "as long as its tier lets".to_owned(),
        Some(0) => "for one call".to_owned(),
        Some(1) => "for 1 day".to_owned(),
        Some(days) => format!("for {days} days"),
    }
}
