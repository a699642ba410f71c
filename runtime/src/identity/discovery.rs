//! An issuer's metadata: where its keys and its endpoints are (RFC 8414, then OpenID Connect Discovery).
//!
//! Never believes metadata of another issuer, whoever serves it.

use serde_json::{Map, Value};
use url::Url;

use super::FetchKeys;
use super::error::shown;
use super::keys::KeyError;
use super::source::fetch;
use super::strict;
use crate::ids::Issuer;

/// What we use of an authorization server's metadata.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Where the key set is.
    pub jwks_uri: Url,
    /// Where a browser signs in.
    pub authorization_endpoint: Option<Url>,
    /// Where a code becomes tokens.
    pub token_endpoint: Option<Url>,
    /// Whether the token endpoint takes a client's secret in the form alone, and not by HTTP Basic.
    pub secret_in_form: bool,
    /// Whether the answer to a sign-in names its issuer (RFC 9207).
    pub names_issuer_in_response: bool,
}

/// Asks an issuer for its metadata, at each place where it may stand, until one has it.
pub async fn discover(issuer: &Issuer, from: &dyn FetchKeys) -> Result<Metadata, KeyError> {
    let mut last = KeyError::NotYet;
    for place in places(issuer)? {
        let found = match fetch(from, &place).await {
            Ok(bytes) => strict::object(&bytes).map_err(KeyError::Json),
            Err(error) => Err(error),
        };
        match found {
            // Whatever the first document says stands; only a place that has none sends us to the next.
            Ok(document) => return read(&document, issuer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// RFC 8414 §3.1, and OpenID Connect Discovery §4.1 in both its forms (MCP, authorization, server metadata discovery).
fn places(issuer: &Issuer) -> Result<Vec<Url>, KeyError> {
    let refused = KeyError::Member {
        name: "issuer",
        problem: "is not a URL without query and fragment, so it has no metadata",
    };
    let Some(base) = Url::parse(issuer.as_str()).ok().filter(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    }) else {
        return Err(refused);
    };
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = base.clone();
        url.set_path(&path);
        url
    };
    let mut places = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        places.push(at(format!("{path}/.well-known/openid-configuration")));
    }
    Ok(places)
}

fn read(document: &Map<String, Value>, issuer: &Issuer) -> Result<Metadata, KeyError> {
    // RFC 8414 §3.3: the issuer "MUST be identical", or the metadata "MUST NOT be used".
    match document.get("issuer") {
        Some(Value::String(named)) if named == issuer.as_str() => {}
        Some(Value::String(other)) => {
            return Err(KeyError::OtherIssuer {
                found: shown(other),
            });
        }
        _ => {
            return Err(KeyError::Member {
                name: "issuer",
                problem: "is not a string",
            });
        }
    }
    let plain_allowed = issuer.as_str().starts_with("http://");
    let url = |name| address(document, name, plain_allowed);
    Ok(Metadata {
        jwks_uri: url("jwks_uri")?.ok_or(KeyError::Member {
            name: "jwks_uri",
            problem: "is missing",
        })?,
        authorization_endpoint: url("authorization_endpoint")?,
        token_endpoint: url("token_endpoint")?,
        secret_in_form: takes_secret_in_form_alone(document),
        names_issuer_in_response: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

/// RFC 8414 §2: an issuer that does not say how it knows clients takes HTTP Basic.
fn takes_secret_in_form_alone(document: &Map<String, Value>) -> bool {
    let methods = document.get("token_endpoint_auth_methods_supported");
    let takes = |method| {
        let methods = methods.and_then(Value::as_array);
        methods.is_some_and(|all| all.iter().any(|one| one == method))
    };
    takes("client_secret_post") && !takes("client_secret_basic")
}

/// A URL of the metadata; over plain HTTP only from an issuer that is itself there, which only development has.
fn address(
    document: &Map<String, Value>,
    name: &'static str,
    plain_allowed: bool,
) -> Result<Option<Url>, KeyError> {
    let refused = KeyError::Member {
        name,
        problem: "is not an `https` URL without user and fragment",
    };
    match document.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Url::parse(text)
            .ok()
            .filter(|url| {
                (url.scheme() == "https" || (plain_allowed && url.scheme() == "http"))
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            })
            .map(Some)
            .ok_or(refused),
        Some(_) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(issuer: &str) -> Vec<String> {
        places(&issuer.parse().unwrap())
            .unwrap()
            .iter()
            .map(Url::to_string)
            .collect()
    }

    fn judged(issuer: &str, document: Value) -> Result<Metadata, KeyError> {
        let Value::Object(document) = document else {
            panic!("not an object");
        };
        read(&document, &issuer.parse().unwrap())
    }

    #[test]
    fn metadata_is_sought_by_rfc_8414_first_then_by_openid_connect() {
        for root in ["https://as.test", "https://as.test/"] {
            assert_eq!(
                paths(root),
                [
                    "https://as.test/.well-known/oauth-authorization-server",
                    "https://as.test/.well-known/openid-configuration",
                ]
            );
        }
        assert_eq!(
            paths("https://as.test/a/b"),
            [
                "https://as.test/.well-known/oauth-authorization-server/a/b",
                "https://as.test/.well-known/openid-configuration/a/b",
                "https://as.test/a/b/.well-known/openid-configuration",
            ]
        );
        for none in [
            "https://as.test/?x",
            "https://as.test/#x",
            "urn:x",
            "https://u@as.test",
            "https://:p@as.test",
            "ftp://as.test",
        ] {
            assert!(places(&none.parse().unwrap()).is_err(), "{none}");
        }
    }

    #[test]
    fn metadata_of_another_issuer_is_not_believed() {
        let metadata = |issuer: &str| json!({"issuer": issuer, "jwks_uri": "https://as.test/keys"});
        assert!(judged("https://as.test", metadata("https://as.test")).is_ok());
        for other in [
            "https://as.test/",
            "https://AS.test",
            "http://as.test",
            "https://evil.test",
        ] {
            assert!(
                matches!(
                    judged("https://as.test", metadata(other)),
                    Err(KeyError::OtherIssuer { .. })
                ),
                "{other}"
            );
        }
        assert!(
            judged(
                "https://as.test",
                json!({"jwks_uri": "https://as.test/keys"})
            )
            .is_err()
        );
        assert!(judged("https://as.test", json!({"issuer": ["https://as.test"]})).is_err());
    }

    #[test]
    fn a_secret_goes_into_the_form_only_where_basic_is_not_taken() {
        let in_form = |methods: Value| {
            let document = json!({
                "issuer": "https://as.test",
                "jwks_uri": "https://as.test/keys",
                "token_endpoint_auth_methods_supported": methods,
            });
            judged("https://as.test", document).unwrap().secret_in_form
        };
        assert!(in_form(json!(["client_secret_post"])));
        assert!(in_form(json!(["none", "client_secret_post"])));
        for basic in [
            json!(["client_secret_post", "client_secret_basic"]),
            json!(["private_key_jwt"]),
            json!([]),
            json!("client_secret_post"),
            json!(null),
        ] {
            assert!(!in_form(basic.clone()), "{basic}");
        }
    }

    #[test]
    fn keys_are_named_by_an_https_url() {
        let keys = |issuer: &str, url: &str| {
            judged(issuer, json!({"issuer": issuer, "jwks_uri": url})).is_ok()
        };
        assert!(keys("https://as.test", "https://keys.test/k"));
        assert!(keys("http://127.0.0.1:1", "http://127.0.0.1:1/k"));
        for bad in [
            "http://as.test/k",
            "file:///etc/passwd",
            "https://u:p@as.test/k",
            "https://u@as.test/k",
            "https://:p@as.test/k",
            "https://as.test/k#x",
            "/k",
            "",
        ] {
            assert!(!keys("https://as.test", bad), "{bad}");
        }
        assert!(!keys("http://127.0.0.1:1", "ftp://127.0.0.1:1/k"));
        assert!(judged("https://as.test", json!({"issuer": "https://as.test"})).is_err());
    }
}
