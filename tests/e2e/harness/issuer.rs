//! An issuer that a test plays: its key set and its introspection endpoint, over HTTP, counted and changed at will.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What it says, and what it was asked.
#[derive(Default)]
struct Said {
    keys: Mutex<Option<Value>>,
    fetches: AtomicUsize,
    answer: Mutex<Option<Value>>,
    asked: Mutex<Vec<(String, String)>>,
    held: tokio::sync::watch::Sender<bool>,
}

/// An issuer on loopback.
pub struct Issuer {
    pub url: String,
    said: Arc<Said>,
    serving: JoinHandle<()>,
}

impl Issuer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Said::default());
        let router = axum::Router::new()
            .route("/keys", get(keys))
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&said));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, said, serving }
    }

    /// From now on its set holds these keys, each as its own set says it.
    pub fn publish(&self, sets: &[Value]) {
        let keys = sets.iter().flat_map(|set| set["keys"].as_array().unwrap());
        let keys: Vec<&Value> = keys.collect();
        *self.said.keys.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    /// From now on its set cannot be had.
    pub fn hide(&self) {
        *self.said.keys.lock().unwrap() = None;
    }

    /// How often its set was asked for.
    pub fn fetches(&self) -> usize {
        self.said.fetches.load(Ordering::SeqCst)
    }

    /// From now on it says this of every token; nothing means that it fails.
    pub fn says(&self, answer: Option<Value>) {
        *self.said.answer.lock().unwrap() = answer;
    }

    /// From now on it answers no question, or those again that wait as well.
    pub fn hold(&self, held: bool) {
        self.said.held.send_replace(held);
    }

    /// The credentials and the form of each question.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.said.asked.lock().unwrap().clone()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn keys(State(said): State<Arc<Said>>) -> Response {
    said.fetches.fetch_add(1, Ordering::SeqCst);
    answered(said.keys.lock().unwrap().clone())
}

async fn introspect(State(said): State<Arc<Said>>, headers: HeaderMap, form: Bytes) -> Response {
    let credentials = headers.get(header::AUTHORIZATION);
    let credentials = credentials.map_or("", |value| value.to_str().unwrap());
    let form = String::from_utf8(form.to_vec()).unwrap();
    let asked = (credentials.to_owned(), form);
    said.asked.lock().unwrap().push(asked);
    let mut held = said.held.subscribe();
    held.wait_for(|held| !held).await.unwrap();
    let answer = said.answer.lock().unwrap().clone();
    answered(answer)
}

fn answered(document: Option<Value>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match document {
        Some(document) => (kind, document.to_string()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
