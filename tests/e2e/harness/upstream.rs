//! Hosts on loopback: one that answers and remembers what it was sent, and one that nobody may reach.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Largest head that is kept.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What it answers when nothing else is said.
const SEEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen";

/// A web host that gives every request the same answer and keeps it.
pub struct Upstream {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::slow(Duration::ZERO).await
    }

    /// One that thinks for so long about every answer.
    pub async fn slow(thinks: Duration) -> Self {
        Self::serving(thinks, SEEN.into()).await
    }

    /// One that answers with these bytes, whatever it is asked.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::serving(Duration::ZERO, answer.into()).await
    }

    async fn serving(thinks: Duration, answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while !head.windows(4).any(|end| end == b"\r\n\r\n")
                        && head.len() < HEAD_BYTES_MAX
                    {
                        match stream.read(&mut chunk).await {
                            Ok(0) | Err(_) => break,
                            Ok(n) => head.extend_from_slice(&chunk[..n]),
                        }
                    }
                    let text = String::from_utf8_lossy(&head).into_owned();
                    kept.lock().unwrap().push(text);
                    tokio::time::sleep(thinks).await;
                    // Whoever asked may be gone.
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        Self {
            port,
            seen,
            serving,
        }
    }

    /// The requests up to now: everything that came before the end of the head.
    pub fn seen(&self) -> Vec<String> {
        self.seen_since(0)
    }

    /// The same, without the first `count` of them.
    pub fn seen_since(&self, count: usize) -> Vec<String> {
        self.seen.lock().unwrap()[count..].to_vec()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A listener that nobody may reach.
pub struct Canary {
    pub port: u16,
    touched: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Canary {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let touched = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&touched);
        let listening = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            port,
            touched,
            listening,
        }
    }

    /// How many connections were made to it.
    pub fn touched(&self) -> usize {
        self.touched.load(Ordering::SeqCst)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
