//! Files below the standard library, which would tidy some paths itself.

use schemars::JsonSchema;
use serde::Serialize;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

/// What came of several attempts.
#[derive(Serialize, JsonSchema)]
pub struct Report {
    /// How many mounts there are: without one, nothing was tried.
    pub mounts: usize,
    /// What succeeded and should not have.
    pub escaped: Vec<String>,
    /// What was refused, each with its error code.
    pub refused: Vec<String>,
}

/// The names of the mounts.
pub fn mounts() -> Vec<String> {
    get_directories()
        .into_iter()
        .map(|(_, name)| name)
        .collect()
}

/// The mounts in which a file can be made.
pub fn writable() -> Vec<String> {
    let takes = |dir: &Descriptor| {
        dir.open_at(
            PathFlags::empty(),
            "reach-all-probe",
            OpenFlags::CREATE,
            DescriptorFlags::WRITE,
        )
        .is_ok()
            && dir.unlink_file_at("reach-all-probe").is_ok()
    };
    get_directories()
        .into_iter()
        .filter(|(dir, _)| takes(dir))
        .map(|(_, name)| name)
        .collect()
}

/// Opens every path in every mount, in every way, following links and not.
pub fn open_all(paths: &[&str]) -> Report {
    let mut report = Report::new();
    for (dir, mount) in &get_directories() {
        for path in paths {
            for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
                for (how, open, flags) in WAYS {
                    let made = dir.open_at(follow, path, open, flags);
                    // `a/..` and the like may be the mount itself, which is no way out.
                    let outside = made.and_then(|found| match same(&found, dir) {
                        true => Err(ErrorCode::NoEntry),
                        false => Ok(()),
                    });
                    report.note(format!("{mount}: {how} {path:?}"), outside);
                }
            }
            let stat = dir.stat_at(PathFlags::SYMLINK_FOLLOW, path).map(drop);
            report.note(format!("{mount}: stat {path:?}"), stat);
        }
    }
    report
}

const WAYS: [(&str, OpenFlags, DescriptorFlags); 4] = [
    ("read", OpenFlags::empty(), DescriptorFlags::READ),
    ("enter", OpenFlags::DIRECTORY, DescriptorFlags::READ),
    ("create", OpenFlags::CREATE, DescriptorFlags::WRITE),
    ("truncate", OpenFlags::TRUNCATE, DescriptorFlags::WRITE),
];

/// Changes the first mount in every way.
pub fn change_all(file: &str) -> Report {
    let mut report = Report::new();
    let open = |dir: &Descriptor, open, flags| {
        dir.open_at(PathFlags::empty(), file, open, flags).map(drop)
    };
    let none = OpenFlags::empty();
    for (dir, mount) in &get_directories() {
        let now = NewTimestamp::Now;
        let follow = PathFlags::empty();
        let attempts = [
            ("write", open(dir, none, DescriptorFlags::WRITE)),
            (
                "truncate",
                open(dir, OpenFlags::TRUNCATE, DescriptorFlags::WRITE),
            ),
            (
                "truncate for reading",
                open(dir, OpenFlags::TRUNCATE, DescriptorFlags::READ),
            ),
            (
                "create",
                dir.open_at(follow, "new", OpenFlags::CREATE, DescriptorFlags::WRITE)
                    .map(drop),
            ),
            (
                "create for reading",
                dir.open_at(follow, "new", OpenFlags::CREATE, DescriptorFlags::READ)
                    .map(drop),
            ),
            ("make a folder", dir.create_directory_at("new-folder")),
            ("symlink", dir.symlink_at(file, "new-symlink")),
            ("link", dir.link_at(follow, file, dir, "new-link")),
            ("rename", dir.rename_at(file, dir, "new-name")),
            ("set times", dir.set_times_at(follow, file, now, now)),
            ("resize", resize(dir, file)),
            ("remove", dir.unlink_file_at(file)),
        ];
        for (how, result) in attempts {
            report.note(format!("{mount}: {how}"), result);
        }
    }
    report
}

/// Makes a link in every mount, if the host lets it.
pub fn make_link(target: &str, name: &str) {
    for (dir, _) in get_directories() {
        // Whether it was made shows when it is followed.
        let _ = dir.symlink_at(target, name);
    }
}

fn resize(dir: &Descriptor, file: &str) -> Result<(), ErrorCode> {
    let none = OpenFlags::empty();
    dir.open_at(PathFlags::empty(), file, none, DescriptorFlags::READ)?
        .set_size(0)
}

fn same(one: &Descriptor, other: &Descriptor) -> bool {
    one.is_same_object(other)
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            mounts: get_directories().len(),
            escaped: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Adds what came of one attempt.
    pub fn note(&mut self, what: String, result: Result<(), ErrorCode>) {
        match result {
            Ok(()) => self.escaped.push(what),
            Err(code) => self.refused.push(format!("{what}: {}", code.name())),
        }
    }
}
