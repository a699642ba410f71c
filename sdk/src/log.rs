//! Notes for the operator, kept in the log of the host beside the call.
//!
//! Needs no capability. The caller never sees the notes; whoever reads the log does, so write what happened and not the
//! values it happened with. The host bounds them and writes control characters escaped.
//!
//! ```
//! use bailiwick_sdk::log;
//!
//! let pages = 3;
//! log::info!("read {pages} pages");
//! ```

pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For someone who looks for a mistake.
    Debug,
    /// Something that is meant to happen.
    Info,
    /// Something unexpected that the tool could handle.
    Warn,
    /// Something that made the tool fail.
    Error,
}

/// Writes one note.
pub fn log(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::guest::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a note of level [`Trace`](Level::Trace), with the syntax of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Trace, &::std::format!($($message)+)) };
}

/// Writes a note of level [`Debug`](Level::Debug), with the syntax of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Debug, &::std::format!($($message)+)) };
}

/// Writes a note of level [`Info`](Level::Info), with the syntax of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Info, &::std::format!($($message)+)) };
}

/// Writes a note of level [`Warn`](Level::Warn), with the syntax of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Warn, &::std::format!($($message)+)) };
}

/// Writes a note of level [`Error`](Level::Error), with the syntax of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Error, &::std::format!($($message)+)) };
}
