//! Keeps short notes in the folder `notes`, one file each.

use bailiwick_sdk::tools;

#[tools]
mod notes {
    use bailiwick_sdk::files::{Dir, FilesError};
    use bailiwick_sdk::{Files, Json, ToolError};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// Largest note. A model reads it whole, so more helps nobody.
    const TEXT_BYTES_MAX: usize = 64 * 1024;

    /// Longest name, so that name and ending fit what file systems take.
    const NAME_BYTES_MAX: usize = 64;

    const ENDING: &str = ".md";

    #[derive(Deserialize, JsonSchema)]
    struct Note {
        /// The name of the note: letters, digits, `-` and `_`.
        #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
        name: String,
        /// What it says, at most 65536 bytes.
        #[schemars(length(max = 65536))]
        text: String,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Name {
        /// The name of the note.
        #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
        name: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Names {
        /// The names of all notes, in alphabetical order.
        notes: Vec<String>,
    }

    /// Writes a note. A note of the same name is replaced.
    #[tool(title = "Write a note")]
    fn notes_write(note: Note, files: Files) -> Result<String, ToolError> {
        if note.text.len() > TEXT_BYTES_MAX {
            return Err(ToolError::invalid_arguments(format_args!(
                "`text` is longer than {TEXT_BYTES_MAX} bytes; split it into several notes"
            )));
        }
        folder(&files)?.write(&file(&note.name)?, &note.text)?;
        Ok(format!("Wrote the note `{}`.", note.name))
    }

    /// Reads a note.
    #[tool(title = "Read a note")]
    fn notes_read(note: Name, files: Files) -> Result<String, ToolError> {
        folder(&files)?
            .read_text(&file(&note.name)?)
            .map_err(|error| missing(error, &note.name))
    }

    /// Lists the names of all notes.
    #[tool(title = "List the notes")]
    fn notes_list(files: Files) -> Result<Json<Names>, ToolError> {
        let notes = folder(&files)?
            .list()?
            .into_iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| Some(entry.name.strip_suffix(ENDING)?.to_owned()))
            .collect();
        Ok(Json(Names { notes }))
    }

    /// Deletes a note for good.
    #[tool(title = "Delete a note")]
    fn notes_delete(note: Name, files: Files) -> Result<String, ToolError> {
        folder(&files)?
            .remove(&file(&note.name)?)
            .map_err(|error| missing(error, &note.name))?;
        Ok(format!("Deleted the note `{}`.", note.name))
    }

    fn folder(files: &Files) -> Result<Dir, ToolError> {
        Ok(files.mount("notes")?)
    }

    /// The name of the file. The alphabet leaves nothing that could mean another folder.
    fn file(name: &str) -> Result<String, ToolError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            return Err(ToolError::invalid_arguments(format_args!(
                "`name` is 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`"
            )));
        }
        Ok(format!("{name}{ENDING}"))
    }

    fn missing(error: FilesError, name: &str) -> ToolError {
        match error {
            FilesError::NotFound => ToolError::failed(format_args!(
                "there is no note `{name}`; `notes_list` has the names"
            )),
            error => error.into(),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn folder(name: &str) -> Files {
            let root = std::env::temp_dir().join(format!("notes-{name}-{}", std::process::id()));
            std::fs::create_dir_all(root.join("notes")).unwrap();
            Files::rooted_at(root)
        }

        fn named(name: &str) -> Name {
            Name { name: name.into() }
        }

        #[test]
        fn a_note_is_kept_until_it_is_deleted() {
            let files = || folder("kept");
            let note = Note {
                name: "milk".into(),
                text: "Buy some.".into(),
            };
            notes_write(note, files()).unwrap();
            assert_eq!(notes_read(named("milk"), files()).unwrap(), "Buy some.");
            assert_eq!(notes_list(files()).unwrap().0.notes, ["milk"]);
            notes_delete(named("milk"), files()).unwrap();
            let error = notes_read(named("milk"), files()).unwrap_err();
            assert!(matches!(error, ToolError::Failed(_)), "{error}");
        }

        #[test]
        fn a_name_cannot_leave_the_folder() {
            for name in ["", "..", "../x", "a/b", "a.b", "a\0", "ä", &"a".repeat(65)] {
                let error = notes_read(named(name), folder("names")).unwrap_err();
                assert!(matches!(error, ToolError::InvalidArguments(_)), "{name}");
            }
        }
    }
}
