//! `bailiwick pii`: what the detector finds, for operators who want to see it before they rely on it.

use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::limits;
use crate::protect::{Detector, Finding, Scan};

/// Columns of one cell of the table, in characters: pointers and values are cut there.
const CELL_CHARS_MAX: usize = 48;

#[derive(Subcommand)]
pub(super) enum PiiCommand {
    /// Print what is found in JSON or in text, with its values masked
    ///
    /// What does not parse as JSON is searched as text. Ends with status 0 if nothing was found, with 1 if something was, with
    /// 2 if the file cannot be read, is too large, or could not be searched to its end without a finding.
    Scan(ScanArgs),
}

#[derive(Args)]
pub(super) struct ScanArgs {
    /// The file, `-` for standard input
    file: PathBuf,
    /// A JSON Schema of it, whose annotations (`x-pii`), titles and descriptions count
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &PiiCommand) -> ExitCode {
    let PiiCommand::Scan(args) = command;
    match scan(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bailiwick: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn scan(args: &ScanArgs) -> anyhow::Result<ExitCode> {
    let schema = match &args.schema {
        Some(file) => {
            let name = file.display();
            serde_json::from_str(&read(file)?)
                .with_context(|| format!("`{name}` is no JSON Schema"))?
        }
        None => Value::Null,
    };
    let text = read(&args.file)?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let scan = Detector::built_in().scan(&value, &schema);
    if args.json {
        println!("{}", report(&scan, &value));
    } else {
        print!("{}", table(&scan, &value));
    }
    Ok(match (scan.findings.is_empty(), scan.truncated) {
        (true, false) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(2),
        (false, _) => ExitCode::FAILURE,
    })
}

/// A file, or standard input, up to what is searched.
fn read(file: &Path) -> anyhow::Result<String> {
    let most = limits::PROTECT_BYTES_MAX as u64;
    let name = file.display();
    let mut bytes = Vec::new();
    let done = match file == Path::new("-") {
        true => std::io::stdin().take(most + 1).read_to_end(&mut bytes),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        }
    };
    done.with_context(|| format!("`{name}` cannot be read"))?;
    anyhow::ensure!(
        bytes.len() as u64 <= most,
        "`{name}` has more than {most} bytes, which is the most that is searched"
    );
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("`{name}` is not UTF-8"))
}

fn report(scan: &Scan, value: &Value) -> Value {
    let findings = scan.findings.iter().map(|finding| {
        json!({
            "pointer": scan.place(finding),
            "class": finding.class,
            "confidence": finding.confidence,
            "score": finding.score,
            "reason": finding.reason,
            "in_key": finding.in_key,
            "masked": finding.shown(value),
        })
    });
    json!({"findings": findings.collect::<Vec<_>>(), "truncated": scan.truncated})
}

fn table(scan: &Scan, value: &Value) -> String {
    let rows: Vec<[String; 6]> = scan
        .findings
        .iter()
        .map(|finding| row(scan, finding, value))
        .collect();
    let mut out = String::new();
    if !rows.is_empty() {
        let head = ["where", "class", "confidence", "score", "reason", "masked"].map(str::to_owned);
        let width = |nth: usize| {
            let cells = std::iter::once(&head).chain(&rows);
            cells
                .filter_map(|row| row.get(nth))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for row in std::iter::once(&head).chain(&rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out.push_str(&match rows.len() {
        0 => "nothing found\n".to_owned(),
        1 => "1 finding\n".to_owned(),
        count => format!("{count} findings\n"),
    });
    if scan.truncated {
        out.push_str("a bound was reached: not everything was searched\n");
    }
    out
}

fn row(scan: &Scan, finding: &Finding, value: &Value) -> [String; 6] {
    let place = match (finding.pointer.is_empty(), finding.in_key) {
        (true, _) => "(text)".to_owned(),
        (false, true) => format!("{} (key)", scan.place(finding)),
        (false, false) => scan.place(finding),
    };
    [
        cell(&place),
        finding.class.to_string(),
        finding.confidence.to_string(),
        finding.score.to_string(),
        finding.reason.to_string(),
        cell(&finding.shown(value).unwrap_or_default()),
    ]
}

/// A text on one line of a terminal, which it cannot steer.
fn cell(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let plain = text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c });
    let mut cell: String = plain.clone().take(CELL_CHARS_MAX).collect();
    if plain.count() > CELL_CHARS_MAX {
        cell.pop();
        cell.push('…');
    }
    cell
}
