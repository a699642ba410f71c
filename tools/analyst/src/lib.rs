//! Answers SQL over the CSV, JSON and JSON Lines files in the mount `data`, which it only reads.

mod read;
mod show;
mod sql;
mod table;
#[cfg(test)]
mod tests;

use bailiwick_sdk::tools;

#[tools]
mod analyst {
    use std::cell::Cell;

    use bailiwick_sdk::files::{Dir, READ_BYTES_MAX};
    use bailiwick_sdk::{Files, Json, ToolError};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use crate::read::Format;
    use crate::show::Shown;
    use crate::sql::Tables;
    use crate::table::Table;

    /// Most files that one call reads, in bytes together: their cells must fit the memory of a call.
    pub(crate) const BYTES_READ_MAX: u64 = 8 * 1024 * 1024;
    /// Most files that are listed. A model cannot use more.
    pub(crate) const FILES_MAX: usize = 64;

    #[derive(Deserialize, JsonSchema)]
    pub(crate) struct Question {
        /// One SELECT statement, at most 4096 bytes. A table is the name of its file without the ending, in double quotes
        /// unless it is one plain word: `SELECT city, COUNT(*) AS n FROM "sales-2024" GROUP BY city ORDER BY n DESC`.
        #[schemars(length(min = 1, max = 4096))]
        pub(crate) sql: String,
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) struct Found {
        /// The tables, by the name of their file.
        pub(crate) tables: Vec<Described>,
        /// Whether there are more files than are listed here.
        pub(crate) more: bool,
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) struct Described {
        /// The name in SQL, to be put in double quotes.
        pub(crate) table: String,
        /// The file.
        pub(crate) file: String,
        /// How many rows it has.
        pub(crate) rows: Option<usize>,
        /// Its columns in order.
        pub(crate) columns: Vec<Column>,
        /// Why it cannot be read.
        pub(crate) problem: Option<String>,
    }

    #[derive(Serialize, JsonSchema)]
    pub(crate) struct Column {
        /// The name of the column. Upper and lower case count.
        pub(crate) name: String,
        /// One of `boolean`, `integer`, `number` and `text`.
        pub(crate) kind: String,
    }

    /// Lists the tables: the CSV, JSON and JSON Lines files of the folder, with their columns and numbers of rows.
    #[tool(title = "List the tables")]
    pub(crate) fn analyst_tables(files: Files) -> Result<Json<Found>, ToolError> {
        let folder = Folder::open(&files)?;
        let listed = folder.files.iter().take(FILES_MAX);
        let tables = listed.map(|file| folder.describe(file)).collect();
        let more = folder.files.len() > FILES_MAX;
        Ok(Json(Found { tables, more }))
    }

    /// Answers one SQL SELECT over the tables, with at most 500 rows.
    #[tool(title = "Ask with SQL")]
    pub(crate) fn analyst_query(question: Question, files: Files) -> Result<Shown, ToolError> {
        let folder = Folder::open(&files)?;
        let tables = Tables::new(|name: &str| folder.table(name));
        Shown::new(tables.query(&question.sql)?)
    }

    /// The folder, and how much of it this call has read.
    struct Folder {
        dir: Dir,
        files: Vec<File>,
        read: Cell<u64>,
    }

    struct File {
        name: String,
        stem: String,
        format: Format,
        size: u64,
    }

    impl Folder {
        fn open(files: &Files) -> Result<Self, ToolError> {
            let dir = files.mount("data")?;
            let entries = dir.list()?.into_iter().filter(|entry| !entry.is_dir);
            let files = entries.filter_map(|entry| {
                let (format, stem) = Format::of(&entry.name)?;
                Some(File {
                    stem: stem.to_owned(),
                    format,
                    size: entry.size,
                    name: entry.name,
                })
            });
            let files = files.collect();
            Ok(Self {
                dir,
                files,
                read: Cell::new(0),
            })
        }

        /// Whether the name of this file without its ending is the name of another's too.
        fn is_shared(&self, stem: &str) -> bool {
            self.files.iter().filter(|file| file.stem == stem).count() > 1
        }

        /// The table of this name: the whole name of a file, or the name without its ending where that is one file alone.
        fn table(&self, name: &str) -> Result<Table, ToolError> {
            let whole = self.files.iter().find(|file| file.name == name);
            if whole.is_none() && self.is_shared(name) {
                return Err(ToolError::invalid_arguments(format_args!(
                    "several files are called `{name}`; name one with its ending, in double quotes"
                )));
            }
            let found = whole.or_else(|| self.files.iter().find(|file| file.stem == name));
            let file = found.ok_or_else(|| {
                ToolError::failed(format_args!(
                    "there is no table `{name}`; `analyst_tables` has the names"
                ))
            })?;
            self.read(file).map_err(|why| {
                ToolError::failed(format_args!("`{}` cannot be read: {why}", file.name))
            })
        }

        fn read(&self, file: &File) -> Result<Table, String> {
            if file.size > READ_BYTES_MAX {
                return Err(format!("it is larger than {READ_BYTES_MAX} bytes"));
            }
            let bytes = self
                .dir
                .read(&file.name)
                .map_err(|error| error.to_string())?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.read.set(self.read.get().saturating_add(length));
            if self.read.get() > BYTES_READ_MAX {
                return Err(format!("one call reads at most {BYTES_READ_MAX} bytes"));
            }
            file.format.read(&bytes)
        }

        fn describe(&self, file: &File) -> Described {
            let table = match self.is_shared(&file.stem) {
                true => file.name.clone(),
                false => file.stem.clone(),
            };
            let read = self.read(file);
            let columns = read.iter().flat_map(|table| &table.columns);
            let columns = columns.map(|(name, kind)| Column {
                name: name.clone(),
                kind: kind.name().to_owned(),
            });
            Described {
                table,
                file: file.name.clone(),
                columns: columns.collect(),
                rows: read.as_ref().ok().map(|table| table.rows.len()),
                problem: read.err(),
            }
        }
    }
}
