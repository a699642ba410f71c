//! An open event stream and its messages.

use std::time::Duration;

use serde_json::{Value, json};

use super::Caller;

/// Longest wait for the next message.
const NEXT_MAX: Duration = Duration::from_secs(20);

/// A subscription to changes of the list of tools.
pub struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    /// Subscribes, and waits until that is acknowledged.
    pub async fn open(caller: &Caller) -> Self {
        let params = json!({"notifications": {"toolsListChanged": true}});
        let mut stream = Self::of(caller.request("subscriptions/listen", params)).await;
        let first = stream.next().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        stream
    }

    /// The stream that answers a request.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.map(|data| serde_json::from_str(data.trim()).unwrap());
                self.text = rest.to_owned();
                match message {
                    Some(message) => return message,
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(NEXT_MAX, self.response.chunk()).await;
            let chunk = chunk.expect("a message comes").unwrap();
            let chunk = chunk.expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits until it is told that the list of tools changed.
    pub async fn changed(&mut self) {
        let message = self.next().await;
        assert_eq!(message["method"], "notifications/tools/list_changed");
    }
}
