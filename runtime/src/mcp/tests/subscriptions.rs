//! `subscriptions/listen`: P40, P41.

use futures_util::StreamExt;

use super::*;
use crate::clock::Timestamp;

/// An open stream and its messages.
pub(super) struct Stream {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Stream {
    pub async fn open(rig: &Rig, request: Request<Body>) -> Self {
        let response = rig.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next message, or none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                let message = data.map(|data| serde_json::from_str(data.trim()).unwrap());
                self.text = rest.to_owned();
                match message {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.body.next())
                .await
                .expect("something comes")?;
            self.text
                .push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }
}

fn listen(filter: Value) -> Request<Body> {
    modern("subscriptions/listen", json!({"notifications": filter}))
}

#[tokio::test]
async fn p40_a_subscription_is_acknowledged_and_told_of_changes() {
    let rig = Rig::new();
    let filter = json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["test://x"]});
    let mut stream = Stream::open(&rig, listen(filter)).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
    let id = "io.modelcontextprotocol/subscriptionId";
    assert_eq!(first["params"]["_meta"][id], 1);

    rig.line.add(listed("new"));
    let second = stream.next().await.unwrap();
    assert_eq!(second["method"], "notifications/tools/list_changed");
    assert_eq!(second["params"]["_meta"][id], 1);

    rig.shutdown.cancel();
    let last = stream.next().await.unwrap();
    assert_eq!(last["result"]["resultType"], "complete", "P41");
    assert_eq!(
        last["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "bailiwick"
    );
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn p41_what_was_not_asked_for_is_not_sent() {
    let rig = Rig::new();
    let mut stream = Stream::open(&rig, listen(json!({}))).await;
    assert_eq!(
        stream.next().await.unwrap()["params"]["notifications"],
        json!({})
    );
    rig.line.add(listed("new"));
    rig.shutdown.cancel();
    while let Some(message) = stream.next().await {
        assert!(message.get("result").is_some(), "{message}");
    }
}

#[tokio::test]
async fn p43_a_change_that_a_caller_cannot_see_is_not_told_to_it() {
    let rig = Rig::new();
    rig.line
        .tools
        .lock()
        .unwrap()
        .retain(|tool| tool.name.as_str() != "admin");
    let filter = json!({"toolsListChanged": true});
    let mut user = Stream::open(&rig, listen(filter.clone())).await;
    let token = bearer(json!({"roles": ["admin"]}));
    let mut admin = Stream::open(&rig, with(listen(filter), "authorization", &token)).await;
    user.next().await.unwrap();
    admin.next().await.unwrap();
    rig.line.add(listed("admin"));
    let told = admin.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    rig.shutdown.cancel();
    let last = user.next().await.unwrap();
    assert!(last.get("result").is_some(), "{last}");
}

#[tokio::test]
async fn w10_a_stream_outlives_no_token() {
    let rig = Rig::with(|settings| {
        let almost = Timestamp(testing::NOW.0 + 600_000 - 50);
        settings.clock = Arc::new(ManualClock::new(almost));
    });
    let mut stream = Stream::open(&rig, listen(json!({"toolsListChanged": true}))).await;
    stream.next().await.unwrap();
    let last = stream.next().await.unwrap();
    assert_eq!(last["result"]["resultType"], "complete");
}

#[tokio::test]
async fn d5_a_legacy_client_has_no_subscriptions() {
    let rig = Rig::new();
    let shown = rig
        .legacy(
            "subscriptions/listen",
            json!({"notifications": {"toolsListChanged": true}}),
        )
        .await;
    assert_eq!(shown.json()["error"]["code"], -32601);
}
