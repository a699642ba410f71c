use bailiwick_sdk::tool;
use schemars::JsonSchema;

#[derive(JsonSchema)]
struct Person {
    name: String,
}

/// Greets a person.
#[tool]
fn greet(person: Person) -> String {
    person.name
}

fn main() {}
