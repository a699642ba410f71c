//! An MCP client by hand, so that every byte of a request is the test's.

use std::sync::LazyLock;

use bailiwick::consent::Choice;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::Server;
use super::decide::allowed;

/// The newest revision.
pub const MODERN: &str = "2026-07-28";
/// The one before.
pub const LEGACY: &str = "2025-11-25";

static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let builder = reqwest::Client::builder().no_proxy();
    builder
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
});

/// The client that every caller uses.
pub fn http() -> &'static reqwest::Client {
    &HTTP
}

/// How a request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    Legacy,
}

/// Someone with a token.
#[derive(Debug, Clone)]
pub struct Caller {
    url: String,
    user: String,
    claims: Map<String, Value>,
    pub token: String,
    pub era: Era,
    opens_links: bool,
    shows_forms: bool,
}

impl Caller {
    pub(super) fn new(server: &Server, user: &str) -> Self {
        Self {
            url: server.url.clone(),
            user: user.to_owned(),
            claims: Map::new(),
            token: server.token(user, json!({})),
            era: Era::Modern,
            opens_links: true,
            shows_forms: true,
        }
    }

    /// With this token, of a server that is a process of its own.
    pub fn at(url: &str, token: &str) -> Self {
        Self {
            url: url.to_owned(),
            user: String::new(),
            claims: Map::new(),
            token: token.to_owned(),
            era: Era::Modern,
            opens_links: true,
            shows_forms: true,
        }
    }

    /// By a client that cannot show its user a link.
    pub fn without_links(mut self) -> Self {
        self.opens_links = false;
        self
    }

    /// By a client that cannot show its user a form.
    pub fn without_forms(mut self) -> Self {
        self.shows_forms = false;
        self
    }

    /// The same user by another client.
    pub fn via(self, server: &Server, client: &str) -> Self {
        self.with(server, json!({"client_id": client}))
    }

    /// The same user with other claims.
    pub fn with(mut self, server: &Server, claims: Value) -> Self {
        self.claims.extend(claims.as_object().unwrap().clone());
        self.token = server.token(&self.user, Value::Object(self.claims.clone()));
        self
    }

    /// With this token, whatever it is.
    pub fn bearing(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// In this revision.
    pub fn in_era(mut self, era: Era) -> Self {
        self.era = era;
        self
    }

    /// Where its requests go.
    pub fn endpoint(&self) -> String {
        format!("{}/mcp", self.url)
    }

    /// A request as this caller would send it.
    pub fn request(&self, method: &str, params: Value) -> reqwest::RequestBuilder {
        self.request_by(&HTTP, method, params)
    }

    /// The same by a client of the test's own.
    pub fn request_by(
        &self,
        client: &reqwest::Client,
        method: &str,
        params: Value,
    ) -> reqwest::RequestBuilder {
        let mut params = params;
        let name = params["name"].as_str().map(str::to_owned);
        let request = client
            .post(self.endpoint())
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream");
        let request = match self.era {
            Era::Legacy => request.header("mcp-protocol-version", LEGACY),
            Era::Modern => {
                let capabilities = match (self.opens_links, self.shows_forms) {
                    (true, true) => json!({"elicitation": {"url": {}, "form": {}}}),
                    (true, false) => json!({"elicitation": {"url": {}}}),
                    (false, true) => json!({"elicitation": {"form": {}}}),
                    (false, false) => json!({}),
                };
                params["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": MODERN,
                    "io.modelcontextprotocol/clientCapabilities": capabilities,
                    "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
                });
                let request = request
                    .header("mcp-protocol-version", MODERN)
                    .header("mcp-method", method);
                match name {
                    Some(name) => request.header("mcp-name", name),
                    None => request,
                }
            }
        };
        request.json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// Sends a request and reads the answer whole.
    pub async fn send(&self, method: &str, params: Value) -> Answer {
        Answer::read(self.request(method, params)).await
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        self.send("tools/call", params).await
    }

    /// Calls a tool again with what the answer to the last call asked to be brought back.
    pub async fn retry(&self, tool: &str, arguments: Value, asked: &Answer, said: &str) -> Answer {
        let params = json!({
            "name": tool,
            "arguments": arguments,
            "requestState": asked.state(),
            "inputResponses": {"consent": {"action": said}},
        });
        self.send("tools/call", params).await
    }

    /// Calls a tool again with this answer to the form that the last call asked for.
    pub async fn fill(&self, tool: &str, arguments: Value, asked: &Answer, said: Value) -> Answer {
        self.fill_with(tool, arguments, &asked.state(), json!({"form": said}))
            .await
    }

    /// Calls a tool again with this state and these answers.
    pub async fn fill_with(
        &self,
        tool: &str,
        arguments: Value,
        state: &str,
        responses: Value,
    ) -> Answer {
        let params = json!({
            "name": tool,
            "arguments": arguments,
            "requestState": state,
            "inputResponses": responses,
        });
        self.send("tools/call", params).await
    }

    /// Calls a tool; its user allows for an hour whatever is asked.
    pub async fn call_allowed(&self, server: &Server, tool: &str, arguments: Value) -> Answer {
        self.call_deciding(server, tool, arguments, allowed).await
    }

    /// Calls a tool; its user decides about each capability that is asked for.
    pub async fn call_deciding(
        &self,
        server: &Server,
        tool: &str,
        arguments: Value,
        choice: impl Fn(&str) -> Choice,
    ) -> Answer {
        let answer = self.call(tool, arguments.clone()).await;
        let Some(link) = answer.link() else {
            return answer;
        };
        server.decide_each(&link, &self.user, choice).await;
        self.call(tool, arguments).await
    }

    /// The names of the tools that this caller sees, in the order of the listing.
    pub async fn list(&self) -> Vec<String> {
        let answer = self.send("tools/list", json!({})).await;
        let tools = answer.json()["result"]["tools"].clone();
        let tools = tools.as_array().unwrap_or_else(|| panic!("{answer:?}"));
        let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
        tools.iter().map(name).collect()
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// Sends a request and reads its answer.
    pub async fn read(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The result, which there must be.
    pub fn result(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        let result = self.json()["result"].clone();
        assert!(result.is_object(), "{self:?}");
        result
    }

    /// The JSON-RPC code and message of an error.
    pub fn error(&self) -> (i64, String) {
        let error = &self.json()["error"];
        let message = error["message"].as_str().unwrap_or_default();
        (
            error["code"].as_i64().unwrap_or_default(),
            message.to_owned(),
        )
    }

    /// Whether the tool was run and gave a reply.
    pub fn is_reply(&self) -> bool {
        let result = self.result();
        result["content"].is_array() && result["isError"] != true
    }

    /// Whether it is an error that a model can read.
    pub fn is_tool_error(&self) -> bool {
        self.result()["isError"] == true
    }

    /// All text of the content.
    pub fn text(&self) -> String {
        let result = self.result();
        let blocks = result["content"].as_array().cloned().unwrap_or_default();
        let texts = blocks.iter().filter_map(|block| block["text"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The structured reply.
    pub fn structured(&self) -> Value {
        let structured = self.result()["structuredContent"].clone();
        assert!(!structured.is_null(), "{self:?}");
        structured
    }

    /// The link to the consent page, when the user is asked.
    pub fn link(&self) -> Option<String> {
        if self.status != StatusCode::OK {
            return None;
        }
        let result = &self.json()["result"];
        if let Some(url) = result["inputRequests"]["consent"]["params"]["url"].as_str() {
            return Some(url.to_owned());
        }
        if result["isError"] != true {
            return None;
        }
        let text = self.text();
        let mut words = text.split_whitespace();
        words
            .find(|word| word.contains("/consent/"))
            .map(str::to_owned)
    }

    /// The message of the form that the client is asked to show.
    pub fn form(&self) -> Option<String> {
        let form = &self.result()["inputRequests"]["form"]["params"];
        form["message"].as_str().map(str::to_owned)
    }

    /// What the client is asked to bring back.
    pub fn state(&self) -> String {
        let state = &self.json()["result"]["requestState"];
        state
            .as_str()
            .unwrap_or_else(|| panic!("{self:?}"))
            .to_owned()
    }
}
