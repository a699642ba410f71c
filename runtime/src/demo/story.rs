//! The steps, each with what must come of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use rmcp::ServiceError;
use serde_json::json;

use super::client::{Client, Habit, Said};
use super::stage::{HOSTILE, Stage};
use crate::audit::{self, Filter, Line};
use crate::idp::{DEFAULT_SCOPE, DevIdp};

/// How often the good tool is called while hostile ones run.
const NEIGHBOUR_CALLS: u32 = 20;

/// Keeps count of what went as told.
#[derive(Default)]
pub(super) struct Story {
    right: u32,
    wrong: u32,
}

impl Story {
    /// Tells it all.
    pub(super) async fn tell(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let alice = Client::connect(&stage.endpoint, stage.token("alice")?, "alice")
            .await
            .context("alice connects")?;
        let root = Client::connect(&stage.endpoint, stage.token("root")?, "root")
            .await
            .context("root connects")?;
        self.compute(&alice).await?;
        self.consent(&alice, &root).await?;
        self.roles(&alice, &root).await?;
        self.audience(stage).await?;
        self.hostile(&alice).await?;
        self.evidence(stage).await
    }

    async fn compute(&mut self, alice: &Client) -> anyhow::Result<()> {
        chapter("A tool without capabilities just answers");
        let said = alice.call("hello", json!({"name": "Ada"})).await?;
        self.check(
            !said.is_error() && said.text() == "Hello, Ada!",
            "alice calls hello",
            &said.text(),
        );
        let said = alice.call("hello", json!({"nam": "Ada"})).await?;
        self.check(
            said.is_error(),
            "a wrong argument is named, so that a model can mend it",
            &said.text(),
        );
        Ok(())
    }

    async fn consent(&mut self, alice: &Client, root: &Client) -> anyhow::Result<()> {
        let note = || json!({"name": "shopping", "text": "tea, milk"});
        chapter("A tool that writes files waits for its user");
        let said = alice.call("notes_write", note()).await?;
        let links = alice.seen();
        let link = links
            .first()
            .map(|(link, _)| link.clone())
            .unwrap_or_default();
        self.check(
            said.is_error() && link.contains("/consent/"),
            "alice calls notes_write: she is asked, and closes the page",
            &link,
        );
        alice.habit(Habit::Allow);
        let said = alice.call("notes_write", note()).await?;
        let page = alice
            .seen()
            .into_iter()
            .find_map(|(_, page)| page)
            .unwrap_or_default();
        self.check(
            !page.is_empty(),
            "she calls again, signs in on the page and allows it",
            &page,
        );
        self.check(
            !said.is_error(),
            "her client repeats the call by itself, and now it works",
            &said.text(),
        );
        alice.habit(Habit::Dismiss);
        let said = alice
            .call("notes_read", json!({"name": "shopping"}))
            .await?;
        let asked = !alice.seen().is_empty();
        self.check(
            asked && said.is_error(),
            "notes_read is another tool of the package: it asks for itself",
            &said.text(),
        );
        let said = root.call("notes_write", note()).await?;
        let asked = !root.seen().is_empty();
        self.check(
            asked && said.is_error(),
            "root calls notes_write: alice's consent is not his, he is asked too",
            &said.text(),
        );
        Ok(())
    }

    async fn roles(&mut self, alice: &Client, root: &Client) -> anyhow::Result<()> {
        chapter("Who lacks the role neither sees nor calls the tool");
        let (hers, his) = (alice.tools().await?, root.tools().await?);
        let admin = |tools: &[String]| tools.iter().any(|tool| tool == "whoami-admin");
        self.check(!admin(&hers), "alice lists her tools", &hers.join(", "));
        let refused = code(alice.call("whoami-admin", json!({})).await);
        let unknown = code(alice.call("no-such-tool", json!({})).await);
        self.check(
            refused.is_some() && refused == unknown,
            "alice calls whoami-admin: it answers like a tool that does not exist",
            &refused.unwrap_or_default(),
        );
        self.check(admin(&his), "root lists his tools", &his.join(", "));
        let said = root.call("whoami-admin", json!({})).await?;
        self.check(!said.is_error(), "root calls whoami-admin", &said.text());
        Ok(())
    }

    async fn audience(&mut self, stage: &Stage) -> anyhow::Result<()> {
        chapter("A token for another server is refused, however well it is signed");
        let alice = DevIdp::user("alice")?;
        let foreign = stage.idp.access_token_for(
            alice,
            "bailiwick-demo",
            DEFAULT_SCOPE,
            "https://other.example/mcp",
        )?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let response = http
            .post(&stage.endpoint)
            .bearer_auth(foreign)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
            .send()
            .await?;
        let challenge = response
            .headers()
            .get("www-authenticate")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let told = format!("{}  {challenge}", response.status());
        self.check(
            response.status() == 401 && challenge.contains("invalid_token"),
            "a token for https://other.example/mcp",
            &told,
        );
        Ok(())
    }

    async fn hostile(&mut self, alice: &Client) -> anyhow::Result<()> {
        chapter("Four hostile tools are contained while a good one keeps answering");
        let attack = |tool: &'static str| async move {
            let began = Instant::now();
            (tool, alice.call(tool, json!({})).await, began.elapsed())
        };
        let [(first, _), (second, _), (third, _), (fourth, _)] = HOSTILE;
        let attacks =
            async { tokio::join!(attack(first), attack(second), attack(third), attack(fourth)) };
        let (attacks, (answered, slowest)) = tokio::join!(attacks, neighbour(alice));
        for (tool, outcome, took) in <[_; 4]>::from(attacks) {
            let said = outcome.with_context(|| format!("{tool} broke the connection"))?;
            let told = format!("{} ({:.1} s)", said.text(), took.as_secs_f32());
            self.check(
                said.is_error() && took < Duration::from_secs(4),
                tool,
                &told,
            );
        }
        let told = format!(
            "{answered} of {NEIGHBOUR_CALLS} calls answered, the slowest in {} ms",
            slowest.as_millis()
        );
        self.check(answered == NEIGHBOUR_CALLS, "hello meanwhile", &told);
        Ok(())
    }

    async fn evidence(&mut self, stage: &Stage) -> anyhow::Result<()> {
        chapter(
            "All of it is on record: who, what, by which rule and consent, how it ended; never a value",
        );
        stage.running.stages.audit.flush().await?;
        let mut trail = Vec::new();
        let store = stage.running.store.as_ref();
        audit::show(store, 1, &Filter::default(), |stored| {
            trail.push(Line(stored).to_string())
        })
        .await?;
        print_trail(&trail);
        let verified = audit::verify(store).await;
        let told = match &verified {
            Ok(verified) => format!(
                "{} records, the last has hash {}",
                verified.records,
                verified.head.hash.short()
            ),
            Err(error) => error.to_string(),
        };
        println!();
        self.check(
            verified.is_ok(),
            "the log is verified: every record is chained to the one before",
            &told,
        );
        Ok(())
    }

    fn check(&mut self, right: bool, what: &str, saw: &str) {
        let mark = if right { "✓" } else { "✗" };
        println!("  {mark} {what}");
        for line in saw.lines() {
            println!("      {line}");
        }
        if right {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }

    /// The end: how many steps went as told.
    pub(super) fn verdict(&self, whole: bool) -> ExitCode {
        println!(
            "\n{} steps went as told, {} did not.",
            self.right, self.wrong
        );
        if whole && self.wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn chapter(title: &str) {
    println!("\n{title}");
}

/// The records, without most of the many alike that the good tool left.
fn print_trail(trail: &[String]) {
    const SHOWN: usize = 6;
    let (mut alike, mut left_out) = (0, 0);
    for line in trail {
        if line.contains(" hello ") {
            alike += 1;
            if alike > SHOWN {
                left_out += 1;
                continue;
            }
        }
        println!("  {line}");
    }
    if left_out > 0 {
        println!("  … and {left_out} more about hello; `bailiwick audit show` prints them all");
    }
}

/// The JSON-RPC error of a call, if it ended in one.
fn code(outcome: Result<Said, ServiceError>) -> Option<String> {
    match outcome {
        Err(ServiceError::McpError(error)) => Some(format!("{} {}", error.code.0, error.message)),
        Ok(_) | Err(_) => None,
    }
}

/// Calls the good tool again and again; how often it answered, and the longest wait.
async fn neighbour(alice: &Client) -> (u32, Duration) {
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for _ in 0..NEIGHBOUR_CALLS {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        match alice.call("hello", json!({"name": "Ada"})).await {
            Ok(said) if said.text() == "Hello, Ada!" => answered += 1,
            Ok(_) | Err(_) => {}
        }
        slowest = slowest.max(began.elapsed());
    }
    (answered, slowest)
}
