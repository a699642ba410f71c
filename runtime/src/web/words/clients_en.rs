//! What clients are, in English.

use super::ClientWords;
use crate::clients::Unread;
use crate::store::ClientKind;

pub(super) const CLIENT: ClientWords = ClientWords {
    verified: "(this address is verified: what follows is what the client says of itself there)",
    calls_itself: ("It calls itself “", "”, which is not verified."),
    leads_back: ("Its sign-ins lead back to ", "."),
    named: "(the operator of this server knows it by this name)",
    registered: "(your identity provider knows it under this name; what it is cannot be verified here)",
    unread,
    changed: |day| {
        format!("This client is not what it was when you agreed to something through it on {day}.")
    },
    changed_kind: |before, after| match (before, after) {
        (ClientKind::MetadataDocument, ClientKind::Registered) => {
            Some(" What it said of itself then cannot be read now.")
        }
        (ClientKind::Registered, ClientKind::MetadataDocument) => {
            Some(" What it says of itself could not be read then.")
        }
        (ClientKind::PreRegistered, ClientKind::MetadataDocument | ClientKind::Registered) => {
            Some(" The operator of this server knew it by name then, and does not now.")
        }
        (ClientKind::MetadataDocument | ClientKind::Registered, ClientKind::PreRegistered) => {
            Some(" The operator of this server knows it by name now.")
        }
        (ClientKind::MetadataDocument, ClientKind::MetadataDocument)
        | (ClientKind::PreRegistered, ClientKind::PreRegistered)
        | (ClientKind::Registered, ClientKind::Registered) => None,
    },
    changed_hosts: |before, after| {
        format!(" Its sign-ins led back to {before} then, and lead back to {after} now.")
    },
    changed_name: |before, after| {
        format!(" It was called “{before}” then, and is called “{after}” now.")
    },
    changed_otherwise: " Something else that it says of itself is different.",
    went_on: "The client has changed since; this goes on as it was",
};

fn unread(why: Unread) -> &'static str {
    match why {
        Unread::PlainText => {
            "(its address is not https, so nothing was read there; what it is cannot be verified here)"
        }
        Unread::Address => {
            "(its id is no address of the form that is read; what it is cannot be verified here)"
        }
        Unread::Off => {
            "(this server does not read what clients say of themselves; what it is cannot be verified here)"
        }
        Unread::Busy => {
            "What this client says of itself was not read, since too many clients ask right now. Only its address is known, and who is behind it is not verified."
        }
        Unread::Refused
        | Unread::Unproven
        | Unread::TooSlow
        | Unread::Broken
        | Unread::Missing
        | Unread::Status => {
            "What this client says of itself could not be read: its address does not answer as it should. Only the address is known, and who is behind it is not verified."
        }
        Unread::TooLarge
        | Unread::Redirect
        | Unread::NotJson
        | Unread::Duplicate
        | Unread::OtherClient
        | Unread::Malformed => {
            "What stands at the address of this client does not describe it as it must. Only the address is known, and who is behind it is not verified."
        }
    }
}
