//! Has the upstream echo the secret in every form that it can, and shows what came back in every way that it has: in its reply
//! or its error, in its log, on its streams and in its progress.

#![cfg(target_family = "wasm")]

use bailiwick_sdk::http::Response;
use bailiwick_sdk::{
    Content, EmbeddedResource, Http, Progress, Reply, ResourceBody, Secret, ToolError, log, tool,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Echo {
    /// What to ask for.
    urls: Vec<String>,
    /// Whether to fail with it.
    #[serde(default)]
    fail: bool,
}

/// Shows what came back.
#[tool]
fn secret_echo(
    echo: Echo,
    http: Http,
    secret: Secret,
    progress: Progress,
) -> Result<Reply, ToolError> {
    let mut all = vec![format!("exists: {}", secret.exists("tracker"))];
    let mut bytes = Vec::new();
    for (nth, url) in echo.urls.iter().enumerate() {
        let told = match http.get(url).send() {
            Ok(response) => {
                bytes.extend_from_slice(response.body());
                shown(&response)
            }
            Err(error) => error.to_string(),
        };
        log::info!("{told}");
        println!("{told}");
        eprintln!("{told}");
        let message: String = told.chars().take(500).collect();
        let _ = progress.report_doing(nth as f64 + 1.0, None, &message);
        all.push(told);
    }
    let text = all.join("\n");
    if echo.fail {
        return Err(ToolError::failed(text));
    }
    Ok(Reply::text(text).with(Content::Embedded(EmbeddedResource {
        uri: "echo:all".to_owned(),
        mime_type: Some("application/octet-stream".to_owned()),
        body: ResourceBody::Blob(bytes),
    })))
}

fn shown(response: &Response) -> String {
    let fields = response.headers();
    let fields = fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
    let fields: Vec<_> = fields.collect();
    format!(
        "{} {} {}",
        response.status(),
        fields.join(" | "),
        response.text()
    )
}
