//! Nothing stands alone: no guest without its entry and its test, no capability without its page, its sentence and its attacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bailiwick::capability::Kind;

use crate::harness::{guests, root};

/// Guests whose test is that they come to their end: `attacks.rs` calls every one, twice, beside a neighbour.
const ALL_OF_THEM: &str = "attacks.rs";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files in a folder, without their ends.
fn stems(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(root().join(folder)).unwrap();
    let stem = |file: fs::DirEntry| {
        file.path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    files.map(|file| stem(file.unwrap())).collect()
}

/// The sections of a page of the docs, by their titles.
fn sections(page: &str) -> BTreeMap<String, String> {
    let sections = page.split("\n## ").skip(1);
    let section = |text: &str| {
        let (title, body) = text.split_once('\n').unwrap_or((text, ""));
        (title.trim().to_owned(), body.to_owned())
    };
    sections.map(section).collect()
}

/// The names in backticks behind `**Attack guests**:`.
fn attacks(section: &str) -> BTreeSet<String> {
    let Some((_, after)) = section.split_once("**Attack guests**:") else {
        return BTreeSet::new();
    };
    let paragraph = after.split("\n\n").next().unwrap_or_default();
    let names = paragraph.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_guest_has_its_entry_its_target_and_its_test() {
    let files = stems("tests/guests/examples");
    let entries: BTreeSet<_> = guests().keys().cloned().collect();
    assert_eq!(files, entries, "one entry in guests.toml for each file");
    let manifest: toml::Table = read("tests/guests/Cargo.toml").parse().unwrap();
    let targets = manifest["example"].as_array().unwrap().iter();
    let targets = targets.map(|one| one["name"].as_str().unwrap().to_owned());
    let targets: BTreeSet<_> = targets.collect();
    assert_eq!(files, targets, "one [[example]] for each file");
    let all = read(&format!("tests/e2e/{ALL_OF_THEM}"));
    assert!(all.contains("fn every_attack_ends_with_its_name_in_its_time"));
    // What admission refuses is never called, so its test must name it.
    let tests: String = stems("tests/e2e")
        .iter()
        .map(|stem| format!("tests/e2e/{stem}.rs"))
        .filter(|path| root().join(path).is_file())
        .map(|path| read(&path))
        .collect();
    for (name, guest) in guests() {
        let named = tests.contains(&format!("\"{name}\""));
        assert!(named || !guest.is_refused(), "{name} is in no test");
    }
}

#[test]
fn every_capability_has_its_page_its_sentence_and_its_attacks() {
    let page = read("docs/capabilities.md");
    let sections = sections(&page);
    let files = stems("tests/guests/examples");
    for kind in Kind::ALL {
        let title = kind.as_str();
        let section = sections.get(title);
        let section = section.unwrap_or_else(|| panic!("docs/capabilities.md has no `## {title}`"));
        assert!(
            page.contains(&format!("| [`{title}`](#{title}) |")),
            "{title} is not in the table"
        );
        for part in [
            "**Interface**",
            "**Tier**",
            "**The user reads**",
            "**Recorded**",
        ] {
            assert!(
                section.contains(part),
                "`## {title}` says nothing of {part}"
            );
        }
        let attacks = attacks(section);
        assert!(!attacks.is_empty(), "`## {title}` names no attack guest");
        for attack in &attacks {
            assert!(
                files.contains(attack),
                "`## {title}` names `{attack}`, which is no guest"
            );
        }
        // A kind that is on no user's page has no sentence; every other has one in each language, by exhaustive matches.
        let japanese = read("runtime/src/web/words/ja.rs");
        let name = format!("{kind:?}");
        assert!(japanese.contains(&format!("Capability::{name}")), "{name}");
    }
}

#[test]
fn every_guest_of_a_page_is_one_and_every_attack_on_a_capability_is_on_its_page() {
    let page = read("docs/capabilities.md");
    let named: BTreeSet<String> = sections(&page)
        .values()
        .flat_map(|one| attacks(one))
        .collect();
    let of_kinds = [
        ("http_", "http"),
        ("fs_", "files"),
        ("kv_", "kv"),
        ("ask_", "ask"),
        ("data_", "data"),
        ("config_", "config"),
        ("secret_", "secret"),
        ("claims_", "claims"),
        ("call_", "call"),
        ("reveal_", "reveal"),
        ("deliver_", "deliver"),
    ];
    for guest in stems("tests/guests/examples") {
        let kind = of_kinds
            .iter()
            .find(|(prefix, _)| guest.starts_with(prefix));
        assert!(
            kind.is_none() || named.contains(&guest),
            "{guest} is on no page"
        );
    }
}

/// All our source below a folder.
fn sources(folder: &std::path::Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The names in backticks that can be those of a guest or a test.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| {
        name.contains('_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

#[test]
fn every_place_where_an_attack_is_tried_is_there() {
    let page = read("docs/attacks.md");
    let guests = stems("tests/guests/examples");
    let mut source = String::new();
    for folder in ["runtime/src", "tests/e2e"] {
        sources(&root().join(folder), &mut source);
    }
    // Tables of two columns say where; the others, what came of it.
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<(&str, &str)> = rows
        .filter_map(|row| {
            let (attacks, place) = row.trim_matches('|').split_once(" | ")?;
            (!place.contains(" | ")).then(|| (attacks.trim(), place.trim()))
        })
        .collect();
    // What the list of attacks has a row for can be spoken of.
    let listed: BTreeSet<_> = rows
        .iter()
        .flat_map(|(attacks, _)| names(attacks))
        .collect();
    let mut places = 0;
    for (attacks, place) in rows {
        // Where a row says only that they are guests, they are those that it is about.
        let itself = ["G", "H"].iter().any(|kind| {
            let rest = place.strip_prefix(kind);
            rest.is_some_and(|rest| !rest.starts_with(" `"))
        });
        let own = itself.then_some(attacks).into_iter().flat_map(names);
        let spoken = names(place).filter(|name| !listed.contains(name));
        for name in own.chain(spoken) {
            let found = guests.contains(name) || source.contains(&format!("fn {name}("));
            assert!(
                found,
                "`{name}` is no guest and no test: {attacks} | {place}"
            );
            places += 1;
        }
    }
    assert!(places > 100, "{places}");
}

#[test]
fn this_test_would_see_what_is_missing() {
    let page = "# Page\n\n## http\n\nText.\n\n**Attack guests**: `a`, `b` (probe),\n`c`.\n\nMore `d`.\n\n## files\n";
    let sections = sections(page);
    assert_eq!(sections.len(), 2);
    let names: Vec<_> = attacks(&sections["http"]).into_iter().collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(attacks(&sections["files"]).is_empty());
}
