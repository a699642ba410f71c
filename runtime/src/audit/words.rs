//! What a record can be found by: its words for the index of blocks, and those that a filter looks for.
//!
//! What the filter takes has every word that it looks for. So the index may hold blocks back, and decides nothing.

use super::record::Record;
use super::show::Filter;
use crate::store::block::{Hint, Sought, Word, kinds};

/// Hands on each word of a record.
pub(super) fn of(record: &Record, each: &mut dyn FnMut(Word<'_>)) {
    let tool = record.tool.iter().map(|tool| &tool.name);
    tool.chain(&record.asked_tool)
        .for_each(|name| each(Word::Tool(name.as_str())));
    if let Some(subject) = &record.subject {
        each(Word::Subject(&subject.to_string()));
    }
    kinds(&record.kind, each);
    if let Some(decision) = &record.decision {
        decision.all_rules().for_each(|rule| each(Word::Rule(rule)));
    }
    let around = record.parent.iter().chain(&record.root);
    std::iter::once(&record.event_id)
        .chain(around)
        .for_each(|call| each(Word::Call(&call.to_string())));
    if let Some(client) = &record.client_id {
        each(Word::Client(client.as_str()));
    }
    record
        .consents
        .iter()
        .for_each(|consent| each(Word::Consent(consent)));
    if let Some(result) = &record.result {
        each(Word::Decision(&result.status));
        if let Some(stage) = result.stage {
            each(Word::Decision(stage.as_str()));
        }
    }
}

/// What every record has that a filter takes.
pub(super) fn sought(filter: &Filter) -> Sought {
    let mut hints = Vec::new();
    let mut seek = |word: Word<'_>| hints.push(Hint::of(word));
    if let Some(tool) = &filter.tool {
        seek(Word::Tool(tool.as_str()));
    }
    if let Some(subject) = &filter.subject {
        seek(Word::Subject(&subject.to_string()));
    }
    if let Some(kind) = &filter.kind {
        seek(Word::Kind(kind));
    }
    if let Some(rule) = &filter.rule {
        seek(Word::Rule(rule));
    }
    if let Some(call) = &filter.call {
        seek(Word::Call(&call.to_string()));
    }
    if let Some(client) = &filter.client {
        seek(Word::Client(client.as_str()));
    }
    if let Some(consent) = &filter.consent {
        seek(Word::Consent(consent));
    }
    if let Some(decision) = &filter.decision {
        seek(Word::Decision(decision));
    }
    Sought {
        hints,
        since: filter.since,
        until: filter.until,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::canonical::{self, tests::record};
    use super::super::sieve::tests::filters;
    use super::*;
    use crate::store::Chained;
    use crate::store::block::Gathering;

    proptest! {
        #[test]
        fn a_block_has_what_each_filter_looks_for_that_takes_a_record_of_it(record in record()) {
            let text = canonical::text(&record).unwrap();
            // As it is read again: numbers that are too large are written as the nearest double.
            let Ok(record) = serde_json::from_str::<Record>(&text) else {
                return Ok(());
            };
            let mut gathering = Gathering::default();
            gathering.add(&record as &dyn Chained);
            let block = gathering.close(0);
            // Written from the record and read from its text, it is the same.
            gathering.add_text(&text);
            prop_assert_eq!(&gathering.close(0), &block);
            let hints: Vec<&[u8]> = block.hints.iter().flat_map(|all| all.chunks(2)).collect();
            for filter in filters(&record) {
                prop_assert!(filter.takes(&record));
                let sought = sought(&filter);
                prop_assert!(sought.since.is_none_or(|since| block.at_max >= since));
                prop_assert!(sought.until.is_none_or(|until| block.at_min < until));
                for hint in &sought.hints {
                    prop_assert!(hints.contains(&hint.as_bytes()), "{:?} {}", filter, text);
                }
            }
        }
    }
}
