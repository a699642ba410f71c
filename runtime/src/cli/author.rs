//! `bailiwick build`, `pack` and `inspect`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use super::{BuildArgs, InspectArgs, PackArgs};
use crate::author::{self, Packer, ToolToml, Written};
use crate::catalog::Compiler;
use crate::engine::{Pool, WasmEngine};

/// A packer that compiles with this very program.
pub(crate) fn packer() -> anyhow::Result<Packer> {
    let engine = WasmEngine::new(Pool {
        calls_in_flight_max: 1,
        ..Pool::default()
    })?;
    Ok(Packer::new(
        Arc::new(engine),
        Compiler::new(std::env::current_exe()?),
    ))
}

pub(super) async fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let scratch = tempfile::tempdir()?;
    let progress = |line: &str| eprintln!("  {line}");
    let written = author::build(
        &packer()?,
        std::slice::from_ref(&args.dir),
        scratch.path(),
        progress,
    )
    .await?;
    let Some(mut written) = written.into_iter().next() else {
        anyhow::bail!("nothing was built")
    };
    written.path = args
        .output
        .clone()
        .unwrap_or_else(|| format!("{}.wasm", written.packed.manifest.name).into());
    author::write(&written.path, &written.packed.bytes)
        .with_context(|| format!("`{}` cannot be written", written.path.display()))?;
    told(&written);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn pack(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let toml = ToolToml::read(&args.manifest)?;
    told(&author::pack(&packer()?, &args.component, &toml, &args.output).await?);
    Ok(ExitCode::SUCCESS)
}

/// Says what was written and what its author should look at.
fn told(written: &Written) {
    let packed = &written.packed;
    for warning in &packed.warnings {
        eprintln!("warning: {warning}");
    }
    let tools: Vec<_> = packed
        .manifest
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    println!(
        "{}  {} {}, {} KiB, sha256:{}",
        written.path.display(),
        packed.manifest.name,
        packed.manifest.version,
        packed.bytes.len().div_ceil(1024),
        packed.digest
    );
    println!("  tools: {}", tools.join(", "));
    println!("  next:  bailiwick inspect {}", written.path.display());
}

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("`{}` cannot be read", args.file.display()))?;
    let report = author::inspect::inspect(&bytes)
        .with_context(|| format!("`{}` is no package", args.file.display()))?;
    if args.json {
        println!("{}", report.json())
    } else {
        print!("{report}")
    }
    Ok(if report.refused.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
