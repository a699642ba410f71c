//! What a guest wrote, and where values stand in it: a JSON text, the pairs of a form or of a query, a header field, plain text.
//!
//! Pure. One reading finds the handles, and the same reading puts the values in, written as that place wants them. Whatever else a
//! handle could be found in is refused.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::hidden;
use crate::protect::{Handle, handles_in};

/// Letters of a handle, and so of anything that one is hidden in.
const HANDLE_BYTES_MIN: usize = 33;

/// Why a request is not read as one with values in it, for the operator's log.
pub(super) type Unread = &'static str;

const HIDDEN: Unread = "a handle stands behind escapes or in an encoding";
const ELSEWHERE: Unread = "a handle stands where no value can";
const NOT_A_FIELD: Unread = "the value cannot stand in a header field";

/// What stands for a handle.
pub(super) type Look<'a> = dyn FnMut(&Handle) -> Zeroizing<String> + 'a;

/// How text is written in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    Json,
    Form,
    Plain,
    /// Values cannot be put in it.
    Other,
}

impl Writing {
    /// By the media type that the guest says. What hides the letters of a body from us is refused.
    pub(super) fn of(fields: &HeaderMap) -> Result<Self, Unread> {
        let coded = fields.get_all(CONTENT_ENCODING).iter();
        if coded
            .into_iter()
            .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return Err("its body is compressed");
        }
        let mut said = fields.get_all(CONTENT_TYPE).iter();
        let (Some(said), None) = (said.next(), said.next()) else {
            return Ok(Self::Other);
        };
        let said = said.to_str().unwrap_or_default().to_ascii_lowercase();
        let charset = said.split("charset=").nth(1);
        let charset = charset.map(|name| name.split(';').next().unwrap_or_default());
        if charset
            .is_some_and(|name| !matches!(name.trim().trim_matches('"'), "utf-8" | "us-ascii"))
        {
            return Err("its body is in another charset than UTF-8");
        }
        Ok(match said.split(';').next().unwrap_or_default().trim() {
            "application/json" => Self::Json,
            kind if kind.starts_with("application/") && kind.ends_with("+json") => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "text/plain" => Self::Plain,
            _ => Self::Other,
        })
    }
}

/// The body with values in it; none where it has no handle.
pub(super) fn body(
    writing: Writing,
    bytes: &[u8],
    look: &mut Look<'_>,
) -> Result<Option<Zeroizing<String>>, Unread> {
    match (writing, std::str::from_utf8(bytes)) {
        (Writing::Json, Ok(text)) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            json(text, look)
        }
        (Writing::Form, Ok(text)) => form(text, look),
        (Writing::Plain, Ok(text)) => plain(text, look),
        _ => none_in(&String::from_utf8_lossy(bytes)).map(|()| None),
    }
}

/// The pairs of a form or of a query. Values stand behind the first `=` of a pair, and nowhere else.
pub(super) fn form(text: &str, look: &mut Look<'_>) -> Result<Option<Zeroizing<String>>, Unread> {
    let mut out = Zeroizing::new(String::new());
    let mut changed = false;
    for (nth, pair) in text.split('&').enumerate() {
        if nth > 0 {
            out.push('&');
        }
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        none_in(&spelled(name).0)?;
        out.push_str(name);
        let Some(value) = value else { continue };
        out.push('=');
        let (read, whole) = spelled(value);
        match plain(&read, look)? {
            Some(_) if !whole => return Err(HIDDEN),
            Some(filled) => {
                changed = true;
                out.extend(url::form_urlencoded::byte_serialize(filled.as_bytes()));
            }
            None => out.push_str(value),
        }
    }
    Ok(changed.then_some(out))
}

/// A part of a pair as it is meant, and whether all of it is text.
fn spelled(part: &str) -> (String, bool) {
    let part = part.replace('+', " ");
    let read = percent_encoding::percent_decode_str(&part);
    match read.clone().decode_utf8() {
        Ok(read) => (read.into_owned(), true),
        Err(_) => (read.decode_utf8_lossy().into_owned(), false),
    }
}

/// A JSON text that is one. Values stand in its texts, and not in the names of its fields.
fn json(text: &str, look: &mut Look<'_>) -> Result<Option<Zeroizing<String>>, Unread> {
    let mut out = Zeroizing::new(String::new());
    let mut changed = false;
    let mut rest = text;
    while let Some(begin) = rest.find('"') {
        let (before, from) = rest.split_at(begin);
        out.push_str(before);
        let (literal, after) = from.split_at(end_of_literal(from).ok_or(HIDDEN)?);
        rest = after;
        if literal.len() < HANDLE_BYTES_MIN {
            out.push_str(literal);
            continue;
        }
        // RFC 8259 §8.2: what has half a pair in it is read differently by different readers.
        let read: String = serde_json::from_str(literal).map_err(|_| HIDDEN)?;
        let read = Zeroizing::new(read);
        if after.trim_start().starts_with(':') {
            none_in(&read)?;
            out.push_str(literal);
            continue;
        }
        match plain(&read, look)? {
            Some(filled) => {
                changed = true;
                let written = serde_json::to_string(filled.as_str());
                out.push_str(&Zeroizing::new(written.map_err(|_| HIDDEN)?));
            }
            None => out.push_str(literal),
        }
    }
    out.push_str(rest);
    Ok(changed.then_some(out))
}

/// Where a text that begins with a quote ends, the quote at its end included.
fn end_of_literal(from: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in from.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

/// A header field with values in it; none where it has no handle.
pub(super) fn field(
    name: &HeaderName,
    value: &HeaderValue,
    look: &mut Look<'_>,
) -> Result<Option<HeaderValue>, Unread> {
    // What says how the body is read says it before values are put in.
    let text = value.to_str().ok();
    let Some(text) = text.filter(|_| !name.as_str().starts_with("content-")) else {
        none_in(&String::from_utf8_lossy(value.as_bytes()))?;
        return Ok(None);
    };
    // Marks by which a field is taken apart would make another field of it.
    let stands = |value: &str| {
        let visible = |byte: u8| matches!(byte, b' '..=b'~') && !b",;\"\\".contains(&byte);
        value.bytes().all(visible) && value.trim() == value
    };
    let mut fits = true;
    let filled = plain(text, &mut |handle| {
        let value = look(handle);
        fits &= stands(&value);
        value
    })?;
    let Some(filled) = filled else {
        return Ok(None);
    };
    if !fits {
        return Err(NOT_A_FIELD);
    }
    let mut field = HeaderValue::from_str(&filled).map_err(|_| NOT_A_FIELD)?;
    field.set_sensitive(true);
    Ok(Some(field))
}

/// A text that is written as it is; none where it has no handle.
fn plain(text: &str, look: &mut Look<'_>) -> Result<Option<Zeroizing<String>>, Unread> {
    let mut out = Zeroizing::new(String::new());
    // What no handle is in, with something between that belongs to none.
    let mut rest = String::new();
    let mut at = 0;
    for (span, handle) in handles_in(text) {
        let before = text.get(at..span.start).unwrap_or_default();
        out.push_str(before);
        rest.push_str(before);
        rest.push('\0');
        out.push_str(&look(&handle));
        at = span.end;
    }
    let tail = text.get(at..).unwrap_or_default();
    out.push_str(tail);
    rest.push_str(tail);
    if rest.len() >= HANDLE_BYTES_MIN && hidden::is_in(&rest) {
        return Err(HIDDEN);
    }
    Ok((at > 0).then_some(out))
}

/// Refuses a handle where no value can stand, in whatever spelling.
pub(super) fn none_in(text: &str) -> Result<(), Unread> {
    let there = text.len() >= HANDLE_BYTES_MIN
        && (handles_in(text).next().is_some() || hidden::is_in(text));
    match there {
        true => Err(ELSEWHERE),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "Ö \"q\" \\ a+b&c=d%\n1";

    fn handle() -> String {
        Handle::new([9; 16], Some([8; 16])).to_string()
    }

    fn fill(writing: Writing, text: &str) -> Result<Option<String>, Unread> {
        let mut look = |_: &Handle| Zeroizing::new(VALUE.to_owned());
        let filled = body(writing, text.as_bytes(), &mut look)?;
        Ok(filled.map(|filled| filled.to_string()))
    }

    #[test]
    fn a_value_is_written_so_that_its_reader_reads_the_value() {
        let handle = handle();
        let escaped: String = handle.bytes().map(|one| format!("\\u{one:04x}")).collect();
        let percent: String = handle.bytes().map(|one| format!("%{one:02X}")).collect();
        for spelled in [&handle, &escaped] {
            let text =
                format!("{{\"a\": [\"<{spelled}>{spelled}\", 1.50, \"\\u00e9\"], \"a\": null}}");
            let filled = fill(Writing::Json, &text).unwrap().unwrap();
            let read: serde_json::Value =
                serde_json::from_str(&filled.replace(", \"a\": null", "")).unwrap();
            assert_eq!(read["a"][0], format!("<{VALUE}>{VALUE}"));
            // Whatever holds no handle stays as the guest wrote it.
            assert!(
                filled.ends_with(", 1.50, \"\\u00e9\"], \"a\": null}"),
                "{filled}"
            );
        }
        for spelled in [&handle, &percent] {
            let filled = fill(Writing::Form, &format!("x=%41+&to={spelled}&y"))
                .unwrap()
                .unwrap();
            let pairs: Vec<_> = url::form_urlencoded::parse(filled.as_bytes()).collect();
            assert_eq!(pairs[1], ("to".into(), VALUE.into()));
            assert!(
                filled.starts_with("x=%41+&to=") && filled.ends_with("&y"),
                "{filled}"
            );
        }
        let filled = fill(Writing::Plain, &format!("To {handle}, {handle}")).unwrap();
        assert_eq!(filled.unwrap(), format!("To {VALUE}, {VALUE}"));
        for nothing in [Writing::Json, Writing::Form, Writing::Plain, Writing::Other] {
            assert_eq!(
                fill(
                    nothing,
                    "{\"a\": \"sealed_ and more of that kind of text\"}"
                ),
                Ok(None)
            );
        }
    }

    #[test]
    fn a_handle_that_one_reader_finds_and_another_does_not_is_refused() {
        let handle = handle();
        let escaped = handle.replace('s', "\\u0073");
        let percent = handle.replace('s', "%73");
        for (writing, text) in [
            (Writing::Json, format!("{{\"a\": \"{percent}\"}}")),
            (
                Writing::Json,
                format!("{{\"a\": \"{}\"}}", escaped.replace('\\', "\\\\")),
            ),
            (Writing::Json, format!("{{\"{handle}\": 1}}")),
            (Writing::Json, format!("{{\"{escaped}\": 1}}")),
            // No JSON, whatever it says.
            (Writing::Json, format!("{{\"a\": \"{handle}\"")),
            (Writing::Json, format!("\u{feff}\"{handle}\"")),
            (Writing::Json, format!("\"\\ud800{handle}\"")),
            (Writing::Form, format!("a={}", percent.replace('%', "%25"))),
            (Writing::Form, format!("a={escaped}")),
            (Writing::Form, format!("{handle}=1")),
            (Writing::Form, percent.clone()),
            (Writing::Form, format!("a=%ff{handle}")),
            (Writing::Plain, percent.clone()),
            (Writing::Plain, escaped.clone()),
            (Writing::Plain, format!("{handle} {percent}")),
            (Writing::Plain, hex::encode(&handle)),
            (Writing::Other, handle.clone()),
            (Writing::Other, percent.clone()),
        ] {
            assert!(fill(writing, &text).is_err(), "{writing:?} {text}");
        }
    }

    #[test]
    fn a_body_is_read_by_what_it_says_it_is() {
        let of = |fields: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, HeaderValue::from_static(value));
            }
            Writing::of(&map)
        };
        for (said, writing) in [
            ("application/json", Writing::Json),
            ("Application/Problem+JSON; charset=\"UTF-8\"", Writing::Json),
            ("application/x-www-form-urlencoded", Writing::Form),
            ("text/plain; charset=us-ascii; x=y", Writing::Plain),
            ("text/html", Writing::Other),
            ("multipart/form-data; boundary=x", Writing::Other),
        ] {
            assert_eq!(of(&[("content-type", said)]), Ok(writing), "{said}");
        }
        assert_eq!(of(&[]), Ok(Writing::Other));
        let two = [
            ("content-type", "text/plain"),
            ("content-type", "application/json"),
        ];
        assert_eq!(of(&two), Ok(Writing::Other));
        assert!(of(&[("content-encoding", "gzip")]).is_err());
        assert!(of(&[("content-encoding", "identity")]).is_ok());
        assert!(of(&[("content-type", "text/plain; charset=utf-16")]).is_err());
    }

    #[test]
    fn a_field_takes_a_value_that_cannot_become_another_field() {
        let handle = handle();
        let fill = |said: &str, value: &str| {
            let said = HeaderValue::from_str(said).unwrap();
            let name = HeaderName::from_static("x-to");
            field(&name, &said, &mut |_| Zeroizing::new(value.to_owned()))
        };
        let filled = fill(&format!("to {handle}"), "a@example.com")
            .unwrap()
            .unwrap();
        assert_eq!(filled, "to a@example.com");
        assert!(filled.is_sensitive());
        assert_eq!(fill("nothing", "a@example.com"), Ok(None));
        for value in ["a\r\nx: y", "a,b", "a; b", "\"a", "Ö", " a", "a\\b", "a\0"] {
            assert_eq!(fill(&handle, value), Err(NOT_A_FIELD), "{value}");
        }
        assert!(fill(&handle.replace('s', "%73"), "a@example.com").is_err());
        let said = HeaderValue::from_str(&handle).unwrap();
        let mut look = |_: &Handle| Zeroizing::new("text/plain".to_owned());
        assert_eq!(field(&CONTENT_TYPE, &said, &mut look), Err(ELSEWHERE));
    }
}
