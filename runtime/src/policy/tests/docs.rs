//! Every example of the documentation loads.

use super::*;
use crate::identity::testing::issuer;
use crate::identity::{ClaimType, ExtraClaim};

/// The text blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    let parts = page.split(open.as_str()).skip(1);
    parts
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_example_of_the_documentation_loads() {
    let named = |name: &str| {
        let mut manifest = manifest(name, &[("book", &["files write notes"], false)]);
        manifest.tools[0].input_schema = json!({
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        });
        tool_of(manifest)
    };
    let tools = ["notes", "notes_write", "notes_read", "hello"].map(named);
    let mut issuer = issuer();
    let claim = ExtraClaim {
        path: vec!["customer".to_owned()],
        kind: ClaimType::String,
        required: false,
        told: false,
    };
    issuer.claims.extra.insert("customer".to_owned(), claim);
    let words = Vocabulary::new(&[issuer], &BTreeMap::new(), true);
    let pages = [
        include_str!("../../../../docs/policy.md"),
        include_str!("../../../../README.md"),
    ];
    let mut count = 0;
    for example in pages.iter().flat_map(|page| blocks(page, "cedar")) {
        let sources = [("example.cedar".to_owned(), example.clone())];
        let loaded = Rules::load_with(&sources, &tools, words.clone());
        let rules = loaded.unwrap_or_else(|error| panic!("{error}\n{example}"));
        assert!(rules.warnings().is_empty(), "{:?}", rules.warnings());
        count += 1;
    }
    assert!(count >= 3, "{count}");
}
