//! Where a sign-in leads: to one of our own pages, never to an address of somebody's choice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::consent::TicketId;

/// A page of ours that needs a sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) enum Next {
    /// One's own consents.
    Consents,
    /// What became of one's own decisions.
    History,
    /// A question.
    Question(TicketId),
}

/// A text is no such page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sign-in leads to a page of ours alone")]
pub(super) struct NotOurs;

impl FromStr for Next {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        match text {
            "/consents" => return Ok(Self::Consents),
            "/consents/history" => return Ok(Self::History),
            _ => {}
        }
        let ticket = text.strip_prefix("/consent/").ok_or(NotOurs)?;
        ticket.parse().map(Self::Question).map_err(|_| NotOurs)
    }
}

impl fmt::Display for Next {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consents => out.write_str("/consents"),
            Self::History => out.write_str("/consents/history"),
            Self::Question(ticket) => out.write_str(&ticket.path()),
        }
    }
}

impl TryFrom<String> for Next {
    type Error = NotOurs;

    fn try_from(text: String) -> Result<Self, NotOurs> {
        text.parse()
    }
}

impl From<Next> for String {
    fn from(next: Next) -> String {
        next.to_string()
    }
}

/// The address of the sign-in that leads to this page. `fresh` asks the issuer to have the user prove who they are again.
pub(super) fn sign_in(next: &Next, fresh: bool) -> String {
    let again = if fresh { "&fresh=1" } else { "" };
    format!("/sign-in?next={next}{again}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_our_own_pages() {
        let question = format!("/consent/{}", "A".repeat(43));
        for ours in ["/consents", "/consents/history", &question] {
            assert_eq!(ours.parse::<Next>().unwrap().to_string(), ours);
        }
    }

    #[test]
    fn a_sign_in_leads_nowhere_else() {
        let ticket = "A".repeat(43);
        for bad in [
            "",
            "/",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "https://evil.test",
            "https:/consents",
            "javascript:alert(1)",
            "/consents/",
            "/consents?x",
            "/consents/history?before=x",
            "/consents#x",
            " /consents",
            "/consents\n",
            "/sign-out",
            "/consent/",
            "/consent/..",
            "/consent/%2e%2e",
            &format!("/consent/{ticket}/"),
            &format!("/consent/{ticket}?x=1"),
            &format!("/consent/{ticket}@evil.test"),
            &format!("//consent/{ticket}"),
            &format!("/consent//{ticket}"),
        ] {
            assert!(bad.parse::<Next>().is_err(), "{bad:?}");
        }
    }
}
