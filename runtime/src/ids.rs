//! Names and digests that mean something, parsed once at the edge.
//!
//! Past `mcp` and `config` no bare string names a tool, a user or a client.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize, Serializer};

/// Longest issuer, subject, client or tenant that a token may carry, in bytes.
/// OpenID Connect Core §2 caps `sub` at 255; issuers are URLs of similar size.
pub const IDENTIFIER_BYTES_MAX: usize = 512;

/// Longest tool name, in characters: the stricter bound of the public conformance suite.
pub const TOOL_NAME_CHARS_MAX: usize = 64;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty { what: &'static str },
    /// Longer than its bound.
    #[error("{what} has {found} bytes; at most {max} are allowed")]
    TooLong {
        what: &'static str,
        found: usize,
        max: usize,
    },
    /// Holds a character outside its alphabet.
    #[error("{what} holds a character that is not allowed; use {alphabet}")]
    Character {
        what: &'static str,
        alphabet: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $alphabet:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(NameError::Empty { what: $what });
                }
                if text.len() > $max {
                    return Err(NameError::TooLong { what: $what, found: text.len(), max: $max });
                }
                if !text.chars().all(allowed) {
                    return Err(NameError::Character { what: $what, alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", &*self.0)
            }
        }
    };
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn visible(c: char) -> bool {
    !c.is_control() && !c.is_whitespace()
}

name!(
    /// The MCP name of a tool, and the name of a package.
    ToolName, "the tool name", TOOL_NAME_CHARS_MAX, "1 to 64 of `A-Z a-z 0-9 _ . -`", plain
);
name!(
    /// Who publishes a tool, as its manifest says.
    Publisher, "the publisher", 128, "visible characters without spaces", visible
);
name!(
    /// The name under which an operator binds a directory.
    MountName, "the mount name", 64, "1 to 64 of `A-Z a-z 0-9 _ . -`", plain
);
name!(
    /// The name under which an operator binds a store of keys and values.
    StoreName, "the store name", 64, "1 to 64 of `A-Z a-z 0-9 _ . -`", plain
);
name!(
    /// The name under which an operator binds a secret.
    SecretName, "the secret name", 64, "1 to 64 of `A-Z a-z 0-9 _ . -`", plain
);
name!(
    /// The key under which an operator sets a value for a package.
    ConfigKey, "the configuration key", 128, "1 to 128 of `A-Z a-z 0-9 _ . -`", plain
);
name!(
    /// `iss` of a token, compared byte by byte.
    Issuer, "the issuer", IDENTIFIER_BYTES_MAX, "visible characters without spaces", visible
);
name!(
    /// `sub` of a token: a user within one issuer.
    Subject, "the subject", IDENTIFIER_BYTES_MAX, "characters other than control characters", |c| !c.is_control()
);
name!(
    /// The OAuth client that the caller uses.
    ClientId, "the client id", IDENTIFIER_BYTES_MAX, "characters other than control characters", |c| !c.is_control()
);
name!(
    /// The isolation key: nothing is shared between two tenants.
    Tenant, "the tenant", IDENTIFIER_BYTES_MAX, "characters other than control characters", |c| !c.is_control()
);

/// A user: the pair of RFC 7519 `iss` and `sub`, never an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct User {
    /// Who vouches for the user.
    pub issuer: Issuer,
    /// The user's name at that issuer.
    pub subject: Subject,
}

/// A user in a tenant: whose a record is. The same user in another tenant is somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantUser {
    /// The isolation key.
    pub tenant: Tenant,
    /// The user.
    pub user: User,
}

/// SHA-256 of something, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

/// Thirty-two bytes that were a digest before.
impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A record of the audit log holds a dozen digests; digit by digit they would take a tenth of its time.
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        out.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// A text is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is written as 64 hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_name_is_1_to_64_of_a_small_alphabet() {
        assert!("a".parse::<ToolName>().is_ok());
        assert!("whoami-admin_2.x".parse::<ToolName>().is_ok());
        assert!("a".repeat(64).parse::<ToolName>().is_ok());
        assert!("a".repeat(65).parse::<ToolName>().is_err());
        for bad in ["", "a b", "a/b", "é", "a\n"] {
            assert!(bad.parse::<ToolName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_survives_its_own_text() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(
            digest.to_string(),
            "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        );
        assert_eq!(Digest::from(*digest.as_bytes()), digest);
        assert_eq!("zz".parse::<Digest>(), Err(DigestError));
    }
}
