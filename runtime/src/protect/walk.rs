//! Walks a JSON value beside its schema: what each field is called and described as, and what is written in it.

use std::fmt::Write;

use foldhash::{HashMap, HashMapExt};
use serde_json::{Map, Value};

use super::class::{Class, Kind, Set};
use super::words::{Field, Named};
use super::{Inner, Scan};
use crate::limits;

mod values;

/// Bytes of a title and a description that say what a field is: the rest explains.
const DESCRIPTION_BYTES: usize = 200;
/// Longest value of a label such as `{"type": "phone", …}`, in bytes.
const LABEL_BYTES_MAX: usize = 64;
/// The annotation of a schema that names a class.
const ANNOTATION: &str = "x-pii";

/// One step from a value to what it holds.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// A name, and whether the schema lists it: other names are the caller's own, and may be data.
    Key(&'a str, bool),
    Index(usize),
}

/// Adds a key to a JSON Pointer (RFC 6901).
pub(super) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Adds a place in an array to a JSON Pointer.
pub(super) fn push_index(pointer: &mut String, nth: usize) {
    // Writing to a string cannot fail.
    let _ = write!(pointer, "/{nth}");
}

/// What is known of a place before its value is read.
#[derive(Clone)]
struct Place<'a> {
    schemas: Vec<&'a Value>,
    field: Field,
    /// The author's annotation, here or above.
    marked: Option<Marked>,
    depth: usize,
}

/// Whether a schema has an annotation that wants something encrypted, or perhaps has one deeper than is looked.
pub fn wants_encryption(schema: &Value) -> bool {
    fn within(schema: &Value, depth: usize) -> bool {
        const DEPTH_MAX: usize = 64;
        match schema {
            Value::Object(words) => words.iter().any(|(word, inner)| {
                let annotated = word == ANNOTATION && is_sealed(inner.get("action"));
                annotated || depth >= DEPTH_MAX || within(inner, depth + 1)
            }),
            Value::Array(all) => all
                .iter()
                .any(|inner| depth >= DEPTH_MAX || within(inner, depth + 1)),
            _ => false,
        }
    }
    within(schema, 0)
}

/// What an author's annotation says.
#[derive(Clone)]
struct Marked {
    class: Class,
    /// The tool wants a handle in place of the value.
    sealed: bool,
}

fn is_sealed(action: Option<&Value>) -> bool {
    action.and_then(Value::as_str) == Some("encrypt")
}

/// What is known of a field name, looked up once.
#[derive(Clone, Copy)]
struct Known {
    named: Named,
    /// Nothing was found in the name itself.
    clean: bool,
}

/// What is known of a subschema, looked up once.
#[derive(Clone, Copy, Default)]
struct About {
    /// What its title and its description say.
    said: Set,
    /// It names a class.
    marked: bool,
    /// It refers to others or chooses from them.
    leads: bool,
}

/// Keywords that lead to other subschemas for the same place.
const LEADS: [&str; 8] = [
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
];

struct Walk<'a> {
    inner: &'a Inner,
    root: &'a Value,
    path: Vec<Step<'a>>,
    names: HashMap<&'a str, Known>,
    /// What is known of a subschema, by its address.
    schemas: HashMap<*const Value, About>,
    scan: Scan,
    bytes_left: usize,
    steps_left: usize,
    /// This is JSON inside a string: what is inside of that is not read.
    nested: bool,
}

pub(super) fn scan(inner: &Inner, value: &Value, schema: &Value) -> Scan {
    let mut walk = Walk::new(inner, schema, limits::PROTECT_BYTES_MAX, false);
    let schemas = walk.expand(vec![schema]);
    let place = walk.place(schemas, Field::default(), None, 0);
    walk.visit(value, &place);
    walk.scan
}

pub(super) fn scan_text(inner: &Inner, text: &str, context: &str) -> Scan {
    let mut walk = Walk::new(inner, &Value::Null, limits::PROTECT_BYTES_MAX, true);
    let named = inner.words.field(context);
    let field = Field {
        name: named.said,
        other: named.other,
        ..Field::default()
    };
    let seen = walk.affordable(text);
    let found = inner.find(seen, field, walk.room());
    walk.report(found, false);
    walk.scan
}

impl<'a> Walk<'a> {
    fn new(inner: &'a Inner, root: &'a Value, bytes: usize, nested: bool) -> Self {
        Self {
            inner,
            root,
            path: Vec::new(),
            names: HashMap::new(),
            schemas: HashMap::new(),
            scan: Scan::default(),
            bytes_left: bytes,
            steps_left: limits::PROTECT_SCHEMA_STEPS_MAX,
            nested,
        }
    }

    /// A place with what its schemas say of it.
    fn place(
        &mut self,
        schemas: Vec<&'a Value>,
        mut field: Field,
        above: Option<&Marked>,
        depth: usize,
    ) -> Place<'a> {
        let mut marked = above.cloned();
        field.schema = Set::default();
        for schema in &schemas {
            let about = self.about(schema);
            field.schema |= about.said;
            if about.marked {
                // The nearest class counts; that somebody wants it encrypted is not taken back by another.
                let sealed = marked.as_ref().is_some_and(|above| above.sealed);
                marked = annotation(schema).map(|own| Marked {
                    sealed: own.sealed || sealed,
                    ..own
                });
            }
        }
        Place {
            schemas,
            field,
            marked,
            depth,
        }
    }

    fn about(&mut self, schema: &'a Value) -> About {
        let address = std::ptr::from_ref(schema);
        if let Some(about) = self.schemas.get(&address) {
            return *about;
        }
        let mut about = About {
            marked: annotation(schema).is_some(),
            ..About::default()
        };
        for word in ["title", "description"] {
            if let Some(Value::String(text)) = schema.get(word) {
                about.said |= self.inner.words.said(head(text, DESCRIPTION_BYTES));
            }
        }
        about.leads = LEADS.iter().any(|word| schema.get(word).is_some());
        self.schemas.insert(address, about);
        about
    }

    /// These schemas and all that they refer to or choose from.
    fn expand(&mut self, mut all: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut at = 0;
        while let Some(schema) = all.get(at).copied() {
            at += 1;
            let Value::Object(words) = schema else {
                continue;
            };
            if self.steps_left == 0 {
                self.scan.truncated = true;
                break;
            }
            self.steps_left -= 1;
            if !self.about(schema).leads {
                continue;
            }
            let mut more: Vec<&'a Value> = Vec::new();
            for word in ["$ref", "$dynamicRef"] {
                if let Some(Value::String(to)) = words.get(word) {
                    more.extend(local(self.root, to));
                }
            }
            for word in ["allOf", "anyOf", "oneOf"] {
                if let Some(Value::Array(branches)) = words.get(word) {
                    more.extend(branches);
                }
            }
            more.extend(
                ["if", "then", "else"]
                    .iter()
                    .filter_map(|word| words.get(*word)),
            );
            for schema in more {
                if all.iter().any(|other| std::ptr::eq(*other, schema)) {
                    continue;
                }
                if all.len() >= limits::PROTECT_SCHEMA_BRANCHES_MAX {
                    self.scan.truncated = true;
                    break;
                }
                all.push(schema);
            }
        }
        all
    }

    fn of_field(&mut self, schemas: &[&'a Value], key: &str) -> Vec<&'a Value> {
        let own = |schema: &&'a Value| -> Option<&'a Value> {
            let named = schema.get("properties").and_then(|all| all.get(key));
            named.or_else(|| schema.get("additionalProperties"))
        };
        let found: Vec<_> = schemas
            .iter()
            .filter_map(own)
            .filter(|schema| schema.is_object())
            .collect();
        if found.is_empty() {
            found
        } else {
            self.expand(found)
        }
    }

    fn of_item(&mut self, schemas: &[&'a Value], nth: usize) -> Vec<&'a Value> {
        let own = |schema: &&'a Value| -> Option<&'a Value> {
            // `prefixItems`, and `items` as an array, which older schemas have.
            let prefix = schema.get("prefixItems").and_then(|all| all.get(nth));
            let items = schema.get("items");
            let tuple = items
                .and_then(|all| all.as_array())
                .and_then(|all| all.get(nth));
            let rest = items.or_else(|| schema.get("additionalItems"));
            prefix.or(tuple).or(rest)
        };
        let found: Vec<_> = schemas
            .iter()
            .filter_map(own)
            .filter(|schema| schema.is_object())
            .collect();
        if found.is_empty() {
            found
        } else {
            self.expand(found)
        }
    }

    fn visit(&mut self, value: &'a Value, place: &Place<'a>) {
        if place.depth > limits::PROTECT_DEPTH_MAX {
            self.scan.truncated = true;
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.number(number, place),
            Value::String(text) => self.string(text, place),
            Value::Array(items) => self.array(items, place),
            Value::Object(fields) => self.object(fields, place),
        }
    }

    fn array(&mut self, items: &'a [Value], place: &Place<'a>) {
        for (nth, item) in items.iter().enumerate() {
            let schemas = self.of_item(&place.schemas, nth);
            // The items are called what the array is called.
            let mut inside =
                self.place(schemas, place.field, place.marked.as_ref(), place.depth + 1);
            inside.field.schema |= place.field.schema;
            self.path.push(Step::Index(nth));
            self.visit(item, &inside);
            self.path.pop();
        }
    }

    fn object(&mut self, fields: &'a Map<String, Value>, place: &Place<'a>) {
        let mut label = None;
        for (key, value) in fields {
            let known = self.key(key);
            let mut field = Field {
                name: known.named.said,
                other: known.named.other,
                ..Field::default()
            };
            if known.named.plain {
                let label = *label.get_or_insert_with(|| self.label(fields));
                field.name |= label | place.field.name;
            }
            let schemas = self.of_field(&place.schemas, key);
            let listed = lists(&place.schemas, key);
            let inside = self.place(schemas, field, place.marked.as_ref(), place.depth + 1);
            self.path.push(Step::Key(key, listed));
            self.in_key(key, known);
            self.visit(value, &inside);
            self.path.pop();
        }
    }

    /// Reports what stands in the name of a field itself; the path ends with it.
    fn in_key(&mut self, key: &'a str, known: Known) {
        let whole = self.affordable(key).len() == key.len();
        if known.clean || !whole {
            return;
        }
        let found = self.inner.find(key, Field::default(), self.room());
        self.report(found, true);
    }

    /// What the field of an object says that labels the others.
    fn label(&mut self, fields: &'a Map<String, Value>) -> Set {
        let mut said = Set::default();
        for (key, value) in fields {
            if let Value::String(text) = value
                && text.len() <= LABEL_BYTES_MAX
                && self.key(key).named.label
            {
                said |= self.inner.words.field(text).said;
            }
        }
        said
    }

    /// What a field name says; what is found in it is reported at its first place and at every other.
    fn key(&mut self, key: &'a str) -> Known {
        if let Some(known) = self.names.get(key) {
            return *known;
        }
        let named = self.inner.words.field(key);
        let found = self.inner.find(key, Field::default(), 1);
        self.scan.work += found.work;
        let known = Known {
            named,
            clean: found.hits.is_empty(),
        };
        self.names.insert(key, known);
        known
    }
}

/// Whether one of these schemas has a property of this name.
fn lists(schemas: &[&Value], key: &str) -> bool {
    let mut schemas = schemas.iter();
    schemas.any(|schema| {
        let named = schema.get("properties");
        named.is_some_and(|all| all.get(key).is_some())
    })
}

/// So many bytes of a text at most, on the border of a character.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// What an author's annotation says. What is written wrong is personal data all the same: it was meant to be.
fn annotation(schema: &Value) -> Option<Marked> {
    let (given, action) = match schema.get(ANNOTATION)? {
        Value::Null | Value::Bool(false) => return None,
        Value::Object(words) => (
            words.get("class").unwrap_or(&Value::Null),
            words.get("action"),
        ),
        given => (given, None),
    };
    let named = given.as_str().and_then(|name| name.parse().ok());
    let personal = || super::built_in().get(usize::from(Kind::Personal.id()));
    let class = named.or_else(|| personal().and_then(|one| one.name.parse().ok()))?;
    let sealed = is_sealed(action);
    Some(Marked { class, sealed })
}

/// What a reference inside the same schema leads to.
fn local<'a>(root: &'a Value, to: &str) -> Option<&'a Value> {
    let pointer = to.strip_prefix('#')?;
    if pointer.contains('%') {
        return None;
    }
    root.pointer(pointer)
}
