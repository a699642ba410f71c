//! JSON Schema, draft 2020-12, of what goes in and out.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

/// The schema of a tool that takes no arguments.
pub const EMPTY: &str = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false}"#;

/// The schema of arguments.
///
/// # Panics
///
/// When `T` is not written as a JSON object. Only the author can meet this, when the package is built.
#[expect(
    clippy::panic,
    reason = "met by the author alone, when the package is built"
)]
pub fn input<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // The name of a Rust type tells a model nothing.
    schema.remove("title");
    match schema.get("type").and_then(|kind| kind.as_str()) {
        Some("object") => {}
        // An enum has only `oneOf` at its root, where the protocol wants the type as well.
        None => drop(schema.insert("type".into(), "object".into())),
        Some(other) => {
            panic!("the arguments of a tool are a struct; this type is written as JSON `{other}`")
        }
    }
    text(schema)
}

/// The schema of structured output.
pub fn output<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    text(schema)
}

fn text(schema: Schema) -> String {
    schema.to_value().to_string()
}
