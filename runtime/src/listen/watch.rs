//! What goes on on one connection, and whether it has gone on for too long.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::untaken::Untaken;
use crate::config::ConnectionBounds;
use crate::limits::ANSWER_STEP_BYTES;

/// Why a connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    /// The head of a request did not come in time.
    #[error("the head of a request did not come in time")]
    Head,
    /// Nothing of an answer was taken, or too little.
    #[error("too little of an answer was taken in time")]
    Answer,
    /// Nothing was asked.
    #[error("nothing was asked for a while")]
    Idle,
    /// It has had its share of requests.
    #[error("it has had its share of requests")]
    Worn,
}

/// What goes on on one connection.
#[derive(Debug)]
pub(super) struct Watch {
    /// Whether requests of many clients come on it, as from a declared proxy.
    shared: bool,
    /// What of all connections is not taken.
    untaken: Arc<Untaken>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether the bytes of a head come one after the other; on HTTP/2 they are mixed with others.
    heads: bool,
    /// Requests whose answers are not at their end, or not taken whole.
    in_flight: usize,
    requests: u64,
    /// Since when a head comes.
    head_since: Option<Instant>,
    /// Since when nothing is answered.
    idle_since: Instant,
    /// Since when bytes wait to be taken.
    stuck_since: Option<Instant>,
    /// Answers of which something waits to be taken, by the numbers of their requests.
    waiting: BTreeMap<u64, Waiting>,
    /// When something of any answer was taken.
    moved: Instant,
    /// Bytes of answers that are in memory.
    untaken: usize,
}

/// What of one answer waits to be taken.
#[derive(Debug)]
struct Waiting {
    bytes: usize,
    /// What of it is to be taken next. It does not grow with what comes behind it.
    due: usize,
    /// Since when.
    since: Instant,
}

impl Watch {
    /// Of a connection that begins now. The first head is waited for from here on.
    pub fn new(now: Instant, shared: bool, untaken: Arc<Untaken>) -> Arc<Self> {
        Arc::new(Self {
            shared,
            untaken,
            state: Mutex::new(State {
                heads: true,
                in_flight: 0,
                requests: 0,
                head_since: Some(now),
                idle_since: now,
                stuck_since: None,
                waiting: BTreeMap::new(),
                moved: now,
                untaken: 0,
            }),
        })
    }

    /// From here on frames come, and the protocol has its own ways.
    pub fn frames(&self) {
        let mut state = self.state();
        state.heads = false;
        state.head_since = None;
    }

    /// Why the connection shall end, if it shall.
    pub fn over(&self, bounds: &ConnectionBounds, now: Instant) -> Option<Over> {
        let state = self.state();
        let waited = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        if state
            .head_since
            .is_some_and(|since| waited(since, bounds.header_wait))
        {
            return Some(Over::Head);
        }
        let stuck = state
            .stuck_since
            .is_some_and(|since| waited(since, bounds.answer_wait));
        // What one answer waits for is not excused by another that is taken: whoever asks for something small now and then could
        // leave the large ones lying for ever. A proxy hands on how slow each of its clients is, and the others shall not pay for
        // one of them: neither those that take something, nor those that wait for us. What it holds is bounded for the client.
        let oldest = state.waiting.values().map(|waiting| waiting.since).min();
        let oldest = match self.shared {
            true if state.waiting.len() < state.in_flight => None,
            true => oldest.map(|since| since.max(state.moved)),
            false => oldest,
        };
        if stuck || oldest.is_some_and(|since| waited(since, bounds.answer_wait)) {
            return Some(Over::Answer);
        }
        if state.in_flight == 0 && waited(state.idle_since, bounds.idle) {
            return Some(Over::Idle);
        }
        (state.requests >= bounds.requests).then_some(Over::Worn)
    }

    /// Whether nothing is answered, and nothing comes, on a connection that knows no way of saying goodbye.
    pub fn is_quiet(&self) -> bool {
        let state = self.state();
        let comes = state.head_since.is_some() && state.requests > 0;
        state.heads && state.in_flight == 0 && !comes
    }

    /// Whether nothing is answered.
    pub fn is_idle(&self) -> bool {
        self.state().in_flight == 0
    }

    /// A request was read.
    pub fn asked(self: &Arc<Self>, now: Instant) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.requests = state.requests.saturating_add(1);
        state.head_since = None;
        state.idle_since = now;
        InFlight {
            watch: Arc::clone(self),
            number: state.requests,
            address: None,
        }
    }

    /// Bytes came.
    pub fn came(&self, now: Instant) {
        let mut state = self.state();
        if state.heads && state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(now);
        }
    }

    /// Bytes wait to be written.
    pub fn stuck(&self, now: Instant) {
        self.state().stuck_since.get_or_insert(now);
    }

    /// Bytes were written, or nothing waits to be.
    pub fn flows(&self) {
        self.state().stuck_since = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is answered, until this is dropped: when its answer is at its end and nothing of it is in memory.
#[derive(Debug)]
pub(super) struct InFlight {
    watch: Arc<Watch>,
    number: u64,
    /// For which address its answer counts.
    address: Option<IpAddr>,
}

impl InFlight {
    /// What of the answer is not taken counts for this address from now on.
    pub fn counts_for(&mut self, address: Option<IpAddr>) {
        self.address = address;
    }

    /// Whether so much of earlier answers is not taken that nothing more shall be made.
    pub fn is_behind(&self, bounds: &ConnectionBounds) -> bool {
        let watch = &self.watch;
        let mine = !watch.shared && watch.state().untaken >= bounds.answers_bytes_per_connection;
        mine || watch.untaken.is_full(self.address)
    }

    /// So many bytes of the answer are in memory, beside those that were.
    pub fn holds(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.watch.state();
        state.untaken = state.untaken.saturating_add(bytes);
        drop(state);
        self.watch.untaken.add(self.address, bytes);
    }

    /// They are no longer.
    pub fn lets_go(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.watch.state();
        state.untaken = state.untaken.saturating_sub(bytes);
        drop(state);
        self.watch.untaken.remove(self.address, bytes);
    }

    /// So many bytes of the answer wait for the client to take them, behind those that do.
    pub fn hands(&self, bytes: usize, now: Instant) {
        if bytes == 0 {
            return;
        }
        let mut state = self.watch.state();
        let waiting = state.waiting.entry(self.number).or_insert(Waiting {
            bytes: 0,
            due: bytes.min(ANSWER_STEP_BYTES),
            since: now,
        });
        waiting.bytes = waiting.bytes.saturating_add(bytes);
    }

    /// The client took so many of them. A byte now and then is not enough: the time begins anew when all is taken that was due.
    pub fn takes(&self, bytes: usize, now: Instant) {
        if bytes == 0 {
            return;
        }
        let mut state = self.watch.state();
        state.moved = now;
        let Entry::Occupied(mut entry) = state.waiting.entry(self.number) else {
            return;
        };
        let waiting = entry.get_mut();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        waiting.due = waiting.due.saturating_sub(bytes);
        if waiting.bytes == 0 {
            entry.remove();
        } else if waiting.due == 0 {
            waiting.due = waiting.bytes.min(ANSWER_STEP_BYTES);
            waiting.since = now;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.watch.state();
        state.waiting.remove(&self.number);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.idle_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounds() -> ConnectionBounds {
        ConnectionBounds {
            header_wait: 2 * SECOND,
            answer_wait: 3 * SECOND,
            idle: 10 * SECOND,
            requests: 3,
            ..ConnectionBounds::default()
        }
    }

    fn watch(start: Instant, shared: bool) -> Arc<Watch> {
        Watch::new(start, shared, Untaken::new(1_000, 100))
    }

    #[test]
    fn a_head_comes_in_time_from_its_first_byte_and_the_first_one_from_the_connection_on() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = watch(start, false);
        assert!(watch.is_quiet());
        assert_eq!(watch.over(&bounds, start + SECOND), None);
        assert_eq!(watch.over(&bounds, start + 2 * SECOND), Some(Over::Head));
        let asked = watch.asked(start + SECOND);
        assert!(!watch.is_quiet());
        assert_eq!(
            watch.over(&bounds, start + 60 * SECOND),
            None,
            "it is answered"
        );
        drop(asked);
        // Between two requests nothing comes for a while.
        let end = Instant::now();
        assert_eq!(watch.over(&bounds, end + 5 * SECOND), None);
        assert_eq!(watch.over(&bounds, end + 10 * SECOND), Some(Over::Idle));
        watch.came(end + 5 * SECOND);
        watch.came(end + 6 * SECOND);
        assert!(!watch.is_quiet());
        assert_eq!(watch.over(&bounds, end + 7 * SECOND), Some(Over::Head));
    }

    #[test]
    fn frames_are_no_heads() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = watch(start, false);
        assert!(watch.is_quiet());
        watch.frames();
        watch.came(start);
        assert!(!watch.is_quiet() && watch.is_idle());
        assert_eq!(watch.over(&bounds, start + 9 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 10 * SECOND), Some(Over::Idle));
    }

    const STEP: usize = ANSWER_STEP_BYTES;

    #[test]
    fn an_answer_that_nobody_takes_ends_the_connection() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = watch(start, false);
        let one = watch.asked(start);
        assert_eq!(
            watch.over(&bounds, start + 60 * SECOND),
            None,
            "it is worked on"
        );
        one.hands(3 * STEP, start);
        assert_eq!(watch.over(&bounds, start + 2 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), Some(Over::Answer));
        // A step was taken.
        one.takes(STEP, start + 2 * SECOND);
        assert_eq!(watch.over(&bounds, start + 4 * SECOND), None);
        assert_eq!(watch.over(&bounds, start + 5 * SECOND), Some(Over::Answer));
        // All of it was.
        one.takes(2 * STEP, start + 4 * SECOND);
        assert_eq!(watch.over(&bounds, start + 60 * SECOND), None);
        watch.stuck(start);
        watch.stuck(start + 2 * SECOND);
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), Some(Over::Answer));
        watch.flows();
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), None);
    }

    #[test]
    fn an_answer_that_is_taken_by_the_byte_ends_the_connection_whatever_comes_behind_it() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = watch(start, false);
        let one = watch.asked(start);
        one.hands(STEP, start);
        for second in 0..3 {
            one.takes(1, start + second * SECOND);
        }
        assert_eq!(watch.over(&bounds, start + 3 * SECOND), Some(Over::Answer));
        drop(one);
        // Little is due when little is there, and a message a second in front of a slow reader does not make it more.
        let one = watch.asked(start);
        for second in 0..10 {
            one.hands(100, start + second * SECOND);
            assert_eq!(watch.over(&bounds, start + second * SECOND), None);
            if second > 0 {
                one.takes(100, start + second * SECOND);
            }
        }
        assert_eq!(watch.over(&bounds, start + 12 * SECOND), Some(Over::Answer));
    }

    #[test]
    fn one_answer_that_is_taken_does_not_excuse_another_unless_it_is_of_somebody_else() {
        let start = Instant::now();
        let bounds = ConnectionBounds {
            requests: 4,
            ..bounds()
        };
        for (shared, ends) in [(false, Some(Over::Answer)), (true, None)] {
            let watch = watch(start, shared);
            let lies = watch.asked(start);
            lies.hands(1, start);
            let fresh = watch.asked(start + 2 * SECOND);
            fresh.hands(1, start + 2 * SECOND);
            fresh.takes(1, start + 2 * SECOND);
            drop(fresh);
            assert_eq!(watch.over(&bounds, start + 3 * SECOND), ends);
            // Somebody else has a call that is worked on, and nothing to take yet.
            let works = watch.asked(start + 3 * SECOND);
            assert_eq!(watch.over(&bounds, start + 5 * SECOND), ends);
            drop(works);
            // When all that there is lies, nobody is harmed.
            assert_eq!(watch.over(&bounds, start + 5 * SECOND), Some(Over::Answer));
            drop(lies);
            assert_eq!(watch.over(&bounds, start + 5 * SECOND), None);
        }
    }

    #[test]
    fn who_has_not_taken_what_there_is_asks_for_nothing_more() {
        let start = Instant::now();
        let bounds = ConnectionBounds {
            answers_bytes_per_connection: 50,
            ..bounds()
        };
        for (shared, behind) in [(false, true), (true, false)] {
            let watch = watch(start, shared);
            let one = watch.asked(start);
            one.holds(49);
            let next = watch.asked(start);
            assert!(!next.is_behind(&bounds));
            one.holds(1);
            assert_eq!(next.is_behind(&bounds), behind);
            one.lets_go(50);
            assert!(!next.is_behind(&bounds));
            // Those of one address, on whatever connection.
            let mut far = watch.asked(start);
            far.counts_for(Some("192.0.2.1".parse().unwrap()));
            watch.untaken.add(far.address, 100);
            assert!(far.is_behind(&bounds) && !next.is_behind(&bounds));
        }
    }

    #[test]
    fn a_connection_has_its_share_of_requests() {
        let (start, bounds) = (Instant::now(), bounds());
        let watch = watch(start, false);
        for _ in 0..2 {
            drop(watch.asked(start));
        }
        assert_eq!(watch.over(&bounds, start), None);
        drop(watch.asked(start));
        assert_eq!(watch.over(&bounds, start), Some(Over::Worn));
    }
}
