//! The SDK's own client in both eras. It shares code with the server, so this is weak evidence; the other tests speak by hand.

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, ErrorData, Implementation, ProtocolVersion, SubscriptionFilter,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient};

use super::*;

/// A client whose user opens every link and agrees there.
struct Client {
    line: Arc<FakeLine>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let capabilities: ClientCapabilities =
            serde_json::from_value(json!({"elicitation": {"url": {}, "form": {}}})).unwrap();
        ClientConfig::new(capabilities, Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::UrlElicitationParams { url, .. } = request else {
            panic!("only links are asked for");
        };
        assert_eq!(url, "https://mcp.test/consent/t1");
        self.line.consented.store(true, Ordering::SeqCst);
        Ok(ElicitResult::new(ElicitationAction::Accept))
    }
}

async fn connect(rig: &Rig, lifecycle: ClientLifecycleMode) -> RunningService<RoleClient, Client> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let address = rig.serve().await;
    let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{address}/mcp"))
        .auth_header(testing::token(json!({})));
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = Client {
        line: Arc::clone(&rig.line),
    };
    client
        .serve_with_lifecycle(transport, lifecycle)
        .await
        .unwrap()
}

fn modern_only() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

#[tokio::test]
async fn a_modern_client_lists_calls_and_consents() {
    let rig = Rig::new();
    let client = connect(&rig, modern_only()).await;
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 5);
    let echo = client.call_tool(CallToolRequestParams::new("echo")).await;
    assert_eq!(echo.unwrap().is_error, Some(false));
    let asked = client.call_tool(CallToolRequestParams::new("ask")).await;
    let asked = asked.unwrap();
    assert_eq!(asked.content[0].as_text().unwrap().text, "agreed");
    let ran = rig.line.ran();
    assert!(ran.iter().all(|ran| ran.era == Era::Modern));
    assert_eq!(ran.last().unwrap().said, Some(Said::Accepted));
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_modern_client_hears_of_changes() {
    let rig = Rig::new();
    let client = connect(&rig, modern_only()).await;
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    let mut changes = client.listen(filter).await.unwrap();
    rig.line.add(listed("new"));
    let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
    assert!(told.unwrap().unwrap().is_some());
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_legacy_client_initializes_lists_and_calls() {
    let rig = Rig::new();
    let client = connect(&rig, ClientLifecycleMode::Initialize).await;
    assert_eq!(
        client.peer_info().unwrap().protocol_version,
        ProtocolVersion::V_2025_11_25
    );
    assert_eq!(client.list_all_tools().await.unwrap().len(), 5);
    let echo = client.call_tool(CallToolRequestParams::new("echo")).await;
    assert_eq!(echo.unwrap().is_error, Some(false));
    let asked = client.call_tool(CallToolRequestParams::new("ask")).await;
    let asked = asked.unwrap();
    assert_eq!(asked.is_error, Some(true));
    assert!(
        asked.content[0]
            .as_text()
            .unwrap()
            .text
            .contains("consent/t1")
    );
    assert!(rig.line.ran().iter().all(|ran| ran.era == Era::Legacy));
    client.cancel().await.unwrap();
}
