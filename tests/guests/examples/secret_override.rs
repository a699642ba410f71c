//! Sets the field and the parameter of the secret itself, in several spellings, so that its own value might go in place of the
//! secret, beside it, or before it.

#![cfg(target_family = "wasm")]

use bailiwick_guests::http::{Report, send};
use bailiwick_sdk::{Http, Json, Secret, tool};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Own {
    /// Where to.
    url: String,
    /// Fields, each a name and a value; one request for each.
    #[serde(default)]
    fields: Vec<(String, String)>,
    /// Queries; one request for each.
    #[serde(default)]
    queries: Vec<String>,
}

/// Says what came of each request.
#[tool]
fn secret_override(own: Own, _http: Http, _secret: Secret) -> Json<Report> {
    let fields = own.fields.into_iter();
    let fields = fields.map(|field| send("GET", &own.url, &[field], b""));
    let queries = own.queries.iter();
    let queries = queries.map(|query| send("GET", &format!("{}?{query}", own.url), &[], b""));
    Json(Report {
        probes: fields.chain(queries).collect(),
    })
}
