//! The language of a page: of those in which we write, the one that the browser likes best.

use std::cmp::Reverse;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::fault::Untold;
use super::words::{EN, JA, Words};

/// Preferences that are looked at, the first ones. Browsers send fewer than ten.
const RANGES_MAX: usize = 32;

/// A language in which every page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English, for whoever likes none of ours.
    English,
    /// Japanese.
    Japanese,
}

/// A language that the browser names, and how much it likes it.
struct Range<'a> {
    /// The first subtag: `ja` of `ja-JP`.
    primary: &'a str,
    /// In thousandths.
    quality: u16,
}

impl Language {
    const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// What the browser likes best (RFC 9110 §12.5.4). Of two that it likes equally, the one that it names first.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let ranges: Vec<_> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(Range::parse)
            .take(RANGES_MAX)
            .collect();
        let mut best = (Self::English, None);
        for language in Self::ALL {
            let liked = language.liked(&ranges);
            if liked > best.1 {
                best = (language, liked);
            }
        }
        best.0
    }

    /// How much it is liked, and how early; nothing where it is not wanted.
    fn liked(self, ranges: &[Range<'_>]) -> Option<(u16, Reverse<usize>)> {
        let of = |primary: &'static str| {
            let all = ranges.iter().enumerate();
            all.filter(move |(_, range)| range.primary.eq_ignore_ascii_case(primary))
                .map(|(place, range)| (range.quality, Reverse(place)))
                .max()
        };
        of(self.tag())
            .or_else(|| of("*"))
            .filter(|(quality, _)| *quality > 0)
    }

    /// The language that a form of ours names.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.tag() == tag)
    }

    /// It, as BCP 47 writes it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    /// All texts in it.
    pub(crate) fn words(self) -> &'static Words {
        match self {
            Self::English => &EN,
            Self::Japanese => &JA,
        }
    }
}

impl<'a> Range<'a> {
    /// One preference; what cannot be read is none.
    fn parse(text: &'a str) -> Option<Self> {
        let (range, quality) = match text.split_once(';') {
            Some((range, weight)) => (range, thousandths(weight.trim())?),
            None => (text, 1000),
        };
        let primary = range.trim().split('-').next()?;
        (!primary.is_empty()).then_some(Self { primary, quality })
    }
}

/// `q=0.8` as 800 (RFC 9110 §12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let (name, value) = weight.split_once('=')?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    if !name.eq_ignore_ascii_case("q") || !matches!(whole, "0" | "1") || !digits {
        return None;
    }
    let all: u16 = format!("{whole}{fraction:0<3}").parse().ok()?;
    (all <= 1000).then_some(all)
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Tells in the browser's language what went wrong where nobody knew it, and says in which language a page is.
pub(super) async fn speak(request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    let mut response = next.run(request).await;
    if let Some(untold) = response.extensions_mut().remove::<Untold>() {
        response = untold.page(language);
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        let tag = HeaderValue::from_static(language.tag());
        let vary = HeaderValue::from_static("Accept-Language");
        response.headers_mut().insert(header::CONTENT_LANGUAGE, tag);
        response.headers_mut().append(header::VARY, vary);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(header::ACCEPT_LANGUAGE, line);
        }
        Language::of(&headers).tag()
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_likes_best() {
        for (line, tag) in [
            ("ja", "ja"),
            ("JA", "ja"),
            ("ja-JP", "ja"),
            ("en", "en"),
            ("en-GB,ja;q=0.9", "en"),
            ("ja,en-US;q=0.9,en;q=0.8", "ja"),
            ("en;q=0.8, ja;q=0.9", "ja"),
            ("en;q=0.5,ja;q=0.500", "en"),
            ("ja;q=0.5,en;q=0.5", "ja"),
            ("fr,ja;q=0.1", "ja"),
            ("de, *", "en"),
            ("en;q=0, *", "ja"),
            ("*;q=0.2, ja;q=0.1", "en"),
            ("ja;q=0.001 , en ;Q=0", "ja"),
        ] {
            assert_eq!(of(&[line]), tag, "{line}");
        }
        assert_eq!(of(&["fr", "ja;q=0.3"]), "ja", "in two lines");
    }

    #[test]
    fn whoever_likes_none_of_ours_or_says_nothing_readable_gets_english() {
        for line in [
            "",
            "fr,de;q=0.5",
            "ja;q=0",
            "ja;q=0.0,*;q=0",
            "ja;q=2",
            "ja;q=1.001",
            "ja;q=0.1234",
            "ja;q=-1",
            "ja;q=",
            "ja;level=1",
            "-ja",
            "jam",
            ";q=1",
            "日本語",
        ] {
            assert_eq!(of(&[line]), "en", "{line}");
        }
        assert_eq!(of(&[]), "en");
        let many = format!("{}ja", "fr,".repeat(RANGES_MAX));
        assert_eq!(of(&[&many]), "en", "more than is looked at");
    }
}
