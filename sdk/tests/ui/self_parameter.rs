use bailiwick_sdk::tools;

#[tools]
mod greetings {
    /// Greets.
    #[tool]
    fn greet(self) -> String {
        "Hello!".into()
    }
}

fn main() {}
