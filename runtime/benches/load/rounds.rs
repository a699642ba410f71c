//! Rounds in which servers are measured in turn, and what is told of them.

use std::time::Duration;

use super::client::{self, Measured, What};
use super::common;
use super::servers::{self, Server};

/// Length of the run before the first round, which is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is known of one server at one number of connections, round by round.
#[derive(Default)]
pub struct Column {
    /// Calls per second.
    pub rate: Vec<f64>,
    /// What half of the calls stay below, in microseconds.
    pub p50: Vec<f64>,
    /// What all but a hundredth stay below.
    pub p99: Vec<f64>,
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

    /// Prints the medians.
    pub fn print(&mut self, name: &str) {
        println!(
            "  {name:<14}{:>10.0} {:>10.0} {:>10.0} {:>12.1}",
            median(&mut self.rate),
            median(&mut self.p50),
            median(&mut self.p99),
            median(&mut self.processor),
        );
    }
}

/// One round: what is called at each of these servers is measured, in every second round from the last to the first.
pub async fn round<const N: usize>(
    number: usize,
    asked: [(&Server, What); N],
    columns: &mut [Column; N],
    connections: usize,
    span: Duration,
) -> anyhow::Result<()> {
    let mut order: Vec<_> = asked.into_iter().zip(columns).collect();
    if number % 2 == 1 {
        order.reverse();
    }
    for ((server, what), column) in order {
        // One after the other, which takes as long as a short round with many connections.
        let all = client::opened(&server.ready, what, connections).await?;
        let before = common::cpu_ns(server.pid()?)?;
        let measured = client::measured_for(all, what, span).await?;
        let after = common::cpu_ns(server.pid()?)?;
        column.add(&measured, after.saturating_sub(before));
    }
    Ok(())
}

/// Two servers beside each other: each tool at each number of connections, and what is printed of it. Stops them.
pub async fn pair(
    servers: [Server; 2],
    called: &[(What, &str)],
    rounds: usize,
    span: Duration,
    connections: &[usize],
    print: impl Fn(usize, &str, &mut [Column; 2]),
) -> anyhow::Result<()> {
    let most = connections.iter().copied().max().unwrap_or(1);
    for server in &servers {
        for (what, _) in called {
            client::load_of(&server.ready, *what, most, WARM_UP).await?;
        }
    }
    println!("load before: {}", servers::load_average());
    for count in connections {
        for (what, name) in called {
            let mut columns: [Column; 2] = Default::default();
            for number in 0..rounds {
                let asked = servers.each_ref().map(|server| (server, *what));
                round(number, asked, &mut columns, *count, span).await?;
            }
            print(*count, name, &mut columns);
        }
    }
    println!("load after: {}", servers::load_average());
    for server in servers {
        server.stop().await?;
    }
    Ok(())
}

/// Each round's ratio.
pub fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these
        .iter()
        .zip(those)
        .map(|(this, that)| this / that)
        .collect()
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of these, and each of them.
pub fn told(mut rounds: Vec<f64>) -> String {
    let each: Vec<String> = rounds.iter().map(|one| format!("{one:.3}")).collect();
    format!("{:.3}; each round {}", median(&mut rounds), each.join(" "))
}
