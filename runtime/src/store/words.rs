//! The words by which states stand in the database, in records and in the audit log.

use std::str::FromStr;

use super::seals::{KeyState, Purpose};
use super::{Channel, ClientKind, ConsentState, Ender, Scope, TicketState};

/// A word is none of those that stand for a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no state of ours")]
pub struct UnknownWord(String);

macro_rules! words {
    ($type:ty { $($value:ident = $word:literal),+ }) => {
        impl $type {
            /// The word for it in the state and in the audit log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(UnknownWord(text.to_owned())),
                }
            }
        }
    };
}

words!(Scope { Once = "once", Session = "session", Until = "until" });
words!(Channel { Page = "page", Operator = "operator" });
words!(ConsentState {
    Active = "active",
    Denied = "denied",
    Consumed = "consumed",
    Revoked = "revoked",
    Superseded = "superseded",
    Suspended = "suspended"
});
words!(Ender {
    User = "user",
    Operator = "operator",
    Publisher = "publisher",
    SignOut = "sign-out",
    Client = "client",
    ClientGone = "client-gone"
});
words!(TicketState {
    Open = "open",
    Allowed = "allowed",
    Denied = "denied",
    Expired = "expired"
});
words!(ClientKind {
    MetadataDocument = "metadata-document",
    PreRegistered = "pre-registered",
    Registered = "registered"
});
words!(Purpose { Value = "value", Equality = "equality" });
words!(KeyState { Active = "active", Retired = "retired", Erased = "erased" });
