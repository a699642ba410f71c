//! The stages of one call of `echo`, each run by itself against the server's own parts.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bailiwick::audit::{CallerFacts, DecisionFacts, End, ToolFacts, Used};
use bailiwick::capability::CapabilitySet;
use bailiwick::catalog::Tool;
use bailiwick::consent::{Arguments, Consent};
use bailiwick::grant::GrantSet;
use bailiwick::identity::{BearerToken, Caller, Credentials};
use bailiwick::mcp::{Answer, Call, Era, Line, RequestFacts};
use bailiwick::policy::{Circumstances, Permit};
use bailiwick::sandbox::{Ending, RunContext};
use bailiwick::server::Running;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Sixty bytes, as in the load run.
pub const TEXT: &str = "the quick brown fox jumps over the lazy dog, and once more it";

/// A server with one call to make.
pub struct OneCall {
    /// The server.
    pub running: Running,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// What is called.
    pub tool: Tool,
    /// With what.
    pub arguments: Map<String, Value>,
    token: String,
}

impl OneCall {
    /// Looks up what each stage needs of those before it.
    pub async fn new(running: Running, token: String) -> anyhow::Result<Self> {
        let stages = &running.stages;
        let caller = stages
            .identity
            .verify(
                Credentials::bearer(BearerToken::new(token.clone())),
                stages.clock.now(),
            )
            .await?;
        let tool = stages
            .catalog
            .find("echo")
            .context("`echo` is not served")?;
        let arguments = Map::from_iter([("text".to_owned(), Value::from(TEXT))]);
        Ok(Self {
            running,
            caller,
            tool,
            arguments,
            token,
        })
    }

    /// A token that was verified before.
    pub async fn verify(&self) -> anyhow::Result<Arc<Caller>> {
        let stages = &self.running.stages;
        let token = Credentials::bearer(BearerToken::new(self.token.clone()));
        Ok(stages.identity.verify(token, stages.clock.now()).await?)
    }

    /// The tool by its name.
    pub fn find(&self) -> anyhow::Result<Tool> {
        self.running
            .stages
            .catalog
            .find("echo")
            .context("`echo` is not served")
    }

    /// The rules.
    pub fn permit(&self) -> anyhow::Result<Permit> {
        let rules = self.running.stages.rules.load_full();
        let call = Circumstances {
            arguments: &self.arguments,
            now: self.running.stages.clock.now(),
        };
        Ok(rules.permit(&self.caller, &self.tool, call)?)
    }

    /// The input schema.
    pub fn schema(&self) -> anyhow::Result<()> {
        Ok(self
            .tool
            .check_arguments(&Value::Object(self.arguments.clone()))?)
    }

    /// The digest of the arguments.
    pub fn digest(&self) -> bailiwick::ids::Digest {
        Arguments::of(&self.arguments).digest()
    }

    /// What the user agreed to: nothing is asked for a tool without needs.
    pub async fn confirm(&self, permit: Permit) -> anyhow::Result<Consent> {
        let stages = &self.running.stages;
        Ok(stages
            .consents
            .confirm(permit, &Arguments::of(&self.arguments), stages.clock.now())
            .await?)
    }

    /// The intersection.
    pub async fn grants(&self) -> anyhow::Result<GrantSet> {
        Ok(GrantSet::from(self.confirm(self.permit()?).await?))
    }

    /// The guest: a fresh instance, the call, its reply.
    pub async fn run(&self, grants: GrantSet) -> anyhow::Result<()> {
        let stages = &self.running.stages;
        let context = RunContext {
            deadline: stages.call_timeout,
            progress: None,
            asking: Default::default(),
            cancel: CancellationToken::new(),
            clock: Arc::clone(&stages.clock),
            given: Default::default(),
        };
        let arguments = Value::Object(self.arguments.clone()).to_string();
        let outcome = stages.sandbox.run(grants, arguments, context).await;
        ensure!(
            matches!(outcome.ending, Ending::Replied(_)),
            "the guest ended otherwise"
        );
        Ok(())
    }

    /// Both records of a call without effects, built and handed to the writer.
    pub async fn record(&self) -> anyhow::Result<()> {
        let stages = &self.running.stages;
        let (token, package) = (self.caller.token(), self.tool.package());
        let mut entry = stages.audit.open("tools/call");
        entry.caller(CallerFacts {
            tenant: self.caller.tenant().clone(),
            user: self.caller.user().clone(),
            client: self.caller.client().clone(),
            jti_hash: token.jti_hash,
            algorithm: token.algorithm.clone(),
            key_id: token.key_id.clone(),
            expires: token.expires,
        });
        entry.tool(ToolFacts {
            name: self.tool.name().clone(),
            version: package.manifest().version.clone(),
            publisher: self.tool.publisher().clone(),
            component_digest: package.component_digest(),
            definition_digest: self.tool.definition_digest(),
            manifest_digest: package.manifest_digest(),
        });
        entry.arguments(&self.arguments, &self.tool.definition().input_schema);
        let rules = stages.rules.load().digest();
        entry.decision(DecisionFacts::by(&["users-use-tools"], rules));
        entry.granted(&CapabilitySet::none());
        entry.intent_soon().await?;
        entry
            .close_soon(End::Ran {
                ending: "replied".to_owned(),
                used: Used::default(),
            })
            .await?;
        Ok(())
    }

    /// Waits until the log has everything.
    pub async fn flush(&self) -> anyhow::Result<()> {
        Ok(self.running.stages.audit.flush().await?)
    }

    /// The whole line behind the wire.
    pub async fn line(&self) -> anyhow::Result<()> {
        let call = Call {
            tool: self.tool.name().clone(),
            arguments: bailiwick::protect::Sensitive::new(self.arguments.clone()),
            request: RequestFacts {
                began: Instant::now(),
                id: Uuid::nil(),
                peer: None,
            },
            era: Era::Modern,
            can_open_urls: false,
            can_show_forms: false,
            request_state: None,
            said: None,
            replied: None,
            traceparent: None,
            progress: None,
            cancel: CancellationToken::new(),
        };
        let answer = self
            .running
            .stages
            .call(call, Arc::clone(&self.caller))
            .await;
        ensure!(
            matches!(answer, Answer::Reply(_)),
            "the line answered otherwise: {answer:?}"
        );
        Ok(())
    }
}
