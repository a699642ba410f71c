//! A guest's notes to the operator: bounded, one line each, unable to pretend to be another.
//!
//! Lines go to the log of the process alone; the caller never sees them, and no host function reads them back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::protect::Safeguard;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The log of one call, shared by everything in it that writes.
#[derive(Clone)]
pub struct Log(Arc<Mutex<State>>);

struct State {
    tool: String,
    safeguard: Safeguard,
    lines: u64,
    stdout: Partial,
    stderr: Partial,
    #[cfg(test)]
    kept: Vec<String>,
}

/// A line of a stream that has no end yet.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    begun: bool,
}

impl Log {
    /// The log of a call of this tool, in which `safeguard` leaves no personal data readable.
    pub fn new(tool: &str, safeguard: Safeguard) -> Self {
        Self(Arc::new(Mutex::new(State {
            tool: tool.to_owned(),
            safeguard,
            lines: 0,
            stdout: Partial::default(),
            stderr: Partial::default(),
            #[cfg(test)]
            kept: Vec::new(),
        })))
    }

    /// Writes one message, cut to its bound and escaped.
    pub fn line(&self, level: Level, message: &str) {
        self.state().line(level, message);
    }

    /// Takes bytes of a stream; every line end writes a line.
    pub fn stream(&self, source: Source, bytes: &[u8]) {
        let mut state = self.state();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_some() {
                state.extend(source, piece);
                state.end_line(source);
            } else if !piece.is_empty() {
                state.extend(source, piece);
            }
        }
    }

    /// Writes what is left of lines without an end.
    pub fn finish(&self) {
        let mut state = self.state();
        for source in [Source::Stdout, Source::Stderr] {
            if state.partial(source).begun {
                state.end_line(source);
            }
        }
        let dropped = state.dropped();
        if dropped > 0 {
            tracing::info!(target: "bailiwick::guest", tool = %state.tool, dropped, "the log of the call is longer than its bound");
        }
    }

    /// Lines written so far, dropped ones included.
    pub fn lines(&self) -> u64 {
        self.state().lines
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<String> {
        self.state().kept.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&mut self, level: Level, message: &str) {
        self.lines = self.lines.saturating_add(1);
        if self.dropped() > 0 {
            return;
        }
        let message = escape(&self.safeguard.silence(cut(message)));
        let tool = &self.tool;
        match level {
            Level::Trace => tracing::trace!(target: "bailiwick::guest", %tool, message),
            Level::Debug => tracing::debug!(target: "bailiwick::guest", %tool, message),
            Level::Info => tracing::info!(target: "bailiwick::guest", %tool, message),
            Level::Warn => tracing::warn!(target: "bailiwick::guest", %tool, message),
            Level::Error => tracing::error!(target: "bailiwick::guest", %tool, message),
        }
        #[cfg(test)]
        self.kept.push(message);
    }

    fn dropped(&self) -> u64 {
        self.lines
            .saturating_sub(u64::try_from(LOG_LINES_MAX).unwrap_or(u64::MAX))
    }

    fn partial(&mut self, source: Source) -> &mut Partial {
        match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        }
    }

    fn extend(&mut self, source: Source, piece: &[u8]) {
        let partial = self.partial(source);
        partial.begun = true;
        // One byte over the bound is kept, so that the cut shows.
        let room = (LOG_LINE_BYTES_MAX + 1).saturating_sub(partial.bytes.len());
        partial.bytes.extend(piece.iter().take(room));
    }

    fn end_line(&mut self, source: Source) {
        let mut bytes = std::mem::take(&mut self.partial(source).bytes);
        self.partial(source).begun = false;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let level = match source {
            Source::Stdout => Level::Info,
            Source::Stderr => Level::Warn,
        };
        self.line(level, &String::from_utf8_lossy(&bytes));
    }
}

/// The beginning of a message, within its bound and at a character's edge.
fn cut(message: &str) -> &str {
    message
        .get(..message.floor_char_boundary(LOG_LINE_BYTES_MAX))
        .unwrap_or_default()
}

/// Writes out every character that a terminal or a log reader would obey or hide.
fn escape(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.chars() {
        if is_visible(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    out
}

fn is_visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{2028}' | '\u{2029}'          // line and paragraph separators
            | '\u{200b}'..='\u{200f}'        // zero width, direction marks
            | '\u{202a}'..='\u{202e}'        // direction overrides
            | '\u{2060}'..='\u{206f}'        // joiners, direction isolates
            | '\u{feff}' | '\u{00ad}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_pretend_to_be_two() {
        let log = Log::new("t", Safeguard::default());
        log.line(
            Level::Info,
            "a\r\nINFO forged \u{1b}[31m\0\u{2028}b\u{202e}c",
        );
        assert_eq!(
            log.kept(),
            ["a\\r\\nINFO forged \\u{1b}[31m\\u{0}\\u{2028}b\\u{202e}c"]
        );
    }

    #[test]
    fn a_stream_is_written_line_by_line() {
        let log = Log::new("t", Safeguard::default());
        log.stream(Source::Stdout, b"one\ntw");
        log.stream(Source::Stderr, b"other\n");
        log.stream(Source::Stdout, b"o\r\n\nrest");
        log.finish();
        assert_eq!(log.kept(), ["one", "other", "two", "", "rest"]);
        assert_eq!(log.lines(), 5);
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let log = Log::new("t", Safeguard::default());
        for _ in 0..10 {
            log.stream(Source::Stdout, &b"x\n".repeat(1_000));
        }
        log.finish();
        assert_eq!(log.kept().len(), LOG_LINES_MAX);
        assert_eq!(log.lines(), 10_000);
    }

    #[test]
    fn a_line_without_an_end_stays_within_its_bound() {
        let log = Log::new("t", Safeguard::default());
        for _ in 0..1_000 {
            log.stream(Source::Stdout, &[b'x'; 4096]);
        }
        log.line(Level::Info, &"é".repeat(LOG_LINE_BYTES_MAX));
        log.finish();
        assert!(
            log.kept()
                .iter()
                .all(|line| line.len() <= LOG_LINE_BYTES_MAX)
        );
        assert_eq!(log.lines(), 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let log = Log::new("t", Safeguard::default());
        log.stream(Source::Stdout, b"a\xff\n");
        assert_eq!(log.kept(), ["a\u{fffd}"]);
    }
}
