//! Signatures that others made: of AWS' own test suite for signers (`aws-c-auth` 0.9.0, `aws-signing-test-suite/v4`), of the
//! examples in the documentation of S3, and of botocore 1.44.8, which was run once for them.

use http::Method;

use super::*;
use crate::host::secret::value::{AccessKey, Parts};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const PLAIN: Manner = Manner {
    path_is_name: false,
    digest_field: false,
};
const UNNORMALIZED: Manner = Manner {
    path_is_name: true,
    digest_field: false,
};

fn key(id: &str, secret: &str, session: Option<&str>) -> AccessKey {
    let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
    AccessKey::from_parts(&Parts {
        id: text(id),
        secret: text(secret),
        session: session.and_then(text),
        until: None,
    })
    .unwrap()
}

fn scope(region: &str, service: &str) -> AwsScope {
    AwsScope {
        region: region.to_owned(),
        service: service.to_owned(),
    }
}

fn at(text: &str) -> Timestamp {
    use time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, &Rfc3339).unwrap();
    Timestamp::from_secs(at.unix_timestamp())
}

fn fields(all: &[(&'static str, &str)]) -> HeaderMap {
    let all = all.iter();
    all.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

struct Case<'a> {
    key: AccessKey,
    scope: AwsScope,
    manner: Manner,
    now: Timestamp,
    request: (Method, &'a str, &'a str),
    fields: HeaderMap,
    body: &'a [u8],
}

impl Case<'_> {
    fn sign(&self) -> Result<Signed, SignError> {
        let (method, origin, target) = &self.request;
        let line = Line {
            method,
            origin: (*origin).to_owned(),
            target: Zeroizing::new((*target).to_owned()),
        };
        let body = BodyDigest::of(self.body);
        let request = (&line, &self.fields, &body);
        sign(&self.key, &self.scope, self.manner, request, self.now)
    }

    fn signature(&self) -> String {
        self.sign().ok().unwrap().signature.expose().to_owned()
    }
}

fn suite(target: &str) -> Case<'_> {
    Case {
        key: key("AKIDEXAMPLE", SECRET, None),
        scope: scope("us-east-1", "service"),
        manner: PLAIN,
        now: at("2015-08-30T12:36:00Z"),
        request: (Method::GET, "https://example.amazonaws.com", target),
        fields: HeaderMap::new(),
        body: b"",
    }
}

#[test]
fn the_test_suite_of_aws_is_passed() {
    let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (path, query) = (
        format!("/{unreserved}"),
        format!("/?{unreserved}={unreserved}"),
    );
    for (target, manner, signature) in [
        // get-vanilla
        (
            "/",
            PLAIN,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        // get-unreserved
        (
            &path,
            PLAIN,
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        // get-vanilla-query-unreserved
        (
            &query,
            PLAIN,
            "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
        ),
        // get-vanilla-query-order-key-case
        (
            "/?Param2=value2&Param1=value1",
            PLAIN,
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        // get-vanilla-query-order-encoded
        (
            "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            PLAIN,
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        ),
        // get-vanilla-utf8-query
        (
            "/?%E1%88%B4=bar",
            PLAIN,
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
        ),
        // get-slashes-normalized
        (
            "//example//",
            PLAIN,
            "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
        ),
        // get-slashes-unnormalized
        (
            "//example//",
            UNNORMALIZED,
            "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5",
        ),
        // get-utf8, which escapes the path once
        (
            "/%E1%88%B4",
            UNNORMALIZED,
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
    ] {
        let case = Case {
            manner,
            ..suite(target)
        };
        assert_eq!(case.signature(), signature, "{target}");
    }
    // get-vanilla-with-session-token
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    let case = Case {
        key: key("AKIDEXAMPLE", SECRET, Some(token)),
        ..suite("/")
    };
    let wanted = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8";
    assert_eq!(case.signature(), wanted);
}

#[test]
fn the_examples_of_s3_are_signed_as_its_documentation_says() {
    for (target, signature) in [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let case = Case {
            key: key("AKIAIOSFODNN7EXAMPLE", SECRET_OF_S3, None),
            scope: scope("us-east-1", "s3"),
            manner: Manner::of("s3"),
            now: at("2013-05-24T00:00:00Z"),
            request: (
                Method::GET,
                "https://examplebucket.s3.amazonaws.com",
                target,
            ),
            fields: HeaderMap::new(),
            body: b"",
        };
        assert_eq!(case.signature(), signature, "{target}");
    }
}

/// The key of those examples: another letter than in the suite.
const SECRET_OF_S3: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "canary-session-token/with+signs==";

fn made_by_botocore<'a>(
    service: &str,
    region: &str,
    request: (Method, &'a str, &'a str),
    own: &[(&'static str, &str)],
    body: &'a [u8],
    session: Option<&str>,
) -> Case<'a> {
    Case {
        key: key("AKIDEXAMPLE", SECRET, session),
        scope: scope(region, service),
        manner: Manner::of(service),
        now: at("2026-11-29T12:00:00Z"),
        request,
        fields: fields(own),
        body,
    }
}

#[test]
fn another_signer_signs_the_same() {
    let api = (Method::POST, "https://api.example.com", "/stage/a%2Fb/x");
    let json = [("content-type", "application/json"), ("accept", "*/*")];
    let api = made_by_botocore(
        "execute-api",
        "eu-central-1",
        api,
        &json,
        br#"{"n":1}"#,
        None,
    );
    let table = (
        Method::POST,
        "https://dynamodb.us-east-1.amazonaws.com",
        "/",
    );
    let target = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "DynamoDB_20120810.GetItem"),
    ];
    let table = made_by_botocore(
        "dynamodb",
        "us-east-1",
        table,
        &target,
        b"{}",
        Some(SESSION),
    );
    // A `+` in a name, as it is written by a guest that does not escape it.
    let put = (
        Method::PUT,
        "https://bucket.s3.amazonaws.com",
        "/folder/a+b%20c%7Ed",
    );
    let note = [
        ("content-type", "text/plain"),
        ("x-amz-meta-note", "two  spaces"),
    ];
    let put = made_by_botocore("s3", "us-east-1", put, &note, b"hello", Some(SESSION));
    let list = (
        Method::GET,
        "https://bucket.s3.amazonaws.com",
        "/a//b/%E1%88%B4?list-type=2&prefix=a%2Fb&x=",
    );
    let list = made_by_botocore("s3", "us-east-1", list, &[], b"", None);
    let port = (Method::GET, "http://minio.example:9000", "/bucket/k");
    let port = made_by_botocore("s3", "us-east-1", port, &[], b"", None);
    for (case, signature, signed) in [
        (
            api,
            "239c77944a452fd39130b93a9c7b56febd2a548b8e2d9334e2d7f7179623ddbe",
            "content-type;host;x-amz-date",
        ),
        (
            table,
            "abc2f50a7c6a139ca394ca48bb4327ded0b7a15a3ec43a973370dfe0068899a7",
            "content-type;host;x-amz-date;x-amz-security-token;x-amz-target",
        ),
        (
            put,
            "11edca493cd43e4763c45c6f41fc487bf62bdcd5fe917d326beae5de75f5f096",
            "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-note;x-amz-security-token",
        ),
        (
            list,
            "72c8942c1407871802daab6ecbcf1525a683a105977c51f8129eefa876b739b9",
            "host;x-amz-content-sha256;x-amz-date",
        ),
        (
            port,
            "cd01ab5a796b57fceff57c616b3cac2bf433e32a3e1a8032d683fbb991823a61",
            "host;x-amz-content-sha256;x-amz-date",
        ),
    ] {
        assert_eq!(case.signature(), signature, "{:?}", case.request);
        let all: HeaderMap = case.sign().ok().unwrap().fields.into_iter().collect();
        let AwsScope { region, service } = &case.scope;
        let wanted = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261129/{region}/{service}/aws4_request, SignedHeaders={signed}, Signature={signature}"
        );
        assert_eq!(all["authorization"], wanted);
        assert_eq!(all["x-amz-date"], "20261129T120000Z");
        let session = all.get("x-amz-security-token");
        assert_eq!(session.is_some(), case.key.session.is_some());
        assert!(all.values().all(HeaderValue::is_sensitive));
    }
}

#[test]
fn whatever_changes_is_signed_otherwise() {
    let one = suite("/a?b=c");
    let mut all = vec![one.signature()];
    let others = [
        suite("/a?b=d"),
        suite("/b?b=c"),
        Case {
            request: (Method::POST, "https://example.amazonaws.com", "/a?b=c"),
            ..suite("")
        },
        Case {
            request: (Method::GET, "https://other.amazonaws.com", "/a?b=c"),
            ..suite("")
        },
        Case {
            request: (Method::GET, "https://example.amazonaws.com:444", "/a?b=c"),
            ..suite("")
        },
        Case {
            body: b"x",
            ..suite("/a?b=c")
        },
        Case {
            fields: fields(&[("x-amz-acl", "private")]),
            ..suite("/a?b=c")
        },
        Case {
            fields: fields(&[("content-type", "text/plain")]),
            ..suite("/a?b=c")
        },
        Case {
            now: at("2015-08-30T12:36:01Z"),
            ..suite("/a?b=c")
        },
        Case {
            scope: scope("us-east-2", "service"),
            ..suite("/a?b=c")
        },
        Case {
            scope: scope("us-east-1", "other"),
            ..suite("/a?b=c")
        },
    ];
    all.extend(others.iter().map(Case::signature));
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    // What the way there may change is not signed.
    let unsigned = Case {
        fields: fields(&[("accept", "text/plain"), ("user-agent", "guest")]),
        ..suite("/a?b=c")
    };
    assert_eq!(unsigned.signature(), all[0]);
}

#[test]
fn what_cannot_be_signed_is_an_error_and_no_panic() {
    let bytes = |value: &[u8]| {
        let mut fields = HeaderMap::new();
        let value = HeaderValue::from_bytes(value).unwrap();
        fields.insert("x-amz-meta-note", value);
        fields
    };
    for value in [&b"\xff"[..], "ü".as_bytes()] {
        let case = Case {
            fields: bytes(value),
            ..suite("/")
        };
        assert_eq!(case.sign().err(), Some(SignError::Field));
    }
    for at in [
        Timestamp(-1),
        Timestamp(i64::MIN),
        Timestamp(i64::MAX),
        Timestamp::from_secs(LAST_SECOND + 1),
    ] {
        let case = Case {
            now: at,
            ..suite("/")
        };
        assert_eq!(case.sign().err(), Some(SignError::Time), "{at:?}");
    }
    let last = Case {
        now: Timestamp::from_secs(LAST_SECOND),
        ..suite("/")
    };
    assert!(last.sign().is_ok());
    let long = format!("/{}", "a".repeat(70_000));
    assert_eq!(suite(&long).sign().err(), Some(SignError::Request));
}
