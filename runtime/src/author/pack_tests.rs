use super::*;

const SERVES: &str = r#"(component IMPORTS (core module CORE) (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#;

fn toml(needs: &str) -> ToolToml {
    let head = "name=\"a\"\nversion=\"1\"\ntitle=\"A\"\ndescription=\"Does a\"\npublisher=\"example.test\"\n";
    ToolToml::parse("tool.toml", &format!("{head}{needs}")).unwrap()
}

fn described(capabilities: &[&str]) -> Described {
    Described {
        name: "a".to_owned(),
        title: None,
        description: "Does a".to_owned(),
        input_schema: r#"{"type": "object"}"#.to_owned(),
        output_schema: None,
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
    }
}

fn pack(
    imports: &[&str],
    core: &str,
    needs: &str,
    described: Described,
) -> Result<Packed, PackError> {
    let imports: String = imports
        .iter()
        .map(|name| format!(r#"(import "{name}" (instance))"#))
        .collect();
    let bare = wat::parse_str(SERVES.replace("IMPORTS", &imports).replace("CORE", core)).unwrap();
    assemble(
        &bare,
        &package::read(&bare).unwrap(),
        &toml(needs),
        vec![described],
    )
}

const CLOCK: &str = "[[needs]]\nid=\"now\"\nkind=\"clock\"\nreason=\"r\"\n";
const WEB: &str = "[[needs]]\nid=\"web\"\nkind=\"http\"\nhosts=[\"a.example\"]\nmethods=[\"GET\"]\nreason=\"r\"\n";
const PROTECTED: &str = "bailiwick:tool/protected@0.1.0";
const HTTP: &str = "wasi:http/outgoing-handler@0.2.6";

#[test]
fn what_is_packed_is_admitted() {
    let packed = pack(
        &["wasi:clocks/wall-clock@0.2.6"],
        "",
        CLOCK,
        described(&["clock"]),
    )
    .unwrap();
    assert_eq!(
        admit::examine(&packed.bytes).unwrap().manifest,
        packed.manifest
    );
    assert_eq!(
        (packed.digest, packed.warnings),
        (Digest::of(&packed.bytes), Vec::new())
    );
}

#[test]
fn packing_twice_changes_nothing() {
    let packed = pack(&[], "", "", described(&[])).unwrap();
    let bare = package::strip(&packed.bytes).unwrap();
    let again = assemble(
        &bare,
        &package::read(&bare).unwrap(),
        &toml(""),
        vec![described(&[])],
    )
    .unwrap();
    assert_eq!(packed.bytes, again.bytes);
}

#[test]
fn a_signature_that_takes_what_no_need_names_is_refused() {
    let error = pack(&[HTTP], "", "", described(&["http"])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("takes `http`, and no need asks for it"),
        "{error}"
    );
    assert!(
        pack(&[HTTP], "", WEB, described(&["http"]))
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn a_need_that_nothing_uses_is_pointed_out() {
    let warnings = |imports: &[&str], needs: &str, takes: &[&str]| {
        pack(imports, "", needs, described(takes)).unwrap().warnings
    };
    assert!(warnings(&[HTTP], WEB, &[])[0].contains("no tool takes it"));
    assert!(warnings(&[], WEB, &["http"])[0].contains("no import"));
    assert!(warnings(&[HTTP], "", &[])[0].contains("every use will be denied"));
    assert!(warnings(&["wasi:filesystem/types@0.2.6"], "", &[]).is_empty());
    // Of `reveal` only tools that take it ask, so users are asked for nothing.
    let opened = |field: &str| {
        format!(
            "[[needs]]\nid=\"o\"\nkind=\"reveal\"\nclasses=[\"email\"]\nfields=[\"{field}\"]\nreason=\"r\"\n"
        )
    };
    let (own, other) = (opened("a:/email"), opened("b:/email"));
    assert!(warnings(&[PROTECTED], &own, &["reveal"]).is_empty());
    assert!(warnings(&[PROTECTED], &own, &[])[0].contains("it is granted to none"));
    assert!(warnings(&[PROTECTED], &other, &["reveal"])[0].contains("has no tool `b`"));
    // `deliver` likewise, which needs no import, and the web to deliver to.
    let sent = |field: &str| {
        let need = opened(field).replace("\"reveal\"", "\"deliver\"\nhosts=[\"api.example\"]");
        format!("{WEB}\n{need}")
    };
    let takes = ["deliver", "http"];
    assert!(warnings(&[HTTP], &sent("a:/email"), &takes).is_empty());
    assert!(warnings(&[HTTP], &sent("a:/email"), &["http"])[0].contains("it is granted to none"));
    assert!(warnings(&[HTTP], &sent("b:/email"), &takes)[0].contains("has no tool `b`"));
    let alone = sent("a:/email").replace(WEB, "");
    assert!(warnings(&[], &alone, &["deliver"])[0].contains("no need of kind `http`"));
}

#[test]
fn a_large_stack_is_pointed_out() {
    let with = |bytes: u32| {
        pack(
            &[],
            &format!("(global (mut i32) (i32.const {bytes}))"),
            "",
            described(&[]),
        )
        .unwrap()
        .warnings
    };
    assert!(with(65_536).is_empty());
    assert!(with(1_048_576)[0].contains("1024 KiB"));
}

#[test]
fn what_a_component_says_of_itself_is_checked() {
    let bad = |change: fn(&mut Described)| {
        let mut described = described(&[]);
        change(&mut described);
        pack(&[], "", "", described).unwrap_err()
    };
    assert!(matches!(
        bad(|d| d.name = "a b".to_owned()),
        PackError::Name { .. }
    ));
    assert!(matches!(
        bad(|d| d.input_schema = "{".to_owned()),
        PackError::Schema { .. }
    ));
    assert!(matches!(
        bad(|d| d.output_schema = Some(String::new())),
        PackError::Schema { .. }
    ));
    assert!(matches!(
        bad(|d| d.capabilities = vec!["root".to_owned()]),
        PackError::Kind { .. }
    ));
    assert!(matches!(
        bad(|d| d.input_schema = "[]".to_owned()),
        PackError::Admission(_)
    ));
    assert!(matches!(
        bad(|d| d.description = "\u{200B}x".to_owned()),
        PackError::Admission(_)
    ));
}

#[test]
fn a_forged_name_is_refused_and_shown_harmless() {
    let mut forged = described(&[]);
    forged.name = "../a\r\n\u{1b}[31m".to_owned();
    let text = pack(&[], "", "", forged).unwrap_err().to_string();
    assert!(
        text.contains("../a") && !text.contains(['\r', '\n', '\u{1b}']),
        "{text:?}"
    );
}

#[tokio::test]
async fn a_component_that_serves_nothing_is_not_compiled() {
    let packer = Packer::new(
        crate::engine::testing::engine(),
        Compiler::new("/nowhere".into()),
    );
    let bare = wat::parse_str("(component)").unwrap();
    assert!(matches!(
        packer.pack(&bare, &toml("")).await,
        Err(PackError::Admission(AdmissionError::NoHandler))
    ));
    let extra = wat::parse_str(r#"(component (import "evil:host/x@1.0.0" (instance)))"#).unwrap();
    assert!(matches!(
        packer.pack(&extra, &toml("")).await,
        Err(PackError::Admission(AdmissionError::Imports(_)))
    ));
}
