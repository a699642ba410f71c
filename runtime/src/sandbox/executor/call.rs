//! One call of a guest that runs in an executor: the server's side.
//!
//! What the executor says is one call of the mirror or one ending. The mirror has the linker and the store of this call, so
//! scope, limit, act and record are where they are for a guest in this process.

use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Val};
use wasmtime::{Engine, Store};

use super::super::ending::is_made_up_handle;
use super::super::outcome::Ending;
use super::super::state::State;
use super::pool::{Executors, Lease};
use super::shape::{Shape, Side, WireError, read, write};
use super::wire::{How, Kind, Message, broke, open};
use super::{Reply, ToolError};
use crate::catalog::Native;
use crate::catalog::surface::{AT, CALLS, LENGTH, Surface, drop_name, function_name};
use crate::ids::{Digest, Tenant};
use crate::limits::{
    EXECUTOR_MESSAGE_BYTES_MAX, HOSTCALL_BYTES_MAX, MIRROR_MEMORY_BYTES_MAX, REPLY_BLOCKS_MAX,
};
use crate::turns::{Apart, Turns, Whose};

/// How a call ended that an executor did not finish.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Halted {
    /// The guest came to this end, as its executor says.
    #[error("the guest ended the call in its executor")]
    Broke(Broke),
    /// The process ended under it.
    #[error("the executor ended before the call did: {0}")]
    Lost(#[source] std::io::Error),
    /// It spoke as none of ours does.
    #[error("the executor broke the protocol: {0}")]
    Lied(#[source] WireError),
    /// There is none.
    #[error(transparent)]
    None(#[from] super::pool::ExecutorError),
}

/// The ends of a guest that its executor may name.
#[derive(Debug)]
pub(in super::super) struct Broke(How);

impl Halted {
    /// A lie of the executor. No guest has it say what is no message: its engine made sure of that.
    fn is_lie(&self) -> bool {
        // This one a guest does, by giving a host function too much.
        matches!(self, Self::Lied(error) if *error != WireError::TooMany)
    }

    pub(in super::super) fn ending(&self) -> Ending {
        match self {
            Self::Broke(Broke(How::Trapped)) => Ending::Trapped,
            Self::Broke(Broke(How::OutOfBounds)) => Ending::OutOfBounds,
            Self::Broke(Broke(How::ReplyTooLarge)) => Ending::ReplyTooLarge,
            Self::Lied(WireError::TooMany) => Ending::OutOfBounds,
            Self::Lost(_) | Self::Lied(_) => Ending::Lost,
            Self::None(super::pool::ExecutorError::Taken) => Ending::Overloaded,
            Self::None(error) => Ending::Fault(error.to_string()),
        }
    }
}

struct Function {
    export: ComponentExportIndex,
    params: Vec<Shape>,
    results: Vec<Shape>,
    /// Whether something of it passes through memory.
    in_memory: bool,
}

/// A mirror that is linked, and its functions by the numbers that executors know.
pub(in super::super) struct Mirror {
    pre: InstancePre<State>,
    put: ComponentExportIndex,
    get: ComponentExportIndex,
    reset: ComponentExportIndex,
    functions: Vec<Function>,
    drops: Vec<ComponentExportIndex>,
}

impl Mirror {
    /// Of a guest, of which `pre` is the linked mirror.
    pub(in super::super) fn of(
        engine: &Engine,
        guest: &Component,
        mirror: &Component,
        pre: InstancePre<State>,
    ) -> wasmtime::Result<Self> {
        let missing = || wasmtime::format_err!("the mirror is of another component");
        let (_, calls) = mirror.get_export(None, CALLS).ok_or_else(missing)?;
        let find = |name: &str| mirror.get_export(Some(&calls), name).ok_or_else(missing);
        let index = |name: &str| find(name).map(|(_, index)| index);
        let surface = Surface::of(engine, guest);
        let functions = surface.functions.iter().map(|one| {
            let (item, export) = find(&function_name(&one.interface, &one.name))?;
            let wasmtime::component::types::ComponentItem::ComponentFunc(ty) = item else {
                return Err(missing());
            };
            let shape = |ty| Shape::of(&ty, &[]).ok_or_else(missing);
            let params = ty.params().map(|(_, ty)| shape(ty));
            let params: Vec<_> = params.collect::<wasmtime::Result<_>>()?;
            let results: Vec<_> = ty.results().map(shape).collect::<wasmtime::Result<_>>()?;
            Ok(Function {
                export,
                in_memory: !params.iter().chain(&results).all(Shape::is_number),
                params,
                results,
            })
        });
        let drops = surface.resources.iter();
        let drops = drops.map(|one| index(&drop_name(&one.interface, &one.name)));
        Ok(Self {
            put: index("put")?,
            get: index("get")?,
            reset: index("reset")?,
            functions: functions.collect::<wasmtime::Result<_>>()?,
            drops: drops.collect::<wasmtime::Result<_>>()?,
            pre,
        })
    }
}

/// What is run, and for whom.
pub(in super::super) struct Run<'a> {
    pub(in super::super) executors: &'a Arc<Executors>,
    pub(in super::super) mirror: &'a Mirror,
    pub(in super::super) code: &'a Native,
    pub(in super::super) package: Digest,
    pub(in super::super) tenant: &'a Tenant,
    pub(in super::super) tool: &'a str,
    pub(in super::super) arguments: &'a str,
    /// What its memories may have in all, in bytes.
    pub(in super::super) memory: u64,
    pub(in super::super) turns: &'a Turns,
    pub(in super::super) whose: Whose<'a>,
}

impl Run<'_> {
    /// Makes the call. Where this is dropped before its end, the executor is ended.
    pub(in super::super) async fn call(
        &self,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<Reply, ToolError>> {
        let lease = self.executors.lease(self.tenant, self.package, self.code);
        let mut lease = lease.await.map_err(Halted::None)?;
        let call = Message::new(Kind::Call)
            .u64(self.memory)
            .part(self.tool.as_bytes())
            .part(self.arguments.as_bytes());
        lease.executor.send(call).await.map_err(Halted::Lost)?;
        let mut instance = None;
        let reins = lease.executor.reins();
        let mut pace = self.turns.apart(self.whose);
        loop {
            let message = pace.until(&reins, lease.executor.receive()).await;
            let message = message.map_err(Halted::Lost)?;
            let (kind, mut rest) = open(&message).map_err(Halted::Lied)?;
            match kind {
                Kind::Import | Kind::Drop => {
                    let instance = match instance {
                        Some(instance) => instance,
                        None => {
                            *instance.insert(self.mirror.pre.instantiate_async(&mut *store).await?)
                        }
                    };
                    // A host function may take long, and be for nobody by then.
                    let hosted = tokio::select! {
                        biased;
                        hosted = self.host(store, instance, kind, rest.bytes()) => hosted,
                        broke = lease.executor.breaks_off() => return Err(Halted::Lost(broke).into()),
                    };
                    match hosted {
                        Ok(answer) => lease.executor.send(answer).await.map_err(Halted::Lost)?,
                        // The executor ends with its lease: whoever lied gets no other call.
                        Err(error) if error.downcast_ref().is_some_and(Halted::is_lie) => {
                            return Err(error);
                        }
                        Err(error) => {
                            let peak = refuse(lease, &mut pace).await;
                            let limits = &mut store.data_mut().limits;
                            limits.told(peak.unwrap_or_default(), self.memory);
                            return Err(error);
                        }
                    }
                }
                Kind::Returned => {
                    let peak = rest.u64().map_err(Halted::Lied)?;
                    store.data_mut().limits.told(peak, self.memory);
                    let returned = returned(rest.bytes())?;
                    lease.keep();
                    return Ok(returned);
                }
                Kind::Broke => {
                    let (how, peak) = broke(rest).map_err(Halted::Lied)?;
                    store.data_mut().limits.told(peak, self.memory);
                    lease.keep();
                    return Err(Halted::Broke(Broke(how)).into());
                }
                _ => return Err(Halted::Lied(WireError::Invalid("no word of an executor")).into()),
            }
        }
    }

    /// One call of a host function, or one handle that is let go of.
    async fn host(
        &self,
        store: &mut Store<State>,
        instance: Instance,
        kind: Kind,
        message: &[u8],
    ) -> wasmtime::Result<Message> {
        let mut rest = super::shape::Rest::of(message);
        let number = rest.u32().map_err(Halted::Lied)?;
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let none = || Halted::Lied(WireError::Invalid("a number of nothing"));
        if kind == Kind::Drop {
            let export = self.mirror.drops.get(number).ok_or_else(none)?;
            let handle = rest.u32().map_err(Halted::Lied)?;
            rest.end().map_err(Halted::Lied)?;
            let function = instance.get_typed_func::<(u32,), ()>(&mut *store, export)?;
            let dropped = function.call_async(&mut *store, (handle,)).await;
            dropped.map_err(honest)?;
            return Ok(Message::new(Kind::Return).u32(0));
        }
        let function = self.mirror.functions.get(number).ok_or_else(none)?;
        let length = rest.length().map_err(Halted::Lied)?;
        let bytes = rest.take(length).map_err(Halted::Lied)?;
        if function.in_memory {
            let reset = instance.get_typed_func::<(), ()>(&mut *store, &self.mirror.reset)?;
            reset.call_async(&mut *store, ()).await?;
        }
        let mut there = There::default();
        if !bytes.is_empty() {
            let put = instance.get_typed_func::<(&[u8],), (u32,)>(&mut *store, &self.mirror.put)?;
            (there.base,) = put.call_async(&mut *store, (bytes,)).await?;
            there.given = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        }
        let params = function.params.iter();
        let params = params.map(|shape| read(shape, &mut rest, &mut there));
        let params: Vec<Val> = params.collect::<Result<_, _>>().map_err(Halted::Lied)?;
        rest.end().map_err(Halted::Lied)?;
        let mut results = vec![Val::Bool(false); function.results.len()];
        let export = instance.get_func(&mut *store, function.export);
        let export = export.ok_or_else(none)?;
        let called = export.call_async(&mut *store, &params, &mut results);
        called.await.map_err(honest)?;
        let mut out = Vec::new();
        for (shape, one) in function.results.iter().zip(&results) {
            write(shape, one, &mut out, &mut there)?;
        }
        let mut bytes = Vec::new();
        if !there.taken.is_empty() {
            let get =
                instance.get_typed_func::<(u32, u32), (Vec<u8>,)>(&mut *store, &self.mirror.get)?;
            // What goes to a guest is bounded by the function that gives it, not by what a guest may give.
            store.set_hostcall_fuel(MIRROR_MEMORY_BYTES_MAX);
            for (at, length) in there.taken {
                let (some,) = get.call_async(&mut *store, (at, length)).await?;
                bytes.extend(some);
            }
            store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        }
        Ok(Message::new(Kind::Return).part(&bytes).bytes(&out))
    }
}

/// The error of a mirror. A handle that nobody gave is a lie: those of a guest are looked at where it runs, before they are said here.
fn honest(error: wasmtime::Error) -> wasmtime::Error {
    match is_made_up_handle(&error) {
        true => Halted::Lied(WireError::Invalid("a handle that nobody gave")).into(),
        false => error,
    }
}

/// What a guest answered. Its size, and how many blocks it says it has, are looked at before anything is made of it: they are those
/// of a guest in this process, which the engine bounds.
pub(super) fn returned(message: &[u8]) -> Result<Result<Reply, ToolError>, Halted> {
    let invalid = |_| Halted::Lied(WireError::Invalid("no answer of a tool"));
    let too_large = || Halted::Broke(Broke(How::ReplyTooLarge));
    if message.len() > HOSTCALL_BYTES_MAX {
        return Err(too_large());
    }
    // A reply is the first of two cases, and begins with the number of its blocks.
    if let Ok(((0_u32, blocks), _)) = postcard::take_from_bytes::<(u32, u32)>(message)
        && usize::try_from(blocks).is_ok_and(|blocks| blocks > REPLY_BLOCKS_MAX)
    {
        return Err(too_large());
    }
    let (returned, rest) = postcard::take_from_bytes(message).map_err(invalid)?;
    match rest {
        [] => Ok(returned),
        _ => Err(Halted::Lied(WireError::Rest)),
    }
}

/// Tells the executor that its call is over. The guest unwinds there, and the next call may have its executor. Says what the peak of
/// its memory was, if it says.
async fn refuse(mut lease: Lease, pace: &mut Apart<'_>) -> Option<u64> {
    lease.executor.send(Message::new(Kind::Refuse)).await.ok()?;
    let reins = lease.executor.reins();
    let message = pace.until(&reins, lease.executor.receive()).await.ok()?;
    let (Kind::Broke, rest) = open(&message).ok()? else {
        return None;
    };
    let (_, peak) = broke(rest).ok()?;
    lease.keep();
    Some(peak)
}

/// Values as the mirror has them: bytes are places in its memory, handles are numbers.
#[derive(Default)]
struct There {
    /// Where the bytes of the message are, and how many.
    base: u32,
    given: u32,
    /// Which of its bytes go back, and how many.
    taken: Vec<(u32, u32)>,
    total: u32,
}

impl Side for There {
    fn put_bytes(&mut self, value: &Val) -> Result<(u32, u32), WireError> {
        let invalid = WireError::Invalid("no place of bytes");
        let Val::Record(fields) = value else {
            return Err(invalid);
        };
        let [(_, Val::U32(at)), (_, Val::U32(length))] = fields.as_slice() else {
            return Err(invalid);
        };
        let offset = self.total;
        let total = usize::try_from(offset.saturating_add(*length)).unwrap_or(usize::MAX);
        if total > EXECUTOR_MESSAGE_BYTES_MAX {
            return Err(WireError::Invalid("more bytes than a message holds"));
        }
        self.total = offset.saturating_add(*length);
        self.taken.push((*at, *length));
        Ok((offset, *length))
    }

    fn get_bytes(&mut self, at: u32, length: u32) -> Result<Val, WireError> {
        let end = at.checked_add(length).filter(|end| *end <= self.given);
        end.ok_or(WireError::Cut)?;
        let start = self.base.saturating_add(at);
        Ok(Val::Record(vec![
            (AT.to_owned(), Val::U32(start)),
            (LENGTH.to_owned(), Val::U32(length)),
        ]))
    }

    fn put_handle(&mut self, _: &Val) -> Result<u32, WireError> {
        Err(WireError::Invalid("a handle where numbers are"))
    }

    fn get_handle(&mut self, _: usize, _: u32) -> Result<Val, WireError> {
        Err(WireError::Invalid("a handle where numbers are"))
    }
}
