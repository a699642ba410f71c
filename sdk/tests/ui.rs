//! The mistakes that an author can make, and the lines on which the compiler reports them.
//!
//! `TRYBUILD=overwrite cargo test -p bailiwick-sdk --test ui` writes the expectations anew.

#[test]
fn mistakes_are_reported_on_the_line_of_the_author() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
