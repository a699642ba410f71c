//! The `bailiwick` command.

use std::process::ExitCode;

/// A call makes and frees some hundred small things on several threads; the system's allocator takes its locks for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bailiwick::cli::main()
}
