//! The commands. Each reads what it needs, calls the library, and prints for a person; none decides anything itself.

mod audit;
mod author;
mod check;
mod consent;
mod explain;
mod keys;
mod live;
mod matrix;
mod pii;
mod policy;
mod rehearse;
mod serve;
mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use author::packer;
pub(crate) use serve::stopped;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::catalog::Part;
use crate::config::Config;
use crate::dev;
use crate::telemetry;

/// Runs MCP tools as WebAssembly components, each call under the authority of its caller.
///
/// A tool may do what the operator's rules allow its caller, its own manifest asks for, and its user has agreed to: no more.
/// Try it with `bailiwick demo`.
#[derive(Parser)]
#[command(name = "bailiwick", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the shipped tools, make real calls as two users, say what was allowed, asked, refused and recorded, then serve
    Demo(DemoArgs),
    /// Serve tools to MCP clients
    Serve(ServeArgs),
    /// Print an access token of the embedded identity provider (development only)
    Token(TokenArgs),
    /// Compile a tool to a package
    Build(BuildArgs),
    /// Make a package of a component that was compiled already
    Pack(PackArgs),
    /// Print everything that a package asks for and holds
    Inspect(InspectArgs),
    /// Check configuration, rules and packages, and tell every problem at once
    Check(CheckArgs),
    /// Say which rules decide a call, which nearly did, and what would have to change
    ///
    /// Uses the functions that decide a call. The caller is given by a token or, with `--claims`, by what a token would say.
    Explain(ExplainArgs),
    /// Test the operator's rules, and compare two sets of them
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// See, revoke and record consents, also while the server runs
    #[command(subcommand)]
    Consent(ConsentCommand),
    /// Read, verify, prove and hand on the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look for personal data and secrets in a file
    #[command(subcommand)]
    Pii(pii::PiiCommand),
    /// Make, show, rotate and destroy the keys that values are encrypted with, also as it runs
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Compile one component to native code under limits; the server runs this for each package
    #[command(hide = true)]
    CompileComponent {
        input: PathBuf,
        output: PathBuf,
        part: Part,
    },
    /// Make the processes in which guests run; the server runs this where `isolation = "process"`
    #[command(hide = true)]
    MakeExecutors,
}

/// Which server a command is about.
#[derive(Args, Clone)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "BAILIWICK_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of a development server, used when there is no configuration file
    #[arg(long, value_name = "DIR", default_value = dev::DEV_DIR)]
    dir: PathBuf,
}

impl ConfigArgs {
    /// The configuration, and whether it is that of a development folder.
    fn read(&self) -> anyhow::Result<(Config, bool)> {
        match &self.config {
            Some(file) => Ok((Config::read(file)?, false)),
            None => {
                anyhow::ensure!(
                    self.dir.join("bailiwick.toml").exists(),
                    "there is no configuration: name one with `--config FILE`, or start `bailiwick serve --dev` first"
                );
                Ok((dev::config_in(&self.dir, None)?, true))
            }
        }
    }
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask the running server what its process gave up, too; it tells on the listener of `[telemetry]`
    #[arg(long)]
    live: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// End after the story, with status 0 if every step went as told
    #[arg(long)]
    once: bool,
    /// Address of the server; the embedded identity provider takes the port after it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8137")]
    listen: SocketAddr,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Add the embedded identity provider with the users `alice` and `root`, on loopback; without `--config`, keep everything in `--dir`
    #[arg(long)]
    dev: bool,
    /// Address to listen on, for a development folder that has no configuration yet
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Args)]
struct TokenArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The user: `alice` or `root`
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The OAuth client that the token is for; consent is given per client
    #[arg(long, value_name = "ID", default_value = "dev-client")]
    client: String,
    /// The scopes, separated by spaces
    #[arg(long, value_name = "SCOPES", default_value = crate::idp::DEFAULT_SCOPE)]
    scope: String,
}

#[derive(Args)]
struct BuildArgs {
    /// Folder of the tool: a `tool.toml` beside the source
    dir: PathBuf,
    /// Where the package goes; `NAME.wasm` when left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args)]
struct PackArgs {
    /// The component
    component: PathBuf,
    /// What it asks for
    #[arg(long, value_name = "FILE", default_value = "tool.toml")]
    manifest: PathBuf,
    /// Where the package goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args)]
struct InspectArgs {
    /// The package
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder of the rules, instead of the configured one
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The tool
    #[arg(long, value_name = "NAME", required_unless_present = "matrix")]
    tool: Option<String>,
    /// Its arguments, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    arguments: String,
    #[command(flatten)]
    who: WhoArgs,
    /// The client, of a caller that is not given by a token
    #[arg(
        long,
        value_name = "ID",
        conflicts_with = "token_file",
        default_value = "dev-client"
    )]
    client: String,
    /// The issuer of `--claims`; may be left out when one is configured
    #[arg(long, value_name = "URL", requires = "claims")]
    issuer: Option<String>,
}

/// Whom the rules are asked about.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct WhoArgs {
    /// A file with the caller's access token, `-` for standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The claims that a token would have: a JSON object, or a file with one
    #[arg(long, value_name = "JSON|FILE")]
    claims: Option<String>,
    /// A user of the embedded identity provider (development only)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Every caller of a file of expectations, and what each may do with each tool
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tool", "arguments"])]
    matrix: Option<PathBuf>,
}

#[derive(Subcommand)]
enum ConsentCommand {
    /// Print the consents of all users that hold, and denials, the newest first
    List(ConsentListArgs),
    /// Print everything that is recorded of one
    Show(ConsentShowArgs),
    /// Take consents back; calls that run under them are stopped, also those of a running server
    Revoke(ConsentRevokeArgs),
    /// Let suspended consents hold again, because their publisher's package is served again, or their client is what it was
    ///
    /// They are suspended when a package of another publisher takes the tool's name, when sign-ins of the client lead back to
    /// other hosts, and when its metadata document was unreadable for a day. The document is read for this. What has run out,
    /// and what its user decided anew, stays as it is.
    Resume(ConsentResumeArgs),
    /// Agree for somebody else to what a tool reads (T0 and T1), and the only way for service accounts
    ///
    /// What writes, sends out or does more (T2, T3) is for the user alone to decide, on the consent page. The record says that
    /// the operator made it, the user sees it and can take it back, and it never overrules a decision of the user.
    PreConsent(ConsentPreArgs),
}

/// Which consents; what is left out fits all.
#[derive(Args)]
struct ConsentFilterArgs {
    /// Only those of this user, by `sub`
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// Only those of this client
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Only those for this tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
}

#[derive(Args)]
struct ConsentListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: ConsentFilterArgs,
    /// Print also those that have ended
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ConsentShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The id, as `list` prints it
    id: uuid::Uuid,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the signed receipt instead, as the user downloads it
    #[arg(long, conflicts_with = "json")]
    receipt: bool,
}

#[derive(Args)]
struct ConsentRevokeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The ids, as `list` prints them; without any, every consent that fits is revoked
    #[arg(conflicts_with_all = ["user", "client", "tool"])]
    ids: Vec<uuid::Uuid>,
    #[command(flatten)]
    filter: ConsentFilterArgs,
    /// Why, in a sentence for the user, who sees it; at most 300 characters
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

#[derive(Args)]
struct ConsentResumeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The ids, as `list --all` prints them; without any, every suspended consent that fits
    #[arg(conflicts_with_all = ["user", "client", "tool"])]
    ids: Vec<uuid::Uuid>,
    #[command(flatten)]
    filter: ConsentFilterArgs,
}

/// Characters of a reason: a sentence or two, for a page and for a receipt.
const REASON_CHARS_MAX: usize = 300;

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > REASON_CHARS_MAX {
        return Err(format!("a reason has 1 to {REASON_CHARS_MAX} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("a reason stands on one line".to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Args)]
struct ConsentPreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// For whom: the `sub` of a user, or of a service account
    #[arg(long, value_name = "SUB")]
    user: String,
    /// Who vouches for them; may be left out where one issuer is configured
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// Their tenant; the issuer's own when left out
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The OAuth client through which it may be called
    #[arg(long, value_name = "ID")]
    client: String,
    /// The tool, by the name under which it is served
    #[arg(long, value_name = "NAME")]
    tool: String,
    /// What is agreed to, such as `files read notes`; all that the tool asks for when left out
    #[arg(long = "capability", value_name = "CAPABILITY")]
    capabilities: Vec<String>,
    /// The day from which on it holds, as in 2027-01-31, at midnight UTC; at once when left out
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<time::Date>,
    /// For how many days from its beginning, and to 90 from now at most; it lapses after 30 without use
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=90))]
    days: u32,
}

fn day(text: &str) -> Result<time::Date, time::error::Parse> {
    let form = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, form)
}

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything is read.
    if let Err(error) = crate::hardening::no_dumps() {
        eprintln!("bailiwick: core files cannot be forbidden: {error}");
        return ExitCode::FAILURE;
    }
    if let Command::MakeExecutors = &cli.command {
        return made(crate::sandbox::executor::make_executors());
    }
    if let Command::CompileComponent {
        input,
        output,
        part,
    } = &cli.command
    {
        return compile(input, output, *part);
    }
    // A server tells what happens, as its configuration says; the other commands print what they were asked for, and problems.
    if !matches!(cli.command, Command::Serve(_)) {
        // Nobody has made a log before.
        let _ = telemetry::log::of_a_command();
    }
    let result = prepared(&cli.command).and_then(|prepared| start(cli.command, prepared));
    result.unwrap_or_else(|error| {
        eprintln!("bailiwick: {error}");
        for cause in error.chain().skip(1) {
            eprintln!("  because: {cause}");
        }
        ExitCode::FAILURE
    })
}

/// What has to be done before there are threads.
fn prepared(command: &Command) -> anyhow::Result<Option<serve::Prepared>> {
    // RUSTLS and the token library take their provider from here; two or none would fail at run time.
    crate::crypto::install()?;
    match command {
        Command::Serve(args) => serve::prepare(args).map(Some),
        _ => Ok(None),
    }
}

fn start(command: Command, prepared: Option<serve::Prepared>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(run(command, prepared))
}

async fn run(command: Command, prepared: Option<serve::Prepared>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => crate::demo::run(args.listen, args.once).await,
        Command::Serve(args) => {
            let prepared = prepared.context("the server was not prepared")?;
            serve::run(&args, prepared).await
        }
        Command::Token(args) => token::run(&args),
        Command::Build(args) => author::build(&args).await,
        Command::Pack(args) => author::pack(&args).await,
        Command::Inspect(args) => author::inspect(&args),
        Command::Check(args) => check::run(&args).await,
        Command::Explain(args) => explain::run(&args).await,
        Command::Policy(command) => policy::run(&command).await,
        Command::Consent(ConsentCommand::List(args)) => consent::list(&args).await,
        Command::Consent(ConsentCommand::Show(args)) => consent::show(&args).await,
        Command::Consent(ConsentCommand::Revoke(args)) => consent::revoke(&args).await,
        Command::Consent(ConsentCommand::Resume(args)) => consent::resume(&args).await,
        Command::Consent(ConsentCommand::PreConsent(args)) => consent::pre_consent(&args).await,
        Command::Audit(command) => audit::run(&command).await,
        Command::Pii(command) => Ok(pii::run(&command)),
        Command::Keys(command) => keys::run(&command).await,
        Command::MakeExecutors => Ok(made(crate::sandbox::executor::make_executors())),
        Command::CompileComponent {
            input,
            output,
            part,
        } => Ok(compile(&input, &output, part)),
    }
}

fn made(done: std::io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bailiwick: executors cannot be made: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(input: &std::path::Path, output: &std::path::Path, part: Part) -> ExitCode {
    match crate::catalog::compile_component(input, output, part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            for cause in
                std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
            {
                eprintln!("  because: {cause}");
            }
            ExitCode::from(error.status())
        }
    }
}
