//! A tool's reply as MCP content.
//!
//! The reply of a tool is untrusted text that a terminal or a model will read: control characters and escape sequences are taken
//! out of it. Never changes structured output, whose shape its schema promised.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    AudioContent, CallToolResult, ContentBlock, ImageContent, MetaObject, Resource,
    ResourceContents,
};

use super::line::Era;
use crate::protect::clean;
use crate::sandbox::{Body, Content, Reply};

/// Where a result says how much of which class of data was masked in it: `{"email": 2}`.
const MASKED_META: &str = "bailiwick/masked";
/// The same of what was encrypted, and stands there as handles.
const ENCRYPTED_META: &str = "bailiwick/encrypted";
/// Where a result says how many characters that nobody sees were named in it.
const MARKED_META: &str = "bailiwick/marked";

/// The result of a call that a tool answered.
pub(super) fn result(reply: Reply, era: Era) -> CallToolResult {
    let has_text = reply
        .content
        .iter()
        .any(|block| matches!(block, Content::Text(_)));
    let mut content: Vec<ContentBlock> = reply.content.into_iter().map(block).collect();
    // Structured output also stands in text (P36): for clients that show text alone, and for those of the legacy era, which are
    // not sent any that is not an object.
    if let Some(structured) = &reply.structured {
        let is_withheld = era == Era::Legacy && !structured.is_object();
        if !has_text || is_withheld {
            let text = structured.to_string();
            content.push(ContentBlock::text(clean(&text)));
        }
    }
    let mut result = CallToolResult::success(content);
    result.structured_content = reply.structured;
    let mut meta = MetaObject::new();
    if !reply.masked.is_empty() {
        meta.insert(MASKED_META.to_owned(), serde_json::json!(reply.masked));
    }
    if !reply.encrypted.is_empty() {
        meta.insert(
            ENCRYPTED_META.to_owned(),
            serde_json::json!(reply.encrypted),
        );
    }
    if reply.marked > 0 {
        meta.insert(MARKED_META.to_owned(), serde_json::json!(reply.marked));
    }
    result.meta = (!meta.is_empty()).then_some(meta);
    result
}

fn block(content: Content) -> ContentBlock {
    match content {
        Content::Text(text) => ContentBlock::text(clean(&text)),
        Content::Image { data, mime_type } => {
            ContentBlock::Image(ImageContent::new(STANDARD.encode(data), clean(&mime_type)))
        }
        Content::Audio { data, mime_type } => {
            ContentBlock::Audio(AudioContent::new(STANDARD.encode(data), clean(&mime_type)))
        }
        Content::Link {
            uri,
            name,
            title,
            description,
            mime_type,
            size,
        } => {
            let mut link = Resource::new(clean(&uri), clean(&name));
            link.title = title.map(cleaned);
            link.description = description.map(cleaned);
            link.mime_type = mime_type.map(cleaned);
            link.size = size;
            ContentBlock::resource_link(link)
        }
        Content::Resource {
            uri,
            mime_type,
            body,
        } => {
            let uri = cleaned(uri);
            let mime_type = mime_type.map(cleaned);
            ContentBlock::resource(match body {
                Body::Text(text) => ResourceContents::TextResourceContents {
                    uri,
                    mime_type,
                    text: cleaned(text),
                    meta: None,
                },
                Body::Blob(bytes) => ResourceContents::BlobResourceContents {
                    uri,
                    mime_type,
                    blob: STANDARD.encode(bytes),
                    meta: None,
                },
            })
        }
    }
}

fn cleaned(text: String) -> String {
    match clean(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn p39_escape_sequences_and_control_characters_are_taken_out() {
        for (dirty, expected) in [
            ("plain\n\ttext ✓", "plain\n\ttext ✓"),
            ("a\u{1b}[31mred\u{1b}[0m", "ared"),
            ("\u{1b}]0;title\u{7}b", "b"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9b}2Jc", "c"),
            ("\u{1b}(Bd\u{1b}c", "d"),
            ("e\r\nf\u{0}\u{8}\u{7f}\u{85}", "e\nf"),
            ("g\u{1b}]never ends\nnext line", "g\nnext line"),
            ("h\u{1b}", "h"),
            ("\u{1b}\u{1b}[1mi", "i"),
        ] {
            assert_eq!(clean(dirty), expected, "{dirty:?}");
        }
        assert!(matches!(clean("untouched"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn p39_clean_text_holds_no_control_characters(text in "(\\PC|[\u{0}-\u{1f}\u{7f}-\u{9f}\\[\\];]){0,64}") {
            let clean = clean(&text);
            prop_assert!(!clean.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert!(text.contains(char::is_control) || clean == text);
        }
    }

    #[test]
    fn p36_structured_output_also_stands_in_text() {
        let reply = |content: Vec<Content>| Reply {
            content,
            structured: Some(json!({"n": 1})),
            masked: Default::default(),
            encrypted: Default::default(),
            marked: 0,
        };
        let alone = result(reply(vec![]), Era::Modern);
        assert_eq!(alone.content, [ContentBlock::text(r#"{"n":1}"#)]);
        assert_eq!(alone.structured_content, Some(json!({"n": 1})));
        let with_text = result(reply(vec![Content::Text("one".into())]), Era::Modern);
        assert_eq!(with_text.content, [ContentBlock::text("one")]);
    }

    #[test]
    fn p36_a_legacy_client_reads_output_that_is_no_object_as_text() {
        let reply = Reply {
            content: vec![Content::Text("two".into())],
            structured: Some(json!([1, 2])),
            masked: Default::default(),
            encrypted: Default::default(),
            marked: 0,
        };
        let shown = result(reply, Era::Legacy);
        assert_eq!(
            shown.content,
            [ContentBlock::text("two"), ContentBlock::text("[1,2]")]
        );
    }

    #[test]
    fn every_kind_of_content_has_its_form() {
        let reply = Reply {
            content: vec![
                Content::Image {
                    data: vec![1, 2, 3],
                    mime_type: "image/png".into(),
                },
                Content::Audio {
                    data: vec![255],
                    mime_type: "audio/wav".into(),
                },
                Content::Link {
                    uri: "https://x.example/".into(),
                    name: "x\u{7}".into(),
                    title: Some("t".into()),
                    description: None,
                    mime_type: None,
                    size: Some(3),
                },
                Content::Resource {
                    uri: "test://r".into(),
                    mime_type: Some("text/plain".into()),
                    body: Body::Text("r".into()),
                },
                Content::Resource {
                    uri: "test://b".into(),
                    mime_type: None,
                    body: Body::Blob(vec![0]),
                },
            ],
            structured: None,
            masked: Default::default(),
            encrypted: Default::default(),
            marked: 0,
        };
        assert_eq!(
            serde_json::to_value(result(reply, Era::Modern).content).unwrap(),
            json!([
                {"type": "image", "data": "AQID", "mimeType": "image/png"},
                {"type": "audio", "data": "/w==", "mimeType": "audio/wav"},
                {"type": "resource_link", "uri": "https://x.example/", "name": "x", "title": "t", "size": 3},
                {"type": "resource", "resource": {"uri": "test://r", "mimeType": "text/plain", "text": "r"}},
                {"type": "resource", "resource": {"uri": "test://b", "blob": "AA=="}},
            ])
        );
    }
}
