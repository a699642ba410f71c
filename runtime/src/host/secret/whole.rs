//! The body of a request that is signed: held until its end was seen, up to a bound.

use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;

use super::sign::BodyDigest;
use crate::egress::{EgressError, gathered};
use crate::limits::SIGNED_BODY_BYTES_MAX;

/// The whole of a body, and its digest. `left` is what the request may still send: what could not be sent is not held.
pub(super) async fn whole(
    body: WasiBody,
    left: u64,
) -> Result<(WasiBody, BodyDigest), EgressError> {
    // A signature says nothing of trailers, so nobody could know who wrote them.
    let trailers = "it is signed and has trailers";
    let all = gathered(body, SIGNED_BODY_BYTES_MAX, left, trailers).await?;
    let digest = BodyDigest::of(&all);
    let body = Full::new(all).map_err(|never| match never {});
    Ok((body.boxed_unsync(), digest))
}
