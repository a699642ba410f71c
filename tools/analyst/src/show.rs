//! An answer as its reader gets it: structured, and as a table of plain text.

use bailiwick_sdk::{IntoReply, Json, Reply, ToolError};
use gluesql_core::data::Value;
use schemars::JsonSchema;
use serde::Serialize;

use crate::sql::Answer;

/// Largest structured answer, in bytes. With the table of text it stays below the 256 KiB that a reply may have.
pub const RESULT_BYTES_MAX: usize = 96 * 1024;
/// Longest cell in the table of text, in characters. The structured answer has it whole.
pub const TEXT_CELL_CHARS_MAX: usize = 60;
/// Largest table of text, in bytes. The structured answer has all rows.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Serialize, JsonSchema)]
pub struct Shown {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Whether there are more rows than these: ask for less, or with LIMIT and OFFSET.
    pub more: bool,
}

impl Shown {
    pub fn new(answer: Answer) -> Result<Self, ToolError> {
        let mut bytes = 0_usize;
        let mut more = answer.more;
        let mut rows = Vec::new();
        for row in answer.rows {
            let row: Vec<_> = row.into_iter().map(json).collect::<Result<_, _>>()?;
            bytes = bytes.saturating_add(
                serde_json::to_string(&row).map_or(usize::MAX, |text| text.len() + 1),
            );
            if bytes > RESULT_BYTES_MAX {
                more = true;
                break;
            }
            rows.push(row);
        }
        if rows.is_empty() && more {
            return Err(ToolError::failed(format_args!(
                "one row of the answer is larger than {RESULT_BYTES_MAX} bytes; select fewer columns"
            )));
        }
        let columns = answer.columns;
        Ok(Self {
            columns,
            rows,
            more,
        })
    }

    fn text(&self) -> String {
        let mut text = line(self.columns.iter().map(String::as_str));
        for (at, row) in self.rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().map(plain).collect();
            let line = line(cells.iter().map(String::as_str));
            if text.len() + line.len() > TEXT_BYTES_MAX {
                text.push_str(&format!(
                    "({} rows are in the structured answer alone)\n",
                    self.rows.len() - at
                ));
                break;
            }
            text.push_str(&line);
        }
        text.push_str(match self.more {
            true => "(there are more rows)",
            false => "(these are all rows)",
        });
        text
    }
}

impl IntoReply for Shown {
    fn into_reply(self) -> Result<Reply, ToolError> {
        Reply::text(self.text()).with_structured(&self)
    }

    fn output_schema() -> Option<String> {
        Json::<Self>::output_schema()
    }
}

fn json(value: Value) -> Result<serde_json::Value, ToolError> {
    match value {
        // JSON has no word for these.
        Value::F64(number) if !number.is_finite() => Ok(serde_json::Value::Null),
        value => serde_json::Value::try_from(value)
            .map_err(|error| ToolError::failed(format_args!("{error}; use CAST(… AS TEXT)"))),
    }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One line; what would break it is shown as a space.
fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let cell = |text: &str| {
        let mut cell: String = text
            .chars()
            .take(TEXT_CELL_CHARS_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if text.chars().nth(TEXT_CELL_CHARS_MAX).is_some() {
            cell.push('…');
        }
        cell
    };
    let cells: Vec<_> = cells.map(cell).collect();
    format!("{}\n", cells.join(" | "))
}
