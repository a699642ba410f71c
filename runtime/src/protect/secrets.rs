//! What opens something: keys by their prefix and length, signed tokens, private keys, passwords in URLs.
//!
//! Placeholders of documentation are no secrets and are left out: `AKIAIOSFODNN7EXAMPLE`, `user:password@`, `${TOKEN}`, `xxxx`.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::class::Kind;

/// Longest key without a structure of its own, in bytes. The longest known prefix key has 164.
const KEY_BYTES_MAX: usize = 255;
/// Longest header of a signed token, in bytes of base64: certificates in it excepted.
const JWT_HEADER_BYTES_MAX: usize = 2 * 1024;
/// How far the end of a private key is looked for, in bytes: RSA with 8192 bits has 6.4 KiB.
const PEM_BYTES_MAX: usize = 16 * 1024;
/// Longest user and password of a URL, in bytes.
const USERINFO_BYTES_MAX: usize = 256;
/// Fewest different characters in a key that is not a placeholder.
const KEY_VARIETY_MIN: usize = 8;

/// A prefix, the characters that may follow, and how many of them.
struct Key {
    kind: Kind,
    prefix: &'static [u8],
    chars: fn(u8) -> bool,
    length: std::ops::RangeInclusive<usize>,
}

fn word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_'
}

fn wide(c: u8) -> bool {
    word(c) || c == b'-'
}

fn dotted(c: u8) -> bool {
    wide(c) || c == b'.'
}

fn capital(c: u8) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit()
}

fn alphanumeric(c: u8) -> bool {
    c.is_ascii_alphanumeric()
}

const fn key(
    kind: Kind,
    prefix: &'static [u8],
    chars: fn(u8) -> bool,
    length: std::ops::RangeInclusive<usize>,
) -> Key {
    Key {
        kind,
        prefix,
        chars,
        length,
    }
}

/// Public forms of keys, as their issuers and the secret scanners of code hosts describe them.
static KEYS: &[Key] = &[
    key(Kind::AwsKey, b"AKIA", capital, 16..=16),
    key(Kind::AwsKey, b"ASIA", capital, 16..=16),
    key(Kind::AwsKey, b"ABIA", capital, 16..=16),
    key(Kind::GitHubToken, b"ghp_", alphanumeric, 36..=251),
    key(Kind::GitHubToken, b"gho_", alphanumeric, 36..=251),
    key(Kind::GitHubToken, b"ghu_", alphanumeric, 36..=251),
    key(Kind::GitHubToken, b"ghs_", alphanumeric, 36..=251),
    key(Kind::GitHubToken, b"ghr_", alphanumeric, 36..=251),
    key(Kind::GitHubToken, b"github_pat_", word, 70..=244),
    key(Kind::GoogleKey, b"AIza", wide, 35..=35),
    key(Kind::GoogleKey, b"GOCSPX-", wide, 28..=28),
    key(Kind::GoogleKey, b"ya29.", dotted, 40..=250),
    key(Kind::SlackToken, b"xoxb-", wide, 20..=250),
    key(Kind::SlackToken, b"xoxp-", wide, 20..=250),
    key(Kind::SlackToken, b"xoxa-", wide, 20..=250),
    key(Kind::SlackToken, b"xoxr-", wide, 20..=250),
    key(Kind::SlackToken, b"xoxs-", wide, 20..=250),
    key(Kind::SlackToken, b"xoxe-", wide, 20..=250),
    key(Kind::SlackToken, b"xapp-", wide, 20..=250),
    key(Kind::StripeKey, b"sk_live_", alphanumeric, 16..=247),
    key(Kind::StripeKey, b"sk_test_", alphanumeric, 16..=247),
    key(Kind::StripeKey, b"rk_live_", alphanumeric, 16..=247),
    key(Kind::StripeKey, b"rk_test_", alphanumeric, 16..=247),
    key(Kind::StripeKey, b"whsec_", alphanumeric, 24..=64),
    key(Kind::ApiKey, b"glpat-", dotted, 20..=64),
    key(Kind::ApiKey, b"gldt-", dotted, 20..=64),
    key(Kind::ApiKey, b"npm_", alphanumeric, 36..=36),
    key(Kind::ApiKey, b"pypi-", wide, 50..=250),
    key(Kind::ApiKey, b"dop_v1_", alphanumeric, 64..=64),
    key(Kind::ApiKey, b"shpat_", alphanumeric, 32..=32),
    key(Kind::ApiKey, b"SG.", dotted, 60..=70),
    key(Kind::ApiKey, b"sk-", wide, 32..=200),
    key(Kind::ApiKey, b"hvs.", wide, 24..=200),
    key(Kind::ApiKey, b"dckr_pat_", wide, 27..=40),
    key(Kind::ApiKey, b"lin_api_", alphanumeric, 40..=40),
    key(Kind::ApiKey, b"PMAK-", wide, 59..=64),
    key(Kind::ApiKey, b"SK", alphanumeric, 32..=32),
];

/// A secret, and how far was read to tell.
pub(super) struct Secret {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// A key that begins with the word at `start`, and how many bytes were read.
pub(super) fn key_at(text: &[u8], start: usize) -> (Option<Secret>, usize) {
    let rest = text.get(start..).unwrap_or_default();
    let first = rest.first();
    let begins = |key: &&Key| key.prefix.first() == first && rest.starts_with(key.prefix);
    let Some(key) = KEYS.iter().find(begins) else {
        return (None, 0);
    };
    let body = rest.get(key.prefix.len()..).unwrap_or_default();
    let run = body
        .iter()
        .take(KEY_BYTES_MAX)
        .take_while(|c| (key.chars)(**c));
    let mut length = run.count();
    let read = key.prefix.len() + length;
    // The full stop that ends a sentence is none of the key.
    while length > 0 && matches!(body.get(length - 1), Some(b'.' | b'-')) {
        length -= 1;
    }
    let body = body.get(..length).unwrap_or_default();
    let more = rest
        .get(key.prefix.len() + length)
        .is_some_and(|c| word(*c));
    // What is called Twilio's has no mark but its length: it is hexadecimal.
    let shape = key.prefix != b"SK" || body.iter().all(u8::is_ascii_hexdigit);
    if !key.length.contains(&length) || more || !shape || placeholder(body) {
        return (None, read);
    }
    let end = start + key.prefix.len() + length;
    let secret = Secret {
        kind: key.kind,
        span: start..end,
    };
    (Some(secret), read)
}

/// Whether a key was made up for a page of documentation.
fn placeholder(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for c in body {
        if let Some(seen) = seen.get_mut(usize::from(*c)) {
            *seen = true;
        }
    }
    let variety = seen.iter().filter(|seen| **seen).count();
    let has = |word: &[u8]| {
        body.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    variety < KEY_VARIETY_MIN
        || [
            &b"example"[..],
            b"xxxxxx",
            b"your_",
            b"your-",
            b"placeholder",
        ]
        .into_iter()
        .any(has)
}

/// A signed or encrypted token (RFC 7515, 7516) that begins at `start`: its first part is JSON that says how.
pub(super) fn jwt_at(text: &[u8], start: usize) -> Option<Secret> {
    let part = |from: usize, max: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take(max).take_while(|c| wide(**c)).count()
    };
    let dot = |at: usize| text.get(at) == Some(&b'.');
    let header = part(start, JWT_HEADER_BYTES_MAX);
    if header < 12 || !dot(start + header) {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD
        .decode(text.get(start..start + header)?)
        .ok()?;
    let says = |word: &[u8]| decoded.windows(word.len()).any(|part| part == word);
    if decoded.first() != Some(&b'{') || !(says(b"\"alg\"") || says(b"\"enc\"")) {
        return None;
    }
    let mut end = start + header;
    let mut parts = 1;
    while parts < 5 && dot(end) {
        let length = part(end + 1, usize::MAX);
        // A full stop that ends the sentence; an unsigned token ends with an empty third part.
        if length == 0 && parts >= 3 {
            break;
        }
        end += 1 + length;
        parts += 1;
    }
    (parts >= 3).then_some(Secret {
        kind: Kind::Jwt,
        span: start..end,
    })
}

/// A private key in PEM (RFC 7468) that begins at `start`.
pub(super) fn pem_at(text: &[u8], start: usize) -> Option<Secret> {
    let rest = text.get(start..)?;
    let rest = rest.get(..PEM_BYTES_MAX).unwrap_or(rest);
    let label = rest.strip_prefix(b"-----BEGIN ")?;
    let label = label.get(..64).unwrap_or(label);
    let close = find(label, b"-----")?;
    find(label.get(..close)?, b"PRIVATE KEY")?;
    let body = b"-----BEGIN ".len() + close + 5;
    // What was cut off has no end: then the whole rest is taken for the key.
    let end = find(rest.get(body..)?, b"-----END ").map_or(rest.len(), |at| {
        let tail = body + at + b"-----END ".len();
        let close = find(rest.get(tail..).unwrap_or_default(), b"-----");
        close.map_or(rest.len(), |close| tail + close + 5)
    });
    let holds = rest.get(body..end).unwrap_or_default();
    // Documentation writes dots for the key.
    let key = holds.iter().filter(|c| c.is_ascii_alphanumeric()).count();
    (key >= 32).then_some(Secret {
        kind: Kind::PrivateKey,
        span: start..start + end,
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

/// What stands in a URL whose `://` is at `colon` before its host.
pub(super) enum UserInfo {
    /// A password, and where the `@` after it is.
    Password { span: Range<usize>, at: usize },
    /// A user or a template alone, up to the `@`.
    Plain { at: usize },
}

pub(super) fn userinfo_at(text: &[u8], colon: usize) -> Option<UserInfo> {
    let scheme = text.get(..colon)?.last()?;
    if !scheme.is_ascii_alphanumeric() {
        return None;
    }
    let start = colon + 3;
    let rest = text.get(start..)?;
    let ends = |c: &u8| {
        c.is_ascii_whitespace()
            || matches!(c, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`')
    };
    let rest = rest.get(..USERINFO_BYTES_MAX).unwrap_or(rest);
    let authority = rest.get(..rest.iter().position(ends).unwrap_or(rest.len()))?;
    // `<password>` ends the authority early; it is a template anyway.
    let at = authority.iter().rposition(|c| *c == b'@')?;
    let info = authority.get(..at)?;
    let split = info.iter().position(|c| *c == b':');
    let at = start + at;
    let Some(split) = split else {
        return Some(UserInfo::Plain { at });
    };
    let (user, password) = (info.get(..split)?, info.get(split + 1..)?);
    if template(user, password) {
        return Some(UserInfo::Plain { at });
    }
    Some(UserInfo::Password {
        span: start + split + 1..at,
        at,
    })
}

/// Whether a password stands for one.
fn template(user: &[u8], password: &[u8]) -> bool {
    let one_of =
        |text: &[u8], words: &[&[u8]]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    let generic = one_of(
        password,
        &[b"password", b"pass", b"passwd", b"pwd", b"secret"],
    ) && one_of(user, &[b"user", b"username", b"usr", b"name", b"login"]);
    generic || masked(password)
}

/// Whether a text is a mark for something that is not told: `***`, `xxxx`, `${NAME}`, `{{name}}`, `%s`, `[REDACTED]`.
pub(super) fn masked(text: &[u8]) -> bool {
    let all = |c: u8| text.iter().all(|one| one.eq_ignore_ascii_case(&c));
    let inside = |open: &[u8], close: u8| text.starts_with(open) && text.last() == Some(&close);
    let name = |c: &u8| word(*c);
    text.is_empty()
        || [b'*', b'x', b'.', b'-'].into_iter().any(all)
        || inside(b"${", b'}')
        || inside(b"{", b'}')
        || inside(b"<", b'>')
        || inside(b"[", b']')
        || text == b"%s"
        || text.strip_prefix(b"$").is_some_and(|rest| {
            rest.first().is_some_and(u8::is_ascii_uppercase) && rest.iter().all(name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<(Kind, &str)> {
        let found = key_at(text.as_bytes(), 0).0?;
        Some((found.kind, &text[found.span]))
    }

    #[test]
    fn a_key_is_known_by_its_prefix_and_length_and_a_placeholder_is_none() {
        assert_eq!(
            key("AKIAQ3EGUZ5PLKT2VN7B."),
            Some((Kind::AwsKey, "AKIAQ3EGUZ5PLKT2VN7B"))
        );
        assert_eq!(key("AKIAIOSFODNN7EXAMPLE"), None);
        assert_eq!(key("AKIAQ3EGUZ5PLKT2VN7"), None);
        assert_eq!(key("AKIAQ3EGUZ5PLKT2VN7BB"), None);
        let github = ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
        assert_eq!(key(&github), Some((Kind::GitHubToken, github.as_str())));
        assert_eq!(key("ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), None);
        let slack = [
            "xoxb-",
            "263594206564-2343594206574-FGqddMF8t08v8N7Oq4i57vs1",
        ]
        .concat();
        assert_eq!(key(&slack).map(|found| found.0), Some(Kind::SlackToken));
        let stripe = ["sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"].concat();
        assert_eq!(key(&stripe).map(|found| found.0), Some(Kind::StripeKey));
    }

    #[test]
    fn a_signed_token_says_how_it_is_signed() {
        // RFC 7515, appendix A.1.
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP";
        let found = jwt_at(token.as_bytes(), 0).unwrap();
        assert_eq!(found.span, 0..token.len());
        assert!(jwt_at(b"eyJpc3MiOiJqb2UifQ.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVP", 0).is_none());
        assert!(jwt_at(b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", 0).is_none());
    }

    #[test]
    fn a_private_key_is_taken_to_its_end_and_a_public_one_is_none() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ";
        let pem =
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY----- tail");
        let found = pem_at(pem.as_bytes(), 0).unwrap();
        assert!(pem[found.span].ends_with("-----END RSA PRIVATE KEY-----"));
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{body}");
        assert_eq!(pem_at(cut.as_bytes(), 0).unwrap().span, 0..cut.len());
        let public = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----");
        assert!(pem_at(public.as_bytes(), 0).is_none());
        assert!(
            pem_at(
                b"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
                0
            )
            .is_none()
        );
    }

    #[test]
    fn a_url_with_a_password_is_told_from_a_template() {
        let password = |url: &str| match userinfo_at(url.as_bytes(), url.find("://").unwrap()) {
            Some(UserInfo::Password { span, .. }) => Some(url[span].to_owned()),
            _ => None,
        };
        assert_eq!(
            password("postgres://app:s3cr3t-Pw@db/x").as_deref(),
            Some("s3cr3t-Pw")
        );
        assert_eq!(
            password("https://admin:password@host/").as_deref(),
            Some("password")
        );
        for url in [
            "postgres://user:password@db/x",
            "https://u:${PW}@h/",
            "https://u:***@h",
            "https://taro@h/",
            "https://h:80/a@b",
        ] {
            assert_eq!(password(url), None, "{url}");
        }
    }
}
