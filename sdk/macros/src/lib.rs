//! The attributes of `bailiwick-sdk`.
//!
//! They write what a person would write: the function stays as it is, and beside it stands a constant that says what
//! the tool is and how it is called. Every mistake is reported where the author made it.

mod expand;
mod options;
mod signature;

use proc_macro::TokenStream;
use syn::{ItemFn, ItemMod, parse_macro_input};

/// Makes a function a tool, and the crate a component that serves it.
///
/// - The **doc comment** is the description that the model reads; it must be there.
/// - At most one parameter is the **arguments**: a struct with [`Deserialize`](https://docs.rs/serde) and `JsonSchema`,
///   whose fields' doc comments go to the schema.
/// - Parameters of the types `Http`, `Files`, `Clock`, `Progress`, `Ask`, `Kv`, `Config`, `Secret`, `Call`, `Caller`, `Reveal` and `Deliver` are the **capabilities** that the tool asks for.
/// - The **return type** is anything with `IntoReply`: text, `Json<T>`, a `Reply`, `()`, or a `Result` of these with
///   an error that converts to `ToolError`.
///
/// ```
/// use bailiwick_sdk::{Clock, Json, ToolError, tool};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Moment {
///     /// Seconds from now; may be below zero.
///     offset: i64,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Stamp {
///     /// Seconds since the beginning of 1970.
///     unix: u64,
/// }
///
/// /// Gives the time as a Unix time stamp.
/// #[tool(name = "unix-time", title = "Unix time")]
/// fn unix_time(moment: Moment, clock: Clock) -> Result<Json<Stamp>, ToolError> {
///     (clock.unix_millis() / 1000)
///         .checked_add_signed(moment.offset)
///         .map(|unix| Json(Stamp { unix }))
///         .ok_or_else(|| ToolError::invalid_arguments("`offset` leads out of the range of time"))
/// }
/// ```
///
/// # Options
///
/// - `name = "…"`: the name in the protocol, where the name of the function is not it.
/// - `title = "…"`: a title for people.
/// - `schema = EXPR`: the JSON Schema of the arguments as a `&'static str`, such as `include_str!("schema.json")`,
///   where one must be written by hand. The arguments then need no `JsonSchema`.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    expand::one(options.into(), function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes every function of a module that carries `#[tool]` a tool of one component.
///
/// Within the module `#[tool]` belongs to this attribute and is not imported.
///
/// ```
/// use bailiwick_sdk::tools;
///
/// #[tools]
/// mod greetings {
///     /// Says good morning.
///     #[tool]
///     fn morning() -> &'static str {
///         "Good morning!"
///     }
///
///     /// Says good night.
///     #[tool]
///     fn night() -> &'static str {
///         "Good night!"
///     }
/// }
///
/// assert_eq!(TOOLS.describe().len(), 2);
/// ```
#[proc_macro_attribute]
pub fn tools(options: TokenStream, item: TokenStream) -> TokenStream {
    let module = parse_macro_input!(item as ItemMod);
    expand::many(options.into(), module)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
