//! What joins the host functions, which know plain data alone, to the interfaces of WASI.

pub(super) mod clock;
pub mod http;
mod kv;
pub(super) mod stdio;
