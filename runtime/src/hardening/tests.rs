//! Each thing that is let go of is tried, before and after, on a thread of its own: what it lets go of is its own alone.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

use super::*;

/// What `work` gives on a thread that let go of everything but these places.
fn within<T: Send>(places: &Places, work: impl FnOnce(&Report) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut report = Report(Vec::new());
            report.note(Layer::NoNewPrivileges, no_new_privileges());
            files::restrict(places, &mut report);
            report.note(Layer::SystemCalls, calls::restrict(places.network));
            work(&report)
        });
        thread.join().unwrap()
    })
}

fn is_active(report: &Report, layer: Layer) -> bool {
    report.layers().any(|one| one == (layer, &State::Active))
}

#[test]
fn files_outside_are_not_there_and_those_inside_are() {
    let root = tempfile::tempdir().unwrap();
    let [mine, read, other] = ["mine", "read", "other"].map(|name| root.path().join(name));
    for folder in [&mine, &read, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), "contents").unwrap();
    }
    std::os::unix::fs::symlink(&other, mine.join("way-out")).unwrap();
    let places = Places {
        read: vec![read.clone()],
        ..Places::only(&mine)
    };
    within(&places, |report| {
        assert!(is_active(report, Layer::Files), "{report:?}");
        assert_eq!(fs::read(mine.join("file")).unwrap(), b"contents");
        fs::write(mine.join("new"), "more").unwrap();
        fs::rename(mine.join("new"), mine.join("newer")).unwrap();
        fs::remove_file(mine.join("newer")).unwrap();
        assert_eq!(fs::read(read.join("file")).unwrap(), b"contents");

        for refused in [
            fs::read(other.join("file")).map(drop),
            fs::read(mine.join("way-out/file")).map(drop),
            fs::read("/etc/hostname").map(drop),
            fs::read_dir("/").map(drop),
            fs::write(read.join("file"), "changed"),
            fs::write(other.join("file"), "changed"),
            fs::rename(mine.join("file"), other.join("moved")),
            fs::hard_link(mine.join("file"), other.join("linked")),
        ] {
            let error = refused.unwrap_err();
            assert!(
                matches!(error.raw_os_error(), Some(libc::EACCES | libc::EXDEV)),
                "{error}"
            );
        }
        assert!(Command::new("/bin/true").status().is_err());
    });
    assert_eq!(fs::read(other.join("file")).unwrap(), b"contents");
    assert!(Command::new("/bin/true").status().unwrap().success());
}

#[test]
fn no_port_but_its_own_is_listened_on_and_without_a_network_there_is_none() {
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let (own, other) = (free(), free());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    let places = Places {
        ports: vec![own.port()],
        network: Network::Internet,
        ..Places::default()
    };
    within(&places, |report| {
        assert!(is_active(report, Layer::Ports), "{report:?}");
        TcpListener::bind(own).unwrap();
        TcpStream::connect(upstream).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(
            TcpListener::bind(other).unwrap_err().raw_os_error(),
            Some(libc::EACCES)
        );
    });
    within(&Places::default(), |_| {
        for refused in [
            TcpListener::bind(own).map(drop),
            TcpStream::connect(upstream).map(drop),
            UdpSocket::bind("127.0.0.1:0").map(drop),
        ] {
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    });
    TcpListener::bind(other).unwrap();
}

#[test]
fn system_calls_that_no_server_needs_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let places = Places {
        network: Network::Internet,
        ..Places::only(root.path())
    };
    let netlink = || {
        rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)
            .map(drop)
            .map_err(|error| error == Errno::PERM)
    };
    // The check can fail: before, there is such a socket.
    assert_eq!(netlink(), Ok(()));
    within(&places, |report| {
        assert!(is_active(report, Layer::SystemCalls), "{report:?}");
        assert_eq!(netlink(), Err(true));
        let device = mknodat(CWD, root.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0);
        assert_eq!(device, Err(Errno::PERM));
        assert_eq!(rustix::process::chroot(root.path()), Err(Errno::PERM));
        // A thread is still made, by the older call of the two.
        std::thread::spawn(|| ()).join().unwrap();
    });
    mknodat(CWD, root.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
}

#[test]
fn what_is_required_and_missing_is_named() {
    let mut report = Report(Vec::new());
    report.note(Layer::Files, Ok(()));
    report.note(Layer::Scope, Err("this kernel is older".to_owned()));
    assert_eq!(
        report.absent(),
        [
            "signals and abstract sockets to the outside (Landlock, Linux 6.12): this kernel is older"
        ]
    );
    let refused = Unhardened(report.absent()).to_string();
    assert!(refused.contains("this kernel is older") && refused.contains("\"prefer\""));
    assert_eq!(Report::off().absent().len(), Layer::ALL.len());
    assert!(apply(Hardening::Off, &Places::default()).is_ok());
}
