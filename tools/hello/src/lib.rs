use bailiwick_sdk::tool;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Person {
    /// Whom to greet.
    name: String,
}

/// Greets a person by name.
#[tool]
fn hello(person: Person) -> String {
    format!("Hello, {}!", person.name)
}
