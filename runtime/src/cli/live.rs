//! What `check --live` asks the running server: what its process gave up before it served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

/// How long the server has to answer. It is on this machine.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Of what the server says of itself, what is read here.
#[derive(Deserialize)]
struct Info {
    version: String,
    given_up: BTreeMap<String, String>,
    isolation: Isolation,
}

#[derive(Deserialize)]
struct Isolation {
    guests: String,
    guests_kept: Vec<String>,
}

/// Prints it. Whether all of it is in force.
pub(super) async fn ask(listener: Option<SocketAddr>) -> anyhow::Result<bool> {
    let listener = listener.context(
        "a running server tells of itself on the listener of `[telemetry]`, and there is none; set `telemetry.listen`",
    )?;
    let url = format!("http://{listener}/info");
    let http = reqwest::Client::builder().no_proxy();
    let http = http.timeout(ANSWER_WAIT_MAX).build()?;
    let answer = http.get(&url).send().await;
    let answer = answer.with_context(|| format!("no server answers at {url}"))?;
    ensure!(
        answer.status().is_success(),
        "the server answers {} at {url}",
        answer.status()
    );
    let info: Info = answer
        .json()
        .await
        .with_context(|| format!("what answers at {url} is no server of this version"))?;
    println!("a server of version {} runs:", info.version);
    for (layer, state) in &info.given_up {
        println!("  {layer}: {state}");
    }
    let Isolation {
        guests,
        guests_kept,
    } = info.isolation;
    println!("its guests run: {guests}");
    for kept in &guests_kept {
        println!("  not given up there: {kept}");
    }
    let active = info.given_up.values().all(|state| state == "active");
    Ok(active && guests_kept.is_empty())
}
