//! What a client says of itself: an answer of its server, judged. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::Unread;
use crate::catalog::manifest::canonical_text;
use crate::identity::{StrictError, strict_object};
use crate::ids::Digest;
use crate::limits::{
    CLIENT_DOCUMENT_BYTES_MAX, CLIENT_HOSTS_MAX, CLIENT_NAME_CHARS_MAX, CLIENT_REDIRECTS_MAX,
    CLIENT_TTL_MAX, CLIENT_TTL_MIN,
};

/// Members that say who a client is, beside its id and its redirect URIs. A change of any other asks nobody again: logos and
/// legal pages are never shown here, contacts are of people, and keys and versions change with every release.
const IDENTIFYING: [&str; 4] = ["client_name", "client_uri", "jwks_uri", "software_id"];

/// A metadata document that was read at the client's own address and is about that client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    name: String,
    hosts: Vec<String>,
    canonical: String,
    digest: Digest,
}

impl Document {
    /// What the client calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its sign-ins lead back to, in order. A host by https stands alone, with a port that is not the usual one;
    /// `http://` stands before a host by http; an application of its own scheme is that scheme and a colon.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Canonical JSON (RFC 8785) of the members that say who it is.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the same.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The document in an answer of the server at `address`.
    pub(super) fn judge(address: &Url, answer: &Response<Bytes>) -> Result<Self, Unread> {
        match answer.status() {
            StatusCode::OK => {}
            // §4.1: a redirect is not followed.
            status if status.is_redirection() => return Err(Unread::Redirect),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Unread::Missing),
            _ => return Err(Unread::Status),
        }
        if answer.body().len() > CLIENT_DOCUMENT_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
        if !is_json(answer.headers()) {
            return Err(Unread::NotJson);
        }
        let members = strict_object(answer.body()).map_err(|error| match error {
            StrictError::Duplicate { .. } => Unread::Duplicate,
            StrictError::Base64
            | StrictError::Utf8
            | StrictError::Json(_)
            | StrictError::NotAnObject
            | StrictError::TooDeep => Unread::NotJson,
        })?;
        Self::read(address, &members)
    }

    fn read(address: &Url, members: &Map<String, Value>) -> Result<Self, Unread> {
        // §4.1: compared as plain strings. A document about another client says nothing of this one.
        if members.get("client_id").and_then(Value::as_str) != Some(address.as_str()) {
            return Err(Unread::OtherClient);
        }
        // §4.1: whatever everybody can read is no secret.
        let symmetric = members
            .get("token_endpoint_auth_method")
            .and_then(Value::as_str)
            .is_some_and(|method| method.starts_with("client_secret"));
        if symmetric || members.contains_key("client_secret") {
            return Err(Unread::Malformed);
        }
        let identifying = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Unread::Malformed),
        };
        // MCP, authorization, client id metadata documents: `client_name` and `redirect_uris` must be there.
        let name = identifying("client_name")?
            .filter(|name| !name.trim().is_empty())
            .filter(|name| name.chars().count() <= CLIENT_NAME_CHARS_MAX)
            .ok_or(Unread::Malformed)?;
        let redirects = redirects(members.get("redirect_uris"))?;
        let hosts: BTreeSet<String> = redirects
            .iter()
            .map(|uri| host(uri).ok_or(Unread::Malformed))
            .collect::<Result<_, _>>()?;
        if hosts.len() > CLIENT_HOSTS_MAX {
            return Err(Unread::Malformed);
        }
        let mut kept = Map::new();
        kept.insert("client_id".to_owned(), json!(address.as_str()));
        kept.insert("redirect_uris".to_owned(), json!(redirects));
        for member in IDENTIFYING {
            if let Some(text) = identifying(member)? {
                kept.insert(member.to_owned(), json!(text));
            }
        }
        let canonical = canonical_text(&kept);
        Ok(Self {
            name,
            hosts: hosts.into_iter().collect(),
            digest: Digest::of(canonical.as_bytes()),
            canonical,
        })
    }
}

/// What the canonical text of a document calls the client.
pub(crate) fn name_in(canonical: &str) -> Option<String> {
    let members: Value = serde_json::from_str(canonical).ok()?;
    Some(members.get("client_name")?.as_str()?.to_owned())
}

/// §4: `application/json`, or a type that is JSON underneath.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(text) = one.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The redirect URIs, each once and in order: in which order a document lists them says nothing.
fn redirects(value: Option<&Value>) -> Result<BTreeSet<String>, Unread> {
    let Some(Value::Array(items)) = value else {
        return Err(Unread::Malformed);
    };
    if items.is_empty() || items.len() > CLIENT_REDIRECTS_MAX {
        return Err(Unread::Malformed);
    }
    let text = |item: &Value| item.as_str().map(str::to_owned);
    items
        .iter()
        .map(|item| text(item).ok_or(Unread::Malformed))
        .collect()
}

/// Where a redirect URI leads, in a word; nothing for one that leads nowhere.
fn host(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    match url.scheme() {
        "https" | "http" => {
            let name = url.host_str()?;
            let loopback = match url.host()? {
                Host::Ipv4(ip) => ip.is_loopback(),
                Host::Ipv6(ip) => ip.is_loopback(),
                Host::Domain(name) => name == "localhost",
            };
            // RFC 8252 §7.3: on loopback the port is any.
            let port = url.port().filter(|_| !loopback);
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let scheme = if url.scheme() == "http" {
                "http://"
            } else {
                ""
            };
            Some(format!("{scheme}{name}{port}"))
        }
        // These run or show what they hold, and lead to nobody.
        "javascript" | "data" | "vbscript" | "file" | "blob" | "about" => None,
        scheme => Some(format!("{scheme}:")),
    }
}

/// How long an answer may be kept, by what it says of that and within what is sane here (RFC 9111 §4.2).
pub(super) fn fresh_for(headers: &HeaderMap) -> Duration {
    let mut longest: Option<u64> = None;
    let directives = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for directive in directives {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return CLIENT_TTL_MIN;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            // What is no number is taken for the shortest: RFC 9111 §4.2.1 wants it stale.
            let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
            longest = Some(longest.map_or(seconds, |known| known.min(seconds)));
        }
    }
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.trim().parse().ok())
        .unwrap_or(0);
    match longest {
        Some(seconds) => {
            Duration::from_secs(seconds.saturating_sub(age)).clamp(CLIENT_TTL_MIN, CLIENT_TTL_MAX)
        }
        None => CLIENT_TTL_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "https://client.example/meta.json";

    fn answer(status: u16, kind: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, kind)
            .body(body.into())
            .unwrap()
    }

    fn judge(document: &Value) -> Result<Document, Unread> {
        let answer = answer(200, "application/json", document.to_string());
        Document::judge(&ID.parse().unwrap(), &answer)
    }

    fn good() -> Value {
        json!({
            "client_id": ID,
            "client_name": "Example",
            "redirect_uris": ["https://client.example/back"],
        })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut document = good();
        document[member] = value;
        document
    }

    #[test]
    fn a_document_says_what_its_client_is_called_and_where_sign_ins_lead_back_to() {
        let uris = json!([
            "http://127.0.0.1:3000/cb",
            "http://localhost/cb",
            "https://b.example:8443/x",
            "https://a.example/1",
            "https://a.example/2",
            "com.example.app:/cb",
            "http://plain.example:81/",
        ]);
        let document = judge(&with("redirect_uris", uris)).unwrap();
        assert_eq!(document.name(), "Example");
        assert_eq!(
            document.hosts(),
            [
                "a.example",
                "b.example:8443",
                "com.example.app:",
                "http://127.0.0.1",
                "http://localhost",
                "http://plain.example:81",
            ]
        );
    }

    #[test]
    fn its_digest_covers_who_it_is_and_nothing_else() {
        let plain = judge(&good()).unwrap();
        let text = r#"{"client_id":"https://client.example/meta.json","client_name":"Example","redirect_uris":["https://client.example/back"]}"#;
        assert_eq!(plain.canonical(), text);
        assert_eq!(plain.digest(), Digest::of(text.as_bytes()));
        for (member, value) in [
            ("logo_uri", json!("https://client.example/logo.png")),
            ("software_version", json!("2.0")),
            ("contacts", json!(["a@client.example"])),
            ("jwks", json!({"keys": []})),
            ("tos_uri", json!("https://client.example/tos")),
        ] {
            assert_eq!(
                judge(&with(member, value)).unwrap().digest(),
                plain.digest(),
                "{member}"
            );
        }
        for (member, value) in [
            ("client_name", json!("Example 2")),
            ("client_uri", json!("https://client.example")),
            ("jwks_uri", json!("https://client.example/keys")),
            ("software_id", json!("x")),
            ("redirect_uris", json!(["https://client.example/other"])),
        ] {
            assert_ne!(
                judge(&with(member, value)).unwrap().digest(),
                plain.digest(),
                "{member}"
            );
        }
        let orders = [
            json!(["https://a.example/", "https://b.example/"]),
            json!(["https://b.example/", "https://a.example/"]),
        ];
        let [one, two] = orders.map(|uris| judge(&with("redirect_uris", uris)).unwrap());
        assert_eq!(one, two);
    }

    #[test]
    fn a_document_about_another_client_is_not_believed() {
        for other in [
            json!("https://client.example/meta.json/"),
            json!("https://CLIENT.example/meta.json"),
            json!("https://evil.example/meta.json"),
            json!([ID]),
            json!(null),
        ] {
            assert_eq!(
                judge(&with("client_id", other.clone())),
                Err(Unread::OtherClient),
                "{other}"
            );
        }
    }

    #[test]
    fn what_a_document_must_hold_is_there_in_its_form() {
        let many: Vec<_> = (0..=CLIENT_REDIRECTS_MAX)
            .map(|n| format!("https://a.example/{n}"))
            .collect();
        let wide: Vec<_> = (0..=CLIENT_HOSTS_MAX)
            .map(|n| format!("https://a{n}.example/"))
            .collect();
        for (member, value) in [
            ("client_name", json!(null)),
            ("client_name", json!(" ")),
            ("client_name", json!("x".repeat(CLIENT_NAME_CHARS_MAX + 1))),
            ("client_name", json!(["Example"])),
            ("client_uri", json!(1)),
            ("redirect_uris", json!(null)),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!("https://client.example/back")),
            ("redirect_uris", json!([1])),
            ("redirect_uris", json!(["/back"])),
            ("redirect_uris", json!(["javascript:alert(1)"])),
            ("redirect_uris", json!(["data:text/html,x"])),
            ("redirect_uris", json!(["https://client.example/#x"])),
            (
                "redirect_uris",
                json!(["https://client.example@evil.example/"]),
            ),
            ("redirect_uris", json!(many)),
            ("redirect_uris", json!(wide)),
            ("client_secret", json!("s")),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
        ] {
            assert_eq!(
                judge(&with(member, value.clone())),
                Err(Unread::Malformed),
                "{member} {value}"
            );
        }
        assert!(
            judge(&with(
                "token_endpoint_auth_method",
                json!("private_key_jwt")
            ))
            .is_ok()
        );
    }

    #[test]
    fn an_answer_that_is_no_document_has_a_name() {
        let body = good().to_string();
        let judge = |answer| Document::judge(&ID.parse().unwrap(), &answer).map(drop);
        assert_eq!(judge(answer(200, "application/json", body.clone())), Ok(()));
        assert_eq!(
            judge(answer(
                200,
                "Application/OAuth+JSON; charset=utf-8",
                body.clone()
            )),
            Ok(())
        );
        let twice = format!(r#"{{"client_id":"x",{}"#, &body[1..]);
        let flood = format!("{}{body}", " ".repeat(CLIENT_DOCUMENT_BYTES_MAX));
        for (status, kind, body, why) in [
            (301, "application/json", body.clone(), Unread::Redirect),
            (302, "application/json", body.clone(), Unread::Redirect),
            (304, "application/json", body.clone(), Unread::Redirect),
            (404, "application/json", body.clone(), Unread::Missing),
            (410, "application/json", body.clone(), Unread::Missing),
            (201, "application/json", body.clone(), Unread::Status),
            (500, "application/json", body.clone(), Unread::Status),
            (200, "text/html", body.clone(), Unread::NotJson),
            (200, "text/json", body.clone(), Unread::NotJson),
            (
                200,
                "application/json",
                "<html>".to_owned(),
                Unread::NotJson,
            ),
            (200, "application/json", "[]".to_owned(), Unread::NotJson),
            (200, "application/json", String::new(), Unread::NotJson),
            (200, "application/json", twice, Unread::Duplicate),
            (200, "application/json", flood, Unread::TooLarge),
        ] {
            assert_eq!(judge(answer(status, kind, body)), Err(why), "{why:?}");
        }
        let typeless = Response::new(Bytes::from(body));
        assert_eq!(judge(typeless), Err(Unread::NotJson));
    }

    #[test]
    fn what_its_server_says_of_caching_counts_within_bounds() {
        let for_headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            fresh_for(&headers)
        };
        let minutes = |n: u64| Duration::from_secs(n * 60);
        for (pairs, kept) in [
            (&[][..], CLIENT_TTL_MAX),
            (&[("cache-control", "public, max-age=1200")], minutes(20)),
            (
                &[("cache-control", "max-age=1200"), ("age", "300")],
                minutes(15),
            ),
            (
                &[
                    ("cache-control", "max-age=1200"),
                    ("cache-control", "max-age=600"),
                ],
                minutes(10),
            ),
            (&[("cache-control", "max-age=0")], CLIENT_TTL_MIN),
            (&[("cache-control", "max-age=-1")], CLIENT_TTL_MIN),
            (
                &[("cache-control", "no-store, max-age=99999999")],
                CLIENT_TTL_MIN,
            ),
            (&[("cache-control", "No-Cache")], CLIENT_TTL_MIN),
            (
                &[("cache-control", "max-age=99999999999999999999")],
                CLIENT_TTL_MIN,
            ),
            (&[("cache-control", "max-age=31536000")], CLIENT_TTL_MAX),
        ] {
            assert_eq!(for_headers(pairs), kept, "{pairs:?}");
        }
    }
}
