use bailiwick_sdk::tool;
use serde::Deserialize;

#[derive(Deserialize)]
struct Person {
    name: String,
}

/// Greets a person.
#[tool]
fn greet(person: Person) -> String {
    person.name
}

fn main() {}
