//! What comes back to a request that carried a secret.

use super::*;

#[tokio::test]
async fn what_comes_back_is_masked_in_fields_body_and_trailers() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let (one, two) = VALUE.split_at(5);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-echo: {VALUE}\r\nx-hex: {hex}\r\nx-canary: 1\r\ntrailer: x-last\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n<{one}\r\n{:x}\r\n{two}>\r\n0\r\nx-last: {VALUE}\r\n\r\n",
        one.len() + 1,
        two.len() + 1,
        hex = hex::encode(VALUE),
    );
    let upstream = Upstream::answering(answer).await;
    let all = secrets(&[binding("tracker", &file, &["api.test"], "bearer")]);
    let grants = ["secret tracker api.test bearer"];
    let mut call = Call::new(upstream.address, &all, &grants);
    let own = [
        ("accept-encoding", "gzip"),
        ("range", "bytes=0-1"),
        ("if-range", "x"),
    ];
    let response = call.get("http://api.test/", &own).await.unwrap();
    assert_eq!(response.headers()["x-echo"], "*".repeat(VALUE.len()));
    assert_eq!(response.headers()["x-hex"], "*".repeat(2 * VALUE.len()));
    assert_eq!(response.headers()["x-canary"], "1");
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap();
    assert_eq!(trailers["x-last"], "*".repeat(VALUE.len()));
    assert_eq!(body.to_bytes(), format!("<{}>", "*".repeat(VALUE.len())));
    // The answer comes whole.
    let seen = &upstream.seen()[0];
    assert!(!seen.contains("range"), "{seen}");
    call.lender.record();
    assert_eq!(call.meter.snapshot()["secret tracker (masked)"].count, 4);
}

/// RFC 1952: one member whose contents are stored as they are.
fn gzip(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        }
    }
    let length = u16::try_from(bytes.len()).unwrap();
    let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    all.extend(length.to_le_bytes());
    all.extend((!length).to_le_bytes());
    all.extend_from_slice(bytes);
    all.extend((!crc).to_le_bytes());
    all.extend(u32::from(length).to_le_bytes());
    all
}

#[tokio::test]
async fn what_came_compressed_is_masked_and_what_cannot_be_searched_is_not_given() {
    let folder = Folder::new();
    let file = folder.put("tracker", VALUE);
    let all = secrets(&[binding("tracker", &file, &["api.test"], "bearer")]);
    let grants = ["secret tracker api.test bearer"];
    let answer = async |coding: &str, body: Vec<u8>| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
        );
        let upstream = Upstream::answering([head.into_bytes(), body].concat()).await;
        let mut call = Call::new(upstream.address, &all, &grants);
        call.get("http://api.test/", &[]).await
    };
    let masked = answer("gzip", gzip(&format!("<{VALUE}>"))).await.unwrap();
    assert_eq!(text(masked).await, format!("<{}>", "*".repeat(VALUE.len())));
    let refused = answer("br", b"ok".to_vec()).await;
    assert!(
        matches!(refused, Err(Error::HttpProtocolError)),
        "{refused:?}"
    );
}
