use serde_json::json;

use super::super::testing;
use super::*;

fn good() -> Manifest {
    testing::manifest(
        "a",
        &[
            ("page", &["http GET a.example /"], false),
            ("now", &["clock"], true),
        ],
    )
}

fn with(change: impl FnOnce(&mut Manifest)) -> Result<(), ManifestError> {
    let mut manifest = good();
    change(&mut manifest);
    check(&manifest)
}

#[test]
fn a_plain_manifest_is_fine() {
    assert_eq!(check(&good()), Ok(()));
    assert_eq!(
        with(|m| m.description = "Two\nlines, and a 👩‍🚀".replace('\u{200D}', "")),
        Ok(())
    );
    assert_eq!(
        with(|m| m.title = "Grüße, 日本 ❤\u{FE0F}".to_owned()),
        Ok(())
    );
}

#[test]
fn another_format_is_refused() {
    assert_eq!(with(|m| m.format = 2), Err(ManifestError::Format(2)));
}

#[test]
fn what_cannot_be_seen_is_refused_in_every_text() {
    let hidden_ones = [
        "a\u{202E}b",
        "a\u{200B}b",
        "a\u{7}b",
        "a\u{2066}b",
        "a\u{E0041}b",
        "a\u{FEFF}b",
        "a\tb",
        "a\u{2028}b",
    ];
    for text in hidden_ones.map(str::to_owned) {
        for bad in [
            with(|m| m.title = text.clone()),
            with(|m| m.description = text.clone()),
            with(|m| m.needs[0].reason = text.clone()),
            with(|m| m.tools[0].title = Some(text.clone())),
            with(|m| m.tools[0].description = text.clone()),
            with(|m| m.tools[0].input_schema = json!({"type": "object", "description": text})),
            with(|m| {
                m.tools[0].input_schema =
                    json!({"type": "object", "properties": {text.clone(): {}}})
            }),
            with(|m| m.tools[0].output_schema = Some(json!({"enum": [text]}))),
            with(|m| m.requires.acr = Some(text.clone())),
            with(|m| m.requires.roles = vec![text.clone()]),
        ] {
            assert!(
                matches!(bad, Err(ManifestError::Text { .. })),
                "{text:?} {bad:?}"
            );
        }
    }
}

#[test]
fn texts_are_there_and_bounded() {
    assert!(with(|m| m.title = "x".repeat(TITLE_CHARS_MAX)).is_ok());
    for bad in [
        with(|m| m.title = "x".repeat(TITLE_CHARS_MAX + 1)),
        with(|m| m.title = " ".to_owned()),
        with(|m| m.title = "two\nlines".to_owned()),
        with(|m| m.needs[0].reason = "two\nlines".to_owned()),
        with(|m| m.version = "1 0".to_owned()),
        with(|m| m.version = String::new()),
        with(|m| m.needs[0].id = "a b".to_owned()),
        with(|m| m.tools[0].description = "x".repeat(DESCRIPTION_CHARS_MAX + 1)),
    ] {
        assert!(matches!(bad, Err(ManifestError::Text { .. })), "{bad:?}");
    }
}

#[test]
fn needs_are_distinct_and_of_their_kind() {
    assert_eq!(
        with(|m| m.needs[1].id = "page".to_owned()),
        Err(ManifestError::NeedTwice("page".to_owned()))
    );
    assert_eq!(
        with(|m| m.needs[0].capabilities = crate::capability::CapabilitySet::none()),
        Err(ManifestError::NeedEmpty("page".to_owned()))
    );
    assert!(matches!(
        with(|m| m.needs[0].kind = Kind::Files),
        Err(ManifestError::NeedKind { .. })
    ));
}

#[test]
fn wishes_stay_in_range() {
    assert!(
        with(|m| m.limits = Wishes {
            memory_mib: Some(256),
            timeout_ms: Some(60_000)
        })
        .is_ok()
    );
    for limits in [
        Wishes {
            memory_mib: Some(0),
            timeout_ms: None,
        },
        Wishes {
            memory_mib: Some(257),
            timeout_ms: None,
        },
        Wishes {
            memory_mib: None,
            timeout_ms: Some(0),
        },
        Wishes {
            memory_mib: None,
            timeout_ms: Some(60_001),
        },
    ] {
        assert!(
            matches!(
                with(|m| m.limits = limits.clone()),
                Err(ManifestError::Wish { .. })
            ),
            "{limits:?}"
        );
    }
}

#[test]
fn a_package_has_tools_of_distinct_names() {
    assert_eq!(with(|m| m.tools.clear()), Err(ManifestError::NoTool));
    assert!(matches!(
        with(|m| m.tools.push(m.tools[0].clone())),
        Err(ManifestError::ToolTwice(_))
    ));
    let many = |count: usize| {
        with(|m| {
            m.tools = (0..count)
                .map(|n| Definition {
                    name: format!("t{n}").parse().unwrap(),
                    ..m.tools[0].clone()
                })
                .collect();
        })
    };
    assert!(many(TOOLS_PER_PACKAGE_MAX).is_ok());
    assert!(matches!(
        many(TOOLS_PER_PACKAGE_MAX + 1),
        Err(ManifestError::TooMany { what: "tools", .. })
    ));
}

#[test]
fn a_signature_asks_only_for_what_a_need_names() {
    assert!(with(|m| m.tools[0].capabilities = vec![Kind::Http]).is_ok());
    let error = with(|m| m.tools[0].capabilities = vec![Kind::Files]).unwrap_err();
    assert!(error.to_string().contains("[[needs]]"), "{error}");
}
