//! A service that takes signed requests (AWS Signature Version 4), as far as it checks them: by its own reading of the bytes
//! that came, with nothing of what signs them.

use aws_lc_rs::{digest, hmac};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// How far the time of a signature may be from that of the service, in seconds.
const FAR_MAX: i64 = 300;

/// Whose signatures the service takes, and for what.
pub struct Service {
    pub id: &'static str,
    pub secret: &'static str,
    pub session: Option<&'static str>,
    pub region: &'static str,
    pub name: &'static str,
    /// Whether paths are names of objects.
    pub objects: bool,
}

/// A request as it came.
struct Came<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    fields: Vec<(String, &'a str)>,
    body: &'a str,
}

impl<'a> Came<'a> {
    fn read(request: &'a str) -> Option<Self> {
        let (head, body) = request.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut line = lines.next()?.split(' ');
        let (method, target) = (line.next()?, line.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let field = |line: &'a str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value))
        };
        Some(Self {
            method,
            path,
            query,
            fields: lines.map(field).collect::<Option<_>>()?,
            body,
        })
    }

    /// The values of a field as they are signed.
    fn values(&self, name: &str) -> String {
        let all = self.fields.iter().filter(|(found, _)| found == name);
        let tidy = |value: &str| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        all.map(|(_, value)| tidy(value))
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn unescaped(text: &str, plus: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3);
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                all.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) if plus => all.push(b' '),
            (byte, _) => all.push(byte),
        }
        at += 1;
    }
    all
}

fn escaped(bytes: &[u8], slash: bool) -> String {
    let one = |byte: &u8| match byte {
        b'/' if slash => "/".to_owned(),
        b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}

fn tidied(path: &str) -> String {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let end = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", parts.join("/"))
}

fn sorted(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let again = |text| escaped(&unescaped(text, true), false);
        (again(name), again(value))
    };
    let mut all: Vec<_> = pairs.map(pair).collect();
    all.sort();
    let all = all.iter().map(|(name, value)| format!("{name}={value}"));
    all.collect::<Vec<_>>().join("&")
}

impl Service {
    /// Whether the request is signed for this service, by this key, now, as it came. The error is what is wrong.
    pub fn check(&self, request: &str) -> Result<(), String> {
        let came = Came::read(request).ok_or("no request")?;
        let authorization = came.values("authorization");
        let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=");
        let (credential, rest) = rest
            .and_then(|rest| rest.split_once(", SignedHeaders="))
            .ok_or("it is not signed")?;
        let (signed, signature) = rest.split_once(", Signature=").ok_or("no signature")?;
        let date = came.values("x-amz-date");
        let day = date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.name);
        if credential != format!("{}/{scope}", self.id) {
            return Err(format!("signed for {credential}"));
        }
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = PrimitiveDateTime::parse(&date, format).map_err(|error| error.to_string())?;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        if (at.assume_utc().unix_timestamp() - now).abs() > FAR_MAX {
            return Err(format!("signed at {date}"));
        }
        if came.values("x-amz-security-token") != self.session.unwrap_or("") {
            return Err("another session".to_owned());
        }
        let names: Vec<_> = signed.split(';').collect();
        let must =
            |name: &str| name == "host" || name == "content-type" || name.starts_with("x-amz-");
        if let Some((name, _)) = came
            .fields
            .iter()
            .find(|(name, _)| must(name) && !names.contains(&name.as_str()))
        {
            return Err(format!("`{name}` is not signed"));
        }
        let digest = sha256(came.body);
        if self.objects && came.values("x-amz-content-sha256") != digest {
            return Err("another body".to_owned());
        }
        let path = match self.objects {
            true => escaped(&unescaped(came.path, false), true),
            false => escaped(tidied(came.path).as_bytes(), true),
        };
        let fields = names.iter();
        let fields = fields.map(|name| format!("{name}:{}\n", came.values(name)));
        let canonical = format!(
            "{}\n{path}\n{}\n{}\n{signed}\n{digest}",
            came.method,
            sorted(came.query),
            fields.collect::<String>()
        );
        let key = mac(format!("AWS4{}", self.secret).as_bytes(), day);
        let key = [self.region, self.name, "aws4_request"]
            .iter()
            .fold(key, |key, part| mac(&key, part));
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
        match hex::encode(mac(&key, &text)) == signature {
            true => Ok(()),
            false => Err(format!("another signature, over {canonical}")),
        }
    }
}
