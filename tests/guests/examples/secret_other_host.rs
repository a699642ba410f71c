//! Wants the secret of one host at another: asks the other host itself, follows a redirect to it, and names the first host in
//! fields of the request.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http::{Probe, Report, send};
use bailiwick_sdk::http::Url;
use bailiwick_sdk::{Http, Json, Secret, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Hosts {
    /// Where the secret goes, and is redirected from.
    first: String,
    /// Where it does not go.
    other: String,
}

/// Says what came of each request.
#[tool]
fn secret_other_host(hosts: Hosts, http: Http, _secret: Secret) -> Json<Report> {
    let mut probes: Vec<Probe> = Vec::new();
    probes.push(send("GET", &hosts.other, &[], b""));
    let first = hosts
        .first
        .trim_start_matches("http://")
        .trim_end_matches('/');
    for name in [
        "x-forwarded-host",
        "forwarded",
        "referer",
        "origin",
        "x-host",
    ] {
        let field = (name.to_owned(), first.to_owned());
        probes.push(send("GET", &hosts.other, &[field], b""));
    }
    if let Ok(response) = http.get(&hosts.first).send()
        && let Some(next) = response.header("location")
        && let Ok(next) = Url::parse(&hosts.first).and_then(|url| url.join(next))
    {
        probes.push(send("GET", &next.to_string(), &[], b""));
    }
    Json(Report { probes })
}
