use bailiwick_sdk::tool;

/// Greets a person.
#[tool]
fn greet(person: &str) -> String {
    person.into()
}

fn main() {}
