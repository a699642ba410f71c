//! Checkpoints that are compared while a log is walked, each when the walk comes to its size.

use std::collections::VecDeque;

use uuid::Uuid;

use super::chain::{Broken, Damage, PAGE, Reads, broken};
use super::note::{LogKey, Note};
use super::walk::Walk;
use crate::store::StoreError;
use crate::store::tree::CheckpointRow;

/// Those of one walk.
pub(super) struct Marks<'a> {
    /// The key that must have signed all; none where there is none, and then there may be no checkpoint.
    key: Option<&'a LogKey>,
    /// Those beside the log, of the page that is read.
    near: VecDeque<CheckpointRow>,
    /// Those from outside, by size.
    outside: VecDeque<Note>,
    /// The last size at which one was right.
    pub(super) last: u64,
    /// How many beside the log were.
    pub(super) kept: u64,
    /// How many from outside were.
    pub(super) copied: u64,
}

impl<'a> Marks<'a> {
    /// For this log, with checkpoints from outside.
    pub(super) fn new(
        log_id: Uuid,
        key: Option<&'a LogKey>,
        notes: &[Note],
    ) -> Result<Self, Broken> {
        let mut outside = notes.to_vec();
        outside.sort_by_key(|note| note.checkpoint().size);
        let marks = Self {
            key,
            near: VecDeque::new(),
            outside: VecDeque::new(),
            last: 0,
            kept: 0,
            copied: 0,
        };
        for note in &outside {
            let said = note.checkpoint();
            if said.log_id != log_id {
                return Err(broken(said.size, Damage::OtherLog));
            }
            if !marks.signed(note, said.size)? {
                return Err(broken(said.size, Damage::Unsigned { seq: said.size }));
            }
        }
        Ok(Self {
            outside: outside.into(),
            ..marks
        })
    }

    /// The checkpoints beside the log for the records from this one on: no page has more of them than records.
    pub(super) async fn load(&mut self, log: &dyn Reads, next: u64) -> Result<(), StoreError> {
        let rows = log.checkpoints_after(next.saturating_sub(1), PAGE).await?;
        self.near = rows.into();
        Ok(())
    }

    /// The sizes of those from outside that the walk did not come to.
    pub(super) fn left(&self) -> impl Iterator<Item = u64> {
        self.outside.iter().map(|note| note.checkpoint().size)
    }

    /// Compares those of the size to which the walk has come.
    pub(super) fn check(&mut self, walk: &Walk) -> Result<(), Broken> {
        let size = walk.tree().size();
        while let Some(row) = self.near.pop_front_if(|row| row.size <= size) {
            let note = row.note.parse::<Note>().ok();
            let unsigned = || broken(row.size, Damage::Unsigned { seq: row.size });
            let note = note.ok_or_else(unsigned)?;
            let is_ours = self.signed(&note, row.size)?;
            if !is_ours || note.checkpoint().size != size || row.size != size {
                return Err(unsigned());
            }
            self.compare(walk, &note)?;
            self.kept += 1;
        }
        while let Some(note) = self
            .outside
            .pop_front_if(|note| note.checkpoint().size <= size)
        {
            self.compare(walk, &note)?;
            self.copied += 1;
        }
        Ok(())
    }

    fn signed(&self, note: &Note, size: u64) -> Result<bool, Broken> {
        let key = self.key.ok_or(broken(size, Damage::KeyGone { size }))?;
        Ok(note.is_signed_by(key))
    }

    fn compare(&mut self, walk: &Walk, note: &Note) -> Result<(), Broken> {
        let said = note.checkpoint();
        let is_head = walk.previous.is_none_or(|last| last == said.head);
        if said.size != walk.tree().size() || said.root != walk.tree().root() || !is_head {
            let seq = self.last.saturating_add(1);
            let size = said.size;
            return Err(broken(seq, Damage::Forked { seq, size }));
        }
        self.last = said.size;
        Ok(())
    }
}
