//! Where the server tells of itself: who may read its numbers, who is sent its traces, how its log looks.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::EgressHost;
use super::parse::Checker;
use super::vault::origin;

/// Who is told what. By default nobody is told anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Telemetry {
    /// Where `/metrics`, `/info` and `/readyz` with reasons are served: on loopback, for whoever is on this machine.
    pub listen: Option<SocketAddr>,
    /// Who is sent traces and durations.
    pub otlp: Option<Otlp>,
}

/// A collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// Scheme, host and port; `/v1/traces` and `/v1/metrics` lie below it.
    pub endpoint: Url,
    /// Whether it is on this machine or on a host that the operator bound.
    pub local: bool,
    /// Certificates of further authorities by which it may prove itself.
    pub ca_file: Option<PathBuf>,
    /// Which part of the calls is traced, from 0 to 1.
    pub sample_ratio: f64,
}

/// How the log looks, and how much it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// For whom it is.
    pub format: LogFormat,
    /// What of our own it says.
    pub level: LogLevel,
}

/// For whom the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON lines otherwise.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One object in each line.
    Json,
}

/// How much the log says. What is below `debug` may show more of a request than a log may hold, so there is nothing below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Faults of ours.
    Error,
    /// Also what an operator should look at.
    Warn,
    /// Also refusals and changes.
    #[default]
    Info,
    /// Also what helps to find a mistake.
    Debug,
}

impl LogLevel {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    listen: Option<Spanned<SocketAddr>>,
    otlp: Option<RawOtlp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOtlp {
    endpoint: Spanned<String>,
    ca_file: Option<PathBuf>,
    sample_ratio: Option<Spanned<f64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    #[serde(default)]
    format: LogFormat,
    #[serde(default)]
    level: LogLevel,
}

impl From<&RawLog> for LogConfig {
    fn from(raw: &RawLog) -> Self {
        Self {
            format: raw.format,
            level: raw.level,
        }
    }
}

pub(super) fn telemetry(
    check: &mut Checker<'_>,
    raw: &RawTelemetry,
    bound: &[EgressHost],
) -> Telemetry {
    let listen = raw.listen.as_ref();
    if let Some(listen) = listen.filter(|listen| !listen.get_ref().ip().is_loopback()) {
        check.wrong(
            listen,
            "the numbers of the server are for this machine alone",
            "listen on 127.0.0.1 or [::1], and let what collects them run on this machine",
        );
    }
    Telemetry {
        listen: listen.map(|listen| *listen.get_ref()),
        otlp: raw.otlp.as_ref().and_then(|raw| otlp(check, raw, bound)),
    }
}

fn otlp(check: &mut Checker<'_>, raw: &RawOtlp, bound: &[EgressHost]) -> Option<Otlp> {
    let ratio = raw.sample_ratio.as_ref();
    let sample_ratio = ratio.map_or(1.0, |ratio| *ratio.get_ref());
    if let Some(ratio) = ratio.filter(|_| !(0.0..=1.0).contains(&sample_ratio)) {
        let help = "choose from 0.0, which traces nothing, to 1.0, which traces every call";
        check.wrong(ratio, "the part that is traced is out of range", help);
    }
    let Some((endpoint, local)) = origin(raw.endpoint.get_ref(), bound) else {
        let help = "write such as `http://127.0.0.1:4318`, without a path; http is for this machine and for hosts of `[[egress.host]]`";
        check.wrong(&raw.endpoint, "this is no address of a collector", help);
        return None;
    };
    Some(Otlp {
        endpoint,
        local,
        ca_file: raw.ca_file.as_deref().map(|file| check.path(file)),
        sample_ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn without_a_word_of_the_operator_nobody_is_told_anything() {
        let config = parse("").unwrap();
        assert_eq!(config.telemetry, Telemetry::default());
        assert_eq!(config.log, LogConfig::default());
        let text = "[telemetry]\nlisten = \"[::1]:9464\"\n[telemetry.otlp]\nendpoint = \"http://127.0.0.1:4318\"\nsample_ratio = 0.25\n[log]\nformat = \"json\"\nlevel = \"debug\"\n";
        let config = parse(text).unwrap();
        assert_eq!(config.telemetry.listen, Some("[::1]:9464".parse().unwrap()));
        let otlp = config.telemetry.otlp.unwrap();
        assert_eq!(otlp.endpoint.as_str(), "http://127.0.0.1:4318/");
        assert!(otlp.local);
        assert!((otlp.sample_ratio - 0.25).abs() < f64::EPSILON);
        assert_eq!(
            config.log,
            LogConfig {
                format: LogFormat::Json,
                level: LogLevel::Debug
            }
        );
        let far = "[telemetry.otlp]\nendpoint = \"https://otel.example\"\n";
        assert!(!parse(far).unwrap().telemetry.otlp.unwrap().local);
    }

    #[test]
    fn what_tells_strangers_or_says_too_much_is_refused_with_its_line() {
        for (wrong, line, says) in [
            (
                "[telemetry]\nlisten = \"0.0.0.0:9464\"\n",
                9,
                "this machine alone",
            ),
            (
                "[telemetry]\nlisten = \"192.0.2.1:9464\"\n",
                9,
                "this machine alone",
            ),
            ("[telemetry]\npublic = true\n", 9, "unknown field"),
            (
                "[telemetry.otlp]\nendpoint = \"http://otel.example\"\n",
                9,
                "collector",
            ),
            (
                "[telemetry.otlp]\nendpoint = \"http://127.0.0.1:4318/v1/traces\"\n",
                9,
                "collector",
            ),
            (
                "[telemetry.otlp]\nendpoint = \"http://u:p@127.0.0.1:4318\"\n",
                9,
                "collector",
            ),
            (
                "[telemetry.otlp]\nendpoint = \"https://otel.example\"\nsample_ratio = 1.5\n",
                10,
                "out of range",
            ),
            (
                "[telemetry.otlp]\nendpoint = \"https://otel.example\"\nsample_ratio = nan\n",
                10,
                "out of range",
            ),
            ("[log]\nlevel = \"trace\"\n", 9, "unknown variant"),
            ("[log]\nformat = \"xml\"\n", 9, "unknown variant"),
        ] {
            let ConfigError::Invalid { problems } = parse(wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
