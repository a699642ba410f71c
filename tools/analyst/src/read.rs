//! Reads CSV, JSON and JSON Lines.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::table::{CELL_BYTES_MAX, CELLS_MAX, COLUMNS_MAX, Cell, ROWS_MAX, Table, is_number};

/// How a file is written; its ending says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    JsonLines,
}

impl Format {
    /// The format of a file and its name without the ending.
    pub fn of(file: &str) -> Option<(Self, &str)> {
        let (stem, ending) = file.rsplit_once('.')?;
        let format = match ending.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::JsonLines,
            _ => return None,
        };
        (!stem.is_empty()).then_some((format, stem))
    }

    /// The table in the bytes of a file, or what is wrong with them.
    pub fn read(self, bytes: &[u8]) -> Result<Table, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            format!("it is not UTF-8 (at byte {at}); save it as UTF-8")
        })?;
        match self {
            Self::Csv => csv(text),
            Self::Json => json(text),
            Self::JsonLines => json_lines(text),
        }
    }
}

fn csv(text: &str) -> Result<Table, String> {
    // By default each record must have as many fields as the first.
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| told(&error))?.clone();
    if head.is_empty() {
        return Err("it is empty; the first line of a CSV file names its columns".into());
    }
    let name = |(at, name): (usize, &str)| match name.trim() {
        "" => format!("column_{}", at + 1),
        name => name.to_owned(),
    };
    let names: Vec<_> = head.iter().enumerate().map(name).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| told(&error))?;
        fits(rows.len() + 1, names.len())?;
        rows.push(record.iter().map(csv_cell).collect::<Result<_, _>>()?);
    }
    Table::new(names, rows)
}

fn csv_cell(text: &str) -> Result<Cell, String> {
    let bare = text.trim_matches([' ', '\t']);
    Ok(match bare {
        "" => Cell::Null,
        _ if is_number(bare) => Cell::Number(bare.into()),
        _ if ["true", "false"]
            .iter()
            .any(|word| bare.eq_ignore_ascii_case(word)) =>
        {
            Cell::Bool(bare.into())
        }
        _ => Cell::Text(checked(text)?.into()),
    })
}

/// What is wrong with a CSV file: the place, and nothing of what stands there.
fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!(
                "the row at line {line} has {len} fields, and the first line has {expected_len}"
            )
        }
        _ => "it is not CSV".into(),
    }
}

fn json(text: &str) -> Result<Table, String> {
    if text.trim().is_empty() {
        return Err("it is empty; `[]` would be an array without objects".into());
    }
    let rows: Vec<Row> = serde_json::from_str(text)
        .map_err(|error| format!("it is not a JSON array of objects: {}", place(&error)))?;
    objects(rows)
}

fn json_lines(text: &str) -> Result<Table, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let row = |(at, line)| {
        serde_json::from_str(line)
            .map_err(|error| format!("line {} is not a JSON object: {}", at + 1, place(&error)))
    };
    objects(
        lines
            .take(ROWS_MAX + 1)
            .map(row)
            .collect::<Result<_, _>>()?,
    )
}

/// Where and why, without what stands there.
fn place(error: &serde_json::Error) -> String {
    let why = match error.classify() {
        serde_json::error::Category::Data => {
            "another value stands there, or a name twice in one object"
        }
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            "a mistake in writing"
        }
    };
    format!("{why}, at line {}, column {}", error.line(), error.column())
}

/// One object: its names in their order, its values as they are written, so that no digit is lost.
struct Row<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    if fields.len() == COLUMNS_MAX {
                        return Err(serde::de::Error::custom("too many names"));
                    }
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(serde::de::Error::custom("a name twice"));
                    }
                    fields.push((name, value));
                }
                Ok(Row(fields))
            }
        }
        from.deserialize_map(Fields)
    }
}

#[derive(Deserialize, PartialEq)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn objects(objects: Vec<Row>) -> Result<Table, String> {
    let mut names: Vec<String> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for name in objects
        .iter()
        .flat_map(|row| row.0.iter().map(|(name, _)| name))
    {
        if !places.contains_key(name.as_ref()) {
            fits(objects.len(), names.len() + 1)?;
            places.insert(name.to_string(), names.len());
            names.push(name.to_string());
        }
    }
    fits(objects.len(), names.len())?;
    let mut rows = Vec::with_capacity(objects.len());
    for object in objects {
        let mut row = vec![Cell::Null; names.len()];
        for (name, value) in object.0 {
            let place = places.get(name.as_ref()).and_then(|at| row.get_mut(*at));
            if let Some(cell) = place {
                *cell = json_cell(value.get())?;
            }
        }
        rows.push(row);
    }
    Table::new(names, rows)
}

fn json_cell(raw: &str) -> Result<Cell, String> {
    Ok(match raw.as_bytes().first() {
        Some(b'n') => Cell::Null,
        Some(b't' | b'f') => Cell::Bool(raw.into()),
        Some(b'"') => {
            let text: String = serde_json::from_str(raw).map_err(|error| place(&error))?;
            checked(&text)?;
            Cell::Text(text)
        }
        Some(b'-' | b'0'..=b'9') => Cell::Number(checked(raw)?.into()),
        // An array or an object: its text.
        _ => Cell::Text(checked(raw)?.into()),
    })
}

fn checked(text: &str) -> Result<&str, String> {
    match text.len() > CELL_BYTES_MAX {
        true => Err(format!("a cell is larger than {CELL_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

fn fits(rows: usize, columns: usize) -> Result<(), String> {
    if rows > ROWS_MAX {
        return Err(format!("it has more than {ROWS_MAX} rows"));
    }
    if columns > COLUMNS_MAX {
        return Err(format!("it has more than {COLUMNS_MAX} columns"));
    }
    if rows.saturating_mul(columns) > CELLS_MAX {
        return Err(format!("it has more than {CELLS_MAX} cells"));
    }
    Ok(())
}
