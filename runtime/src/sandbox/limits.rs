//! What one store may hold, and the highest that it held.

use wasmtime::ResourceLimiter;

use crate::catalog::manifest::Wishes;
use crate::engine::{
    CORE_INSTANCES_PER_COMPONENT_MAX, MEMORIES_PER_COMPONENT_MAX, TABLES_PER_COMPONENT_MAX,
};
use crate::limits::{MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX};

/// The limits of one call.
#[derive(Debug)]
pub(super) struct Limits {
    memory_bytes_max: usize,
    memory_bytes: usize,
    memory_bytes_peak: usize,
    pending: usize,
    refused: bool,
}

impl Limits {
    /// The limits that a manifest wishes, within ours.
    pub(super) fn new(wishes: &Wishes) -> Self {
        let wished = wishes.memory_mib.map(|mib| {
            usize::try_from(mib)
                .unwrap_or(usize::MAX)
                .saturating_mul(1 << 20)
        });
        Self {
            memory_bytes_max: wished.unwrap_or(MEMORY_BYTES_DEFAULT).min(MEMORY_BYTES_MAX),
            memory_bytes: 0,
            memory_bytes_peak: 0,
            pending: 0,
            refused: false,
        }
    }

    /// The limits of a call whose memory another process has, up to this many bytes.
    pub(super) fn of_memory(memory_bytes_max: usize) -> Self {
        Self {
            memory_bytes_max: memory_bytes_max.min(MEMORY_BYTES_MAX),
            memory_bytes: 0,
            memory_bytes_peak: 0,
            pending: 0,
            refused: false,
        }
    }

    /// How much memory there may be, in bytes.
    pub(super) fn memory_bytes_max(&self) -> u64 {
        u64::try_from(self.memory_bytes_max).unwrap_or(u64::MAX)
    }

    /// Takes the word of another process for the peak of its memory, within what it may have.
    pub(super) fn told(&mut self, peak: u64, most: u64) {
        self.memory_bytes_peak = usize::try_from(peak.min(most)).unwrap_or(usize::MAX);
    }

    /// The highest sum of all linear memories, in bytes.
    pub(super) fn memory_bytes_peak(&self) -> u64 {
        u64::try_from(self.memory_bytes_peak).unwrap_or(u64::MAX)
    }

    /// Whether the guest asked for more than it may have.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let sum = self.memory_bytes.saturating_add(more);
        if sum > self.memory_bytes_max {
            self.refused = true;
            return Ok(false);
        }
        self.pending = more;
        self.memory_bytes = sum;
        self.memory_bytes_peak = self.memory_bytes_peak.max(sum);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_sub(self.pending);
        self.pending = 0;
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= TABLE_ELEMENTS_MAX;
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        count(CORE_INSTANCES_PER_COMPONENT_MAX)
    }

    fn tables(&self) -> usize {
        count(TABLES_PER_COMPONENT_MAX)
    }

    fn memories(&self) -> usize {
        count(MEMORIES_PER_COMPONENT_MAX)
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_met_within_our_limit() {
        for (wish, limit) in [
            (None, MEMORY_BYTES_DEFAULT),
            (Some(1), 1 << 20),
            (Some(u32::MAX), MEMORY_BYTES_MAX),
        ] {
            let limits = Limits::new(&Wishes {
                memory_mib: wish,
                timeout_ms: None,
            });
            assert_eq!(limits.memory_bytes_max, limit);
        }
    }

    #[test]
    fn two_memories_share_one_limit() {
        let mut limits = Limits::new(&Wishes {
            memory_mib: Some(2),
            timeout_ms: None,
        });
        assert!(limits.memory_growing(0, 1 << 20, None).unwrap());
        assert!(limits.memory_growing(0, 1 << 20, None).unwrap());
        assert!(!limits.refused());
        assert!(!limits.memory_growing(1 << 20, (1 << 20) + 1, None).unwrap());
        assert!(limits.refused());
        assert_eq!(limits.memory_bytes_peak(), 2 << 20);
    }
}
