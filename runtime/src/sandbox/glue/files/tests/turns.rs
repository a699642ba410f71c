//! Streams and turns: what waits, what is counted, and what is done when nobody waits for it any more.

use std::fs;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use wasmtime_wasi::p2::bindings::filesystem::types::Advice;

use super::super::deed::{Deed, Held};
use super::*;
use crate::limits::{FILES_READERS_MAX, FILES_WRITERS_MAX};

#[tokio::test]
async fn a_call_has_so_many_streams_at_once_and_a_dropped_one_makes_room() {
    let root = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    let file = guest.make(&folder, "one").await.unwrap();
    let mut view = guest.view();
    let mut writers = Vec::new();
    for number in 0..FILES_WRITERS_MAX {
        writers.push(match number % 2 {
            0 => view.write_via_stream(same(&file), 0).unwrap(),
            _ => view.append_via_stream(same(&file)).unwrap(),
        });
    }
    let more = view.append_via_stream(same(&file));
    assert_eq!(error(more), ErrorCode::Quota);
    let more = view.write_via_stream(same(&file), 0);
    assert_eq!(error(more), ErrorCode::Quota);
    let mut readers = Vec::new();
    for _ in 0..FILES_READERS_MAX {
        readers.push(view.read_via_stream(same(&file), 0).unwrap());
    }
    let more = view.read_via_stream(same(&file), 0);
    assert_eq!(error(more), ErrorCode::Quota);
    view.inner.table.delete(writers.remove(0)).unwrap();
    view.inner.table.delete(readers.remove(0)).unwrap();
    view.append_via_stream(same(&file)).unwrap();
    view.read_via_stream(same(&file), 0).unwrap();
}

#[tokio::test]
async fn a_stream_that_is_dropped_before_its_turn_writes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    let file = guest.make(&folder, "one").await.unwrap();
    let mut view = guest.view();
    let (turn, beginning) = view.reach(&file).unwrap().turn().await.unwrap();
    let stream = view.append_via_stream(same(&file)).unwrap();
    let writing = view.inner.table.get_mut(&stream).unwrap();
    writing.write(vec![1; 10].into()).unwrap();
    tokio::task::yield_now().await;
    view.inner.table.delete(stream).unwrap();
    drop((turn, beginning));
    timeout(Duration::from_secs(10), guest.desk.begun().end())
        .await
        .unwrap();
    assert_eq!(fs::read(root.path().join("one")).unwrap(), b"");
}

#[tokio::test]
async fn a_name_in_the_making_is_made_to_its_end_and_waited_for_whoever_drops_it() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let name = number.to_string();
        let mut guest = Guest::new(root.path(), "files write notes", small(100, 1_000));
        let folder = guest.folder();
        let view = guest.view();
        let on = view.inner.table.get(&folder).unwrap().clone();
        let reach = view.reach(&folder).unwrap();
        let held = Held {
            beginning: reach.begin().unwrap(),
            turn: None,
            place: Some(reach.clone().place(0).await.unwrap()),
        };
        let deed = Deed::Directory(name.clone()).done(on, reach, held);
        assert!(deed.now_or_never().is_none(), "it waits for the disk");
        guest.desk.begun().end().await;
        assert!(root.path().join(name).is_dir());
    }
}

#[tokio::test]
async fn nothing_moves_or_is_cut_while_somebody_counts() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("tree")).unwrap();
    fs::write(root.path().join("file"), "contents").unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", Quota::default());
    let folder = guest.folder();
    let (turn, beginning) = guest.view().reach(&folder).unwrap().turn().await.unwrap();
    let soon = Duration::from_millis(50);
    let mut view = guest.view();
    let moving = view.rename_at(same(&folder), "tree".into(), same(&folder), "moved".into());
    assert!(timeout(soon, moving).await.is_err());
    let (cut, read) = (OpenFlags::TRUNCATE, DescriptorFlags::READ);
    let cutting = view.open_at(same(&folder), none(), "file".into(), cut, read);
    assert!(timeout(soon, cutting).await.is_err());
    assert!(root.path().join("tree").exists());
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"contents");
    drop((turn, beginning));
    view.rename_at(same(&folder), "tree".into(), same(&folder), "moved".into())
        .await
        .unwrap();
    view.open_at(same(&folder), none(), "file".into(), cut, read)
        .await
        .unwrap();
    assert!(root.path().join("moved").exists());
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"");
}

#[tokio::test]
async fn a_link_takes_the_room_of_what_it_leads_to_before_it_is_made() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), [1; 95]).unwrap();
    let mut guest = Guest::new(root.path(), "files write notes", small(100, 10));
    let folder = guest.folder();
    let mut view = guest.view();
    let over = view.symlink_at(same(&folder), "target".into(), "link".into());
    assert_eq!(error(over.await), ErrorCode::Quota);
    assert!(fs::symlink_metadata(root.path().join("link")).is_err());
    view.symlink_at(same(&folder), "targe".into(), "link".into())
        .await
        .unwrap();
    let more = view.symlink_at(same(&folder), "t".into(), "more".into());
    assert_eq!(error(more.await), ErrorCode::Quota);
}

#[tokio::test]
async fn every_look_at_the_disk_is_counted() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "contents").unwrap();
    let mut guest = Guest::new(root.path(), "files read notes", Quota::default());
    let folder = guest.folder();
    let count = |guest: &Guest| {
        let looked = guest.meter.snapshot();
        let looked = looked.get("files reads notes").copied().unwrap_or_default();
        (looked.count, looked.refused)
    };
    let mut view = guest.view();
    view.metadata_hash(same(&folder)).await.unwrap();
    view.metadata_hash_at(same(&folder), none(), "file".into())
        .await
        .unwrap();
    assert_eq!(count(&guest), (2, 0));
    let mut view = guest.view();
    let out = view.metadata_hash_at(same(&folder), FOLLOW, "../x".into());
    assert!(out.await.is_err());
    let bad = view.metadata_hash_at(same(&folder), none(), "a\nb".into());
    assert_eq!(error(bad.await), ErrorCode::IllegalByteSequence);
    assert_eq!(count(&guest), (4, 2));
    let mut view = guest.view();
    let (look, read) = (OpenFlags::empty(), DescriptorFlags::READ);
    let file = view
        .open_at(same(&folder), none(), "file".into(), look, read)
        .await
        .unwrap();
    let all = Advice::Sequential;
    view.advise(same(&file), 0, 8, all).await.unwrap();
    view.sync(same(&file)).await.unwrap();
    view.sync_data(same(&file)).await.unwrap();
    assert_eq!(count(&guest), (8, 2));
    assert_eq!(error(view_of(&mut guest, &folder)), ErrorCode::IsDirectory);
    assert_eq!(count(&guest), (9, 2));
}

fn view_of(guest: &mut Guest, folder: &Fd) -> FsResult<Resource<DynInputStream>> {
    guest.view().read_via_stream(same(folder), 0)
}
