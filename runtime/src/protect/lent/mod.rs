//! Secrets that a call lent to its requests: wherever one stands in what comes back, it is masked with as many `*`.
//!
//! Looked for are the value itself, its base64 in both alphabets at every offset, its hexadecimal in both cases, and each of
//! these with percent or JSON escapes anywhere in it, or written as in a form; of a value that the host wrote into a text
//! also base64 and hexadecimal of what it is in a form and in JSON. Whoever makes something else of a value is not found
//! out.

mod value;
mod veil;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

pub use value::{SecretValue, ValueError};
pub use veil::encoded;

use crate::ids::SecretName;
use veil::{Scanner, Veil};

/// What stands for every byte of a secret.
const MASK: u8 = b'*';

/// The secrets that one call has lent so far. Cheap to clone: every clone is the same.
#[derive(Clone, Default)]
pub struct Lent(Arc<Mutex<Lending>>);

#[derive(Default)]
struct Lending {
    /// Each with the name of the secret, if it is one.
    values: Vec<(Option<SecretName>, Arc<SecretValue>)>,
    /// What is looked for; none where something was lent since, or nothing ever was.
    veil: Option<Arc<Veil>>,
    masked: BTreeMap<SecretName, u64>,
}

impl Lent {
    /// From now on this value is looked for as well; what was lent before still is.
    pub fn add(&self, name: &SecretName, value: &Arc<SecretValue>) {
        self.look_for(Some(name.clone()), value);
    }

    /// The same for a value that is no secret of the operator.
    pub fn deliver(&self, value: &Arc<SecretValue>) {
        self.look_for(None, value);
    }

    /// How many values were lent up to now.
    pub fn count(&self) -> usize {
        self.lock().values.len()
    }

    fn look_for(&self, name: Option<SecretName>, value: &Arc<SecretValue>) {
        let mut lending = self.lock();
        let known = lending.values.iter();
        if known.into_iter().any(|(_, known)| known == value) {
            return;
        }
        lending.values.push((name, Arc::clone(value)));
        // Made when there is something to search: several may be lent before.
        lending.veil = None;
    }

    fn veil(&self) -> Option<Arc<Veil>> {
        let mut lending = self.lock();
        if lending.veil.is_none() && !lending.values.is_empty() {
            let values = lending.values.iter();
            let values = values.map(|(name, value)| (value.expose(), name.is_none()));
            lending.veil = Some(Arc::new(Veil::over(values)));
        }
        lending.veil.clone()
    }

    /// A text in which nothing that was lent can be read.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            // What is masked was whole characters, and so is the mask.
            Some(masked) => match String::from_utf8(masked) {
                Ok(masked) => Cow::Owned(masked),
                Err(_) => Cow::Borrowed(""),
            },
            None => Cow::Borrowed(text),
        }
    }

    /// Bytes in which nothing that was lent can be read; none where they are as they were.
    pub fn bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.veil()?;
        let mut stream = self.stream();
        let mut out = stream.push(bytes);
        out.extend(stream.finish());
        (out != bytes).then_some(out)
    }

    /// The same for a JSON value, its keys among it. `false` where a number holds a secret: that cannot be masked.
    #[must_use]
    pub fn json(&self, value: &mut Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => true,
            Value::Number(number) => self.bytes(number.to_string().as_bytes()).is_none(),
            Value::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
                true
            }
            // Arguments and replies have bounded depth.
            Value::Array(items) => items
                .iter_mut()
                .fold(true, |fits, one| self.json(one) & fits),
            Value::Object(fields) => self.object(fields),
        }
    }

    fn object(&self, fields: &mut Map<String, Value>) -> bool {
        let fits = fields
            .values_mut()
            .fold(true, |fits, one| self.json(one) & fits);
        // Keys that become the same are one; nothing is lost that was not a secret's.
        *fields = std::mem::take(fields)
            .into_iter()
            .map(|(key, value)| (self.text(&key).into_owned(), value))
            .collect();
        fits
    }

    /// Bytes that come piece by piece.
    pub fn stream(&self) -> Stream {
        Stream {
            lent: self.clone(),
            scanner: None,
        }
    }

    /// Whether a text has the value itself in it, in any case: names of header fields come in lower case.
    pub fn is_named_in(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let lending = self.lock();
        let mut values = lending.values.iter();
        values.any(|(_, value)| text.contains(&value.expose().to_ascii_lowercase()))
    }

    /// How often each secret was masked.
    pub fn masked(&self) -> BTreeMap<SecretName, u64> {
        self.lock().masked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Lending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Lent({} secrets)", self.lock().values.len())
    }
}

/// Bytes on their way, of which those that may be the beginning of a secret are held back.
pub struct Stream {
    lent: Lent,
    scanner: Option<Scanner>,
}

impl Stream {
    /// Takes bytes and gives those that are settled, the same number as was taken in the end.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(veil) = self.lent.veil() else {
            return bytes.to_vec();
        };
        let mut out = Vec::with_capacity(bytes.len());
        // What was lent meanwhile is looked for from here on, and in what is held back.
        let scanner = match self.scanner.take() {
            Some(scanner) if scanner.is_under(&veil) => self.scanner.insert(scanner),
            Some(scanner) => {
                let scanner = self.settle(scanner);
                let held = scanner.into_held();
                let scanner = self.scanner.insert(Scanner::new(veil));
                scanner.push(&held, &mut out);
                scanner
            }
            None => self.scanner.insert(Scanner::new(veil)),
        };
        scanner.push(bytes, &mut out);
        out
    }

    /// The end: what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(mut scanner) = self.scanner.take() else {
            return Vec::new();
        };
        scanner.end();
        self.settle(scanner).into_held()
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.scanner.as_ref().map_or(0, Scanner::held)
    }

    fn settle(&self, mut scanner: Scanner) -> Scanner {
        let mut lending = self.lent.lock();
        for (place, count) in scanner.take_found() {
            let Some((Some(name), _)) = lending.values.get(place) else {
                continue;
            };
            let name = name.clone();
            let all = lending.masked.entry(name).or_default();
            *all = all.saturating_add(count);
        }
        scanner
    }
}

impl Drop for Stream {
    /// What was masked counts, also where nobody reads to the end.
    fn drop(&mut self) {
        if let Some(scanner) = self.scanner.take() {
            self.settle(scanner);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Stream({} bytes held)", self.held())
    }
}

#[cfg(test)]
mod tests;
