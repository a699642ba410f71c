//! The border between the types of this crate and those of the WIT package. Exists only in a component.

use crate::ask::{Answer, AskError};
use crate::call::CallError;
use crate::caller::CallerError;
use crate::content::{Content, EmbeddedResource, Media, ResourceBody, ResourceLink};
use crate::error::ToolError;
use crate::log::Level;
use crate::progress::ProgressError;
use crate::reveal::RevealError;
use crate::tools::Tools;

use bindings::bailiwick::tool::{
    ask as host_ask, caller as host_caller, log as host_log, progress as host_progress,
    protected as host_protected, secrets as host_secrets, tools as host_tools, types,
};

pub use bindings::exports::bailiwick::tool::handler::{Definition, Description, Guest};
pub use types::{Error, Reply};

#[allow(unsafe_code, clippy::all, reason = "generated from `wit/`")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "tool",
        pub_export_macro: true,
    });
}

/// The interfaces of `wasi:keyvalue`.
#[allow(unsafe_code, clippy::all, reason = "generated from `wit/deps/`")]
pub mod keyvalue {
    wit_bindgen::generate!({
        path: "../wit/deps/keyvalue",
        world: "imports",
        generate_all,
    });
}

/// The interface of `wasi:config`.
pub mod config {
    use std::collections::BTreeMap;

    #[allow(unsafe_code, clippy::all, reason = "generated from `wit/deps/`")]
    pub mod bindings {
        wit_bindgen::generate!({
            path: "../wit/deps/config",
            world: "imports",
            generate_all,
        });
    }

    use bindings::wasi::config::store;

    // A host that could not read a value says so; to a tool that is as if none were set.
    pub(crate) fn get(key: &str) -> Option<String> {
        store::get(key).ok().flatten()
    }

    pub(crate) fn all() -> BTreeMap<String, String> {
        store::get_all().unwrap_or_default().into_iter().collect()
    }
}

pub fn describe(tools: Tools) -> Description {
    let tools = tools.describe().into_iter().map(|tool| Definition {
        name: tool.name,
        title: tool.title,
        description: tool.description,
        input_schema: tool.input_schema,
        output_schema: tool.output_schema,
        capabilities: tool.capabilities,
    });
    Description {
        tools: tools.collect(),
    }
}

pub fn call(tools: Tools, name: &str, arguments: &str) -> Result<types::Reply, Error> {
    let (content, structured) = tools
        .call(name, arguments)
        .map_err(|error| match error {
            ToolError::InvalidArguments(message) => Error::InvalidArguments(message),
            ToolError::Denied(message) => Error::Denied(message),
            ToolError::Failed(message) => Error::Failed(message),
        })?
        .into_parts();
    Ok(types::Reply {
        content: content.into_iter().map(block).collect(),
        structured,
    })
}

pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => host_log::Level::Trace,
        Level::Debug => host_log::Level::Debug,
        Level::Info => host_log::Level::Info,
        Level::Warn => host_log::Level::Warn,
        Level::Error => host_log::Level::Error,
    };
    host_log::log(level, message);
}

pub fn report(
    progress: f64,
    total: Option<f64>,
    message: Option<&str>,
) -> Result<(), ProgressError> {
    use host_progress::ProgressError as Host;

    host_progress::report(progress, total, message).map_err(|error| match error {
        Host::Denied => ProgressError::Denied,
        Host::Invalid(what) => ProgressError::Invalid(what),
        Host::TooMany => ProgressError::TooMany,
        Host::Other(what) => ProgressError::Other(what),
    })
}

pub fn ask(message: &str, schema: &str) -> Result<Answer<String>, AskError> {
    use host_ask::{Answer as Said, AskError as Host};

    match host_ask::form(message, schema) {
        Ok(Said::Submitted(text)) => Ok(Answer::Submitted(text)),
        Ok(Said::Declined) => Ok(Answer::Declined),
        Ok(Said::Cancelled) => Ok(Answer::Cancelled),
        Err(error) => Err(match error {
            Host::Denied => AskError::Denied,
            Host::Unavailable => AskError::Unavailable,
            Host::Invalid(what) => AskError::Invalid(what),
            Host::TooMany => AskError::TooMany,
            Host::Other(what) => AskError::Other(what),
        }),
    }
}

pub fn secret_exists(name: &str) -> bool {
    host_secrets::exists(name)
}

pub fn call_tool(name: &str, arguments: &str) -> Result<crate::reply::Reply, CallError> {
    use host_tools::CallError as Host;

    let reply = host_tools::call(name, arguments).map_err(|error| match error {
        Host::Denied => CallError::Denied,
        Host::Unavailable => CallError::Unavailable,
        Host::InvalidArguments(what) => CallError::InvalidArguments(what),
        Host::TooDeep => CallError::TooDeep,
        Host::TooMany => CallError::TooMany,
        Host::Cycle => CallError::Cycle,
        Host::NeedsConsent => CallError::NeedsConsent,
        Host::Failed(what) => CallError::Failed(what),
        Host::Other(what) => CallError::Other(what),
    })?;
    let blocks = reply.content.into_iter().map(content);
    Ok(crate::reply::Reply::of(blocks.collect(), reply.structured))
}

pub fn subject() -> Result<String, CallerError> {
    host_caller::subject().map_err(untold)
}

pub fn claim(name: &str) -> Result<Option<String>, CallerError> {
    host_caller::claim(name).map_err(untold)
}

fn untold(error: host_caller::CallerError) -> CallerError {
    match error {
        host_caller::CallerError::Denied => CallerError::Denied,
        host_caller::CallerError::Other(what) => CallerError::Other(what),
    }
}

pub fn reveal(handle: &str) -> Result<String, RevealError> {
    use host_protected::RevealError as Host;

    host_protected::reveal(handle).map_err(|error| match error {
        Host::Denied => RevealError::Denied,
        Host::Destroyed => RevealError::Destroyed,
        Host::TooMany => RevealError::TooMany,
        Host::Unavailable => RevealError::Unavailable,
        Host::Other(what) => RevealError::Other(what),
    })
}

fn content(block: types::Content) -> Content {
    let media = |media: types::Media| Media {
        data: media.data,
        mime_type: media.mime_type,
    };
    match block {
        types::Content::Text(text) => Content::Text(text),
        types::Content::Image(bytes) => Content::Image(media(bytes)),
        types::Content::Audio(bytes) => Content::Audio(media(bytes)),
        types::Content::ResourceLink(link) => Content::ResourceLink(ResourceLink {
            uri: link.uri,
            name: link.name,
            title: link.title,
            description: link.description,
            mime_type: link.mime_type,
            size: link.size,
        }),
        types::Content::Embedded(resource) => Content::Embedded(EmbeddedResource {
            uri: resource.uri,
            mime_type: resource.mime_type,
            body: match resource.body {
                types::ResourceBody::Text(text) => ResourceBody::Text(text),
                types::ResourceBody::Blob(blob) => ResourceBody::Blob(blob),
            },
        }),
    }
}

fn block(content: Content) -> types::Content {
    match content {
        Content::Text(text) => types::Content::Text(text),
        Content::Image(media) => types::Content::Image(bytes(media)),
        Content::Audio(media) => types::Content::Audio(bytes(media)),
        Content::ResourceLink(link) => types::Content::ResourceLink(types::ResourceLink {
            uri: link.uri,
            name: link.name,
            title: link.title,
            description: link.description,
            mime_type: link.mime_type,
            size: link.size,
        }),
        Content::Embedded(resource) => types::Content::Embedded(types::EmbeddedResource {
            uri: resource.uri,
            mime_type: resource.mime_type,
            body: match resource.body {
                ResourceBody::Text(text) => types::ResourceBody::Text(text),
                ResourceBody::Blob(blob) => types::ResourceBody::Blob(blob),
            },
        }),
    }
}

fn bytes(media: Media) -> types::Media {
    types::Media {
        data: media.data,
        mime_type: media.mime_type,
    }
}
