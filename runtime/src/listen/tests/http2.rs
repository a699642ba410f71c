//! HTTP/2, frame by frame as no library would send them.

use super::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const CALM: u8 = 0x0b;
const REFUSED_STREAM: u8 = 7;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field that no table holds (RFC 7541 §6.2.2). Names and values are short.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    // The length of a value up to 126 is one byte, of others 127 and the rest by seven bits.
    match value.len() {
        short @ 0..127 => bytes.push(u8::try_from(short).unwrap()),
        long => {
            bytes.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
    }
    bytes.extend(value.as_bytes());
    bytes
}

/// The head of a request.
pub(super) fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "mcp.test"),
    ];
    let all = fields.iter().chain(more);
    all.flat_map(|(name, value)| field(name, value)).collect()
}

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(HEADERS, flags, stream, &head("GET", path, &[]))
}

fn hello() -> Vec<u8> {
    [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// What came back.
#[derive(Debug)]
pub(super) struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub(super) async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    })
}

/// Everything until the connection ends.
pub(super) async fn frames(stream: &mut TcpStream) -> Vec<Frame> {
    let mut all = Vec::new();
    let read = async {
        while let Some(frame) = next(stream).await {
            all.push(frame);
        }
    };
    timeout(SOON, read).await.expect("the connection ends");
    all
}

/// The frame of this kind that comes next of a stream.
pub(super) async fn until(stream: &mut TcpStream, kind: u8, of: u32) -> Frame {
    let look = async {
        loop {
            let frame = next(stream).await.expect("the connection is open");
            if frame.kind == kind && frame.stream == of {
                return frame;
            }
        }
    };
    timeout(SOON, look).await.expect("it comes")
}

/// The status as the static table has it (RFC 7541 appendix A), or in the code of appendix B.
pub(super) fn status(frame: &Frame) -> &'static str {
    let starts = |bytes: &[u8]| frame.payload.windows(bytes.len()).any(|part| part == bytes);
    match frame.payload.first() {
        Some(0x88) => "200",
        Some(0x8c) => "400",
        _ if starts(&[0x83, 0x69, 0x90, 0xff]) => "431",
        _ => "other",
    }
}

pub(super) async fn opened(rig: &Rig, more: &[u8]) -> TcpStream {
    let mut stream = rig.connect().await;
    let bytes = [hello(), more.to_vec()].concat();
    stream.write_all(&bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn http2_is_spoken_with_whoever_begins_with_it() {
    let rig = Rig::new(short()).await;
    let mut stream = opened(&rig, &get(1, "/who")).await;
    let answer = until(&mut stream, HEADERS, 1).await;
    assert_eq!(status(&answer), "200");
    let body = until(&mut stream, DATA, 1).await;
    assert_eq!(
        String::from_utf8(body.payload).unwrap(),
        "127.0.0.1   false"
    );
    // Then nothing is asked, and it ends in order.
    let left = frames(&mut stream).await;
    let bye = left.iter().find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(bye.payload[4..8], [0; 4], "without an error");
    // What begins like it and goes no further is not waited for.
    let mut half = rig.connect().await;
    half.write_all(&PREFACE[..9]).await.unwrap();
    assert_eq!(rest(&mut half).await, "");
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_their_connection() {
    let mut front = short();
    // Nothing else ends it.
    front.bounds.idle = 60 * SOON;
    let rig = Rig::new(front).await;
    let cancel = 8_u32.to_be_bytes();
    let flood: Vec<u8> = (0..5_000_u32)
        .flat_map(|n| {
            [
                get(2 * n + 1, "/waits"),
                frame(RESET, 0, 2 * n + 1, &cancel),
            ]
            .concat()
        })
        .collect();
    let mut stream = rig.connect().await;
    let (mut read, mut write) = stream.split();
    let bytes = [hello(), flood].concat();
    let (answer, _, ()) = tokio::join!(
        async {
            let mut all = Vec::new();
            let _ = timeout(SOON, read.read_to_end(&mut all))
                .await
                .expect("it ends");
            all
        },
        write.write_all(&bytes),
        rig.neighbour(),
    );
    let calm = frame(GOAWAY, 0, 0, &[])[3..].to_vec();
    let place = answer.windows(6).position(|part| part == &calm[..6]);
    // What a connection is told in its last moment may be lost with it.
    if let Some(place) = place {
        assert_eq!(answer[place + 6 + 7], CALM);
    }
}

#[tokio::test]
async fn one_connection_has_so_many_streams_and_no_more() {
    let mut front = short();
    front.bounds.streams = 5;
    let rig = Rig::new(front).await;
    let all: Vec<u8> = (0..6_u32).flat_map(|n| get(2 * n + 1, "/waits")).collect();
    let mut stream = opened(&rig, &all).await;
    let refused = until(&mut stream, RESET, 11).await;
    assert_eq!(refused.payload[3], REFUSED_STREAM);
    rig.go.add_permits(5);
    for _ in 0..5 {
        let answered = async {
            loop {
                let frame = next(&mut stream).await.unwrap();
                if frame.kind == HEADERS {
                    return frame;
                }
            }
        };
        assert_eq!(status(&timeout(SOON, answered).await.unwrap()), "200");
    }
}

#[tokio::test]
async fn heads_in_endless_pieces_end_their_connection() {
    for piece in [16 * 1024 - 8, 1, 0] {
        let mut front = short();
        // Nothing else ends it.
        front.bounds.idle = 60 * SOON;
        let rig = Rig::new(front).await;
        let begin = frame(HEADERS, END_STREAM, 1, &head("GET", "/who", &[]));
        let mut stream = opened(&rig, &begin).await;
        let (mut read, mut write) = stream.split();
        // A field whose value is announced as longer than anything.
        let first = [vec![0, 1, b'x', 127, 255, 255, 255, 7], vec![b'y'; piece]].concat();
        let more = frame(CONTINUATION, 0, 1, &vec![b'y'; piece]);
        let floods = async {
            let mut sent = 0;
            let mut next = frame(CONTINUATION, 0, 1, &first);
            // What the kernels keep on the way is no memory of ours.
            while sent < 64 * 1024 * 1024 && write.write_all(&next).await.is_ok() {
                sent += next.len();
                next.clone_from(&more);
                if piece < 2 {
                    next = more.repeat(512);
                }
            }
            sent
        };
        let (sent, answer, ()) = tokio::join!(floods, rest(&mut read), rig.neighbour());
        assert!(sent < 32 * 1024 * 1024, "{piece}: {sent}");
        assert!(!answer.contains("127.0.0.1"), "{piece}");
        rig.neighbour().await;
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let rig = Rig::new(short()).await;
    let large = "y".repeat(12 * 1024);
    let fields = [
        ("a", large.as_str()),
        ("b", large.as_str()),
        ("traceparent", large.as_str()),
    ];
    let block = head("GET", "/who", &fields);
    let (first, more) = block.split_at(16 * 1024);
    let (second, third) = more.split_at(16 * 1024);
    let pieces = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, 0, 1, second),
        frame(CONTINUATION, END_HEADERS, 1, third),
        get(3, "/who"),
    ];
    let mut stream = opened(&rig, &pieces.concat()).await;
    let refused = until(&mut stream, HEADERS, 1).await;
    assert_eq!(status(&refused), "431", "{refused:?}");
    assert_eq!(status(&until(&mut stream, HEADERS, 3).await), "200");
    let names: Vec<_> = (0..110).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let flags = END_STREAM | END_HEADERS;
    let many = frame(HEADERS, flags, 1, &head("GET", "/who", &many));
    let mut stream = opened(&rig, &many).await;
    let refused = until(&mut stream, HEADERS, 1).await;
    assert_eq!(status(&refused), "431", "{refused:?}");
}

#[tokio::test]
async fn what_http2_does_not_have_is_no_request() {
    let rig = Rig::new(short()).await;
    let post = |fields: &[(&str, &str)]| {
        let flags = END_STREAM | END_HEADERS;
        frame(HEADERS, flags, 1, &head("POST", "/length", fields))
    };
    // Without any of it, it is one.
    let mut stream = opened(&rig, &post(&[("x", "b")])).await;
    assert_eq!(status(&until(&mut stream, HEADERS, 1).await), "200");
    for (name, fields) in [
        ("chunks", vec![("transfer-encoding", "chunked")]),
        ("a connection", vec![("connection", "close")]),
        ("a length without a body", vec![("content-length", "5")]),
        (
            "two lengths",
            vec![("content-length", "0"), ("content-length", "0")],
        ),
        ("a line feed", vec![("x", "a\nb: c")]),
        ("a capital", vec![("X-A", "b")]),
        // Whichever counted, it would be answered.
        ("a second path", vec![(":path", "/sink")]),
        ("a second host", vec![(":authority", "mcp.test")]),
        ("a second method", vec![(":method", "POST")]),
        ("a tunnel to a path", vec![(":protocol", "websocket")]),
    ] {
        let mut stream = opened(&rig, &post(&fields)).await;
        let all = frames(&mut stream).await;
        let good = all
            .iter()
            .any(|frame| frame.kind == HEADERS && status(frame) == "200");
        assert!(!good, "{name}: {all:?}");
        rig.neighbour().await;
    }
}

#[tokio::test]
async fn a_request_of_http2_is_for_one_host() {
    let rig = Rig::new(short()).await;
    // `:authority` is `mcp.test`.
    for (hosts, expected) in [
        (vec!["mcp.test"], "200"),
        (vec!["MCP.test:80"], "200"),
        (vec!["evil.test"], "400"),
        (vec!["mcp.test:81"], "400"),
        (vec!["x@mcp.test"], "400"),
        (vec![""], "400"),
        (vec!["mcp.test", "mcp.test"], "400"),
        (vec!["mcp.test", "evil.test"], "400"),
    ] {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let flags = END_STREAM | END_HEADERS;
        let request = frame(HEADERS, flags, 1, &head("GET", "/who", &fields));
        let mut stream = opened(&rig, &request).await;
        let answer = until(&mut stream, HEADERS, 1).await;
        assert_eq!(status(&answer), expected, "{hosts:?}");
    }
}

#[tokio::test]
async fn nothing_is_tunnelled_over_http2() {
    let rig = Rig::new(short()).await;
    let fields = [(":method", "CONNECT"), (":authority", "mcp.test:80")];
    let fields = fields.iter().flat_map(|(name, value)| field(name, value));
    let connect = frame(HEADERS, END_HEADERS, 1, &fields.collect::<Vec<_>>());
    let mut stream = opened(&rig, &connect).await;
    let answer = until(&mut stream, HEADERS, 1).await;
    assert_eq!(status(&answer), "other", "{answer:?}");
    let sent = frame(DATA, 0, 1, ask("/who", "").as_bytes());
    stream.write_all(&sent).await.unwrap();
    let left = frames(&mut stream).await;
    let left = left.iter().flat_map(|frame| frame.payload.iter().copied());
    let left = String::from_utf8_lossy(&left.collect::<Vec<_>>()).into_owned();
    assert!(left.contains("no tunnels"), "{left}");
    assert!(!left.contains("127.0.0.1"), "{left}");
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_its_connection() {
    let rig = Rig::new(short()).await;
    let began = Instant::now();
    let half = frame(HEADERS, END_STREAM, 1, &head("GET", "/who", &[]));
    let mut stream = opened(&rig, &half).await;
    frames(&mut stream).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_for_which_there_is_no_room_ends_its_connection() {
    let rig = Rig::new(short()).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 4, and it is nothing.
    let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let bytes = [PREFACE.to_vec(), none, get(1, "/large")].concat();
    let mut stream = rig.connect().await;
    stream.write_all(&bytes).await.unwrap();
    let began = Instant::now();
    let all = frames(&mut stream).await;
    assert!(!all.iter().any(|frame| frame.kind == DATA));
    assert!(began.elapsed() >= 4 * TENTH && began.elapsed() < SOON);
}

#[tokio::test]
async fn whoever_asks_and_does_not_listen_is_not_served_for_ever() {
    let rig = Rig::new(short()).await;
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut stream = opened(&rig, &[]).await;
        let flood = flood.repeat(1_000);
        let floods = async { while stream.write_all(&flood).await.is_ok() {} };
        let (ended, ()) = tokio::join!(timeout(SOON, floods), async {
            tokio::time::sleep(TENTH).await;
            rig.neighbour().await;
        });
        ended.expect("the connection ends");
    }
}

#[tokio::test]
async fn at_the_end_streams_that_run_may_finish() {
    let mut front = short();
    front.bounds.drain = SOON;
    let rig = Rig::new(front).await;
    let mut stream = opened(&rig, &get(1, "/waits")).await;
    tokio::time::sleep(TENTH).await;
    rig.shutdown.cancel();
    until(&mut stream, GOAWAY, 0).await;
    rig.go.add_permits(1);
    let answer = until(&mut stream, HEADERS, 1).await;
    assert_eq!(status(&answer), "200");
    assert_eq!(answer.flags & END_HEADERS, END_HEADERS);
    assert_eq!(rig.serving.await.unwrap(), 0);
}
