//! Pages answer to our own names alone: a foreign name that leads to this machine must not make its site ours.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use url::Url;

use super::language::Language;
use super::page::{self, Message};
use crate::listen;

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
        let host = listen::host(headers, uri).ok().flatten();
        host.is_some_and(|authority| self.0.contains(&bare(authority.host())))
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

    fn allows(target: &'static str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append("host", host.parse().unwrap());
        }
        let ours = Hosts::of(&Url::parse("https://mcp.example").unwrap());
        ours.allow(&headers, &Uri::from_static(target))
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
            assert!(allows("/consents", &[host]), "{host}");
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
            assert!(!allows("/consents", &[host]), "{host}");
        }
        assert!(!allows("/consents", &[]), "no host is none of ours");
        assert!(!allows("/consents", &["mcp.example", "mcp.example"]));
    }

    #[test]
    fn a_target_and_a_header_that_differ_are_no_name_of_ours() {
        let ours = "https://mcp.example/consents";
        assert!(allows(ours, &[]) && allows(ours, &["mcp.example:443"]));
        assert!(!allows(ours, &["evil.test"]) && !allows(ours, &["localhost"]));
        assert!(!allows("https://evil.test/consents", &["mcp.example"]));
        assert!(!allows("https://evil.test/consents", &[]));
    }
}
