//! Walks a JSON value beside its schema: what each field is called and described as, and what is written in it.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Number, Value};

use super::class::{Class, Kind, Set};
use super::words::{Field, Named};
use super::{Confidence, Finding, Inner, Reason, Scan, secrets};
use crate::limits;

/// Bytes of a title and a description that say what a field is: the rest explains.
const DESCRIPTION_BYTES: usize = 200;
/// Longest value of a label such as `{"type": "phone", …}`, in bytes.
const LABEL_BYTES_MAX: usize = 64;
/// The annotation of a schema that names a class.
const ANNOTATION: &str = "x-pii";

/// Base64 as people send it: either alphabet, with padding or without.
const BASE64: [GeneralPurpose; 2] = {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [
        GeneralPurpose::new(&alphabet::STANDARD, config),
        GeneralPurpose::new(&alphabet::URL_SAFE, config),
    ]
};

/// One step from a value to what it holds.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
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
    /// The class of the author's annotation, here or above.
    marked: Option<Class>,
    depth: usize,
}

/// What is known of a field name, looked up once.
#[derive(Clone, Copy)]
struct Known {
    named: Named,
    /// Nothing was found in the name itself.
    clean: bool,
}

struct Walk<'a> {
    inner: &'a Inner,
    root: &'a Value,
    path: Vec<Step<'a>>,
    names: HashMap<&'a str, Known>,
    /// What the title and the description of a subschema say, by its address.
    described: HashMap<*const Value, Set>,
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
            described: HashMap::new(),
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
        above: Option<&Class>,
        depth: usize,
    ) -> Place<'a> {
        let mut marked = above.cloned();
        field.schema = Set::default();
        for schema in &schemas {
            if let Some(class) = annotation(schema) {
                marked = Some(class);
            }
            field.schema |= self.description(schema);
        }
        Place {
            schemas,
            field,
            marked,
            depth,
        }
    }

    fn description(&mut self, schema: &'a Value) -> Set {
        let address = std::ptr::from_ref(schema);
        if let Some(said) = self.described.get(&address) {
            return *said;
        }
        let mut said = Set::default();
        for word in ["title", "description"] {
            if let Some(Value::String(text)) = schema.get(word) {
                said |= self.inner.words.said(head(text, DESCRIPTION_BYTES));
            }
        }
        self.described.insert(address, said);
        said
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
        let label = self.label(fields);
        for (key, value) in fields {
            let known = self.key(key);
            let mut field = Field {
                name: known.named.said,
                other: known.named.other,
                ..Field::default()
            };
            if known.named.plain {
                field.name |= label | place.field.name;
            }
            let schemas = self.of_field(&place.schemas, key);
            let inside = self.place(schemas, field, place.marked.as_ref(), place.depth + 1);
            self.path.push(Step::Key(key));
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

    fn number(&mut self, number: &Number, place: &Place<'a>) {
        let Some((text, whole)) = digits(number) else {
            return;
        };
        if let Some(class) = &place.marked {
            self.annotated(class.clone(), text.len());
        }
        let found = self.inner.find_number(&text, place.field, self.room());
        match whole {
            true => self.report(found, false),
            // Its digits stand elsewhere in the JSON text.
            false => {
                let mut found = found;
                for hit in &mut found.hits {
                    hit.span = 0..number.to_string().len();
                }
                self.report(found, false);
            }
        }
    }

    fn string(&mut self, text: &'a str, place: &Place<'a>) {
        if let Some(class) = place.marked.as_ref().filter(|_| !text.is_empty()) {
            self.annotated(class.clone(), text.len());
        }
        let seen = self.affordable(text);
        let mut found = self.inner.find(seen, place.field, self.room());
        let secret = place.field.name.has(Kind::Password.id())
            || place.field.schema.has(Kind::Password.id());
        if secret && is_password(text) {
            self.whole(Kind::Password, Confidence::Sure, &place.field, text);
        }
        let address =
            place.field.name.has(Kind::Address.id()) || place.field.schema.has(Kind::Address.id());
        if address && let Some(confidence) = address_in(text, &found.hits) {
            self.whole(Kind::Address, confidence, &place.field, text);
            // The postcode is a part of the address.
            found.hits.retain(|hit| hit.id != Kind::Postcode.id());
        }
        let from = self.scan.findings.len();
        self.report(found, false);
        if !self.nested && seen.len() == text.len() {
            self.inside(text, place, from);
        }
    }

    /// JSON in a string, or base64 of it: its own fields say what its values are.
    fn inside(&mut self, text: &str, place: &Place<'a>, from: usize) {
        let Some((value, plain)) = json_in(text) else {
            return;
        };
        let null = Value::Null;
        let mut walk = Walk::new(self.inner, &null, self.bytes_left, true);
        let inside = walk.place(Vec::new(), place.field, None, 0);
        walk.visit(&value, &inside);
        self.bytes_left = walk.bytes_left;
        self.scan.work += walk.scan.work;
        self.scan.truncated |= walk.scan.truncated;
        let mut searched = 0;
        for finding in walk.scan.findings {
            // Where it can be told, the place in the outer text; else all of it.
            let piece = if plain { finding.piece(&value) } else { None };
            let rest = text.get(searched..).unwrap_or_default();
            let at = piece
                .as_deref()
                .and_then(|piece| rest.find(piece).map(|at| (searched + at, piece.len())));
            let span = match at {
                Some((at, length)) => {
                    searched = at;
                    at..at + length
                }
                None => 0..text.len(),
            };
            self.merge(from, finding, span);
        }
    }

    /// Adds what was found inside a string to what was found in its text.
    fn merge(&mut self, from: usize, finding: Finding, span: Range<usize>) {
        let known = self.scan.findings.iter_mut().skip(from).find(|known| {
            known.class == finding.class
                && known.span.start < span.end
                && span.start < known.span.end
        });
        if let Some(known) = known {
            if finding.score > known.score {
                known.confidence = finding.confidence;
                known.score = finding.score;
                known.reason = finding.reason;
            }
            return;
        }
        let pointer = self.pointer();
        self.add(Finding {
            pointer,
            span,
            in_key: false,
            ..finding
        });
    }

    /// As much of a text as there is room for.
    fn affordable<'t>(&mut self, text: &'t str) -> &'t str {
        let seen = head(text, limits::PROTECT_STRING_BYTES_MAX.min(self.bytes_left));
        self.scan.truncated |= seen.len() < text.len();
        self.bytes_left -= seen.len();
        seen
    }

    fn room(&self) -> usize {
        limits::PROTECT_FINDINGS_MAX.saturating_sub(self.scan.findings.len())
    }

    fn report(&mut self, found: super::Found, in_key: bool) {
        self.scan.work += found.work;
        self.scan.truncated |= found.full;
        if found.hits.is_empty() {
            return;
        }
        let pointer = self.pointer();
        for hit in found.hits {
            let Some(class) = self.inner.classes.get(usize::from(hit.id)) else {
                continue;
            };
            self.add(Finding {
                pointer: pointer.clone(),
                class: class.clone(),
                confidence: hit.confidence,
                score: hit.score,
                reason: hit.reason,
                span: hit.span,
                in_key,
            });
        }
    }

    fn add(&mut self, finding: Finding) {
        if self.room() == 0 {
            self.scan.truncated = true;
            return;
        }
        self.scan.findings.push(finding);
    }

    fn annotated(&mut self, class: Class, length: usize) {
        let pointer = self.pointer();
        self.add(Finding {
            pointer,
            class,
            confidence: Confidence::Sure,
            score: 100,
            reason: Reason::Annotated,
            span: 0..length,
            in_key: false,
        });
    }

    /// A whole string that its field's name tells.
    fn whole(&mut self, kind: Kind, confidence: Confidence, field: &Field, text: &str) {
        let Some(class) = self.inner.classes.get(usize::from(kind.id())).cloned() else {
            return;
        };
        let reason = match field.name.has(kind.id()) {
            true => Reason::FieldName,
            false => Reason::Schema,
        };
        let score = match confidence {
            Confidence::Sure => 85,
            Confidence::Likely => 40,
        };
        let pointer = self.pointer();
        self.add(Finding {
            pointer,
            class,
            confidence,
            score,
            reason,
            span: 0..text.len(),
            in_key: false,
        });
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => push_key(&mut pointer, key),
                Step::Index(nth) => push_index(&mut pointer, *nth),
            }
        }
        pointer
    }
}

/// So many bytes of a text at most, on the border of a character.
fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The class that an author's annotation names. What is written wrong is personal data all the same: it was meant to be.
fn annotation(schema: &Value) -> Option<Class> {
    let given = match schema.get(ANNOTATION)? {
        Value::Null | Value::Bool(false) => return None,
        Value::Object(words) => words.get("class").unwrap_or(&Value::Null),
        given => given,
    };
    let named = given.as_str().and_then(|name| name.parse().ok());
    let personal = || super::built_in().get(usize::from(Kind::Personal.id()));
    named.or_else(|| personal().and_then(|one| one.name.parse().ok()))
}

/// What a reference inside the same schema leads to.
fn local<'a>(root: &'a Value, to: &str) -> Option<&'a Value> {
    let pointer = to.strip_prefix('#')?;
    if pointer.contains('%') {
        return None;
    }
    root.pointer(pointer)
}

/// The digits of a whole number, and whether they are how it stands in JSON.
fn digits(number: &Number) -> Option<(String, bool)> {
    if let Some(n) = number.as_u64() {
        return Some((n.to_string(), true));
    }
    if let Some(n) = number.as_i64() {
        return Some((n.unsigned_abs().to_string(), false));
    }
    // 2^53: beyond it a float does not tell its last digits.
    let n = number
        .as_f64()
        .filter(|n| n.abs() < 9_007_199_254_740_992.0 && n.fract() == 0.0)?;
    Some(((n.abs() as u64).to_string(), false))
}

/// A string that is JSON, or base64 of JSON, and whether it stands there plainly.
fn json_in(text: &str) -> Option<(Value, bool)> {
    if text.len() > limits::PROTECT_NESTED_BYTES_MAX {
        return None;
    }
    let opens = |c: Option<u8>| matches!(c, Some(b'{' | b'['));
    let trimmed = text.trim();
    if opens(trimmed.bytes().next()) {
        return Some((serde_json::from_str(trimmed).ok()?, true));
    }
    let first = trimmed.get(..4)?;
    for engine in &BASE64 {
        let begins = engine.decode(first).ok()?;
        if !opens(begins.trim_ascii_start().first().copied()) {
            continue;
        }
        let value = engine
            .decode(trimmed)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(value) = value {
            return Some((value, false));
        }
    }
    None
}

/// Whether a field that is called a password holds one, and no mark in its place.
fn is_password(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 4 && !secrets::masked(text.as_bytes())
}

/// Whether a field that is called an address holds one of the post.
fn address_in(text: &str, hits: &[super::find::Hit]) -> Option<Confidence> {
    let text = text.trim();
    // An address of another kind, or of a page.
    let other = [Kind::Email, Kind::Ip, Kind::Mac].map(Kind::id);
    if text.contains("://")
        || hits.iter().any(|hit| other.contains(&hit.id))
        || text.parse::<std::net::IpAddr>().is_ok()
    {
        return None;
    }
    let folded = super::fold::Folded::new(text);
    let folded = folded.text();
    let japanese = folded.contains(['都', '道', '府', '県', '市', '区', '町', '村']);
    let number = folded.bytes().any(|c| c.is_ascii_digit());
    let parts = folded.contains([' ', ',', '\n']);
    let hexadecimal = folded
        .trim_start_matches("0x")
        .bytes()
        .all(|c| c.is_ascii_hexdigit());
    match (japanese, number, parts) {
        _ if folded.chars().count() < 5 || hexadecimal => None,
        (true, _, _) | (_, true, true) => Some(Confidence::Sure),
        (_, false, true) => Some(Confidence::Likely),
        (_, _, false) => None,
    }
}
