use bailiwick_sdk::tool;

struct Greeting;

/// Greets.
#[tool]
fn greet() -> Greeting {
    Greeting
}

fn main() {}
