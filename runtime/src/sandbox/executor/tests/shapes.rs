//! Values as bytes: what is written is read, and what nobody wrote is refused.

use proptest::prelude::*;
use wasmtime::component::Val;

use crate::limits::EXECUTOR_VALUES_MAX;

use super::super::fuzz::AsSaid;
use super::super::shape::{Rest, Shape, Side, WireError, read, write};

/// A side that keeps the bytes of its message.
#[derive(Default)]
struct Plain(Vec<u8>);

impl Side for Plain {
    fn put_bytes(&mut self, value: &Val) -> Result<(u32, u32), WireError> {
        let Val::List(all) = value else {
            return Err(WireError::Invalid("no list"));
        };
        let at = u32::try_from(self.0.len()).unwrap();
        for one in all {
            let Val::U8(byte) = one else {
                return Err(WireError::Invalid("no byte"));
            };
            self.0.push(*byte);
        }
        Ok((at, u32::try_from(all.len()).unwrap()))
    }

    fn get_bytes(&mut self, at: u32, length: u32) -> Result<Val, WireError> {
        let (at, length) = (
            usize::try_from(at).unwrap(),
            usize::try_from(length).unwrap(),
        );
        let bytes = self.0.get(at..at + length).ok_or(WireError::Cut)?;
        Ok(Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()))
    }

    fn put_handle(&mut self, value: &Val) -> Result<u32, WireError> {
        AsSaid::default().put_handle(value)
    }

    fn get_handle(&mut self, resource: usize, number: u32) -> Result<Val, WireError> {
        AsSaid::default().get_handle(resource, number)
    }
}

fn named(shape: Shape) -> Vec<(String, Shape)> {
    vec![
        ("first".to_owned(), shape),
        ("second".to_owned(), Shape::U64),
    ]
}

/// A shape and a value of it.
fn shaped() -> impl Strategy<Value = (Shape, Val)> {
    let simple = prop_oneof![
        any::<bool>().prop_map(|one| (Shape::Bool, Val::Bool(one))),
        any::<u8>().prop_map(|one| (Shape::U8, Val::U8(one))),
        any::<i16>().prop_map(|one| (Shape::S16, Val::S16(one))),
        any::<i64>().prop_map(|one| (Shape::S64, Val::S64(one))),
        any::<u32>().prop_map(|one| (Shape::U32, Val::U32(one))),
        any::<char>().prop_map(|one| (Shape::Char, Val::Char(one))),
        ".{0,12}".prop_map(|one| (Shape::String, Val::String(one))),
        any::<u32>().prop_map(|one| (Shape::Handle(0), Val::U32(one))),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|all| {
            let all = all.into_iter().map(Val::U8).collect();
            (Shape::Bytes, Val::List(all))
        }),
        (0..3_usize).prop_map(|which| {
            let names: Vec<_> = ["a", "b", "c"].map(str::to_owned).to_vec();
            let name = names[which].clone();
            (Shape::Enum(names), Val::Enum(name))
        }),
        any::<[bool; 2]>().prop_map(|set| {
            let names: Vec<_> = ["a", "b"].map(str::to_owned).to_vec();
            let set = names.iter().zip(set).filter(|(_, is)| *is);
            let set = set.map(|(name, _)| name.clone()).collect();
            (Shape::Flags(names), Val::Flags(set))
        }),
    ];
    simple.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0..4_usize).prop_map(|((shape, one), count)| {
                (Shape::List(Box::new(shape)), Val::List(vec![one; count]))
            }),
            (inner.clone(), any::<u64>()).prop_map(|((shape, one), number)| {
                let value = vec![
                    ("first".to_owned(), one),
                    ("second".to_owned(), Val::U64(number)),
                ];
                (Shape::Record(named(shape)), Val::Record(value))
            }),
            (inner.clone(), any::<bool>()).prop_map(|((shape, one), some)| {
                (
                    Shape::Option(Box::new(shape)),
                    Val::Option(some.then(|| Box::new(one))),
                )
            }),
            (inner.clone(), any::<bool>()).prop_map(|((shape, one), ok)| {
                let value = if ok {
                    Ok(Some(Box::new(one)))
                } else {
                    Err(None)
                };
                (
                    Shape::Result(Some(Box::new(shape)), None),
                    Val::Result(value),
                )
            }),
            (inner.clone(), any::<bool>()).prop_map(|((shape, one), first)| {
                let cases = vec![
                    ("first".to_owned(), Some(shape)),
                    ("second".to_owned(), None),
                ];
                let value = match first {
                    true => Val::Variant("first".to_owned(), Some(Box::new(one))),
                    false => Val::Variant("second".to_owned(), None),
                };
                (Shape::Variant(cases), value)
            }),
            (inner.clone(), inner).prop_map(|((a, x), (b, y))| {
                (Shape::Tuple(vec![a, b]), Val::Tuple(vec![x, y]))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read((shape, value) in shaped()) {
        let (mut out, mut side) = (Vec::new(), Plain::default());
        write(&shape, &value, &mut out, &mut side).unwrap();
        let mut rest = Rest::of(&out);
        prop_assert_eq!(read(&shape, &mut rest, &mut side).unwrap(), value);
        prop_assert!(rest.end().is_ok());
    }

    #[test]
    fn a_message_that_ends_too_early_is_refused((shape, value) in shaped(), cut in any::<prop::sample::Index>()) {
        let (mut out, mut side) = (Vec::new(), Plain::default());
        write(&shape, &value, &mut out, &mut side).unwrap();
        prop_assume!(!out.is_empty());
        let cut = cut.index(out.len());
        let mut rest = Rest::of(&out[..cut]);
        prop_assert!(read(&shape, &mut rest, &mut side).is_err());
    }

    #[test]
    fn what_nobody_wrote_is_a_value_or_an_error((shape, _) in shaped(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut side = Plain::default();
        // It ends, whatever it is.
        let _ = read(&shape, &mut Rest::of(&bytes), &mut side);
    }
}

#[test]
fn what_cannot_be_is_named() {
    let mut side = Plain::default();
    let mut refused =
        |shape: Shape, bytes: &[u8]| read(&shape, &mut Rest::of(bytes), &mut side).unwrap_err();
    let invalid = |error| matches!(error, WireError::Invalid(_));
    assert!(invalid(refused(Shape::Bool, &[2])));
    assert!(invalid(refused(Shape::Char, &0xd800_u32.to_le_bytes())));
    assert!(invalid(refused(Shape::String, &[1, 0, 0, 0, 0xff])));
    assert!(invalid(refused(
        Shape::Enum(vec!["a".to_owned()]),
        &[1, 0, 0, 0]
    )));
    // A length past what is left takes no memory, whatever it says.
    let long = u32::MAX.to_le_bytes();
    assert_eq!(refused(Shape::String, &long), WireError::Cut);
    assert_eq!(
        refused(Shape::List(Box::new(Shape::U8)), &long),
        WireError::Cut
    );
    let nothing = Shape::List(Box::new(Shape::Tuple(Vec::new())));
    assert!(invalid(refused(nothing, &[1, 0, 0, 0, 0])));
}

#[test]
fn a_message_makes_so_many_values_and_no_more() {
    let shape = Shape::List(Box::new(Shape::Tuple(vec![Shape::U8])));
    let message = |count: usize| {
        let mut bytes = u32::try_from(count).unwrap().to_le_bytes().to_vec();
        bytes.resize(bytes.len() + count, 0);
        bytes
    };
    let mut side = Plain::default();
    // The list, and two values for each of its items.
    let most = (EXECUTOR_VALUES_MAX - 1) / 2;
    assert!(read(&shape, &mut Rest::of(&message(most)), &mut side).is_ok());
    let more = read(&shape, &mut Rest::of(&message(most + 1)), &mut side);
    assert_eq!(more.unwrap_err(), WireError::TooMany);
}

#[test]
fn each_flag_that_is_set_is_a_value() {
    const NAMES: usize = 32;
    let names = (0..NAMES).map(|at| format!("flag-{at}"));
    let shape = Shape::List(Box::new(Shape::Flags(names.collect())));
    let message = |count: usize, set: u8| {
        let mut bytes = u32::try_from(count).unwrap().to_le_bytes().to_vec();
        bytes.resize(bytes.len() + count * NAMES, set);
        bytes
    };
    let mut side = Plain::default();
    let mut taken = |message: Vec<u8>| read(&shape, &mut Rest::of(&message), &mut side);
    // The list, and for each of its items the item and its flags.
    let most = (EXECUTOR_VALUES_MAX - 1) / (1 + NAMES);
    assert!(taken(message(most, 1)).is_ok());
    let more = taken(message(most + 1, 1)).map(drop);
    assert_eq!(more, Err(WireError::TooMany));
    // Those that are not set are none.
    assert!(taken(message(most + 1, 0)).is_ok());
}
