//! A process that was taken over and speaks: whatever it says, it gets what its call was given.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::super::birth::{END, GO, HALT, MAKE, ORDER_BYTES};
use super::super::maker::Maker;
use super::super::pool::Executors;
use super::super::wire::{Channel, How, Kind, Message, open, receive_with};
use super::super::{Reply, ToolError};
use super::{Guest, maker_of};
use crate::limits::EXECUTOR_VALUES_MAX;
use crate::sandbox::testing::context;
use crate::sandbox::{Ending, Outcome};

/// What a liar says to its first call. To whatever comes after it answers as one of ours does whose guest was stopped.
pub(super) type Lie = fn(&mut Channel) -> io::Result<()>;

/// Numbers of what the guest imports.
const GET_STDOUT: u32 = 0;
const BLOCK: u32 = 1;
const POLL: u32 = 2;
const POLLABLE: u32 = 1;

/// Longest wait for what was done already.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// What becomes of liars, by their numbers.
pub(super) struct Fate {
    pub(super) lied: Receiver<u64>,
    pub(super) ended: Receiver<u64>,
    /// Who was halted (`true`) and let go (`false`).
    pub(super) reined: Receiver<(bool, u64)>,
}

/// How those begin that are made from now on.
#[derive(Default)]
pub(super) struct Manner {
    /// They say that they kept something.
    pub(super) keep: AtomicBool,
    /// They are not ready while this is so.
    pub(super) wait: AtomicBool,
}

/// A maker whose executors are threads that lie.
fn liars(lie: Lie) -> Maker {
    liars_that(Arc::default(), lie).0
}

/// The same, which begin in this manner; and what becomes of them.
pub(super) fn liars_that(
    manner: Arc<Manner>,
    lie: impl Fn(&mut Channel) -> io::Result<()> + Send + Sync + 'static,
) -> (Maker, Fate) {
    let lie = Arc::new(lie);
    let (control, orders) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let (lies, lied) = channel();
    let (ends, ended) = channel();
    let (reins, reined) = channel();
    std::thread::spawn(move || {
        loop {
            let mut order = [0; ORDER_BYTES];
            let Ok((1.., socket)) = receive_with(orders.as_fd(), &mut order) else {
                return;
            };
            let [what, number @ ..] = order;
            let number = u64::from_le_bytes(number);
            match (what, socket) {
                (MAKE, Some(socket)) => {
                    let (manner, lies) = (Arc::clone(&manner), lies.clone());
                    let lie = Arc::clone(&lie);
                    std::thread::spawn(move || {
                        live(UnixStream::from(socket), &manner, &*lie, || {
                            // Not everybody asks.
                            let _ = lies.send(number);
                        })
                    });
                }
                (END, None) => {
                    let _ = ends.send(number);
                }
                (HALT | GO, None) => {
                    let _ = reins.send((what == HALT, number));
                }
                _ => panic!("an order of another kind"),
            }
        }
    });
    let fate = Fate {
        lied,
        ended,
        reined,
    };
    (Maker::of(control), fate)
}

fn live(
    socket: UnixStream,
    manner: &Manner,
    lie: &dyn Fn(&mut Channel) -> io::Result<()>,
    lied: impl Fn(),
) -> io::Result<()> {
    let mut channel = Channel(socket);
    // Of no process: nobody knows what a thread computes.
    channel.send(Message::new(Kind::Born).u32(0))?;
    let keeps = manner.keep.load(Ordering::Acquire);
    while manner.wait.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ready = Message::new(Kind::Ready).u32(u32::from(keeps));
    channel.send(if keeps {
        ready.part(b"its files")
    } else {
        ready
    })?;
    channel.receive_code()?;
    channel.send(Message::new(Kind::Loaded))?;
    channel.receive()?;
    lie(&mut channel)?;
    lied();
    loop {
        channel.receive()?;
        channel.send(Message::new(Kind::Broke).u64(0).u8(How::Trapped as u8))?;
    }
}

/// A call whose executor tells this lie.
async fn call(lie: Lie) -> Outcome {
    let executors = Executors::open(liars(lie)).await.unwrap();
    Guest::made().await.call(executors, context()).await
}

/// A handle that a host function gave.
pub(super) fn stream(channel: &mut Channel) -> io::Result<u32> {
    channel.send(Message::new(Kind::Import).u32(GET_STDOUT).part(&[]))?;
    let answer = channel.receive()?;
    let (Kind::Return, mut rest) = open(&answer).map_err(io::Error::other)? else {
        return Err(io::Error::other("no stream"));
    };
    rest.length().map_err(io::Error::other)?;
    rest.u32().map_err(io::Error::other)
}

#[tokio::test]
async fn an_executor_that_says_nothing_of_ours_loses_its_call_and_its_life() {
    let lies: &[(&str, Lie)] = &[
        ("no message", |channel| {
            channel.0.write_all(b"GET / HTTP/1.1\r\n\r\n")
        }),
        ("an empty message", |channel| channel.0.write_all(&[0; 4])),
        ("a message past every bound", |channel| {
            channel.0.write_all(&u32::MAX.to_le_bytes())
        }),
        ("a kind that there is not", |channel| {
            channel.0.write_all(&[1, 0, 0, 0, 99])
        }),
        ("words of the server", |channel| {
            channel.send(Message::new(Kind::Return).u32(0))
        }),
        ("another beginning", |channel| {
            channel.send(Message::new(Kind::Ready).u32(0))
        }),
        ("the word of who made it", |channel| {
            channel.send(Message::new(Kind::Born).u32(1))
        }),
        ("a function that there is not", |channel| {
            channel.send(Message::new(Kind::Import).u32(u32::MAX).u32(0))
        }),
        ("bytes past the end", |channel| {
            channel.send(Message::new(Kind::Import).u32(0).u32(u32::MAX))
        }),
        ("arguments that are cut off", |channel| {
            channel.send(Message::new(Kind::Import).u32(0).u32(0).u8(1))
        }),
        ("a resource that there is not", |channel| {
            channel.send(Message::new(Kind::Drop).u32(u32::MAX).u32(0))
        }),
        ("an answer that is none", |channel| {
            channel.send(Message::new(Kind::Returned).u64(0).bytes(&[0xff; 40]))
        }),
        ("an ending that there is not", |channel| {
            channel.send(Message::new(Kind::Broke).u64(0).u8(77))
        }),
        ("an ending and more", |channel| {
            channel.send(Message::new(Kind::Broke).u64(0).u8(0).u8(0))
        }),
        ("an answer and more", |channel| {
            let answer: Result<Reply, ToolError> = Err(ToolError::Failed("no".to_owned()));
            let answer = postcard::to_allocvec(&answer).unwrap();
            channel.send(Message::new(Kind::Returned).u64(0).bytes(&answer).u8(0))
        }),
        ("nothing, and goes", |channel| {
            channel.0.shutdown(Shutdown::Both)
        }),
        ("a handle that nobody gave, to let go of it", |channel| {
            channel.send(Message::new(Kind::Drop).u32(POLLABLE).u32(4711))
        }),
        ("a handle that nobody gave, to use it", |channel| {
            channel.send(Message::new(Kind::Import).u32(BLOCK).part(&[]).u32(4711))
        }),
        ("a handle as what it is not", |channel| {
            let stream = stream(channel)?;
            channel.send(Message::new(Kind::Drop).u32(POLLABLE).u32(stream))
        }),
    ];
    let guest = Guest::made().await;
    assert_eq!(guest.function("[method]pollable.block"), Some(BLOCK));
    assert_eq!(guest.function("get-stdout"), Some(GET_STDOUT));
    assert_eq!(guest.resource("pollable"), Some(POLLABLE));
    for (what, lie) in lies {
        let (maker, fate) = liars_that(Arc::default(), *lie);
        let executors = Executors::open(maker).await.unwrap();
        let outcome = guest.call(Arc::clone(&executors), context()).await;
        assert!(
            matches!(outcome.ending, Ending::Lost),
            "{what}: {:?}",
            outcome.ending
        );
        // While the others of its maker still wait for calls.
        let ended = fate.ended.recv_timeout(SOON);
        assert_eq!(ended, fate.lied.recv_timeout(SOON), "{what}");
        assert!(ended.is_ok(), "{what}");
        drop(executors);
    }
}

#[tokio::test]
async fn a_guest_that_gives_too_much_at_once_ends_its_call_and_not_its_executor() {
    let (maker, fate) = liars_that(Arc::default(), |channel| {
        let handles = vec![0; 4 * (EXECUTOR_VALUES_MAX + 1)];
        let count = u32::try_from(EXECUTOR_VALUES_MAX + 1).unwrap();
        let poll = Message::new(Kind::Import).u32(POLL).part(&[]);
        channel.send(poll.u32(count).bytes(&handles))
    });
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    assert_eq!(guest.function("poll"), Some(POLL));
    let outcome = guest.call(Arc::clone(&executors), context()).await;
    assert!(
        matches!(outcome.ending, Ending::OutOfBounds),
        "{:?}",
        outcome.ending
    );
    // The same one has the next call, to which another would say the same.
    let outcome = guest.call(Arc::clone(&executors), context()).await;
    assert!(
        matches!(outcome.ending, Ending::Trapped),
        "{:?}",
        outcome.ending
    );
    assert!(fate.ended.try_recv().is_err());
}

#[tokio::test]
async fn who_says_that_it_used_more_than_there_is_is_not_believed() {
    let outcome = call(|channel| channel.send(Message::new(Kind::Broke).u64(u64::MAX).u8(1))).await;
    assert!(
        matches!(outcome.ending, Ending::OutOfBounds),
        "{:?}",
        outcome.ending
    );
    assert_eq!(outcome.usage.memory_bytes_peak, 64 << 20);
}

#[tokio::test]
async fn a_reply_is_measured_before_it_is_made() {
    for lie in [
        // Blocks by the million, of two bytes each.
        (|channel: &mut Channel| {
            let mut answer = vec![0, 0x80, 0x89, 0x7a];
            answer.resize(1_000_000, 0);
            channel.send(Message::new(Kind::Returned).u64(0).bytes(&answer))
        }) as Lie,
        |channel| channel.send(Message::new(Kind::Returned).u64(0).bytes(&[0; 2 << 20])),
    ] {
        let outcome = call(lie).await;
        assert!(
            matches!(outcome.ending, Ending::ReplyTooLarge),
            "{:?}",
            outcome.ending
        );
    }
}

#[tokio::test]
async fn one_that_kept_more_than_the_first_is_no_executor() {
    let manner = Arc::new(Manner::default());
    let (maker, _) = liars_that(Arc::clone(&manner), |channel| {
        channel.0.shutdown(Shutdown::Both)
    });
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    // Whoever is made from now on says that it kept something.
    manner.keep.store(true, Ordering::Release);
    let refused = loop {
        let outcome = guest.call(Arc::clone(&executors), context()).await;
        match outcome.ending {
            // One of those that were made before.
            Ending::Lost => {}
            other => break other,
        }
    };
    assert!(matches!(refused, Ending::Fault(_)), "{refused:?}");
}

#[tokio::test]
async fn who_says_nothing_runs_out_of_time() {
    let mut context = context();
    context.deadline = Duration::from_millis(200);
    let executors = Executors::open(liars(|channel| channel.receive().map(drop)))
        .await
        .unwrap();
    let outcome = Guest::made().await.call(executors, context).await;
    assert!(
        matches!(outcome.ending, Ending::OutOfTime),
        "{:?}",
        outcome.ending
    );
}

#[tokio::test]
async fn one_that_tells_the_truth_answers() {
    let executors = Executors::open(maker_of("guest")).await.unwrap();
    let guest = Guest::made().await;
    for _ in 0..3 {
        let outcome = guest.call(Arc::clone(&executors), context()).await;
        assert!(
            matches!(outcome.ending, Ending::Replied(_)),
            "{:?}",
            outcome.ending
        );
    }
    // The one that made the call, and those that are made ahead.
    assert!(executors.count() <= 1 + crate::limits::EXECUTORS_WARM);
}
