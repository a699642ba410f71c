//! Pages answer to our own names alone: a foreign name that leads to this machine must not make its site ours.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use url::Url;

use super::language::Language;
use super::page::{self, Message};

/// Names of this machine that no name server gives away, and that a proxy on it may say.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The hosts under which browsers reach us.
#[derive(Clone)]
pub(super) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(super) fn of(public_url: &Url) -> Self {
        let public = public_url.host_str().map(bare);
        let loopback = LOOPBACK.into_iter().map(str::to_owned);
        Self(public.into_iter().chain(loopback).collect())
    }

    fn allow(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut all = headers.get_all(HOST).iter();
        let host = match (all.next(), all.next()) {
            (Some(host), None) => host.to_str().ok(),
            // HTTP/2 carries the host in `:authority`.
            (None, _) => uri.authority().map(Authority::as_str),
            // RFC 9110 §7.2: two hosts are none.
            (Some(_), Some(_)) => None,
        };
        host.filter(|host| !host.contains('@'))
            .and_then(|host| Authority::try_from(host).ok())
            .is_some_and(|authority| self.0.contains(&bare(authority.host())))
    }
}

fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}

/// Refuses requests for other hosts before anything else is looked at.
pub(super) async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if hosts.allow(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    tracing::info!("a page was asked for under another host");
    let w = Language::of(request.headers()).words();
    page::show(
        StatusCode::FORBIDDEN,
        &Message::of(w, &w.notices.other_host),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        let ours = Hosts::of(&Url::parse("https://mcp.example").unwrap());
        ours.allow(&headers, &Uri::from_static("/consents"))
    }

    #[test]
    fn our_names_are_ours_at_any_port() {
        for host in [
            "mcp.example",
            "MCP.example:443",
            "127.0.0.1:8137",
            "[::1]:8137",
            "localhost",
        ] {
            assert!(allows(&[host]), "{host}");
        }
    }

    #[test]
    fn no_other_name_is_ours() {
        for host in [
            "evil.test",
            "mcp.example.evil.test",
            "x.mcp.example",
            "mcp.example@evil.test",
            "evil.test@mcp.example",
            "mcp.example.",
            "127.0.0.2",
            "",
            "mcp.example/path",
        ] {
            assert!(!allows(&[host]), "{host}");
        }
        assert!(!allows(&[]), "no host is none of ours");
        assert!(!allows(&["mcp.example", "mcp.example"]));
    }
}
