//! Remembers short texts under names, in the store `memory`.

use bailiwick_sdk::tools;

#[tools]
mod memory {
    use bailiwick_sdk::kv::Store;
    use bailiwick_sdk::{Json, Kv, ToolError};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// Largest text. A model reads it whole, so more helps nobody.
    const TEXT_BYTES_MAX: usize = 16 * 1024;

    /// Longest name, in bytes: well within what a key may have.
    const NAME_BYTES_MAX: usize = 128;

    #[derive(Deserialize, JsonSchema)]
    struct Memory {
        /// What it is about, such as `birthday of Ada`.
        #[schemars(length(min = 1, max = 128))]
        name: String,
        /// What to remember, at most 16384 bytes.
        #[schemars(length(max = 16384))]
        text: String,
        /// Whether to add it as a line to what is remembered under this name, in place of replacing that.
        #[serde(default)]
        add: bool,
    }

    #[derive(Deserialize, JsonSchema)]
    struct Name {
        /// The name under which it was remembered.
        #[schemars(length(min = 1, max = 128))]
        name: String,
    }

    #[derive(Serialize, JsonSchema)]
    struct Names {
        /// The names of all that is remembered, in the order of their characters.
        names: Vec<String>,
    }

    /// Remembers a text under a name, also for later conversations. What was remembered under that name is replaced, unless
    /// `add` is set.
    #[tool(title = "Remember something")]
    fn memory_remember(memory: Memory, kv: Kv) -> Result<String, ToolError> {
        let name = checked(&memory.name)?;
        let store = kv.store("memory")?;
        fits(&memory.text)?;
        if memory.add {
            add(&store, name, &memory.text)?;
        } else {
            store.set(name, &memory.text)?;
        }
        Ok(format!("Remembered under `{name}`."))
    }

    /// Recalls what was remembered under a name.
    #[tool(title = "Recall something")]
    fn memory_recall(memory: Name, kv: Kv) -> Result<String, ToolError> {
        let name = checked(&memory.name)?;
        let text = kv.store("memory")?.get_text(name)?;
        text.ok_or_else(|| missing(name))
    }

    /// Lists the names of all that is remembered.
    #[tool(title = "List what is remembered")]
    fn memory_list(kv: Kv) -> Result<Json<Names>, ToolError> {
        let names = kv.store("memory")?.keys()?;
        Ok(Json(Names { names }))
    }

    /// Forgets what was remembered under a name, for good.
    #[tool(title = "Forget something")]
    fn memory_forget(memory: Name, kv: Kv) -> Result<String, ToolError> {
        let name = checked(&memory.name)?;
        let store = kv.store("memory")?;
        if !store.exists(name)? {
            return Err(missing(name));
        }
        store.delete(name)?;
        Ok(format!("Forgot `{name}`."))
    }

    /// Adds a line, whatever another call adds at the same moment.
    fn add(store: &Store, name: &str, line: &str) -> Result<(), ToolError> {
        let mut whole = Ok(());
        store.update(name, |held| {
            let held = held.unwrap_or_default();
            let text = String::from_utf8_lossy(&held);
            let text = match text.is_empty() {
                true => line.to_owned(),
                false => format!("{text}\n{line}"),
            };
            whole = fits(&text);
            // What does not fit leaves it as it was.
            match whole {
                Ok(()) => text.into_bytes(),
                Err(_) => held,
            }
        })?;
        whole
    }

    fn fits(text: &str) -> Result<(), ToolError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ToolError::invalid_arguments(format_args!(
                "`text` is longer than {TEXT_BYTES_MAX} bytes, with what is there already; remember it under several names"
            )));
        }
        Ok(())
    }

    fn checked(name: &str) -> Result<&str, ToolError> {
        let name = name.trim();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(ToolError::invalid_arguments(format_args!(
                "`name` is 1 to {NAME_BYTES_MAX} bytes on one line"
            )));
        }
        Ok(name)
    }

    fn missing(name: &str) -> ToolError {
        ToolError::failed(format_args!(
            "nothing is remembered under `{name}`; `memory_list` has the names"
        ))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn remember(kv: &Kv, name: &str, text: &str, add: bool) -> Result<String, ToolError> {
            let memory = Memory {
                name: name.into(),
                text: text.into(),
                add,
            };
            memory_remember(memory, kv.clone())
        }

        fn named(name: &str) -> Name {
            Name { name: name.into() }
        }

        #[test]
        fn what_is_remembered_is_recalled_until_it_is_forgotten() {
            let kv = Kv::in_memory(["memory"]);
            remember(&kv, "birthday of Ada", "10 December", false).unwrap();
            remember(&kv, " birthday of Ada ", "10 December 1815", false).unwrap();
            remember(&kv, "milk", "Buy some.", false).unwrap();
            let text = memory_recall(named("birthday of Ada"), kv.clone()).unwrap();
            assert_eq!(text, "10 December 1815");
            let names = memory_list(kv.clone()).unwrap().0.names;
            assert_eq!(names, ["birthday of Ada", "milk"]);
            memory_forget(named("milk"), kv.clone()).unwrap();
            for error in [
                memory_recall(named("milk"), kv.clone()).unwrap_err(),
                memory_forget(named("milk"), kv).unwrap_err(),
            ] {
                assert!(matches!(error, ToolError::Failed(_)), "{error}");
            }
        }

        #[test]
        fn a_line_is_added_as_long_as_all_of_it_fits() {
            let kv = Kv::in_memory(["memory"]);
            remember(&kv, "list", "milk", true).unwrap();
            remember(&kv, "list", "bread", true).unwrap();
            let most = "x".repeat(TEXT_BYTES_MAX);
            let error = remember(&kv, "list", &most, true).unwrap_err();
            assert!(matches!(error, ToolError::InvalidArguments(_)), "{error}");
            assert_eq!(memory_recall(named("list"), kv).unwrap(), "milk\nbread");
        }

        #[test]
        fn a_name_is_one_short_line_and_a_store_must_be_granted() {
            let kv = Kv::in_memory(["memory"]);
            for name in ["", "  ", "a\nb", "a\0", &"a".repeat(129)] {
                let error = remember(&kv, name, "x", false).unwrap_err();
                assert!(matches!(error, ToolError::InvalidArguments(_)), "{name}");
            }
            let none = Kv::in_memory([]);
            let error = remember(&none, "a", "x", false).unwrap_err();
            assert!(matches!(error, ToolError::Denied(_)), "{error}");
        }
    }
}
