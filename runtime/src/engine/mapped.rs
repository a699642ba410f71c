//! Code that this process mapped itself, since it can open no file: how the engine makes it executable.

use rustix::mm::{MprotectFlags, mprotect};
use wasmtime::CustomCodeMemory;

/// Code in a private mapping of its file.
pub(super) struct Mapped {
    page: usize,
}

impl Mapped {
    /// While the size of a page can be looked up.
    pub(super) fn new() -> Self {
        Self {
            page: rustix::param::page_size(),
        }
    }

    fn protect(at: *const u8, length: usize, access: MprotectFlags) -> wasmtime::Result<()> {
        // SAFETY: the engine asks for a part of the mapping that it was given, which nobody writes to and nobody unmaps.
        #[allow(unsafe_code, reason = "the engine asks for it")]
        unsafe {
            mprotect(at.cast_mut().cast(), length, access)?;
        }
        Ok(())
    }
}

impl CustomCodeMemory for Mapped {
    fn required_alignment(&self) -> usize {
        self.page
    }

    fn publish_executable(&self, at: *const u8, length: usize) -> wasmtime::Result<()> {
        Self::protect(at, length, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    fn unpublish_executable(&self, at: *const u8, length: usize) -> wasmtime::Result<()> {
        Self::protect(at, length, MprotectFlags::READ)
    }
}
