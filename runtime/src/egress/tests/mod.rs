//! The whole way out, with names, connections and servers of the test.

mod inflate;
mod own;
mod pool;
mod reach;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;

use super::testing::{Switchboard, Upstream, bound, scope};
use super::*;
use crate::revocation::Live;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Bounds that no test reaches unless it sets them.
fn wide() -> Bounds {
    Bounds {
        deadline: Instant::now() + Duration::from_secs(20),
        connect: None,
        first_byte: None,
        between_bytes: None,
        sent: Budget::of(1 << 20),
        received: Budget::of(1 << 20),
        live: Live::free(),
    }
}

/// `api.test` on an upstream, and nothing else.
fn bound_to(upstream: &Upstream) -> Egress {
    Egress::new(
        vec![bound("api.test", upstream.address, false)],
        Vec::new(),
        Arc::new(NoNames),
    )
    .unwrap()
}

async fn get(
    egress: &Egress,
    granted: &str,
    url: &str,
) -> Result<Response<AnswerBody>, EgressError> {
    let admitted = egress.admit(&[scope(granted)], &Method::GET, url)?;
    let body = Empty::<Bytes>::new();
    let whose = Whose::of(["anybody"]);
    let sent = egress.send(&whose, admitted, HeaderMap::new(), body, wide());
    sent.await
}

async fn text(response: Response<AnswerBody>) -> Result<String, EgressError> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn reason(error: EgressError) -> Reason {
    match error {
        EgressError::Denied(reason) => reason,
        other => panic!("not denied: {other}"),
    }
}
