//! `notifications/cancelled` of the older revisions, which reaches a call although nothing ties two requests together.

use super::*;

/// Time in which a call that is meant by nobody stays as it is.
const QUIET: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(10);

fn waits(token: &str) -> Request<Body> {
    let params = json!({"name": "waits", "arguments": {}});
    with(legacy("tools/call", params), "authorization", token)
}

fn cancelling(request: Value, token: &str) -> Request<Body> {
    let params = json!({"requestId": request, "reason": "no longer needed"});
    let body = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    let mut notification = post(body.to_string());
    let headers = notification.headers_mut();
    headers.insert("mcp-protocol-version", LEGACY.parse().unwrap());
    headers.insert("authorization", token.parse().unwrap());
    notification
}

/// Sends a call that waits until it is cancelled, and waits until it runs.
async fn started(rig: &Arc<Rig>, token: &str) -> tokio::task::JoinHandle<Shown> {
    let (calling, request) = (Arc::clone(rig), waits(token));
    let call = tokio::spawn(async move { calling.send(request).await });
    tokio::time::timeout(SOON, rig.line.started.notified())
        .await
        .expect("the call runs");
    call
}

async fn accepted(rig: &Rig, notification: Request<Body>) {
    assert_eq!(rig.send(notification).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_client_cancels_its_call_by_a_notification() {
    let (rig, own) = (Arc::new(Rig::new()), bearer(json!({})));
    let call = started(&rig, &own).await;
    accepted(&rig, cancelling(json!(1), &own)).await;
    let answer = tokio::time::timeout(SOON, call).await.unwrap().unwrap();
    assert_eq!(answer.json()["error"]["message"], "the call was cancelled");
    // It is over: the same id means the next call, and no call that ended.
    accepted(&rig, cancelling(json!(1), &own)).await;
    let again = started(&rig, &own).await;
    tokio::time::sleep(QUIET).await;
    assert!(!again.is_finished());
    again.abort();
}

#[tokio::test]
async fn a_notification_cancels_no_call_of_another_token() {
    let (rig, own) = (Arc::new(Rig::new()), bearer(json!({})));
    let call = started(&rig, &own).await;
    for other in [
        json!({"sub": "mallory"}),
        json!({"client_id": "other"}),
        json!({"jti": "token-2"}),
    ] {
        accepted(&rig, cancelling(json!(1), &bearer(other))).await;
    }
    // Nor one with another id.
    for id in [json!(2), json!("1"), json!(1.5), json!(null)] {
        accepted(&rig, cancelling(id, &own)).await;
    }
    tokio::time::sleep(QUIET).await;
    assert!(!call.is_finished());
    call.abort();
}

#[tokio::test]
async fn a_notification_that_may_mean_two_calls_cancels_neither() {
    let (rig, own) = (Arc::new(Rig::new()), bearer(json!({})));
    let first = started(&rig, &own).await;
    let second = started(&rig, &own).await;
    accepted(&rig, cancelling(json!(1), &own)).await;
    tokio::time::sleep(QUIET).await;
    assert!(!first.is_finished() && !second.is_finished());
    // Its client went away, so one of that id is left.
    first.abort();
    tokio::time::timeout(SOON, rig.line.cancelled.notified())
        .await
        .expect("the first call hears of it");
    tokio::time::sleep(QUIET).await;
    accepted(&rig, cancelling(json!(1), &own)).await;
    let answer = tokio::time::timeout(SOON, second).await.unwrap().unwrap();
    assert_eq!(answer.json()["error"]["message"], "the call was cancelled");
}

#[tokio::test]
async fn p17_in_the_newest_revision_only_the_connection_cancels() {
    let rig = Arc::new(Rig::new());
    let calling = Arc::clone(&rig);
    let params = json!({"name": "waits", "arguments": {}});
    let call = tokio::spawn(async move { calling.modern("tools/call", params).await });
    rig.line.started.notified().await;
    accepted(&rig, cancelling(json!(1), &bearer(json!({})))).await;
    tokio::time::sleep(QUIET).await;
    assert!(!call.is_finished());
    call.abort();
}
