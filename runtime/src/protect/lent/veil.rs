//! Looks for values in bytes that come piece by piece, and masks them where they stand.
//!
//! One automaton has every form of every value. It reads the bytes as they are, with percent escapes undone (RFC 3986 §2.1),
//! and with JSON escapes undone (RFC 8259 §7); the last two only from an escape on, until they read the same again. A byte is
//! held back as long as it may belong to a value of which the end has not come.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::form_urlencoded;

use super::MASK;

/// What is looked for.
pub(super) struct Veil {
    /// None where there is nothing to look for.
    automaton: Option<Machine>,
    /// How it may be written.
    escapes: Vec<Escapes>,
}

struct Machine {
    automaton: NFA,
    start: StateID,
    /// How many bytes of a form have been read in a state.
    depth: HashMap<StateID, usize, foldhash::fast::FixedState>,
    /// The place of the value of each form.
    values: Vec<usize>,
    longest: usize,
}

impl Veil {
    /// Over these values, each with whether the host writes it into texts of guests.
    pub(super) fn over<'a>(values: impl IntoIterator<Item = (&'a str, bool)>) -> Self {
        let mut forms: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut escapes = vec![Escapes::Percent, Escapes::Json];
        for (place, (value, written)) in values.into_iter().enumerate() {
            // Only what has a space in it is another text in a form.
            if value.contains(' ') && escapes.len() == 2 {
                escapes.push(Escapes::Form);
            }
            let written = match written {
                true => spellings(value),
                false => Vec::new(),
            };
            let all = encoded(value).into_iter();
            for form in all.chain(written.iter().flat_map(|one| encoded(one))) {
                forms.entry(form).or_insert(place);
            }
        }
        Self {
            automaton: Machine::of(&forms),
            escapes,
        }
    }
}

impl Machine {
    fn of(forms: &BTreeMap<Vec<u8>, usize>) -> Option<Self> {
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(forms.keys());
        // It fails where states cannot be numbered any more: a value has 4 KiB at most, and a call a few of them.
        let automaton = automaton.ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let mut depth = HashMap::default();
        for form in forms.keys() {
            let mut state = start;
            for (read, byte) in form.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, *byte);
                depth.insert(state, read + 1);
            }
        }
        Some(Self {
            start,
            depth,
            values: forms.values().copied().collect(),
            longest: forms.keys().map(Vec::len).max().unwrap_or(0),
            automaton,
        })
    }
}

/// As a value is written in a form and in JSON, where that is another text: a host may encode all that it was sent.
fn spellings(value: &str) -> Vec<String> {
    let form = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let json = serde_json::Value::from(value).to_string();
    let json = json.strip_prefix('"').unwrap_or(&json);
    let json = json.strip_suffix('"').unwrap_or(json).to_owned();
    let all = [form, json].into_iter();
    all.filter(|written| written != value).collect()
}

/// Every form in which a text is looked for, escapes apart.
pub fn encoded(text: &str) -> BTreeSet<Vec<u8>> {
    let value = text.as_bytes();
    let mut forms = BTreeSet::from([
        value.to_vec(),
        hex::encode(value).into_bytes(),
        hex::encode_upper(value).into_bytes(),
        // As answers of S3 show what they read of a request.
        spaced(&hex::encode(value)),
        spaced(&hex::encode_upper(value)),
    ]);
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        // Three bytes are four letters. With one or two bytes before it, the first two or three letters depend on those.
        for (before, from) in [(0, 0), (1, 2), (2, 3)] {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(value);
            let letters = engine.encode(&bytes).into_bytes();
            // The last letter depends on what follows, unless it is full.
            let to = bytes.len() * 8 / 6;
            forms.extend(letters.get(from..to).map(<[u8]>::to_vec));
        }
    }
    forms
}

/// Hexadecimal with a space between two bytes.
fn spaced(hex: &str) -> Vec<u8> {
    let pairs: Vec<&[u8]> = hex.as_bytes().chunks(2).collect();
    pairs.join(&b' ')
}

/// Where a form was found, by bytes of the text.
struct Hit {
    from: u64,
    to: u64,
    value: usize,
}

/// One way to read the bytes.
struct Reading {
    state: StateID,
    /// How many bytes it has read, as it reads them.
    at: u64,
    /// Where bytes as they are read stand in the text: from the first on, by the second. Grows with escapes and is cut to what
    /// a form can span.
    shifts: VecDeque<(u64, u64)>,
}

impl Reading {
    fn new(state: StateID, at: u64) -> Self {
        Self {
            state,
            at,
            shifts: VecDeque::from([(0, 0)]),
        }
    }

    /// Where the byte that was read as number `at` begins in the text.
    fn place(&self, at: u64) -> u64 {
        let shift = self.shifts.iter().rev().find(|(from, _)| *from <= at);
        at.saturating_add(shift.map_or(0, |(_, shift)| *shift))
    }

    /// Reads one byte that takes `length` bytes of the text from `from` on.
    fn read(
        &mut self,
        machine: &Machine,
        byte: u8,
        (from, length): (u64, u64),
        hits: &mut Vec<Hit>,
    ) {
        let shift = from.saturating_sub(self.at);
        if self.shifts.back().is_none_or(|(_, last)| *last != shift) {
            self.shifts.push_back((self.at, shift));
            let far = self.at.saturating_sub(size(machine.longest));
            while self.shifts.get(1).is_some_and(|(second, _)| *second <= far) {
                self.shifts.pop_front();
            }
        }
        self.at += 1;
        let automaton = &machine.automaton;
        self.state = automaton.next_state(Anchored::No, self.state, byte);
        if !automaton.is_special(self.state) || !automaton.is_match(self.state) {
            return;
        }
        for nth in 0..automaton.match_len(self.state) {
            let form = automaton.match_pattern(self.state, nth);
            let first = self.at.saturating_sub(size(automaton.pattern_len(form)));
            hits.push(Hit {
                from: self.place(first),
                to: from + length,
                value: machine.values.get(form.as_usize()).copied().unwrap_or(0),
            });
        }
    }

    /// Where what may be the beginning of a form stands; none where nothing may.
    fn begun(&self, machine: &Machine) -> Option<u64> {
        let depth = machine.depth.get(&self.state)?;
        Some(self.place(self.at.saturating_sub(size(*depth))))
    }
}

/// A way to write bytes as others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Percent,
    Json,
    /// Percent, and a plus for a space (`application/x-www-form-urlencoded`).
    Form,
}

/// What stands at the beginning of some bytes.
enum Step {
    /// An escape that goes on.
    More,
    /// So many bytes that stand for this character.
    Is(usize, Meant),
    /// No escape.
    No,
}

enum Meant {
    Byte(u8),
    Char(char),
}

impl Escapes {
    fn begins(self, byte: u8) -> bool {
        match self {
            Self::Percent => byte == b'%',
            Self::Json => byte == b'\\',
            Self::Form => byte == b'%' || byte == b'+',
        }
    }

    fn step(self, bytes: &[u8]) -> Step {
        match (self, bytes) {
            (Self::Form, [b'+', ..]) => Step::Is(1, Meant::Byte(b' ')),
            (Self::Percent | Self::Form, [b'%']) => Step::More,
            (Self::Percent | Self::Form, [b'%', high]) if high.is_ascii_hexdigit() => Step::More,
            (Self::Percent | Self::Form, [b'%', high, low, ..]) => {
                match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => Step::Is(3, Meant::Byte(high << 4 | low)),
                    _ => Step::No,
                }
            }
            (Self::Json, [b'\\']) => Step::More,
            (Self::Json, [b'\\', b'u', digits @ ..]) => unit(digits),
            (Self::Json, [b'\\', letter, ..]) => match letter {
                b'"' | b'\\' | b'/' => Step::Is(2, Meant::Byte(*letter)),
                b'n' => Step::Is(2, Meant::Byte(b'\n')),
                b'r' => Step::Is(2, Meant::Byte(b'\r')),
                b't' => Step::Is(2, Meant::Byte(b'\t')),
                b'b' => Step::Is(2, Meant::Byte(8)),
                b'f' => Step::Is(2, Meant::Byte(12)),
                _ => Step::No,
            },
            _ => Step::No,
        }
    }
}

/// What four digits behind `\u` stand for, or eight of a pair (RFC 8259 §7).
fn unit(digits: &[u8]) -> Step {
    let code = |digits: &[u8]| {
        let mut code = 0_u32;
        for one in digits {
            code = code << 4 | u32::from(digit(*one)?);
        }
        Some(code)
    };
    let (first, rest) = digits.split_at_checked(4).unwrap_or((digits, &[]));
    let Some(high) = code(first) else {
        return Step::No;
    };
    if first.len() < 4 {
        return Step::More;
    }
    if let Some(meant) = char::from_u32(high) {
        return Step::Is(6, Meant::Char(meant));
    }
    // Half of a pair alone is a byte that stands in no form.
    let alone = Step::Is(6, Meant::Byte(0xff));
    if !(0xd800..0xdc00).contains(&high) {
        return alone;
    }
    match rest {
        [] | [b'\\'] => Step::More,
        [b'\\', b'u', second @ ..] => {
            let second = second.get(..4).unwrap_or(second);
            match (code(second), second.len()) {
                (Some(_), 0..4) => Step::More,
                (Some(low @ 0xdc00..0xe000), _) => {
                    let pair = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    char::from_u32(pair).map_or(alone, |meant| Step::Is(12, Meant::Char(meant)))
                }
                _ => alone,
            }
        }
        _ => alone,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A reading with escapes undone; asleep where it would read the same as the plain one.
struct Undone {
    escapes: Escapes,
    reading: Option<Reading>,
    begun: Vec<u8>,
}

impl Undone {
    fn new(escapes: Escapes) -> Self {
        Self {
            escapes,
            reading: None,
            begun: Vec::new(),
        }
    }

    /// Reads the byte that stands at `at` of the text, before which the plain reading is `plain`.
    fn read(
        &mut self,
        machine: &Machine,
        byte: u8,
        (at, plain): (u64, StateID),
        hits: &mut Vec<Hit>,
    ) {
        if self.reading.is_none() {
            if !self.escapes.begins(byte) {
                return;
            }
            self.reading = Some(Reading::new(plain, at));
        }
        self.begun.push(byte);
        self.settle(machine, at + 1, false, hits);
    }

    /// Reads what has begun as far as it is known what it is; all of it where nothing more comes. It ends at `to` of the text.
    fn settle(&mut self, machine: &Machine, to: u64, last: bool, hits: &mut Vec<Hit>) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        while let Some(first) = self.begun.first() {
            let from = to.saturating_sub(size(self.begun.len()));
            let (length, meant) = match self.escapes.step(&self.begun) {
                Step::More if !last => return,
                Step::More | Step::No => (1, Meant::Byte(*first)),
                Step::Is(length, meant) => (length, meant),
            };
            self.begun.drain(..length.min(self.begun.len()));
            let span = (from, size(length));
            match meant {
                Meant::Byte(byte) => reading.read(machine, byte, span, hits),
                Meant::Char(meant) => {
                    for byte in meant.encode_utf8(&mut [0; 4]).bytes() {
                        reading.read(machine, byte, span, hits);
                    }
                }
            }
        }
    }

    /// Sleeps where both readings have nothing begun, after which they read the same.
    fn rest(&mut self, machine: &Machine, plain: StateID) {
        let same = plain == machine.start
            && self.begun.is_empty()
            && self.reading.as_ref().is_some_and(|one| one.state == plain);
        if same {
            self.reading = None;
        }
    }

    fn begun(&self, machine: &Machine, at: u64) -> Option<u64> {
        let escape = (!self.begun.is_empty()).then(|| at.saturating_sub(size(self.begun.len())));
        let form = self.reading.as_ref().and_then(|one| one.begun(machine));
        escape.into_iter().chain(form).min()
    }
}

/// Bytes on their way under a veil.
pub(super) struct Scanner {
    veil: Arc<Veil>,
    /// How many bytes have been taken.
    at: u64,
    plain: Option<Reading>,
    undone: Vec<Undone>,
    held: Vec<u8>,
    /// How often each value was found, and where it was last.
    found: BTreeMap<usize, (u64, u64)>,
    hits: Vec<Hit>,
}

impl Scanner {
    pub(super) fn new(veil: Arc<Veil>) -> Self {
        let plain = veil.automaton.as_ref();
        Self {
            plain: plain.map(|machine| Reading::new(machine.start, 0)),
            undone: veil.escapes.iter().copied().map(Undone::new).collect(),
            veil,
            at: 0,
            held: Vec::new(),
            found: BTreeMap::new(),
            hits: Vec::new(),
        }
    }

    pub(super) fn is_under(&self, veil: &Arc<Veil>) -> bool {
        Arc::ptr_eq(&self.veil, veil)
    }

    /// Takes bytes, and puts what is settled into `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let veil = Arc::clone(&self.veil);
        let first = self.at.saturating_sub(size(self.held.len()));
        self.held.extend_from_slice(bytes);
        let (Some(machine), Some(plain)) = (&veil.automaton, &mut self.plain) else {
            // Nothing can be looked for, so nothing is let through.
            self.held.fill(MASK);
            out.append(&mut self.held);
            return;
        };
        for byte in bytes {
            let before = (self.at, plain.state);
            plain.read(machine, *byte, (self.at, 1), &mut self.hits);
            for one in &mut self.undone {
                if one.reading.is_some() || one.escapes.begins(*byte) {
                    one.read(machine, *byte, before, &mut self.hits);
                    one.rest(machine, plain.state);
                }
            }
            self.at += 1;
        }
        let at = self.at;
        let begun = self.undone.iter().filter_map(|one| one.begun(machine, at));
        let settled = begun.chain(plain.begun(machine)).min().unwrap_or(at);
        self.mask(first);
        let settled = usize::try_from(settled.saturating_sub(first)).unwrap_or(usize::MAX);
        out.extend(self.held.drain(..settled.min(self.held.len())));
    }

    /// No more bytes come: an escape that has not ended is none.
    pub(super) fn end(&mut self) {
        let veil = Arc::clone(&self.veil);
        let first = self.at.saturating_sub(size(self.held.len()));
        if let Some(machine) = &veil.automaton {
            for one in &mut self.undone {
                one.settle(machine, self.at, true, &mut self.hits);
            }
        }
        self.mask(first);
    }

    /// Masks what was found; `first` is where what is held begins.
    fn mask(&mut self, first: u64) {
        for hit in self.hits.drain(..) {
            let place = |at: u64| usize::try_from(at.saturating_sub(first)).unwrap_or(usize::MAX);
            if let Some(bytes) = self.held.get_mut(place(hit.from)..place(hit.to)) {
                bytes.fill(MASK);
            }
            // One place that is found in several forms or readings counts once.
            let (count, end) = self.found.entry(hit.value).or_default();
            if hit.from >= *end {
                *count = count.saturating_add(1);
            }
            *end = (*end).max(hit.to);
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn into_held(mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// How often each value was found since this was asked last.
    pub(super) fn take_found(&mut self) -> BTreeMap<usize, u64> {
        let found = std::mem::take(&mut self.found).into_iter();
        found.map(|(value, (count, _))| (value, count)).collect()
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
