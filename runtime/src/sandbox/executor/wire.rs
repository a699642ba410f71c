//! Messages between the server and an executor: their form, and their bounds.
//!
//! A message is its length, what it is, and its body. One socket carries one call at a time, so a message belongs to the call
//! that its executor was given and to no other: there is nothing by which it could name another.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::shape::{Rest, WireError};
use crate::limits::EXECUTOR_MESSAGE_BYTES_MAX;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// To an executor: run the code that comes with this.
    Load = 1,
    /// Make a call.
    Call = 2,
    /// What a host function gave.
    Return = 3,
    /// A host function ended the call.
    Refuse = 4,
    /// From who made an executor, before it has code: the number of its process.
    Born = 15,
    /// From an executor: it let go of everything; which layers are absent.
    Ready = 16,
    /// It has its code.
    Loaded = 17,
    /// It cannot load its code.
    Unloadable = 18,
    /// The guest calls a host function.
    Import = 19,
    /// The guest lets go of a resource.
    Drop = 20,
    /// The guest answered.
    Returned = 21,
    /// The guest did not.
    Broke = 22,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Load,
            Self::Call,
            Self::Return,
            Self::Refuse,
            Self::Born,
            Self::Ready,
            Self::Loaded,
            Self::Unloadable,
            Self::Import,
            Self::Drop,
            Self::Returned,
            Self::Broke,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// How a call broke, as its executor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum How {
    Trapped = 0,
    OutOfBounds = 1,
    ReplyTooLarge = 2,
}

impl How {
    pub(super) fn of(byte: u8) -> Result<Self, WireError> {
        [Self::Trapped, Self::OutOfBounds, Self::ReplyTooLarge]
            .into_iter()
            .find(|how| *how as u8 == byte)
            .ok_or(WireError::Invalid("an ending that there is not"))
    }
}

/// How a call broke, and the peak of its memory: all that such a message says.
pub(super) fn broke(mut rest: Rest<'_>) -> Result<(How, u64), WireError> {
    let peak = rest.u64()?;
    let how = How::of(rest.u8()?)?;
    rest.end()?;
    Ok((how, peak))
}

/// Length of the length.
pub(super) const HEAD: usize = 4;

/// A message that is being written.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new(kind: Kind) -> Self {
        let mut bytes = vec![0; HEAD];
        bytes.push(kind as u8);
        Self(bytes)
    }

    pub(super) fn u8(mut self, one: u8) -> Self {
        self.0.push(one);
        self
    }

    pub(super) fn u32(mut self, one: u32) -> Self {
        self.0.extend(one.to_le_bytes());
        self
    }

    pub(super) fn u64(mut self, one: u64) -> Self {
        self.0.extend(one.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A part with its length before it.
    pub(super) fn part(self, bytes: &[u8]) -> Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .bytes(bytes)
    }

    /// The message as it is sent; an error where it is larger than messages may be.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let length = self.0.len().saturating_sub(HEAD);
        let length = u32::try_from(length).ok().filter(|length| {
            usize::try_from(*length).is_ok_and(|length| length <= EXECUTOR_MESSAGE_BYTES_MAX)
        });
        let length = length.ok_or_else(|| io::Error::other("a message is too large"))?;
        if let Some(head) = self.0.first_chunk_mut() {
            *head = length.to_le_bytes();
        }
        Ok(self.0)
    }
}

/// How long the message behind a head is.
pub(super) fn length(head: [u8; HEAD]) -> Result<usize, WireError> {
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length > EXECUTOR_MESSAGE_BYTES_MAX {
        return Err(WireError::Invalid("a message past the bound of messages"));
    }
    Ok(length)
}

/// What a message is, and the rest of it.
pub(super) fn open(message: &[u8]) -> Result<(Kind, Rest<'_>), WireError> {
    let mut rest = Rest::of(message);
    let kind = Kind::of(rest.u8()?).ok_or(WireError::Invalid("a kind that there is not"))?;
    Ok((kind, rest))
}

/// The end of an executor: it has one thread and waits for each answer.
pub(super) struct Channel(pub(super) UnixStream);

impl Channel {
    pub(super) fn send(&mut self, message: Message) -> io::Result<()> {
        self.0.write_all(&message.finish()?)
    }

    pub(super) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; HEAD];
        self.0.read_exact(&mut head)?;
        let mut message = vec![0; length(head).map_err(io::Error::other)?];
        self.0.read_exact(&mut message)?;
        Ok(message)
    }

    /// The message that brings the code, whose body is its length.
    pub(super) fn receive_code(&mut self) -> io::Result<(u64, OwnedFd)> {
        let mut bytes = [0; HEAD + 1 + 8];
        let (read, file) = receive_with(self.0.as_fd(), &mut bytes)?;
        let invalid = || io::Error::other("the code did not come");
        let (kind, mut rest) = bytes
            .get(HEAD..read)
            .ok_or_else(invalid)
            .and_then(|message| open(message).map_err(io::Error::other))?;
        match (kind, rest.u64(), file) {
            (Kind::Load, Ok(length), Some(file)) => Ok((length, file)),
            _ => Err(invalid()),
        }
    }
}

/// Sends bytes, and a file with them, in one piece or not at all. Waits for nothing.
pub(super) fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    file: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for a file"));
    }
    let parts = [IoSlice::new(bytes)];
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &parts, &mut control, flags)?;
    // A few bytes to a socket that has room.
    match sent == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::other("the socket is full")),
    }
}

/// Receives bytes, and the file that may have come with them. Nothing at all where the other end is gone.
pub(super) fn receive_with(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(bytes)];
    let received = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    Ok((received.bytes, files.next()))
}
