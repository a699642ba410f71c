//! Decisions taken from the bytes of an input, one after the other; zeros when they are used up.

/// What is left of the bytes.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below another, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
        number.checked_rem(end).unwrap_or(0)
    }

    /// At most so many bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The bytes that are left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Bytes up to the first of these, and the bytes behind it.
pub(crate) fn cut(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == at) {
        Some(place) => {
            let (before, rest) = bytes.split_at(place);
            (before, rest.split_first().map_or(&[], |(_, rest)| rest))
        }
        None => (bytes, &[]),
    }
}

/// A copy of bytes that was changed at some places, as the choices say; it may be the same again.
pub(crate) fn altered(bytes: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let mut all = bytes.to_vec();
    for _ in 0..=choices.below(3) {
        let at = choices.below(all.len().max(1)).min(all.len());
        match choices.below(5) {
            0 | 1 => {
                let mask = choices.byte();
                if let Some(byte) = all.get_mut(at) {
                    *byte ^= mask;
                }
            }
            2 => all.truncate(at),
            3 => all.insert(at, choices.byte()),
            _ => {
                let end = at.saturating_add(choices.below(40)).min(all.len());
                all.drain(at..end);
            }
        }
    }
    all
}
