//! A web host on loopback that answers as the test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long an upstream waits between two pieces of an answer, so that they come apart.
const APART: Duration = Duration::from_millis(10);

/// A web host that answers as a function of the head of the request says, in pieces.
pub struct Host {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Host {
    pub async fn start(answer: impl Fn(&str, &str) -> Vec<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
                    while !whole(&request) {
                        match stream.read(&mut chunk).await {
                            Ok(0) | Err(_) => break,
                            Ok(n) => request.extend_from_slice(&chunk[..n]),
                        }
                    }
                    let request = String::from_utf8_lossy(&request).into_owned();
                    kept.lock().unwrap().push(request.clone());
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    for piece in answer(path, &request) {
                        let _ = stream.write_all(piece.as_bytes()).await;
                        let _ = stream.flush().await;
                        tokio::time::sleep(APART).await;
                    }
                });
            }
        });
        Self {
            port,
            seen,
            serving,
        }
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether a request has all of its body.
pub fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let chunked = head.contains("transfer-encoding: chunked");
    match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => !chunked || body.ends_with("0\r\n\r\n"),
    }
}

pub fn answer(status: &str, fields: &str, body: &str) -> Vec<String> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // In three pieces, wherever that cuts.
    let (a, b) = body.split_at(body.len() / 3);
    let (b, c) = b.split_at(b.len() / 2);
    [format!("{head}{a}"), b.to_owned(), c.to_owned()].to_vec()
}

/// What the request carries as its bearer token.
pub fn bearer(request: &str) -> &str {
    let field = request
        .lines()
        .find_map(|line| line.strip_prefix("authorization: Bearer "));
    field.unwrap_or("nothing").trim_end()
}
