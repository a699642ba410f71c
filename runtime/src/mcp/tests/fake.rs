//! A line that runs nothing: its tools are named after what they answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use url::Url;
use uuid::Uuid;

use super::super::line::{Pending, Progress, SessionTurned};
use super::super::{
    Answer, Call, EdgeRefusal, Era, Line, Listed, NotScoped, NotVerified, Operation, RequestFacts,
    Said, WeakSignIn,
};
use super::listed;
use crate::consent::TicketId;
use crate::dialogue::Reply;
use crate::identity::{Caller, Credentials, testing, token};
use crate::sandbox::{self, Content};

/// What the line was asked to run.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mcp) struct Ran {
    pub tool: String,
    pub user: String,
    pub era: Era,
    pub can_open_urls: bool,
    pub can_show_forms: bool,
    pub request_state: Option<String>,
    pub said: Option<Said>,
    pub replied: Option<Reply>,
    pub traceparent: Option<String>,
    pub has_progress: bool,
}

/// A line whose tools are named after what they answer.
pub(in crate::mcp) struct FakeLine {
    pub tools: Mutex<Vec<Listed>>,
    pub changed: watch::Sender<u64>,
    pub ran: Mutex<Vec<Ran>>,
    pub edge: Mutex<Vec<&'static str>>,
    pub keys_are_gone: AtomicBool,
    pub is_full: AtomicBool,
    pub wants_nonce: AtomicBool,
    pub consented: AtomicBool,
    pub started: Notify,
    pub cancelled: Notify,
    pub flooded: Notify,
    pub breaks: AtomicBool,
}

impl FakeLine {
    pub fn new() -> Arc<Self> {
        let names = ["echo", "structured", "list", "ask", "progress", "admin"];
        Arc::new(Self {
            tools: Mutex::new(names.iter().map(|name| listed(name)).collect()),
            changed: watch::channel(0).0,
            ran: Mutex::default(),
            edge: Mutex::default(),
            keys_are_gone: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            wants_nonce: AtomicBool::new(false),
            consented: AtomicBool::new(false),
            started: Notify::new(),
            cancelled: Notify::new(),
            flooded: Notify::new(),
            breaks: AtomicBool::new(false),
        })
    }

    pub fn ran(&self) -> Vec<Ran> {
        self.ran.lock().unwrap().clone()
    }

    pub fn edge(&self) -> Vec<&'static str> {
        self.edge.lock().unwrap().clone()
    }

    pub fn add(&self, tool: Listed) {
        self.tools.lock().unwrap().push(tool);
        self.changed.send_modify(|count| *count += 1);
    }

    async fn answer(&self, call: Call) -> Answer {
        let text = |text: &str| {
            Answer::Reply(sandbox::Reply {
                content: vec![Content::Text(text.to_owned())],
                structured: None,
                masked: Default::default(),
                encrypted: Default::default(),
                marked: 0,
            })
        };
        let structured = |value: Value| {
            Answer::Reply(sandbox::Reply {
                content: vec![],
                structured: Some(value),
                masked: Default::default(),
                encrypted: Default::default(),
                marked: 0,
            })
        };
        let needed = vec!["tools:call".to_owned(), "late:write".to_owned()];
        match call.tool.as_str() {
            "echo" => text(&Value::Object(call.arguments.into_exposed()).to_string()),
            "structured" => structured(json!({"n": 1})),
            "list" => structured(json!([1, 2])),
            "fails" => Answer::ToolError("`city` is missing\u{1b}[31m".to_owned()),
            "denied" => Answer::Denied,
            "late" => Answer::NotScoped(NotScoped { needed }),
            "late_stream" => {
                step(&call, 1.0).await;
                Answer::NotScoped(NotScoped { needed })
            }
            "weak" => Answer::WeakSignIn(WeakSignIn {
                acr_values: ["silver", "gold", "two words", "a\"b"]
                    .map(str::to_owned)
                    .to_vec(),
                max_age_secs: Some(300),
                needed,
            }),
            "stale_stream" => {
                step(&call, 1.0).await;
                Answer::WeakSignIn(WeakSignIn {
                    acr_values: Vec::new(),
                    max_age_secs: Some(300),
                    needed,
                })
            }
            "busy" => Answer::Busy,
            "unavailable" => Answer::Unavailable { id: Uuid::nil() },
            "fault" => Answer::Fault { id: Uuid::nil() },
            "panics" => panic!("the line broke"),
            "progress" => {
                for at in [1.0, 3.0, 2.0, 3.0, 4.0] {
                    step(&call, at).await;
                }
                text("done")
            }
            "flood" => {
                // Far more than any stream holds: only a reader lets this end, or the end of the call.
                for at in 0..10_000 {
                    if let Some(progress) = &call.progress {
                        let _ = progress.try_send(Progress {
                            progress: f64::from(at),
                            total: None,
                            message: Some("x".repeat(64 * 1024)),
                        });
                    }
                    tokio::task::yield_now().await;
                }
                self.flooded.notify_one();
                text("flooded")
            }
            "waits" => {
                self.started.notify_one();
                call.cancel.cancelled().await;
                self.cancelled.notify_one();
                Answer::Cancelled
            }
            "ask" => match call.request_state.as_deref() {
                _ if matches!(call.said, Some(Said::Declined | Said::Cancelled)) => {
                    Answer::ToolError("the user declined".to_owned())
                }
                Some("sealed") if self.consented.load(Ordering::SeqCst) => text("agreed"),
                _ => Answer::ConsentNeeded {
                    url: Url::parse("https://mcp.test/consent/t1").unwrap(),
                    message: "Notes wants to write".to_owned(),
                    state: "sealed".to_owned(),
                    ticket: "A".repeat(43).parse().unwrap(),
                },
            },
            // Asks twice, and tells what it was answered.
            "form" => {
                step(&call, 1.0).await;
                let form = |state: &str| Answer::FormNeeded {
                    message: format!("“Notes” (form) asks: {state}\u{1b}[31m?"),
                    schema: FORM.to_owned(),
                    state: state.to_owned(),
                };
                match (call.request_state.as_deref(), &call.replied) {
                    (None, _) => form("first"),
                    (Some("first"), Some(_)) => form("second"),
                    (Some("second"), Some(reply)) => {
                        step(&call, 2.0).await;
                        text(match reply {
                            Reply::Submitted(_) => "submitted",
                            Reply::Declined => "declined",
                            Reply::Cancelled => "cancelled",
                        })
                    }
                    (Some(state), _) => form(state),
                }
            }
            _ => Answer::UnknownTool,
        }
    }
}

/// A form of a tool, whose fields are not in the order of their names.
pub(in crate::mcp) const FORM: &str = r#"{"type":"object","properties":{"note":{"type":"string","title":"Note"},"age":{"type":"integer","minimum":0}},"required":["note"]}"#;

async fn step(call: &Call, progress: f64) {
    if let Some(sender) = &call.progress {
        let step = Progress {
            progress,
            total: Some(4.0),
            message: Some(format!("at {progress}\u{7}")),
        };
        sender.send(step).await.unwrap();
    }
}

impl Line for FakeLine {
    fn verify(
        &self,
        credentials: Credentials,
        _request: RequestFacts,
    ) -> Pending<'_, Result<Arc<Caller>, NotVerified>> {
        Box::pin(async move {
            if self.keys_are_gone.load(Ordering::SeqCst) {
                return Err(NotVerified::Unavailable);
            }
            if self.wants_nonce.load(Ordering::SeqCst) {
                return Err(NotVerified::NoNonce);
            }
            let token = credentials.token();
            token::verify(token, &testing::issuer(), &testing::keys(), testing::NOW)
                .map(Arc::new)
                .map_err(|error| error.public().into())
        })
    }

    fn proof_nonce(&self) -> Option<String> {
        let wanted = self.wants_nonce.load(Ordering::SeqCst);
        wanted.then(|| "nonce-1".to_owned())
    }

    fn check_scopes(&self, caller: &Caller, operation: &Operation) -> Result<(), NotScoped> {
        assert!(operation.method != "breaks", "the scopes broke");
        let mut needed = vec!["tools:call".to_owned()];
        if operation.tool.as_ref().map(|tool| tool.as_str()) == Some("admin") {
            needed.push("tools:admin".to_owned());
        }
        match needed.iter().all(|scope| caller.scopes().contains(scope)) {
            true => Ok(()),
            false => Err(NotScoped { needed }),
        }
    }

    fn turns_away(&self, _caller: &Caller) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }

    fn header_schema(&self, caller: &Caller, tool: &str) -> Option<Arc<Map<String, Value>>> {
        let listed = self
            .list(caller)
            .into_iter()
            .find(|listed| listed.name.as_str() == tool)?;
        Some(listed.input_schema)
    }

    fn list(&self, caller: &Caller) -> Vec<Listed> {
        assert!(!self.breaks.load(Ordering::SeqCst), "the list broke");
        let tools = self.tools.lock().unwrap();
        let is_admin = caller.roles().contains("admin");
        tools
            .iter()
            .filter(|tool| is_admin || tool.name.as_str() != "admin")
            .cloned()
            .collect()
    }

    fn call(&self, call: Call, caller: Arc<Caller>) -> Pending<'_, Answer> {
        Box::pin(async move {
            self.ran.lock().unwrap().push(Ran {
                tool: call.tool.to_string(),
                user: caller.user().subject.to_string(),
                era: call.era,
                can_open_urls: call.can_open_urls,
                can_show_forms: call.can_show_forms,
                request_state: call.request_state.clone(),
                said: call.said,
                replied: call.replied.clone(),
                traceparent: call.traceparent.clone(),
                has_progress: call.progress.is_some(),
            });
            self.answer(call).await
        })
    }

    fn is_open_question<'a>(
        &'a self,
        _ticket: &'a TicketId,
        _caller: &'a Caller,
    ) -> Pending<'a, bool> {
        Box::pin(async { !self.consented.load(Ordering::SeqCst) })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn refused_at_edge(&self, _request: &RequestFacts, refusal: &EdgeRefusal) {
        self.edge.lock().unwrap().push(refusal.name());
    }

    fn session_turned(&self, _turned: SessionTurned) {}
}
