//! What a guest does with names in its mount, held against where the kernel says that it came.
//!
//! Links that lead out are planted, as another program may have left them. Afterwards every open file lies in the mount by the kernel's
//! own word, and what lies beside it is as it was.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use tempfile::TempDir;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::bindings::filesystem::types::NewTimestamp;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use super::*;
use crate::capability::Capability;
use crate::config::{Mount, Quota};
use crate::fuzzing::choices::cut;
use crate::grant::Holder;
use crate::host::files::Mounts;
use crate::host::meter::Meter;
use crate::ids::{Subject, User};
use crate::revocation::Standing;
use crate::sandbox::world::preopen;

/// Acts of one input: the walk of a clever guest is short, and each costs some calls of the system.
const ACTS_MAX: usize = 24;
/// What stands outside. No guest reads it.
const CANARY: &str = "a canary that no guest reads";

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
});

/// A subject, and a line for each act: a letter, a digit for the directory that it begins at, and a path, or two with a tab between
/// them. `@` is the directory outside.
pub(crate) fn path(bytes: &[u8]) {
    walk(bytes);
}

/// The same; says where it came, without its mount.
fn walk(bytes: &[u8]) -> Vec<PathBuf> {
    let (subject, acts) = cut(bytes, b'\n');
    let subject: Option<Subject> = std::str::from_utf8(subject)
        .ok()
        .and_then(|text| text.parse().ok());
    let Some(subject) = subject else {
        return Vec::new();
    };
    let place = Place::new();
    let before = place.outside();
    let Some(mut guest) = Guest::new(&place, subject) else {
        return Vec::new();
    };
    RUNTIME.block_on(async {
        for act in acts.split(|byte| *byte == b'\n').take(ACTS_MAX) {
            let act = String::from_utf8_lossy(act).replace('@', &place.out.display().to_string());
            guest.act(&act).await;
        }
    });
    let mut came = Vec::new();
    for folder in &guest.opened {
        let at = guest.place_of(folder);
        let whole = at.display().to_string();
        let inside = at.starts_with(&guest.root) && at != place.out;
        assert!(
            inside,
            "a guest came to `{}`",
            whole.replace(&place.base(), "")
        );
        came.extend(at.strip_prefix(&guest.root).map(Path::to_owned));
    }
    assert!(!guest.saw_canary, "a guest read what is not its own");
    assert_eq!(
        place.outside(),
        before,
        "a guest changed what is not its own"
    );
    came
}

/// A mount, and what lies beside it.
struct Place {
    root: TempDir,
    mount: PathBuf,
    out: PathBuf,
}

/// What there is outside: name, content, time of the last change.
type Seen = Vec<(PathBuf, Vec<u8>, Option<SystemTime>)>;

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        // As the kernel names it.
        let base = root.path().canonicalize().expect("its name");
        let (mount, out) = (base.join("mount"), base.join("out"));
        fs::create_dir_all(out.join("empty")).expect("a directory");
        fs::create_dir_all(&mount).expect("a directory");
        fs::write(out.join("canary"), CANARY).expect("a file");
        Self { root, mount, out }
    }

    fn base(&self) -> String {
        self.root.path().display().to_string()
    }

    /// What lies outside, and beside the mount.
    fn outside(&self) -> Seen {
        let mut all = Vec::new();
        let mut folders = vec![self.out.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let kind = entry.file_type().ok();
                let changed = entry.metadata().ok().and_then(|meta| meta.modified().ok());
                if kind.is_some_and(|kind| kind.is_dir()) {
                    folders.push(path.clone());
                }
                let bytes = fs::read(&path).unwrap_or_default();
                all.push((path, bytes, changed));
            }
        }
        let beside = fs::read_dir(self.root.path())
            .into_iter()
            .flatten()
            .flatten();
        all.extend(beside.map(|entry| (entry.path(), Vec::new(), None)));
        all.sort();
        all
    }
}

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    desk: Desk,
    /// The directory of this guest, as the kernel names it.
    root: PathBuf,
    opened: Vec<Fd>,
    saw_canary: bool,
    _mounts: Mounts,
    _meter: Meter,
}

impl Guest {
    /// The guest of a user, whose name is part of the path of its directory.
    fn new(place: &Place, subject: Subject) -> Option<Self> {
        let mount = Mount {
            name: "notes".parse().expect("a name"),
            path: place.mount.join("{tenant}/{sub}").display().to_string(),
            quota: Quota::default(),
        };
        let mounts = Mounts::new(&[mount], 1).expect("a mount");
        let capability: Capability = "files write notes".parse().expect("a capability");
        let Capability::Files(files) = capability.clone() else {
            return None;
        };
        let holder = Holder {
            tenant: "acme".parse().expect("a tenant"),
            user: User {
                issuer: "https://as.test".parse().expect("an issuer"),
                subject,
            },
            client: "client-1".parse().expect("a client"),
        };
        let (meter, mut desk) = (Meter::default(), Desk::default());
        let standing = Standing::free([&capability]);
        let bound = mounts
            .bind(&[files], &holder, &standing, &meter)
            .ok()?
            .pop()?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", bound.directory.as_raw_fd()));
        let root = fs::read_link(root).expect("a name that the kernel knows");
        // One directory for each user, below that of the tenant, whatever the user is called.
        let tenant = place.mount.join("acme");
        assert_eq!(
            root.parent(),
            Some(tenant.as_path()),
            "a user is somewhere else"
        );
        fs::create_dir_all(root.join("sub/deep")).expect("a directory");
        fs::write(root.join("mine"), "mine").expect("a file");
        for (target, name) in [
            (place.out.as_path(), "absolute"),
            (Path::new("../../../out"), "relative"),
            (Path::new("../.."), "up"),
            (Path::new("loop"), "loop"),
            (Path::new("sub/deep"), "down"),
        ] {
            symlink(target, root.join(name)).expect("a link");
        }
        let mut wasi = WasiCtxBuilder::new();
        preopen(&mut wasi, &bound).expect("a directory that was just opened");
        desk.grant(bound.guest_path, bound.reach);
        let mut guest = Self {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            desk,
            root,
            opened: Vec::new(),
            saw_canary: false,
            _mounts: mounts,
            _meter: meter,
        };
        let found = preopens::Host::get_directories(&mut guest.view()).expect("the mount");
        guest
            .opened
            .extend(found.into_iter().map(|(folder, _)| folder));
        Some(guest)
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

    /// Where an open file or directory is, by the kernel.
    fn place_of(&self, one: &Fd) -> PathBuf {
        let number = match self.table.get(one) {
            Ok(Descriptor::File(file)) => file.file.as_raw_fd(),
            Ok(Descriptor::Dir(dir)) => dir.dir.as_raw_fd(),
            Err(error) => unreachable!("a descriptor that is none: {error}"),
        };
        fs::read_link(format!("/proc/self/fd/{number}")).expect("a name that the kernel knows")
    }

    async fn act(&mut self, act: &str) {
        let mut all = act.chars();
        let Some(what) = all.next() else {
            return;
        };
        let which = all.next().and_then(|c| c.to_digit(10)).unwrap_or(0);
        let places = self.opened.len().max(1);
        let which = usize::try_from(which)
            .unwrap_or(0)
            .checked_rem(places)
            .unwrap_or(0);
        let Some(folder) = self.opened.get(which).map(same) else {
            return;
        };
        let (path, other) = match all.as_str().split_once('\t') {
            Some((path, other)) => (path.to_owned(), other.to_owned()),
            None => (all.as_str().to_owned(), String::new()),
        };
        let follow = PathFlags::SYMLINK_FOLLOW;
        let none = PathFlags::empty();
        let (read, write) = (
            DescriptorFlags::READ,
            DescriptorFlags::READ | DescriptorFlags::WRITE,
        );
        let (as_is, make) = (OpenFlags::empty(), OpenFlags::CREATE);
        let now = NewTimestamp::Now;
        let mut view = self.view();
        let opened = match what {
            'o' => view.open_at(folder, follow, path, as_is, read).await.ok(),
            'O' => view
                .open_at(folder, none, path, OpenFlags::DIRECTORY, read)
                .await
                .ok(),
            'c' => view.open_at(folder, none, path, make, write).await.ok(),
            'C' => view
                .open_at(folder, follow, path, make | OpenFlags::TRUNCATE, write)
                .await
                .ok(),
            'd' => {
                let _ = view.create_directory_at(folder, path).await;
                None
            }
            's' => {
                let _ = view.symlink_at(folder, other, path).await;
                None
            }
            'm' => {
                let to = same(&folder);
                let _ = view.rename_at(folder, path, to, other).await;
                None
            }
            'u' => {
                let _ = view.unlink_file_at(folder, path).await;
                None
            }
            'r' => {
                let _ = view.remove_directory_at(folder, path).await;
                None
            }
            'l' => {
                let _ = view.readlink_at(folder, path).await;
                None
            }
            'i' => {
                // The canary has a length that nothing else has.
                let found = view.stat_at(folder, follow, path).await;
                let length = u64::try_from(CANARY.len()).unwrap_or(0);
                self.saw_canary |= found.is_ok_and(|found| found.size == length);
                None
            }
            't' => {
                let _ = view.set_times_at(folder, follow, path, now, now).await;
                None
            }
            'h' => {
                let _ = view
                    .link_at(folder, follow, path, Resource::new_borrow(0), other)
                    .await;
                None
            }
            _ => None,
        };
        if let Some(opened) = opened {
            let mut view = self.view();
            if let Ok((bytes, _)) = view.read(same(&opened), 64, 0).await {
                self.saw_canary |= bytes.starts_with(CANARY.as_bytes());
            }
            let _ = self.view().write(same(&opened), b"x".to_vec(), 0).await;
            self.opened.push(opened);
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "alice\no0mine\nO0sub\nO2deep\nc2new\ni0down",
        "alice\no0../out/canary\no0@/canary\nO0absolute\nO0relative\no0absolute/canary\ni0relative/canary",
        "alice\nd0x\ns0x/l\t../..\no0x/l/../../../out/canary\nm0x\tsub/x\nO0sub/x/l",
        "alice\ns0l\t@\nO0l\nc0l/new\nu0l/canary\nr0l/empty\nt0l/canary\nl0l",
        "../../out\no0canary\nc0new",
        "..\nO0..\nO0.\nc0../new",
        ".\nO0./up/../out\nO0sub/../../..\nm0mine\t../../../out/mine",
        "a/b\\c%2f\nd0sub/deep/x\nO0sub/deep/x\nr1../x\nO1../../../..\no0loop\nh0mine\tlink",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) const WORDS: &[&str] = &[
    "alice\n",
    "..",
    "../",
    "/..",
    "@",
    "@/canary",
    "out/canary",
    "absolute",
    "relative",
    "up",
    "loop",
    "down",
    "sub/deep",
    "mine",
    "\no0",
    "\nO0",
    "\nO1",
    "\nc0",
    "\nC0",
    "\nd0",
    "\ns0l\t",
    "\nm0",
    "\nu0",
    "\nr0",
    "\nt0",
    "\ni0",
    "\nl0",
    "\t",
    "//",
    "/./",
    "/proc/self/root/",
    "\u{0}",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_walk_among_the_seeds_comes_where_it_may_and_a_bad_one_nowhere() {
        let [good, bad, ..] = &*seeds() else {
            panic!("there are seeds");
        };
        assert_eq!(
            walk(good),
            ["", "mine", "sub", "sub/deep", "sub/new"].map(PathBuf::from)
        );
        // The mount itself is open from the start.
        assert_eq!(walk(bad), [PathBuf::new()]);
    }
}
