//! Writes a whole address, or another host, where the path of a request belongs.
//!
//! The server of `example.com` sees paths and nothing else; no other host is asked.
#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Address {
    /// The host that is granted.
    host: String,
    /// Another one.
    other: String,
}

/// Writes addresses into the path.
#[tool]
fn http_absolute_form(address: Address) -> Json<http::Report> {
    let Address { host, other } = address;
    let paths = [
        format!("http://{other}/"),
        format!("//{other}/"),
        format!("/\\{other}/"),
        format!("@{other}/"),
        format!(":80@{other}/"),
        format!("?http://{other}/"),
        format!("#@{other}/"),
        format!("/ HTTP/1.1\r\nhost: {other}\r\n\r\nGET /"),
        format!("/%0d%0ahost:%20{other}"),
        "*".to_owned(),
        String::new(),
        format!("{other}:80"),
    ];
    let probes = paths.iter().map(|path| http::send_path(&host, path));
    Json(http::Report {
        probes: probes.collect(),
    })
}
