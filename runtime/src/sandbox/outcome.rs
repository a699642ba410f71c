//! How a call ended, and what it used.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::dialogue::{Answered, Asked};
use crate::protect::Class;

/// How one call in the sandbox ended and what it took.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What it used.
    pub usage: Usage,
}

/// How a call ended. Every way has a name; none of them is our fault but [`Ending::Fault`].
#[derive(Clone)]
pub enum Ending {
    /// The guest answered.
    Replied(Reply),
    /// The guest says that the arguments are wrong.
    InvalidArguments(String),
    /// The guest says that it was denied something that it needs.
    Denied(String),
    /// The guest says that it failed.
    Failed(String),
    /// The guest trapped, or panicked.
    Trapped,
    /// The guest called `exit`.
    Exited,
    /// The process in which the guest ran ended under it, or said what none of ours says.
    Lost,
    /// The deadline passed.
    OutOfTime,
    /// The guest wanted more memory, table space or handles than it may have.
    OutOfBounds,
    /// The reply is larger than its bound.
    ReplyTooLarge,
    /// The reply is not what the tool's definition says, or not well formed.
    ReplyInvalid(String),
    /// The reply holds data that may not be shown and cannot be masked.
    ReplyWithheld(String),
    /// The guest asks its user something; the call goes on when that is answered, in another run.
    Asked(Box<Asked>),
    /// The guest asked something else than in the run before, to which the answers belong.
    AskedOtherwise,
    /// The guest called a tool that its user has to be asked about first. The call goes on when that is decided, in another run,
    /// with these questions answered.
    CalleeAsks(Vec<Answered>),
    /// The caller went away.
    Cancelled,
    /// The consents under which it ran were revoked.
    Revoked,
    /// Every place is taken; the guest never started.
    Overloaded,
    /// Our own fault; the text is for the log alone.
    Fault(String),
}

impl Ending {
    /// Its name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Replied(_) => "replied",
            Self::InvalidArguments(_) => "invalid-arguments",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
            Self::Trapped => "trapped",
            Self::Exited => "exited",
            Self::Lost => "lost",
            Self::OutOfTime => "out-of-time",
            Self::OutOfBounds => "out-of-bounds",
            Self::ReplyTooLarge => "reply-too-large",
            Self::ReplyInvalid(_) => "reply-invalid",
            Self::ReplyWithheld(_) => "reply-withheld",
            Self::Asked(_) => "asked-user",
            Self::AskedOtherwise => "asked-otherwise",
            Self::CalleeAsks(_) => "callee-asks",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::Overloaded => "overloaded",
            Self::Fault(_) => "fault",
        }
    }
}

/// Its name; what a guest says gets into no log by accident.
impl fmt::Debug for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(detail) => write!(out, "fault({detail})"),
            other => out.write_str(other.name()),
        }
    }
}

/// What a guest answered.
#[derive(Clone, Default, PartialEq)]
pub struct Reply {
    /// Content for the model and the user.
    pub content: Vec<Content>,
    /// Structured output, checked against the tool's output schema.
    pub structured: Option<Value>,
    /// How much of which class of data was masked in it, after the guest answered.
    pub masked: BTreeMap<Class, u64>,
    /// How much of which class was replaced by handles, after the guest answered.
    pub encrypted: BTreeMap<Class, u64>,
    /// How many characters that nobody sees were named in it, after the guest answered.
    pub marked: u64,
}

/// Numbers and names alone, as for [`Ending`].
impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reply")
            .field("content", &self.content.len())
            .field("structured", &self.structured.is_some())
            .field("masked", &self.masked)
            .field("encrypted", &self.encrypted)
            .field("marked", &self.marked)
            .finish()
    }
}

/// One block of content.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// An image.
    Image { data: Vec<u8>, mime_type: String },
    /// Sound.
    Audio { data: Vec<u8>, mime_type: String },
    /// A link to a resource.
    Link {
        uri: String,
        name: String,
        title: Option<String>,
        description: Option<String>,
        mime_type: Option<String>,
        size: Option<u64>,
    },
    /// A resource that is part of the reply.
    Resource {
        uri: String,
        mime_type: Option<String>,
        body: Body,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "text({} bytes)", text.len()),
            Self::Image { data, .. } => write!(out, "image({} bytes)", data.len()),
            Self::Audio { data, .. } => write!(out, "audio({} bytes)", data.len()),
            Self::Link { .. } => out.write_str("link"),
            Self::Resource { body, .. } => write!(out, "resource({body:?})"),
        }
    }
}

impl Content {
    /// The same block with other texts and other bytes.
    pub fn map(
        self,
        text: &mut impl FnMut(String) -> String,
        bytes: &mut impl FnMut(Vec<u8>) -> Vec<u8>,
    ) -> Self {
        match self {
            Self::Text(one) => Self::Text(text(one)),
            Self::Image { data, mime_type } => Self::Image {
                data: bytes(data),
                mime_type: text(mime_type),
            },
            Self::Audio { data, mime_type } => Self::Audio {
                data: bytes(data),
                mime_type: text(mime_type),
            },
            Self::Link {
                uri,
                name,
                title,
                description,
                mime_type,
                size,
            } => Self::Link {
                uri: text(uri),
                name: text(name),
                title: title.map(&mut *text),
                description: description.map(&mut *text),
                mime_type: mime_type.map(&mut *text),
                size,
            },
            Self::Resource {
                uri,
                mime_type,
                body,
            } => Self::Resource {
                uri: text(uri),
                mime_type: mime_type.map(&mut *text),
                body: match body {
                    Body::Text(one) => Body::Text(text(one)),
                    Body::Blob(blob) => Body::Blob(bytes(blob)),
                },
            },
        }
    }
}

/// The body of an embedded resource.
#[derive(Clone, PartialEq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(out, "{} bytes of text", text.len()),
            Self::Blob(bytes) => write!(out, "{} bytes", bytes.len()),
        }
    }
}

/// What a call used. Sizes and counts, never values.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Wall-clock time in the sandbox.
    pub wall: Duration,
    /// Highest linear memory, in bytes.
    pub memory_bytes_peak: u64,
    /// Bytes of the reply.
    pub reply_bytes: u64,
    /// Lines that the guest logged, dropped ones included.
    pub log_lines: u64,
    /// Whether it had an effect outside, as far as can be told.
    pub acted: bool,
    /// What each host function did: `http GET example.com` to count and bytes.
    pub effects: BTreeMap<String, Effect>,
}

/// How often an effect happened and how many bytes went through it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// How often.
    pub count: u64,
    /// How many of them were refused at the border.
    pub refused: u64,
    /// Bytes out of the sandbox.
    pub bytes_out: u64,
    /// Bytes into the sandbox.
    pub bytes_in: u64,
}

#[cfg(test)]
impl Reply {
    /// All that it says, which its `Debug` does not show.
    pub(crate) fn said(&self) -> String {
        let all = std::cell::RefCell::new(String::new());
        for block in self.content.clone() {
            let mut text = |text: String| {
                all.borrow_mut().push_str(&text);
                text
            };
            let mut bytes = |bytes: Vec<u8>| {
                all.borrow_mut().push_str(&String::from_utf8_lossy(&bytes));
                bytes
            };
            block.map(&mut text, &mut bytes);
        }
        all.into_inner() + &self.structured.clone().unwrap_or_default().to_string()
    }
}

#[cfg(test)]
impl Ending {
    /// What it says, which its `Debug` does not show.
    pub(crate) fn said(&self) -> &str {
        match self {
            Self::InvalidArguments(text)
            | Self::Denied(text)
            | Self::Failed(text)
            | Self::ReplyInvalid(text)
            | Self::ReplyWithheld(text)
            | Self::Fault(text) => text,
            other => panic!("{other:?} has no text"),
        }
    }
}
