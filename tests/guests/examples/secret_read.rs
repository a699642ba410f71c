//! Looks for a secret wherever something can be read: in the environment, in files, in settings, in standard input, in its own
//! request before and after it was sent, and by asking for it under many names.

#![cfg(target_family = "wasm")]

use std::io::Read;

use bailiwick_guests::files;
use bailiwick_sdk::{Config, Http, Json, Secret, tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasip2::cli::environment;
use wasip2::http::types::{Fields, OutgoingRequest};

#[derive(Deserialize, JsonSchema)]
struct Target {
    /// Where the secret goes.
    url: String,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    /// Whether each of these names is that of a secret.
    exists: Vec<(String, bool)>,
    /// Everything else that could be read.
    read: Vec<String>,
}

/// Says what it could read.
#[tool]
fn secret_read(target: Target, http: Http, secret: Secret, config: Config) -> Json<Found> {
    let names = [
        "tracker",
        "Tracker",
        "other",
        "",
        "*",
        "tracker\0",
        "../tracker",
    ];
    let mut read = vec![
        format!("{:?}", environment::get_environment()),
        format!("{:?}", environment::get_arguments()),
        format!("{:?}", config.all()),
        format!("{:?}", files::mounts()),
        format!("{secret:?} {http:?}"),
    ];
    let mut stdin = String::new();
    let _ = std::io::stdin().read_to_string(&mut stdin);
    read.push(stdin);
    for path in [
        "/",
        "/proc/self/environ",
        "/run/secrets",
        "secrets/tracker",
        "../secrets/tracker",
    ] {
        read.push(format!(
            "{:?} {:?}",
            std::fs::read_dir(path),
            std::fs::read(path)
        ));
    }
    // A request of its own, looked at while it is made; what is sent is a copy.
    let fields = Fields::from_list(&[("x-own".to_owned(), b"1".to_vec())]).unwrap();
    let request = OutgoingRequest::new(fields);
    let _ = request.set_path_with_query(Some("/read"));
    read.push(format!(
        "{:?} {:?}",
        request.headers().entries(),
        request.path_with_query()
    ));
    let sent = http.get(&target.url).send();
    read.push(match sent {
        Ok(response) => format!("{:?} {}", response, response.text()),
        Err(error) => error.to_string(),
    });
    let name = |name: &str| (name.to_owned(), secret.exists(name));
    Json(Found {
        exists: names.map(name).to_vec(),
        read,
    })
}
