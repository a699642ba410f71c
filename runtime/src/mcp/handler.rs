//! The MCP methods: one handler per request, all state shared and none of it about a request.
//!
//! Speaks to the SDK on one side and to the [`Line`] on the other. Never trusts what a client says of itself: who calls is in the
//! request's extensions, put there by the edge.

use std::any::Any;
use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, DiscoverResult,
    ErrorData, Implementation, InitializeRequestParams, InitializeResult, ListToolsResult,
    PaginatedRequestParams, ProgressToken, ProtocolVersion, ServerCapabilities, ServerConfig,
    SubscriptionFilter, Tool,
};
use rmcp::service::{Peer, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::context::{
    admitted, era, has_forms, is_traceparent, opens_urls, replied, said, shows_forms, verified,
};
use super::edge::Admitted;
use super::elicit;
use super::line::{Answer, Call, EdgeRefusal, Era, Line, Listed, Said};
use super::listing;
use super::progress::{Reached, forward};
use super::respond::{self, Shown, Wire};
use super::running::Running;
use super::sessions::{Ask, Asked, Filled, Negotiated, Sessions, Within};
use crate::clock::SharedClock;
use crate::identity::Caller;
use crate::ids::ToolName;
use crate::protect::Sensitive;

/// Progress messages that may wait for a client that reads slowly; a tool's further ones wait with them.
const PROGRESS_QUEUE_MAX: usize = 16;
/// Times that one call asks its user and goes on: a question names all that a tool needs, so that a second one is rare.
const ASKS_MAX: usize = 3;
/// Open subscriptions of the whole server; each holds a connection.
const SUBSCRIPTIONS_MAX: usize = 1_024;
/// How long a client may keep what `server/discover` says, in milliseconds: it changes with the program alone.
const DISCOVER_TTL_MS: u64 = 60_000;

/// The revisions that are served, newest first.
const VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V_2026_07_28,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2025_06_18,
];

/// How this server introduces itself.
pub(super) fn implementation() -> Implementation {
    Implementation::new("bailiwick", env!("CARGO_PKG_VERSION"))
}

/// Serves one request.
#[derive(Clone)]
pub(super) struct Handler(Arc<Shared>);

struct Shared {
    line: Arc<dyn Line>,
    wire: Wire,
    running: Arc<Running>,
    sessions: Option<Arc<Sessions>>,
    config: ServerConfig,
    clock: SharedClock,
    shutdown: CancellationToken,
    subscriptions: Semaphore,
}

tokio::task_local! {
    static CALLER: Arc<Caller>;
}

/// Runs what the SDK does with a request on behalf of this caller.
pub(super) async fn on_behalf_of<T>(
    caller: Option<Arc<Caller>>,
    handled: impl Future<Output = T>,
) -> T {
    match caller {
        Some(caller) => CALLER.scope(caller, handled).await,
        None => handled.await,
    }
}

impl Handler {
    /// `shutdown` ends subscriptions, and nothing else.
    pub fn new(
        line: Arc<dyn Line>,
        wire: Wire,
        running: Arc<Running>,
        sessions: Option<Arc<Sessions>>,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        // Only `initialize` reads the revision: the newest one that still has that handshake.
        let config = ServerConfig::new(capabilities)
            .with_server_info(implementation())
            .with_protocol_version(ProtocolVersion::V_2025_11_25);
        Self(Arc::new(Shared {
            line,
            wire,
            running,
            sessions,
            config,
            clock,
            shutdown,
            subscriptions: Semaphore::new(SUBSCRIPTIONS_MAX),
        }))
    }

    /// The tools of a caller, even if listing them panics.
    fn visible(&self, admitted: &Admitted) -> Result<Vec<Listed>, ErrorData> {
        let list = AssertUnwindSafe(|| match &admitted.caller {
            Some(caller) => self.0.line.list(caller),
            None => self.0.line.list_anonymous(),
        });
        catch_unwind(list).map_err(|panic| {
            let request = admitted.facts.id;
            tracing::error!(%request, panic = panic_text(&*panic), "a listing panicked");
            let refusal = EdgeRefusal::Fault { id: request };
            let _ = admitted.verdict.set(refusal);
            respond::internal("the server failed", Some(request))
        })
    }

    /// Begins a session for a client that has a token, in place of the one that it shows. Whether there is one now.
    fn begin_session(
        &self,
        client: &InitializeRequestParams,
        agreed: &ProtocolVersion,
        admitted: &Admitted,
    ) -> bool {
        let (Some(sessions), Some(caller)) = (&self.0.sessions, &admitted.caller) else {
            return false;
        };
        let served = VERSIONS.iter().find(|version| *version == agreed);
        let Some(version) = served.filter(|version| **version != ProtocolVersion::V_2026_07_28)
        else {
            return false;
        };
        let elicitation = client.capabilities.elicitation.as_ref();
        let negotiated = Negotiated {
            version: version.clone(),
            // 2025-06-18 has no links, whatever its client says.
            opens_urls: *version == ProtocolVersion::V_2025_11_25
                && elicitation.is_some_and(|elicitation| elicitation.url.is_some()),
            // And forms alone.
            shows_forms: elicitation.is_some_and(|elicitation| {
                *version == ProtocolVersion::V_2025_06_18 || has_forms(elicitation)
            }),
        };
        if let Some(within) = &admitted.within {
            sessions.end(caller, within.session());
        }
        match sessions.begin(caller, negotiated) {
            Some(id) => admitted.began.set(id).is_ok(),
            None => false,
        }
    }

    /// Asks the line. Where that asks the user, the client's session is the way to do it, and the call goes on afterwards.
    async fn answer(
        &self,
        mut call: Call,
        caller: Arc<Caller>,
        progress: Option<(ProgressToken, Peer<RoleServer>)>,
        within: Option<&Within>,
    ) -> Answer {
        let mut reached = Reached::default();
        let Some(within) = within else {
            return self.ask(call, caller, progress, &mut reached).await;
        };
        let mut asks = 0;
        loop {
            let mut again = call.clone();
            let progress = progress.clone();
            let answer = self
                .ask(call, Arc::clone(&caller), progress, &mut reached)
                .await;
            let state = match &answer {
                Answer::ConsentNeeded {
                    url,
                    message,
                    state,
                    ticket,
                } if within.opens_urls() && asks < ASKS_MAX => {
                    asks += 1;
                    let ask = Ask {
                        url,
                        message,
                        ticket,
                    };
                    let line = self.0.line.as_ref();
                    again.said = match within.ask(ask, line, &caller, &again.cancel).await {
                        Asked::Decided => Some(Said::Accepted),
                        Asked::Dismissed(said) => Some(said),
                        Asked::Unanswered => return answer,
                        Asked::Gone => return Answer::Cancelled,
                    };
                    again.replied = None;
                    state
                }
                // The line counts the runs of a call that asks.
                Answer::FormNeeded {
                    message,
                    schema,
                    state,
                } => {
                    let Some(form) = elicit::form(message, schema) else {
                        return answer;
                    };
                    again.replied = match within.fill(form, &caller, &again.cancel).await {
                        Filled::Replied(reply) => reply,
                        Filled::Unanswered => return answer,
                        Filled::Gone => return Answer::Cancelled,
                    };
                    again.said = None;
                    state
                }
                _ => return answer,
            };
            again.request_state = Some(state.clone());
            call = again;
        }
    }

    /// Asks the line, forwards progress while it works, and answers for it if it panics.
    async fn ask(
        &self,
        mut call: Call,
        caller: Arc<Caller>,
        progress: Option<(ProgressToken, Peer<RoleServer>)>,
        reached: &mut Reached,
    ) -> Answer {
        let request = call.request.id;
        let fault = move |panic: Box<dyn Any + Send>| {
            tracing::error!(%request, panic = panic_text(&*panic), "a call panicked");
            Answer::Fault { id: request }
        };
        let Some((token, peer)) = progress else {
            return caught(self.0.line.call(call, caller))
                .await
                .unwrap_or_else(fault);
        };
        let (sender, steps) = mpsc::channel(PROGRESS_QUEUE_MAX);
        call.progress = Some(sender);
        let ended = CancellationToken::new();
        // Both sides move at once, so a client that does not read its stream cannot hold a call beyond its deadline.
        let (answer, ()) = tokio::join!(
            async {
                let answer = caught(self.0.line.call(call, caller)).await;
                ended.cancel();
                answer.unwrap_or_else(fault)
            },
            forward(steps, &peer, token, &ended, reached),
        );
        answer
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.0.config.clone()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let admitted = admitted(&context)?;
        let mut result = self.negotiate_initialize(&request)?;
        // Without a session there is no stream on which a legacy client could hear of changes (D5).
        if !self.begin_session(&request, &result.protocol_version, admitted)
            && let Some(tools) = result.capabilities.tools.as_mut()
        {
            tools.list_changed = None;
        }
        context.peer.set_peer_info(request);
        Ok(result)
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(
            DiscoverResult::from_server_info(versions, self.get_info())
                .with_ttl_ms(DISCOVER_TTL_MS),
        )
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let admitted = admitted(&context)?;
        let era = era(&context);
        let cursor = request.and_then(|request| request.cursor);
        let tools = self.visible(admitted)?;
        let mut page = listing::page(tools, cursor.as_deref(), era)?;
        page.meta = self.0.wire.meta(era);
        Ok(page)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let admitted = admitted(&context)?;
        let era = era(&context);
        let caller = verified(admitted)?;
        let within = admitted.within.as_ref();
        let (can_open_urls, can_show_forms) = match era {
            Era::Modern => (opens_urls(&context), shows_forms(&context)),
            Era::Legacy => (
                within.is_some_and(Within::opens_urls),
                within.is_some_and(Within::shows_forms),
            ),
        };
        let responses = request.input_responses.as_ref();
        let Ok(tool) = request.name.parse::<ToolName>() else {
            let refusal = EdgeRefusal::ToolName;
            self.0.line.refused_at_edge(&admitted.facts, &refusal);
            return Err(respond::unknown_tool());
        };
        // A child, so that a cancelled call still gives its answer to a connection that is open.
        let cancel = context.ct.child_token();
        let _entered = (era == Era::Legacy).then(|| {
            let (request, id) = (context.id.clone(), admitted.facts.id);
            let whose = within.map_or(caller.fingerprint(), |within| within.session().name());
            self.0.running.enter(whose, request, id, cancel.clone())
        });
        let call = Call {
            tool,
            arguments: Sensitive::new(request.arguments.unwrap_or_default()),
            request: admitted.facts.clone(),
            era,
            can_open_urls,
            can_show_forms,
            request_state: request.request_state,
            said: responses.and_then(|answers| said(answers.get(respond::CONSENT_KEY)?)),
            replied: responses.and_then(|answers| replied(answers.get(respond::FORM_KEY)?)),
            traceparent: context
                .meta
                .get_traceparent()
                .filter(|text| is_traceparent(text))
                .map(str::to_owned),
            progress: None,
            cancel,
        };
        let progress = context
            .meta
            .get_progress_token()
            .map(|token| (token, context.peer.clone()));
        let answer = self.answer(call, caller, progress, within).await;
        match self.0.wire.answer(answer, era, can_open_urls) {
            Shown::Result(result) => Ok(result),
            Shown::Error(error) => Err(error),
            Shown::Http(refusal) => {
                let in_band = respond::in_band(&refusal);
                // The edge answers with the status, unless a stream has begun; then this error is what the caller reads.
                let _ = admitted.verdict.set(refusal);
                Err(in_band.unwrap_or_else(|| {
                    respond::internal("the server failed", Some(admitted.facts.id))
                }))
            }
        }
    }

    /// The SDK asks for the schema to check `Mcp-Param-*` headers against the arguments (MCP 2026-07-28, transports). It asks without
    /// a caller, so the caller comes with the task: a hidden tool must answer like an unknown one (trap R6).
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let schema = |caller: &Arc<Caller>| self.0.line.header_schema(caller, name);
        let schema = CALLER.try_with(schema).ok().flatten()?;
        Some(Tool::new(name.to_owned(), "", schema))
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        let tools = SubscriptionFilter::builder().tools_list_changed().build();
        Some(requested.intersection(&tools))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let shared = &self.0;
        let admitted = admitted(context.request_context())?;
        let Ok(_place) = shared.subscriptions.try_acquire() else {
            return Err(respond::internal("too many subscriptions are open", None));
        };
        let caller = verified(admitted)?;
        // A stream outlives no token: whoever wants more asks again, with a live one.
        let left = caller.token().expires.since(shared.clock.now());
        let mut expired = pin!(tokio::time::sleep(left));
        let mut changed = shared.line.changed();
        // The first look is at once, against what stood before the acknowledgement.
        changed.mark_changed();
        let mut known: Arc<[Listed]> = admitted.known.clone().unwrap_or_default();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = shared.shutdown.cancelled() => return Ok(()),
                () = &mut expired => return Ok(()),
                alive = changed.changed() => if alive.is_err() { return Ok(()) },
            }
            let now: Arc<[Listed]> = listing::ordered(self.visible(admitted)?).into();
            // A change that this caller cannot see is not told to it.
            if now == known {
                continue;
            }
            known = now;
            let wanted = context.accepted().tools_list_changed == Some(true);
            if wanted && context.sink().notify_tool_list_changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The SDK takes a known method whose parameters have another shape for an unknown method.
        const SERVED: [&str; 6] = [
            "initialize",
            "ping",
            "server/discover",
            "subscriptions/listen",
            "tools/call",
            "tools/list",
        ];
        if SERVED.contains(&request.method.as_str()) {
            return Err(respond::bad_params());
        }
        Err(respond::unknown_method())
    }
}

/// Runs a future and catches its panic. The SDK would leave the request without any answer.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_line_is_caught() {
        let caught = caught(async { panic!("at the disco") }).await;
        let panic = caught.map(|(): ()| ()).unwrap_err();
        assert_eq!(panic_text(&*panic), "at the disco");
    }
}
