//! `wasi:filesystem` over Wasmtime's own, which holds the border of paths. Here is what it does not know: how much a space may
//! hold, how many files a call has open, what is no file, which names we take, and what is recorded.

use std::sync::Arc;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self as fs, DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor,
    HostDirectoryEntryStream, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

use deed::Deed;

use super::files_stream::{Reader, Writer};
use crate::host::files::desk::{Desk, Reach};
use crate::host::files::space::{Change, FileError};
use crate::limits::FILES_PATH_BYTES_MAX;

mod deed;
#[cfg(any(test, fuzzing))]
pub(in crate::sandbox) mod fuzz;
mod names;

/// What the linker asks for.
pub(in super::super) struct GuardedFiles;

impl HasData for GuardedFiles {
    type Data<'a> = FilesView<'a>;
}

/// The files of one call.
pub(in super::super) struct FilesView<'a> {
    pub(in super::super) inner: WasiFilesystemCtxView<'a>,
    pub(in super::super) desk: &'a mut Desk,
}

type Fd = Resource<Descriptor>;

/// Whether a function looks or changes, for the record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Look,
    Change,
}

pub(super) fn code(error: &FileError) -> ErrorCode {
    match error {
        FileError::Full => ErrorCode::Quota,
        FileError::ReadOnly | FileError::Revoked => ErrorCode::NotPermitted,
        FileError::Over => ErrorCode::Interrupted,
        FileError::Io(error) => ErrorCode::from(error),
    }
}

fn same(fd: &Fd) -> Fd {
    Resource::new_borrow(fd.rep())
}

/// A name that we take: not longer than the system's own longest, and nothing in it that a terminal or a log would obey.
fn named(path: &str) -> FsResult<()> {
    if path.len() > FILES_PATH_BYTES_MAX {
        return Err(ErrorCode::NameTooLong.into());
    }
    if path.chars().any(char::is_control) {
        return Err(ErrorCode::IllegalByteSequence.into());
    }
    Ok(())
}

fn is_refusal(error: &FsError) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            ErrorCode::Access
                | ErrorCode::NotPermitted
                | ErrorCode::ReadOnly
                | ErrorCode::Quota
                | ErrorCode::CrossDevice
                | ErrorCode::IllegalByteSequence
                | ErrorCode::NameTooLong
        )
    )
}

fn no(error: FileError) -> FsError {
    code(&error).into()
}

impl FilesView<'_> {
    /// Under which grant a descriptor is; without one it is none of ours.
    fn reach(&self, fd: &Fd) -> FsResult<Arc<Reach>> {
        let reach = self.desk.reach(fd.rep());
        reach.ok_or_else(|| ErrorCode::BadDescriptor.into())
    }

    fn file(&self, fd: &Fd) -> FsResult<Arc<std::fs::File>> {
        match self.inner.table.get(fd)? {
            Descriptor::File(file) => Ok(file.file.clone()),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// What is there; nothing where nothing is. Refuses what is neither file nor directory nor link.
    async fn kind(
        &mut self,
        fd: &Fd,
        flags: PathFlags,
        path: &str,
    ) -> FsResult<Option<DescriptorType>> {
        match self.inner.stat_at(same(fd), flags, path.to_owned()).await {
            Ok(stat) => match stat.type_ {
                kind @ (DescriptorType::RegularFile
                | DescriptorType::Directory
                | DescriptorType::SymbolicLink) => Ok(Some(kind)),
                _ => Err(ErrorCode::NotPermitted.into()),
            },
            Err(error) if matches!(error.downcast_ref(), Some(ErrorCode::NoEntry)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes down what came of it.
    fn settle<T>(&self, fd: &Fd, act: Act, done: FsResult<T>) -> FsResult<T> {
        if let Some(reach) = self.desk.reach(fd.rep()) {
            let refused = done.as_ref().is_err_and(is_refusal);
            match act {
                Act::Look => reach.read(0, refused),
                Act::Change => reach.wrote(0, refused),
            }
        }
        done
    }

    async fn change(&mut self, fd: &Fd, change: Change) -> FsResult<usize> {
        let (reach, file) = (self.reach(fd)?, self.file(fd)?);
        reach.change(file, change).await.map_err(no)
    }

    fn reader(&mut self, fd: &Fd, at: u64) -> FsResult<Resource<DynInputStream>> {
        let reach = self.reach(fd)?;
        let place = self.desk.reader().ok_or(ErrorCode::Quota)?;
        let stream = self.inner.read_via_stream(same(fd), at)?;
        let stream = self.inner.table.delete(stream)?;
        let reader: DynInputStream = Box::new(Reader {
            stream,
            reach,
            _place: place,
        });
        Ok(self.inner.table.push(reader)?)
    }

    fn writer(&mut self, fd: &Fd, at: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let (reach, file) = (self.reach(fd)?, self.file(fd)?);
        if !reach.is_writable() {
            return Err(ErrorCode::NotPermitted.into());
        }
        let place = self.desk.writer().ok_or(ErrorCode::Quota)?;
        let writer: DynOutputStream = Box::new(Writer::new(reach, file, at, place));
        Ok(self.inner.table.push(writer)?)
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let found = preopens::Host::get_directories(&mut self.inner)?;
        for (fd, path) in &found {
            self.desk.found(fd.rep(), path);
        }
        Ok(found)
    }
}

impl fs::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        fs::Host::convert_error_code(&mut self.inner, error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        if let Some(error) = self.inner.table.get(&error)?.downcast_ref::<FileError>() {
            return Ok(Some(code(error)));
        }
        fs::Host::filesystem_error_code(&mut self.inner, error)
    }
}

impl HostDescriptor for FilesView<'_> {
    async fn advise(&mut self, fd: Fd, at: u64, len: u64, advice: fs::Advice) -> FsResult<()> {
        let done = self.inner.advise(same(&fd), at, len, advice).await;
        self.settle(&fd, Act::Look, done)
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        let done = self.simply(&fd, Deed::SyncData).await;
        self.settle(&fd, Act::Look, done)
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.inner.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.inner.get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.change(&fd, Change::Size(size)).await.map(drop)
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: fs::NewTimestamp,
        modified: fs::NewTimestamp,
    ) -> FsResult<()> {
        let deed = Deed::Times { accessed, modified };
        let done = self.simply(&fd, deed).await;
        self.settle(&fd, Act::Change, done)
    }

    async fn read(&mut self, fd: Fd, len: u64, at: u64) -> FsResult<(Vec<u8>, bool)> {
        let reach = self.reach(&fd)?;
        let done = self.inner.read(fd, len, at).await;
        let bytes = done.as_ref().map_or(0, |(bytes, _)| bytes.len());
        reach.read(bytes, done.as_ref().is_err_and(is_refusal));
        done
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, at: u64) -> FsResult<u64> {
        let written = self.change(&fd, Change::At(at, bytes.into())).await?;
        u64::try_from(written).map_err(FsError::trap)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        let done = if self.desk.list() {
            let done = self.inner.read_directory(same(&fd)).await;
            if done.is_err() {
                self.desk.listed();
            }
            done
        } else {
            Err(ErrorCode::Quota.into())
        };
        self.settle(&fd, Act::Look, done)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        let done = self.simply(&fd, Deed::Sync).await;
        self.settle(&fd, Act::Look, done)
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let done = self.make_directory(&fd, path).await;
        self.settle(&fd, Act::Change, done)
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<fs::DescriptorStat> {
        let done = self.inner.stat(same(&fd)).await;
        self.settle(&fd, Act::Look, done)
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<fs::DescriptorStat> {
        let done = match named(&path) {
            Ok(()) => self.inner.stat_at(same(&fd), flags, path).await,
            Err(error) => Err(error),
        };
        self.settle(&fd, Act::Look, done)
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: fs::NewTimestamp,
        modified: fs::NewTimestamp,
    ) -> FsResult<()> {
        let done = match named(&path) {
            Ok(()) => {
                let deed = Deed::TimesAt {
                    flags,
                    path,
                    accessed,
                    modified,
                };
                self.simply(&fd, deed).await
            }
            Err(error) => Err(error),
        };
        self.settle(&fd, Act::Change, done)
    }

    /// No file has two names: it would count twice, and links have crossed from what may be written to what may not.
    async fn link_at(
        &mut self,
        fd: Fd,
        _flags: PathFlags,
        _path: String,
        _to: Fd,
        _to_path: String,
    ) -> FsResult<()> {
        self.settle(&fd, Act::Change, Err(ErrorCode::NotPermitted.into()))
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        oflags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let changes = oflags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        let done = self.open(&fd, path_flags, path, oflags, flags).await;
        let act = if changes { Act::Change } else { Act::Look };
        self.settle(&fd, act, done)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.desk.closed(fd.rep());
        HostDescriptor::drop(&mut self.inner, fd)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let done = match named(&path) {
            Ok(()) => self.inner.readlink_at(same(&fd), path).await,
            Err(error) => Err(error),
        };
        self.settle(&fd, Act::Look, done)
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let done = self.remove(&fd, path, true).await;
        self.settle(&fd, Act::Change, done)
    }

    async fn rename_at(&mut self, fd: Fd, path: String, to: Fd, to_path: String) -> FsResult<()> {
        let done = self.rename(&fd, path, &to, to_path).await;
        self.settle(&fd, Act::Change, done)
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        let done = self.make_link(&fd, target, path).await;
        self.settle(&fd, Act::Change, done)
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let done = self.remove(&fd, path, false).await;
        self.settle(&fd, Act::Change, done)
    }

    fn read_via_stream(&mut self, fd: Fd, at: u64) -> FsResult<Resource<DynInputStream>> {
        let done = self.reader(&fd, at);
        if done.is_err() {
            return self.settle(&fd, Act::Look, done);
        }
        done
    }

    fn write_via_stream(&mut self, fd: Fd, at: u64) -> FsResult<Resource<DynOutputStream>> {
        let done = self.writer(&fd, Some(at));
        if done.is_err() {
            return self.settle(&fd, Act::Change, done);
        }
        done
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let done = self.writer(&fd, None);
        if done.is_err() {
            return self.settle(&fd, Act::Change, done);
        }
        done
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.inner.is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<fs::MetadataHashValue> {
        let done = self.inner.metadata_hash(same(&fd)).await;
        self.settle(&fd, Act::Look, done)
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<fs::MetadataHashValue> {
        let done = match named(&path) {
            Ok(()) => self.inner.metadata_hash_at(same(&fd), flags, path).await,
            Err(error) => Err(error),
        };
        self.settle(&fd, Act::Look, done)
    }
}

impl HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<fs::DirectoryEntry>> {
        self.inner.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.inner, stream)?;
        self.desk.listed();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
