use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Person {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    name: String,
}

/// Greets a person in a place.
#[tool]
fn greet(person: Person, place: Place) -> String {
    format!("{} in {}", person.name, place.name)
}

fn main() {}
