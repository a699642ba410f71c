//! The whole server with packages of one guest that ask for more and more, and the user who agreed to all of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use bailiwick::catalog::Tool;
use bailiwick::consent::Arguments;
use bailiwick::grant::GrantSet;
use bailiwick::identity::{BearerToken, Caller, Credentials};
use bailiwick::mcp::{Answer, Line};
use bailiwick::policy::Circumstances;
use bailiwick::sandbox::{Ending, RunContext};
use bailiwick::server::Running;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::common;
use super::common::agree::{agree, call};

/// What the guest can ask for, in the order in which it is granted. The first ones have no effect outside.
const NEEDS: [&str; 9] = [
    "kind = \"clock\"",
    "kind = \"progress\"",
    "kind = \"config\"\nkeys = [\"region\"]",
    "kind = \"claims\"\nclaims = [\"subject\"]",
    "kind = \"http\"\nhosts = [\"plain.test\", \"bearer.test\", \"signed.test\"]\nmethods = [\"GET\"]\npath = \"/\"",
    "kind = \"files\"\nmount = \"notes\"\naccess = \"write\"",
    "kind = \"kv\"\nstore = \"memory\"\naccess = \"write\"",
    "kind = \"secret\"\nsecret = \"bearer\"\nhosts = [\"bearer.test\"]\nform = \"bearer\"",
    "kind = \"call\"\ntools = [\"echo\"]",
];
/// A second secret, which is no further kind; it goes with the whole.
const SIGNED: &str =
    "kind = \"secret\"\nsecret = \"signed\"\nhosts = [\"signed.test\"]\nform = \"aws-sigv4\"";
/// The package that asks for everything.
const WHOLE: &str = "calls-whole";
/// The values of the secrets.
const BEARER: &str = "a-token-of-the-bench-with-40-characters-";
const KEY: &str = r#"{"AccessKeyId":"ACCESSKEYOFTHEBENCH","SecretAccessKey":"a-secret-key-of-the-bench/40+characters"}"#;

/// How much of a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A fresh instance, the call, its end.
    Sandbox,
    /// The whole line behind the wire, with rules, consents and log.
    Line,
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Sandbox => "in the sandbox",
            Self::Line => "all of the line",
        })
    }
}

/// A server with calls to make.
pub struct World {
    running: Running,
    caller: Arc<Caller>,
}

impl World {
    /// Builds the packages, starts the server, and has its user agree.
    pub async fn start(dir: &Path, granted: &[usize]) -> anyhow::Result<Self> {
        let tools = common::tools_dir(dir);
        std::fs::create_dir_all(&tools)?;
        common::echo(&tools.join("echo.wasm")).await?;
        let mut rules = String::new();
        for kinds in granted {
            put(&tools, &name(*kinds), *kinds, &NEEDS).await?;
            rules.push_str(&denied(*kinds));
        }
        let all: Vec<_> = NEEDS.into_iter().chain([SIGNED]).collect();
        put(&tools, WHOLE, all.len(), &all).await?;
        let folder = common::rules_dir(dir);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("host.cedar"), rules)?;
        let upstream = upstream().await?;
        for (file, text) in [("bearer", BEARER), ("signed", KEY)] {
            secret_file(&dir.join(file), text)?;
        }
        let (running, token) = common::start_with(dir, &config(upstream)).await?;
        let stages = &running.stages;
        let now = stages.clock.now();
        let shown = Credentials::bearer(BearerToken::new(token));
        let caller = stages.identity.verify(shown, now).await?;
        let world = Self { running, caller };
        for kinds in granted {
            world.agree(&name(*kinds)).await?;
        }
        world.agree(WHOLE).await?;
        Ok(world)
    }

    /// Ends the server.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// So many calls of one host function by the package that may call all of them, in microseconds.
    pub async fn whole(&self, what: &str, times: u32, way: Way) -> anyhow::Result<f64> {
        self.timed(WHOLE, &json!({"what": what, "times": times}), way)
            .await
    }

    /// A call of the package with so many kinds, which uses none of them, in microseconds.
    pub async fn with(&self, kinds: usize, way: Way) -> anyhow::Result<f64> {
        self.timed(&name(kinds), &json!({"what": "none", "times": 0}), way)
            .await
    }

    async fn timed(&self, package: &str, arguments: &Value, way: Way) -> anyhow::Result<f64> {
        let tool = &served(package);
        let map = arguments.as_object().context("arguments are an object")?;
        let began = match way {
            Way::Sandbox => {
                let grants = self.grants(tool, map).await?;
                let began = Instant::now();
                self.run(grants, arguments.to_string()).await?;
                began
            }
            Way::Line => {
                let call = call(tool, map)?;
                let began = Instant::now();
                let answer = self.running.stages.call(call, Arc::clone(&self.caller));
                let answer = answer.await;
                ensure!(
                    matches!(&answer, Answer::Reply(_)),
                    "{tool} with {arguments} answered otherwise: {answer:?}"
                );
                began
            }
        };
        Ok(began.elapsed().as_secs_f64() * 1e6)
    }

    fn tool(&self, name: &str) -> anyhow::Result<Tool> {
        let found = self.running.stages.catalog.find(name);
        found.with_context(|| format!("`{name}` is not served"))
    }

    async fn grants(&self, tool: &str, arguments: &Map<String, Value>) -> anyhow::Result<GrantSet> {
        let stages = &self.running.stages;
        let now = stages.clock.now();
        let rules = stages.rules.load_full();
        let permit = rules.permit(
            &self.caller,
            &self.tool(tool)?,
            Circumstances { arguments, now },
        )?;
        let arguments = Arguments::of(arguments);
        let consent = stages.consents.confirm(permit, &arguments, now).await?;
        Ok(GrantSet::from(consent))
    }

    async fn run(&self, grants: GrantSet, arguments: String) -> anyhow::Result<()> {
        let stages = &self.running.stages;
        // Somebody listens, so that progress is passed on.
        let (progress, _heard) = tokio::sync::mpsc::channel(1_024);
        let context = RunContext {
            deadline: stages.call_timeout,
            progress: Some(progress),
            asking: Default::default(),
            cancel: CancellationToken::new(),
            clock: Arc::clone(&stages.clock),
            given: Default::default(),
        };
        let outcome = stages.sandbox.run(grants, arguments, context).await;
        match outcome.ending {
            Ending::Replied(_) => Ok(()),
            other => bail!("the guest ended otherwise: {other:?}"),
        }
    }

    /// Has the user agree to all that a package asks for, as the page would.
    async fn agree(&self, tool: &str) -> anyhow::Result<()> {
        let arguments = json!({"what": "none", "times": 0});
        agree(&self.running, &self.caller, &served(tool), &arguments).await
    }
}

fn name(kinds: usize) -> String {
    format!("calls-{kinds}")
}

/// The name of the tool of a package: the guest is the same in all of them, so each has a prefix.
fn served(package: &str) -> String {
    format!("{package}-host_calls")
}

/// The rule that leaves out what the package with so many kinds asks for beyond them.
fn denied(kinds: usize) -> String {
    let rest = NEEDS
        .iter()
        .skip(kinds)
        .filter_map(|need| need.lines().next());
    let rest: Vec<_> = rest
        .map(|kind| format!("resource.{}", kind.replace(" = ", " == ")))
        .collect();
    let name = name(kinds);
    format!(
        "@id(\"{name}-alone\")\nforbid (principal, action == Action::\"use\", resource in Package::\"{name}\")\nwhen {{ {} }};\n",
        rest.join(" || ")
    )
}

/// Packs the guest under this name with these needs, of which it can do without all but the first `required`.
async fn put(tools: &Path, name: &str, required: usize, needs: &[&str]) -> anyhow::Result<()> {
    let mut toml = format!(
        "name = \"{name}\"\nversion = \"0.1.0\"\ntitle = \"Calls\"\ndescription = \"Calls host functions.\"\npublisher = \"bailiwick\"\n"
    );
    for (nth, need) in needs.iter().enumerate() {
        let optional = nth >= required;
        let id =
            format!("id = \"need-{nth}\"\nreason = \"It is measured.\"\noptional = {optional}\n");
        toml.push_str(&format!("\n[[needs]]\n{id}{need}\n"));
    }
    let file = tools.join(format!("{name}.wasm"));
    common::fixture("host_calls", &toml, &file).await?;
    Ok(())
}

fn secret_file(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn config(upstream: SocketAddr) -> String {
    let mut text = String::new();
    let granted = super::GRANTED.map(name);
    for package in granted.iter().map(String::as_str).chain([WHOLE]) {
        text.push_str(&format!("\n[tools.config.{package}]\nregion = \"eu\"\n"));
    }
    text.push_str("\n[tools.prefix]\n");
    for package in granted.iter().map(String::as_str).chain([WHOLE]) {
        text.push_str(&format!("{package} = \"{package}-\"\n"));
    }
    for host in ["plain.test", "bearer.test", "signed.test"] {
        text.push_str(&format!(
            "\n[[egress.host]]\nname = \"{host}\"\naddress = \"{upstream}\"\n"
        ));
    }
    text.push_str("\n[[secret]]\nname = \"bearer\"\nfile = \"bearer\"\nhosts = [\"bearer.test\"]\nform = \"bearer\"\n");
    text.push_str("\n[[secret]]\nname = \"signed\"\nfile = \"signed\"\nhosts = [\"signed.test\"]\nform = \"aws-sigv4\"\nregion = \"eu-central-1\"\nservice = \"execute-api\"\n");
    text
}

/// A web host on loopback that answers everything with the same few bytes, over connections that stay.
async fn upstream() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut held, mut chunk) = (Vec::new(), [0; 4096]);
                loop {
                    match stream.read(&mut chunk).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => held.extend(chunk.iter().take(read)),
                    }
                    // Its requests have no body, and come one after the other.
                    if held.ends_with(b"\r\n\r\n") {
                        held.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Ok(address)
}
