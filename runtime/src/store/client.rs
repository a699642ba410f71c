//! What a record says of the client through which something was decided, and what such clients said of themselves.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::Digest;

/// How well a client was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// Its id is the address of a document, and that was read.
    MetadataDocument,
    /// The operator vouched for it by name.
    PreRegistered,
    /// To its issuer alone.
    Registered,
}

/// What was known of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// How well.
    pub kind: ClientKind,
    /// Where its sign-ins lead back to, in order; nowhere that is known without a document.
    pub redirect_hosts: Vec<String>,
    /// SHA-256 of the canonical JSON of what it said of itself, or of what the operator said of it.
    pub metadata: Option<Digest>,
}

/// What a client is since a consent was given, where that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenClient {
    /// Since when.
    pub at: Timestamp,
    /// What.
    pub facts: ClientFacts,
}

/// What a client said of itself, to be kept beside a digest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientText {
    /// SHA-256 of the text.
    pub digest: Digest,
    /// Canonical JSON.
    pub text: String,
}
