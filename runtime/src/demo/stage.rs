//! What the story is played on: built packages, and a server with the embedded identity provider.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::task::spawn_blocking;

use crate::author::{self, ToolToml, build};
use crate::clock::SystemClock;
use crate::idp::{self, DEFAULT_SCOPE, DevIdp};
use crate::server::{self, Options, Running};
use crate::{cli, dev};

/// The tools that are shipped, by folder below `tools/`.
const TOOLS: [&str; 4] = ["hello", "notes", "fetch", "whoami-admin"];
/// The hostile tools of the story, by example below `tests/guests/`, and what each does.
pub(super) const HOSTILE: [(&str, &str); 4] = [
    ("spin", "computes for ever"),
    ("recurse", "calls itself for ever"),
    ("reply_flood", "answers with a gigabyte"),
    ("sleep_poll", "sleeps past its deadline"),
];
/// Where the demo keeps its files; begun anew each time.
const DIR: &str = "demo";

/// A running server and the way to its tokens.
pub(super) struct Stage {
    pub(super) endpoint: String,
    pub(super) idp: Arc<DevIdp>,
    pub(super) running: Running,
    dir: PathBuf,
}

impl Stage {
    /// Builds the packages and starts the server.
    pub(super) async fn build(listen: SocketAddr) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the sources have no folder")?;
        anyhow::ensure!(
            root.join("tools/hello/tool.toml").exists(),
            "the demo builds the shipped tools, and their sources are not there; run it in a checkout with `cargo run -- demo`"
        );
        let dir = Path::new(dev::DEV_DIR).join(DIR);
        if dir.exists() {
            dev::ours(Path::new(dev::DEV_DIR))?;
            std::fs::remove_dir_all(&dir)
                .with_context(|| format!("`{}` cannot be begun anew", dir.display()))?;
        }
        let mut config = dev::config_in(&dir, Some(listen))?;
        config.server.call_timeout = std::time::Duration::from_secs(2);
        packages(root, &config.tools.dir).await?;

        println!("\nStart the server");
        let (address, idp) = dev::add_idp(&mut config, Arc::new(SystemClock))?;
        let endpoint = config.server.resource();
        let options = Options {
            idp: Some((address, idp::router(Arc::clone(&idp)))),
            ..Options::default()
        };
        let began = Instant::now();
        let running = server::start(config, options).await?;
        let tools = running.stages.catalog.snapshot().tools.len();
        println!("  MCP at {endpoint}, identity provider at http://{address}");
        println!(
            "  {tools} tools admitted, each compiled in a limited child process, in {:.1} s",
            began.elapsed().as_secs_f32()
        );
        Ok(Self {
            endpoint,
            idp,
            running,
            dir,
        })
    }

    /// A token for a user through the demo's client.
    pub(super) fn token(&self, user: &str) -> anyhow::Result<String> {
        Ok(self
            .idp
            .access_token(DevIdp::user(user)?, "bailiwick-demo", DEFAULT_SCOPE)?)
    }

    /// Says how to go on.
    pub(super) fn invite(&self) {
        let dir = self.dir.display();
        let endpoint = &self.endpoint;
        let pages = endpoint.trim_end_matches("/mcp");
        println!("\nThe server goes on. Connect any MCP client (Streamable HTTP):");
        println!("  URL      {endpoint}");
        println!(
            "  header   Authorization: Bearer $(cargo run -q -- token --dir {dir} --user alice --client my-client)"
        );
        println!("  consents {pages}/consents   (sign in as alice, password alice)");
        println!("  a new tool is served as soon as its package is in {dir}/tools.d");
        println!("Stop with Ctrl-C.");
    }

    pub(super) async fn stop(self) {
        self.running.stop().await;
    }
}

/// Builds and packs the shipped and the hostile tools.
async fn packages(root: &Path, out: &Path) -> anyhow::Result<()> {
    println!("\nBuild the tools to WebAssembly (the first time takes about a minute)");
    let began = Instant::now();
    let packer = cli::packer()?;
    let dirs: Vec<_> = TOOLS
        .iter()
        .map(|name| root.join("tools").join(name))
        .collect();
    for written in author::build(&packer, &dirs, out, progress).await? {
        let manifest = &written.packed.manifest;
        let size = written.packed.bytes.len().div_ceil(1024);
        println!(
            "  {:<13} {size:>4} KiB  {}",
            manifest.name.as_str(),
            manifest.description
        );
    }
    let guests = root.join("tests/guests");
    let names = HOSTILE.map(|(name, _)| name);
    let built = spawn_blocking(move || build::build_examples(&guests, &names, &progress)).await??;
    for (name, what) in HOSTILE {
        let text = format!(
            "name = \"{name}\"\nversion = \"0.1.0\"\ntitle = \"{name}\"\ndescription = \"A hostile tool: it {what}.\"\npublisher = \"stranger\"\n"
        );
        let component = built
            .get(name)
            .with_context(|| format!("`{name}` was not built"))?;
        let toml = ToolToml::parse(name, &text)?;
        author::pack(&packer, component, &toml, &out.join(format!("{name}.wasm"))).await?;
        println!("  {name:<13}           hostile: it {what}");
    }
    println!("  done in {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// Shows that something goes on, without all that cargo says.
fn progress(line: &str) {
    let line = line.trim();
    if line.starts_with("Compiling") || line.starts_with("Blocking") || line.contains("rustup") {
        println!("  {line}");
    }
}
