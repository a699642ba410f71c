use bailiwick_sdk::tool;

#[tool]
fn greet() -> String {
    "Hello!".into()
}

fn main() {}
