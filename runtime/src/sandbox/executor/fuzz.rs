//! What an executor that was taken over may send: every message that its server reads, with values of any type.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use wasmtime::component::Val;

use super::call::returned;
use super::shape::{Rest, Shape, Side, WireError, read, write};
use super::wire::{HEAD, Kind, broke, length, open};
use super::{Reply, ToolError};
use crate::catalog::surface::{AT, LENGTH};
use crate::fuzzing::choices::Choices;
use crate::limits::{
    EXECUTOR_MESSAGE_BYTES_MAX, EXECUTOR_VALUES_MAX, HOSTCALL_BYTES_MAX, REPLY_BLOCKS_MAX,
};

/// Shapes in one shape, and how deep they lie: our interfaces have few.
const SHAPES_MAX: usize = 24;
const DEPTH_MAX: usize = 5;

/// Bytes and handles as the message says them, so that what is read can be written again.
#[derive(Default)]
pub(super) struct AsSaid {
    /// How many bytes the message brought apart.
    bytes: u32,
}

impl Side for AsSaid {
    fn put_bytes(&mut self, value: &Val) -> Result<(u32, u32), WireError> {
        match value {
            Val::Record(fields) => match fields.as_slice() {
                [(_, Val::U32(at)), (_, Val::U32(length))] => Ok((*at, *length)),
                _ => Err(WireError::Invalid("no place of bytes")),
            },
            _ => Err(WireError::Invalid("no place of bytes")),
        }
    }

    fn get_bytes(&mut self, at: u32, length: u32) -> Result<Val, WireError> {
        let end = at.checked_add(length).filter(|end| *end <= self.bytes);
        end.ok_or(WireError::Cut)?;
        Ok(Val::Record(vec![
            (AT.to_owned(), Val::U32(at)),
            (LENGTH.to_owned(), Val::U32(length)),
        ]))
    }

    fn put_handle(&mut self, value: &Val) -> Result<u32, WireError> {
        match value {
            Val::U32(number) => Ok(*number),
            _ => Err(WireError::Invalid("no handle")),
        }
    }

    fn get_handle(&mut self, _: usize, number: u32) -> Result<Val, WireError> {
        Ok(Val::U32(number))
    }
}

/// A shape, as the bytes say.
fn shape(choices: &mut Choices<'_>, depth: usize, left: &mut usize) -> Shape {
    *left = left.saturating_sub(1);
    let simple = depth == 0 || *left == 0;
    let name = |number: usize| format!("case-{number}");
    let inner =
        |choices: &mut Choices<'_>, left: &mut usize| shape(choices, depth.saturating_sub(1), left);
    match choices.byte() % if simple { 15 } else { 23 } {
        0 => Shape::Bool,
        1 => Shape::S8,
        2 => Shape::U8,
        3 => Shape::S16,
        4 => Shape::U16,
        5 => Shape::S32,
        6 => Shape::U32,
        7 => Shape::S64,
        8 => Shape::U64,
        9 => Shape::Char,
        10 => Shape::String,
        11 => Shape::Bytes,
        12 => Shape::Handle(0),
        13 => Shape::Enum((0..choices.below(5)).map(name).collect()),
        14 => Shape::Flags((0..choices.below(9)).map(name).collect()),
        15 => Shape::Float32,
        16 => Shape::Float64,
        17 => Shape::Tuple(
            (0..choices.below(4))
                .map(|_| inner(choices, left))
                .collect(),
        ),
        18 => Shape::Record(
            (0..choices.below(4))
                .map(|at| (name(at), inner(choices, left)))
                .collect(),
        ),
        19 => Shape::Variant(
            (0..choices.below(4))
                .map(|at| {
                    (
                        name(at),
                        (choices.byte() % 2 == 1).then(|| inner(choices, left)),
                    )
                })
                .collect(),
        ),
        20 => Shape::Option(Box::new(inner(choices, left))),
        21 => {
            let ok = (choices.byte() % 2 == 1).then(|| Box::new(inner(choices, left)));
            Shape::Result(
                ok,
                (choices.byte() % 2 == 1).then(|| Box::new(inner(choices, left))),
            )
        }
        _ => Shape::List(Box::new(inner(choices, left))),
    }
}

/// A byte that says how many more make a shape, those, and a message.
pub(crate) fn message(bytes: &[u8]) {
    let mut choices = Choices::of(bytes);
    let head = usize::from(choices.byte());
    let mut shaped = Choices::of(choices.take(head));
    let shape = shape(&mut shaped, DEPTH_MAX, &mut { SHAPES_MAX });
    let message = choices.rest();
    if let Some(head) = message.first_chunk::<HEAD>() {
        let said = u32::from_le_bytes(*head);
        let taken = length(*head);
        assert!(taken.is_err() || taken.is_ok_and(|taken| taken <= EXECUTOR_MESSAGE_BYTES_MAX));
        assert_eq!(
            taken.is_ok(),
            usize::try_from(said).is_ok_and(|said| said <= EXECUTOR_MESSAGE_BYTES_MAX)
        );
    }
    if let Ok((kind, rest)) = open(message) {
        match kind {
            Kind::Returned => drop(answered(rest)),
            Kind::Broke => {
                let said = rest.bytes().len();
                assert!(
                    broke(rest).is_err() || said == 9,
                    "an ending of another length"
                );
            }
            _ => value(&shape, rest.bytes()),
        }
    }
    value(&shape, message);
    answer(message);
}

/// What a guest answered, as the server reads it: the peak of its memory comes first.
fn answered(mut rest: Rest<'_>) -> Option<Result<Reply, ToolError>> {
    rest.u64().ok()?;
    answer(rest.bytes())
}

fn answer(message: &[u8]) -> Option<Result<Reply, ToolError>> {
    // Ends with what the guest answered, or not; that it has fewer blocks than may be is looked at before they are made.
    let answer = returned(message).ok()?;
    if let Ok(reply) = &answer {
        assert!(message.len() <= HOSTCALL_BYTES_MAX && reply.content.len() <= REPLY_BLOCKS_MAX);
    }
    Some(answer)
}

/// Reads a value of this shape, and holds it against what is written of it.
fn value(shape: &Shape, message: &[u8]) {
    let mut side = AsSaid {
        bytes: u32::try_from(message.len()).unwrap_or(u32::MAX),
    };
    let mut rest = Rest::of(message);
    let Ok(value) = read(shape, &mut rest, &mut side) else {
        return;
    };
    let used = message.len() - rest.bytes().len();
    assert!(
        count(&value) <= EXECUTOR_VALUES_MAX,
        "more values than a message may make"
    );
    let mut written = Vec::new();
    write(shape, &value, &mut written, &mut side).expect("a value that was read by this shape");
    assert_eq!(
        message.get(..used),
        Some(written.as_slice()),
        "one value has two messages"
    );
}

/// How many values there are in a value, itself among them.
fn count(value: &Val) -> usize {
    let some = |value: &Option<Box<Val>>| value.as_ref().map_or(0, |value| count(value));
    1 + match value {
        Val::List(all) | Val::Tuple(all) => all.iter().map(count).sum(),
        // A part of the message's bytes is one value.
        Val::Record(fields) if fields.first().is_some_and(|(name, _)| name == AT) => 0,
        Val::Record(fields) => fields.iter().map(|(_, one)| count(one)).sum(),
        Val::Flags(set) => set.len(),
        Val::Variant(_, of) | Val::Option(of) => some(of),
        Val::Result(Ok(of) | Err(of)) => some(of),
        _ => 0,
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let of = |shape: &[u8], message: &[u8]| {
        let length = u8::try_from(shape.len()).unwrap_or(0);
        [&[length], shape, message].concat()
    };
    vec![
        of(&[10], b"\x05\0\0\0alice"),
        of(&[22, 2], &[3, 0, 0, 0, 1, 2, 3]),
        of(&[22, 10], &[2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0]),
        of(&[20, 21, 1, 9, 1, 0], &[1, 0, 0x41, 0, 0, 0]),
        of(&[19, 2, 0, 1, 8, 0], &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        of(
            &[18, 2, 0, 11, 14, 3, 0],
            &[0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 1],
        ),
        of(&[22, 17, 0, 0], &[255, 255, 0, 0]),
        of(
            &[17, 3, 0, 15, 16, 0],
            &[0, 0, 0xc0, 0x7f, 1, 0, 0, 0, 0, 0, 0xf8, 0x7f, 1],
        ),
        // An answer of one text, an error, an ending.
        of(
            &[0],
            &[21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, b'h', b'i', 0],
        ),
        of(&[0], &[21, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, b'n', b'o']),
        of(&[0], &[22, 0, 0, 1, 0, 0, 0, 0, 0, 1]),
        of(&[0], &[0, 0x80, 0x89, 0x7a, 0, 0]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::bindings::bailiwick::tool::types::Content;

    /// What the answers among the seeds say, as the target reads them.
    fn said() -> Vec<Option<Result<Reply, ToolError>>> {
        let messages = seeds().into_iter().map(|seed| {
            let mut choices = Choices::of(&seed);
            let head = usize::from(choices.byte());
            choices.take(head);
            choices.rest().to_vec()
        });
        let read = |message: Vec<u8>| match open(&message) {
            Ok((Kind::Returned, rest)) => Some(answered(rest)),
            _ => None,
        };
        messages.filter_map(read).collect()
    }

    #[test]
    fn good_answers_among_the_seeds_are_read_whole() {
        let [
            Some(Ok(reply)),
            Some(Err(ToolError::InvalidArguments(error))),
        ] = &*said()
        else {
            panic!("one answer and one error: {:?}", said());
        };
        let [Content::Text(text)] = reply.content.as_slice() else {
            panic!("one block: {:?}", reply.content);
        };
        assert_eq!((text.as_str(), error.as_str()), ("hi", "no"));
    }
}
