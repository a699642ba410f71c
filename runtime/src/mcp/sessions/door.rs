//! Which session a request belongs to, judged at the edge after its token.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use super::{ClientReply, InUse, Sessions};
use crate::identity::Caller;
use crate::mcp::line::EdgeRefusal;
use crate::mcp::message::{MODERN, version_of};

/// The header that carries an id (MCP 2025-11-25, transports, session management).
pub(in crate::mcp) const HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

/// An admitted request that the SDK never sees.
pub(in crate::mcp) enum OfSession {
    /// GET: opens the stream of the session.
    Listens(Arc<Caller>, InUse),
    /// DELETE: ends it.
    Ends(Arc<Caller>, InUse),
    /// POST of the client's answer to a question.
    Replies(InUse, String, ClientReply),
}

/// Where requests of sessions come in.
pub(in crate::mcp) struct Entrance<'a> {
    pub sessions: &'a Sessions,
    pub caller: &'a Arc<Caller>,
    pub headers: &'a HeaderMap,
}

impl Entrance<'_> {
    /// What a request without a body does in a session. None for POST; a method that nobody serves is refused.
    pub fn without_body(&self, method: &Method) -> Result<Option<OfSession>, EdgeRefusal> {
        let listens = match *method {
            Method::GET => true,
            Method::DELETE => false,
            _ => return Ok(None),
        };
        // Without a session there is nothing to listen to or to end. The revision without sessions ignores their header.
        if !self.headers.contains_key(HEADER) || version_of(self.headers)? == MODERN {
            return Err(EdgeRefusal::Method);
        }
        let session = self.named()?;
        self.check_version(&session)?;
        let caller = Arc::clone(self.caller);
        Ok(Some(match listens {
            true => OfSession::Listens(caller, session),
            false => OfSession::Ends(caller, session),
        }))
    }

    /// The session of a message with this method, if it names one. Every method is judged alike, `initialize` included.
    pub fn of_message(&self, method: &str) -> Result<Option<InUse>, EdgeRefusal> {
        let modern = self
            .headers
            .get("mcp-protocol-version")
            .is_some_and(|version| version == MODERN);
        if modern || !self.headers.contains_key(HEADER) {
            return Ok(None);
        }
        let session = self.named()?;
        // `initialize` is where the revision is agreed on anew.
        if method != "initialize" {
            self.check_version(&session)?;
        }
        Ok(Some(session))
    }

    /// What a body that is no request says to a question of the session that its headers name.
    pub fn reply(&self, body: &[u8]) -> Result<Option<OfSession>, EdgeRefusal> {
        if !self.headers.contains_key(HEADER) || version_of(self.headers)? == MODERN {
            return Ok(None);
        }
        let Some((id, reply)) = ClientReply::read(body) else {
            return Ok(None);
        };
        let session = self.named()?;
        self.check_version(&session)?;
        Ok(Some(OfSession::Replies(session, id, reply)))
    }

    /// The session that the headers name, among those of this caller.
    fn named(&self) -> Result<InUse, EdgeRefusal> {
        let mut ids = self.headers.get_all(HEADER).iter();
        let id = ids.next().filter(|_| ids.next().is_none());
        id.and_then(|id| id.to_str().ok())
            .and_then(|id| self.sessions.find(self.caller, id))
            .ok_or(EdgeRefusal::Session)
    }

    fn check_version(&self, session: &InUse) -> Result<(), EdgeRefusal> {
        match version_of(self.headers)? == session.version() {
            true => Ok(()),
            false => Err(EdgeRefusal::VersionHeader(
                "the header `MCP-Protocol-Version` differs from the revision of the session",
            )),
        }
    }
}
