//! What a guest may do with files: every function against paths that lead out, names, kinds and room.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::*;
use crate::capability::Capability;
use crate::config::{Mount, Quota};
use crate::host::files::Mounts;
use crate::host::files::desk::is_kernels;
use crate::host::meter::Meter;
use crate::limits::{FILES_LISTINGS_MAX, FILES_OPEN_MAX};
use crate::revocation::Standing;
use crate::sandbox::testing::holder;

mod turns;

fn none() -> PathFlags {
    PathFlags::empty()
}

const FOLLOW: PathFlags = PathFlags::SYMLINK_FOLLOW;

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    desk: Desk,
    meter: Meter,
    mounts: Mounts,
}

impl Guest {
    fn new(root: &Path, granted: &str, quota: Quota) -> Self {
        let mount = Mount {
            name: "notes".parse().unwrap(),
            path: root.display().to_string(),
            quota,
        };
        let mounts = Mounts::new(&[mount], 1).unwrap();
        let capability: Capability = granted.parse().unwrap();
        let Capability::Files(files) = capability.clone() else {
            panic!("{granted}")
        };
        let (meter, mut desk) = (Meter::default(), Desk::default());
        let standing = Standing::free([&capability]);
        let mut bound = mounts.bind(&[files], &holder(), &standing, &meter).unwrap();
        let one = bound.remove(0);
        let permissions = match granted.contains("write") {
            true => FsPerms::ReadWrite,
            false => FsPerms::ReadOnly,
        };
        let wasi = WasiCtx::builder()
            .preopened_dir(root, &one.guest_path, permissions)
            .unwrap()
            .build();
        desk.grant(one.guest_path, one.reach);
        Self {
            wasi,
            table: ResourceTable::new(),
            desk,
            meter,
            mounts,
        }
    }

    fn view(&mut self) -> FilesView<'_> {
        FilesView {
            inner: WasiFilesystemCtxView {
                ctx: self.wasi.filesystem(),
                table: &mut self.table,
            },
            desk: &mut self.desk,
        }
    }

    fn folder(&mut self) -> Fd {
        let mut found = preopens::Host::get_directories(&mut self.view()).unwrap();
        found.remove(0).0
    }

    async fn make(&mut self, folder: &Fd, name: &str) -> FsResult<Fd> {
        let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
        let mut view = self.view();
        view.open_at(
            same(folder),
            none(),
            name.to_owned(),
            OpenFlags::CREATE,
            flags,
        )
        .await
    }
}

fn small(bytes: u64, files: u64) -> Quota {
    Quota { bytes, files }
}

fn error<T>(done: FsResult<T>) -> ErrorCode {
    match done {
        Ok(_) => panic!("it was done"),
        Err(error) => error.downcast().unwrap(),
    }
}

#[tokio::test]
async fn no_function_reaches_out_of_a_mount_by_any_path() {
    let root = tempfile::tempdir().unwrap();
    let (inside, outside) = (root.path().join("in"), root.path().join("out"));
    fs::create_dir_all(outside.join("empty")).unwrap();
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(outside.join("canary"), "canary").unwrap();
    fs::write(inside.join("mine"), "mine").unwrap();
    symlink(&outside, inside.join("absolute")).unwrap();
    symlink("../out", inside.join("relative")).unwrap();
    let paths = [
        "../out",
        "../out/canary",
        "sub/../../out/canary",
        "./../out/canary",
        "sub//..//../out/canary",
        "absolute/canary",
        "relative/canary",
        "absolute/",
        "relative/.",
        "relative/../out/canary",
    ];
    let mut guest = Guest::new(&inside, "files write notes", Quota::default());
    let folder = guest.folder();
    let (at, now) = (|| same(&folder), fs_now());
    for path in paths.map(str::to_owned).into_iter().chain([
        outside.join("canary").display().to_string(),
        outside.join("empty").display().to_string(),
    ]) {
        let of = || path.clone();
        let beyond = || format!("{path}/new");
        let mut view = guest.view();
        for follow in [none(), FOLLOW] {
            for oflags in [
                OpenFlags::empty(),
                OpenFlags::CREATE,
                OpenFlags::TRUNCATE,
                OpenFlags::DIRECTORY,
            ] {
                let opened = view
                    .open_at(at(), follow, of(), oflags, DescriptorFlags::READ)
                    .await;
                assert!(opened.is_err(), "open {path} {oflags:?}");
            }
            let set = view.set_times_at(at(), follow, of(), now, now).await;
            assert!(set.is_err(), "set times {path}");
        }
        assert!(view.stat_at(at(), FOLLOW, of()).await.is_err(), "{path}");
        let hash = view.metadata_hash_at(at(), FOLLOW, of()).await;
        assert!(hash.is_err(), "{path}");
        assert!(view.unlink_file_at(at(), of()).await.is_err(), "{path}");
        let removed = view.remove_directory_at(at(), of()).await;
        assert!(removed.is_err(), "{path}");
        assert!(view.readlink_at(at(), of()).await.is_err(), "{path}");
        for to in [of(), beyond()] {
            let mine = || "mine".to_owned();
            let made = view.create_directory_at(at(), to.clone()).await;
            assert!(made.is_err(), "mkdir {to}");
            let linked = view.symlink_at(at(), mine(), to.clone()).await;
            assert!(linked.is_err(), "symlink {to}");
            let linked = view.link_at(at(), none(), mine(), at(), to.clone()).await;
            assert!(linked.is_err(), "link {to}");
            let renamed = view.rename_at(at(), mine(), at(), to.clone()).await;
            assert!(renamed.is_err(), "rename to {to}");
            let renamed = view.rename_at(at(), to.clone(), at(), "got".into()).await;
            assert!(renamed.is_err(), "rename from {to}");
        }
    }
    assert_eq!(fs::read(outside.join("canary")).unwrap(), b"canary");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
    assert_eq!(fs::read(inside.join("mine")).unwrap(), b"mine");
}

fn fs_now() -> super::fs::NewTimestamp {
    super::fs::NewTimestamp::Now
}

#[tokio::test]
async fn what_is_over_the_quota_is_told_as_quota_in_every_way_of_writing() {
    let root = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", small(103, 3));
    let folder = guest.folder();
    let file = guest.make(&folder, "one").await.unwrap();
    let mut view = guest.view();
    // It takes three bytes.
    view.symlink_at(same(&folder), "one".into(), "three".into())
        .await
        .unwrap();
    assert_eq!(view.write(same(&file), vec![1; 90], 0).await.unwrap(), 90);
    let over = view.write(same(&file), vec![1; 11], 90).await;
    assert_eq!(error(over), ErrorCode::Quota);
    assert_eq!(
        error(view.set_size(same(&file), 1 << 40).await),
        ErrorCode::Quota
    );
    for stream in [
        view.append_via_stream(same(&file)).unwrap(),
        view.write_via_stream(same(&file), 1 << 40).unwrap(),
    ] {
        let stream = view.inner.table.get_mut(&stream).unwrap();
        let failed = stream.blocking_write_and_flush(vec![1; 11].into()).await;
        let Err(wasmtime_wasi::p2::StreamError::LastOperationFailed(failed)) = failed else {
            panic!("{failed:?}")
        };
        let failed = failed.downcast_ref::<FileError>().unwrap();
        assert_eq!(code(failed), ErrorCode::Quota);
    }
    let stream = view.append_via_stream(same(&file)).unwrap();
    let stream = view.inner.table.get_mut(&stream).unwrap();
    let last = stream.blocking_write_and_flush(vec![2; 10].into()).await;
    last.unwrap();
    assert_eq!(fs::read(root.path().join("one")).unwrap().len(), 100);
    view.create_directory_at(same(&folder), "two".into())
        .await
        .unwrap();
    let more = view.create_directory_at(same(&folder), "four".into()).await;
    assert_eq!(error(more), ErrorCode::Quota);
    assert_eq!(error(guest.make(&folder, "four").await), ErrorCode::Quota);
    guest.make(&folder, "one").await.unwrap();
    let mut view = guest.view();
    view.unlink_file_at(same(&folder), "three".into())
        .await
        .unwrap();
    guest.make(&folder, "four").await.unwrap();
    assert!(!root.path().join("three").exists());
    let writes = guest.meter.snapshot()["files writes notes"];
    assert_eq!(writes.bytes_out, 100);
    assert_eq!(writes.refused, 6);
    assert!(
        guest
            .mounts
            .bind(&[], &holder(), &Standing::free([]), &guest.meter)
            .is_ok()
    );
}

#[tokio::test]
async fn what_is_no_file_is_neither_opened_nor_moved_and_nothing_waits_for_it() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    symlink("pipe", root.path().join("link")).unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    let mut view = guest.view();
    for name in ["pipe", "socket", "link"] {
        for flags in [DescriptorFlags::READ, DescriptorFlags::WRITE] {
            let opened = view.open_at(
                same(&folder),
                FOLLOW,
                name.into(),
                OpenFlags::empty(),
                flags,
            );
            let opened = tokio::time::timeout(std::time::Duration::from_secs(30), opened).await;
            assert_eq!(error(opened.unwrap()), ErrorCode::NotPermitted, "{name}");
        }
        let stat = view.stat_at(same(&folder), FOLLOW, name.into()).await;
        assert_ne!(stat.unwrap().type_, DescriptorType::RegularFile, "{name}");
    }
    let moved = view.rename_at(same(&folder), "pipe".into(), same(&folder), "p".into());
    assert_eq!(error(moved.await), ErrorCode::NotPermitted);
    assert!(is_kernels(fs::File::open("/proc/self/status").unwrap()));
    assert!(!is_kernels(fs::File::open(root.path()).unwrap()));
}

#[tokio::test]
async fn names_links_and_times_that_are_not_taken_have_errors_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    guest.make(&folder, "one").await.unwrap();
    for (name, expected) in [
        ("a\0b".to_owned(), ErrorCode::IllegalByteSequence),
        ("a\nb".to_owned(), ErrorCode::IllegalByteSequence),
        ("a\u{9b}b".to_owned(), ErrorCode::IllegalByteSequence),
        ("n".repeat(256), ErrorCode::NameTooLong),
        ("n/".repeat(1 << 19), ErrorCode::NameTooLong),
    ] {
        assert_eq!(error(guest.make(&folder, &name).await), expected);
        let mut view = guest.view();
        let made = view.create_directory_at(same(&folder), name.clone()).await;
        assert_eq!(error(made), expected);
        let moved = view.rename_at(same(&folder), "one".into(), same(&folder), name);
        assert_eq!(error(moved.await), expected);
    }
    let mut view = guest.view();
    let linked = view.link_at(
        same(&folder),
        none(),
        "one".into(),
        same(&folder),
        "two".into(),
    );
    assert_eq!(error(linked.await), ErrorCode::NotPermitted);
    let never = super::fs::NewTimestamp::Timestamp(
        wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime {
            seconds: u64::MAX,
            nanoseconds: u32::MAX,
        },
    );
    let set = view.set_times_at(same(&folder), none(), "one".into(), never, never);
    assert_eq!(error(set.await), ErrorCode::Overflow);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_call_has_so_many_files_and_listings_at_once_and_streams_keep_theirs() {
    let root = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    let mut streams = Vec::new();
    for _ in 0..FILES_OPEN_MAX {
        let file = guest.make(&folder, "one").await.unwrap();
        let mut view = guest.view();
        streams.push(view.read_via_stream(same(&file), 0).unwrap());
        HostDescriptor::drop(&mut view, Resource::new_own(file.rep())).unwrap();
    }
    assert_eq!(error(guest.make(&folder, "one").await), ErrorCode::Quota);
    guest.table.delete(streams.remove(0)).unwrap();
    guest.make(&folder, "one").await.unwrap();
    let mut view = guest.view();
    let mut listings = Vec::new();
    for _ in 0..FILES_LISTINGS_MAX {
        listings.push(view.read_directory(same(&folder)).await.unwrap());
    }
    let more = view.read_directory(same(&folder)).await;
    assert_eq!(error(more), ErrorCode::Quota);
    HostDirectoryEntryStream::drop(&mut view, listings.remove(0)).unwrap();
    view.read_directory(same(&folder)).await.unwrap();
}

#[tokio::test]
async fn renaming_over_a_file_is_atomic_and_gives_its_room_back() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("old"), [1; 50]).unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", small(100, 2));
    let folder = guest.folder();
    let new = guest.make(&folder, "new").await.unwrap();
    let mut view = guest.view();
    view.write(same(&new), vec![2; 50], 0).await.unwrap();
    let full = view.write(same(&new), vec![2; 1], 50).await;
    assert_eq!(error(full), ErrorCode::Quota);
    view.rename_at(same(&folder), "new".into(), same(&folder), "old".into())
        .await
        .unwrap();
    view.write(same(&new), vec![2; 50], 50).await.unwrap();
    assert_eq!(fs::read(root.path().join("old")).unwrap(), [2; 100]);
}

/// Opens through a name that is a folder and a link out of the mount in turns, as fast as it can be swapped.
async fn race(rounds: u32) {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    let root = tempfile::tempdir().unwrap();
    let (inside, outside) = (root.path().join("in"), root.path().join("out"));
    fs::create_dir_all(inside.join("now")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(inside.join("now/file"), "mine").unwrap();
    fs::write(outside.join("file"), "canary").unwrap();
    symlink(&outside, inside.join("then")).unwrap();
    let mut guest = Guest::new(&inside, "files write notes", Quota::default());
    let folder = guest.folder();
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (stop, now, then) = (stop.clone(), inside.join("now"), inside.join("then"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &now, CWD, &then, RenameFlags::EXCHANGE).unwrap();
            }
        })
    };
    let (mut opened, mut refused) = (0_u32, 0_u32);
    for _ in 0..rounds {
        let mut view = guest.view();
        let flags = DescriptorFlags::READ;
        let file = view.open_at(
            same(&folder),
            FOLLOW,
            "now/file".into(),
            OpenFlags::empty(),
            flags,
        );
        match file.await {
            Ok(file) => {
                let (bytes, _) = view.read(same(&file), 16, 0).await.unwrap();
                assert_eq!(bytes, b"mine");
                HostDescriptor::drop(&mut view, Resource::new_own(file.rep())).unwrap();
                opened += 1;
            }
            Err(_) => refused += 1,
        }
        let made = view.create_directory_at(same(&folder), "now/made".into());
        // Whether it was made shows outside.
        let _made = made.await;
        let _removed = view
            .remove_directory_at(same(&folder), "now/made".into())
            .await;
        let _gone = view.unlink_file_at(same(&folder), "now/other".into()).await;
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    assert!(
        opened > 0 && refused > 0,
        "{opened} opened, {refused} refused"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("file")).unwrap(), b"canary");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_race_between_a_folder_and_a_link_leads_out() {
    race(10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `tests/long/run a_million_rounds` runs it"]
async fn no_race_leads_out_in_a_million_rounds() {
    race(1_000_000).await;
}
