use bailiwick_sdk::tools;

#[tools]
mod greetings {
    /// Greets.
    #[tool]
    fn greet() -> String {
        "Hello!".into()
    }

    /// Greets again.
    #[tool(name = "greet")]
    fn again() -> String {
        "Hello again!".into()
    }
}

fn main() {}
