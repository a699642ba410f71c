//! What opens, makes, moves and removes names.

use std::sync::Arc;

use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::deed::{Deed, Held};
use super::{Fd, FilesView, named, no};
use crate::host::files::desk::is_kernels;

impl FilesView<'_> {
    pub(super) async fn open(
        &mut self,
        fd: &Fd,
        path_flags: PathFlags,
        path: String,
        mut oflags: OpenFlags,
        mut flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let reach = self.reach(fd)?;
        named(&path)?;
        if !self.desk.has_room() {
            return Err(ErrorCode::Quota.into());
        }
        // Opening a pipe waits for its other end, and a device acts: what it is is asked before.
        let there = self.kind(fd, path_flags, &path).await?.is_some();
        let (mut place, mut turn) = (None, None);
        if oflags.contains(OpenFlags::CREATE) {
            if there && oflags.contains(OpenFlags::EXCLUSIVE) {
                return Err(ErrorCode::Exist.into());
            }
            if there {
                // Without the flag nothing is made that was not counted, even if it vanished since.
                oflags &= !OpenFlags::CREATE;
                flags |= DescriptorFlags::WRITE;
            } else {
                place = Some(reach.clone().place(0).await.map_err(no)?);
            }
        }
        let beginning = if oflags.contains(OpenFlags::TRUNCATE) {
            // Cut while it is written, it would hold more than was counted.
            let (its_turn, beginning) = reach.turn().await.map_err(no)?;
            turn = Some(its_turn);
            beginning
        } else {
            reach.begin().map_err(no)?
        };
        let deed = Deed::Open {
            path_flags,
            path,
            oflags,
            flags,
        };
        let held = Held {
            beginning,
            turn,
            place,
        };
        let on = self.inner.table.get(fd)?.clone();
        let Some(opened) = deed.done(on, reach.clone(), held).await? else {
            return Err(ErrorCode::BadDescriptor.into());
        };
        let (file, is_dir) = match &opened {
            Descriptor::File(file) => (file.file.clone(), false),
            Descriptor::Dir(dir) => (dir.dir.clone(), true),
        };
        let plain = is_dir || file.metadata().is_ok_and(|file| file.is_file());
        if !plain || is_kernels(&*file) {
            return Err(ErrorCode::NotPermitted.into());
        }
        let opened = self.inner.table.push(opened)?;
        self.desk.opened(opened.rep(), &file, reach);
        Ok(opened)
    }

    /// Does what needs no turn.
    pub(super) async fn simply(&mut self, fd: &Fd, deed: Deed) -> FsResult<()> {
        let reach = self.reach(fd)?;
        let held = Held {
            beginning: reach.begin().map_err(no)?,
            turn: None,
            place: None,
        };
        let on = self.inner.table.get(fd)?.clone();
        deed.done(on, reach, held).await.map(drop)
    }

    /// Makes one name, with so many bytes.
    async fn make(&mut self, fd: &Fd, bytes: u64, deed: Deed) -> FsResult<()> {
        let reach = self.reach(fd)?;
        let place = reach.clone().place(bytes).await.map_err(no)?;
        let held = Held {
            beginning: reach.begin().map_err(no)?,
            turn: None,
            place: Some(place),
        };
        let on = self.inner.table.get(fd)?.clone();
        deed.done(on, reach, held).await.map(drop)
    }

    pub(super) async fn make_directory(&mut self, fd: &Fd, path: String) -> FsResult<()> {
        named(&path)?;
        self.make(fd, 0, Deed::Directory(path)).await
    }

    pub(super) async fn make_link(
        &mut self,
        fd: &Fd,
        target: String,
        path: String,
    ) -> FsResult<()> {
        named(&target)?;
        named(&path)?;
        // A walk counts it with the length of what it leads to.
        let bytes = u64::try_from(target.len()).map_err(FsError::trap)?;
        self.make(fd, bytes, Deed::Link { target, path }).await
    }

    pub(super) async fn rename(
        &mut self,
        fd: &Fd,
        path: String,
        to: &Fd,
        to_path: String,
    ) -> FsResult<()> {
        let (from, into) = (self.reach(fd)?, self.reach(to)?);
        // Each grant has rights and room of its own.
        if !Arc::ptr_eq(&from, &into) {
            return Err(ErrorCode::CrossDevice.into());
        }
        named(&path)?;
        named(&to_path)?;
        // A tree that moved past a walk would not be counted.
        let (turn, beginning) = from.turn().await.map_err(no)?;
        // Who could move a pipe could put one where a file was just looked at.
        self.kind(fd, PathFlags::empty(), &path).await?;
        let held = Held {
            beginning,
            turn: Some(turn),
            place: None,
        };
        let on = self.inner.table.get(fd)?.clone();
        let to = self.inner.table.get(to)?.clone();
        let deed = Deed::Rename { path, to, to_path };
        deed.done(on, from, held).await.map(drop)
    }

    pub(super) async fn remove(&mut self, fd: &Fd, path: String, directory: bool) -> FsResult<()> {
        named(&path)?;
        let deed = match directory {
            true => Deed::RemoveDirectory(path),
            false => Deed::Unlink(path),
        };
        self.simply(fd, deed).await
    }
}
