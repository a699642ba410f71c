//! Calls of other tools, and what is told of the user, as a component sees them.

use super::super::bindings::bailiwick::tool::{caller, tools, types};
use super::super::ending::RunEnded;
use super::super::outcome::{Body, Content, Reply};
use super::super::state::State;
use crate::host::ask::RunEnds;
use crate::host::tools::{CallError, Unmade};

/// Linked where `call` is granted.
impl tools::Host for State {
    async fn call(
        &mut self,
        name: String,
        arguments: String,
    ) -> wasmtime::Result<Result<tools::Reply, tools::CallError>> {
        let Some(calls) = &self.calls else {
            return Ok(Err(tools::CallError::Denied));
        };
        match calls.call(&name, &arguments).await {
            Ok(made) => Ok(Ok(reply(made))),
            Err(Unmade::Refused(error)) => Ok(Err(refused(error))),
            Err(Unmade::Ends) => {
                self.run_ends = Some(RunEnds::CalleeAsks);
                Err(RunEnded.into())
            }
        }
    }
}

/// Linked where `claims` is granted.
impl caller::Host for State {
    fn subject(&mut self) -> Result<String, caller::CallerError> {
        let told = self.teller.as_ref().map(|teller| teller.subject());
        told.and_then(Result::ok).ok_or(caller::CallerError::Denied)
    }

    fn claim(&mut self, name: String) -> Result<Option<String>, caller::CallerError> {
        let told = self.teller.as_ref().map(|teller| teller.claim(&name));
        told.and_then(Result::ok).ok_or(caller::CallerError::Denied)
    }
}

fn refused(error: CallError) -> tools::CallError {
    match error {
        CallError::Denied => tools::CallError::Denied,
        CallError::Unavailable => tools::CallError::Unavailable,
        CallError::InvalidArguments(text) => tools::CallError::InvalidArguments(text),
        CallError::TooDeep => tools::CallError::TooDeep,
        CallError::TooMany => tools::CallError::TooMany,
        CallError::Cycle => tools::CallError::Cycle,
        CallError::NeedsConsent => tools::CallError::NeedsConsent,
        CallError::Failed(text) => tools::CallError::Failed(text),
    }
}

fn reply(reply: Reply) -> types::Reply {
    types::Reply {
        content: reply.content.into_iter().map(block).collect(),
        structured: reply.structured.map(|value| value.to_string()),
    }
}

fn block(block: Content) -> types::Content {
    match block {
        Content::Text(text) => types::Content::Text(text),
        Content::Image { data, mime_type } => {
            types::Content::Image(types::Media { data, mime_type })
        }
        Content::Audio { data, mime_type } => {
            types::Content::Audio(types::Media { data, mime_type })
        }
        Content::Link {
            uri,
            name,
            title,
            description,
            mime_type,
            size,
        } => types::Content::ResourceLink(types::ResourceLink {
            uri,
            name,
            title,
            description,
            mime_type,
            size,
        }),
        Content::Resource {
            uri,
            mime_type,
            body,
        } => types::Content::Embedded(types::EmbeddedResource {
            uri,
            mime_type,
            body: match body {
                Body::Text(text) => types::ResourceBody::Text(text),
                Body::Blob(blob) => types::ResourceBody::Blob(blob),
            },
        }),
    }
}
