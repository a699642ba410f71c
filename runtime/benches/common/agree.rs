//! A call behind the wire, and a user who agrees to what it asks for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bailiwick::clock::Timestamp;
use bailiwick::consent::{Answer as Decision, Choice, PageFacts, SignInFacts, TicketId};
use bailiwick::identity::Caller;
use bailiwick::ids::{Digest, TenantUser};
use bailiwick::mcp::{Answer, Call, Era, Line, RequestFacts};
use bailiwick::server::Running;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long what the user agreed to serves.
const AGREED: Duration = Duration::from_secs(24 * 3_600);

/// A call of this tool by a client that can open a page.
pub fn call(tool: &str, arguments: &Map<String, Value>) -> anyhow::Result<Call> {
    Ok(Call {
        tool: tool.parse()?,
        arguments: bailiwick::protect::Sensitive::new(arguments.clone()),
        request: RequestFacts {
            began: Instant::now(),
            id: Uuid::nil(),
            peer: None,
        },
        era: Era::Modern,
        can_open_urls: true,
        can_show_forms: false,
        request_state: None,
        said: None,
        replied: None,
        traceparent: None,
        progress: None,
        cancel: CancellationToken::new(),
    })
}

/// Has the user agree to all that a tool asks for, as the page would.
pub async fn agree(
    running: &Running,
    caller: &Arc<Caller>,
    tool: &str,
    arguments: &Value,
) -> anyhow::Result<()> {
    let arguments = arguments.as_object().context("arguments are an object")?;
    let call = call(tool, arguments)?;
    match running.stages.call(call, Arc::clone(caller)).await {
        Answer::Reply(_) => Ok(()),
        Answer::ConsentNeeded { ticket, .. } => allow(running, caller, &ticket).await,
        other => bail!("{tool} answered otherwise: {other:?}"),
    }
}

async fn allow(running: &Running, caller: &Caller, ticket: &TicketId) -> anyhow::Result<()> {
    let stages = &running.stages;
    let now: Timestamp = stages.clock.now();
    let who = TenantUser {
        tenant: caller.tenant().clone(),
        user: caller.user().clone(),
    };
    let question = stages.consents.question(ticket, &who, now).await?;
    let asked = question.asked.into_iter();
    let answers: Vec<_> = asked
        .map(|asked| Decision {
            choice: Choice::Until(now.plus(AGREED)),
            capability: asked.capability,
        })
        .collect();
    let page = PageFacts {
        digest: Digest::of(b"a page"),
        locale: "en",
    };
    let signed_in = SignInFacts::default();
    let decided = stages
        .consents
        .decide(ticket, &who, &answers, page, &signed_in, now)
        .await?;
    ensure!(decided.allowed, "the user did not agree");
    Ok(())
}
