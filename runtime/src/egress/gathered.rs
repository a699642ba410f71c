//! A body that is not sent as it comes, because what is sent with it depends on all of it.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use wasmtime_wasi_http::WasiBody;

use super::error::EgressError;

/// The whole of it, up to `most` and to what is `left` to send: what could not be sent is not held. `trailers` is why one with
/// trailers is refused.
pub async fn gathered(
    mut body: WasiBody,
    most: usize,
    left: u64,
    trailers: &'static str,
) -> Result<Bytes, EgressError> {
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(most);
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let given_up = |_| EgressError::RequestMalformed("the body was given up");
        match frame.map_err(given_up)?.into_data() {
            Ok(data) if data.len() > most.saturating_sub(all.len()) => {
                return Err(EgressError::RequestTooLarge);
            }
            Ok(data) => all.extend_from_slice(&data),
            Err(_) => return Err(EgressError::RequestMalformed(trailers)),
        }
    }
    Ok(all.freeze())
}
