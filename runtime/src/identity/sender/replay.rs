//! Which proofs were used (RFC 9449 §11.1): each counts once for as long as it could count at all.
//!
//! Three generations of marks: the one that is filled, and two before it, of which a clock that jumps ahead and comes back within a
//! generation forgets none that could count again. Where there is no room a proof is refused, never let through unmarked. Kept in memory: what could have been used before a start needs a nonce that was made since.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ProofError;
use crate::clock::Timestamp;
use crate::ids::Digest;
use crate::limits::{
    DPOP_AGE_MAX, DPOP_AHEAD_MAX, DPOP_JUDGED_MAX, DPOP_PROOFS_MAX, DPOP_PROOFS_OF_KEY_MAX,
};

/// For how long a generation is filled: while one of its proofs can count, and as long as a request may be on its way here, which
/// brings the time when it came.
const SPAN: Duration = DPOP_AGE_MAX
    .saturating_add(DPOP_AHEAD_MAX)
    .saturating_add(DPOP_JUDGED_MAX);

/// Half of a digest: guessing a second proof for a mark is out of reach, and would only have it refused.
type Mark = [u8; 16];

#[derive(Debug)]
pub(super) struct Replays {
    all: Mutex<Generations>,
    most: usize,
    most_of_key: usize,
}

#[derive(Debug)]
struct Generations {
    /// When the current one began, by the latest time that was seen: a clock that is set back forgets nothing.
    since: Timestamp,
    current: Generation,
    /// The latest first.
    before: [Generation; 2],
}

#[derive(Debug, Default)]
struct Generation {
    used: HashSet<Mark>,
    /// How many of each key, so that one does not take the room of all.
    of_key: HashMap<Mark, usize>,
}

impl Default for Replays {
    fn default() -> Self {
        Self::with_room(DPOP_PROOFS_MAX, DPOP_PROOFS_OF_KEY_MAX)
    }
}

impl Replays {
    fn with_room(most: usize, most_of_key: usize) -> Self {
        Self {
            all: Mutex::new(Generations {
                since: Timestamp(0),
                current: Generation::default(),
                before: Default::default(),
            }),
            most,
            most_of_key,
        }
    }

    /// Uses up the proof `id` of a key, once.
    pub(super) fn take(&self, key: Digest, id: &str, now: Timestamp) -> Result<(), ProofError> {
        let owner = half(key);
        // The key has one length, so that no other pair has the same bytes.
        let mark = half(Digest::of(&[key.as_bytes(), id.as_bytes()].concat()));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.turn(now);
        let [before, earlier] = &all.before;
        let kept = [&all.current, before, earlier];
        if kept.iter().any(|one| one.used.contains(&mark)) {
            return Err(ProofError::Used);
        }
        let of_key = all.current.of_key.get(&owner).copied().unwrap_or(0);
        if all.current.used.len() >= self.most || of_key >= self.most_of_key {
            return Err(ProofError::NoRoom);
        }
        all.current.of_key.insert(owner, of_key + 1);
        all.current.used.insert(mark);
        Ok(())
    }
}

impl Generations {
    /// Goes on to the next generation when this one was filled for as long as it may, and forgets the oldest.
    fn turn(&mut self, now: Timestamp) {
        if now.since(self.since) < SPAN {
            return;
        }
        let [before, _] = std::mem::take(&mut self.before);
        self.before = [std::mem::take(&mut self.current), before];
        self.since = now;
    }
}

fn half(digest: Digest) -> Mark {
    let mut mark = Mark::default();
    for (to, from) in mark.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    mark
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::testing::NOW;

    fn key(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    fn used(taken: Result<(), ProofError>) -> bool {
        matches!(taken, Err(ProofError::Used))
    }

    #[test]
    fn a_proof_counts_once_for_as_long_as_it_could_count() {
        let span = DPOP_AGE_MAX + DPOP_AHEAD_MAX;
        // Wherever in a generation it is used.
        for offset in [0, 1, 44, 89] {
            let replays = Replays::default();
            replays.take(key("a"), "first", NOW).unwrap();
            let at = NOW.plus(Duration::from_secs(offset));
            replays.take(key("a"), "one", at).unwrap();
            replays.take(key("b"), "one", at).unwrap();
            replays.take(key("a"), "two", at).unwrap();
            for later in 0..=span.as_secs() {
                let at = at.plus(Duration::from_secs(later));
                assert!(used(replays.take(key("a"), "one", at)), "{offset} {later}");
                // A clock that is set back forgets nothing.
                assert!(used(replays.take(key("a"), "one", NOW)));
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_and_comes_back_makes_no_proof_count_again() {
        // Wherever in a generation it was used, and however far the clock jumped.
        for (offset, ahead) in [(0, 120), (1, 240), (119, 3_600), (60, 31_536_000)] {
            let replays = Replays::default();
            replays.take(key("a"), "first", NOW).unwrap();
            let at = NOW.plus(Duration::from_secs(offset));
            replays.take(key("a"), "one", at).unwrap();
            let next = at.plus(SPAN - Duration::from_secs(offset));
            replays.take(key("a"), "next", next).unwrap();
            let jumped = next.plus(Duration::from_secs(ahead));
            replays.take(key("a"), "then", jumped).unwrap();
            let last = SPAN - Duration::from_secs(1);
            replays.take(key("a"), "later", jumped.plus(last)).unwrap();
            for id in ["one", "next", "then", "later"] {
                assert!(used(replays.take(key("a"), id, next)), "{id} {ahead}");
            }
        }
    }

    #[test]
    fn a_request_that_took_long_until_here_finds_what_was_used_before_it_came() {
        for offset in [0, 1, 44, 89, 119] {
            let replays = Replays::default();
            replays.take(key("a"), "first", NOW).unwrap();
            let at = NOW.plus(Duration::from_secs(offset));
            replays.take(key("a"), "one", at).unwrap();
            // It comes when the proof can count for the last time; others come all the while, and later, and are faster.
            let came = at.plus(DPOP_AGE_MAX + DPOP_AHEAD_MAX);
            for faster in 0..=(DPOP_AGE_MAX + DPOP_AHEAD_MAX + DPOP_JUDGED_MAX).as_secs() {
                let at = at.plus(Duration::from_secs(faster));
                replays.take(key("b"), &format!("{faster}"), at).unwrap();
            }
            assert!(used(replays.take(key("a"), "one", came)), "{offset}");
        }
    }

    #[test]
    fn what_could_count_no_longer_is_forgotten() {
        let replays = Replays::default();
        for n in 0..100 {
            replays.take(key("a"), &format!("{n}"), NOW).unwrap();
        }
        let held = |replays: &Replays| {
            let all = replays.all.lock().unwrap();
            let before = all.before.iter().map(|one| one.used.len());
            all.current.used.len() + before.sum::<usize>()
        };
        assert_eq!(held(&replays), 100);
        for (turn, left) in [(1, 101), (2, 102), (3, 3), (12, 3), (21, 3)] {
            let at = NOW.plus(SPAN * turn);
            replays.take(key("a"), &format!("turn {turn}"), at).unwrap();
            assert_eq!(held(&replays), left, "{turn}");
        }
    }

    #[test]
    fn where_there_is_no_room_a_proof_is_refused_and_one_key_does_not_take_all_of_it() {
        let replays = Replays::with_room(5, 3);
        let take = |of: &str, id: &str| replays.take(key(of), id, NOW);
        for id in ["1", "2", "3"] {
            take("a", id).unwrap();
        }
        assert!(matches!(take("a", "4"), Err(ProofError::NoRoom)));
        take("b", "1").unwrap();
        take("b", "2").unwrap();
        assert!(matches!(take("b", "3"), Err(ProofError::NoRoom)));
        assert!(matches!(take("c", "1"), Err(ProofError::NoRoom)));
        // What was used stays used, and room comes back with time.
        assert!(used(take("a", "1")));
        let later = NOW.plus(SPAN);
        assert!(used(replays.take(key("a"), "1", later)));
        replays.take(key("c"), "1", later).unwrap();
    }
}
