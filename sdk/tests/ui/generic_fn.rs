use bailiwick_sdk::tool;

/// Greets.
#[tool]
fn greet<T: ToString>(person: T) -> String {
    person.to_string()
}

fn main() {}
