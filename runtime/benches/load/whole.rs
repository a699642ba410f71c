//! Both servers in turn, round by round.

use std::path::Path;
use std::time::Duration;

use super::client::{self, Measured};
use super::common;
use super::servers::Server;

/// Length of the run before the first round, which is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is known of one server at one number of connections, round by round.
#[derive(Default)]
struct Column {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    processor: Vec<f64>,
}

impl Column {
    fn add(&mut self, measured: &Measured, processor_ns: u64) {
        self.rate.push(measured.rate());
        self.p50.push(measured.quantile(0.50));
        self.p99.push(measured.quantile(0.99));
        self.processor
            .push(processor_ns as f64 / 1e3 / measured.micros.len().max(1) as f64);
    }
}

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
    for round in 0..rounds {
        for (count, pair) in connections.iter().zip(&mut columns) {
            let mut order: Vec<_> = servers.iter().zip(pair.iter_mut()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for (server, column) in order {
                let before = common::cpu_ns(server.pid()?)?;
                let measured = client::load(&server.ready, *count, span).await?;
                column.add(&measured, common::cpu_ns(server.pid()?)? - before);
            }
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
    let mut ratios: Vec<f64> = whole
        .rate
        .iter()
        .zip(&native.rate)
        .map(|(w, n)| w / n)
        .collect();
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
    println!(
        "\nconnections: {connections}; medians of {} rounds",
        ratios.len()
    );
    println!("            requests/s     p50 µs     p99 µs     µs of processor per call");
    for (name, column) in [("native", native), ("bailiwick", whole)] {
        println!(
            "  {name:<10}{:>10.0} {:>10.0} {:>10.0} {:>12.1}",
            median(&mut column.rate),
            median(&mut column.p50),
            median(&mut column.p99),
            median(&mut column.processor),
        );
    }
    println!(
        "  ratio of throughput: median {:.3}; each round {}",
        median(&mut ratios),
        each.join(" ")
    );
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
