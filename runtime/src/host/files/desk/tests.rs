//! What a change does that waited for its turn, and what it does after the end of its call.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::capability::Capability;
use crate::config::{Mount, Quota};
use crate::grant::Holder;
use crate::host::files::Mounts;
use crate::ids::User;
use crate::revocation::{RunningCall, RunningCalls, Standing};

const CONSENT: Uuid = Uuid::from_u128(1);

struct World {
    root: tempfile::TempDir,
    mounts: Mounts,
    running: RunningCalls,
    capability: Capability,
    meter: Meter,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mount = Mount {
            name: "notes".parse().unwrap(),
            path: root.path().display().to_string(),
            quota: Quota::default(),
        };
        Self {
            mounts: Mounts::new(&[mount], 1).unwrap(),
            root,
            running: RunningCalls::default(),
            capability: "files write notes".parse().unwrap(),
            meter: Meter::default(),
        }
    }

    /// A call that stands on the consent.
    fn call(&self) -> (RunningCall, Desk, Arc<Reach>) {
        let call = self.running.enter();
        assert!(call.hold(call.look(), [CONSENT]));
        let standing = call.stand([(self.capability.clone(), vec![CONSENT])]);
        let (desk, reach) = self.desk(&standing);
        (call, desk, reach)
    }

    fn desk(&self, standing: &Standing) -> (Desk, Arc<Reach>) {
        let Capability::Files(files) = self.capability.clone() else {
            unreachable!()
        };
        let bound = self
            .mounts
            .bind(&[files], &holder(), standing, &self.meter)
            .unwrap()
            .remove(0);
        let mut desk = Desk::default();
        let path = bound.guest_path.clone();
        desk.grant(bound.guest_path, bound.reach);
        desk.found(1, &path);
        let reach = desk.reach(1).unwrap();
        (desk, reach)
    }

    fn file(&self) -> Arc<File> {
        file(self.root.path())
    }
}

fn holder() -> Holder {
    Holder {
        tenant: "acme".parse().unwrap(),
        user: User {
            issuer: "https://as.test".parse().unwrap(),
            subject: "alice".parse().unwrap(),
        },
        client: "c".parse().unwrap(),
    }
}

fn file(root: &Path) -> Arc<File> {
    Arc::new(File::create(root.join("file")).unwrap())
}

fn write() -> Change {
    Change::At(0, vec![7; 10].into())
}

#[tokio::test]
async fn what_is_revoked_while_it_waits_for_its_turn_changes_nothing() {
    let world = World::new();
    let (_call, _desk, reach) = world.call();
    let (other, _) = world.desk(&Standing::free([&world.capability]));
    let file = world.file();
    let (held, beginning) = other.reach(1).unwrap().turn().await.unwrap();
    let changing = tokio::spawn(reach.clone().change(file.clone(), write()));
    let placing = tokio::spawn(reach.clone().place(0));
    tokio::task::yield_now().await;
    assert!(!changing.is_finished());
    world.running.revoke_soon(&[CONSENT]);
    drop((held, beginning));
    assert!(matches!(changing.await.unwrap(), Err(FileError::Revoked)));
    assert!(matches!(placing.await.unwrap(), Err(FileError::Revoked)));
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert_eq!(world.meter.snapshot()["files writes notes"].refused, 1);
}

#[tokio::test]
async fn what_waits_for_its_turn_is_not_begun_after_the_end_of_its_call() {
    let world = World::new();
    let (_call, desk, reach) = world.call();
    let (other, _) = world.desk(&Standing::free([&world.capability]));
    let file = world.file();
    let (held, beginning) = other.reach(1).unwrap().turn().await.unwrap();
    let changing = tokio::spawn(reach.clone().change(file.clone(), write()));
    tokio::task::yield_now().await;
    let ended = timeout(Duration::from_secs(10), desk.begun().end()).await;
    assert!(ended.is_ok(), "what has not begun is not waited for");
    drop((held, beginning));
    assert!(matches!(changing.await.unwrap(), Err(FileError::Over)));
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert!(!world.meter.snapshot().contains_key("files writes notes"));
}

#[tokio::test]
async fn the_end_of_a_call_waits_for_what_it_has_begun_and_finds_it_in_the_record() {
    let world = World::new();
    for number in 0..100_u64 {
        fs::write(world.root.path().join(number.to_string()), "").unwrap();
    }
    let (mut begun, mut none) = (0, 0);
    for round in 0..100 {
        let (call, desk, reach) = world.call();
        let file = world.file();
        let changing = tokio::spawn(reach.change(file.clone(), write()));
        // From before its first step to long after its last.
        let early = round % 20;
        if early > 0 {
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_micros(250) * early);
        }
        changing.abort();
        desk.begun().end().await;
        let (written, recorded) = (file.metadata().unwrap().len(), world.meter.snapshot());
        let recorded = recorded.get("files writes notes").copied();
        let before = u64::try_from(begun).unwrap() * 10;
        let recorded = recorded.unwrap_or_default().bytes_out - before;
        assert_eq!(written, recorded);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(file.metadata().unwrap().len(), written, "it went on");
        match written {
            0 => none += 1,
            _ => begun += 1,
        }
        drop((call, desk));
    }
    assert!(begun > 0 && none > 0, "{begun} begun, {none} not");
}

#[tokio::test]
async fn a_call_that_is_dropped_begins_nothing_more() {
    let world = World::new();
    let (_call, desk, reach) = world.call();
    drop(desk);
    let file = world.file();
    let done = reach.clone().change(file.clone(), write()).await;
    assert!(matches!(done, Err(FileError::Over)));
    assert!(matches!(reach.place(0).await, Err(FileError::Over)));
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[tokio::test]
#[should_panic(expected = "the disk is broken")]
async fn a_panic_on_the_disk_is_one_of_whoever_waits_for_it() {
    let _done: Result<(), FileError> = on_disk(|| panic!("the disk is broken")).await;
}
