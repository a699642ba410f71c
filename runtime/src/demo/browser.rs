//! A browser as far as our pages need one: cookies, redirects, and the first form of a page.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, StatusCode};
use url::Url;

/// Redirects that are followed in a row; a sign-in has four.
const REDIRECTS_MAX: usize = 12;

/// One browser with its cookies. Cookies are kept by name alone, as all pages are on one machine.
pub(super) struct Browser {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

/// A page that was shown.
pub(super) struct Page {
    url: Url,
    status: StatusCode,
    html: String,
}

impl Browser {
    pub(super) fn new() -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            cookies: BTreeMap::new(),
        })
    }

    /// Opens a consent page as this user, signs in where that is asked for, and allows what the page asks until its date.
    pub(super) async fn allow(&mut self, link: &str, user: &str) -> anyhow::Result<Page> {
        let mut page = self.open(link.parse()?).await?;
        if page.html.contains(r#"type="password""#) {
            page = self
                .send(&page, &[("user", user), ("password", user)])
                .await?;
        }
        ensure!(
            page.status == StatusCode::OK,
            "the page at `{}` answered {}",
            page.url,
            page.status
        );
        self.send(&page, &[("decision", "allow-until")]).await
    }

    async fn open(&mut self, url: Url) -> anyhow::Result<Page> {
        self.follow(Method::GET, url, None).await
    }

    /// Fills the first form of a page and sends it. A value goes into every field whose name begins with its key.
    async fn send(&mut self, page: &Page, values: &[(&str, &str)]) -> anyhow::Result<Page> {
        let form = page.form().context("the page has no form")?;
        let mut fields: BTreeMap<String, String> = BTreeMap::new();
        for input in form.inputs {
            let filled = values.iter().find(|(key, _)| input.name.starts_with(key));
            match (filled, input.kind.as_str()) {
                (Some((_, value)), "radio") if input.value != *value => {}
                (Some((_, value)), _) => drop(fields.insert(input.name, (*value).to_owned())),
                (None, "radio" | "submit") => {}
                (None, _) => drop(fields.insert(input.name, input.value)),
            }
        }
        let target = page.url.join(&form.action)?;
        self.follow(
            Method::POST,
            target,
            Some((fields, page.url.origin().ascii_serialization())),
        )
        .await
    }

    async fn follow(
        &mut self,
        mut method: Method,
        mut url: Url,
        mut form: Option<(BTreeMap<String, String>, String)>,
    ) -> anyhow::Result<Page> {
        for _ in 0..REDIRECTS_MAX {
            let mut request = self.http.request(method.clone(), url.clone());
            if !self.cookies.is_empty() {
                let all: Vec<_> = self
                    .cookies
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                request = request.header(COOKIE, all.join("; "));
            }
            if let Some((fields, origin)) = form.take() {
                request = request
                    .header(ORIGIN, origin)
                    .header("sec-fetch-site", "same-origin")
                    .form(&fields);
            }
            let response = request.send().await?;
            self.keep(&response);
            let status = response.status();
            match response.headers().get(LOCATION) {
                Some(to) if status.is_redirection() => {
                    url = url.join(to.to_str()?)?;
                    method = Method::GET;
                }
                _ => {
                    return Ok(Page {
                        url,
                        status,
                        html: response.text().await?,
                    });
                }
            }
        }
        bail!("`{url}` redirects without end")
    }

    fn keep(&mut self, response: &reqwest::Response) {
        for header in response.headers().get_all(SET_COOKIE) {
            let cookie = header
                .to_str()
                .ok()
                .and_then(|text| text.split(';').next()?.split_once('='));
            match cookie {
                Some((name, "")) => drop(self.cookies.remove(name)),
                Some((name, value)) => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
                None => {}
            }
        }
    }
}

struct Form {
    action: String,
    inputs: Vec<Input>,
}

struct Input {
    name: String,
    kind: String,
    value: String,
}

impl Page {
    pub(super) fn is_ok(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// The title of the page.
    pub(super) fn title(&self) -> String {
        let title = self
            .html
            .split_once("<title>")
            .and_then(|(_, rest)| rest.split_once("</title>"));
        title.map_or_else(|| self.status.to_string(), |(title, _)| plain(title))
    }

    fn form(&self) -> Option<Form> {
        let (_, rest) = self.html.split_once("<form ")?;
        let (form, _) = rest.split_once("</form>")?;
        let (head, body) = form.split_once('>')?;
        let inputs = body
            .split("<input ")
            .skip(1)
            .chain(body.split("<button ").skip(1));
        let inputs = inputs
            .filter_map(|tag| tag.split_once('>'))
            .filter_map(|(tag, _)| {
                Some(Input {
                    name: attribute(tag, "name")?,
                    kind: attribute(tag, "type").unwrap_or_else(|| "text".to_owned()),
                    value: attribute(tag, "value").unwrap_or_default(),
                })
            });
        Some(Form {
            action: attribute(head, "action")?,
            inputs: inputs.collect(),
        })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| plain(value))
}

/// Text without the escapes of our own templates.
fn plain(html: &str) -> String {
    [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(html.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
