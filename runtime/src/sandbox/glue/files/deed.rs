//! What changes names, times or what the disk has. Once it has begun it is done to its end, whatever becomes of the guest
//! meanwhile: what it took is settled after it, and the call waits for it before it ends.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::same;
use crate::host::files::begun::Beginning;
use crate::host::files::desk::Reach;
use crate::host::files::space::{Place, Turn};
use crate::host::task::joined;

/// What is done, on a descriptor.
pub(super) enum Deed {
    Directory(String),
    Link {
        target: String,
        path: String,
    },
    Rename {
        path: String,
        to: Descriptor,
        to_path: String,
    },
    Unlink(String),
    RemoveDirectory(String),
    Open {
        path_flags: PathFlags,
        path: String,
        oflags: OpenFlags,
        flags: DescriptorFlags,
    },
    Times {
        accessed: NewTimestamp,
        modified: NewTimestamp,
    },
    TimesAt {
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    },
    Sync,
    SyncData,
}

/// What is held until it is done.
pub(super) struct Held {
    pub(super) beginning: Beginning,
    /// Of what a count must not see half of.
    pub(super) turn: Option<Turn>,
    /// Of a name that is made.
    pub(super) place: Option<Place>,
}

impl Deed {
    /// Does it on `on`; brings what was opened. Dropped, it is done all the same.
    pub(super) async fn done(
        self,
        on: Descriptor,
        reach: Arc<Reach>,
        held: Held,
    ) -> FsResult<Option<Descriptor>> {
        let task = tokio::spawn(async move {
            let Held {
                beginning,
                turn,
                place,
            } = held;
            let gives_back = self.gives_back();
            let place = place.map(Place::begun);
            let done = self.act(on).await;
            match place {
                Some(place) if done.is_err() => place.give_back(),
                place => drop(place),
            }
            if let Ok(Some(Descriptor::File(file))) = &done {
                reach.opened(&file.file);
            }
            if gives_back {
                reach.released();
            }
            drop(turn);
            drop(beginning);
            done
        });
        joined(task.await).unwrap_or_else(|error| Err(FsError::trap(error)))
    }

    /// Whether something may be gone after it.
    fn gives_back(&self) -> bool {
        match self {
            Self::Rename { .. } | Self::Unlink(_) | Self::RemoveDirectory(_) => true,
            Self::Open { oflags, .. } => oflags.contains(OpenFlags::TRUNCATE),
            Self::Directory(_)
            | Self::Link { .. }
            | Self::Times { .. }
            | Self::TimesAt { .. }
            | Self::Sync
            | Self::SyncData => false,
        }
    }

    /// By Wasmtime's own functions, with a table of its own: that of the guest may be gone before it is done.
    async fn act(self, on: Descriptor) -> FsResult<Option<Descriptor>> {
        let (mut table, mut ctx) = (ResourceTable::new(), WasiFilesystemCtx::default());
        let on = table.push(on)?;
        let fd = same(&on);
        let mut view = WasiFilesystemCtxView {
            ctx: &mut ctx,
            table: &mut table,
        };
        match self {
            Self::Directory(path) => view.create_directory_at(fd, path).await?,
            Self::Link { target, path } => view.symlink_at(fd, target, path).await?,
            Self::Rename { path, to, to_path } => {
                let to = view.table.push(to)?;
                view.rename_at(fd, path, same(&to), to_path).await?;
            }
            Self::Unlink(path) => view.unlink_file_at(fd, path).await?,
            Self::RemoveDirectory(path) => view.remove_directory_at(fd, path).await?,
            Self::Open {
                path_flags,
                path,
                oflags,
                flags,
            } => {
                let opened = view.open_at(fd, path_flags, path, oflags, flags).await?;
                return Ok(Some(view.table.delete(opened)?));
            }
            Self::Times { accessed, modified } => view.set_times(fd, accessed, modified).await?,
            Self::TimesAt {
                flags,
                path,
                accessed,
                modified,
            } => {
                view.set_times_at(fd, flags, path, accessed, modified)
                    .await?;
            }
            Self::Sync => view.sync(fd).await?,
            Self::SyncData => view.sync_data(fd).await?,
        }
        Ok(None)
    }
}
