//! A process that was taken over and asks for effects: it has those of the call that it was given, and no other.

mod place;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::super::wire::{Kind, Message};
use super::super::{Reply, ToolError};
use super::lies::SOON;
use crate::sandbox::testing::context;
use crate::sandbox::{Ending, Outcome, RunContext};
use place::*;

#[track_caller]
fn is_lost(what: &str, outcome: &Outcome) {
    let is_lost = matches!(outcome.ending, Ending::Lost);
    assert!(is_lost, "{what}: {:?}", outcome.ending);
}

/// Nothing was done, but that a call was given its folder before it began.
#[track_caller]
fn did_nothing(outcome: &Outcome) {
    for (name, effect) in &outcome.usage.effects {
        assert_eq!(name, "files write notes");
        let bytes = effect.bytes_out + effect.bytes_in;
        assert_eq!((effect.count, effect.refused, bytes), (1, 0, 0));
    }
}

#[track_caller]
fn is_over<T>(what: &str, brought: &Receiver<io::Result<T>>) {
    let Err(error) = brought.recv_timeout(SOON).unwrap() else {
        panic!("{what}: it was answered");
    };
    // The server let go of it; anything else would be a mistake of this test.
    let ends = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ];
    assert!(ends.contains(&error.kind()), "{what}: {error}");
}

/// Asks for each kind of effect, has it where it may, and tells what was answered: to a request, to a store, whether there is a
/// secret, and which folders there are.
fn reach(mouth: &mut Mouth<'_>) -> io::Result<[Vec<u8>; 4]> {
    let request = mouth.request()?;
    let store = mouth.ask(OPEN, &text("memory"))?;
    if store.values[0] == 0 {
        let set = mouth.set(store.handle(1), "key", "value");
        mouth.channel.send(set)?;
        mouth.hear()?;
    }
    let secret = mouth.ask(EXISTS, &text("token"))?;
    let folders = mouth.ask(FOLDERS, &[])?;
    if folders.values[0] != 0 {
        let made = [number(folders.handle(4)), text("made")].concat();
        mouth.ask(MAKE, &made)?;
    }
    mouth.end()?;
    Ok([request, store.values, secret.values, folders.values])
}

#[tokio::test]
async fn what_a_call_is_not_granted_is_denied_to_whoever_asks() {
    let place = Place::new().await;
    let alice = of("acme", "alice");
    let (maker, _fate, brought) = place.liars(reach);
    let sandbox = place.sandbox(maker).await;
    let outcome = place.call(&sandbox, &alice, &[], context()).await;
    let answers = brought.recv_timeout(SOON).unwrap().unwrap();
    let none = [
        failed(HTTP_REQUEST_DENIED),
        failed(ACCESS_DENIED),
        vec![0],
        number(0),
    ];
    assert_eq!(answers, none);
    assert!(matches!(outcome.ending, Ending::Trapped), "{outcome:?}");
    assert!(outcome.usage.effects.is_empty(), "{outcome:?}");
    assert_eq!(place.upstream.connections(), 0);
    assert_eq!(place.value(&alice, "key").await, None);
    assert_eq!(count(&place.root.path().join("notes")), 0);

    // Who is granted all of it has it by the same words.
    let (maker, _fate, brought) = place.liars(reach);
    let sandbox = place.sandbox(maker).await;
    let outcome = place.call(&sandbox, &alice, &ALL, context()).await;
    let answers = brought.recv_timeout(SOON).unwrap().unwrap();
    assert_eq!(answers.map(|answer| answer[0]), [0, 0, 1, 1]);
    assert!(matches!(outcome.ending, Ending::Trapped), "{outcome:?}");
    assert_eq!(place.upstream.connections(), 1, "{outcome:?}");
    assert_eq!(place.value(&alice, "key").await.as_deref(), Some("value"));
    assert!(place.notes("acme", "alice").join("made").is_dir());
}

#[tokio::test]
async fn a_handle_that_no_host_function_gave_ends_whoever_uses_it() {
    let place = Place::new().await;
    let alice = of("acme", "alice");
    place.put(&alice, "key", "hers").await;
    let folder = place.notes("acme", "alice");
    for (what, values) in [
        (GET, [number(1), text("key")].concat()),
        (SET, [number(1), text("key"), number(0), number(0)].concat()),
        (
            INCREMENT,
            [number(1), text("key"), 1_i64.to_le_bytes().to_vec()].concat(),
        ),
        (MAKE, [number(1), text("made")].concat()),
        (HANDLE, [number(1), vec![0]].concat()),
        (ANSWERED, number(1)),
    ] {
        for granted in [&[][..], &ALL] {
            let values = values.clone();
            let (maker, fate, brought) =
                place.liars(move |mouth| mouth.ask(what, &values).map(drop));
            let sandbox = place.sandbox(maker).await;
            let outcome = place.call(&sandbox, &alice, granted, context()).await;
            is_lost(what, &outcome);
            is_over(what, &brought);
            assert!(fate.ended.recv_timeout(SOON).is_ok(), "{what}");
            did_nothing(&outcome);
        }
    }
    assert!(place.upstream.saw_nobody().await);
    assert_eq!(place.value(&alice, "key").await.as_deref(), Some("hers"));
    assert_eq!(count(&folder), 0);
}

/// What came of the names of stores, of keys and of paths.
type Stolen = (Vec<Vec<u8>>, Vec<Heard>, Vec<Vec<u8>>);

/// Tries for what is another user's.
fn steal(mouth: &mut Mouth<'_>) -> io::Result<Stolen> {
    let mut stores = Vec::new();
    for name in ["acme/memory", "../acme/memory", "memory\0acme", "alice", ""] {
        stores.push(mouth.ask(OPEN, &text(name))?.values);
    }
    let store = mouth.store()?;
    let mut values = Vec::new();
    for key in ["key", "acme/alice/key", "../alice/key", "acme\0alice\0key"] {
        values.push(mouth.ask(GET, &[number(store), text(key)].concat())?);
    }
    let set = mouth.set(store, "key", "his");
    mouth.channel.send(set)?;
    mouth.hear()?;
    let folder = mouth.ask(FOLDERS, &[])?.handle(4);
    let mut paths = Vec::new();
    for path in [
        "../alice/made",
        "../../acme/alice/made",
        "../../../made",
        "/made",
        "made",
    ] {
        let made = [number(folder), text(path)].concat();
        paths.push(mouth.ask(MAKE, &made)?.values);
    }
    mouth.end()?;
    Ok((stores, values, paths))
}

#[tokio::test]
async fn what_is_another_users_is_there_by_no_name() {
    let place = Place::new().await;
    let alice = of("acme", "alice");
    let hers = place.notes("acme", "alice");
    std::fs::create_dir_all(&hers).unwrap();
    place.put(&alice, "key", "hers").await;
    for thief in [of("globex", "bob"), of("acme", "carol")] {
        let (maker, _fate, brought) = place.liars(steal);
        let sandbox = place.sandbox(maker).await;
        let outcome = place.call(&sandbox, &thief, &ALL, context()).await;
        let (stores, values, paths) = brought.recv_timeout(SOON).unwrap().unwrap();
        assert!(matches!(outcome.ending, Ending::Trapped), "{outcome:?}");
        for answer in stores {
            assert_eq!(answer, failed(ACCESS_DENIED));
        }
        for value in values {
            // Nothing under that key, or a key that cannot be one.
            assert!(value.values == [0, 0] || value.values[0] == 1);
            assert_eq!(value.bytes, Vec::<u8>::new());
        }
        let (own, others) = paths.split_last().unwrap();
        assert_eq!(*own, [0]);
        for answer in others {
            assert_eq!(answer[0], 1);
        }
        assert_eq!(place.value(&alice, "key").await.as_deref(), Some("hers"));
        assert_eq!(place.value(&thief, "key").await.as_deref(), Some("his"));
        let his = place.notes(thief.tenant.as_str(), thief.user.subject.as_str());
        assert!(his.join("made").is_dir());
        assert_eq!(count(&hers), 0);
        assert!(!place.root.path().join("made").exists());
    }
}

#[tokio::test]
async fn a_handle_of_one_call_is_none_in_the_next_one() {
    let place = Place::new().await;
    let (alice, bob) = (of("acme", "alice"), of("acme", "bob"));
    place.put(&alice, "key", "hers").await;
    let (maker, fate, brought) = place.liars(|mouth| {
        let store = mouth.store()?;
        mouth.end()?;
        // The call of another user, for whom nothing was opened.
        mouth.channel.receive()?;
        mouth.ask(GET, &[number(store), text("key")].concat())
    });
    let sandbox = place.sandbox(maker).await;
    let outcome = place.call(&sandbox, &alice, &ALL, context()).await;
    assert!(matches!(outcome.ending, Ending::Trapped), "{outcome:?}");
    assert!(fate.ended.try_recv().is_err());
    let outcome = place.call(&sandbox, &bob, &ALL, context()).await;
    is_lost("a handle of another call", &outcome);
    is_over("a handle of another call", &brought);
    did_nothing(&outcome);
    assert!(fate.ended.recv_timeout(SOON).is_ok());
}

/// Says this as its call ends, and something more: the call is none the worse, the something is not done, and who said it has no
/// other call.
async fn says_more(
    end: impl Fn() -> Message + Send + Sync + 'static,
    waits: bool,
    is_end: impl Fn(&Ending) -> bool,
) {
    let place = Place::new().await;
    let alice = of("acme", "alice");
    let idles = Arc::new(AtomicBool::new(!waits));
    let speaks = Arc::clone(&idles);
    let (maker, fate, _brought) = place.liars(move |mouth| {
        let store = mouth.store()?;
        let end = end().finish()?;
        let more = mouth.set(store, "later", "value").finish()?;
        if speaks.load(Ordering::Acquire) {
            return mouth.channel.0.write_all(&[end, more].concat());
        }
        mouth.channel.0.write_all(&end)?;
        while !speaks.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        mouth.channel.0.write_all(&more)
    });
    let sandbox = place.sandbox(maker).await;
    let outcome = place.call(&sandbox, &alice, &ALL, context()).await;
    assert!(is_end(&outcome.ending), "{:?}", outcome.ending);
    idles.store(true, Ordering::Release);
    let first = fate.lied.recv_timeout(SOON).unwrap();
    let outcome = place.call(&sandbox, &alice, &ALL, context()).await;
    assert!(is_end(&outcome.ending), "{:?}", outcome.ending);
    assert_ne!(fate.lied.recv_timeout(SOON).unwrap(), first);
    assert_eq!(fate.ended.recv_timeout(SOON), Ok(first));
    assert_eq!(place.value(&alice, "later").await, None);
}

#[tokio::test]
async fn who_speaks_while_it_idles_has_no_other_call() {
    says_more(ended, true, |ending| matches!(ending, Ending::Trapped)).await;
}

#[tokio::test]
async fn what_is_asked_for_after_the_answer_is_not_done() {
    let answer = || {
        let answer: Result<Reply, ToolError> = Err(ToolError::Failed("no".to_owned()));
        let answer = postcard::to_allocvec(&answer).unwrap();
        Message::new(Kind::Returned).u64(0).bytes(&answer)
    };
    says_more(answer, false, |ending| matches!(ending, Ending::Failed(_))).await;
}

#[tokio::test]
async fn who_speaks_while_a_host_function_works_loses_its_call() {
    const LONG: Duration = Duration::from_secs(3_600);
    let place = Place::new().await;
    let alice = of("acme", "alice");
    let (maker, fate, brought) = place.liars(|mouth| {
        let store = mouth.store()?;
        let nanoseconds = u64::try_from(LONG.as_nanos()).unwrap();
        let waits = mouth.ask(AFTER, &nanoseconds.to_le_bytes())?.handle(0);
        mouth.say(WAIT, &[], &number(waits))?;
        let set = mouth.set(store, "later", "value");
        mouth.channel.send(set)?;
        mouth.hear()
    });
    let sandbox = place.sandbox(maker).await;
    let outcome = place.call(&sandbox, &alice, &ALL, context()).await;
    is_lost("a word in between", &outcome);
    is_over("a word in between", &brought);
    assert!(fate.ended.recv_timeout(SOON).is_ok());
    assert_eq!(place.value(&alice, "later").await, None);
}

#[tokio::test]
async fn who_asks_without_end_is_ended() {
    let place = Place::new().await;
    let alice = of("acme", "alice");
    type Asks = fn(&mut Mouth<'_>) -> io::Result<()>;
    type Ends = fn(&Ending) -> bool;
    let asks: [(&str, Asks, Duration, Ends); 3] = [
        (
            "and hears each answer",
            |mouth| {
                loop {
                    mouth.ask(EXISTS, &text("token"))?;
                }
            },
            Duration::from_millis(300),
            |ending| matches!(ending, Ending::OutOfTime),
        ),
        (
            "and hears none",
            |mouth| {
                loop {
                    mouth.say(EXISTS, &[], &text("token"))?;
                }
            },
            Duration::from_millis(300),
            // It speaks while a host function works, sooner or later.
            |ending| matches!(ending, Ending::OutOfTime | Ending::Lost),
        ),
        (
            "and keeps what it gets",
            |mouth| {
                loop {
                    mouth.ask(FIELDS, &[])?;
                }
            },
            Duration::from_secs(30),
            |ending| matches!(ending, Ending::OutOfBounds),
        ),
    ];
    for (what, say, deadline, is_end) in asks {
        let (maker, fate, _brought) = place.liars(say);
        let sandbox = place.sandbox(maker).await;
        let context = RunContext {
            deadline,
            ..context()
        };
        let outcome = place.call(&sandbox, &alice, &ALL, context).await;
        assert!(is_end(&outcome.ending), "{what}: {:?}", outcome.ending);
        let wall = outcome.usage.wall;
        assert!(wall < deadline + SOON, "{what}: {wall:?}");
        assert!(fate.ended.recv_timeout(SOON).is_ok(), "{what}");
    }
}
