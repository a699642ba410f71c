//! A browser for tests: cookies, redirects, forms, and the headers by which a site knows where a form comes from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::{Url, form_urlencoded};

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Page {
    pub(super) fn location(&self) -> Url {
        let place = self.headers[header::LOCATION].to_str().unwrap();
        self.url.join(place).unwrap()
    }

    pub(super) fn cookies(&self) -> Vec<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter();
        lines.map(|line| line.to_str().unwrap()).collect()
    }

    /// The hidden fields of all forms but the one that signs out.
    pub(super) fn hidden(&self) -> Vec<(String, String)> {
        let main = self.body.split("<footer>").next().unwrap_or_default();
        main.split("<input type=\"hidden\" name=\"")
            .skip(1)
            .map(|rest| {
                let (name, rest) = rest.split_once("\" value=\"").unwrap();
                let value = rest.split('"').next().unwrap();
                (
                    name.to_owned(),
                    value.replace("&#38;", "&").replace("&#x2f;", "/"),
                )
            })
            .collect()
    }
}

/// Where a form is sent from.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// From a page of the same origin.
    OurPage,
    /// From a page of another site.
    OtherSite,
}

/// A browser. Cookies are shared by all ports of a host, as real ones do.
#[derive(Clone)]
pub(super) struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    pub(super) jar: Arc<Mutex<BTreeMap<String, String>>>,
    /// What it sends as `Accept-Language`.
    language: Option<&'static str>,
}

impl Browser {
    pub(super) fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            jar: Arc::default(),
            language: None,
        }
    }

    /// The same browser, set up for these languages.
    pub(super) fn speaking(&self, language: &'static str) -> Self {
        let language = Some(language);
        Self {
            language,
            ..self.clone()
        }
    }

    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        self.jar.lock().unwrap().get(name).cloned()
    }

    pub(super) fn keep(&self, name: &str, value: &str) {
        self.jar
            .lock()
            .unwrap()
            .insert(name.to_owned(), value.to_owned());
    }

    /// One request, without following.
    pub(super) async fn get(&self, url: &str) -> Page {
        self.send(
            Method::GET,
            &Url::parse(url).unwrap(),
            HeaderMap::new(),
            Bytes::new(),
        )
        .await
    }

    /// One form, without following.
    pub(super) async fn post(&self, url: &str, fields: &[(String, String)], from: From) -> Page {
        let url = Url::parse(url).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        let (site, origin) = match from {
            From::OurPage => ("same-origin", url.origin().ascii_serialization()),
            From::OtherSite => ("cross-site", "https://evil.test".to_owned()),
        };
        headers.insert("sec-fetch-site", site.parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(Method::POST, &url, headers, form.into()).await
    }

    /// Opens an address and follows every redirect.
    pub(super) async fn visit(&self, url: &str) -> Page {
        let page = self.get(url).await;
        self.follow(page).await
    }

    pub(super) async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..8 {
            if !page.status.is_redirection() {
                return page;
            }
            page = self.get(page.location().as_str()).await;
        }
        panic!("more redirects than any sign-in has");
    }

    /// Goes as far as the answer of the identity provider, which is not yet brought back to us.
    pub(super) async fn up_to_callback(&self, url: &str, user: &str) -> Url {
        let form = self.visit(url).await;
        assert!(form.body.contains("type=\"password\""), "{}", form.body);
        let mut fields = form.hidden();
        fields.push(("user".to_owned(), user.to_owned()));
        fields.push(("password".to_owned(), user.to_owned()));
        let action = form.url.join("/authorize").unwrap();
        let back = self.post(action.as_str(), &fields, From::OurPage).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.body);
        back.location()
    }

    /// Opens an address, signs in on the way.
    pub(super) async fn visit_as(&self, url: &str, user: &str) -> Page {
        let back = self.up_to_callback(url, user).await;
        self.visit(back.as_str()).await
    }

    async fn send(&self, method: Method, url: &Url, headers: HeaderMap, body: Bytes) -> Page {
        let mut request = Request::builder().method(method).uri(url.as_str());
        let cookies: Vec<_> = {
            let jar = self.jar.lock().unwrap();
            jar.iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if let Some(language) = self.language {
            request = request.header(header::ACCEPT_LANGUAGE, language);
        }
        let mut request = request.body(Full::new(body)).unwrap();
        request.headers_mut().extend(headers);
        let answer = self.client.request(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let page = Page {
            url: url.clone(),
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        for line in page.cookies() {
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let mut jar = self.jar.lock().unwrap();
            if line.contains("Max-Age=0;") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }
}
