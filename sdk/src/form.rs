//! The schema of a form, made from a type: an object of primitive properties, as MCP allows it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::ask::AskError;

/// What a form can tell a text to be.
const FORMATS: [&str; 4] = ["date", "date-time", "email", "uri"];

/// The form of a type, or which field of it a form cannot show.
pub fn schema<T: JsonSchema>() -> Result<String, String> {
    let mut settings = SchemaSettings::draft2020_12();
    // A form has no references.
    settings.inline_subschemas = true;
    let root = settings.into_generator().into_root_schema_for::<T>();
    let mut root = root.to_value();
    let fields = root.get_mut("properties").and_then(Value::as_object_mut);
    let fields = fields.ok_or("a form is a struct with named fields")?;
    let mut properties = Map::new();
    for (name, field) in std::mem::take(fields) {
        let property = property(field).map_err(|what| format!("`{name}` {what}"))?;
        properties.insert(name, property);
    }
    let mut form = json!({"type": "object", "properties": properties});
    if let (Some(required), Some(form)) = (root.get("required"), form.as_object_mut()) {
        form.insert("required".into(), required.clone());
    }
    Ok(form.to_string())
}

/// Reads an answer.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, AskError> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| AskError::Invalid(format!("`{}`: {}", error.path(), error.inner())))
}

/// One field, with what a form knows of it.
fn property(field: Value) -> Result<Value, String> {
    let Value::Object(field) = field else {
        return Err("can be anything, and a form asks for something".into());
    };
    let mut field = without_null(field)?;
    for no_null in ["title", "description", "default"] {
        if field.get(no_null) == Some(&Value::Null) {
            field.remove(no_null);
        }
    }
    if let Some(only) = field.remove("const") {
        field.insert("enum".into(), json!([only]));
    }
    let known: &[&str] = match field.get("type").and_then(Value::as_str) {
        _ if field.contains_key("oneOf") => {
            let choices = titled(field.get("oneOf"))?;
            field.insert("type".into(), "string".into());
            field.insert("oneOf".into(), choices);
            &["oneOf"]
        }
        Some("string") if field.contains_key("enum") => &["enum"],
        Some("string") => {
            keep_format(&mut field, &FORMATS);
            &["format", "minLength", "maxLength"]
        }
        Some("number" | "integer") => {
            // `uint8` and the like are words of schemars; the bounds beside them say the same.
            keep_format(&mut field, &[]);
            &["minimum", "maximum"]
        }
        Some("boolean") => &[],
        Some("array") => {
            field.remove("uniqueItems");
            let items = items(field.remove("items"))?;
            field.insert("items".into(), items);
            &["items", "minItems", "maxItems"]
        }
        _ => {
            return Err(
                "is no text, number, boolean, enum of plain names, or list of such an enum".into(),
            );
        }
    };
    let common = ["type", "title", "description", "default"];
    let other = field
        .keys()
        .find(|key| !common.contains(&key.as_str()) && !known.contains(&key.as_str()));
    match other {
        Some(other) => Err(format!("has `{other}`, which a form does not know")),
        None => Ok(Value::Object(field)),
    }
}

/// An `Option` as what is in it; that it may be left out is said elsewhere.
fn without_null(mut field: Map<String, Value>) -> Result<Map<String, Value>, String> {
    if let Some(Value::Array(kinds)) = field.get("type") {
        let kinds: Vec<_> = kinds
            .iter()
            .filter(|kind| *kind != "null")
            .cloned()
            .collect();
        let [kind] = kinds.as_slice() else {
            return Err("has several types".into());
        };
        field.insert("type".into(), kind.clone());
    }
    if let Some(Value::Array(choices)) = field.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let Some(Value::Array(either)) = field.remove("anyOf") else {
        return Ok(field);
    };
    let null = json!({"type": "null"});
    let some: Vec<_> = either.into_iter().filter(|one| *one != null).collect();
    let [Value::Object(only)] = some.as_slice() else {
        return Err("is one of several things".into());
    };
    let mut only = only.clone();
    // What stands on the field itself says more than what stands on its type.
    only.extend(field);
    Ok(only)
}

/// Variants with doc comments, which a form shows as titles.
fn titled(variants: Option<&Value>) -> Result<Value, String> {
    let variants = variants.and_then(Value::as_array);
    let mut choices = Vec::new();
    for variant in variants.into_iter().flatten() {
        let Some(name) = variant.get("const").and_then(Value::as_str) else {
            // Variants without a doc comment stand together.
            let names = variant.get("enum").and_then(Value::as_array);
            let names = names.ok_or("is an enum with more than plain names")?;
            choices.extend(
                names
                    .iter()
                    .map(|name| json!({"const": name, "title": name})),
            );
            continue;
        };
        let title = ["title", "description"]
            .iter()
            .find_map(|key| variant.get(key));
        let title = title.and_then(Value::as_str).unwrap_or(name);
        choices.push(json!({"const": name, "title": title}));
    }
    Ok(Value::Array(choices))
}

/// What the entries of a list can be: choices, without anything else.
fn items(items: Option<Value>) -> Result<Value, String> {
    let not_choices = || "is a list of something else than choices".to_owned();
    let property = property(items.ok_or_else(not_choices)?)?;
    let choices = |key: &str| property.get(key).cloned();
    match (choices("enum"), choices("oneOf")) {
        (Some(names), _) => Ok(json!({"type": "string", "enum": names})),
        (None, Some(titled)) => Ok(json!({"anyOf": titled})),
        (None, None) => Err(not_choices()),
    }
}

fn keep_format(field: &mut Map<String, Value>, known: &[&str]) {
    let format = field.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !known.contains(&format)) {
        field.remove("format");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    #[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Plain {
        Red,
        Green,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Told {
        /// By the window
        Window,
        Aisle,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Everything {
        /// Your name
        #[schemars(length(min = 1, max = 40))]
        name: String,
        #[schemars(email)]
        mail: Option<String>,
        #[serde(default = "two")]
        count: u8,
        share: f64,
        sure: bool,
        color: Plain,
        again: Option<Plain>,
        seat: Told,
        maybe: Option<Told>,
        colors: BTreeSet<Plain>,
        seats: Vec<Told>,
    }

    fn two() -> u8 {
        2
    }

    #[test]
    fn a_struct_becomes_a_form() {
        let form: Value = serde_json::from_str(&schema::<Everything>().unwrap()).unwrap();
        let titles = json!([
            {"const": "aisle", "title": "aisle"},
            {"const": "window", "title": "By the window"},
        ]);
        assert_eq!(
            form["properties"],
            json!({
                "name": {"type": "string", "description": "Your name", "minLength": 1, "maxLength": 40},
                "mail": {"type": "string", "format": "email"},
                "count": {"type": "integer", "minimum": 0, "maximum": 255, "default": 2},
                "share": {"type": "number"},
                "sure": {"type": "boolean"},
                "color": {"type": "string", "enum": ["red", "green"]},
                "again": {"type": "string", "enum": ["red", "green"]},
                "seat": {"type": "string", "oneOf": titles},
                "maybe": {"type": "string", "oneOf": titles},
                "colors": {"type": "array", "items": {"type": "string", "enum": ["red", "green"]}},
                "seats": {"type": "array", "items": {"anyOf": titles}},
            })
        );
        let required = form["required"].as_array().unwrap();
        assert!(required.contains(&json!("name")) && !required.contains(&json!("mail")));
        assert!(!required.contains(&json!("count")), "it has a default");
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Inner {
        text: String,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Nested {
        inner: Inner,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Lists {
        lines: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Patterned {
        #[schemars(regex(pattern = "^a+$"))]
        text: String,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    enum Rich {
        One(u8),
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct OfRich {
        rich: Rich,
    }

    #[test]
    fn what_a_form_cannot_show_is_named() {
        for (made, field) in [
            (schema::<Nested>(), "`inner` "),
            (schema::<Lists>(), "`lines` "),
            (schema::<Patterned>(), "`text` has `pattern`"),
            (schema::<OfRich>(), "`rich` "),
            (schema::<Rich>(), "a struct"),
            (schema::<String>(), "a struct"),
        ] {
            let what = made.unwrap_err();
            assert!(what.contains(field), "{what}");
        }
    }
}
