//! From what a guest returned to a reply: every bound is checked before a value is built.
//!
//! The engine itself bounds what is copied out of the guest, in the store's host-call limit; this is about what is left.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bindings::bailiwick::tool::types;
use super::media;
use super::outcome::{Body, Content, Ending, Reply};

use crate::limits::{ARGUMENTS_DEPTH_MAX, REPLY_BLOCKS_MAX, REPLY_BYTES_MAX};

/// Longest media type, in bytes: RFC 6838 §4.2 allows 127 on each side of the slash.
const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// Longest URI, in bytes.
const URI_BYTES_MAX: usize = 8 * 1024;
/// Longest error text of a guest, in bytes: it is for a model to read.
const ERROR_BYTES_MAX: usize = 4 * 1024;

/// The ending of a guest that returned, and the bytes that it returned. `structured` says whether its definition has an
/// output schema; whether the value fits it is judged by the catalog.
pub(super) fn ending(
    returned: Result<types::Reply, types::Error>,
    structured: bool,
) -> (Ending, u64) {
    match returned {
        Ok(reply) => {
            let bytes = reply_bytes(&reply);
            (convert(reply, bytes, structured), count(bytes))
        }
        Err(error) => {
            let (make, text): (fn(String) -> Ending, String) = match error {
                types::Error::InvalidArguments(text) => (Ending::InvalidArguments, text),
                types::Error::Denied(text) => (Ending::Denied, text),
                types::Error::Failed(text) | types::Error::Other(text) => (Ending::Failed, text),
            };
            let bytes = text.len();
            if bytes > REPLY_BYTES_MAX {
                (Ending::ReplyTooLarge, count(bytes))
            } else {
                (make(cut(text, ERROR_BYTES_MAX)), count(bytes))
            }
        }
    }
}

fn convert(reply: types::Reply, bytes: usize, structured: bool) -> Ending {
    if bytes > REPLY_BYTES_MAX || reply.content.len() > REPLY_BLOCKS_MAX {
        return Ending::ReplyTooLarge;
    }
    let value = match reply.structured {
        Some(text) => match json(&text) {
            Ok(value) => Some(value),
            Err(why) => return Ending::ReplyInvalid(why),
        },
        None if structured => {
            return Ending::ReplyInvalid(
                "the definition has an output schema and the reply no structured part".to_owned(),
            );
        }
        None => None,
    };
    let content: Result<Vec<Content>, String> = reply.content.into_iter().map(block).collect();
    match content {
        Ok(content) => Ending::Replied(Reply {
            content,
            structured: value,
            masked: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            marked: 0,
        }),
        Err(why) => Ending::ReplyInvalid(why),
    }
}

/// Parses JSON whose nesting was counted first.
fn json(text: &str) -> Result<Value, String> {
    if depth(text) > ARGUMENTS_DEPTH_MAX {
        return Err(format!(
            "the structured part is nested deeper than {ARGUMENTS_DEPTH_MAX}"
        ));
    }
    // The parser's own message would quote the guest's text.
    serde_json::from_str(text).map_err(|error| {
        format!(
            "the structured part is not JSON: line {} column {}",
            error.line(),
            error.column()
        )
    })
}

/// The deepest nesting of brackets outside strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn block(content: types::Content) -> Result<Content, String> {
    Ok(match content {
        types::Content::Text(text) => Content::Text(text),
        types::Content::Image(media) => Content::Image {
            mime_type: shown(media.mime_type, &media.data, media::is_image)?,
            data: media.data,
        },
        types::Content::Audio(media) => Content::Audio {
            mime_type: shown(media.mime_type, &media.data, media::is_audio)?,
            data: media.data,
        },
        types::Content::ResourceLink(link) => Content::Link {
            uri: uri(link.uri)?,
            name: link.name,
            title: link.title,
            description: link.description,
            mime_type: link.mime_type.map(media_type).transpose()?,
            size: link.size,
        },
        types::Content::Embedded(resource) => Content::Resource {
            uri: uri(resource.uri)?,
            mime_type: resource.mime_type.map(media_type).transpose()?,
            body: match resource.body {
                types::ResourceBody::Text(text) => Body::Text(text),
                types::ResourceBody::Blob(bytes) => Body::Blob(bytes),
            },
        },
    })
}

/// The media type of a block whose bytes begin as that type does.
fn shown(declared: String, data: &[u8], is: fn(&str, &[u8]) -> bool) -> Result<String, String> {
    let declared = media_type(declared)?;
    let essence = declared.split(';').next().unwrap_or_default();
    if is(&essence.trim_end().to_ascii_lowercase(), data) {
        Ok(declared)
    } else {
        Err(
            "a block is not of the media type that it declares, or of one that is not shown"
                .to_owned(),
        )
    }
}

/// `type/subtype`, with parameters.
fn media_type(text: String) -> Result<String, String> {
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let valid = text.len() <= MEDIA_TYPE_BYTES_MAX
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        && essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if valid {
        Ok(text)
    } else {
        Err("a block has a media type that is none".to_owned())
    }
}

/// RFC 3986 §3.1: a scheme comes first; nothing in it is invisible.
fn uri(text: String) -> Result<String, String> {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let visible = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if scheme && visible && text.len() <= URI_BYTES_MAX {
        Ok(text)
    } else {
        Err("a block has a URI that is none".to_owned())
    }
}

fn reply_bytes(reply: &types::Reply) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let blocks: usize = reply
        .content
        .iter()
        .map(|content| match content {
            types::Content::Text(text) => text.len(),
            types::Content::Image(media) | types::Content::Audio(media) => {
                media.data.len() + media.mime_type.len()
            }
            types::Content::ResourceLink(link) => {
                link.uri.len()
                    + link.name.len()
                    + optional(&link.title)
                    + optional(&link.description)
                    + optional(&link.mime_type)
            }
            types::Content::Embedded(resource) => {
                let body = match &resource.body {
                    types::ResourceBody::Text(text) => text.len(),
                    types::ResourceBody::Blob(bytes) => bytes.len(),
                };
                resource.uri.len() + optional(&resource.mime_type) + body
            }
        })
        .sum();
    blocks + optional(&reply.structured)
}

/// The beginning of a text, at a character's edge.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: impl Into<String>) -> types::Content {
        types::Content::Text(text.into())
    }

    fn reply(
        content: Vec<types::Content>,
        structured: Option<&str>,
    ) -> Result<types::Reply, types::Error> {
        Ok(types::Reply {
            content,
            structured: structured.map(str::to_owned),
        })
    }

    #[test]
    fn a_reply_passes_with_its_size() {
        let (ending, bytes) = ending(reply(vec![text("hi")], Some("{\"a\":[1]}")), true);
        let Ending::Replied(reply) = ending else {
            panic!("{ending:?}")
        };
        assert_eq!(reply.content, [Content::Text("hi".into())]);
        assert_eq!(reply.structured, Some(serde_json::json!({"a": [1]})));
        assert_eq!(bytes, 11);
    }

    #[test]
    fn a_reply_is_bounded_in_bytes_and_blocks() {
        let large = ending(
            reply(vec![text("x".repeat(REPLY_BYTES_MAX + 1))], None),
            false,
        );
        assert!(matches!(large.0, Ending::ReplyTooLarge));
        let many = ending(reply(vec![text(""); REPLY_BLOCKS_MAX + 1], None), false);
        assert!(matches!(many.0, Ending::ReplyTooLarge));
        let error = Err(types::Error::Failed("x".repeat(REPLY_BYTES_MAX + 1)));
        assert!(matches!(ending(error, false).0, Ending::ReplyTooLarge));
    }

    #[test]
    fn structured_output_is_bounded_in_depth_before_it_is_parsed() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let at = ending(reply(vec![], Some(&nested(ARGUMENTS_DEPTH_MAX))), true);
        assert!(matches!(at.0, Ending::Replied(_)));
        let over = ending(reply(vec![], Some(&nested(ARGUMENTS_DEPTH_MAX + 1))), true);
        assert!(matches!(over.0, Ending::ReplyInvalid(_)));
        assert_eq!(depth(r#"{"a":"[[[[\"[[["}"#), 1);
    }

    #[test]
    fn structured_output_is_json_and_present_where_it_is_promised() {
        for (given, promised) in [(Some("{"), true), (Some(""), false), (None, true)] {
            let (ending, _) = ending(reply(vec![], given), promised);
            assert!(matches!(ending, Ending::ReplyInvalid(_)), "{given:?}");
        }
    }

    #[test]
    fn a_media_type_and_a_uri_are_what_they_say() {
        for good in [
            "image/png",
            "text/plain; charset=utf-8",
            "application/ld+json",
        ] {
            assert!(media_type(good.into()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "png",
            "image/",
            "/png",
            "a b/c",
            "image/png\r\nX: y",
            "é/x",
        ] {
            assert!(media_type(bad.into()).is_err(), "{bad}");
        }
        for good in ["https://a.example/x", "file:///notes/a", "urn:x:y"] {
            assert!(uri(good.into()).is_ok(), "{good}");
        }
        for bad in ["", "no scheme", "1x:a", "a:b\nc", ":x"] {
            assert!(uri(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_picture_that_is_none_is_not_shown() {
        let image = |mime_type: &str, data: &[u8]| {
            types::Content::Image(types::Media {
                mime_type: mime_type.to_owned(),
                data: data.to_vec(),
            })
        };
        let png = b"\x89PNG\r\n\x1a\n";
        for (content, passes) in [
            (image("image/png", png), true),
            (image("IMAGE/PNG; x=1", png), true),
            (image("image/jpeg", png), false),
            (image("image/png", b"<script>"), false),
            (image("audio/wav", b"RIFF\0\0\0\0WAVE"), false),
        ] {
            let (ending, _) = ending(reply(vec![content], None), false);
            match passes {
                true => assert!(matches!(ending, Ending::Replied(_)), "{ending:?}"),
                false => assert!(matches!(ending, Ending::ReplyInvalid(_)), "{ending:?}"),
            }
        }
    }

    #[test]
    fn a_guests_error_keeps_its_kind() {
        let end = |error| ending(Err(error), false).0.name();
        assert_eq!(
            end(types::Error::InvalidArguments("x".into())),
            "invalid-arguments"
        );
        assert_eq!(end(types::Error::Denied("x".into())), "denied");
        assert_eq!(end(types::Error::Failed("x".into())), "failed");
        assert_eq!(end(types::Error::Other("x".into())), "failed");
    }
}
