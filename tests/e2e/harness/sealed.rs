//! Values under encryption, kept beforehand.

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::seal::{Owner, Plain};
use zeroize::Zeroizing;

use super::Server;

/// Keeps values, each with its class and field, for the package of a tool in a tenant. What stands for each of them.
pub async fn handles(
    server: &Server,
    tool: &str,
    tenant: &str,
    values: &[(&str, &str, String)],
) -> Vec<String> {
    let stages = &server.running.stages;
    let tool = stages.catalog.find(tool).unwrap();
    let owner = Owner {
        tenant: tenant.parse().unwrap(),
        publisher: tool.publisher().clone(),
        package: tool.package().manifest().name.clone(),
    };
    let plain = values.iter().map(|(class, field, value)| Plain {
        field: (*field).to_owned(),
        class: class.parse().unwrap(),
        value: Zeroizing::new(value.clone()),
        equal: false,
    });
    let now = SystemClock.now();
    let prepared = stages.seals.prepare(&owner, plain.collect(), now).await;
    let prepared = prepared.unwrap();
    let handles = prepared.handles().iter().map(ToString::to_string).collect();
    prepared.keep(now).await.unwrap();
    handles
}
