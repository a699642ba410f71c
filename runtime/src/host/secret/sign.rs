//! Signs a request with an access key: AWS Signature Version 4, in its header fields.
//!
//! Pure: what is signed and when is told. Signed are the method, the path, the query, the host, the digest of the body, the
//! type of the contents and every field that begins with `x-amz-`; the host writes the rest of the fields, or nobody on the
//! way does.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4::SigningParams;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use zeroize::Zeroizing;

use super::value::AccessKey;
use crate::clock::Timestamp;
use crate::config::AwsScope;
use crate::egress::Line;
use crate::protect::SecretValue;

/// Seconds since 1970 at the end of the year 9999, the last that a signature can name.
const LAST_SECOND: i64 = 253_402_300_799;
/// What begins the name of every field that is for the service and not for the way there.
const OWN_PREFIX: &str = "x-amz-";
/// What is escaped in a name: all but unreserved characters (RFC 3986 §2.3) and the slashes between its parts.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The digest of a whole body, as signatures have it: SHA-256 in lower-case hexadecimal.
#[derive(Debug, Clone)]
pub struct BodyDigest(String);

impl BodyDigest {
    pub(super) fn of(body: &[u8]) -> Self {
        Self(hex::encode(digest(&SHA256, body)))
    }
}

/// How a service reads requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// The path names an object and counts as it is: escaped once, and every slash of it.
    path_is_name: bool,
    /// The digest of the body is a field as well.
    digest_field: bool,
}

impl Manner {
    /// As the services document it: objects in S3 and its relatives have any name, and a few others want the field.
    pub(super) fn of(service: &str) -> Self {
        let objects = matches!(
            service,
            "s3" | "s3express" | "s3-object-lambda" | "s3-outposts"
        );
        Self {
            path_is_name: objects,
            digest_field: objects || matches!(service, "aoss" | "glacier"),
        }
    }

    fn settings(self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.path_is_name {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if self.digest_field {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

/// A request cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignError {
    /// The service would read another field than was signed.
    #[error("a field that is signed holds something else than visible ASCII")]
    Field,
    /// The signer reads it otherwise than we do.
    #[error("its address or a field of it cannot be signed")]
    Request,
    /// The clock of the machine is wrong.
    #[error("the time is none that a signature can name")]
    Time,
}

/// The fields of a signature, and the signature itself, which opens this one request to whoever has it.
pub(super) struct Signed {
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) signature: SecretValue,
}

/// Signs what will be written on the wire.
pub(super) fn sign(
    key: &AccessKey,
    scope: &AwsScope,
    manner: Manner,
    (line, fields, body): (&Line<'_>, &HeaderMap, &BodyDigest),
    now: Timestamp,
) -> Result<Signed, SignError> {
    let seconds = u64::try_from(now.secs()).map_err(|_| SignError::Time)?;
    if now.secs() > LAST_SECOND {
        return Err(SignError::Time);
    }
    let names = fields.iter().filter(|(name, _)| is_signed(name));
    let texts = names.map(|(name, value)| Ok((name.as_str(), value.to_str()?)));
    let texts = texts.collect::<Result<Vec<_>, http::header::ToStrError>>();
    let texts = texts.map_err(|_| SignError::Field)?;
    if texts.iter().any(|(_, text)| text.contains('\t')) {
        return Err(SignError::Field);
    }
    if !is_read_alike(&line.target) {
        return Err(SignError::Request);
    }
    let url = match manner.path_is_name {
        true => canonical(line),
        false => Zeroizing::new(format!("{}{}", line.origin, *line.target)),
    };
    let session = key.session.as_ref().map(|one| one.expose().to_owned());
    let credentials = Credentials::new(&*key.id, key.secret.expose(), session, None, "bailiwick");
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(UNIX_EPOCH + Duration::from_secs(seconds))
        .settings(manner.settings())
        .build()
        .map_err(|_| SignError::Request)?;
    let body = SignableBody::Precomputed(body.0.clone());
    let request = SignableRequest::new(line.method.as_str(), &**url, texts.into_iter(), body)
        .map_err(|_| SignError::Request)?;
    let signed =
        aws_sigv4::http_request::sign(request, &params.into()).map_err(|_| SignError::Request)?;
    let (instructions, signature) = signed.into_parts();
    let field = |(name, value): (&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SignError::Request)?;
        let mut value = HeaderValue::from_str(value).map_err(|_| SignError::Request)?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    Ok(Signed {
        fields: instructions
            .headers()
            .map(field)
            .collect::<Result<_, SignError>>()?,
        signature: SecretValue::of(signature.as_bytes()).map_err(|_| SignError::Request)?,
    })
}

/// Whether the signer reads the query as it is written: it takes `+` for a space, and what is no UTF-8 for something else.
fn is_read_alike(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    !query.contains('+') && percent_decode_str(query).decode_utf8().is_ok()
}

fn is_signed(name: &HeaderName) -> bool {
    name == CONTENT_TYPE || name.as_str().starts_with(OWN_PREFIX)
}

/// The same address with its path as the service will write it: unescaped, and escaped again wherever it can be. A guest may
/// write `+` where the service reads `%2B`.
fn canonical(line: &Line<'_>) -> Zeroizing<String> {
    let (path, query) = match line.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (line.target.as_str(), None),
    };
    let mut url = Zeroizing::new(line.origin.clone());
    let name: Vec<u8> = percent_decode_str(path).collect();
    url.extend(percent_encode(&name, &ESCAPED));
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
}

#[cfg(test)]
mod tests;
