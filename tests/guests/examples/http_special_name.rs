//! Asks for names that are never public, or that only resolvers of this machine know.
//!
//! Every request is denied or not valid: no probe of the reply has a status, and all of them look the same.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http;
use bailiwick_sdk::{Json, tool};

const URLS: [&str; 24] = [
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST/",
    "https://a.localhost/",
    "https://localhost.localdomain/",
    "https://printer.local/",
    "https://metadata.google.internal/",
    "https://metadata/",
    "https://kubernetes.default.svc/",
    "https://db.internal/",
    "https://nas.lan/",
    "https://router.home.arpa/",
    "https://x.onion/",
    "https://x.test/",
    "https://x.invalid/",
    "https://x.example/",
    "https://intranet/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://x.corp/",
    "https://x.home/",
    "https://ｌｏｃａｌｈｏｓｔ/",
    "https://xn--/",
    "https://a..b.example.com/",
    "https://-a.example.com/",
];

/// Asks for names that are never public.
#[tool]
fn http_special_name() -> Json<http::Report> {
    Json(http::report(&URLS))
}
