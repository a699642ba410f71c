//! Callers of several tenants, whose tokens hold for longer than any run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bailiwick::clock::{Clock, SystemClock};
use bailiwick::idp::{self, DEFAULT_SCOPE};
use bailiwick::limits::EXECUTORS_MAX;
use serde_json::json;

use super::CLIENT;

/// How long a token holds.
const HOLDS: Duration = Duration::from_secs(2 * 24 * 3_600);
/// Places where guests run in processes of their own: as many as there may be executors.
pub const APART_CALLS_MAX: u32 = EXECUTORS_MAX as u32;

/// A token of this user of this tenant, for the server in this folder at this address, as its embedded identity provider signs it.
pub fn token(dir: &Path, address: SocketAddr, user: &str, tenant: &str) -> anyhow::Result<String> {
    let port = address
        .port()
        .checked_add(1)
        .context("there is a port after ours")?;
    let now = SystemClock.now();
    let claims = json!({
        "iss": format!("http://{}", SocketAddr::new(address.ip(), port)),
        "sub": user,
        "aud": format!("http://{address}/mcp"),
        "client_id": CLIENT,
        "scope": DEFAULT_SCOPE,
        "roles": ["user"],
        "tenant": tenant,
        "preferred_username": user,
        "iat": now.secs(),
        "exp": now.plus(HOLDS).secs(),
        "jti": uuid::Uuid::now_v7(),
    });
    Ok(idp::key_in(dir)?.sign("at+jwt", &claims)?)
}
