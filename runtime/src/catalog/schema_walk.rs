//! Walks a schema: once at admission to judge its references, and beside each value to count what a check will cost.
//!
//! A validator follows references by recursion and without a budget. So a schema that refers to itself on the same
//! value is refused here, and a check whose walk is too long or too deep is refused before the validator begins. A
//! pattern costs as many steps as it may take to try it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::pattern::{self, Weights};
use super::schema::{SchemaError, SchemaMismatch, text};
use crate::limits::{
    SCHEMA_DEPTH_MAX, SCHEMA_EXPANDED_MAX, SCHEMA_FRAMES_MAX, SCHEMA_NODES_MAX,
    SCHEMA_PATTERN_WORK_PER_STEP, SCHEMA_STEPS_MAX,
};

/// Keywords that would rebind or load names; `#/…` says the same with less. A plain `$anchor` only gives a name, which no
/// reference here can use, so it may stand.
const REFUSED: [&str; 6] = [
    "$id",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
];

/// How a keyword applies its subschemas.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applies {
    /// To the same value.
    Here,
    /// To parts of the value.
    Inside,
    /// To nothing; they are there to be referred to.
    Nowhere,
}

/// How the subschemas of a keyword are written.
#[derive(Clone, Copy)]
enum Form {
    One,
    List,
    Map,
}

/// JSON Schema 2020-12 core §10 and §11: every keyword that holds subschemas, and the older ones that validators still obey.
const KEYWORDS: [(&str, Form, Applies); 22] = [
    ("allOf", Form::List, Applies::Here),
    ("anyOf", Form::List, Applies::Here),
    ("oneOf", Form::List, Applies::Here),
    ("not", Form::One, Applies::Here),
    ("if", Form::One, Applies::Here),
    ("then", Form::One, Applies::Here),
    ("else", Form::One, Applies::Here),
    ("dependentSchemas", Form::Map, Applies::Here),
    ("dependencies", Form::Map, Applies::Here),
    ("properties", Form::Map, Applies::Inside),
    ("patternProperties", Form::Map, Applies::Inside),
    ("additionalProperties", Form::One, Applies::Inside),
    ("unevaluatedProperties", Form::One, Applies::Inside),
    ("propertyNames", Form::One, Applies::Inside),
    ("prefixItems", Form::List, Applies::Inside),
    ("items", Form::One, Applies::Inside),
    ("additionalItems", Form::One, Applies::Inside),
    ("unevaluatedItems", Form::One, Applies::Inside),
    ("contains", Form::One, Applies::Inside),
    ("contentSchema", Form::One, Applies::Nowhere),
    ("$defs", Form::Map, Applies::Nowhere),
    ("definitions", Form::Map, Applies::Nowhere),
];

/// The subschemas that stand directly in a schema, with the keyword, the way there and how they apply.
fn children(schema: &Map<String, Value>) -> Vec<(&'static str, Option<String>, Applies, &Value)> {
    let mut all = Vec::new();
    for (keyword, form, applies) in KEYWORDS {
        match (form, schema.get(keyword)) {
            (Form::One, Some(one)) => all.push((keyword, None, applies, one)),
            (Form::List, Some(Value::Array(list))) => {
                let numbered = list.iter().enumerate();
                all.extend(numbered.map(|(n, one)| (keyword, Some(n.to_string()), applies, one)));
            }
            (Form::Map, Some(Value::Object(map))) => {
                let named = map.iter();
                all.extend(named.map(|(name, one)| (keyword, Some(name.clone()), applies, one)));
            }
            (Form::List | Form::Map, _) | (Form::One, None) => {}
        }
    }
    all
}

/// All patterns of a schema, wherever they stand in it.
pub(super) fn patterns(schema: &Value) -> Vec<&str> {
    let mut all = Vec::new();
    let mut open = vec![schema];
    while let Some(next) = open.pop() {
        if let Value::Object(fields) = next {
            all.extend(pattern::of(fields));
            open.extend(children(fields).into_iter().map(|(.., child)| child));
        }
    }
    all
}

/// One subschema: where its own subschemas and references lead, by pointer.
#[derive(Default)]
struct Node {
    here: Vec<String>,
    inside: Vec<String>,
}

/// Judges size, depth and references.
pub(super) fn judge(schema: &Value) -> Result<(), SchemaError> {
    let mut nodes = HashMap::new();
    collect(schema, String::new(), 0, &mut nodes)?;
    for (at, node) in &nodes {
        if node.here.iter().any(|target| !nodes.contains_key(target)) {
            return Err(SchemaError::Dangling { at: at.clone() });
        }
    }
    let mut chains = HashMap::new();
    let mut sizes = HashMap::new();
    let mut starts: Vec<&String> = nodes.keys().collect();
    starts.sort_unstable();
    for start in starts {
        chain(start, &nodes, &mut HashSet::new(), &mut chains)?;
        let size = expanded(start, &nodes, &mut HashSet::new(), &mut sizes, 0)?;
        if size > SCHEMA_EXPANDED_MAX {
            return Err(SchemaError::Nodes {
                max: SCHEMA_EXPANDED_MAX,
            });
        }
    }
    Ok(())
}

fn collect(
    schema: &Value,
    at: String,
    depth: usize,
    nodes: &mut HashMap<String, Node>,
) -> Result<(), SchemaError> {
    if depth > SCHEMA_DEPTH_MAX {
        return Err(SchemaError::Depth {
            at: text(&at),
            max: SCHEMA_DEPTH_MAX,
        });
    }
    let mut node = Node::default();
    if let Value::Object(fields) = schema {
        if let Some(keyword) = REFUSED.into_iter().find(|word| fields.contains_key(*word)) {
            return Err(SchemaError::Keyword { keyword, at });
        }
        if !at.is_empty() && fields.contains_key("$schema") {
            return Err(SchemaError::Keyword {
                keyword: "$schema",
                at,
            });
        }
        if let Some(reference) = fields.get("$ref") {
            node.here.push(target(reference, &at)?);
        }
        for (keyword, key, applies, child) in children(fields) {
            let mut below = format!("{at}/{keyword}");
            if let Some(key) = key {
                below.push('/');
                below.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            match applies {
                Applies::Here => node.here.push(below.clone()),
                Applies::Inside => node.inside.push(below.clone()),
                Applies::Nowhere => {}
            }
            collect(child, below, depth.saturating_add(1), nodes)?;
        }
    }
    if nodes.len() >= SCHEMA_NODES_MAX {
        return Err(SchemaError::Nodes {
            max: SCHEMA_NODES_MAX,
        });
    }
    nodes.insert(at, node);
    Ok(())
}

/// The pointer that a reference names.
fn target(reference: &Value, at: &str) -> Result<String, SchemaError> {
    let refuse = |found: &str| SchemaError::Reference {
        at: at.to_owned(),
        found: text(found),
    };
    let Value::String(found) = reference else {
        return Err(refuse("not a text"));
    };
    match found.strip_prefix('#') {
        // A percent sign would be decoded by the validator and not by us: two readings of one reference.
        Some(pointer)
            if !pointer.contains('%') && (pointer.is_empty() || pointer.starts_with('/')) =>
        {
            Ok(pointer.to_owned())
        }
        Some(_) | None => Err(refuse(found)),
    }
}

/// The longest chain of subschemas that apply to one and the same value.
fn chain<'a>(
    at: &'a String,
    nodes: &'a HashMap<String, Node>,
    open: &mut HashSet<&'a String>,
    known: &mut HashMap<&'a String, usize>,
) -> Result<usize, SchemaError> {
    if let Some(length) = known.get(at) {
        return Ok(*length);
    }
    if !open.insert(at) {
        return Err(SchemaError::Cycle { at: text(at) });
    }
    let mut length = 0;
    if open.len() > SCHEMA_DEPTH_MAX {
        return Err(SchemaError::Depth {
            at: text(at),
            max: SCHEMA_DEPTH_MAX,
        });
    }
    for next in nodes.get(at).into_iter().flat_map(|node| &node.here) {
        length = length.max(chain(next, nodes, open, known)?.saturating_add(1));
    }
    open.remove(at);
    if length > SCHEMA_DEPTH_MAX {
        return Err(SchemaError::Depth {
            at: text(at),
            max: SCHEMA_DEPTH_MAX,
        });
    }
    known.insert(at, length);
    Ok(length)
}

/// How many subschemas there are once references are followed; one that leads back counts once.
fn expanded<'a>(
    at: &'a String,
    nodes: &'a HashMap<String, Node>,
    open: &mut HashSet<&'a String>,
    known: &mut HashMap<&'a String, usize>,
    depth: usize,
) -> Result<usize, SchemaError> {
    if let Some(size) = known.get(at) {
        return Ok(*size);
    }
    if depth > SCHEMA_FRAMES_MAX {
        return Err(SchemaError::Depth {
            at: text(at),
            max: SCHEMA_FRAMES_MAX,
        });
    }
    if !open.insert(at) {
        return Ok(1);
    }
    let mut size = 1_usize;
    let node = nodes.get(at).into_iter();
    for next in node.flat_map(|node| node.here.iter().chain(&node.inside)) {
        size = size.saturating_add(expanded(next, nodes, open, known, depth.saturating_add(1))?);
    }
    open.remove(at);
    known.insert(at, size);
    Ok(size)
}

/// Whether the check of `value` stays within its steps and its depth.
pub(super) fn affordable(
    schema: &Value,
    weights: &Weights,
    value: &Value,
) -> Result<(), SchemaMismatch> {
    let mut walk = Walk {
        root: schema,
        weights,
        steps: 0,
    };
    walk.on(schema, value, 0).ok_or_else(|| SchemaMismatch {
        field: String::new(),
        message: "is too large or too deep to be checked against its schema; send less at once"
            .to_owned(),
    })
}

/// A check that is counted beforehand. Each of its steps answers none when the bounds are met.
struct Walk<'a> {
    root: &'a Value,
    weights: &'a Weights,
    steps: usize,
}

impl Walk<'_> {
    fn charge(&mut self, steps: usize) -> Option<()> {
        self.steps = self.steps.saturating_add(steps);
        (self.steps <= SCHEMA_STEPS_MAX).then_some(())
    }

    /// One step and all below it. It takes every branch, as a validator may.
    fn on(&mut self, schema: &Value, value: &Value, depth: usize) -> Option<()> {
        self.charge(1)?;
        if depth > SCHEMA_FRAMES_MAX {
            return None;
        }
        let Value::Object(fields) = schema else {
            return Some(());
        };
        let below = depth.saturating_add(1);
        if let Some(pointer) = fields.get("$ref").and_then(Value::as_str) {
            let target = pointer
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))?;
            self.on(target, value, below)?;
        }
        if let (Some(Value::String(pattern)), Value::String(text)) = (fields.get("pattern"), value)
        {
            self.charge(self.weights.steps(pattern, text))?;
        }
        for (keyword, form, applies) in KEYWORDS {
            let Some(child) = fields.get(keyword) else {
                continue;
            };
            match applies {
                Applies::Nowhere => {}
                Applies::Here => {
                    for one in parts(child, form) {
                        self.on(one, value, below)?;
                    }
                }
                Applies::Inside => self.inside(keyword, child, value, below)?,
            }
        }
        Some(())
    }

    fn inside(&mut self, keyword: &str, child: &Value, value: &Value, depth: usize) -> Option<()> {
        match (keyword, value, child) {
            ("properties", Value::Object(values), Value::Object(map)) => {
                for (name, one) in map {
                    if let Some(part) = values.get(name) {
                        self.on(one, part, depth)?;
                    }
                }
            }
            // Each pattern is tried on each name.
            ("patternProperties", Value::Object(values), Value::Object(map)) => {
                for (pattern, one) in map {
                    for (name, part) in values {
                        self.charge(self.weights.steps(pattern, name))?;
                        self.on(one, part, depth)?;
                    }
                }
            }
            ("propertyNames", Value::Object(values), one) => {
                for name in values.keys() {
                    // The validator makes a value of each name, and so do we.
                    self.charge(name.len() / SCHEMA_PATTERN_WORK_PER_STEP)?;
                    self.on(one, &Value::String(name.clone()), depth)?;
                }
            }
            ("additionalProperties" | "unevaluatedProperties", Value::Object(values), one) => {
                for part in values.values() {
                    self.on(one, part, depth)?;
                }
            }
            ("prefixItems", Value::Array(values), Value::Array(list)) => {
                for (part, one) in values.iter().zip(list) {
                    self.on(one, part, depth)?;
                }
            }
            (
                "items" | "additionalItems" | "unevaluatedItems" | "contains",
                Value::Array(values),
                one,
            ) => {
                for part in values {
                    self.on(one, part, depth)?;
                }
            }
            _ => {}
        }
        Some(())
    }
}

fn parts(child: &Value, form: Form) -> Vec<&Value> {
    match (form, child) {
        (Form::One, one) => vec![one],
        (Form::List, Value::Array(list)) => list.iter().collect(),
        (Form::Map, Value::Object(map)) => map.values().collect(),
        (Form::List | Form::Map, _) => Vec::new(),
    }
}
