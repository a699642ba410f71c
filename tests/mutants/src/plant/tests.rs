use super::*;

fn planted(text: &str, without: &[usize]) -> (String, Vec<String>) {
    let mut mutants = Vec::new();
    let planted = plant("a.rs", text, without, &mut mutants).unwrap();
    syn::parse_file(&planted).unwrap();
    let told = mutants.iter().map(|one| {
        assert_eq!(one.file, "a.rs");
        format!(
            "{} {} {}: {}",
            one.number, one.line, one.function, one.change
        )
    });
    (planted, told.collect())
}

#[test]
fn conditions_are_asked_about_in_their_parts_and_bodies_as_a_whole() {
    let text =
        "impl A {\n    fn f(&self, n: u8) -> bool { if n < 3 && self.ok() { g()?; } n == 1 }\n}\n";
    let (planted, told) = planted(text, &[]);
    assert_eq!(
        told,
        [
            "1 2 A::f: is always `true`",
            "2 2 A::f: is always `false`",
            "3 2 A::f: `n < 3` is always true",
            "4 2 A::f: `n < 3` is always false",
            "5 2 A::f: `n < 3` with `<=`",
            "6 2 A::f: `self.ok()` is always true",
            "7 2 A::f: `self.ok()` is always false",
            "8 2 A::f: `g()?;` is left out",
            "9 2 A::f: `n == 1` is always true",
            "10 2 A::f: `n == 1` is always false",
        ]
    );
    let expected = "impl A {\n    fn f(&self, n: u8) -> bool { if crate::mutants::on(1) { return true; } \
        if crate::mutants::on(2) { return false; } \
        if crate::mutants::truth(3, (n < 3) ||((n) == (3) && crate::mutants::on(5))) && crate::mutants::truth(6, self.ok()) \
        { if !crate::mutants::on(8) { g()?; } } crate::mutants::truth(9, n == 1) }\n}\n";
    assert_eq!(planted, expected);
}

#[test]
fn closures_that_ask_guards_and_negations_are_found() {
    let text = "fn f() -> Result<Option<u8>, E> {\n    match x { y if !y.is_some() => a.iter().any(|z| z.p()), _ => b.map(|z| z.p()) }\n}\n";
    let (_, told) = planted(text, &[]);
    assert_eq!(
        told,
        [
            "1 1 f: is always `Ok(None)`",
            "2 2 f: `y.is_some()` is always true",
            "3 2 f: `y.is_some()` is always false",
            "4 2 f: `z.p()` is always true",
            "5 2 f: `z.p()` is always false",
        ]
    );
    // Lines that do not compile with a change are left as they are.
    let (planted, told) = planted(text, &[1, 2]);
    assert_eq!((planted.as_str(), told.len()), (text, 0));
}

#[test]
fn what_is_no_decision_at_run_time_is_left_alone() {
    for text in [
        "const A: bool = 1 < 2;\n",
        "const fn f() -> bool { 1 < 2 }\n",
        "#[cfg(test)]\nmod tests { fn f() -> bool { 1 < 2 } }\n",
        "impl std::fmt::Display for A { fn fmt(&self) -> bool { 1 < 2 } }\n",
        "fn f() {}\n",
    ] {
        assert_eq!(planted(text, &[]), (text.to_owned(), Vec::new()));
    }
}
