//! HTTP/2 clients that leave little room for their answers, or too much.

use super::http2::{
    CALM, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RESET, SETTINGS, frame, frames,
    get, head, next, opened, status, until,
};
use super::*;

const WINDOW_UPDATE: u8 = 8;
const PROTOCOL_ERROR: u8 = 1;
const FLOW_CONTROL_ERROR: u8 = 3;
/// The largest window there is.
const WINDOW_MAX: u32 = 0x7fff_ffff;

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A request of a client of whom a proxy tells.
fn of(client: &str, stream: u32, path: &str) -> Vec<u8> {
    let fields = [("x-forwarded-for", client)];
    let flags = END_STREAM | END_HEADERS;
    frame(HEADERS, flags, stream, &head("GET", path, &fields))
}

/// A connection whose answers find so much room at first.
async fn narrow(rig: &Rig, room: u32, more: &[u8]) -> TcpStream {
    // SETTINGS_INITIAL_WINDOW_SIZE is 4.
    let mut payload = vec![0, 4];
    payload.extend(room.to_be_bytes());
    let settings = frame(SETTINGS, 0, 0, &payload);
    let bytes = [PREFACE, settings.as_slice(), more].concat();
    let mut stream = rig.connect().await;
    stream.write_all(&bytes).await.unwrap();
    stream
}

fn proxied() -> Front {
    let mut front = short();
    front.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    front
}

/// The body of an answer, for which there is room now.
async fn body(stream: &mut TcpStream, of: u32) -> String {
    stream.write_all(&window(of, 1_024)).await.unwrap();
    let data = until(stream, DATA, of).await;
    String::from_utf8(data.payload).unwrap()
}

/// The next frames of this kind, of whatever streams: they come in any order.
async fn several(stream: &mut TcpStream, kind: u8, count: usize) -> Vec<Frame> {
    let mut all = Vec::new();
    let read = async {
        while all.len() < count {
            let frame = next(stream).await.expect("the connection is open");
            if frame.kind == kind {
                all.push(frame);
            }
        }
    };
    timeout(SOON, read).await.expect("they come");
    all
}

/// Waits until so many bytes are left of all answers.
async fn left(rig: &Rig, bytes: usize) {
    let look = async {
        while rig.untaken.all() != bytes {
            tokio::time::sleep(TENTH / 10).await;
        }
    };
    let seen = timeout(SOON, look).await;
    seen.unwrap_or_else(|_| panic!("{} bytes are held, not {bytes}", rig.untaken.all()));
}

fn is_last(frame: &Frame) -> bool {
    frame.kind == DATA && frame.flags & END_STREAM != 0
}

#[tokio::test]
async fn answers_that_are_left_lying_end_their_connection_whatever_else_is_asked_and_taken() {
    // No room at all, that of one byte, and one more byte now and then.
    for (room, drip) in [(0, false), (1, false), (1, true)] {
        let rig = Rig::new(short()).await;
        let began = Instant::now();
        let large: Vec<_> = (0..5).map(|n| 2 * n + 1).collect();
        let asked: Vec<u8> = large.iter().flat_map(|id| get(*id, "/whole")).collect();
        let mut stream = narrow(&rig, room, &asked).await;
        let heads = several(&mut stream, HEADERS, large.len()).await;
        assert!(heads.iter().all(|head| status(head) == "200"), "{heads:?}");
        let held = rig.untaken.all();
        assert!(held > 4 * WHOLE, "{held}");
        let (mut read, mut write) = stream.split();
        let asks = async {
            for id in (101_u32..).step_by(2) {
                let mut bytes = [get(id, "/who"), window(id, 1_024)].concat();
                if drip {
                    bytes.extend(large.iter().flat_map(|id| window(*id, 1)));
                }
                if write.write_all(&bytes).await.is_err() {
                    break;
                }
                tokio::time::sleep(TENTH).await;
            }
        };
        let mut answered = 0;
        let reads = async {
            while let Some(frame) = next(&mut read).await {
                answered += usize::from(is_last(&frame));
            }
        };
        tokio::select! {
            () = reads => {}
            () = asks => {}
            () = tokio::time::sleep(SOON) => panic!("{room} {drip}: it goes on for ever"),
        }
        assert!(answered > 0, "{room} {drip}: the others were answered");
        assert!(began.elapsed() >= 4 * TENTH, "{room} {drip}");
        left(&rig, 0).await;
        rig.neighbour().await;
    }
}

#[tokio::test]
async fn whoever_takes_answers_slowly_gets_all_of_them() {
    let rig = Rig::new(short()).await;
    let began = Instant::now();
    let asked = [get(1, "/whole"), get(3, "/whole")].concat();
    let mut stream = narrow(&rig, 16 * 1_024, &asked).await;
    let (mut bytes, mut whole) = (0, 0);
    while whole < 2 {
        let frame = timeout(SOON, next(&mut stream)).await.expect("it comes");
        let frame = frame.expect("the connection is open");
        if frame.kind != DATA {
            continue;
        }
        bytes += frame.payload.len();
        whole += usize::from(is_last(&frame));
        tokio::time::sleep(TENTH / 2).await;
        if let room @ 1.. = u32::try_from(frame.payload.len()).unwrap() {
            let more = [window(0, room), window(frame.stream, room)].concat();
            stream.write_all(&more).await.unwrap();
        }
    }
    assert_eq!(bytes, 2 * WHOLE);
    assert!(
        began.elapsed() > 10 * TENTH,
        "it took longer than a step may"
    );
    left(&rig, 0).await;
}

#[tokio::test]
async fn whoever_leaves_answers_lying_is_known_by_it() {
    let mut front = short();
    front.bounds.answer_wait = 6 * SOON;
    front.bounds.answers_bytes_per_connection = 2 * WHOLE;
    let rig = Rig::new(front).await;
    let mut stream = narrow(&rig, 0, &get(1, "/whole")).await;
    until(&mut stream, HEADERS, 1).await;
    stream.write_all(&get(3, "/behind")).await.unwrap();
    assert_eq!(body(&mut stream, 3).await, "false");
    stream.write_all(&get(5, "/whole")).await.unwrap();
    until(&mut stream, HEADERS, 5).await;
    stream.write_all(&get(7, "/behind")).await.unwrap();
    assert_eq!(body(&mut stream, 7).await, "true");
    let mut other = narrow(&rig, 0, &get(1, "/behind")).await;
    assert_eq!(body(&mut other, 1).await, "false");
    left(&rig, 2 * WHOLE).await;
    // Whoever says that it does not want them is done with them.
    let cancel = 8_u32.to_be_bytes();
    let cancel = [frame(RESET, 0, 1, &cancel), frame(RESET, 0, 5, &cancel)];
    stream.write_all(&cancel.concat()).await.unwrap();
    left(&rig, 0).await;
    stream.write_all(&get(9, "/behind")).await.unwrap();
    assert_eq!(body(&mut stream, 9).await, "false");
}

#[tokio::test]
async fn what_clients_of_a_proxy_leave_lying_counts_for_each_of_them() {
    let mut front = proxied();
    front.bounds.answer_wait = 6 * SOON;
    front.bounds.answers_bytes = 2 * WHOLE;
    front.bounds.answers_bytes_per_address = WHOLE;
    front.bounds.answers_bytes_per_connection = 1;
    let rig = Rig::new(front).await;
    let (one, two) = ("192.0.2.1", "192.0.2.2");
    let mut lies = narrow(&rig, 0, &of(one, 1, "/whole")).await;
    until(&mut lies, HEADERS, 1).await;
    // On this connection and on others.
    for (client, behind) in [(one, "true"), (two, "false")] {
        let mut other = narrow(&rig, 0, &of(client, 1, "/behind")).await;
        assert_eq!(body(&mut other, 1).await, behind, "{client}");
    }
    lies.write_all(&of(two, 3, "/behind")).await.unwrap();
    assert_eq!(body(&mut lies, 3).await, "false");
    // All together have a bound as well, which holds for whoever comes.
    lies.write_all(&of(two, 5, "/whole")).await.unwrap();
    until(&mut lies, HEADERS, 5).await;
    for client in [two, "192.0.2.3", "127.0.0.1"] {
        let mut other = narrow(&rig, 0, &of(client, 1, "/behind")).await;
        assert_eq!(body(&mut other, 1).await, "true", "{client}");
    }
    drop(lies);
    left(&rig, 0).await;
    let mut other = narrow(&rig, 0, &of(one, 1, "/behind")).await;
    assert_eq!(body(&mut other, 1).await, "false");
}

#[tokio::test]
async fn one_client_of_a_proxy_does_not_end_what_the_others_do() {
    let rig = Rig::new(proxied()).await;
    let mut stream = narrow(&rig, 0, &of("192.0.2.1", 1, "/whole")).await;
    until(&mut stream, HEADERS, 1).await;
    let began = Instant::now();
    let mut id = 3;
    while began.elapsed() < 20 * TENTH {
        stream
            .write_all(&of("192.0.2.2", id, "/who"))
            .await
            .unwrap();
        assert!(body(&mut stream, id).await.starts_with("192.0.2.2"));
        tokio::time::sleep(TENTH).await;
        id += 2;
    }
    // Once all that there is lies, nobody is harmed.
    frames(&mut stream).await;
    left(&rig, 0).await;
}

/// Why the connection was ended, if its client could still read it.
fn reason(all: &[Frame]) -> Option<u8> {
    let bye = all.iter().rev().find(|frame| frame.kind == GOAWAY)?;
    bye.payload.get(7).copied()
}

#[tokio::test]
async fn a_window_that_does_not_grow_or_grows_beyond_everything_ends_its_connection() {
    for (name, update, code) in [
        ("nothing for all", window(0, 0), PROTOCOL_ERROR),
        ("nothing for one", window(1, 0), PROTOCOL_ERROR),
        (
            "too much for all",
            window(0, WINDOW_MAX),
            FLOW_CONTROL_ERROR,
        ),
        ("one that is not there", window(9, 1), PROTOCOL_ERROR),
    ] {
        let mut front = short();
        // Nothing else ends it.
        front.bounds.idle = 60 * SOON;
        let rig = Rig::new(front).await;
        let bytes = [get(1, "/waits"), update].concat();
        let mut stream = opened(&rig, &bytes).await;
        let all = frames(&mut stream).await;
        assert_eq!(reason(&all), Some(code), "{name}: {all:?}");
        rig.neighbour().await;
    }
}

#[tokio::test]
async fn streams_that_we_are_made_to_reset_end_their_connection() {
    let mut front = short();
    front.bounds.idle = 60 * SOON;
    let rig = Rig::new(front).await;
    let fault = |id| [get(id, "/waits"), window(id, WINDOW_MAX)].concat();
    let ids = || (1_u32..).step_by(2);
    let faults: Vec<u8> = ids().take(STREAMS_AT_FAULT_MAX).flat_map(fault).collect();
    let mut stream = opened(&rig, &faults).await;
    for reset in several(&mut stream, RESET, STREAMS_AT_FAULT_MAX).await {
        assert_eq!(reset.payload[3], FLOW_CONTROL_ERROR, "{reset:?}");
    }
    // So many are borne, and only they are ended.
    stream.write_all(&get(1_001, "/who")).await.unwrap();
    let answer = until(&mut stream, HEADERS, 1_001).await;
    assert_eq!(status(&answer), "200");
    stream.write_all(&fault(1_003)).await.unwrap();
    let all = frames(&mut stream).await;
    assert_eq!(reason(&all), Some(CALM), "{all:?}");
    rig.neighbour().await;
}
