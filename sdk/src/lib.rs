//! Write a tool for Bailiwick: one function, one component.
//!
#![doc = "```"]
#![doc = include_str!("../../tools/hello/src/lib.rs")]
#![doc = "```"]
//!
//! (The derives come from the crates `serde` and `schemars`, which the tool depends on beside this one.)
//!
//! The doc comment is what the model reads, the struct becomes the JSON Schema of the arguments, and the signature is
//! the tool's request: [`Http`], [`Files`], [`Clock`], [`Progress`], [`Ask`], [`Kv`], [`Config`], [`Secret`], [`Call`], [`Caller`], [`Reveal`] and [`Deliver`] arrive as parameters, and a function that
//! takes none of them can reach nothing. See [`tool`] for all of the form, and [`tools`] for several tools in one component.
//!
//! # What a tool runs in
//!
//! Every call is a fresh sandbox: no state is left from the call before, there are no environment variables and no
//! arguments, standard input is empty, and without [`Clock`] time stands still. What the operator, the manifest and the
//! user together have not granted answers with a typed `Denied`, so that a tool can go on without it.
//!
//! # Panics
//!
//! A panic ends the call: the component is built with `panic = "abort"`, so nothing can catch it. The standard library
//! prints the message to standard error before that, and the host keeps standard error in its log beside the call; no
//! hook has to be set. The caller is told only that the tool failed. Return a [`ToolError`] for what a caller can mend.
//!
//! # Stack
//!
//! Tools are built with a stack of 64 KiB, which is what makes a fresh sandbox per call cheap. Recursion over the
//! structure of an argument must be bounded.
//!
//! # Tests
//!
//! A tool is an ordinary function, and the crate builds for the author's own machine as well. [`Tools::call`] runs the
//! whole path from JSON text to [`Reply`] there. Outside a sandbox [`Http`] always fails, [`Progress`] and [`mod@log`]
//! go nowhere and to standard error, [`Files::rooted_at`] takes the place of a mount, [`Ask::answering`] that of a user, [`Kv::in_memory`] that of stores, and
//! [`Config::of`] that of the operator's values, [`Secret::attached`] that of what a host attaches, [`Call::answering`] that of other tools, [`Caller::of`] that of what is told of a user, and [`Reveal::of`] that of what is kept encrypted.

mod ask;
mod call;
mod caller;
mod capability;
mod clock;
mod config;
mod content;
mod deliver;
mod error;
pub mod files;
mod form;
pub mod http;
pub mod kv;
pub mod log;
mod progress;
mod reply;
mod reveal;
mod schema;
mod secret;
mod tools;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;

pub use ask::{Answer, Ask, AskError};
pub use bailiwick_sdk_macros::{tool, tools};
pub use call::{Call, CallError};
pub use caller::{Caller, CallerError};
pub use clock::Clock;
pub use config::Config;
pub use content::{Content, EmbeddedResource, Media, ResourceBody, ResourceLink};
pub use deliver::Deliver;
pub use error::ToolError;
pub use files::Files;
pub use http::Http;
pub use kv::Kv;
pub use progress::{Progress, ProgressError};
pub use reply::{IntoReply, Json, Reply};
pub use reveal::{Reveal, RevealError};
pub use secret::Secret;
pub use tools::{Definition, Tools};

/// What the attributes expand to. Not for people: no promise is made about it.
#[doc(hidden)]
pub mod __private {
    pub use crate::capability::Capability;
    pub use crate::reply::IntoReply;
    pub use crate::schema::{EMPTY, input};
    pub use crate::tools::{Entry, arguments, no_arguments};
}

/// Exports the tools from the component. On any other target it does nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($tools:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::guest::Guest for Component {
                fn describe() -> $crate::guest::Description {
                    $crate::guest::describe($tools)
                }

                fn call(
                    name: ::std::string::String,
                    arguments: ::std::string::String,
                ) -> ::std::result::Result<$crate::guest::Reply, $crate::guest::Error> {
                    $crate::guest::call($tools, &name, &arguments)
                }
            }

    $crate::guest::bindings::export!(Component with_types_in $crate::guest::bindings);
        };
    };
}
