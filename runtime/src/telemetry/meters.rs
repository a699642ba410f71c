//! Everything that is counted.
//!
//! Most of it is counted where records of the audit are made, so that the two tell the same.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::count::{OTHER, Seconds, Tools, Words};
use super::page::{Family, Label, Samples, number};
use super::process::unix_now;
use super::trace::Tracer;
use super::words;
use crate::audit::{End, EventKind, Stage};
use crate::capability::{CapabilitySet, Tier};
use crate::ids::ToolName;

/// Bounds of call durations, in seconds: most calls take milliseconds, none more than two minutes.
const CALL_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// Bounds of the time until a user decides, in seconds: a question is open for some minutes.
const DECISION_BOUNDS: &[f64] = &[1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0];
/// Bounds of the time until a record is on the disk, in seconds.
const DISK_BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Something that is looked up when it is asked for.
type Look = Box<dyn Fn() -> usize + Send + Sync>;

/// Everything that is counted of one server.
pub struct Meters {
    started: f64,
    requests: [Words; words::DOORS.len()],
    edge: Words,
    tokens: Words,
    refusals: Words,
    throttles: Words,
    events: Words,
    calls: Tools,
    faults: Words,
    in_flight: AtomicU64,
    took: [Seconds; 4],
    granted: Words,
    host_calls: Words,
    host_refused: Words,
    host_in: Words,
    host_out: Words,
    egress: Words,
    decided: Seconds,
    disk: Seconds,
    sessions: OnceLock<Look>,
    exports: Arc<Words>,
    tracer: OnceLock<Tracer>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            started: unix_now(),
            requests: std::array::from_fn(|_| Words::new(&words::STATUS)),
            edge: Words::new(&words::EDGE),
            tokens: Words::new(&words::TOKENS),
            refusals: Words::new(&words::STAGES),
            throttles: Words::new(&words::THROTTLES),
            events: Words::new(&words::EVENTS),
            calls: Tools::new(&words::ENDS),
            faults: Words::new(&words::FAULTS),
            in_flight: AtomicU64::new(0),
            took: std::array::from_fn(|_| Seconds::new(CALL_BOUNDS)),
            granted: Words::new(&words::KINDS),
            host_calls: Words::new(&words::KINDS),
            host_refused: Words::new(&words::KINDS),
            host_in: Words::new(&words::KINDS),
            host_out: Words::new(&words::KINDS),
            egress: Words::new(&words::EGRESS),
            decided: Seconds::new(DECISION_BOUNDS),
            disk: Seconds::new(DISK_BOUNDS),
            sessions: OnceLock::new(),
            exports: Arc::new(Words::new(&words::EXPORTS)),
            tracer: OnceLock::new(),
        }
    }
}

impl Meters {
    /// A request was answered, with this path and this status.
    pub fn request(&self, path: &str, status: u16) {
        let door = match path {
            "/healthz" | "/readyz" => 4,
            _ if path.starts_with("/.well-known/") => 3,
            _ if path == "/admin" || path.starts_with("/admin/") => 1,
            _ if path == "/mcp" || path.ends_with("/mcp") => 0,
            _ => 2,
        };
        let class = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        if let Some(door) = self.requests.get(door) {
            door.one(class);
        }
    }

    /// A request ended before any call.
    pub fn refused_at_edge(&self, reason: &'static str) {
        self.edge.one(reason);
    }

    /// Something is recorded that is no call.
    pub fn event(&self, kind: EventKind) {
        self.events.one(kind.as_str());
    }

    /// Something happened that anybody can cause, recorded or only counted.
    pub fn sampled(&self, kind: EventKind, reason: Option<&'static str>) {
        self.event(kind);
        match (kind, reason) {
            (EventKind::AuthFailed, Some(reason)) => self.tokens.one(reason),
            (EventKind::AdminRefused, Some(reason)) => self.edge.one(reason),
            _ => {}
        }
    }

    /// A call began.
    pub fn call_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A call may do this.
    pub fn call_granted(&self, granted: &CapabilitySet) {
        for kind in granted.kinds() {
            self.granted.one(kind.as_str());
        }
    }

    /// A call ended; `end` is none where its record was never closed. The tier is that of what it was granted, the tool one
    /// that was admitted. Says what it came to, and whether that is what its caller wanted.
    pub fn call_ended(
        &self,
        tool: Option<&ToolName>,
        end: Option<&End>,
        tier: Option<Tier>,
        time: Duration,
    ) -> (&'static str, bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let word = outcome(end);
        self.calls.ended(tool, word);
        if words::FAULTS.contains(&word) {
            self.faults.one(word);
        }
        if word == "overloaded" {
            self.throttles.one("busy");
        }
        if let Some(End::Ran { used, .. }) = end {
            for (effect, used) in &used.effects {
                let kind = effect.split(' ').next().unwrap_or_default();
                self.host_calls.add(kind, used.count);
                self.host_refused.add(kind, used.refused);
                self.host_in.add(kind, used.bytes_in);
                self.host_out.add(kind, used.bytes_out);
            }
            let place = match tier.unwrap_or(Tier::T0) {
                Tier::T0 => 0,
                Tier::T1 => 1,
                Tier::T2 => 2,
                Tier::T3 => 3,
            };
            if let Some(took) = self.took.get(place) {
                took.took(time);
            }
        }
        let well = matches!(word, "replied" | "asked" | "asked-user" | "callee-asks");
        if let Some(tracer) = self.tracer() {
            let error = (!well).then_some(word);
            tracer.took(tool.map(ToolName::as_str), error, time);
        }
        (word, well)
    }

    /// A stage refused a call, or a request of an administrator.
    pub fn refused(&self, stage: Stage, reason: &str) {
        self.refusals.one(stage.as_str());
        if stage == Stage::Limits {
            self.throttles
                .one(reason.split(':').next().unwrap_or_default());
        }
    }

    /// A request of a guest to a web host came to this.
    pub fn egress(&self, outcome: &'static str) {
        self.egress.one(outcome);
    }

    /// A user decided after this time.
    pub fn decided(&self, time: Duration) {
        self.decided.took(time);
    }

    /// Somebody waited so long until a record was on the disk.
    pub fn on_disk(&self, time: Duration) {
        self.disk.took(time);
    }

    /// Who is told of calls, if somebody is.
    pub fn tracer(&self) -> Option<&Tracer> {
        self.tracer.get()
    }

    /// From now on this one is told of calls. Only the first one counts.
    pub fn tell(&self, tracer: Tracer) {
        let _ = self.tracer.set(tracer);
    }

    /// Where it is counted what was sent to a collector.
    pub fn exports(&self) -> Arc<Words> {
        Arc::clone(&self.exports)
    }

    /// Where to look for the number of sessions. Only the first one counts.
    pub fn look_for_sessions(&self, look: Look) {
        let _ = self.sessions.set(look);
    }

    /// Calls that began and did not end.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// All of it, as families.
    pub fn families(&self) -> Vec<Family> {
        let one = |label: &'static str, words: &Words| -> Vec<(Vec<Label>, u64)> {
            let each = words.each();
            each.map(|(word, count)| (vec![(label, word.to_owned())], count))
                .collect()
        };
        let requests = words::DOORS.iter().zip(&self.requests);
        let requests = requests.flat_map(|(door, words)| {
            let labels =
                |class: &str| vec![("door", (*door).to_owned()), ("class", class.to_owned())];
            words
                .each()
                .map(move |(class, count)| (labels(class), count))
        });
        let calls = self.calls.each().into_iter().map(|(tool, outcome, count)| {
            let labels = vec![("tool", tool), ("outcome", outcome.to_owned())];
            (labels, count)
        });
        let took = ["T0", "T1", "T2", "T3"].iter().zip(&self.took);
        let took = took.map(|(tier, took)| (vec![("tier", (*tier).to_owned())], took.read()));
        let sessions = self.sessions.get().map_or(0, |look| look());
        let seconds = |name, help, samples| Family {
            name,
            help,
            samples: Samples::Seconds(samples),
        };
        vec![
            Family::gauge(
                "process_start_time_seconds",
                "When the server started, in seconds since 1970",
                self.started,
            ),
            Family::counts(
                "bailiwick_http_requests",
                "Requests that were answered, by door and class of status",
                requests,
            ),
            Family::counts(
                "bailiwick_edge_refusals",
                "Requests that ended before any call, by reason",
                one("reason", &self.edge),
            ),
            Family::counts(
                "bailiwick_authentication_failures",
                "Tokens that gave no caller, by reason",
                one("reason", &self.tokens),
            ),
            Family::counts(
                "bailiwick_refusals",
                "Calls and requests of administrators that were refused, by stage",
                one("stage", &self.refusals),
            ),
            Family::counts(
                "bailiwick_throttles",
                "Calls that were refused for their number, by bound",
                one("bound", &self.throttles),
            ),
            Family::counts(
                "bailiwick_events",
                "What was recorded that is no call, by kind of event",
                one("event", &self.events),
            ),
            Family::counts(
                "bailiwick_calls",
                "Calls that ended, by tool and outcome",
                calls,
            ),
            // Beside the calls of each tool, which have no number before the first: of that no alert would see an increase.
            Family::counts(
                "bailiwick_faults",
                "Calls that ended by a fault of the server",
                one("outcome", &self.faults),
            ),
            Family::gauge(
                "bailiwick_calls_in_flight",
                "Calls that began and have not ended",
                number(usize::try_from(self.in_flight()).unwrap_or(usize::MAX)),
            ),
            seconds(
                "bailiwick_call_duration_seconds",
                "Time from the token to the outcome of calls whose guest ran, by tier of the grant",
                took.collect(),
            ),
            Family::counts(
                "bailiwick_granted_calls",
                "Calls that were granted a capability of the kind",
                one("kind", &self.granted),
            ),
            Family::counts(
                "bailiwick_host_calls",
                "What guests did outside of their sandbox, by kind of capability",
                one("kind", &self.host_calls),
            ),
            Family::counts(
                "bailiwick_host_calls_refused",
                "What of it was refused at the border, by kind of capability",
                one("kind", &self.host_refused),
            ),
            Family::counts(
                "bailiwick_host_received_bytes",
                "Bytes into sandboxes, by kind of capability",
                one("kind", &self.host_in),
            ),
            Family::counts(
                "bailiwick_host_sent_bytes",
                "Bytes out of sandboxes, by kind of capability",
                one("kind", &self.host_out),
            ),
            Family::counts(
                "bailiwick_egress_requests",
                "Requests of guests to web hosts, by outcome",
                one("outcome", &self.egress),
            ),
            seconds(
                "bailiwick_consent_decision_seconds",
                "Time from a question to its user's decision",
                vec![(Vec::new(), self.decided.read())],
            ),
            seconds(
                "bailiwick_audit_write_seconds",
                "Time until a record that somebody waited for was on the disk",
                vec![(Vec::new(), self.disk.read())],
            ),
            Family::counts(
                "bailiwick_telemetry_exports",
                "Requests to the collector of traces, by what became of them",
                one("outcome", &self.exports),
            ),
            Family::gauge(
                "bailiwick_sessions",
                "Sessions of older clients",
                number(sessions),
            ),
        ]
    }
}

/// The word for how a call ended.
fn outcome(end: Option<&End>) -> &'static str {
    let ending = match end {
        Some(End::Ran { ending, .. }) => ending.as_str(),
        Some(End::Answered) => "replied",
        Some(End::Refused { .. }) => "refused",
        Some(End::Asked { .. }) => "asked",
        Some(End::Failed { .. }) => "unavailable",
        None => "aborted",
    };
    let mut known = words::ENDS.iter().copied();
    known.find(|word| *word == ending).unwrap_or(OTHER)
}

impl fmt::Debug for Meters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Meters")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
