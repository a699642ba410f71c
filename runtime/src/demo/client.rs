//! The MCP client of the story: the official SDK's, over HTTP, with a user behind it.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams,
    ElicitResult, ElicitationAction, ErrorData, Implementation, ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceError};
use serde_json::{Map, Value};

use super::browser::Browser;

/// What the user does when a link is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// Closes it.
    Dismiss,
    /// Opens it, signs in and allows.
    Allow,
}

/// The user behind a client.
struct Person {
    name: &'static str,
    habit: Mutex<Habit>,
    /// Links that were shown, and the title of the page on which a decision ended.
    seen: Mutex<Vec<(String, Option<String>)>>,
}

/// What the SDK calls back.
struct Handler(Arc<Person>);

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        // Links can be shown; forms are not offered.
        let capabilities = serde_json::from_value(serde_json::json!({"elicitation": {"url": {}}}));
        ClientConfig::new(
            capabilities.unwrap_or_else(|_| ClientCapabilities::default()),
            Implementation::new("bailiwick-demo", env!("CARGO_PKG_VERSION")),
        )
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::UrlElicitationParams { url, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let habit = *self.0.habit.lock().unwrap_or_else(PoisonError::into_inner);
        let (action, ended) = match habit {
            Habit::Dismiss => (ElicitationAction::Cancel, None),
            Habit::Allow => match decide(&url, self.0.name).await {
                Ok(title) => (ElicitationAction::Accept, Some(title)),
                Err(error) => return Err(ErrorData::internal_error(error.to_string(), None)),
            },
        };
        self.0
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((url, ended));
        Ok(ElicitResult::new(action))
    }
}

async fn decide(url: &str, user: &str) -> anyhow::Result<String> {
    let page = Browser::new()?.allow(url, user).await?;
    anyhow::ensure!(page.is_ok(), "the consent page says: {}", page.title());
    Ok(page.title())
}

/// A connected client.
pub(super) struct Client {
    service: RunningService<RoleClient, Handler>,
    person: Arc<Person>,
}

impl Client {
    /// Connects with a token, for a user, in revision 2026-07-28.
    pub(super) async fn connect(
        endpoint: &str,
        token: String,
        name: &'static str,
    ) -> anyhow::Result<Self> {
        let config =
            StreamableHttpClientTransportConfig::with_uri(endpoint.to_owned()).auth_header(token);
        let person = Arc::new(Person {
            name,
            habit: Mutex::new(Habit::Dismiss),
            seen: Mutex::default(),
        });
        let lifecycle = ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        };
        let service = Handler(Arc::clone(&person))
            .serve_with_lifecycle(
                StreamableHttpClientTransport::from_config(config),
                lifecycle,
            )
            .await?;
        Ok(Self { service, person })
    }

    /// From now on the user does this with links.
    pub(super) fn habit(&self, habit: Habit) {
        *self
            .person
            .habit
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = habit;
    }

    /// The links that were shown since the last look.
    pub(super) fn seen(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(
            &mut self
                .person
                .seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The names of the tools that this user sees.
    pub(super) async fn tools(&self) -> anyhow::Result<Vec<String>> {
        Ok(self
            .service
            .list_all_tools()
            .await?
            .into_iter()
            .map(|tool| tool.name.into_owned())
            .collect())
    }

    /// Calls a tool.
    pub(super) async fn call(
        &self,
        tool: &'static str,
        arguments: Value,
    ) -> Result<Said, ServiceError> {
        let arguments: Map<String, Value> = match arguments {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        self.service.call_tool(params).await.map(Said)
    }
}

/// What a call answered.
pub(super) struct Said(CallToolResult);

impl Said {
    pub(super) fn is_error(&self) -> bool {
        self.0.is_error == Some(true)
    }

    /// All text of the answer.
    pub(super) fn text(&self) -> String {
        let texts = self.0.content.iter().filter_map(|block| block.as_text());
        texts
            .map(|block| block.text.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }
}
