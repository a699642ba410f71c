//! What every test stands on: packages, a server, clients, a browser and an upstream.

mod browser;
mod client;
mod collector;
mod decide;
pub mod described;
pub mod handmade;
pub mod hostile;
mod issuer;
mod mounts;
mod packages;
mod process;
mod sealed;
mod server;
mod setup;
mod stopwatch;
mod stream;
mod upstream;

use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

pub use browser::Browser;
pub use client::{Answer, Caller, Era, http};
pub use collector::Collector;
pub use decide::{allowed, for_an_hour, ticket};
pub use described::{Ahead, Described};
pub use issuer::Issuer;
pub use mounts::Mounts;
pub use packages::{
    GUEST_WALL_MS, component_bytes, guests, hurried_toml_of, pack, pack_guest, packed, plain_toml,
    program, root, taking, toml_of, tool, with_manifest,
};
pub use process::{Process, records_of};
pub use sealed::handles;
pub use server::{Server, config_text, free_ports, private_file};
pub use setup::{Setup, everywhere_apart};
pub use stopwatch::Stopwatch;
pub use stream::Stream;
pub use upstream::{Canary, Upstream};

/// Longest wait for something that is going to happen: generous, since nothing waits that long when all is well.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a scene is played that took too long to show anything.
const PLAYS_MAX: usize = 4;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    bailiwick::crypto::install().unwrap();
    log::install();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a test on the runtime that all of them share.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    RUNTIME.block_on(test)
}

/// Says that a test tries nothing, since this machine lacks what it takes, although it passes. It fails instead where one of two
/// variables says that nothing may be left out.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["CI", "BAILIWICK_NO_SKIP"].iter().find(|name| is_set(name)) {
        panic!("not tried here: {why}; with `{name}` in the environment nothing is left out");
    }
    // What a test that passes prints is kept back; what is written there by itself is not.
    let mut terminal = std::io::stderr();
    let _ = writeln!(terminal, "SKIPPED {test}: {why}");
}

/// Looks until there is something to see.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(WAIT_MAX, what, look).await
}

/// The same for what takes longer.
pub async fn until_within<T>(
    most: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < most, "waited in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What there is to see, once it has stayed the same for so long.
pub async fn settled<T: PartialEq>(still: Duration, mut look: impl AsyncFnMut() -> T) -> T {
    let (mut seen, mut since) = (look().await, Instant::now());
    until("it stays the same", async || {
        let now = look().await;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        (since.elapsed() >= still).then_some(())
    })
    .await;
    seen
}

/// Plays a scene whose subject gives up after so long. Where it fails and took as long, as on a machine that is busy with others, it
/// shows nothing, and is played again.
pub async fn played(gives_up: Duration, scene: impl AsyncFn()) {
    for play in 1.. {
        let began = Instant::now();
        match AssertUnwindSafe(scene()).catch_unwind().await {
            Ok(()) => return,
            Err(_) if play < PLAYS_MAX && began.elapsed() >= gives_up => {}
            Err(failed) => resume_unwind(failed),
        }
    }
}

/// The operator's log of all servers of this process, for tests that look for what must not stand in it.
pub mod log {
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    use bailiwick::telemetry::log::layer;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static JSON: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Lines(&'static Mutex<Vec<u8>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn install() {
        // Everything of ours, and of the libraries below more than is logged usually. In both forms that a server writes.
        let filter = EnvFilter::new("info,bailiwick=trace");
        tracing_subscriber::registry()
            .with(filter)
            .with(layer(false, false, || Lines(&LINES)))
            .with(layer(true, false, || Lines(&JSON)))
            .init();
    }

    /// The same as lines of JSON.
    pub fn json() -> String {
        let lines = JSON.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    /// All that was logged up to now.
    pub fn text() -> String {
        let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}
