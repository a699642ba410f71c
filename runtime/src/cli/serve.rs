//! `bailiwick serve`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use super::ServeArgs;
use crate::clock::SystemClock;
use crate::config::{Config, Isolation};
use crate::hardening::{self, Places};
use crate::limits::DESCRIPTORS_WISHED;
use crate::sandbox::executor;
use crate::server::{self, Options};
use crate::{dev, idp, telemetry};

/// A configuration that was read, and a process that kept what it speaks of.
pub(super) struct Prepared {
    config: Config,
    options: Options,
}

/// Reads the configuration and lets go of the rest. Before there is a second thread: see [`hardening::apply`].
pub(super) fn prepare(args: &ServeArgs) -> anyhow::Result<Prepared> {
    let mut config = match (&args.config.config, args.dev) {
        (Some(file), _) => Config::read(file)?,
        (None, true) => dev::config_in(&args.config.dir, args.listen)?,
        (None, false) => {
            anyhow::bail!(
                "there is no configuration: name one with `--config FILE`, or try `bailiwick serve --dev`"
            )
        }
    };
    let file = args.config.config.clone();
    let log = telemetry::log::of_a_server(config.log)?;
    // As many as the system gives; `listen` asks how many there are.
    if let Err(error) = rlimit::increase_nofile_limit(DESCRIPTORS_WISHED) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let mut options = Options {
        log: Some(log),
        config_file: file.or_else(|| args.dev.then(|| dev::config_file(&args.config.dir))),
        ..Options::default()
    };
    if args.dev {
        let (address, provider) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
        options.idp = Some((address, idp::router(provider)));
    }
    let file = args.config.config.as_deref();
    let development = args.config.dir.join("bailiwick.toml");
    let also: Vec<_> = options.idp.iter().map(|(address, _)| *address).collect();
    let places = Places::of(&config, file.or(Some(&development)), &also)?;
    // Before: whatever follows can make no namespaces any more.
    if config.isolation == Isolation::Process {
        let program = std::env::current_exe().context("our own program cannot be found")?;
        let maker = executor::maker(&program);
        options.executors = Some(maker.context("nothing makes the processes in which tools run")?);
    }
    options.hardening = hardening::apply(config.hardening, &places)?;
    Ok(Prepared { config, options })
}

pub(super) async fn run(args: &ServeArgs, prepared: Prepared) -> anyhow::Result<ExitCode> {
    let Prepared { config, options } = prepared;
    for absent in options.hardening.absent() {
        tracing::warn!("the process did not give up {absent}");
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
    println!("stopping: calls in flight finish, new ones are refused; Ctrl-C again ends at once");
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        again = stopped() => {
            again?;
            eprintln!("bailiwick: ended at once; calls in flight have no outcome in the log");
            // Whatever still runs is not waited for.
            std::process::exit(1)
        }
    }
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
