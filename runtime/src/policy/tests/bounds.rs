//! Bounds of deciding rules: they take away, and the strictest counts.

use super::*;

fn permitted(text: &str, tool: &Tool) -> Result<Permit, Refusal> {
    let rules = rules(text, std::slice::from_ref(tool)).unwrap_or_else(|error| panic!("{error}"));
    rules.permit(&caller(json!({})), tool, &Map::new())
}

fn allowed(text: &str, tool: &Tool) -> Vec<String> {
    let permit = permitted(text, tool).unwrap();
    permit.allowed().iter().map(ToString::to_string).collect()
}

#[test]
fn above_the_highest_tier_nothing_is_allowed() {
    let optional = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let all = ["http GET a.example /", "files write notes"];
    let with = |tier: &str| format!("@max_tier(\"{tier}\") permit(principal, action, resource);");
    assert_eq!(allowed(&with("T2"), &optional), all);
    assert_eq!(allowed(&with("T1"), &optional), all[..1]);
    assert_eq!(allowed(&with("T0"), &optional), [""; 0]);

    let required = tool("notes", &[("w", &["files write notes"], false)]);
    assert!(permitted(&with("T2"), &required).is_ok());
    let refused = permitted(&with("T1"), &required).err();
    assert!(matches!(refused, Some(Refusal::CapabilityDenied { .. })));
    // What cannot be called is not seen.
    let rules = rules(&with("T1"), std::slice::from_ref(&required)).unwrap();
    assert!(!rules.lists(&caller(json!({})), &required));
}

#[test]
fn of_several_rules_that_hold_the_strictest_counts_and_others_do_not() {
    let tool = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let permit = permitted(
        r#"
        @max_consent("30") permit(principal, action, resource);
        @max_consent("P7D") permit(principal in Role::"user", action in Action::"call", resource);
        @max_consent("once") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };
        @max_consent("1") @max_tier("T0") permit(principal in Role::"other", action, resource);
        "#,
        &tool,
    );
    let permit = permit.unwrap();
    let longest = |text: &str| permit.ceilings(&text.parse().unwrap()).consent_days;
    assert_eq!(longest("http GET a.example /"), Some(7));
    assert_eq!(longest("files write notes"), Some(0));
    assert_eq!(longest("files read notes"), Some(0), "a part of it");
    assert_eq!(longest("files write mail"), None, "nothing of it");
}

#[test]
fn a_bound_is_remembered_with_its_decision() {
    let tool = tool("notes", &[("w", &["files write notes"], false)]);
    let text = r#"@max_consent("7") permit(principal, action, resource);"#;
    let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
    for _ in 0..2 {
        let permit = rules
            .permit(&caller(json!({})), &tool, &Map::new())
            .unwrap();
        let bounds = permit.ceilings(&"files write notes".parse().unwrap());
        assert_eq!(bounds.consent_days, Some(7));
    }
}

#[test]
fn a_call_falls_under_the_rate_classes_of_all_that_allowed_it() {
    let notes = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let words = Vocabulary::default().with_rates(&["calls", "writes", "other"].map(str::to_owned));
    let load = |text: &str| {
        let sources = [("a.cedar".to_owned(), text.to_owned())];
        Rules::load_with(&sources, std::slice::from_ref(&notes), words.clone())
    };
    let rules = load(
        r#"
        @rate("calls") permit(principal, action in Action::"call", resource);
        @rate("writes") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };
        permit(principal, action == Action::"use", resource) when { resource.kind == "http" };
        @rate("other") permit(principal in Role::"other", action, resource);
    "#,
    )
    .unwrap();
    let permit = rules
        .permit(&caller(json!({})), &notes, &Map::new())
        .unwrap();
    assert!(permit.rates().iter().eq(["calls", "writes"]));
    let error = load(r#"@rate("writes,ghost") permit(principal, action, resource);"#).err();
    let error = error.unwrap().to_string();
    assert!(error.contains("there is no rate class `ghost`"), "{error}");
}

#[test]
fn data_that_the_rule_about_the_call_does_not_name_is_no_part_of_the_permit() {
    let load = |text: &str, optional: bool| {
        let needs: &[(&str, &[&str], bool)] = &[("d", &["data email", "data card"], optional)];
        let crm = tool("crm", needs);
        let words =
            Vocabulary::default().with_data(["email", "card"].map(|one| one.parse().unwrap()));
        let sources = [("a.cedar".to_owned(), text.to_owned())];
        let rules = Rules::load_with(&sources, std::slice::from_ref(&crm), words);
        rules.map(|rules| rules.permit(&caller(json!({})), &crm, &Map::new()))
    };
    let classes = |text: &str| {
        let permit = load(text, true).unwrap().unwrap();
        let bound = permit
            .data()
            .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let allowed: Vec<_> = permit
            .allowed()
            .classes()
            .iter()
            .map(ToString::to_string)
            .collect();
        (allowed, bound)
    };
    let named = |names: &[&str]| {
        Some(
            names
                .iter()
                .map(|one| (*one).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let open = classes("permit(principal, action, resource);");
    assert_eq!(open, (vec!["card".to_owned(), "email".to_owned()], None));
    let one = r#"@data("email") permit(principal, action in Action::"call", resource);
        permit(principal, action == Action::"use", resource);"#;
    assert_eq!(classes(one), (vec!["email".to_owned()], named(&["email"])));
    // Two permits of one call: what both name.
    let both = [
        one,
        r#"@data("card") permit(principal, action in Action::"call", resource);"#,
    ]
    .join("\n");
    assert_eq!(classes(&both), (vec![], named(&[])));
    let none = one.replace("email", "none");
    assert_eq!(classes(&none), (vec![], named(&[])));
    // What the tool must have and may not be given refuses the call.
    let refused = load(one, false).unwrap().err().unwrap();
    assert!(refused.to_string().contains("`data card`"), "{refused}");
    let unknown = load(
        r#"@data("ghost") permit(principal, action, resource);"#,
        true,
    );
    let error = unknown.err().unwrap().to_string();
    assert!(
        error.contains("there is no class of data `ghost`"),
        "{error}"
    );
}

#[test]
fn the_tier_is_the_highest_of_ours_and_what_deciding_rules_say() {
    let tool = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
            ("c", &["clock"], true),
        ],
    );
    let tiers = |text: &str| {
        let permit = permitted(text, &tool).unwrap();
        let tier = |one: &str| permit.tier(&one.parse().unwrap());
        [
            tier("clock"),
            tier("http GET a.example /"),
            tier("files write notes"),
        ]
    };
    use Tier::{T0, T1, T2, T3};
    let all = "@id(\"all\") permit(principal, action, resource);";
    assert_eq!(tiers(all), [T0, T1, T2]);
    assert_eq!(tiers(&format!("@min_tier(\"T2\") {all}")), [T2, T2, T2]);
    // About the call, about one use, and of a rule that does not hold.
    let call = r#"@min_tier("T3") permit(principal, action in Action::"call", resource);"#;
    assert_eq!(tiers(&format!("{all} {call}")), [T3, T3, T3]);
    let writes = r#"@min_tier("T3") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };"#;
    assert_eq!(tiers(&format!("{all} {writes}")), [T0, T1, T3]);
    let others = r#"@min_tier("T3") permit(principal in Role::"other", action, resource);"#;
    assert_eq!(tiers(&format!("{all} {others}")), [T0, T1, T2]);
    // A part of what is raised is raised, and reading is not with writing.
    let permit = permitted(&format!("{all} {writes}"), &tool).unwrap();
    let tier = |one: &str| permit.tier(&one.parse().unwrap());
    assert_eq!(tier("files write notes sub"), T3);
    assert_eq!(tier("files write mail"), T2);
    assert_eq!(tier("files read notes"), T1);
}

#[test]
fn a_tier_that_is_raised_above_the_highest_is_as_if_no_rule_had_allowed_it() {
    let optional = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let all = "@id(\"all\") @max_tier(\"T2\") permit(principal, action, resource);";
    let writes = r#"@min_tier("T3") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };"#;
    assert_eq!(
        allowed(all, &optional),
        ["http GET a.example /", "files write notes"]
    );
    assert_eq!(
        allowed(&format!("{all} {writes}"), &optional),
        ["http GET a.example /"]
    );
    let required = tool("notes", &[("w", &["files write notes"], false)]);
    let refused = permitted(&format!("{all} {writes}"), &required).err();
    assert!(matches!(refused, Some(Refusal::CapabilityDenied { .. })));
}

#[test]
fn a_rule_that_raises_in_vain_is_told() {
    let tools = [
        tool("notes", &[("w", &["files write notes"], true)]),
        tool("hello", &[]),
    ];
    let warned = |text: &str| {
        let rules = rules(text, &tools).unwrap();
        let all = rules.warnings().iter().map(ToString::to_string);
        all.collect::<Vec<_>>().join("; ")
    };
    let both = warned("@min_tier(\"T3\") @max_tier(\"T2\") permit(principal, action, resource);");
    assert!(both.contains("allows the use of nothing"), "{both}");
    let fits = "@min_tier(\"T2\") @max_tier(\"T2\") permit(principal, action, resource);";
    assert_eq!(warned(fits), "");
    for named in [
        r#"@min_tier("T3") permit(principal, action == Action::"call:hello", resource);"#,
        r#"@min_tier("T3") permit(principal, action in Action::"call", resource == Tool::"hello");"#,
        r#"@min_tier("T3") permit(principal, action, resource in Package::"hello");"#,
    ] {
        let warning = warned(named);
        assert!(
            warning.contains("use nothing that could be asked about: `hello`"),
            "{warning}"
        );
    }
    let other = r#"@min_tier("T3") permit(principal, action == Action::"call:notes", resource);"#;
    assert_eq!(warned(other), "");
}

#[test]
fn rules_bound_how_much_of_the_web_a_call_may_use_and_read_how_much_is_wanted() {
    let page = tool(
        "page",
        &[
            (
                "web",
                &["http GET a.example / requests=9 receive=4096"],
                true,
            ),
            ("all", &["http GET b.example /"], true),
        ],
    );
    let bounded = r#"
        @max_http("requests=5 send=1024") permit(principal, action in Action::"call", resource);
        @max_http("requests=7") permit(principal, action == Action::"use", resource);
    "#;
    assert_eq!(
        allowed(bounded, &page),
        [
            "http GET a.example / requests=5 send=1024 receive=4096",
            "http GET b.example / requests=5 send=1024",
        ]
    );
    let modest = r#"
        permit(principal, action in Action::"call", resource);
        permit(principal, action == Action::"use", resource) when {
            resource.kind == "http" && resource has receive_bytes && resource.receive_bytes <= 4096
        };
    "#;
    assert_eq!(
        allowed(modest, &page),
        ["http GET a.example / requests=9 receive=4096"]
    );
    for wrong in ["requests=0", "send=1024 requests=5", "words=1"] {
        let text = format!("@max_http(\"{wrong}\") permit(principal, action, resource);");
        let error = rules(&text, std::slice::from_ref(&page)).err().unwrap();
        assert!(error.to_string().contains("max_http"), "{error}");
    }
}

#[test]
fn a_step_is_explained_as_refused_only_where_a_bound_takes_it_away() {
    let tool = tool(
        "notes",
        &[
            ("r", &["http GET a.example /"], true),
            ("w", &["files write notes"], true),
        ],
    );
    let explained = |text: &str| {
        let rules = rules(text, std::slice::from_ref(&tool)).unwrap();
        let steps = rules.explain(&caller(json!({})), &tool, &Map::new());
        let steps = steps.into_iter();
        steps
            .map(|step| (step.question, step.allowed, step.errors.join("; ")))
            .collect::<Vec<_>>()
    };
    let questions = [
        "list",
        "call",
        "use http GET a.example /",
        "use files write notes",
    ];
    let expected = |allowed: [bool; 4], why: &str| {
        let all = questions.iter().zip(allowed).enumerate();
        all.map(|(at, (question, allowed))| {
            let why = if at == 3 { why } else { "" };
            ((*question).to_owned(), allowed, why.to_owned())
        })
        .collect::<Vec<_>>()
    };
    let all = "@id(\"all\") permit(principal, action, resource);";
    assert_eq!(explained(all), expected([true; 4], ""));
    let within = format!("@max_tier(\"T2\") {all}");
    assert_eq!(explained(&within), expected([true; 4], ""));
    let without_writes = [true, true, true, false];
    assert_eq!(
        explained(&format!("@max_tier(\"T1\") {all}")),
        expected(
            without_writes,
            "it is of tier T2, and the rules bound it: at most tier T1"
        )
    );
    let raised = r#"@min_tier("T3") permit(principal, action == Action::"use", resource) when { resource.kind == "files" };"#;
    assert_eq!(
        explained(&format!("{within} {raised}")),
        expected(
            without_writes,
            "it is of tier T3 by the rules, and the rules bound it: at most tier T2, at least tier T3"
        )
    );
    // What no rule allows is beyond no bound.
    let calls = r#"@max_tier("T1") permit(principal, action in Action::"call", resource);"#;
    assert_eq!(explained(calls), expected([false, true, false, false], ""));
}
