//! `bailiwick serve`.

use std::process::ExitCode;
use std::sync::Arc;

use super::ServeArgs;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::server::{self, Options};
use crate::{dev, idp};

pub(super) async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let mut config = match (&args.config.config, args.dev) {
        (Some(file), _) => Config::read(file)?,
        (None, true) => dev::config_in(&args.config.dir, args.listen)?,
        (None, false) => {
            anyhow::bail!(
                "there is no configuration: name one with `--config FILE`, or try `bailiwick serve --dev`"
            )
        }
    };
    let mut options = Options::default();
    if args.dev {
        let (address, provider) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
        options.idp = Some((address, idp::router(provider)));
    }
    let tools = config.tools.dir.clone();
    let url = config.server.url("");
    let running = server::start(config, options).await?;
    println!("bailiwick serves MCP at {url}/mcp");
    println!(
        "  tools:    {} served from {}",
        running.stages.catalog.snapshot().tools.len(),
        tools.display()
    );
    println!("  consents: {url}/consents");
    if args.dev {
        println!("  token:    bailiwick token --user alice");
    }
    println!("  stop:     Ctrl-C");
    stopped().await?;
    println!("stopping: calls in flight finish, new ones are refused");
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Waits until somebody wants us to stop.
pub(crate) async fn stopped() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}
