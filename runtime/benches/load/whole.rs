//! Both servers in turn, round by round.

use std::path::Path;
use std::time::Duration;

use super::client::{self, What};
use super::rounds::{Column, ratios, round, told};
use super::servers::Server;

/// Length of the run before the first round, which is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures and prints.
pub async fn run(
    dir: &Path,
    rounds: usize,
    span: Duration,
    connections: &[usize],
) -> anyhow::Result<()> {
    let servers = [Server::start(&["native"]).await?, Server::whole(dir).await?];
    for server in &servers {
        let most = connections.iter().copied().max().unwrap_or(1);
        client::load(&server.ready, most, WARM_UP).await?;
    }
    let mut columns: Vec<[Column; 2]> = connections.iter().map(|_| Default::default()).collect();
    for number in 0..rounds {
        for (count, pair) in connections.iter().zip(&mut columns) {
            let asked = servers.each_ref().map(|server| (server, What::Echo));
            round(number, asked, pair, *count, span).await?;
        }
    }
    for (count, [native, whole]) in connections.iter().zip(&mut columns) {
        print(*count, native, whole);
    }
    let [native, whole] = servers;
    native.stop().await?;
    whole.stop().await
}

fn print(connections: usize, native: &mut Column, whole: &mut Column) {
    println!(
        "\nconnections: {connections}; medians of {} rounds",
        whole.rate.len()
    );
    println!("                requests/s     p50 µs     p99 µs     µs of processor per call");
    let ratio = told(ratios(&whole.rate, &native.rate));
    native.print("native");
    whole.print("bailiwick");
    println!("  ratio of throughput: median {ratio}");
}
