//! Documents of clients for tests: nothing is fetched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use serde_json::{Value, json};
use url::Url;

use super::{Clients, FetchDocument};
use crate::config::NamedClient;
use crate::egress::EgressError;

/// A web of documents.
#[derive(Default)]
pub(crate) struct Shelf {
    answers: Mutex<HashMap<String, (u16, String)>>,
    asked: Mutex<Vec<String>>,
    thinks: Mutex<Duration>,
}

impl Shelf {
    /// Clients whose documents lie here.
    pub(crate) fn clients(self: &Arc<Self>, named: &[(&str, &str)]) -> Arc<Clients> {
        let named: Vec<_> = named
            .iter()
            .map(|(id, name)| NamedClient {
                id: id.parse().unwrap(),
                name: (*name).to_owned(),
            })
            .collect();
        let fetch = Arc::clone(self) as Arc<dyn FetchDocument>;
        Arc::new(Clients::new(&named, Some(fetch)))
    }

    /// Puts an answer at an address.
    pub(crate) fn put(&self, address: &str, status: u16, body: &str) {
        let answer = (status, body.to_owned());
        self.answers
            .lock()
            .unwrap()
            .insert(address.to_owned(), answer);
    }

    /// Puts a good document at an address, with this name and these redirect URIs.
    pub(crate) fn describe(&self, address: &str, name: &str, redirects: &[&str]) {
        self.put(
            address,
            200,
            &described(address, name, redirects).to_string(),
        );
    }

    /// Takes so long about every answer.
    pub(crate) fn think(&self, thinks: Duration) {
        *self.thinks.lock().unwrap() = thinks;
    }

    /// How often anything was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// A good document.
pub(crate) fn described(address: &str, name: &str, redirects: &[&str]) -> Value {
    json!({"client_id": address, "client_name": name, "redirect_uris": redirects})
}

impl FetchDocument for Shelf {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Response<Bytes>, EgressError>> {
        self.asked.lock().unwrap().push(url.to_string());
        let thinks = *self.thinks.lock().unwrap();
        Box::pin(async move {
            tokio::time::sleep(thinks).await;
            let answers = self.answers.lock().unwrap();
            let (status, body) = answers.get(url.as_str()).ok_or(EgressError::OutOfTime)?;
            let answer = Response::builder()
                .status(*status)
                .header("content-type", "application/json");
            Ok(answer.body(Bytes::from(body.clone())).unwrap())
        })
    }
}
