//! How the log looks, and how much of it is said.
//!
//! Text for people, JSON lines for programs: the same events with the same fields, so what may not stand in the one stands in
//! neither. What libraries say beside us is fixed: some of them print whole requests when they are asked for more.

use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// What is shown of libraries, whatever is asked for. The SDK prints whole requests at `debug`, arguments and all: only its errors
/// are shown. Its service has one for every answer whose caller is gone; that a call was cancelled stands in the audit log. What
/// signs requests prints their fields at `trace`.
const LIBRARIES: &str = "rmcp=error,rmcp::service=off,aws_sigv4=off";

/// Changes what the log says while the server runs.
#[derive(Clone)]
pub struct LogControl {
    level: Arc<ArcSwap<LogLevel>>,
    change: Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

impl LogControl {
    /// Changes it in this way: a filter comes in, and whether it counts from now on goes out.
    pub fn new(
        level: LogLevel,
        change: impl Fn(EnvFilter) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            level: Arc::new(ArcSwap::from_pointee(level)),
            change: Arc::new(change),
        }
    }

    /// What of our own is said now.
    pub fn level(&self) -> LogLevel {
        **self.level.load()
    }

    /// From now on this is said. False where the log cannot be changed any more.
    pub fn set(&self, level: LogLevel) -> bool {
        let changed = (self.change)(filter(&of_server(level)));
        if changed {
            self.level.store(Arc::new(level));
        }
        changed
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LogControl({})", self.level().as_str())
    }
}

/// What a server says at this level.
fn of_server(level: LogLevel) -> String {
    format!("warn,bailiwick={}", level.as_str())
}

fn filter(wanted: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{wanted},{LIBRARIES}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,{LIBRARIES}")))
}

/// One form of the log, for a subscriber.
pub fn layer<S, W>(json: bool, ansi: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let text = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    match json {
        true => text
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        false => text.with_ansi(ansi).boxed(),
    }
}

/// The log of a server goes to standard error. `RUST_LOG` says what is said at first, if it is set.
pub fn of_a_server(config: LogConfig) -> Result<LogControl, TryInitError> {
    let usual = of_server(config.level);
    let first = std::env::var("RUST_LOG").unwrap_or(usual);
    let (first, handle) = reload::Layer::new(filter(&first));
    let terminal = io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    tracing_subscriber::registry()
        .with(first)
        .with(layer(json, terminal, io::stderr))
        .try_init()?;
    let change = move |filter| handle.reload(filter).is_ok();
    Ok(LogControl::new(config.level, change))
}

/// The log of a command: its errors, for whoever called it.
pub fn of_a_command() -> Result<(), TryInitError> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| "error,rmcp=off".to_owned());
    let terminal = io::stderr().is_terminal();
    tracing_subscriber::registry()
        .with(filter(&wanted))
        .with(layer(false, terminal, io::stderr))
        .try_init()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_json_is_one_line_whatever_it_holds() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = layer(true, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let said = "said\n{\"level\":\"ERROR\"}";
            tracing::info!(tool = "a\nb\"}", "{said}");
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["tool"], "a\nb\"}");
        assert_eq!(line["message"], "said\n{\"level\":\"ERROR\"}");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn the_level_changes_while_it_runs_and_libraries_stay_as_they_are() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (first, handle) = reload::Layer::new(filter(&of_server(LogLevel::Warn)));
        let control = LogControl::new(LogLevel::Warn, move |filter| handle.reload(filter).is_ok());
        let subscriber =
            tracing_subscriber::registry()
                .with(first)
                .with(layer(false, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let say = |what: &str| {
                tracing::debug!(target: "bailiwick::call", what, "ours");
                tracing::debug!(target: "rmcp::handler", what, "theirs");
                tracing::debug!(target: "hyper", what, "theirs");
            };
            say("first");
            assert!(control.set(LogLevel::Debug));
            assert_eq!(control.level(), LogLevel::Debug);
            say("second");
            assert!(control.set(LogLevel::Error));
            say("third");
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("ours what=\"second\""), "{text}");
    }

    #[test]
    fn no_filter_that_is_asked_for_opens_the_libraries() {
        for asked in ["trace", "rmcp=trace", "aws_sigv4=trace", "no such filter=="] {
            let filter = filter(asked).to_string();
            assert!(filter.contains("rmcp=error"), "{asked}: {filter}");
            assert!(filter.contains("aws_sigv4=off"), "{asked}: {filter}");
        }
    }
}
