//! `bailiwick policy`: rules tested like code, and two sets of them compared.

mod diff;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::rehearse::Rehearsal;
use super::{ConfigArgs, check};
use crate::catalog::{Tool, described};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::dev;
use crate::follow;
use crate::identity::Caller;
use crate::ids::ToolName;
use crate::policy::{
    AdminCase, CallerText, Case, Expect, Expectations, Rules, Verdict, Vocabulary, judge,
    judge_admin,
};

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Run files of expectations: who may do what, and who may not
    ///
    /// A file names callers by the claims of their tokens, tools, arguments and what should come out. The claims go through the
    /// verification and the mapping of a real token. Ends with status 0 if every case came out as expected, with 1 if one did
    /// not or could not be run, or if a file, the rules or the configuration cannot be read.
    Test(TestArgs),
    /// Say whose authority grows and whose shrinks between two folders of rules
    ///
    /// Asks both for every caller and case of the expectations and every tool, and says which recorded calls were decided by
    /// rules that change. Ends with status 0 if nothing differs in what was asked, with 1 if something does, with 2 if it
    /// cannot be told.
    Diff(DiffArgs),
}

#[derive(Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder of the rules, instead of the configured one
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Print failures only
    #[arg(long, short)]
    quiet: bool,
    /// The files of expectations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Args)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder of the rules that are
    old: PathBuf,
    /// The folder of the rules that shall be
    new: PathBuf,
    /// A file of expectations whose callers and cases are compared; may be given several times
    #[arg(long = "expect", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What rules are tested against: the operator's issuers, words and admitted tools.
pub(super) struct Ground {
    pub(super) config: Config,
    rehearsal: Rehearsal,
    tools: BTreeMap<ToolName, Tool>,
}

/// One file of expectations on its ground.
pub(super) struct Scene {
    pub(super) expectations: Expectations,
    pub(super) tools: Vec<Tool>,
    vocabulary: Vocabulary,
}

impl Ground {
    /// Of this configuration, with the packages in its folder.
    pub(super) async fn read(args: &ConfigArgs) -> anyhow::Result<Self> {
        let (mut config, dev) = args.read()?;
        if dev {
            dev::add_idp(&mut config, Arc::new(SystemClock))?;
        }
        let snapshot = match config.tools.dir.is_dir() {
            true => check::packages(&config).await?,
            // Rules can be tested before there is a tool; the files then describe them.
            false => Arc::default(),
        };
        for refused in &snapshot.refused {
            eprintln!("note: {} is not admitted: {}", refused.file, refused.reason);
        }
        let issuers = &config.issuers;
        Ok(Self {
            rehearsal: Rehearsal::new(issuers)?,
            tools: snapshot.tools.clone(),
            config,
        })
    }

    /// Reads a file of expectations and describes its tools.
    pub(super) fn scene(&self, file: &Path) -> anyhow::Result<Scene> {
        let name = file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("`{name}` cannot be read"))?;
        let expectations = Expectations::parse(&name, &text).map_err(|problems| {
            let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(all.join("\n"))
        })?;
        let mut tools = self.tools.clone();
        let mut tags = self.config.tools.tags.clone();
        for one in &expectations.tools {
            let at = format!("{name}:{}", one.line);
            let made =
                described(one.manifest.clone()).map_err(|why| anyhow::anyhow!("{at}: {why}"))?;
            for tool in made {
                let own = tool.name().clone();
                if !one.tags.is_empty() {
                    tags.insert(own.to_string(), one.tags.clone());
                }
                anyhow::ensure!(
                    tools.insert(own.clone(), tool).is_none(),
                    "{at}: there is a tool `{own}` already; describe only what is not admitted, and once"
                );
            }
        }
        Ok(Scene {
            vocabulary: Vocabulary::new(
                &self.config.issuers,
                &tags,
                self.config.anonymous_discovery,
            )
            .with_rates(self.config.rates.keys())
            .with_data(self.config.data.names()),
            tools: tools.into_values().collect(),
            expectations,
        })
    }

    /// The rules of a folder, checked against the tools of a scene.
    pub(super) fn rules(&self, dir: Option<&Path>, scene: &Scene) -> anyhow::Result<Rules> {
        let dir = dir.or(self.config.policy_dir.as_deref());
        let sources = follow::rule_sources(dir)?;
        scene.rules(&sources).map_err(|error| {
            let all: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!(all.join("\n"))
        })
    }

    pub(super) fn caller(&self, text: &CallerText, now: Timestamp) -> anyhow::Result<Arc<Caller>> {
        self.rehearsal.caller(text, now)
    }

    /// Runs the cases of a scene.
    pub(super) fn test(&self, rules: &Rules, scene: &Scene, now: Timestamp) -> Vec<Verdict> {
        let expected = &scene.expectations;
        let cases = expected.cases.iter();
        let cases = cases.map(|case| self.verdict(rules, scene, case, now));
        let admin = expected.admin.iter();
        let admin = admin.map(|case| self.admin_verdict(rules, case, now));
        cases.chain(admin).collect()
    }

    fn admin_verdict(&self, rules: &Rules, case: &AdminCase, now: Timestamp) -> Verdict {
        let now = case.now.unwrap_or(now);
        match self.caller(&case.caller, now) {
            Ok(caller) => judge_admin(rules, &caller, case, now),
            Err(error) => Verdict::Void(format!("{error:#}")),
        }
    }

    fn verdict(&self, rules: &Rules, scene: &Scene, case: &Case, now: Timestamp) -> Verdict {
        let Some(tool) = scene.tool(&case.tool) else {
            return Verdict::Void(format!("there is no tool `{}`", case.tool));
        };
        let now = case.now.unwrap_or(now);
        match self.caller(&case.caller, now) {
            Ok(caller) => judge(rules, &caller, tool, case, now),
            Err(error) => Verdict::Void(format!("{error:#}")),
        }
    }
}

impl Scene {
    pub(super) fn rules(
        &self,
        sources: &[(String, String)],
    ) -> Result<Rules, crate::policy::PolicyError> {
        Rules::load_with(sources, &self.tools, self.vocabulary.clone())
    }

    /// What its file says of each case, in the order in which [`Ground::test`] runs them.
    fn told(&self) -> impl Iterator<Item = Told<'_>> {
        let cases = self.expectations.cases.iter();
        let cases = cases.map(|case| (case.line, case.name.as_str(), case.expect));
        let admin = self.expectations.admin.iter();
        cases.chain(admin.map(|case| (case.line, case.name.as_str(), case.expect)))
    }

    pub(super) fn tool(&self, name: &ToolName) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name() == name)
    }
}

pub(super) async fn run(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Test(args) => test(args).await,
        PolicyCommand::Diff(args) => match diff::run(args).await {
            Ok(0) => {
                println!("nothing differs in what was asked");
                Ok(ExitCode::SUCCESS)
            }
            Ok(_) => Ok(ExitCode::FAILURE),
            Err(error) => {
                eprintln!("bailiwick: {error:#}");
                Ok(ExitCode::from(2))
            }
        },
    }
}

async fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let ground = Ground::read(&args.config).await?;
    let now = SystemClock.now();
    let (mut passed, mut failed, mut void, mut unread) = (0, 0, 0, 0);
    for file in &args.files {
        let scene = ground.scene(file);
        let ready = scene.and_then(|scene| {
            let rules = ground.rules(args.rules.as_deref(), &scene)?;
            Ok((scene, rules))
        });
        let (scene, rules) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                println!("{error:#}");
                unread += 1;
                continue;
            }
        };
        let verdicts = ground.test(&rules, &scene, now);
        for (case, verdict) in scene.told().zip(&verdicts) {
            match verdict {
                Verdict::Pass => passed += 1,
                Verdict::Fail { .. } => failed += 1,
                Verdict::Void(_) => void += 1,
            }
            if !(args.quiet && *verdict == Verdict::Pass) {
                println!("{}", line(&scene.expectations.file, &case, verdict));
            }
        }
    }
    let mut said = format!("{passed} passed, {failed} failed");
    if void > 0 {
        write!(said, ", {void} could not be run")?;
    }
    if unread > 0 {
        write!(said, ", {unread} of {} files not run", args.files.len())?;
    }
    println!("{said}");
    match (passed, failed + void + unread) {
        (1.., 0) => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Where a case stands, what it says and what it expects.
type Told<'a> = (usize, &'a str, Expect);

/// One case on one line.
fn line(file: &str, (at, name, expect): &Told<'_>, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => format!("ok      {name}"),
        Verdict::Fail { came, by } => format!(
            "FAILED  {name}\n        {file}:{at}: expected {}, came out {}: {by}",
            expect.as_str(),
            came.as_str()
        ),
        Verdict::Void(why) => format!("NOT RUN {name}\n        {file}:{at}: {why}"),
    }
}

#[cfg(test)]
mod tests;
