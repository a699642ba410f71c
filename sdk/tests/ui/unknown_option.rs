use bailiwick_sdk::tool;

/// Greets.
#[tool(nmae = "greet")]
fn greet() -> String {
    "Hello!".into()
}

fn main() {}
