//! What joins the host functions, which know plain data alone, to the interfaces of WASI.

pub(super) mod clock;
pub(super) mod files;
mod files_stream;
pub mod http;
mod kv;
mod protected;
pub(super) mod stdio;
mod tools;
