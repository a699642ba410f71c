//! What the kernel says of this process. Where it says nothing, there is no number.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::page::{Family, number};

/// Memory, descriptors and threads, under the names that exporters of all languages use.
pub fn process() -> Vec<Family> {
    let mut all = Vec::new();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |key: &str| {
        let mut lines = status.lines();
        let rest = lines.find_map(|line| line.strip_prefix(key))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    if let Some(kib) = field("VmRSS:") {
        all.push(Family::gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM",
            kib * 1024.0,
        ));
    }
    if let Some(threads) = field("Threads:") {
        all.push(Family::gauge(
            "process_threads",
            "Threads of the process",
            threads,
        ));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The one that reads the folder is gone when this is read.
        let open = open.count().saturating_sub(1);
        all.push(Family::gauge(
            "process_open_fds",
            "Open descriptors of the process",
            number(open),
        ));
    }
    let limits = rlimit::Resource::NOFILE.get().ok();
    if let Some((soft, _)) = limits {
        all.push(Family::gauge(
            "process_max_fds",
            "Descriptors that the process may have open",
            number(usize::try_from(soft).unwrap_or(usize::MAX)),
        ));
    }
    all
}

/// Seconds since 1970.
pub(super) fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Samples;

    #[test]
    fn the_process_has_memory_and_descriptors() {
        let all = process();
        let value = |name: &str| {
            let family = all.iter().find(|one| one.name == name).unwrap();
            match &family.samples {
                Samples::Gauges(gauges) => gauges[0].1,
                other => panic!("{other:?}"),
            }
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_threads") >= 1.0);
        let open = value("process_open_fds");
        assert!(open >= 3.0 && open <= value("process_max_fds"));
    }
}
