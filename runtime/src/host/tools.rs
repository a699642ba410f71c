//! Calls of other tools: handed out of the sandbox to whoever can make them, and waited for.
//!
//! Scope, limit, act, record. Nothing here knows what a call needs: it is made elsewhere, as any other call is, and comes back as
//! a reply, as an error, or as word that this run ends.

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::deliver::Courier;
use super::meter::Meter;
use crate::ids::ToolName;
use crate::limits::{ARGUMENTS_DEPTH_MAX, CALL_ARGUMENTS_BYTES_MAX};
use crate::revocation::Live;
use crate::sandbox::{Effect, Reply};

/// Why another tool has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It may not be called so; why is not told.
    #[error("the tool may not be called")]
    Denied,
    /// It cannot be called now.
    #[error("the tool cannot be called now")]
    Unavailable,
    /// The arguments are not as they must be.
    #[error("{0}")]
    InvalidArguments(String),
    /// Too many calls lie in each other.
    #[error("too many calls lie in each other")]
    TooDeep,
    /// All calls that belong together have called as often as they may.
    #[error("no further call of a tool can be made")]
    TooMany,
    /// The tool waits for this very call.
    #[error("the tool waits for this call")]
    Cycle,
    /// The user would have to be asked, and it is too late for that.
    #[error("the user has to agree first, and cannot be asked any more")]
    NeedsConsent,
    /// It has no reply.
    #[error("{0}")]
    Failed(String),
}

/// A call on its way out.
#[derive(Debug)]
pub struct Request {
    /// Which tool.
    pub tool: ToolName,
    /// Its arguments, not yet checked.
    pub arguments: Map<String, Value>,
    /// Whether the run that asks for it has had an effect outside.
    pub acted: bool,
    /// Where it is answered. Closed when nobody waits any more.
    pub answer: oneshot::Sender<Answered>,
}

/// What came of it.
#[derive(Debug)]
pub enum Answered {
    /// It was made, or refused.
    Made {
        /// The reply, or why there is none.
        outcome: Result<Reply, CallError>,
        /// Whether something had an effect outside.
        acted: bool,
    },
    /// The user has to be asked first; the run that wanted it ends.
    Ends,
}

/// Where calls are handed out. One is made at a time, for a guest waits for it.
pub type Desk = mpsc::Sender<Request>;

/// A desk, and where calls handed out there are taken.
pub fn desk() -> (Desk, mpsc::Receiver<Request>) {
    mpsc::channel(1)
}

/// Why a call has no answer in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmade {
    /// It was not made, or made in vain; the run goes on.
    Refused(CallError),
    /// The run ends here.
    Ends,
}

impl From<CallError> for Unmade {
    fn from(error: CallError) -> Self {
        Self::Refused(error)
    }
}

/// The calls of one run.
#[derive(Debug)]
pub struct Calls {
    scopes: Vec<(ToolName, Live)>,
    desk: Option<Desk>,
    meter: Meter,
    /// What delivers values for this run; none where nothing may be.
    courier: Option<Courier>,
}

impl Calls {
    /// Calls of these tools, each for as long as what stands behind it lives.
    pub fn new(scopes: Vec<(ToolName, Live)>, desk: Option<Desk>, meter: Meter) -> Self {
        Self {
            scopes,
            desk,
            meter,
            courier: None,
        }
    }

    /// The same, as long as nothing was delivered: the host that got it could show it to another tool, whose answers are searched
    /// for nothing of this call.
    pub fn before(mut self, courier: Option<Courier>) -> Self {
        self.courier = courier;
        self
    }

    /// Makes one call.
    pub async fn call(&self, name: &str, arguments: &str) -> Result<Reply, Unmade> {
        // scope
        let scope = self.scopes.iter().find(|(tool, _)| tool.as_str() == name);
        let Some((tool, live)) = scope.filter(|(_, live)| !live.is_revoked()) else {
            // A guest may invent names; none of its inventions gets into a record.
            self.record("call (refused)", true, 0, 0);
            return Err(CallError::Denied.into());
        };
        let effect = format!("call {tool}");
        if self.courier.as_ref().is_some_and(Courier::has_begun) {
            self.record(&effect, true, 0, 0);
            return Err(CallError::Denied.into());
        }
        // limit
        let read = match read(arguments) {
            Ok(read) => read,
            Err(error) => {
                self.record(&effect, true, 0, 0);
                return Err(error.into());
            }
        };
        // act
        let made = live.guard(self.hand_out(tool, read)).await;
        let made = made.unwrap_or_else(|_| {
            // What the other tool has done until now is done.
            self.meter.act();
            Err(CallError::Denied.into())
        });
        // record: sizes, not values
        match &made {
            Ok(reply) => self.record(&effect, false, arguments.len(), bytes(reply)),
            Err(Unmade::Ends) => self.record(&effect, false, 0, 0),
            Err(Unmade::Refused(_)) => self.record(&effect, true, arguments.len(), 0),
        }
        made
    }

    async fn hand_out(
        &self,
        tool: &ToolName,
        arguments: Map<String, Value>,
    ) -> Result<Reply, Unmade> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            tool: tool.clone(),
            arguments,
            acted: self.meter.has_acted(),
            answer,
        };
        let desk = self.desk.as_ref().ok_or(CallError::Unavailable)?;
        let sent = desk.send(request).await;
        sent.map_err(|_| CallError::Unavailable)?;
        match answered.await {
            Ok(Answered::Made { outcome, acted }) => {
                // What the other call did was done for this one: it cannot begin again.
                if acted {
                    self.meter.act();
                }
                outcome.map_err(Unmade::Refused)
            }
            Ok(Answered::Ends) => Err(Unmade::Ends),
            Err(_) => Err(CallError::Unavailable.into()),
        }
    }

    fn record(&self, effect: &str, refused: bool, sent: usize, received: usize) {
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.meter.note(
            effect.to_owned(),
            Effect {
                count: 1,
                refused: u64::from(refused),
                bytes_out: size(sent),
                bytes_in: size(received),
            },
        );
    }
}

fn read(arguments: &str) -> Result<Map<String, Value>, CallError> {
    let invalid = |why: String| Err(CallError::InvalidArguments(why));
    if arguments.len() > CALL_ARGUMENTS_BYTES_MAX {
        return invalid(format!(
            "the arguments have more than {CALL_ARGUMENTS_BYTES_MAX} bytes"
        ));
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(read)) if read.values().all(|value| is_flat(value, 2)) => Ok(read),
        Ok(Value::Object(_)) => invalid(format!(
            "the arguments are nested deeper than {ARGUMENTS_DEPTH_MAX} levels"
        )),
        Ok(_) | Err(_) => invalid("the arguments are not the text of one JSON object".to_owned()),
    }
}

/// Whether a value at this depth ends before the deepest one. JSON is read no deeper than 128 levels.
fn is_flat(value: &Value, depth: usize) -> bool {
    let inner = depth.saturating_add(1);
    match value {
        Value::Array(items) => {
            depth <= ARGUMENTS_DEPTH_MAX && items.iter().all(|item| is_flat(item, inner))
        }
        Value::Object(members) => {
            depth <= ARGUMENTS_DEPTH_MAX && members.values().all(|item| is_flat(item, inner))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn bytes(reply: &Reply) -> usize {
    use crate::sandbox::{Body, Content};
    let blocks = reply.content.iter().map(|block| match block {
        Content::Text(text) => text.len(),
        Content::Image { data, .. } | Content::Audio { data, .. } => data.len(),
        Content::Link { uri, .. } => uri.len(),
        Content::Resource { body, .. } => match body {
            Body::Text(text) => text.len(),
            Body::Blob(blob) => blob.len(),
        },
    });
    blocks.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(live: Live) -> (Calls, mpsc::Receiver<Request>, Meter) {
        let (desk, taken) = desk();
        let meter = Meter::default();
        let scopes = vec![("fetch".parse().unwrap(), live)];
        (Calls::new(scopes, Some(desk), meter.clone()), taken, meter)
    }

    async fn refused(calls: &Calls, name: &str, arguments: &str) -> CallError {
        match calls.call(name, arguments).await {
            Err(Unmade::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_a_granted_tool_is_called_and_nobody_hears_of_another() {
        let (calls, mut taken, meter) = calls(Live::free());
        for name in ["memory", "Fetch", "fetch ", "", "../fetch", "fetch\0"] {
            assert_eq!(refused(&calls, name, "{}").await, CallError::Denied);
        }
        assert!(taken.try_recv().is_err());
        assert_eq!(meter.snapshot()["call (refused)"].refused, 6);
        let answered = tokio::spawn(async move {
            let request = taken.recv().await.unwrap();
            assert_eq!(request.tool.as_str(), "fetch");
            let outcome = Ok(Reply::default());
            let made = Answered::Made {
                outcome,
                acted: true,
            };
            request.answer.send(made).unwrap();
        });
        assert_eq!(calls.call("fetch", "{}").await, Ok(Reply::default()));
        answered.await.unwrap();
        assert!(meter.has_acted(), "what was done for it, it has done");
    }

    #[tokio::test]
    async fn arguments_that_are_no_bounded_object_go_nowhere() {
        let (calls, mut taken, _) = calls(Live::free());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(64), "]".repeat(64));
        let large = format!("{{\"a\":\"{}\"}}", "a".repeat(CALL_ARGUMENTS_BYTES_MAX));
        for arguments in ["", "[]", "1", "{", "{} {}", &deep, &large] {
            let error = refused(&calls, "fetch", arguments).await;
            assert!(matches!(error, CallError::InvalidArguments(_)), "{error:?}");
        }
        assert!(taken.try_recv().is_err());
        let last = format!("{{\"a\":{}1{}}}", "[".repeat(63), "]".repeat(63));
        assert!(read(&last).is_ok());
    }

    #[tokio::test]
    async fn without_anybody_who_makes_calls_there_are_none() {
        let scopes = vec![("fetch".parse().unwrap(), Live::free())];
        let calls = Calls::new(scopes, None, Meter::default());
        assert_eq!(refused(&calls, "fetch", "{}").await, CallError::Unavailable);
    }
}
