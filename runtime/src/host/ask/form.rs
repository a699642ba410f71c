//! The schema of a form, as MCP allows it (2026-07-28, client features, elicitation, requested schema): an object of primitive
//! properties, without nesting. What is not on the list is refused, so that the form that a user sees is the one that is checked.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::secrets;
use crate::catalog::check::hidden;
use crate::limits::{ASK_ANSWER_BYTES_MAX, ASK_FIELDS_MAX, ASK_SCHEMA_BYTES_MAX};

/// What a string can be told to be.
const FORMATS: [&str; 4] = ["date", "date-time", "email", "uri"];

/// A form that can be shown, and that answers can be held against.
#[derive(Debug)]
pub(super) struct Form {
    fields: Vec<String>,
    validator: jsonschema::Validator,
}

/// The root of the schema. `additionalProperties` and all else that a form does not show is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    #[serde(rename = "$schema")]
    _dialect: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    properties: Map<String, Value>,
    #[serde(default)]
    required: Vec<String>,
}

impl Form {
    /// Reads a schema, or says what a form cannot be.
    pub(super) fn read(schema: &str) -> Result<Self, String> {
        if schema.len() > ASK_SCHEMA_BYTES_MAX {
            return Err(format!(
                "the schema has more than {ASK_SCHEMA_BYTES_MAX} bytes"
            ));
        }
        let root: Root = serde_json::from_str(schema)
            .map_err(|error| format!("the schema is not that of a form: {error}"))?;
        if root.kind != "object" {
            return Err("the type of the schema is not `object`".to_owned());
        }
        let count = root.properties.len();
        if count == 0 || count > ASK_FIELDS_MAX {
            return Err(format!("a form has 1 to {ASK_FIELDS_MAX} properties"));
        }
        for (name, property) in &root.properties {
            check_shown("the name of a property", name)?;
            check_property(name, property)?;
        }
        if let Some(name) = root
            .required
            .iter()
            .find(|name| !root.properties.contains_key(*name))
        {
            return Err(format!("`{name}` is required and is no property"));
        }
        let fields: Vec<String> = root.properties.keys().cloned().collect();
        let schema = Map::from_iter([
            ("type".to_owned(), Value::from("object")),
            ("properties".to_owned(), Value::Object(root.properties)),
            ("required".to_owned(), Value::from(root.required)),
        ]);
        Ok(Self {
            fields,
            validator: validator(&Value::Object(schema))?,
        })
    }

    /// What of this content was asked, as text, if it fits. What was not asked is left out.
    pub(super) fn fitting(&self, content: Value) -> Option<String> {
        let Value::Object(mut content) = content else {
            return None;
        };
        content.retain(|name, _| self.fields.contains(name));
        let content = Value::Object(content);
        let text = content.to_string();
        (text.len() <= ASK_ANSWER_BYTES_MAX && self.validator.is_valid(&content)).then_some(text)
    }
}

/// A checker of values, formats included. It compiles no pattern and follows no reference: a form has neither.
fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| format!("the schema is no JSON Schema: {}", error.masked()))
}

/// Text that a user will read: seen as it is, without links, and asking for no secret.
pub(super) fn check_shown(what: &str, text: &str) -> Result<(), String> {
    if let Some(c) = text.chars().find(|c| hidden(*c)) {
        let code = u32::from(c);
        return Err(format!(
            "{what} holds U+{code:04X}, which a reader cannot see"
        ));
    }
    if secrets::has_link(text) {
        return Err(format!("{what} holds a link; a form has none"));
    }
    match secrets::asks_for_secret(text) {
        true => Err(format!(
            "{what} asks for a secret; a form must not, for its answer passes through the client"
        )),
        false => Ok(()),
    }
}

/// One property: of a primitive type, with the keywords of that type and no others.
fn check_property(name: &str, property: &Value) -> Result<(), String> {
    let fields = property
        .as_object()
        .ok_or_else(|| format!("`{name}` is no schema of a property"))?;
    let kind = fields.get("type").and_then(Value::as_str);
    let has = |key: &str| fields.contains_key(key);
    let (keywords, choices): (&[&str], Option<&Value>) = match kind {
        Some("string") if has("oneOf") => (&["oneOf"], fields.get("oneOf")),
        Some("string") if has("enum") => (&["enum", "enumNames"], fields.get("enum")),
        Some("string") => (&["minLength", "maxLength", "format"], None),
        Some("number" | "integer") => (&["minimum", "maximum"], None),
        Some("boolean") => (&[], None),
        Some("array") => (&["items", "minItems", "maxItems"], fields.get("items")),
        _ => {
            return Err(format!(
                "`{name}` has none of the types `string`, `number`, `integer`, `boolean` and `array` (of choices)"
            ));
        }
    };
    let common = ["type", "title", "description", "default"];
    if let Some(other) = fields
        .keys()
        .find(|key| !common.contains(&key.as_str()) && !keywords.contains(&key.as_str()))
    {
        return Err(format!(
            "`{name}` has `{other}`, which a form does not know there"
        ));
    }
    for key in ["title", "description"] {
        if let Some(text) = fields.get(key) {
            let text = text.as_str().ok_or_else(|| wrong(name, key))?;
            check_shown(&format!("the {key} of `{name}`"), text)?;
        }
    }
    check_keywords(name, kind, fields)?;
    match (kind, choices) {
        (Some("array"), items) => check_items(name, items)?,
        (_, Some(choices)) => check_choices(name, choices, fields.get("enumNames"))?,
        (_, None) => {}
    }
    match fields.get("default") {
        Some(default) if !validator(property)?.is_valid(default) => Err(wrong(name, "default")),
        Some(Value::String(text)) => check_shown_default(name, text),
        Some(_) | None => Ok(()),
    }
}

/// A proposed text may be a link, where a link is asked for; it may not hide anything.
fn check_shown_default(name: &str, text: &str) -> Result<(), String> {
    match text.chars().any(hidden) {
        true => Err(wrong(name, "default")),
        false => Ok(()),
    }
}

/// Bounds and formats have the types that every client reads.
fn check_keywords(
    name: &str,
    kind: Option<&str>,
    fields: &Map<String, Value>,
) -> Result<(), String> {
    for (key, value) in fields {
        let fits = match key.as_str() {
            "minLength" | "maxLength" | "minItems" | "maxItems" => value
                .as_u64()
                .is_some_and(|most| u32::try_from(most).is_ok()),
            "minimum" | "maximum" | "default" if kind == Some("integer") => value.is_i64(),
            "minimum" | "maximum" => value.is_number(),
            "format" => value
                .as_str()
                .is_some_and(|format| FORMATS.contains(&format)),
            _ => true,
        };
        if !fits {
            return Err(wrong(name, key));
        }
    }
    Ok(())
}

/// What the entries of a list can be: `enum`, or titled `anyOf`.
fn check_items(name: &str, items: Option<&Value>) -> Result<(), String> {
    let fields = items.and_then(Value::as_object);
    let fields = fields.ok_or_else(|| wrong(name, "items"))?;
    let choices = match (fields.get("type").and_then(Value::as_str), fields.len()) {
        (Some("string"), 2) => fields.get("enum"),
        (None, 1) => fields.get("anyOf"),
        _ => None,
    };
    let choices = choices.ok_or_else(|| wrong(name, "items"))?;
    check_choices(name, choices, None)
}

/// A list of texts, or of texts with titles; none twice.
fn check_choices(name: &str, choices: &Value, names: Option<&Value>) -> Result<(), String> {
    let unknown = || wrong(name, "the list of choices");
    let choices = choices.as_array().filter(|all| !all.is_empty());
    let choices = choices.ok_or_else(unknown)?;
    let mut known: Vec<&str> = Vec::new();
    for choice in choices {
        let (value, title) = match choice {
            Value::String(value) => (value.as_str(), None),
            Value::Object(titled) if titled.len() == 2 => {
                let of = |key: &str| titled.get(key).and_then(Value::as_str);
                (
                    of("const").ok_or_else(unknown)?,
                    Some(of("title").ok_or_else(unknown)?),
                )
            }
            _ => return Err(unknown()),
        };
        for text in [Some(value), title].into_iter().flatten() {
            check_shown(&format!("a choice of `{name}`"), text)?;
        }
        if known.contains(&value) {
            return Err(format!("`{name}` has a choice twice"));
        }
        known.push(value);
    }
    let Some(names) = names else {
        return Ok(());
    };
    let names = names.as_array().filter(|names| names.len() == known.len());
    for title in names.ok_or_else(unknown)? {
        let title = title.as_str().ok_or_else(unknown)?;
        check_shown(&format!("a choice of `{name}`"), title)?;
    }
    Ok(())
}

fn wrong(name: &str, key: &str) -> String {
    format!("`{key}` of `{name}` is not what a form has there")
}
