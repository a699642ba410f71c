//! A browser as far as the pages need one: cookies, redirects, and the first form of a page.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Method, StatusCode};
use url::Url;

use super::client::http;

/// Redirects that are followed in a row; a sign-in has four.
const REDIRECTS_MAX: usize = 12;

/// One browser with its cookies, which are kept by name alone: all pages are on one machine.
#[derive(Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
}

/// A page that was shown.
#[derive(Debug)]
pub struct Page {
    pub url: Url,
    pub status: StatusCode,
    pub html: String,
}

impl Browser {
    /// Opens a link, signs in as this user where that is asked for, and shows the page behind it.
    pub async fn open(&mut self, link: &str, user: &str) -> Page {
        let page = self.follow(Method::GET, link.parse().unwrap(), None).await;
        if !page.html.contains(r#"type="password""#) {
            return page;
        }
        self.fill(&page, 0, &[("user", user), ("password", user)])
            .await
    }

    /// Opens a consent page as this user and makes this decision about all that is asked.
    pub async fn decide(&mut self, link: &str, user: &str, decision: &str) -> Page {
        let page = self.open(link, user).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        self.fill(&page, 0, &[("decision", decision)]).await
    }

    /// Fills the form of this number and sends it. A value goes into every field whose name begins with its key.
    pub async fn fill(&mut self, page: &Page, form: usize, values: &[(&str, &str)]) -> Page {
        let form = page
            .forms()
            .into_iter()
            .nth(form)
            .unwrap_or_else(|| panic!("there is no such form: {page:?}"));
        let mut fields = BTreeMap::new();
        for input in form.inputs {
            let filled = values.iter().find(|(key, _)| input.name.starts_with(key));
            match (filled, input.kind.as_str()) {
                (Some((_, value)), "radio") if input.value != *value => {}
                (Some((_, value)), _) => drop(fields.insert(input.name, (*value).to_owned())),
                (None, "radio" | "submit") => {}
                (None, _) => drop(fields.insert(input.name, input.value)),
            }
        }
        let target = page.url.join(&form.action).unwrap();
        let origin = page.url.origin().ascii_serialization();
        self.follow(Method::POST, target, Some((fields, origin)))
            .await
    }

    /// All of its cookies, as a request holds them.
    pub fn cookie_header(&self) -> String {
        let cookies = self.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        cookies.join("; ")
    }

    /// What its cookies hold.
    pub fn cookie_values(&self) -> Vec<String> {
        self.cookies.values().cloned().collect()
    }

    async fn follow(
        &mut self,
        mut method: Method,
        mut url: Url,
        mut form: Option<(BTreeMap<String, String>, String)>,
    ) -> Page {
        for _ in 0..REDIRECTS_MAX {
            let mut request = http().request(method.clone(), url.clone());
            request = request.header(COOKIE, self.cookie_header());
            if let Some((fields, origin)) = form.take() {
                request = request
                    .header(ORIGIN, origin)
                    .header("sec-fetch-site", "same-origin")
                    .form(&fields);
            }
            let response = request.send().await.unwrap();
            for header in response.headers().get_all(SET_COOKIE) {
                let text = header.to_str().unwrap();
                match text.split(';').next().and_then(|pair| pair.split_once('=')) {
                    Some((name, "")) => drop(self.cookies.remove(name)),
                    Some((name, value)) => {
                        drop(self.cookies.insert(name.to_owned(), value.to_owned()));
                    }
                    None => {}
                }
            }
            let status = response.status();
            match response.headers().get(LOCATION) {
                Some(to) if status.is_redirection() => {
                    url = url.join(to.to_str().unwrap()).unwrap();
                    method = Method::GET;
                }
                _ => {
                    let html = response.text().await.unwrap();
                    return Page { url, status, html };
                }
            }
        }
        panic!("`{url}` redirects without end")
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
    /// How many forms it has.
    pub fn form_actions(&self) -> Vec<String> {
        self.forms().into_iter().map(|form| form.action).collect()
    }

    fn forms(&self) -> Vec<Form> {
        let forms = self.html.split("<form ").skip(1);
        let forms = forms.filter_map(|rest| {
            let (form, _) = rest.split_once("</form>")?;
            let (head, body) = form.split_once('>')?;
            let tags = body.split("<input ").skip(1);
            let tags = tags.chain(body.split("<button ").skip(1));
            let inputs = tags.filter_map(|tag| {
                let (tag, _) = tag.split_once('>')?;
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
        });
        forms.collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let escapes = [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    let plain = |text: String, (escaped, plain): (&str, &str)| text.replace(escaped, plain);
    Some(escapes.into_iter().fold(value.to_owned(), plain))
}
