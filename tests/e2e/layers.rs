//! The modules stand in layers, and imports point one way. This reads the source, as no compiler holds it for us.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::root;

/// Modules that stand in one layer and lean on each other, with the reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// The modules of `lib.rs` in their order, each with its layer.
fn layers() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("runtime/src/lib.rs")).unwrap();
    let mut layer = 0;
    let mut all = BTreeMap::new();
    for line in text.lines() {
        if line.starts_with("// ") {
            layer += 1;
        }
        let module = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        if let Some(name) = module.strip_prefix("mod ") {
            all.insert(name.trim_end_matches(';').to_owned(), layer);
        }
    }
    assert!(layer >= 6 && all.len() > 20, "{all:?}");
    all
}

/// A file of the runtime, without its comments and its tests.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let base = root().join("runtime/src");
    let mut all = Vec::new();
    let mut folders = vec![base.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let is_test = matches!(
                name.as_str(),
                "tests" | "tests.rs" | "testing" | "testing.rs" | "fuzz.rs"
            ) || name.ends_with("_tests.rs");
            if is_test {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                all.extend(source(&base, path));
            }
        }
    }
    assert!(all.len() > 100);
    all
}

fn source(base: &Path, path: PathBuf) -> Option<Source> {
    let relative = path.strip_prefix(base).unwrap();
    let first = relative.components().next()?.as_os_str().to_str()?;
    let module = first.trim_end_matches(".rs").to_owned();
    if matches!(module.as_str(), "lib" | "main") {
        return None;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    // Tests stand last in their file.
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    Some(Source {
        module,
        code: lines.collect::<Vec<_>>().join("\n"),
        path,
    })
}

impl Source {
    /// Whatever of this crate it names, from the second word of the path on: `audit::Event`.
    fn imports(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let before = self.code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &self.code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => all.extend(members(group).into_iter().map(str::to_owned)),
                None => all.push(path(rest)),
            }
        }
        all
    }

    fn names(&self, word: &str) -> bool {
        self.code.contains(word)
    }
}

/// The path at the beginning of a text; a group at its end stays whole.
fn path(text: &str) -> String {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let head = &text[..end.unwrap_or(text.len())];
    match text[head.len()..].strip_prefix('{') {
        Some(group) => format!("{head}{{{}}}", members(group).join(",")),
        None => head.to_owned(),
    }
}

/// The members of a group of imports that was just opened.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut all) = (1, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            all.push(group[from..at].trim());
            from = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    all.retain(|member| !member.is_empty());
    all
}

fn first(import: &str) -> &str {
    import.split([':', '{']).next().unwrap_or_default()
}

#[test]
fn a_module_imports_nothing_of_a_higher_layer() {
    let layers = layers();
    for source in sources() {
        let own = layers[&source.module];
        for import in source.imports() {
            let Some(layer) = layers.get(first(&import)) else {
                continue;
            };
            let excepted = EXCEPTIONS.contains(&(source.module.as_str(), first(&import)));
            assert!(
                *layer <= own || excepted,
                "{}: {import}",
                source.path.display()
            );
        }
    }
}

#[test]
fn code_that_runs_guests_never_sees_identity_policy_or_consent() {
    for source in sources() {
        if !matches!(source.module.as_str(), "sandbox" | "host") {
            continue;
        }
        for import in source.imports() {
            let forbidden = matches!(
                first(&import),
                "identity" | "policy" | "consent" | "mcp" | "web"
            );
            assert!(!forbidden, "{}: {import}", source.path.display());
        }
        assert!(!source.names("BearerToken"), "{}", source.path.display());
    }
}

#[test]
fn a_decision_touches_no_clock_no_file_no_network_and_waits_for_nothing() {
    for source in sources() {
        if !matches!(
            source.module.as_str(),
            "policy" | "grant" | "capability" | "protect"
        ) {
            continue;
        }
        for word in [
            "async ",
            ".await",
            "tokio",
            "std::fs",
            "std::net",
            "std::env",
            "std::time",
            "std::thread",
            "SystemTime",
            "Instant",
            "reqwest",
            "hyper",
            "sqlx",
            "rand::",
        ] {
            assert!(!source.names(word), "{}: {word}", source.path.display());
        }
        for import in source.imports() {
            let clock = first(&import) == "clock" && import != "clock::Timestamp";
            assert!(!clock, "{}: {import}", source.path.display());
            let ground = matches!(first(&import), "store" | "audit" | "egress" | "config");
            assert!(!ground, "{}: {import}", source.path.display());
        }
    }
}

#[test]
fn this_test_would_see_an_import() {
    let source = Source {
        path: PathBuf::new(),
        module: String::new(),
        code: "use crate::clock::{Clock, Timestamp};\nuse crate::{store::{A, B}, web};\nfn f() { crate::mcp::g() }".to_owned(),
    };
    let all = source.imports();
    assert_eq!(
        all,
        ["clock::{Clock,Timestamp}", "store::{A, B}", "web", "mcp::g"]
    );
    assert_eq!(
        all.iter().map(|one| first(one)).collect::<Vec<_>>(),
        ["clock", "store", "web", "mcp"]
    );
}
