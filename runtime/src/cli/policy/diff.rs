//! `bailiwick policy diff`: two sets of rules, asked the same questions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use super::{DiffArgs, Ground, Scene};
use crate::audit::{self, Filter, Record, Stage};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::identity::Caller;
use crate::policy::{
    CallerText, Circumstances, Difference, Edits, Expectations, How, Rules, compare, compare_admin,
    compare_call, own_admin,
};
use crate::server;
use crate::store::SqliteStore;

/// How many differences there are.
pub(super) async fn run(args: &DiffArgs) -> anyhow::Result<usize> {
    let ground = Ground::read(&args.config).await?;
    let now = SystemClock.now();
    let mut count = 0;
    let mut edits = None;
    let mut scenes = Vec::new();
    for file in &args.files {
        scenes.push(ground.scene(file)?);
    }
    if scenes.is_empty() {
        println!("note: no `--expect FILE` is given, so there are no callers to compare");
        scenes.push(ground.empty());
    }
    for scene in &scenes {
        let old = ground
            .rules(Some(&args.old), scene)
            .context("the old rules")?;
        let new = ground
            .rules(Some(&args.new), scene)
            .context("the new rules")?;
        count += differences(&ground, scene, &old, &new, now)?;
        edits.get_or_insert_with(|| old.edits(&new));
    }
    let edits = edits.unwrap_or_default();
    for (what, rules) in [
        ("added", &edits.added),
        ("removed", &edits.removed),
        ("changed", &edits.changed),
    ] {
        if !rules.is_empty() {
            println!("rules {what}: {}", rules.join(", "));
        }
    }
    recorded(&ground.config, &edits).await?;
    Ok(count)
}

/// Prints in what two sets differ for the callers and cases of a scene.
fn differences(
    ground: &Ground,
    scene: &Scene,
    old: &Rules,
    new: &Rules,
    now: Timestamp,
) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut said = BTreeSet::new();
    let mut say = |who: &str, one: &Difference| {
        let (sign, may) = match one.grows {
            true => ("+", "may now"),
            false => ("-", "may no longer"),
        };
        let how = match (one.grows, one.how) {
            (true, How::Forbid) => "no longer forbidden",
            (true, How::Permit) => "permitted",
            (true, How::Bound) => "no longer bounded so",
            (false, How::Forbid) => "forbidden",
            (false, How::Permit) => "no longer permitted",
            (false, How::Bound) => "bounded",
        };
        let by = match one.by.is_empty() {
            true => String::new(),
            false => format!("   ({how} by {})", one.by.join(", ")),
        };
        let line = format!("{sign} {who} {may} {}{by}", one.what);
        if said.insert(line.clone()) {
            println!("{line}");
            count += 1;
        }
    };
    let file = &scene.expectations.file;
    for (name, text) in &scene.expectations.callers {
        let caller = ground
            .caller(text, now)
            .with_context(|| format!("{file}: the caller `{name}`"))?;
        for tool in &scene.tools {
            for one in compare(old, new, &caller, tool) {
                say(name, &one);
            }
        }
        for one in compare_admin(old, new, &caller, &own_admin(&caller), now) {
            say(name, &one);
        }
    }
    for case in &scene.expectations.cases {
        let at = || format!("{file}:{}: the case `{}`", case.line, case.name);
        let now = case.now.unwrap_or(now);
        let arguments = &case.arguments;
        let call = Circumstances { arguments, now };
        let caller = ground.caller(&case.caller, now).with_context(at)?;
        let tool = scene.tool(&case.tool);
        let tool = tool.with_context(|| format!("{}: there is no tool `{}`", at(), case.tool))?;
        let who = scene.named(&case.caller, &caller);
        let mut all = compare(old, new, &caller, tool);
        // What holds for every call need not be said of this one.
        let bounds = all.iter().any(|one| one.how == How::Bound);
        if !all.iter().any(|one| one.what.starts_with("call ")) {
            let of_call = compare_call(old, new, &caller, tool, call).into_iter();
            all.extend(of_call.filter(|one| !(bounds && one.how == How::Bound)));
        }
        for one in all {
            say(&who, &one);
        }
    }
    for case in &scene.expectations.admin {
        let at = || format!("{file}:{}: the case `{}`", case.line, case.name);
        let now = case.now.unwrap_or(now);
        let caller = ground.caller(&case.caller, now).with_context(at)?;
        let asked = [(case.action, case.on(&caller))];
        for one in compare_admin(old, new, &caller, &asked, now) {
            say(&scene.named(&case.caller, &caller), &one);
        }
    }
    Ok(count)
}

impl Ground {
    /// A scene without callers and cases.
    fn empty(&self) -> Scene {
        Scene {
            expectations: Expectations {
                admin: Vec::new(),
                file: String::new(),
                callers: Vec::new(),
                tools: Vec::new(),
                cases: Vec::new(),
            },
            tools: self.tools.values().cloned().collect(),
            vocabulary: server::vocabulary(&self.config),
        }
    }
}

impl Scene {
    /// The name that the file gives a caller, else the caller's own.
    fn named(&self, text: &CallerText, caller: &Caller) -> String {
        let known = self.expectations.callers.iter();
        let mut known = known.filter(|(_, one)| one == text);
        let subject = || format!("{} of {}", caller.user().subject, caller.user().issuer);
        known.next().map_or_else(subject, |(name, _)| name.clone())
    }
}

/// Whether the rules refused what this record is about.
fn by_rules(record: &Record) -> bool {
    let stage = record.result.as_ref().and_then(|result| result.stage);
    stage == Some(Stage::Policy)
}

/// Says which recorded calls were decided by rules that are not the same any more.
///
/// Records hold neither claims nor the values of arguments, so that a call cannot be decided again. What they do hold is which
/// rules decided it.
async fn recorded(config: &Config, edits: &Edits) -> anyhow::Result<()> {
    if !config.state_file.exists() {
        println!("note: there is no audit log, so no recorded call is looked at");
        return Ok(());
    }
    let store = SqliteStore::read_locked(&config.state_file).await?;
    let gone: BTreeSet<&String> = edits.removed.iter().chain(&edits.changed).collect();
    let mut calls: BTreeMap<String, (u64, u64, BTreeSet<String>)> = BTreeMap::new();
    let mut refused = 0_u64;
    audit::show(&store, 1, &Filter::default(), |stored| {
        let record = &stored.record;
        // What the rules said stands in the first record of a call alone.
        match (&record.tool, &record.decision) {
            _ if by_rules(record) => refused += 1,
            (Some(tool), Some(decision)) => {
                let entry = calls.entry(tool.name.to_string()).or_default();
                entry.0 += 1;
                let hit: Vec<_> = decision
                    .rules
                    .iter()
                    .filter(|rule| gone.contains(rule))
                    .collect();
                if !hit.is_empty() {
                    entry.1 += 1;
                    entry.2.extend(hit.into_iter().cloned());
                }
            }
            (Some(_) | None, _) => {}
        }
    })
    .await?;
    let all: u64 = calls.values().map(|(all, ..)| all).sum();
    println!("recorded calls: {all} permitted, {refused} refused");
    for (tool, (all, hit, rules)) in &calls {
        if *hit > 0 {
            let rules: Vec<_> = rules.iter().map(String::as_str).collect();
            println!(
                "  {hit} of {all} calls of `{tool}` were permitted by rules that change: {}",
                rules.join(", ")
            );
        }
    }
    if all + refused > 0 {
        println!(
            "  records hold no claims and no values of arguments, so none of them is decided again; write a case for what matters"
        );
    }
    Ok(())
}
