//! What every test stands on: packages, a server, clients, a browser and an upstream.

mod browser;
mod client;
pub mod described;
pub mod handmade;
mod packages;
mod server;
mod stream;
mod upstream;

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub use browser::Browser;
pub use client::{Answer, Caller, Era, http};
pub use described::{Ahead, Described};
pub use packages::{
    GUEST_WALL_MS, component_bytes, guests, hurried_toml_of, pack, pack_guest, packed, program,
    root, toml_of, tool, with_manifest,
};
pub use server::{Server, Setup, config_text, for_an_hour, free_ports, ticket};
pub use stream::Stream;
pub use upstream::{Canary, Upstream};

/// Longest wait for something that is going to happen: generous, since nothing waits that long when all is well.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// Looks until there is something to see.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < WAIT_MAX, "waited in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The operator's log of all servers of this process, for tests that look for what must not stand in it.
pub mod log {
    use std::io::Write;
    use std::sync::{Mutex, PoisonError};

    use tracing_subscriber::EnvFilter;

    static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Lines;

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn install() {
        // Everything of ours, and of the libraries below more than is logged usually.
        let filter = EnvFilter::new("info,bailiwick=trace");
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(|| Lines)
            .with_ansi(false)
            .init();
    }

    /// All that was logged up to now.
    pub fn text() -> String {
        let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}
