//! The one text of a capability, which consent records and the audit log hold.

use std::fmt;
use std::str::FromStr;

use super::parts::host_and_port;
use super::{
    Capability, CapabilityError, Deliver, Files, Http, HttpBudget, KeyPrefix, Kind, Kv, Reveal,
    Secret,
};

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => {
                write!(out, "http {} {}", http.methods, http.host)?;
                if let Some(port) = http.port {
                    write!(out, ":{port}")?;
                }
                write!(out, " {}", http.path)?;
                if http.budget.is_whole() {
                    Ok(())
                } else {
                    write!(out, " {}", http.budget)
                }
            }
            Self::Files(files) => {
                write!(out, "files {} {}", files.access, files.mount)?;
                if files.path.is_whole() {
                    Ok(())
                } else {
                    write!(out, " {}", files.path)
                }
            }
            Self::Clock => out.write_str("clock"),
            Self::Progress => out.write_str("progress"),
            Self::Data(class) => write!(out, "data {class}"),
            Self::Ask => out.write_str("ask"),
            Self::Kv(kv) => {
                write!(out, "kv {} {}", kv.access, kv.store)?;
                if kv.prefix.is_whole() {
                    Ok(())
                } else {
                    write!(out, " {}", kv.prefix)
                }
            }
            Self::Config(key) => write!(out, "config {key}"),
            Self::Secret(secret) => {
                write!(out, "secret {} {} {}", secret.name, secret.at, secret.form)
            }
            Self::Call(tool) => write!(out, "call {tool}"),
            Self::Claims(claim) => write!(out, "claims {claim}"),
            Self::Reveal(reveal) => write!(out, "reveal {reveal}"),
            Self::Deliver(deliver) => write!(out, "deliver {deliver}"),
        }
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        const HTTP: &str = "http METHOD[,METHOD] HOST[:PORT] /PATH [requests=N] [send=BYTES] [receive=BYTES] [ms=N] [parallel=N]";
        const FILES: &str = "files read|write MOUNT [PATH]";
        const DATA: &str = "data CLASS";
        const KV: &str = "kv read|write STORE [PREFIX]";
        const CONFIG: &str = "config KEY";
        const SECRET: &str =
            "secret NAME HOST[:PORT] bearer|basic|header NAME|query NAME|aws-sigv4";
        const CALL: &str = "call TOOL";
        const CLAIMS: &str = "claims NAME";
        const REVEAL: &str = "reveal CLASS [TOOL:/PLACE]";
        const DELIVER: &str = "deliver HOST[:PORT] CLASS [TOOL:/PLACE]";
        let mut words = text.split(' ');
        let kind: Kind = words.next().unwrap_or_default().parse()?;
        let capability = match kind {
            Kind::Http => {
                let methods = words.next().ok_or(CapabilityError::Shape(HTTP))?.parse()?;
                let place = words.next().ok_or(CapabilityError::Shape(HTTP))?;
                let path = words.next().ok_or(CapabilityError::Shape(HTTP))?.parse()?;
                let (host, port) = host_and_port(place)?;
                let budget = Box::new(HttpBudget::of_words(words.by_ref())?);
                Self::Http(Http {
                    methods,
                    host,
                    port,
                    path,
                    budget,
                })
            }
            Kind::Files => {
                let access = words.next().ok_or(CapabilityError::Shape(FILES))?.parse()?;
                let mount = words.next().ok_or(CapabilityError::Shape(FILES))?.parse()?;
                // A path may hold spaces; it is all that is left.
                let path = words.by_ref().collect::<Vec<_>>().join(" ").parse()?;
                Self::Files(Files {
                    mount,
                    access,
                    path,
                })
            }
            Kind::Clock => Self::Clock,
            Kind::Progress => Self::Progress,
            Kind::Data => Self::Data(words.next().ok_or(CapabilityError::Shape(DATA))?.parse()?),
            Kind::Ask => Self::Ask,
            Kind::Kv => {
                let access = words.next().ok_or(CapabilityError::Shape(KV))?.parse()?;
                let store = words.next().ok_or(CapabilityError::Shape(KV))?.parse()?;
                // Not written where it is every key, so that a capability has one text.
                let prefix = match words.next() {
                    Some("") => return Err(CapabilityError::Shape(KV)),
                    Some(prefix) => prefix.parse()?,
                    None => KeyPrefix::default(),
                };
                Self::Kv(Kv {
                    store,
                    access,
                    prefix,
                })
            }
            Kind::Config => Self::Config(
                words
                    .next()
                    .ok_or(CapabilityError::Shape(CONFIG))?
                    .parse()?,
            ),
            Kind::Secret => {
                let name = words
                    .next()
                    .ok_or(CapabilityError::Shape(SECRET))?
                    .parse()?;
                let at = words
                    .next()
                    .ok_or(CapabilityError::Shape(SECRET))?
                    .parse()?;
                // The form is all that is left, and no form is empty.
                let form = words.by_ref().collect::<Vec<_>>().join(" ").parse()?;
                Self::Secret(Secret { name, at, form })
            }
            Kind::Call => Self::Call(words.next().ok_or(CapabilityError::Shape(CALL))?.parse()?),
            Kind::Claims => {
                let claim = words.next().ok_or(CapabilityError::Shape(CLAIMS))?;
                Self::Claims(claim.parse()?)
            }
            Kind::Reveal => {
                let class = words
                    .next()
                    .ok_or(CapabilityError::Shape(REVEAL))?
                    .parse()?;
                let field = words.next().map(str::parse).transpose()?;
                Self::Reveal(Reveal { class, field })
            }
            Kind::Deliver => {
                let mut word = || words.next().ok_or(CapabilityError::Shape(DELIVER));
                let (at, class) = (word()?.parse()?, word()?.parse()?);
                let field = words.next().map(str::parse).transpose()?;
                let what = Reveal { class, field };
                Self::Deliver(Deliver { what, at })
            }
        };
        match words.next() {
            None => Ok(capability),
            Some(_) => Err(CapabilityError::Shape(
                "the kind and its parts, nothing after them",
            )),
        }
    }
}

impl TryFrom<String> for Capability {
    type Error = CapabilityError;

    fn try_from(text: String) -> Result<Self, CapabilityError> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> String {
        capability.to_string()
    }
}
