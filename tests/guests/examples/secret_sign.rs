//! Wants more signed than it may have signed: sets the fields and parameters of the signature itself, sends bodies that nobody
//! can hold and trailers that nobody signed, asks another host, and follows a redirect to it.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http::{Probe, Report, send, send_trailers};
use bailiwick_sdk::http::Url;
use bailiwick_sdk::{Http, Json, Secret, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Sign {
    /// What to ask for.
    requests: Vec<Request>,
    /// Where a `POST` with trailers goes.
    #[serde(default)]
    trailed: Vec<String>,
    /// Where to be led on from.
    #[serde(default)]
    led_on: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Request {
    method: String,
    url: String,
    /// Fields, each a name and a value.
    #[serde(default)]
    fields: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// How often the body is written.
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

/// Says what came of each request.
#[tool]
fn secret_sign(sign: Sign, http: Http, _secret: Secret) -> Json<Report> {
    let mut probes: Vec<Probe> = Vec::new();
    for one in &sign.requests {
        let body = one.body.repeat(one.times);
        probes.push(send(&one.method, &one.url, &one.fields, body.as_bytes()));
    }
    for url in &sign.trailed {
        let trailers = [("x-amz-meta-late".to_owned(), b"unsigned".to_vec())];
        probes.push(send_trailers(url, &trailers));
    }
    for url in &sign.led_on {
        if let Ok(response) = http.get(url).send()
            && let Some(next) = response.header("location")
            && let Ok(next) = Url::parse(url).and_then(|url| url.join(next))
        {
            probes.push(send("GET", &next.to_string(), &[], b""));
        }
    }
    Json(Report { probes })
}
