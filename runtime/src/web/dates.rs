//! Dates and moments, in UTC, as forms and pages write them.

use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use crate::clock::Timestamp;

/// A date as `<input type="date">` writes it.
const ISO: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// `2026-11-22`.
pub(super) fn iso_day(at: Timestamp) -> String {
    written(at, ISO)
}

/// The end of the day that is written `2026-11-22`.
pub(super) fn end_of_day(text: &str) -> Option<Timestamp> {
    let date = Date::parse(text, ISO).ok()?;
    let end = date
        .midnight()
        .assume_utc()
        .checked_add(Duration::days(1))?;
    Some(Timestamp::from_secs(end.unix_timestamp()))
}

/// In the form of a language.
pub(super) fn written(at: Timestamp, format: StaticFormatDescription) -> String {
    OffsetDateTime::from_unix_timestamp(at.secs())
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| at.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::super::words::{EN, JA};
    use super::*;

    #[test]
    fn a_day_ends_at_the_midnight_after_it() {
        let end = end_of_day("2026-11-22").unwrap();
        assert_eq!(end.rfc3339(), "2026-11-23T00:00:00Z");
        assert_eq!((EN.moment)(end), "23 November 2026, 00:00 UTC");
        assert_eq!((JA.moment)(end), "2026年11月23日 00:00（UTC）");
        assert_eq!(iso_day(Timestamp(end.0 - 1)), "2026-11-22");
        assert_eq!((EN.day)(Timestamp(end.0 - 1)), "22 November 2026");
        assert_eq!((JA.day)(Timestamp(end.0 - 1)), "2026年11月22日");
        for bad in [
            "",
            "2026-02-30",
            "22.11.2026",
            "2026-11-22T00:00",
            "9999-12-31",
        ] {
            assert!(end_of_day(bad).is_none(), "{bad}");
        }
    }
}
