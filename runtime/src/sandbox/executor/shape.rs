//! Values on the way between a server and the process that runs a guest.
//!
//! Whoever reads knows what stands there, since both know the types; so nothing in a message says of itself what it is, how deep
//! it goes or which type it has. What a message says of lengths is held against what is left of it.

use wasmtime::component::{Type, Val};

use crate::catalog::surface::{AT, LENGTH, Resource};
use crate::limits::EXECUTOR_VALUES_MAX;

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum WireError {
    /// It ends before what it holds.
    #[error("a message ends too early")]
    Cut,
    /// It goes on after what it holds.
    #[error("a message goes on after its end")]
    Rest,
    /// It makes more values than a message may.
    #[error("a message holds more than {EXECUTOR_VALUES_MAX} values")]
    TooMany,
    /// Something in it is none of what can stand there.
    #[error("a message holds what cannot be: {0}")]
    Invalid(&'static str),
}

/// The shape of a value: its type, as far as it is read and written by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    /// A list of bytes: a part of the message's own bytes.
    Bytes,
    /// A handle, by the number of its resource.
    Handle(usize),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    Record(Vec<(String, Shape)>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
}

impl Shape {
    /// Whether it is one number, which passes through no memory.
    pub(super) fn is_number(&self) -> bool {
        !matches!(
            self,
            Self::String
                | Self::Bytes
                | Self::List(_)
                | Self::Tuple(_)
                | Self::Record(_)
                | Self::Variant(_)
                | Self::Option(_)
                | Self::Result(..)
        )
    }

    /// The shape of a type, with these resources; none for what no interface of ours has.
    pub(super) fn of(ty: &Type, resources: &[Resource]) -> Option<Self> {
        let shape = |ty: &Type| Self::of(ty, resources);
        let boxed = |ty: &Type| shape(ty).map(Box::new);
        Some(match ty {
            Type::Bool => Self::Bool,
            Type::S8 => Self::S8,
            Type::U8 => Self::U8,
            Type::S16 => Self::S16,
            Type::U16 => Self::U16,
            Type::S32 => Self::S32,
            Type::U32 => Self::U32,
            Type::S64 => Self::S64,
            Type::U64 => Self::U64,
            Type::Float32 => Self::Float32,
            Type::Float64 => Self::Float64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            Type::List(list) => match shape(&list.ty())? {
                Self::U8 => Self::Bytes,
                of => Self::List(Box::new(of)),
            },
            Type::Tuple(tuple) => Self::Tuple(
                tuple
                    .types()
                    .map(|one| shape(&one))
                    .collect::<Option<_>>()?,
            ),
            Type::Record(record) => {
                let fields = record.fields();
                let fields = fields.map(|field| Some((field.name.to_owned(), shape(&field.ty)?)));
                let fields: Vec<_> = fields.collect::<Option<_>>()?;
                match fields.as_slice() {
                    [(at, Self::U32), (length, Self::U32)] if at == AT && length == LENGTH => {
                        Self::Bytes
                    }
                    _ => Self::Record(fields),
                }
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let of = case.ty.map(|ty| shape(&ty).ok_or(()));
                    Some((case.name.to_owned(), of.transpose().ok()?))
                });
                Self::Variant(cases.collect::<Option<_>>()?)
            }
            Type::Enum(names) => Self::Enum(names.names().map(str::to_owned).collect()),
            Type::Flags(names) => Self::Flags(names.names().map(str::to_owned).collect()),
            Type::Option(of) => Self::Option(boxed(&of.ty())?),
            Type::Result(of) => {
                let part = |ty: Option<Type>| match ty {
                    Some(ty) => boxed(&ty).map(Some),
                    None => Some(None),
                };
                Self::Result(part(of.ok())?, part(of.err())?)
            }
            Type::Own(resource) | Type::Borrow(resource) => {
                Self::Handle(resources.iter().position(|one| one.ty == *resource)?)
            }
            _ => return None,
        })
    }
}

/// What is not the same on both sides.
pub(super) trait Side {
    /// Takes up bytes, and says where they stand among those of the message, and how many they are.
    fn put_bytes(&mut self, value: &Val) -> Result<(u32, u32), WireError>;
    /// The value of a part of the message's bytes.
    fn get_bytes(&mut self, at: u32, length: u32) -> Result<Val, WireError>;
    /// The number of a handle.
    fn put_handle(&mut self, value: &Val) -> Result<u32, WireError>;
    /// The handle of a number.
    fn get_handle(&mut self, resource: usize, number: u32) -> Result<Val, WireError>;
}

const UNLIKE: WireError = WireError::Invalid("a value of another type");

fn count(length: usize) -> Result<u32, WireError> {
    u32::try_from(length).map_err(|_| WireError::Invalid("a length past the end of numbers"))
}

/// Appends a value.
pub(super) fn write(
    shape: &Shape,
    value: &Val,
    out: &mut Vec<u8>,
    side: &mut dyn Side,
) -> Result<(), WireError> {
    match (shape, value) {
        (Shape::Bool, Val::Bool(one)) => out.push(u8::from(*one)),
        (Shape::S8, Val::S8(one)) => out.extend(one.to_le_bytes()),
        (Shape::U8, Val::U8(one)) => out.extend(one.to_le_bytes()),
        (Shape::S16, Val::S16(one)) => out.extend(one.to_le_bytes()),
        (Shape::U16, Val::U16(one)) => out.extend(one.to_le_bytes()),
        (Shape::S32, Val::S32(one)) => out.extend(one.to_le_bytes()),
        (Shape::U32, Val::U32(one)) => out.extend(one.to_le_bytes()),
        (Shape::S64, Val::S64(one)) => out.extend(one.to_le_bytes()),
        (Shape::U64, Val::U64(one)) => out.extend(one.to_le_bytes()),
        (Shape::Float32, Val::Float32(one)) => out.extend(one.to_le_bytes()),
        (Shape::Float64, Val::Float64(one)) => out.extend(one.to_le_bytes()),
        (Shape::Char, Val::Char(one)) => out.extend(u32::from(*one).to_le_bytes()),
        (Shape::String, Val::String(one)) => {
            out.extend(count(one.len())?.to_le_bytes());
            out.extend(one.as_bytes());
        }
        (Shape::Bytes, bytes) => {
            let (at, length) = side.put_bytes(bytes)?;
            out.extend(at.to_le_bytes());
            out.extend(length.to_le_bytes());
        }
        (Shape::Handle(_), handle) => out.extend(side.put_handle(handle)?.to_le_bytes()),
        (Shape::List(of), Val::List(all)) => {
            out.extend(count(all.len())?.to_le_bytes());
            for one in all {
                write(of, one, out, side)?;
            }
        }
        (Shape::Tuple(shapes), Val::Tuple(all)) if shapes.len() == all.len() => {
            for (shape, one) in shapes.iter().zip(all) {
                write(shape, one, out, side)?;
            }
        }
        (Shape::Record(fields), Val::Record(all)) if fields.len() == all.len() => {
            for ((_, shape), (_, one)) in fields.iter().zip(all) {
                write(shape, one, out, side)?;
            }
        }
        (Shape::Variant(cases), Val::Variant(name, of)) => {
            let found = cases.iter().position(|(case, _)| case == name);
            let found = found.ok_or(UNLIKE)?;
            out.extend(count(found)?.to_le_bytes());
            match (cases.get(found), of) {
                (Some((_, Some(shape))), Some(of)) => write(shape, of, out, side)?,
                (Some((_, None)), None) => {}
                _ => return Err(UNLIKE),
            }
        }
        (Shape::Enum(names), Val::Enum(name)) => {
            let found = names.iter().position(|one| one == name).ok_or(UNLIKE)?;
            out.extend(count(found)?.to_le_bytes());
        }
        (Shape::Flags(names), Val::Flags(set)) => {
            out.extend(names.iter().map(|name| u8::from(set.contains(name))));
        }
        (Shape::Option(of), Val::Option(one)) => {
            out.push(u8::from(one.is_some()));
            if let Some(one) = one {
                write(of, one, out, side)?;
            }
        }
        (Shape::Result(ok, err), Val::Result(one)) => {
            let (mark, shape, of) = match one {
                Ok(of) => (0, ok, of),
                Err(of) => (1, err, of),
            };
            out.push(mark);
            match (shape, of) {
                (Some(shape), Some(of)) => write(shape, of, out, side)?,
                (None, None) => {}
                _ => return Err(UNLIKE),
            }
        }
        _ => return Err(UNLIKE),
    }
    Ok(())
}

/// What is left of a message.
pub(super) struct Rest<'a> {
    bytes: &'a [u8],
    /// How many more values it may make: each is many times larger than what it is made of.
    values: usize,
}

impl<'a> Rest<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            values: EXECUTOR_VALUES_MAX,
        }
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn value(&mut self) -> Result<(), WireError> {
        self.values = self.values.checked_sub(1).ok_or(WireError::TooMany)?;
        Ok(())
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(WireError::Cut)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(WireError::Cut)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length that what is left can hold.
    pub(super) fn length(&mut self) -> Result<usize, WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError::Cut)?;
        if length > self.bytes.len() {
            return Err(WireError::Cut);
        }
        Ok(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        let length = self.length()?;
        let invalid = |_| WireError::Invalid("a text that is not UTF-8");
        std::str::from_utf8(self.take(length)?).map_err(invalid)
    }

    fn bit(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid("neither yes nor no")),
        }
    }

    fn case(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.u32()?).map_err(|_| WireError::Invalid("a case that there is not"))
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), WireError> {
        match self.bytes {
            [] => Ok(()),
            _ => Err(WireError::Rest),
        }
    }
}

/// Reads a value.
pub(super) fn read(
    shape: &Shape,
    rest: &mut Rest<'_>,
    side: &mut dyn Side,
) -> Result<Val, WireError> {
    const NO_CASE: WireError = WireError::Invalid("a case that there is not");
    rest.value()?;
    Ok(match shape {
        Shape::Bool => Val::Bool(rest.bit()?),
        Shape::S8 => Val::S8(i8::from_le_bytes(rest.array()?)),
        Shape::U8 => Val::U8(rest.u8()?),
        Shape::S16 => Val::S16(i16::from_le_bytes(rest.array()?)),
        Shape::U16 => Val::U16(u16::from_le_bytes(rest.array()?)),
        Shape::S32 => Val::S32(i32::from_le_bytes(rest.array()?)),
        Shape::U32 => Val::U32(rest.u32()?),
        Shape::S64 => Val::S64(i64::from_le_bytes(rest.array()?)),
        Shape::U64 => Val::U64(rest.u64()?),
        Shape::Float32 => Val::Float32(f32::from_le_bytes(rest.array()?)),
        Shape::Float64 => Val::Float64(f64::from_le_bytes(rest.array()?)),
        Shape::Char => {
            Val::Char(char::from_u32(rest.u32()?).ok_or(WireError::Invalid("no character"))?)
        }
        Shape::String => Val::String(rest.text()?.to_owned()),
        Shape::Bytes => {
            let (at, length) = (rest.u32()?, rest.u32()?);
            side.get_bytes(at, length)?
        }
        Shape::Handle(resource) => {
            let number = rest.u32()?;
            side.get_handle(*resource, number)?
        }
        Shape::List(of) => {
            // Each item takes a byte at least, so that no length makes more than the message holds.
            let length = rest.length()?;
            let mut all = Vec::new();
            for _ in 0..length {
                let before = rest.bytes.len();
                all.push(read(of, rest, side)?);
                if rest.bytes.len() == before {
                    return Err(WireError::Invalid("a list of nothing"));
                }
            }
            Val::List(all)
        }
        Shape::Tuple(shapes) => {
            let all = shapes.iter().map(|shape| read(shape, rest, side));
            Val::Tuple(all.collect::<Result<_, _>>()?)
        }
        Shape::Record(fields) => {
            let all =
                { fields.iter() }.map(|(name, shape)| Ok((name.clone(), read(shape, rest, side)?)));
            Val::Record(all.collect::<Result<_, WireError>>()?)
        }
        Shape::Variant(cases) => {
            let (name, shape) = cases.get(rest.case()?).ok_or(NO_CASE)?;
            let of = shape.as_ref().map(|shape| read(shape, rest, side));
            Val::Variant(name.clone(), of.transpose()?.map(Box::new))
        }
        Shape::Enum(names) => Val::Enum(names.get(rest.case()?).ok_or(NO_CASE)?.clone()),
        Shape::Flags(names) => {
            let mut set = Vec::new();
            for name in names {
                if rest.bit()? {
                    // Each is a name, and none of them is longer in a message than the byte that sets it.
                    rest.value()?;
                    set.push(name.clone());
                }
            }
            Val::Flags(set)
        }
        Shape::Option(of) => Val::Option(match rest.bit()? {
            true => Some(Box::new(read(of, rest, side)?)),
            false => None,
        }),
        Shape::Result(ok, err) => {
            let failed = rest.bit()?;
            let shape = if failed { err } else { ok };
            let of = shape.as_ref().map(|shape| read(shape, rest, side));
            let of = of.transpose()?.map(Box::new);
            Val::Result(if failed { Err(of) } else { Ok(of) })
        }
    })
}
