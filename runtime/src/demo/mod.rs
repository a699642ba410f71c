//! `bailiwick demo`: builds the shipped tools, tells with real calls what they may do for whom, and goes on serving.
//!
//! Everything is real: the packages are compiled from source, the calls are made over HTTP by the MCP SDK's own client, the
//! consent is given on the consent page, and each step is checked against what was to be expected.

mod browser;
mod client;
mod stage;
mod story;

use std::net::SocketAddr;
use std::process::ExitCode;

use stage::Stage;
use story::Story;

/// Runs the demo; with `once` it ends after the story.
pub(crate) async fn run(listen: SocketAddr, once: bool) -> anyhow::Result<ExitCode> {
    println!(
        "Bailiwick runs MCP tools as WebAssembly components. What a call may do is what the operator's rules allow"
    );
    println!(
        "its caller, what the tool's manifest asks for, and what the user agreed to: no more."
    );
    let stage = Stage::build(listen).await?;
    let mut story = Story::default();
    let told = story.tell(&stage).await;
    if let Err(error) = &told {
        eprintln!("\nThe story broke off: {error:#}");
    }
    if once || told.is_err() {
        stage.stop().await;
        return Ok(story.verdict(told.is_ok()));
    }
    story.verdict(true);
    stage.invite();
    crate::cli::stopped().await?;
    println!("\nstopping");
    stage.stop().await;
    Ok(ExitCode::SUCCESS)
}
