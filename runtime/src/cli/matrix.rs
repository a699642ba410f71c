//! `bailiwick explain --matrix`: what every caller of a file may do with every tool.

use std::path::Path;
use std::process::ExitCode;

use super::ConfigArgs;
use super::policy::Ground;
use crate::clock::{Clock, SystemClock};
use crate::policy::May;

pub(super) async fn run(
    args: &ConfigArgs,
    dir: Option<&Path>,
    file: &Path,
) -> anyhow::Result<ExitCode> {
    let ground = Ground::read(args).await?;
    let scene = ground.scene(file)?;
    let rules = ground.rules(dir, &scene)?;
    let now = SystemClock.now();
    let callers = &scene.expectations.callers;
    anyhow::ensure!(
        !callers.is_empty(),
        "`{}` names no callers; add `[caller.NAME]` tables",
        file.display()
    );
    let mut rows =
        vec![["CALLER", "TOOL", "SEES", "CALLS", "CAPABILITY", "USES"].map(str::to_owned)];
    for (name, text) in callers {
        let caller = match ground.caller(text, now) {
            Ok(caller) => caller,
            Err(error) => anyhow::bail!("{}: the caller `{name}`: {error:#}", file.display()),
        };
        for tool in &scene.tools {
            let authority = rules.authority(&caller, tool);
            let calls = word(authority.calls);
            let head = [
                name.as_str(),
                tool.name().as_str(),
                yes(authority.listed),
                calls,
            ];
            let uses = authority.uses.iter();
            let mut uses: Vec<_> = uses
                .map(|(one, may)| [one.to_string(), word(*may).to_owned()])
                .collect();
            if uses.is_empty() {
                uses.push(["-".to_owned(), "-".to_owned()]);
            }
            for [capability, may] in uses {
                let [a, b, c, d] = head.map(str::to_owned);
                rows.push([a, b, c, d, capability, may]);
            }
        }
    }
    print(&rows);
    Ok(ExitCode::SUCCESS)
}

fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

fn word(may: May) -> &'static str {
    match may {
        May::No => "no",
        May::Depends => "depends",
        May::Yes => "yes",
    }
}

fn print(rows: &[[String; 6]]) {
    let mut widths = [0; 6];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        println!("{}", line.trim_end());
    }
}
