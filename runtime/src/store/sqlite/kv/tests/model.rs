//! Clients that work at once, each against a plain map that nobody shares.
//!
//! Whatever the others do at the same moment, each client sees in its own space exactly what its map says; and of what all of
//! them write under one key, nothing is lost and nothing is done twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Clients at once.
const CLIENTS: usize = 4;
const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "é"];
const PREFIXES: [&str; 4] = ["", "a", "a/", "c"];

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<(usize, Vec<u8>)>),
    Delete(Vec<usize>),
    Get(Vec<usize>),
    Keys(usize, usize),
    Increment(usize, i64),
    /// Remembers which writing a key is from.
    See(usize),
    Swap(usize, Vec<u8>),
    Wait(u64),
    /// Adds to the number that all clients share.
    Share(i64),
    /// Appends to the list that all clients share.
    Append,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let value = || {
        let number = (-9_i64..9).prop_map(|n| n.to_string().into_bytes());
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..30), number]
    };
    prop_oneof![
        4 => proptest::collection::vec((key(), value()), 0..4).prop_map(Step::Set),
        2 => proptest::collection::vec(key(), 0..3).prop_map(Step::Delete),
        3 => proptest::collection::vec(key(), 0..4).prop_map(Step::Get),
        2 => (0..PREFIXES.len(), 1..4_usize).prop_map(|(prefix, max)| Step::Keys(prefix, max)),
        2 => (key(), any::<i64>()).prop_map(|(key, delta)| Step::Increment(key, delta)),
        2 => (key(), -3_i64..3).prop_map(|(key, delta)| Step::Increment(key, delta)),
        2 => key().prop_map(Step::See),
        3 => (key(), value()).prop_map(|(key, value)| Step::Swap(key, value)),
        1 => (0_u64..80).prop_map(Step::Wait),
        1 => (-5_i64..5).prop_map(Step::Share),
        1 => Just(Step::Append),
    ]
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    stamp: u64,
    expires_at: Option<Timestamp>,
}

/// What a space should hold, by the words of the trait alone.
struct Model {
    entries: BTreeMap<&'static str, Entry>,
    stamps: u64,
    writing: Writing,
    ttl: Option<Duration>,
}

impl Model {
    fn new(ttl: Option<Duration>) -> Self {
        Self {
            entries: BTreeMap::new(),
            stamps: 0,
            writing: Writing {
                bytes_max: 60,
                keys_max: 3,
                now: NOW,
                sure: NOW,
                expires_at: ttl.map(|ttl| NOW.plus(ttl)),
            },
            ttl,
        }
    }

    fn wait(&mut self, ms: u64) {
        let now = self.writing.now.plus(Duration::from_millis(ms));
        (self.writing.now, self.writing.sure) = (now, now);
        self.writing.expires_at = self.ttl.map(|ttl| now.plus(ttl));
        self.entries
            .retain(|_, entry| entry.expires_at.is_none_or(|at| at > now));
    }

    fn size(entries: &BTreeMap<&'static str, Entry>) -> (u64, u64) {
        let bytes = entries.iter();
        let bytes = bytes
            .map(|(key, entry)| key.len() + entry.value.len())
            .sum::<usize>();
        (entries.len() as u64, bytes as u64)
    }

    /// Whether it fits.
    fn write(&mut self, pairs: &[(&'static str, &[u8])]) -> bool {
        let mut after = self.entries.clone();
        self.stamps += 1;
        for (key, value) in pairs {
            let entry = Entry {
                value: value.to_vec(),
                stamp: self.stamps,
                expires_at: self.writing.expires_at,
            };
            after.insert(*key, entry);
        }
        let ((keys, bytes), (keys_after, bytes_after)) =
            (Self::size(&self.entries), Self::size(&after));
        let fits = (keys_after <= keys || keys_after <= self.writing.keys_max)
            && (bytes_after <= bytes || bytes_after <= self.writing.bytes_max);
        if fits {
            self.entries = after;
        }
        fits
    }

    fn stamp(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.stamp)
    }
}

fn wrote(result: Result<(), KvError>) -> bool {
    match result {
        Ok(()) => true,
        Err(KvError::Full) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// What a client did to what all share.
#[derive(Debug, Default)]
struct Shared {
    added: i64,
    appended: Vec<String>,
}

async fn client(place: &Place, number: usize, steps: Vec<Step>) -> Shared {
    let values = &place.values;
    let own = space(
        "memory",
        "acme",
        Some(("https://as.test", &format!("user-{number}"))),
    );
    let common = space("memory", "acme", None);
    let plenty = Writing {
        bytes_max: u64::MAX,
        ..WRITING
    };
    let ttl = (number % 2 == 1).then_some(Duration::from_millis(100));
    let mut model = Model::new(ttl);
    let mut seen: HashMap<&str, (Option<Version>, Option<u64>)> = HashMap::new();
    let mut shared = Shared::default();
    for step in steps {
        let case = format!("client {number}: {step:?}");
        let (w, now) = (model.writing, model.writing.now);
        match step {
            Step::Set(pairs) => {
                let pairs: Vec<(&'static str, &[u8])> = pairs
                    .iter()
                    .map(|(key, value)| (KEYS[*key], value.as_slice()))
                    .collect();
                let done = wrote(values.set(&own, &pairs, &w).await);
                assert_eq!(done, model.write(&pairs), "{case}");
            }
            Step::Delete(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| KEYS[*key]).collect();
                values.delete(&own, &keys, now).await.unwrap();
                model.entries.retain(|key, _| !keys.contains(key));
            }
            Step::Get(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| KEYS[*key]).collect();
                let found = values.get(&own, &keys, u64::MAX, now).await.unwrap();
                let expected = keys.iter().map(|key| model.entries.get(key));
                let expected: Vec<_> = expected
                    .map(|one| one.map(|one| one.value.clone()))
                    .collect();
                assert_eq!(found, expected, "{case}");
            }
            Step::Keys(prefix, max) => {
                let prefix = PREFIXES[prefix];
                let found = values.keys(&own, prefix, "a/1", max, now).await.unwrap();
                let expected = model.entries.keys().copied();
                let expected: Vec<_> = expected
                    .filter(|key| key.starts_with(prefix) && *key > "a/1")
                    .take(max)
                    .collect();
                assert_eq!(found, expected, "{case}");
            }
            Step::Increment(key, delta) => {
                let key = KEYS[key];
                let held = model.entries.get(key).map(|entry| entry.value.clone());
                let number = match held {
                    None => Some(0),
                    Some(value) => String::from_utf8(value)
                        .ok()
                        .and_then(|text| text.parse().ok()),
                };
                let sum = number.and_then(|number: i64| number.checked_add(delta));
                match values.increment(&own, key, delta, &w).await {
                    Ok(found) => {
                        assert_eq!(Some(found), sum, "{case}");
                        assert!(
                            model.write(&[(key, found.to_string().as_bytes())]),
                            "{case}"
                        );
                    }
                    Err(KvError::Number) => assert_eq!(sum, None, "{case}"),
                    Err(KvError::Full) => {
                        let sum = sum.unwrap().to_string();
                        assert!(!model.write(&[(key, sum.as_bytes())]), "{case}");
                    }
                    Err(error) => panic!("{case}: {error:?}"),
                }
            }
            Step::See(key) => {
                let key = KEYS[key];
                let version = values.version(&own, key, now).await.unwrap();
                assert_eq!(version.is_some(), model.stamp(key).is_some(), "{case}");
                seen.insert(key, (version, model.stamp(key)));
            }
            Step::Swap(key, value) => {
                let key = KEYS[key];
                let (version, stamp) = seen.get(key).copied().unwrap_or_default();
                match values.swap(&own, key, version, &value, &w).await {
                    Ok(Swapped::Done) => {
                        assert_eq!(stamp, model.stamp(key), "{case}");
                        assert!(model.write(&[(key, &value)]), "{case}");
                    }
                    Ok(Swapped::Changed(newer)) => {
                        assert_ne!(stamp, model.stamp(key), "{case}");
                        seen.insert(key, (newer, model.stamp(key)));
                    }
                    Err(KvError::Full) => {
                        assert_eq!(stamp, model.stamp(key), "{case}");
                        assert!(!model.write(&[(key, &value)]), "{case}");
                    }
                    Err(error) => panic!("{case}: {error:?}"),
                }
            }
            Step::Wait(ms) => model.wait(ms),
            Step::Share(delta) => {
                values
                    .increment(&common, "sum", delta, &plenty)
                    .await
                    .unwrap();
                shared.added += delta;
            }
            Step::Append => {
                let word = format!("{number}.{};", shared.appended.len());
                loop {
                    let version = values.version(&common, "list", NOW).await.unwrap();
                    let mut list = get(values, &common, "list").await.unwrap_or_default();
                    list.extend(word.as_bytes());
                    let swap = values.swap(&common, "list", version, &list, &plenty);
                    if swap.await.unwrap() == Swapped::Done {
                        break;
                    }
                }
                shared.appended.push(word);
            }
        }
    }
    // The last word of the map is that of the space, to the byte.
    for key in KEYS {
        let found = values.get(&own, &[key], u64::MAX, model.writing.now).await;
        let expected = model.entries.get(key).map(|entry| entry.value.clone());
        assert_eq!(found.unwrap(), [expected], "client {number}: {key}");
    }
    values.delete(&own, &[], model.writing.now).await.unwrap();
    let (keys, bytes) = Model::size(&model.entries);
    let expected = (keys.try_into().unwrap(), bytes.try_into().unwrap());
    assert_eq!(
        counted(values, &own).await,
        [expected; 2],
        "client {number}"
    );
    shared
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
});
proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn clients_at_once_see_what_their_own_maps_say(
        all in proptest::collection::vec(proptest::collection::vec(step(), 1..25), CLIENTS)
    ) {
        RUNTIME.block_on(async {
            let place = Arc::new(Place::new().await);
            let clients = all.into_iter().enumerate().map(|(number, steps)| {
                let place = Arc::clone(&place);
                tokio::spawn(async move { client(&place, number, steps).await })
            });
            let done: Vec<Shared> = join_all(clients)
                .await
                .into_iter()
                .map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
                .collect();
            let common = space("memory", "acme", None);
            let number = get(&place.values, &common, "sum").await;
            let number = number.map_or(0, |text| String::from_utf8(text).unwrap().parse().unwrap());
            assert_eq!(done.iter().map(|one| one.added).sum::<i64>(), number);
            let list = get(&place.values, &common, "list").await.unwrap_or_default();
            let list = String::from_utf8(list).unwrap();
            let words: Vec<&str> = list.split_inclusive(';').collect();
            assert_eq!(words.len(), done.iter().map(|one| one.appended.len()).sum::<usize>());
            for (number, one) in done.iter().enumerate() {
                let own = words.iter().filter(|word| word.starts_with(&format!("{number}.")));
                assert_eq!(own.copied().collect::<Vec<_>>(), one.appended);
            }
        });
    }
}
