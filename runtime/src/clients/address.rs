//! Client ids that name a document.

use url::Url;

use super::Unread;
use crate::ids::ClientId;

/// The document of a client, by draft-ietf-oauth-client-id-metadata-document §3: nothing for an id that names none.
///
/// There is one spelling of an address. Which document an id stands for must not depend on how it is read, and the id is
/// compared byte by byte everywhere else.
pub(super) fn document_of(id: &ClientId) -> Option<Result<Url, Unread>> {
    let text = id.as_str();
    let scheme = |scheme: &str| {
        let head = text.get(..scheme.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    if scheme("http:") {
        return Some(Err(Unread::PlainText));
    }
    if !scheme("https:") {
        return None;
    }
    let url = Url::parse(text).ok().filter(|url| {
        url.as_str() == text
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    Some(url.ok_or(Unread::Address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> Option<Result<Url, Unread>> {
        document_of(&id.parse().unwrap())
    }

    #[test]
    fn an_https_url_in_its_one_spelling_names_a_document() {
        for good in [
            "https://client.example/meta.json",
            "https://client.example/",
            "https://client.example:8443/a/b?c=d",
            "https://xn--bcher-kva.example/meta",
        ] {
            assert_eq!(of(good).unwrap().unwrap().as_str(), good);
        }
    }

    #[test]
    fn another_spelling_is_refused() {
        for bad in [
            "https://client.example",
            "https://Client.example/meta",
            "HTTPS://client.example/meta",
            "https://client.example:443/meta",
            "https://client.example/a/../meta",
            "https://client.example/./meta",
            "https://client.example/%2e/meta",
            "https://client.example/meta#x",
            "https://client.example/meta#",
            "https://user@client.example/meta",
            "https://user:p@client.example/meta",
            "https://bücher.example/meta",
            "https:/client.example/meta",
            "https:client.example/meta",
            "https://client.example\\meta",
            "https://client.example/me ta",
            "https://0x7f.1/meta",
            "https://",
        ] {
            assert_eq!(of(bad), Some(Err(Unread::Address)), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_named_and_everything_else_names_no_document() {
        for plain in ["http://client.example/meta", "HTTP://x", "http:"] {
            assert_eq!(of(plain), Some(Err(Unread::PlainText)), "{plain}");
        }
        for none in ["client-1", "urn:x:y", "ftp://x/y", "httpsx://a/b", "é", "h"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
