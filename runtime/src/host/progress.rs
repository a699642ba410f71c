//! News for the caller while a call runs: growing, bounded, never waited for.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::meter::Meter;
use crate::limits::PROGRESS_MESSAGES_MAX;
use crate::protect::Safeguard;
use crate::sandbox::Effect;

/// Longest message of one report, in bytes: a line for people.
pub const PROGRESS_MESSAGE_BYTES_MAX: usize = 512;
/// Shortest time between two reports that are passed on; MCP asks that they be rate limited.
pub const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// One report.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How far the call is.
    pub progress: f64,
    /// What `progress` will be at the end, where it is known.
    pub total: Option<f64>,
    /// What is being done.
    pub message: Option<String>,
}

/// Why a report was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// A number or the message is not as it must be.
    #[error("{0}")]
    Invalid(&'static str),
    /// The call has made all the reports that it may.
    #[error("this call has made all {PROGRESS_MESSAGES_MAX} reports that it may")]
    TooMany,
}

/// The reports of one call that has the grant.
pub struct Reporter {
    listener: Option<mpsc::Sender<Progress>>,
    meter: Meter,
    safeguard: Safeguard,
    last: Option<f64>,
    reports: usize,
    passed_on: Option<Instant>,
}

impl Reporter {
    /// Reports to `listener`; without one they succeed and go nowhere, so that a tool cannot learn who listens.
    /// No personal data is readable in what is passed on, whatever the reply may hold: it is a line for whoever watches.
    pub fn new(
        listener: Option<mpsc::Sender<Progress>>,
        meter: Meter,
        safeguard: Safeguard,
    ) -> Self {
        Self {
            listener,
            meter,
            safeguard,
            last: None,
            reports: 0,
            passed_on: None,
        }
    }

    /// Takes one report at time `now`.
    pub fn report(&mut self, report: Progress, now: Instant) -> Result<(), ProgressError> {
        // limit
        let refused = self.limit(&report).err();
        if let Some(error) = refused {
            self.record(1);
            return Err(error);
        }
        self.reports += 1;
        self.last = Some(report.progress);
        // act
        let due = self
            .passed_on
            .is_none_or(|last| now.saturating_duration_since(last) >= PROGRESS_INTERVAL_MIN);
        if let Some(listener) = self.listener.as_ref().filter(|_| due) {
            let message = report.message;
            let message = message.map(|text| self.safeguard.silence(&text).into_owned());
            let report = Progress { message, ..report };
            // A listener that is behind misses a report; the guest never waits for it.
            if listener.try_send(report).is_ok() {
                self.passed_on = Some(now);
            }
        }
        self.record(0);
        Ok(())
    }

    fn limit(&self, report: &Progress) -> Result<(), ProgressError> {
        let number = |number: f64| number.is_finite() && number >= 0.0;
        if self.reports >= PROGRESS_MESSAGES_MAX {
            return Err(ProgressError::TooMany);
        }
        if !number(report.progress) {
            return Err(ProgressError::Invalid(
                "progress is not a finite number of 0 or more",
            ));
        }
        if !report.total.is_none_or(number) {
            return Err(ProgressError::Invalid(
                "total is not a finite number of 0 or more",
            ));
        }
        if self.last.is_some_and(|last| report.progress <= last) {
            return Err(ProgressError::Invalid("progress does not grow"));
        }
        if report
            .message
            .as_ref()
            .is_some_and(|message| message.len() > PROGRESS_MESSAGE_BYTES_MAX)
        {
            return Err(ProgressError::Invalid(
                "the message has more than 512 bytes",
            ));
        }
        Ok(())
    }

    fn record(&self, refused: u64) {
        self.meter.note(
            "progress".to_owned(),
            Effect {
                count: 1,
                refused,
                ..Effect::default()
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(progress: f64) -> Progress {
        Progress {
            progress,
            total: None,
            message: None,
        }
    }

    #[test]
    fn progress_only_grows() {
        let (listener, mut reports) = mpsc::channel(8);
        let mut reporter = Reporter::new(Some(listener), Meter::default(), Safeguard::default());
        let now = Instant::now();
        reporter.report(at(1.0), now).unwrap();
        for bad in [1.0, 0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                reporter.report(at(bad), now),
                Err(ProgressError::Invalid(_))
            ));
        }
        reporter
            .report(at(2.0), now + PROGRESS_INTERVAL_MIN)
            .unwrap();
        assert_eq!(reports.try_recv().unwrap().progress, 1.0);
        assert_eq!(reports.try_recv().unwrap().progress, 2.0);
    }

    #[test]
    fn reports_are_bounded_in_rate_and_number() {
        let (listener, mut reports) = mpsc::channel(1_000);
        let meter = Meter::default();
        let mut reporter = Reporter::new(Some(listener), meter.clone(), Safeguard::default());
        let now = Instant::now();
        for number in 0..PROGRESS_MESSAGES_MAX {
            reporter.report(at(number as f64), now).unwrap();
        }
        assert_eq!(reporter.report(at(1e9), now), Err(ProgressError::TooMany));
        assert!(reports.try_recv().is_ok());
        assert!(reports.try_recv().is_err(), "too fast: left out");
        assert_eq!(meter.snapshot()["progress"].refused, 1);
    }

    #[test]
    fn a_tool_cannot_learn_whether_anyone_listens() {
        let mut reporter = Reporter::new(None, Meter::default(), Safeguard::default());
        assert_eq!(reporter.report(at(1.0), Instant::now()), Ok(()));
        let (listener, reports) = mpsc::channel(1);
        drop(reports);
        let mut reporter = Reporter::new(Some(listener), Meter::default(), Safeguard::default());
        assert_eq!(reporter.report(at(1.0), Instant::now()), Ok(()));
    }

    #[test]
    fn a_message_is_bounded() {
        let mut reporter = Reporter::new(None, Meter::default(), Safeguard::default());
        let long = Progress {
            message: Some("x".repeat(PROGRESS_MESSAGE_BYTES_MAX + 1)),
            ..at(1.0)
        };
        assert!(reporter.report(long, Instant::now()).is_err());
    }
}
