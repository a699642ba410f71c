//! What a space may hold, and that no way around it is found.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::*;

fn open(root: &Path) -> OwnedFd {
    File::open(root).unwrap().into()
}

fn space(root: &Path, bytes: u64, files: u64) -> Arc<Space> {
    let quota = Quota { bytes, files };
    Spaces::default().of(open(root), quota).unwrap()
}

/// In a turn of its own, at once.
trait AtOnce {
    fn turn_now(&self) -> Turn;

    fn place(&self) -> Result<Place, FileError> {
        let place = self.turn_now().place(0, &|| Ok(()))?;
        Ok(place.begun())
    }

    fn change(&self, file: &File, change: &Change) -> Result<usize, FileError> {
        self.turn_now().change(file, change, &|| Ok(()))
    }
}

impl AtOnce for Arc<Space> {
    fn turn_now(&self) -> Turn {
        let used = self.used.clone().blocking_lock_owned();
        Turn {
            space: self.clone(),
            used,
        }
    }
}

fn file(root: &Path, name: &str) -> Arc<File> {
    let options = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(root.join(name));
    Arc::new(options.unwrap())
}

fn at(place: u64, length: usize) -> Change {
    Change::At(place, vec![7; length].into())
}

fn is_full<T: std::fmt::Debug>(done: Result<T, FileError>) -> bool {
    matches!(done, Err(FileError::Full))
}

#[test]
fn what_is_over_the_quota_is_refused_and_what_was_there_stays() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("before"), [1; 60]).unwrap();
    let space = space(root.path(), 100, 10);
    let one = file(root.path(), "one");
    assert_eq!(space.change(&one, &at(0, 40)).unwrap(), 40);
    assert!(is_full(space.change(&one, &at(40, 1))));
    assert!(is_full(
        space.change(&one, &Change::Append(vec![7; 1].into()))
    ));
    assert!(is_full(space.change(&one, &Change::Size(1 << 40))));
    assert!(is_full(space.change(&one, &at(u64::MAX, 2))));
    assert_eq!(
        space.change(&one, &at(0, 40)).unwrap(),
        40,
        "in place of the same"
    );
    assert_eq!(fs::read(root.path().join("one")).unwrap(), [7; 40]);
    assert_eq!(fs::read(root.path().join("before")).unwrap(), [1; 60]);
}

#[test]
fn a_hole_takes_as_much_room_as_what_is_written() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 10);
    let one = file(root.path(), "one");
    space.change(&one, &Change::Size(90)).unwrap();
    let two = file(root.path(), "two");
    assert!(is_full(space.change(&two, &at(0, 11))));
    assert!(is_full(space.change(&two, &at(1_000_000, 1))));
    space.change(&two, &at(0, 10)).unwrap();
}

#[test]
fn cutting_and_removing_give_room_back_once_nobody_has_it_open() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 10);
    let one = file(root.path(), "one");
    space.opened(&one);
    space.change(&one, &at(0, 100)).unwrap();
    space.change(&one, &Change::Size(50)).unwrap();
    let two = file(root.path(), "two");
    space.change(&two, &at(0, 50)).unwrap();
    fs::remove_file(root.path().join("one")).unwrap();
    space.released();
    assert!(is_full(space.change(&two, &at(50, 1))), "it is still open");
    drop(one);
    space.change(&two, &at(50, 50)).unwrap();
    assert!(is_full(space.change(&two, &at(100, 1))));
}

#[test]
fn names_are_counted_files_directories_and_links_alike() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("in")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("in/link")).unwrap();
    let space = space(root.path(), 100, 4);
    let third = space.place().unwrap();
    let fourth = space.place().unwrap();
    assert!(is_full(space.place()), "two are in the making");
    fourth.give_back();
    file(root.path(), "third");
    drop(third);
    drop(space.place().unwrap());
    assert!(is_full(space.place()));
    fs::remove_file(root.path().join("third")).unwrap();
    assert!(
        is_full(space.place()),
        "nobody said that something was removed"
    );
    space.released();
    drop(space.place().unwrap());
}

#[test]
fn a_place_that_nobody_began_to_use_is_given_back() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 1);
    drop(space.turn_now().place(100, &|| Ok(())).unwrap());
    let used = space.place().unwrap();
    assert!(is_full(space.place()));
    drop(used);
    assert!(is_full(space.place()), "it may have been made");
}

#[test]
fn the_bytes_that_come_with_a_name_are_taken_before_it_is_made() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 10);
    let one = file(root.path(), "one");
    space.change(&one, &at(0, 60)).unwrap();
    let place = |bytes| space.turn_now().place(bytes, &|| Ok(()));
    assert!(is_full(place(41)));
    let link = place(40).unwrap();
    assert!(is_full(space.change(&one, &at(60, 1))), "in the making");
    std::os::unix::fs::symlink("x".repeat(40), root.path().join("link")).unwrap();
    drop(link.begun());
    assert!(is_full(space.change(&one, &at(60, 1))), "made");
    space.released();
    assert!(is_full(space.change(&one, &at(60, 1))), "and counted");
}

#[test]
fn who_has_no_turn_never_waits_for_who_has_it() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 10);
    let one = file(root.path(), "one");
    let mut held = space.turn_now();
    let places = (
        held.place(0, &|| Ok(())).unwrap(),
        held.place(0, &|| Ok(())).unwrap(),
    );
    let (done, waits) = std::sync::mpsc::channel();
    let other = std::thread::spawn({
        let space = space.clone();
        move || {
            space.opened(&one);
            space.released();
            drop(places.0.begun());
            places.1.give_back();
            done.send(()).unwrap();
        }
    });
    let waited = waits.recv_timeout(std::time::Duration::from_secs(10));
    drop(held);
    assert!(waited.is_ok());
    other.join().unwrap();
}

#[test]
fn a_removed_file_that_stays_open_makes_nobody_walk_again() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 100, 10);
    let (one, two) = (file(root.path(), "one"), file(root.path(), "two"));
    space.opened(&one);
    space.change(&one, &Change::Size(100)).unwrap();
    fs::remove_file(root.path().join("one")).unwrap();
    space.released();
    let walked = || {
        let asked = std::cell::Cell::new(0);
        let full = space.turn_now().change(&two, &at(0, 1), &|| {
            asked.set(asked.get() + 1);
            Ok(())
        });
        assert!(is_full(full));
        asked.get() > 0
    };
    assert!(walked(), "something was removed");
    assert!(!walked(), "and it is known that it is still open");
    drop(one);
    space.change(&two, &at(0, 100)).unwrap();
}

#[test]
fn what_must_stop_ends_a_walk_and_changes_nothing_after_it() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..10 {
        file(root.path(), &number.to_string());
    }
    let space = space(root.path(), 100, 100);
    let one = file(root.path(), "one");
    // A name is looked at 11 times in a walk, and the twelfth look is right before the change.
    for allowed in [0, 5, 11] {
        let space = spaces_anew(&space);
        let asked = std::cell::Cell::new(0);
        let still = || {
            asked.set(asked.get() + 1);
            match asked.get() > allowed {
                true => Err(FileError::Revoked),
                false => Ok(()),
            }
        };
        let changed = space.turn_now().change(&one, &at(0, 1), &still);
        assert!(matches!(changed, Err(FileError::Revoked)), "{changed:?}");
        assert_eq!(asked.get(), allowed + 1, "it stopped at once");
        assert_eq!(one.metadata().unwrap().len(), 0);
        let place = space.turn_now().place(0, &|| Err(FileError::Over));
        assert!(matches!(place, Err(FileError::Over)));
        assert_eq!(space.noted().pending.files, 0);
        space.change(&one, &at(0, 0)).unwrap();
    }
}

fn spaces_anew(space: &Space) -> Arc<Space> {
    let root = space.root.try_clone().unwrap();
    Spaces::default().of(root, space.quota).unwrap()
}

#[test]
fn a_space_that_is_full_of_names_or_too_deep_takes_nothing_more() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..5 {
        file(root.path(), &number.to_string());
    }
    let fuller = space(root.path(), 100, 4);
    assert!(is_full(fuller.place()));
    assert!(is_full(fuller.change(&file(root.path(), "0"), &at(0, 1))));
    let mut deep = root.path().to_owned();
    for _ in 0..FILES_DEPTH_MAX {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert!(is_full(space(root.path(), 100, 1_000).place()));
    fs::remove_dir(&deep).unwrap();
    space(root.path(), 100, 1_000).place().unwrap();
}

#[test]
fn two_calls_of_one_user_share_a_count_and_a_later_one_counts_anew() {
    let root = tempfile::tempdir().unwrap();
    let spaces = Spaces::default();
    let quota = Quota {
        bytes: 100,
        files: 10,
    };
    let one = spaces.of(open(root.path()), quota).unwrap();
    let other = spaces.of(open(root.path()), quota).unwrap();
    assert!(Arc::ptr_eq(&one, &other));
    one.change(&file(root.path(), "one"), &at(0, 60)).unwrap();
    assert!(is_full(other.change(&file(root.path(), "two"), &at(0, 60))));
    drop((one, other));
    fs::remove_file(root.path().join("one")).unwrap();
    let later = spaces.of(open(root.path()), quota).unwrap();
    later.change(&file(root.path(), "two"), &at(0, 60)).unwrap();
}

#[test]
fn however_many_write_at_once_the_last_bytes_are_taken_once() {
    let root = tempfile::tempdir().unwrap();
    let space = space(root.path(), 1_000, 100);
    let shared = file(root.path(), "shared");
    let written: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (space, shared) = (space.clone(), shared.clone());
                let own = file(root.path(), &number.to_string());
                scope.spawn(move || {
                    let mut written = 0;
                    for round in 0..50_u64 {
                        let change = match round % 2 {
                            0 => Change::Append(vec![7; 7].into()),
                            _ => at(round / 2 * 7, 7),
                        };
                        let file = if round % 2 == 0 { &shared } else { &own };
                        written += space.change(file, &change).unwrap_or(0);
                    }
                    written
                })
            })
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).sum()
    });
    let there: u64 = fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(there <= 1_000, "{there}");
    assert!(there > 990, "{there}");
    assert!(u64::try_from(written).unwrap() <= there + 8 * 7 * 25);
}
