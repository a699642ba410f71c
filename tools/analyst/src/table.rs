//! What a file holds once it is read: columns with one kind each, and rows.

use gluesql_core::ast::{ColumnDef, DataType};
use gluesql_core::data::{Schema, Value};

/// Most rows of one file: with a few columns they fill the memory of a call.
pub const ROWS_MAX: usize = 100_000;
/// Most columns of one file. A model cannot use more.
pub const COLUMNS_MAX: usize = 256;
/// Most cells of one file. Each takes 32 bytes and its text, and a query copies what it looks at.
pub const CELLS_MAX: usize = 500_000;
/// Longest name of a column, in bytes.
pub const COLUMN_BYTES_MAX: usize = 128;
/// Largest cell, in bytes. Texts that are longer are documents, not data.
pub const CELL_BYTES_MAX: usize = 16 * 1024;
/// The largest whole number up to which every one has its own 64 bit floating point number.
const EXACT_MAX: u64 = 1 << 53;

/// One cell as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Bool(String),
    Number(String),
    Text(String),
}

/// What all cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Integer,
    Number,
    Text,
}

#[derive(Debug)]
pub struct Table {
    pub columns: Vec<(String, Kind)>,
    pub rows: Vec<Vec<Value>>,
}

impl Cell {
    /// The value that a cell has in a column of this kind. What is in the way of the kind stays the text that it is.
    fn into_value(self, kind: Kind) -> Value {
        let text = match self {
            Self::Null => return Value::Null,
            Self::Bool(text) | Self::Number(text) | Self::Text(text) => text,
        };
        match kind {
            Kind::Boolean => Value::Bool(text.eq_ignore_ascii_case("true")),
            Kind::Integer => text.parse().map_or_else(|_| Value::Str(text), Value::I64),
            Kind::Number => text.parse().map_or_else(|_| Value::Str(text), Value::F64),
            Kind::Text => Value::Str(text),
        }
    }

    /// The narrowest kind that holds the cell whole.
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(_) => Kind::Boolean,
            Self::Number(text) if text.parse::<i64>().is_ok() => Kind::Integer,
            Self::Number(text) if is_exact(text) => Kind::Number,
            Self::Number(_) | Self::Text(_) => Kind::Text,
        })
    }
}

/// Whether a floating point number is near enough to what is written: not infinite, and no digits of a whole number lost.
fn is_exact(text: &str) -> bool {
    let whole = text.trim_start_matches('-');
    let fits = match whole.bytes().all(|b| b.is_ascii_digit()) {
        true => whole.parse::<u64>().is_ok_and(|n| n <= EXACT_MAX),
        false => true,
    };
    fits && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Whether a text is a number as JSON writes them: no sign but `-`, no leading zero, so that `007` stays a text.
pub fn is_number(text: &str) -> bool {
    let shape = || {
        let rest = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(digits)
    };
    shape()
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Text => "text",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int,
            Self::Number => DataType::Float,
            Self::Text => DataType::Text,
        }
    }
}

impl Table {
    /// The table of these rows, each of which has a cell for every column.
    pub fn new(names: Vec<String>, rows: Vec<Vec<Cell>>) -> Result<Self, String> {
        check_names(&names)?;
        let mut kinds = vec![None; names.len()];
        for row in &rows {
            for (kind, cell) in kinds.iter_mut().zip(row) {
                *kind = join(*kind, cell);
            }
        }
        for (at, kind) in kinds.iter_mut().enumerate() {
            // A column of numbers with a fraction holds whole ones too, unless one of them would lose digits.
            let loses = |row: &Vec<Cell>| match row.get(at) {
                Some(Cell::Number(text)) => !is_exact(text),
                _ => false,
            };
            if *kind == Some(Kind::Number) && rows.iter().any(loses) {
                *kind = Some(Kind::Text);
            }
        }
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|kind| kind.unwrap_or(Kind::Text))
            .collect();
        let typed = |row: Vec<Cell>| {
            let cells = row.into_iter().zip(&kinds);
            cells.map(|(cell, kind)| cell.into_value(*kind)).collect()
        };
        let rows = rows.into_iter().map(typed).collect();
        let columns = names.into_iter().zip(kinds).collect();
        Ok(Self { columns, rows })
    }

    /// What the engine is told of it.
    pub fn schema(&self, name: &str) -> Schema {
        let columns = self.columns.iter().map(|(name, kind)| ColumnDef {
            name: name.clone(),
            data_type: kind.data_type(),
            nullable: true,
            default: None,
            unique: None,
            comment: None,
        });
        Schema {
            table_name: name.to_owned(),
            column_defs: Some(columns.collect()),
            indexes: Vec::new(),
            engine: None,
            foreign_keys: Vec::new(),
            comment: None,
        }
    }
}

fn join(kind: Option<Kind>, cell: &Cell) -> Option<Kind> {
    match (kind, cell.kind()) {
        (kind, None) => kind,
        (None, kind) => kind,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(Kind::Integer), Some(Kind::Number)) | (Some(Kind::Number), Some(Kind::Integer)) => {
            Some(Kind::Number)
        }
        _ => Some(Kind::Text),
    }
}

fn check_names(names: &[String]) -> Result<(), String> {
    if names.len() > COLUMNS_MAX {
        return Err(format!("it has more than {COLUMNS_MAX} columns"));
    }
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if name.len() > COLUMN_BYTES_MAX {
            return Err(format!(
                "the name of a column is longer than {COLUMN_BYTES_MAX} bytes"
            ));
        }
        if !seen.insert(name) {
            return Err(format!("two columns are called `{name}`"));
        }
    }
    Ok(())
}
