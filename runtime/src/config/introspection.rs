//! `[issuer.introspection]`: where an issuer is asked about its tokens (RFC 7662), and as whom.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::parse::Checker;
use super::vault::{file_path, variable};
use crate::limits::{INTROSPECTION_TTL_DEFAULT, INTROSPECTION_TTL_MAX};

/// Where an issuer is asked about tokens, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionConfig {
    /// Its endpoint.
    pub url: Url,
    /// Our client id there.
    pub client_id: String,
    /// How we show there that it is us.
    pub proof: ClientProof,
    /// Which tokens it is asked about.
    pub about: About,
    /// How long an answer serves at most.
    pub ttl: Duration,
}

/// How we show at an issuer that it is us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProof {
    /// By a secret that both know (RFC 6749 §2.3.1).
    Secret(ClientSecret),
    /// By a signature (RFC 7523 §2.2, `private_key_jwt`).
    Key(ClientKey),
}

/// A private key by which we sign who we are. Never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// Its file.
    pub file: PathBuf,
    /// With what it signs.
    pub algorithm: Algorithm,
    /// Its id at the issuer.
    pub id: Option<String>,
    /// Whom the signed text is for; the issuer where nothing is said.
    pub audience: Option<String>,
}

/// Where a client secret is kept. Never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientSecret {
    /// In a file.
    File(String),
    /// In a variable of the environment.
    Env(String),
}

/// Which tokens an issuer is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// Those that are no JWT; a JWT is judged by its signature alone.
    #[default]
    Opaque,
    /// Also each JWT, after its signature held.
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntrospection {
    url: Spanned<Url>,
    client_id: Spanned<String>,
    client_secret_file: Option<Spanned<String>>,
    client_secret_env: Option<Spanned<String>>,
    private_key_file: Option<Spanned<String>>,
    private_key_algorithm: Option<Spanned<String>>,
    private_key_id: Option<Spanned<String>>,
    private_key_audience: Option<Spanned<String>>,
    #[serde(default)]
    tokens: About,
    cache_seconds: Option<Spanned<u64>>,
}

pub(super) fn introspection(
    check: &mut Checker<'_>,
    raw: &Spanned<RawIntrospection>,
) -> Option<IntrospectionConfig> {
    let one = raw.get_ref();
    let secret = |secret| ClientProof::Secret(secret);
    let proof = match (
        &one.client_secret_file,
        &one.client_secret_env,
        &one.private_key_file,
    ) {
        (Some(file), None, None) => {
            let file = file_path(check, file, false);
            file.map(ClientSecret::File).map(secret)
        }
        (None, Some(env), None) => variable(check, env).map(ClientSecret::Env).map(secret),
        (None, None, Some(file)) => client_key(check, raw, file).map(ClientProof::Key),
        _ => {
            let help =
                "write one of `client_secret_file`, `client_secret_env` and `private_key_file`";
            check.wrong(raw, "we have not exactly one secret at the issuer", help);
            None
        }
    };
    if one.private_key_file.is_none() {
        let stray = [
            &one.private_key_algorithm,
            &one.private_key_id,
            &one.private_key_audience,
        ];
        for stray in stray.into_iter().flatten() {
            let help = "set `private_key_file`, or remove it";
            check.wrong(stray, "there is no private key that it is about", help);
        }
    }
    if one.client_id.get_ref().is_empty() {
        check.wrong(&one.client_id, "the client id is empty", "write ours");
    }
    let most = INTROSPECTION_TTL_MAX.as_secs();
    let ttl = match &one.cache_seconds {
        None => INTROSPECTION_TTL_DEFAULT,
        Some(secs) => {
            if *secs.get_ref() > most {
                let help = format!("choose 0 to {most}; a token that was revoked counts as long");
                check.wrong(secs, "an answer serves for too long", &help);
            }
            Duration::from_secs((*secs.get_ref()).min(most))
        }
    };
    Some(IntrospectionConfig {
        url: one.url.get_ref().clone(),
        client_id: one.client_id.get_ref().clone(),
        proof: proof?,
        about: one.tokens,
        ttl,
    })
}

fn client_key(
    check: &mut Checker<'_>,
    raw: &Spanned<RawIntrospection>,
    file: &Spanned<String>,
) -> Option<ClientKey> {
    const HELP: &str =
        "write `private_key_algorithm`, one of ES256, EdDSA and RS256, as the issuer knows the key";
    let one = raw.get_ref();
    let algorithm = match &one.private_key_algorithm {
        None => {
            check.wrong(raw, "nothing says with what our key signs", HELP);
            None
        }
        Some(name) => match name.get_ref().as_str() {
            "ES256" => Some(Algorithm::ES256),
            "EdDSA" => Some(Algorithm::EdDSA),
            "RS256" => Some(Algorithm::RS256),
            other => {
                let message = format!("our key does not sign with `{other}`");
                check.wrong(name, message, HELP);
                None
            }
        },
    };
    for text in [&one.private_key_id, &one.private_key_audience]
        .into_iter()
        .flatten()
    {
        if text.get_ref().is_empty() {
            check.wrong(text, "it is empty", "write it, or remove it");
        }
    }
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.get_ref().clone());
    Some(ClientKey {
        file: file_path(check, file, false)?.into(),
        algorithm: algorithm?,
        id: text(&one.private_key_id),
        audience: text(&one.private_key_audience),
    })
}

/// What can be seen only beside the rest: where endpoints are, and that an opaque token is asked about at one place.
pub(super) fn check_all<'a>(
    check: &mut Checker<'_>,
    all: impl Iterator<Item = &'a Spanned<RawIntrospection>>,
) {
    for (n, raw) in all.enumerate() {
        let url = &raw.get_ref().url;
        let local = match url.get_ref().host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        let is_https = url.get_ref().scheme() == "https";
        let is_http = url.get_ref().scheme() == "http" && local;
        let is_clean = url.get_ref().username().is_empty()
            && url.get_ref().password().is_none()
            && url.get_ref().fragment().is_none();
        if !(is_https || is_http) || !is_clean {
            let help = "write an `https://` URL; http is for this machine alone, such as `http://127.0.0.1:9000/introspect`";
            check.wrong(url, "tokens and our secret are not sent there", help);
        }
        // It names no issuer, and is nothing to be shown around.
        if n > 0 {
            let help = "keep `[issuer.introspection]` at one issuer";
            check.wrong(raw, "two issuers would be asked about opaque tokens", help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::parse;
    use crate::config::{Config, ConfigError};

    const GOOD: &str = "url = \"https://as.example/introspect\"\nclient_id = \"us\"\n";

    fn issuer(name: &str, lines: &str) -> String {
        format!(
            "[[issuer]]\nissuer = \"{name}\"\nalgorithms = [\"ES256\"]\n[issuer.introspection]\n{lines}"
        )
    }

    fn of(lines: &str) -> Result<Config, ConfigError> {
        parse(&issuer("https://as.example", lines))
    }

    #[test]
    fn an_issuer_is_asked_as_somebody_with_a_secret_by_reference() {
        let config = of(&format!("{GOOD}client_secret_file = \"secrets/as\"\n")).unwrap();
        let one = config.issuers[0].introspection.clone().unwrap();
        let file = ClientSecret::File("/srv/secrets/as".to_owned());
        assert_eq!(one.proof, ClientProof::Secret(file));
        assert_eq!(
            (one.about, one.ttl),
            (About::Opaque, INTROSPECTION_TTL_DEFAULT)
        );
        let lines = "client_secret_env = \"AS_SECRET\"\ntokens = \"all\"\ncache_seconds = 0\n";
        let config = of(&format!("{GOOD}{lines}")).unwrap();
        let one = config.issuers[0].introspection.clone().unwrap();
        let env = ClientSecret::Env("AS_SECRET".to_owned());
        assert_eq!(one.proof, ClientProof::Secret(env));
        assert_eq!((one.about, one.ttl), (About::All, Duration::ZERO));
    }

    #[test]
    fn an_issuer_is_asked_by_a_key_whose_algorithm_is_said() {
        let key = "private_key_file = \"keys/as.pem\"\n";
        for (name, algorithm) in [
            ("ES256", Algorithm::ES256),
            ("EdDSA", Algorithm::EdDSA),
            ("RS256", Algorithm::RS256),
        ] {
            let more = format!("private_key_algorithm = \"{name}\"\nprivate_key_id = \"k\"\n");
            let config = of(&format!("{GOOD}{key}{more}")).unwrap();
            let key = ClientKey {
                file: "/srv/keys/as.pem".into(),
                algorithm,
                id: Some("k".to_owned()),
                audience: None,
            };
            let one = config.issuers[0].introspection.clone().unwrap();
            assert_eq!(one.proof, ClientProof::Key(key));
        }
        let es256 = "private_key_algorithm = \"ES256\"\n";
        let secret = "client_secret_env = \"A\"\n";
        for lines in [
            key.to_owned(),
            format!("{key}private_key_algorithm = \"HS256\"\n"),
            format!("{key}private_key_algorithm = \"none\"\n"),
            format!("{key}{es256}private_key_audience = \"\"\n"),
            format!("{key}{es256}{secret}"),
            format!("{es256}{secret}"),
            format!("{secret}private_key_id = \"k\"\n"),
            format!("{es256}private_key_file = \"a/\"\n"),
        ] {
            assert!(of(&format!("{GOOD}{lines}")).is_err(), "{lines}");
        }
    }

    #[test]
    fn what_is_open_or_unclear_is_refused() {
        let env = "client_secret_env = \"A\"\n";
        let told = |text: &str, says: &str| {
            let Err(ConfigError::Invalid { problems }) = parse(text) else {
                panic!("{text}")
            };
            let told = problems.iter().any(|one| one.message.contains(says));
            assert!(told, "{text}: {problems:?}");
        };
        let one = |lines: &str| issuer("https://as.example", lines);
        told(&one(GOOD), "not exactly one secret");
        told(
            &one(&format!("{GOOD}{env}client_secret_file = \"a\"\n")),
            "not exactly one secret",
        );
        told(
            &one(&format!("{GOOD}client_secret = \"plain-text\"\n")),
            "unknown field",
        );
        told(
            &one(&format!("{GOOD}{env}cache_seconds = 61\n")),
            "too long",
        );
        told(
            &one(&format!("{GOOD}{env}tokens = \"jwt\"\n")),
            "unknown variant",
        );
        for url in [
            "http://as.example/introspect",
            "ftp://127.0.0.1/",
            "https://user:pw@as.example/",
            "https://as.example/#x",
        ] {
            told(
                &one(&format!("url = \"{url}\"\nclient_id = \"us\"\n{env}")),
                "are not sent there",
            );
        }
        let local = format!("url = \"http://127.0.0.1:9000/i\"\nclient_id = \"us\"\n{env}");
        assert!(of(&local).is_ok());
        let two = issuer("https://a.example", &format!("{GOOD}{env}"))
            + &issuer("https://b.example", &format!("{GOOD}{env}"));
        told(&two, "two issuers");
    }
}
