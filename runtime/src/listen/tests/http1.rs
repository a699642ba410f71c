//! HTTP/1.1: slow ones, large ones, and requests that may be read in two ways.

use super::*;

/// Sends byte by byte until the connection ends, and says after how long.
async fn drip(rig: &Rig, before: &str, drop: &[u8]) -> Duration {
    let began = Instant::now();
    let mut stream = rig.connect().await;
    stream.write_all(before.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let sends = async {
        while write.write_all(drop).await.is_ok() {
            tokio::time::sleep(TENTH / 2).await;
        }
    };
    tokio::select! {
        () = sends => {}
        _ = read.read_to_end(&mut answer) => {}
        () = tokio::time::sleep(SOON) => panic!("it goes on for ever"),
    }
    began.elapsed()
}

#[tokio::test]
async fn a_head_that_comes_slowly_ends_its_connection() {
    let rig = Rig::new(short()).await;
    let slow = drip(&rig, "GET /who HTTP/1.1\r\nhost: mcp.test\r\n", b"x");
    let (took, ()) = tokio::join!(slow, async {
        for _ in 0..4 {
            tokio::time::sleep(TENTH).await;
            rig.neighbour().await;
        }
    });
    assert!(took >= 4 * TENTH && took < SOON, "{took:?}");
    // Whoever says nothing at all is no better, nor who is slow with the second request.
    let mut silent = rig.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let first = ask("/who", "");
    let took = drip(&rig, &format!("{first}GET /wh"), b"o").await;
    assert!(took >= 4 * TENTH && took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_given_up() {
    let rig = Rig::new(short()).await;
    let head = "POST /length HTTP/1.1\r\nhost: mcp.test\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = rig.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.contains("lost: the body did not come in time"),
        "{answer}"
    );
    let slow = drip(&rig, head, b"x");
    let (took, ()) = tokio::join!(slow, rig.neighbour());
    assert!(took >= 4 * TENTH && took < SOON, "{took:?}");
    let chunked = "POST /length HTTP/1.1\r\nhost: mcp.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let took = drip(&rig, chunked, b"1\r\nx\r\n").await;
    assert!(took >= 4 * TENTH && took < SOON, "{took:?}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_connection() {
    let rig = Rig::new(short()).await;
    let mut stream = rig.connect().await;
    stream
        .write_all(ask("/large", "").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(10 * TENTH).await;
    rig.neighbour().await;
    let answer = rest(&mut stream).await;
    assert!(answer.len() < 64 * 1024 * 1024, "it was not sent whole");
    // Whoever takes it slowly gets all of it.
    let mut stream = rig.connect().await;
    let request = ask("/large", "connection: close\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut sum) = (vec![0; 16 * 1024 * 1024], 0);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            read => sum += read,
        }
        if sum % 7 == 0 {
            tokio::time::sleep(TENTH / 10).await;
        }
    }
    assert!(sum > 64 * 1024 * 1024, "{sum}");
}

#[tokio::test]
async fn a_connection_without_requests_ends_and_one_with_a_request_does_not() {
    let rig = Rig::new(short()).await;
    let mut stream = rig.connect().await;
    stream
        .write_all(ask("/waits", "").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(12 * TENTH).await;
    let began = Instant::now();
    rig.go.add_permits(1);
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("waited"), "{answer}");
    assert!(began.elapsed() >= 7 * TENTH, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_has_its_share_of_requests() {
    let mut front = short();
    front.bounds.requests = 3;
    front.bounds.idle = SOON;
    let rig = Rig::new(front).await;
    let mut stream = rig.connect().await;
    for _ in 0..3 {
        stream.write_all(ask("/who", "").as_bytes()).await.unwrap();
        let mut buffer = vec![0; 1024];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn large_heads_are_refused_and_cost_nobody_else_anything() {
    let rig = Rig::new(short()).await;
    let many = |count| {
        (0..count)
            .map(|n| format!("x-{n}: y\r\n"))
            .collect::<String>()
    };
    for (headers, status) in [
        // Two more are there already.
        (many(limits_headers() - 2), "200"),
        (many(limits_headers() + 1), "431"),
        (format!("x: {}\r\n", "y".repeat(16 * 1024)), "200"),
        (format!("x: {}\r\n", "y".repeat(33 * 1024)), "431"),
        (format!("x: {}\r\n", "y".repeat(4 * 1024 * 1024)), "431"),
        (many(100_000), "431"),
        (
            format!("traceparent: 00-{}-01\r\n", "a".repeat(40 * 1024)),
            "431",
        ),
    ] {
        let mut stream = rig.connect().await;
        let request = ask("/who", &format!("{headers}connection: close\r\n"));
        let (mut read, mut write) = stream.split();
        // The server hangs up in the middle.
        let (answer, _) = tokio::join!(rest(&mut read), write.write_all(request.as_bytes()));
        let refused = status == "431" && answer.is_empty();
        let told = answer.starts_with(&format!("HTTP/1.1 {status}"));
        assert!(told || refused, "{status}: {answer}");
        rig.neighbour().await;
    }
    let long = format!("/{}", "a".repeat(70_000));
    let answer = rig.exchange(ask(&long, "")).await;
    assert!(
        answer.is_empty()
            || answer.starts_with("HTTP/1.1 414")
            || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let mut front = short();
    front.bounds.headers = 3;
    front.bounds.header_bytes = 200;
    let rig = Rig::new(front).await;
    rig.neighbour().await;
    let answer = rig
        .exchange(ask("/who", "a: 1\r\nb: 2\r\nconnection: close\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = rig
        .exchange(ask("/who", &format!("a: {}\r\n", "1".repeat(300))))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

fn limits_headers() -> usize {
    crate::limits::HEADERS_MAX
}

/// What a second request would be answered, if one was seen.
const SECOND: &str = "GET /waits HTTP/1.1\r\nhost: mcp.test\r\n\r\n";

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_read_in_one_and_nothing_comes_behind_it() {
    let rig = Rig::new(short()).await;
    let post = |headers: &str, body: &str| {
        format!("POST /length HTTP/1.1\r\nhost: mcp.test\r\n{headers}\r\n{body}")
    };
    let chunked = "transfer-encoding: chunked\r\n";
    for (name, request, says) in [
        (
            "both, length first",
            post(
                &format!("content-length: 5\r\n{chunked}"),
                &format!("0\r\n\r\n{SECOND}"),
            ),
            "length 0",
        ),
        (
            "both, chunks first",
            post(
                &format!("{chunked}content-length: 5\r\n"),
                &format!("0\r\n\r\n{SECOND}"),
            ),
            "length 0",
        ),
        (
            "two lengths",
            post("content-length: 0\r\ncontent-length: 5\r\n", SECOND),
            " 400 ",
        ),
        (
            "a list of lengths",
            post("content-length: 0, 5\r\n", SECOND),
            " 400 ",
        ),
        (
            "a signed length",
            post("content-length: +5\r\n", "12345"),
            " 400 ",
        ),
        (
            "a length too large",
            post("content-length: 99999999999999999999\r\n", ""),
            " 400 ",
        ),
        (
            "a folded line",
            post("x: a\r\n b\r\ncontent-length: 0\r\n", ""),
            " 400 ",
        ),
        (
            "a folded framing",
            post("x: a\r\n transfer-encoding: chunked\r\n", SECOND),
            " 400 ",
        ),
        (
            "a space before the colon",
            post("transfer-encoding : chunked\r\n", SECOND),
            " 400 ",
        ),
        (
            "chunks not last",
            post("transfer-encoding: chunked, identity\r\n", SECOND),
            " 400 ",
        ),
        (
            "chunks by another name",
            post("transfer-encoding: xchunked\r\n", SECOND),
            " 400 ",
        ),
        (
            "chunks in 1.0",
            post(chunked, SECOND).replace("HTTP/1.1", "HTTP/1.0"),
            " 400 ",
        ),
        (
            "a size that is none",
            post(chunked, "zz\r\nabc\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "a size too large",
            post(chunked, "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "a signed size",
            post(chunked, "-1\r\nabc\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "a size in C",
            post(chunked, "0x3\r\nabc\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "a size with a line feed",
            post(chunked, "3\nabc\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "a chunk without its end",
            post(chunked, "3\r\nabcdef\r\n0\r\n\r\n"),
            "lost: ",
        ),
        (
            "an endless extension",
            post(
                chunked,
                &format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(64 * 1024)),
            ),
            "lost: ",
        ),
        ("a null in a value", post("x: a\0b\r\n", ""), " 400 "),
        (
            "a carriage return in a value",
            post("x: a\rb\r\n", ""),
            " 400 ",
        ),
        ("no version", "GET /who\r\n\r\n".to_owned(), " 400 "),
        (
            "noise",
            "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\r\n\r\n".to_owned(),
            " 400 ",
        ),
    ] {
        let answer = rig.exchange(&request).await;
        assert!(answer.contains(says), "{name}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{name}: {answer}");
        assert!(!answer.contains("waited"), "{name}: {answer}");
        rig.neighbour().await;
    }
}

#[tokio::test]
async fn chunks_are_taken_once_and_lengths_again_and_again() {
    let rig = Rig::new(short()).await;
    let chunked = "POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = rig.exchange(format!("{chunked}{chunked}")).await;
    assert_eq!(answer.matches("length 3").count(), 1, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let sized = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let answer = rig.exchange(format!("{sized}{sized}")).await;
    assert_eq!(answer.matches("length 3").count(), 2, "{answer}");
    // A line feed alone ends a line, as RFC 9112 §2.2 has it, and what follows is one request.
    let answer = rig
        .exchange(ask("/who", "connection: close\r\n").replace("\r\n", "\n"))
        .await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_request_of_http1_is_for_one_host() {
    let rig = Rig::new(short()).await;
    let ask = |target: &str, version: &str, headers: &str| {
        format!("GET {target} {version}\r\n{headers}connection: close\r\n\r\n")
    };
    let (own, evil) = ("host: mcp.test\r\n", "host: evil.test\r\n");
    let both = [own, evil].concat();
    for (target, version, headers, status, says) in [
        ("/who", "HTTP/1.1", own, 200, "mcp.test"),
        ("/who", "HTTP/1.1", "", 400, "names no host"),
        ("/who", "HTTP/1.0", "", 200, "127.0.0.1"),
        ("/who", "HTTP/1.1", "host:\r\n", 400, "cannot be read"),
        ("/who", "HTTP/1.1", "host: a b\r\n", 400, "cannot be read"),
        ("/who", "HTTP/1.1", "host: a@b\r\n", 400, "cannot be read"),
        ("/who", "HTTP/1.1", both.as_str(), 400, "names two hosts"),
        ("http://mcp.test/who", "HTTP/1.1", own, 200, "mcp.test"),
        ("http://MCP.test:80/who", "HTTP/1.1", own, 200, "mcp.test"),
        ("http://evil.test/who", "HTTP/1.1", own, 400, "two hosts"),
        ("http://mcp.test/who", "HTTP/1.1", evil, 400, "two hosts"),
        ("http://mcp.test/who", "HTTP/1.0", evil, 400, "two hosts"),
        ("http://mcp.test:81/who", "HTTP/1.1", own, 400, "two hosts"),
        ("http://evil@mcp.test/who", "HTTP/1.1", own, 400, " 400 "),
        ("mcp", "HTTP/1.1", own, 400, " 400 "),
    ] {
        let request = ask(target, version, headers);
        let answer = rig.exchange(&request).await;
        assert!(answer.contains(&format!(" {status} ")), "{request}{answer}");
        assert!(answer.contains(says), "{request}{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{request}{answer}");
    }
    // A declared proxy says for which host its client asked, whatever the proxy itself is asked under.
    let mut front = short();
    front.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let rig = Rig::new(front).await;
    let said = format!("{own}x-forwarded-host: other.test\r\n");
    let answer = rig.exchange(ask("http://mcp.test/who", "HTTP/1.1", &said));
    let answer = answer.await;
    assert!(answer.contains(" other.test "), "{answer}");
}

#[tokio::test]
async fn no_connection_becomes_another_protocol() {
    let rig = Rig::new(short()).await;
    for upgrade in ["h2c", "websocket"] {
        let headers = format!(
            "connection: upgrade, http2-settings\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        );
        let first = ask("/who", &headers);
        let last = ask("/who", "connection: close\r\n");
        let answer = rig.exchange(format!("{first}{last}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{upgrade}: {answer}");
        // What follows is read as before.
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    }
    let connect = "CONNECT mcp.test:80 HTTP/1.1\r\nhost: mcp.test:80\r\n\r\n";
    let answer = rig.exchange(format!("{connect}{SECOND}")).await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    assert!(answer.contains("no tunnels"), "{answer}");
    assert!(!answer.contains("waited"), "{answer}");
}

#[tokio::test]
async fn whoever_waits_for_a_word_before_the_body_gets_it_when_the_body_is_wanted() {
    let rig = Rig::new(short()).await;
    let post = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: mcp.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        )
    };
    let mut stream = rig.connect().await;
    let request = post("/length");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut word = [0; 25];
    let read = timeout(SOON, stream.read_exact(&mut word)).await;
    read.expect("the word comes before the body").unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"12345").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("length 5"), "{answer}");
    // What is refused by its head is refused without, and what was not asked for is no request.
    for (request, status) in [
        (post("/who"), "405"),
        (
            post("/length").replace("host: mcp.test", "host: a b"),
            "400",
        ),
    ] {
        let answer = rig.exchange(format!("{request}{SECOND}")).await;
        let says = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&says), "{answer}");
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer}");
    }
    // Whoever gets it and sends nothing is not waited for.
    let answer = rig.exchange(post("/length")).await;
    assert!(
        answer.contains("lost: the body did not come in time"),
        "{answer}"
    );
}
