//! How a call ended, and what it used.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::dialogue::Asked;
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
#[derive(Debug)]
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
            Self::OutOfTime => "out-of-time",
            Self::OutOfBounds => "out-of-bounds",
            Self::ReplyTooLarge => "reply-too-large",
            Self::ReplyInvalid(_) => "reply-invalid",
            Self::ReplyWithheld(_) => "reply-withheld",
            Self::Asked(_) => "asked-user",
            Self::AskedOtherwise => "asked-otherwise",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::Overloaded => "overloaded",
            Self::Fault(_) => "fault",
        }
    }
}

/// What a guest answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Content for the model and the user.
    pub content: Vec<Content>,
    /// Structured output, checked against the tool's output schema.
    pub structured: Option<Value>,
    /// How much of which class of data was masked in it, after the guest answered.
    pub masked: BTreeMap<Class, u64>,
}

/// One block of content.
#[derive(Debug, Clone, PartialEq)]
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

/// The body of an embedded resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
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
