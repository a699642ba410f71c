//! Room for what recurses: a stack of its own, so that depth is bounded by us and not by who calls.

/// Runs something on a stack of so many bytes; nothing when there is no room or it panics.
pub fn with_room<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(bytes);
        thread.spawn_scoped(scope, run).ok()?.join().ok()
    })
}

/// Runs something where so many bytes of the stack are left: here, or on a further one of that size.
pub fn with_left<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(bytes, bytes, run)
}
