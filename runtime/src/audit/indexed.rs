//! Compares the index of the log with the records, while these are read to verify the chain.
//!
//! The index decides nothing, and the chain does not cover it: whoever can write the file can make a search pass over records by it.
//! So what it says is made anew from the records, and compared. Blocks of which it says nothing are read by every search.

use std::collections::BTreeMap;
use std::fmt;

use super::chain::{PAGE, Reads};
use crate::store::block::{BLOCK_RECORDS, Block, Gathering};
use crate::store::{AuditRow, StoreError};

/// Blocks that are read at once: those of the records of a page, which may begin and end within one.
const BLOCKS: u32 = PAGE.div_ceil(BLOCK_RECORDS as u32) + 1;

/// The index says of records what is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misindexed {
    /// The first of them.
    pub first: u64,
    /// The last of the same block.
    pub last: u64,
    /// How many blocks there are of which it does.
    pub blocks: u64,
}

impl fmt::Display for Misindexed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            first,
            last,
            blocks,
        } = self;
        write!(
            out,
            "the index is NOT that of the records, in {blocks} of its blocks, the first that of records {first} to {last}: searches may \
             pass over some, unless they have `--unindexed`; `bailiwick audit reindex` makes it anew"
        )
    }
}

/// Compares.
pub(super) struct Indexed {
    /// What the index says of the blocks of the records that come.
    kept: BTreeMap<u64, Block>,
    gathering: Gathering,
    /// The first record of the block that is gathered, if it is there.
    begun: Option<u64>,
    /// The last record that was pruned.
    pruned: u64,
    found: Option<Misindexed>,
}

impl Indexed {
    /// For a log whose records are gone up to this one.
    pub(super) fn new(pruned: u64) -> Self {
        Self {
            kept: BTreeMap::new(),
            gathering: Gathering::default(),
            begun: None,
            pruned,
            found: None,
        }
    }

    /// Reads what the index says of a page of records, which begins with this one.
    pub(super) async fn load(&mut self, log: &dyn Reads, seq: u64) -> Result<(), StoreError> {
        let number = Block::of(seq);
        self.kept.retain(|kept, _| *kept >= number);
        let blocks = log.blocks(number, BLOCKS).await?;
        self.kept
            .extend(blocks.into_iter().map(|block| (block.number, block)));
        Ok(())
    }

    /// Compares a block with the last of its records.
    pub(super) fn check(&mut self, row: &AuditRow) {
        let number = Block::of(row.seq);
        if row.seq == Block::first(number) {
            self.begun = Some(number);
        }
        self.gathering.add_text(&row.text);
        if let Some(made) = self.gathering.close_behind(row.seq) {
            // Of one that was pruned in part nothing may be known.
            let may_be = |kept: &Block| self.begun == Some(number) && kept.may_be(&made);
            if !self.kept.get(&number).is_none_or(may_be) {
                self.wrong(number);
            }
        }
    }

    /// What was found, with what the index says of records that are not there: nothing that was pruned, and nothing that comes.
    pub(super) async fn end(mut self, log: &dyn Reads) -> Result<Option<Misindexed>, StoreError> {
        let first = log.blocks(0, 1).await?;
        let gone = Block::whole(self.pruned);
        if let Some(block) = first.first().filter(|block| block.number < gone) {
            self.wrong(block.number);
        }
        let head = Block::whole(log.head().await?.seq);
        let later = log.blocks(head, 1).await?;
        let now = Block::whole(log.head().await?.seq);
        if let Some(block) = later.first().filter(|block| block.number >= now) {
            self.wrong(block.number);
        }
        Ok(self.found)
    }

    fn wrong(&mut self, number: u64) {
        let (first, last) = (Block::first(number), Block::last(number));
        let one = self.found.get_or_insert(Misindexed {
            first,
            last,
            blocks: 0,
        });
        one.blocks = one.blocks.saturating_add(1);
        if first < one.first {
            (one.first, one.last) = (first, last);
        }
    }
}
