//! Texts of others and moments, as the pages write them.

use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use crate::clock::Timestamp;
use crate::consent;
use crate::store::{ConsentRow, ConsentState, Scope};

/// A date as `<input type="date">` writes it.
const ISO: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const DAY: StaticFormatDescription =
    format_description!("[day padding:none] [month repr:long] [year]");
const MOMENT: StaticFormatDescription =
    format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");

/// Text that somebody else wrote, for a page: on one line, bounded, without characters that hide or reorder others.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let seen = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c));
    let mut out: String = seen.clone().take(chars_max).collect();
    if seen.count() > chars_max {
        out.push('…');
    }
    out
}

/// The same for a text in which every character counts: what shows nothing or reorders, and what is no plain space, is named
/// in its place. On one line.
pub(super) fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' {
            out.push_str("↵ ");
        } else if c != ' ' && (c.is_control() || c.is_whitespace() || is_invisible(c)) {
            out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that show nothing or change the order of what stands around them: what is read would not be what is there.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// `22 November 2026`, in UTC.
pub(super) fn day(at: Timestamp) -> String {
    written(at, DAY)
}

/// `22 November 2026, 16:39 UTC`.
pub(super) fn moment(at: Timestamp) -> String {
    written(at, MOMENT)
}

/// `2026-11-22`, in UTC.
pub(super) fn iso_day(at: Timestamp) -> String {
    written(at, ISO)
}

/// The end of the day, in UTC, that is written `2026-11-22`.
pub(super) fn end_of_day(text: &str) -> Option<Timestamp> {
    let date = Date::parse(text, ISO).ok()?;
    let end = date
        .midnight()
        .assume_utc()
        .checked_add(Duration::days(1))?;
    Some(Timestamp::from_secs(end.unix_timestamp()))
}

/// Where a decision stands, in words.
pub(super) fn standing(row: &ConsentRow, now: Timestamp) -> String {
    let live = consent::is_live(row, now);
    let end = moment(row.expires_at);
    match (row.state, row.scope) {
        (ConsentState::Active, Scope::Once) if live => {
            format!("Allowed for one call, to be made before {end}")
        }
        (ConsentState::Active, Scope::Until) if live => {
            let mut text = format!("Allowed until {end}");
            if let Some(max) = row.uses_max {
                let left = max.saturating_sub(row.uses);
                let calls = if left == 1 { "call" } else { "calls" };
                text.push_str(&format!(", for {left} more {calls}"));
            }
            if let Some(lapses) = row
                .idle_expires_at
                .filter(|lapses| *lapses < row.expires_at)
            {
                text.push_str(&format!("; ends on {} if it is not used", day(lapses)));
            }
            text
        }
        (ConsentState::Active, _) if row.expires_at > now => {
            "Was allowed, and ended because it was not used for 30 days".to_owned()
        }
        (ConsentState::Active, _) => format!("Allowed until {end}, which has passed"),
        (ConsentState::Denied, _)
            if live && row.expires_at.since(row.decided_at) == consent::REFUSED_TWICE_TTL =>
        {
            format!(
                "Not allowed, for the second time; you are not asked again before {end} unless you choose to"
            )
        }
        (ConsentState::Denied, _) if live => {
            format!("Not allowed; you are asked again after {end}")
        }
        (ConsentState::Denied, _) => "Not allowed".to_owned(),
        (ConsentState::Consumed, Scope::Until) => {
            format!("Allowed for {} calls, which were made", row.uses)
        }
        (ConsentState::Consumed, Scope::Once) if consent::is_revocable(row, now) => {
            "Allowed for one call, which was made and may still be running".to_owned()
        }
        (ConsentState::Consumed, Scope::Once) => "Allowed for one call, which was made".to_owned(),
        (ConsentState::Revoked, _) => "Taken back".to_owned(),
        (ConsentState::Superseded, _) => "Replaced by a later decision".to_owned(),
        (ConsentState::Suspended, _) => {
            "Suspended: a tool of another publisher took its name. You are asked anew".to_owned()
        }
    }
}

fn written(at: Timestamp, format: StaticFormatDescription) -> String {
    OffsetDateTime::from_unix_timestamp(at.secs())
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| at.rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_shown_without_what_hides_or_reorders() {
        assert_eq!(plain("Read  your\nnotes\t.", 100), "Read  your notes .");
        assert_eq!(
            plain("pay\u{202e}lave\u{200b}\u{feff}\u{7}", 100),
            "paylave"
        );
        assert_eq!(plain("日本語 é", 100), "日本語 é");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
    }

    #[test]
    fn where_every_character_counts_those_that_hide_are_named() {
        assert_eq!(marked("a b\nc"), "a b↵ c");
        assert_eq!(
            marked("a\u{202e}b\u{a0}\u{7}"),
            "a⟨U+202E⟩b⟨U+00A0⟩⟨U+0007⟩"
        );
        assert_eq!(marked("日本語"), "日本語");
    }

    #[test]
    fn a_day_ends_at_the_midnight_after_it() {
        let end = end_of_day("2026-11-22").unwrap();
        assert_eq!(end.rfc3339(), "2026-11-23T00:00:00Z");
        assert_eq!(moment(end), "23 November 2026, 00:00 UTC");
        assert_eq!(iso_day(Timestamp(end.0 - 1)), "2026-11-22");
        assert_eq!(day(Timestamp(end.0 - 1)), "22 November 2026");
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
