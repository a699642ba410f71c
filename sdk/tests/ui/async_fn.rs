use bailiwick_sdk::tool;

/// Greets.
#[tool]
async fn greet() -> String {
    "Hello!".into()
}

fn main() {}
