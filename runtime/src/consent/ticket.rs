//! The name of a question: 256 bits that nobody can guess, kept as a hash.
//!
//! A ticket gives no right. Whoever opens a question must sign in as the user whom it is for.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::Digest;

/// Bytes of a ticket.
const BYTES: usize = 32;

/// The name of a question, as it stands in its URL.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketId(String);

/// A text is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("that is not the name of a question")]
pub struct NotATicket;

impl TicketId {
    /// The ticket of this nonce. Derived, so that a question that is asked again has the same URL although only the
    /// hash of its ticket is kept.
    pub(super) fn derive(key: &hmac::Key, nonce: &[u8; 16]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(hmac::sign(key, nonce)))
    }

    /// What is kept of it, and what the audit log names it by.
    pub fn hash(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// The ticket as it stands in its URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its question is asked, below our public URL.
    pub fn path(&self) -> String {
        format!("/consent/{}", self.0)
    }
}

impl FromStr for TicketId {
    type Err = NotATicket;

    fn from_str(text: &str) -> Result<Self, NotATicket> {
        // One spelling per ticket: the decoder refuses padding and stray bits at the end.
        let mut bytes = [0; BYTES];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(BYTES) => Ok(Self(text.to_owned())),
            Ok(_) | Err(_) => Err(NotATicket),
        }
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TicketId({}…)", self.hash().short())
    }
}
