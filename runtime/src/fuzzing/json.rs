//! A second reader of JSON (RFC 8259), written apart from the one that the server reads with.
//!
//! It is as strict as a reader can be: one value, UTF-8, no member twice, no more levels than it is told. What the server takes, this
//! one must take, and must find the same in it.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// Whether an object may name a member twice; then the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    Refused,
    Last,
}

/// Reads one value of at most so many levels; an object is one.
pub(crate) fn read(bytes: &[u8], levels: usize, twice: Twice) -> Option<Json> {
    let mut reader = Reader {
        left: std::str::from_utf8(bytes).ok()?,
        twice,
    };
    let value = reader.value(levels)?;
    reader.blanks();
    reader.left.is_empty().then_some(value)
}

impl Json {
    /// The member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(found, _)| found == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number that it is.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

struct Reader<'a> {
    left: &'a str,
    twice: Twice,
}

impl<'a> Reader<'a> {
    fn blanks(&mut self) {
        self.left = self.left.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes this, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let rest = self.left.strip_prefix(word);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    fn next(&mut self) -> Option<char> {
        let mut all = self.left.chars();
        let next = all.next()?;
        self.left = all.as_str();
        Some(next)
    }

    fn value(&mut self, levels: usize) -> Option<Json> {
        self.blanks();
        match self.left.chars().next()? {
            '{' => self.object(levels.checked_sub(1)?),
            '[' => self.array(levels.checked_sub(1)?),
            '"' => self.string().map(Json::Text),
            '-' | '0'..='9' => self.number().map(Json::Number),
            _ if self.takes("null") => Some(Json::Null),
            _ if self.takes("true") => Some(Json::Bool(true)),
            _ if self.takes("false") => Some(Json::Bool(false)),
            _ => None,
        }
    }

    fn object(&mut self, levels: usize) -> Option<Json> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.next();
        self.blanks();
        if self.takes("}") {
            return Some(Json::Object(members));
        }
        loop {
            self.blanks();
            let name = self.string()?;
            if self.twice == Twice::Refused && members.iter().any(|(found, _)| *found == name) {
                return None;
            }
            self.blanks();
            if !self.takes(":") {
                return None;
            }
            let value = self.value(levels)?;
            members.push((name, value));
            self.blanks();
            if self.takes("}") {
                return Some(Json::Object(members));
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    fn array(&mut self, levels: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.next();
        self.blanks();
        if self.takes("]") {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(levels)?);
            self.blanks();
            if self.takes("]") {
                return Some(Json::Array(items));
            }
            if !self.takes(",") {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.takes("\"") {
            return None;
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                match first {
                    0xd800..=0xdbff => {
                        if !self.takes("\\u") {
                            return None;
                        }
                        let second = self.unit()?;
                        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)?
                    }
                    // Half of a pair that never began is no character.
                    _ => char::from_u32(first)?,
                }
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.left.split_at_checked(4)?;
        self.left = rest;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    }

    fn digits(&mut self) -> Option<&'a str> {
        let end = self
            .left
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.left.len());
        let (digits, rest) = self.left.split_at(end);
        self.left = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn number(&mut self) -> Option<f64> {
        let whole = self.left;
        self.takes("-");
        let digits = self.digits()?;
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        if self.takes(".") {
            self.digits()?;
        }
        if self.takes("e") || self.takes("E") {
            if !self.takes("+") {
                self.takes("-");
            }
            self.digits()?;
        }
        let length = whole.len().checked_sub(self.left.len())?;
        let number: f64 = whole.get(..length)?.parse().ok()?;
        number.is_finite().then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Option<Json> {
        read(text.as_bytes(), 3, Twice::Refused)
    }

    #[test]
    fn it_reads_json_and_nothing_else() {
        let read = reads(r#" {"a\u0062": [1, -0.5e1, true, null], "c": "\ud83d\ude00\n"} "#);
        let read = read.unwrap();
        assert_eq!(
            read.get("ab"),
            Some(&Json::Array(vec![
                Json::Number(1.0),
                Json::Number(-5.0),
                Json::Bool(true),
                Json::Null
            ]))
        );
        assert_eq!(read.get("c").and_then(Json::text), Some("😀\n"));
        for bad in [
            "",
            "{",
            "{}x",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e999",
            "NaN",
            "'a'",
            "\"\n\"",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"\\u0061\":2}",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\x41\"",
            "[[[[]]]]",
            "\u{feff}{}",
            "tru",
            "\u{a0}1",
        ] {
            assert!(reads(bad).is_none(), "{bad:?}");
        }
        let twice = super::read(br#"{"a":1,"a":2}"#, 1, Twice::Last).unwrap();
        assert_eq!(twice.get("a").and_then(Json::number), Some(2.0));
    }
}
