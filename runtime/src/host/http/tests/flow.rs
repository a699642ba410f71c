//! Bodies flow both ways at once, and whoever is slow slows the other.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PIECE: usize = 16 * 1024;

#[tokio::test]
async fn a_guest_that_reads_slowly_slows_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let whole = 7 * 1024 * 1024;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {whole}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..whole / PIECE {
            stream.write_all(&[b'y'; PIECE]).await.unwrap();
            count.fetch_add(PIECE, Ordering::SeqCst);
        }
    });
    let mut call = call(&[("api.test", address)], &["http GET api.test /"]);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    let mut before = usize::MAX;
    while written.load(Ordering::SeqCst) != before {
        before = written.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What is on the way is what two sockets and one read-ahead hold; the kernel's buffers are the larger part.
    assert!(before < whole, "{before} bytes were taken that nobody read");
    let metered = call.effect("http GET api.test").bytes_in;
    assert!(
        metered < 1024,
        "what was not read is not counted: {metered}"
    );
    assert_eq!(text(answer).await.unwrap().len(), whole);
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_begins_before_the_request_has_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(head.as_bytes()).await.unwrap();
        // An echo, as it comes.
        loop {
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            let chunk = format!("1\r\n{}\r\n", char::from(buffer[read - 3]));
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
    });
    let (say, said) = tokio::sync::mpsc::channel::<&'static str>(1);
    let said = futures_util::stream::unfold(said, |mut said| async move {
        let word = said.recv().await?;
        Some((Ok(Frame::data(Bytes::from_static(word.as_bytes()))), said))
    });
    let mut call = call(&[("api.test", address)], &["http POST api.test /"]);
    let request = Request::post("http://api.test/")
        .body(StreamBody::new(said).boxed_unsync())
        .unwrap();
    let answer = Box::into_pin(call.hooks.send_request(request, None, done()));
    let mut body = answer.await.unwrap().0.into_body();
    for word in ["a", "b", "c"] {
        say.send(word).await.unwrap();
        let heard = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(heard, word);
    }
}
