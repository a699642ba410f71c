use bailiwick_sdk::tool;

/// Greets.
#[tool(name = "greet someone")]
fn greet() -> String {
    "Hello!".into()
}

fn main() {}
