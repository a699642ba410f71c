//! The records that a search reads, a page at a time: those of the blocks in which what it looks for may stand.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::chain::PAGE;
use super::show::Filter;
use super::words;
use crate::store::block::Sought;
use crate::store::{AuditRow, Store, StoreError};

/// Reads them.
pub(super) struct Pages<'a> {
    store: &'a dyn Store,
    sought: Sought,
    /// What is to be read of the places that are known.
    ranges: VecDeque<RangeInclusive<u64>>,
    /// From which record on the places are not known yet.
    unknown: Option<u64>,
    end: u64,
}

impl<'a> Pages<'a> {
    /// Those that a filter looks for, from a record on.
    pub(super) fn of(store: &'a dyn Store, from: u64, filter: &Filter) -> Self {
        let sought = words::sought(filter);
        let is_all = filter.unindexed || sought.is_anything();
        Self {
            store,
            sought,
            ranges: is_all.then_some(from..=u64::MAX).into_iter().collect(),
            unknown: (!is_all).then_some(from),
            end: from,
        }
    }

    /// The next of them; none at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<AuditRow>, StoreError> {
        loop {
            let Some(range) = self.ranges.pop_front() else {
                let Some(from) = self.unknown else {
                    return Ok(Vec::new());
                };
                let places = self.store.places(from, &self.sought).await?;
                self.ranges = places.ranges.into();
                self.unknown = places.next;
                continue;
            };
            let (first, last) = range.into_inner();
            if last == u64::MAX {
                // Whatever comes before it is known, whether it was read or not.
                self.end = self.end.max(first);
            }
            let wanted = last.saturating_sub(first).saturating_add(1);
            let most = u32::try_from(wanted).map_or(PAGE, |wanted| wanted.min(PAGE));
            let mut page = self.store.audit_from(first, most).await?;
            let is_over = page.last().is_none_or(|row| row.seq >= last);
            page.retain(|row| row.seq <= last);
            let Some(row) = page.last() else {
                continue;
            };
            let next = row.seq.saturating_add(1);
            self.end = self.end.max(next);
            if !is_over {
                self.ranges.push_front(next..=last);
            }
            return Ok(page);
        }
    }

    /// The number behind what was read, and behind what the index says need not be.
    pub(super) fn end(&self) -> u64 {
        self.end
    }
}
