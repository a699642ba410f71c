//! Which directory a call gets, and which it never gets.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::capability::Capability;
use crate::ids::User;

fn holder(subject: &str) -> Holder {
    Holder {
        tenant: "acme".parse().unwrap(),
        user: User {
            issuer: "https://as.test".parse().unwrap(),
            subject: subject.parse().unwrap(),
        },
        client: "c".parse().unwrap(),
    }
}

fn files(text: &str) -> Files {
    match text.parse().unwrap() {
        Capability::Files(files) => files,
        other => panic!("{other}"),
    }
}

fn mount(name: &str, path: impl Into<String>) -> Mount {
    Mount {
        name: name.parse().unwrap(),
        path: path.into(),
        quota: Quota::default(),
    }
}

fn mounts(all: &[Mount]) -> Mounts {
    Mounts::new(all, 1).unwrap()
}

fn place(bound: &Bound) -> PathBuf {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", bound.directory.as_raw_fd())).unwrap()
}

#[test]
fn every_caller_has_a_directory_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let mounts = mounts(&[mount(
        "notes",
        format!("{}/notes/{{tenant}}/{{sub}}", root.display()),
    )]);
    let bind = |subject| {
        mounts
            .bind(
                &[files("files write notes")],
                &holder(subject),
                &Standing::free([]),
                &Meter::default(),
            )
            .unwrap()
            .remove(0)
    };
    let (alice, bob) = (bind("alice"), bind("../alice"));
    assert_eq!(place(&alice), root.join("notes/acme/alice"));
    assert_eq!(place(&bob), root.join("notes/acme/%2E%2E%2Falice"));
    assert_eq!(alice.guest_path, "/notes");
    let mode = fs::metadata(place(&alice)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_link_below_the_mount_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("acme")).unwrap();
    symlink(outside.path(), root.path().join("sub")).unwrap();
    let path = root.path().display();
    let mounts = mounts(&[
        mount("notes", format!("{path}/{{tenant}}")),
        mount("all", path.to_string()),
    ]);
    for granted in [
        "files write notes",
        "files write all sub",
        "files read all sub",
    ] {
        let error = mounts
            .bind(
                &[files(granted)],
                &holder("alice"),
                &Standing::free([]),
                &Meter::default(),
            )
            .unwrap_err();
        assert!(
            matches!(error, BindError::Open { .. }),
            "{granted}: {error}"
        );
        assert!(!error.is_refusal());
    }
}

#[test]
fn the_operators_own_prefix_may_be_a_link() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, root.path().join("link")).unwrap();
    let mounts = mounts(&[mount("notes", format!("{}/link", root.path().display()))]);
    let bound = mounts
        .bind(
            &[files("files read notes")],
            &holder("alice"),
            &Standing::free([]),
            &Meter::default(),
        )
        .unwrap();
    assert_eq!(place(&bound[0]), real.canonicalize().unwrap());
}

#[test]
fn reading_creates_nothing_below_a_mount() {
    let root = tempfile::tempdir().unwrap();
    let mounts = mounts(&[mount("notes", root.path().display().to_string())]);
    let bind = |granted| {
        mounts.bind(
            &[files(granted)],
            &holder("a"),
            &Standing::free([]),
            &Meter::default(),
        )
    };
    assert!(matches!(
        bind("files read notes deep/er"),
        Err(BindError::Missing { .. })
    ));
    assert!(!root.path().join("deep").exists());
    assert_eq!(
        bind("files write notes deep/er").unwrap()[0].guest_path,
        "/notes/deep/er"
    );
    assert!(bind("files read notes deep/er").is_ok());
}

#[test]
fn one_file_system_is_never_both_read_only_and_writable() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().display();
    let mounts = mounts(&[
        mount("docs", format!("{path}/docs")),
        mount("notes", format!("{path}/notes")),
    ]);
    let bind = |granted: &[&str]| {
        let granted: Vec<Files> = granted.iter().map(|text| files(text)).collect();
        mounts.bind(
            &granted,
            &holder("a"),
            &Standing::free([]),
            &Meter::default(),
        )
    };
    let error = bind(&["files read docs", "files write notes"]).unwrap_err();
    assert!(matches!(error, BindError::Mixed { .. }));
    assert!(error.is_refusal());
    assert_eq!(
        bind(&["files read docs", "files read notes"])
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        bind(&["files write docs", "files write notes"])
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_mount_that_is_not_bound_is_refused() {
    let error = Mounts::default()
        .bind(
            &[files("files read notes")],
            &holder("a"),
            &Standing::free([]),
            &Meter::default(),
        )
        .unwrap_err();
    assert!(matches!(error, BindError::Unbound(_)));
}

#[test]
fn a_template_is_checked_when_it_is_read() {
    let new = |path: &str, issuers| Mounts::new(&[mount("m", path)], issuers);
    for bad in ["a/{user}", "a/{tenant", "a/tenant}", "a/{}", "{TENANT}"] {
        assert!(
            matches!(new(bad, 1), Err(MountError::Placeholder { .. })),
            "{bad}"
        );
    }
    for bad in ["", ".", "a/../b", "{tenant}/.."] {
        assert!(matches!(new(bad, 1), Err(MountError::Path { .. })), "{bad}");
    }
    assert!(matches!(
        new("a/{sub}", 2),
        Err(MountError::Ambiguous { .. })
    ));
    assert!(new("a/{iss}/{sub}", 2).is_ok());
    assert!(new("a/{sub}", 1).is_ok());
    assert!(matches!(
        Mounts::new(&[mount("m", "a"), mount("m", "b")], 1),
        Err(MountError::Twice(_))
    ));
}

#[test]
fn an_escaped_value_is_one_plain_name() {
    assert_eq!(escape("alice"), "alice");
    assert_eq!(escape(".."), "%2E%2E");
    assert_eq!(escape("a/b"), "a%2Fb");
    assert_eq!(escape("a%2Fb"), "a%252Fb");
    assert!(escape(&"x".repeat(512)).len() <= VALUE_BYTES_MAX);
    assert_ne!(escape(&"x".repeat(512)), escape(&"x".repeat(511)));
}

proptest! {
    #[test]
    fn two_values_never_share_a_name(a in "\\PC{1,80}", b in "\\PC{1,80}") {
        prop_assert_eq!(a == b, escape(&a) == escape(&b));
        let name = escape(&a);
        prop_assert!(name.len() <= VALUE_BYTES_MAX);
        prop_assert!(name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-%~".contains(&c)));
    }
}
