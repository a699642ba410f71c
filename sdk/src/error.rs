//! Why a tool has no reply.

use std::fmt;

use crate::ask::AskError;
use crate::call::CallError;
use crate::caller::CallerError;
use crate::files::FilesError;
use crate::http::HttpError;
use crate::kv::KvError;
use crate::progress::ProgressError;
use crate::reveal::RevealError;

/// Why a tool has no reply. The model reads the text of it, so say what would have worked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolError {
    /// The arguments are wrong; which, and what would be right.
    InvalidArguments(String),
    /// A capability that the tool needs was denied; what the tool was about to do.
    Denied(String),
    /// The arguments are right, and it did not work.
    Failed(String),
}

impl ToolError {
    /// The arguments are wrong.
    pub fn invalid_arguments(message: impl fmt::Display) -> Self {
        Self::InvalidArguments(message.to_string())
    }

    /// A capability was denied.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self::Denied(message.to_string())
    }

    /// It did not work.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArguments(message) => write!(f, "invalid arguments: {message}"),
            Self::Denied(message) => write!(f, "denied: {message}"),
            Self::Failed(message) => write!(f, "failed: {message}"),
        }
    }
}

impl std::error::Error for ToolError {}

impl From<HttpError> for ToolError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied => Self::denied(error),
            HttpError::InvalidRequest(_) => Self::invalid_arguments(error),
            HttpError::TimedOut | HttpError::TooLarge { .. } | HttpError::Failed(_) => {
                Self::failed(error)
            }
        }
    }
}

impl From<FilesError> for ToolError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Denied => Self::denied(error),
            FilesError::InvalidPath(_) => Self::invalid_arguments(error),
            FilesError::NotFound | FilesError::TooLarge { .. } | FilesError::Failed(_) => {
                Self::failed(error)
            }
        }
    }
}

impl From<ProgressError> for ToolError {
    fn from(error: ProgressError) -> Self {
        match error {
            ProgressError::Denied => Self::denied(error),
            ProgressError::Invalid(_) | ProgressError::TooMany | ProgressError::Other(_) => {
                Self::failed(error)
            }
        }
    }
}

impl From<AskError> for ToolError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Denied => Self::denied(error),
            AskError::Unavailable
            | AskError::Invalid(_)
            | AskError::TooMany
            | AskError::Other(_) => Self::failed(error),
        }
    }
}

impl From<CallError> for ToolError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied => Self::denied(error),
            CallError::InvalidArguments(_) => Self::invalid_arguments(error),
            CallError::Unavailable
            | CallError::TooDeep
            | CallError::TooMany
            | CallError::Cycle
            | CallError::NeedsConsent
            | CallError::Failed(_)
            | CallError::Other(_) => Self::failed(error),
        }
    }
}

impl From<RevealError> for ToolError {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::Denied => Self::denied(error),
            RevealError::Destroyed
            | RevealError::TooMany
            | RevealError::Unavailable
            | RevealError::Other(_) => Self::failed(error),
        }
    }
}

impl From<CallerError> for ToolError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Denied => Self::denied(error),
            CallerError::Form(_) | CallerError::Other(_) => Self::failed(error),
        }
    }
}

impl From<KvError> for ToolError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Denied => Self::denied(error),
            KvError::Contended | KvError::Failed(_) => Self::failed(error),
        }
    }
}
