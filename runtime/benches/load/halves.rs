//! Processors of its own for a server, and others for its client, so that what the client computes is not taken from the server.

use anyhow::ensure;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::servers::Server;

/// The processors of this thread, and their two halves.
pub struct Halves {
    all: CpuSet,
    server: CpuSet,
    client: CpuSet,
}

impl Halves {
    /// Starts the server on its half, and leaves this thread on the other until [`Halves::join`].
    pub async fn start(
        server: impl Future<Output = anyhow::Result<Server>>,
    ) -> anyhow::Result<(Self, Server)> {
        let all = sched_getaffinity(None)?;
        let (mut of_server, mut of_client) = (CpuSet::new(), CpuSet::new());
        let usable = (0..CpuSet::MAX_CPU).filter(|one| all.is_set(*one));
        for (n, one) in usable.enumerate() {
            let half = if n % 2 == 0 {
                &mut of_server
            } else {
                &mut of_client
            };
            half.set(one);
        }
        ensure!(
            of_client.count() > 0,
            "there is one processor alone, and the server and its client want one each"
        );
        let halves = Self {
            all,
            server: of_server,
            client: of_client,
        };
        // A process inherits what the thread has that starts it.
        sched_setaffinity(None, &halves.server)?;
        let started = server.await;
        sched_setaffinity(None, &halves.client)?;
        Ok((halves, started?))
    }

    /// How many the server has.
    pub fn of_server(&self) -> u32 {
        self.server.count()
    }

    /// Gives this thread all of them again.
    pub fn join(self) -> anyhow::Result<()> {
        Ok(sched_setaffinity(None, &self.all)?)
    }
}
