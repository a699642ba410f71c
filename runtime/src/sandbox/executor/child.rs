//! The life of an executor: one guest, one call at a time, every host function asked for over the socket.
//!
//! Nothing here decides anything. Whatever this process says is judged by the server, which has the grant of the call.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{MapFlags, ProtFlags};
use wasmtime::component::{Component, Linker, ResourceAny, ResourceDynamic, ResourceType, Val};
use wasmtime::{Engine, Store, StoreContextMut};

use super::super::bindings::ToolPre;
use super::super::ending;
use super::super::limits::Limits;
use super::super::outcome::Ending;
use super::birth::{Origin, close_all_but};
use super::confine::{confine, is_filtered, shut};
use super::shape::{Rest, Shape, Side, WireError, read, write};
use super::wire::{Channel, How, Kind, Message, open};
use crate::catalog::surface::Surface;
use crate::limits::{COMPONENT_HANDLES_MAX, HOSTCALL_BYTES_MAX};

/// Ticks until a guest would be stopped: never, since nothing ticks here. The server watches the time, and ends the process.
const NEVER: u64 = 1 << 40;

/// What a newborn process does until its end.
pub(super) fn live(engine: &Engine, socket: UnixStream, origin: Origin) -> ! {
    // Whatever went wrong, the server sees the socket closed, and that is all there is to say.
    let code = match serve(engine, socket, origin) {
        Ok(()) => 0,
        Err(_) => 1,
    };
    std::process::exit(code)
}

fn serve(engine: &Engine, socket: UnixStream, origin: Origin) -> io::Result<()> {
    close_all_but(socket.as_fd())?;
    let absent = confine(origin);
    let mut channel = Channel(socket);
    let mut ready = Message::new(Kind::Ready).u32(count(absent.len()));
    for one in &absent {
        ready = ready.part(one.as_bytes());
    }
    channel.send(ready)?;
    let (length, code) = channel.receive_code()?;
    let guest = match load(engine, length, code) {
        Ok(guest) => guest,
        Err(error) => {
            let why = format!("{error:#}");
            return channel.send(Message::new(Kind::Unloadable).part(why.as_bytes()));
        }
    };
    // Where there is no filter, which the server was told, there is none to narrow.
    if is_filtered(&absent) {
        shut()?;
    }
    channel.send(Message::new(Kind::Loaded))?;
    loop {
        let message = match channel.receive() {
            Ok(message) => message,
            // Nobody has a call for it any more.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let (Kind::Call, mut rest) = open(&message).map_err(io::Error::other)? else {
            return Err(io::Error::other("no call"));
        };
        let memory = rest.u64().map_err(io::Error::other)?;
        let tool = rest.text().map_err(io::Error::other)?;
        let arguments = rest.text().map_err(io::Error::other)?;
        channel = run(engine, &guest, channel, memory, tool, arguments)?;
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A guest gives a host function more than a message holds.
#[derive(Debug, thiserror::Error)]
#[error("more than a message holds")]
struct TooLarge;

/// What the store of a call holds here.
struct Data {
    limits: Limits,
    channel: Channel,
}

/// Makes one call and tells how it ended.
fn run(
    engine: &Engine,
    guest: &ToolPre<Data>,
    channel: Channel,
    memory: u64,
    tool: &str,
    arguments: &str,
) -> io::Result<Channel> {
    let data = Data {
        limits: Limits::of_memory(usize::try_from(memory).unwrap_or(usize::MAX)),
        channel,
    };
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.limits);
    // Here a byte is a value; the server holds what arrives to the bound that it holds every guest to.
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX.saturating_mul(size_of::<Val>()));
    store.set_max_component_handles(COMPONENT_HANDLES_MAX);
    store.set_epoch_deadline(NEVER);
    let returned = returned(guest, &mut store, tool, arguments);
    let limits = &store.data().limits;
    let peak = limits.memory_bytes_peak();
    let broke = |how: How| Message::new(Kind::Broke).u64(peak).u8(how as u8);
    let told = match returned {
        Ok(returned) => postcard::to_allocvec(&returned)
            .ok()
            .and_then(|bytes| {
                let returned = Message::new(Kind::Returned).u64(peak);
                returned.bytes(&bytes).finish().ok()
            })
            .map_or_else(|| broke(How::ReplyTooLarge).finish(), Ok),
        Err(error) if error.is::<TooLarge>() => broke(How::OutOfBounds).finish(),
        Err(error) => {
            let how = match ending::of(&error, limits.refused()) {
                Ending::OutOfBounds => How::OutOfBounds,
                Ending::ReplyTooLarge => How::ReplyTooLarge,
                _ => How::Trapped,
            };
            broke(how).finish()
        }
    };
    let mut channel = store.into_data().channel;
    channel.0.write_all(&told?)?;
    Ok(channel)
}

type Returned = Result<super::Reply, super::ToolError>;

/// All of it is done without waiting, so the first poll of each part is its last.
fn returned(
    guest: &ToolPre<Data>,
    store: &mut Store<Data>,
    tool: &str,
    arguments: &str,
) -> wasmtime::Result<Returned> {
    now(async {
        let instance = guest.instantiate_async(&mut *store).await?;
        instance
            .bailiwick_tool_handler()
            .call_call(&mut *store, tool, arguments)
            .await
    })
}

/// The outcome of what never waits.
fn now<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(outcome) => outcome,
        std::task::Poll::Pending => Err(wasmtime::format_err!("a guest waits for nothing")),
    }
}

/// Maps the code and links it to the socket.
fn load(engine: &Engine, length: u64, code: OwnedFd) -> wasmtime::Result<ToolPre<Data>> {
    let length = usize::try_from(length)?;
    // SAFETY: a private mapping of a file that its owner never changes, at a place that the kernel chooses; it is never unmapped.
    #[allow(unsafe_code, reason = "code is mapped")]
    let at = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            &code,
            0,
        )
    }?;
    // Others have the same open file, whose position would be a place to meet.
    drop(code);
    let at = NonNull::new(at.cast::<u8>()).ok_or_else(|| wasmtime::format_err!("no memory"))?;
    let memory = NonNull::slice_from_raw_parts(at, length);
    // SAFETY: the server sends the file that it checked to hold what `Engine::precompile_component` of this build made, and this
    // process has nothing that a lie of the server could take.
    #[allow(unsafe_code, reason = "there is no other way to load native code")]
    let component = unsafe { Component::deserialize_raw(engine, memory) }?;
    // Now, while there may be files in memory.
    component.initialize_copy_on_write_image()?;
    let linker = link(engine, &component)?;
    ToolPre::new(linker.instantiate_pre(&component)?)
}

/// Links every import to a question.
fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Data>> {
    let surface = Surface::of(engine, component);
    let mut linker = Linker::<Data>::new(engine);
    for (number, resource) in (0..).zip(&surface.resources) {
        linker.instance(&resource.interface)?.resource(
            &resource.name,
            ResourceType::host_dynamic(number),
            move |mut store, handle| {
                let message = Message::new(Kind::Drop).u32(number).u32(handle);
                ask(&mut store, message).map(drop)
            },
        )?;
    }
    for (number, function) in (0..).zip(&surface.functions) {
        let shape = |ty| {
            let unlike = || wasmtime::format_err!("`{}` has no shape", function.name);
            Shape::of(&ty, &surface.resources).ok_or_else(unlike)
        };
        let params = function.ty.params().map(|(_, ty)| shape(ty));
        let params = params.collect::<wasmtime::Result<Vec<_>>>()?;
        let results = function.ty.results().map(shape);
        let results = results.collect::<wasmtime::Result<Vec<_>>>()?;
        let shapes = Arc::new((params, results));
        linker
            .instance(&function.interface)?
            .func_new(&function.name, move |store, _, given, taken| {
                import(store, number, &shapes, given, taken)
            })?;
    }
    Ok(linker)
}

/// Sends a question and waits for the answer: its bytes, and what else it holds.
fn ask(store: &mut StoreContextMut<'_, Data>, question: Message) -> wasmtime::Result<Vec<u8>> {
    let channel = &mut store.data_mut().channel;
    let question = question.finish().map_err(|_| TooLarge)?;
    channel.0.write_all(&question)?;
    let answer = channel.receive()?;
    match open(&answer)? {
        (Kind::Return, _) => Ok(answer),
        (Kind::Refuse, _) => Err(wasmtime::format_err!("the call ended")),
        _ => Err(wasmtime::format_err!("no answer")),
    }
}

/// One call of a host function.
fn import(
    mut store: StoreContextMut<'_, Data>,
    number: u32,
    shapes: &(Vec<Shape>, Vec<Shape>),
    given: &[Val],
    taken: &mut [Val],
) -> wasmtime::Result<()> {
    let (params, results) = shapes;
    let mut out = Vec::new();
    let mut here = Here {
        store: &mut store,
        bytes: Vec::new(),
    };
    for (shape, one) in params.iter().zip(given) {
        write(shape, one, &mut out, &mut here)?;
    }
    let question = Message::new(Kind::Import).u32(number);
    let question = question.part(&here.bytes).bytes(&out);
    let answer = ask(&mut store, question)?;
    let (_, mut rest) = open(&answer)?;
    let length = rest.length()?;
    let mut here = Here {
        bytes: rest.take(length)?.to_vec(),
        store: &mut store,
    };
    for (shape, one) in results.iter().zip(taken) {
        *one = read(shape, &mut rest, &mut here)?;
    }
    Ok(rest.end()?)
}

/// Values as a guest has them.
struct Here<'a, 'b> {
    store: &'a mut StoreContextMut<'b, Data>,
    bytes: Vec<u8>,
}

impl Side for Here<'_, '_> {
    fn put_bytes(&mut self, value: &Val) -> Result<(u32, u32), WireError> {
        let Val::List(all) = value else {
            return Err(WireError::Invalid("no list of bytes"));
        };
        let at = count(self.bytes.len());
        for one in all {
            let Val::U8(byte) = one else {
                return Err(WireError::Invalid("no byte"));
            };
            self.bytes.push(*byte);
        }
        Ok((at, count(all.len())))
    }

    fn get_bytes(&mut self, at: u32, length: u32) -> Result<Val, WireError> {
        let mut rest = Rest::of(&self.bytes);
        let number = |one| usize::try_from(one).map_err(|_| WireError::Cut);
        rest.take(number(at)?)?;
        let bytes = rest.take(number(length)?)?;
        Ok(Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()))
    }

    fn put_handle(&mut self, value: &Val) -> Result<u32, WireError> {
        let none = WireError::Invalid("no handle");
        let Val::Resource(handle) = value else {
            return Err(none);
        };
        let handle = ResourceDynamic::try_from_resource_any(*handle, &mut *self.store);
        handle.map(|handle| handle.rep()).map_err(|_| none)
    }

    fn get_handle(&mut self, resource: usize, number: u32) -> Result<Val, WireError> {
        let handle = ResourceDynamic::new_own(number, count(resource));
        let handle: ResourceAny = handle
            .try_into_resource_any(&mut *self.store)
            .map_err(|_| WireError::Invalid("no room for a handle"))?;
        Ok(Val::Resource(handle))
    }
}
