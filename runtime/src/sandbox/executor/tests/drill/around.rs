//! What lies around an executor, for it to reach: files, listeners, and another process of its user.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::RawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::super::super::SUBCOMMAND;
use super::super::super::birth::NOBODY;

/// What is readable for everybody.
const FILE: &str = "file";
/// What is there when somebody could write.
const MADE: &str = "made";
/// A listener that has a path.
const SOCKET: &str = "socket";

/// The surroundings as an executor is told of them.
pub(super) struct Around {
    /// Another process of its user.
    pub(super) pid: i32,
    pub(super) tcp: u16,
    pub(super) udp: u16,
    folder: String,
    /// The number of its own socket.
    pub(super) socket: RawFd,
}

impl Around {
    /// From the arguments of this program.
    pub(super) fn told(socket: RawFd) -> Self {
        let mut told = std::env::args().skip_while(|one| one != SUBCOMMAND).skip(2);
        let mut next = || told.next().unwrap();
        Self {
            pid: next().parse().unwrap(),
            tcp: next().parse().unwrap(),
            udp: next().parse().unwrap(),
            folder: next(),
            socket,
        }
    }

    pub(super) fn file(&self) -> String {
        format!("{}/{FILE}", self.folder)
    }

    pub(super) fn made(&self) -> String {
        format!("{}/{MADE}", self.folder)
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{SOCKET}", self.folder)
    }

    /// The name of a listener that has no path.
    pub(super) fn name(&self) -> String {
        name(self.tcp)
    }
}

fn name(tcp: u16) -> String {
    format!("bailiwick-drill-{tcp}")
}

/// The surroundings.
pub(super) struct Surroundings {
    folder: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    path: UnixListener,
    name: UnixListener,
    other: Child,
}

impl Surroundings {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name| folder.path().join(name);
        let open = |path: PathBuf, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        open(folder.path().to_owned(), 0o777);
        std::fs::write(inside(FILE), "contents").unwrap();
        open(inside(FILE), 0o644);
        let path = UnixListener::bind(inside(SOCKET)).unwrap();
        open(inside(SOCKET), 0o777);
        path.set_nonblocking(true).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let address = SocketAddr::from_abstract_name(name(tcp.local_addr().unwrap().port()));
        let name = UnixListener::bind_addr(&address.unwrap()).unwrap();
        name.set_nonblocking(true).unwrap();
        let mut other = Command::new("sleep");
        other.arg("600");
        if rustix::process::geteuid().is_root() {
            // Executors are not root either.
            other.uid(NOBODY).gid(NOBODY);
        }
        Self {
            other: other.spawn().unwrap(),
            folder,
            tcp,
            udp,
            path,
            name,
        }
    }

    /// For [`Around::told`].
    pub(super) fn told(&self) -> [String; 4] {
        [
            self.other.id().to_string(),
            self.tcp.local_addr().unwrap().port().to_string(),
            self.udp.local_addr().unwrap().port().to_string(),
            self.folder.path().to_str().unwrap().to_owned(),
        ]
    }

    /// What somebody reached.
    pub(super) fn touched(&self) -> Vec<&'static str> {
        let was = |outcome: io::Result<()>| match outcome {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        };
        let all = [
            ("a file", self.folder.path().join(MADE).exists()),
            ("tcp", was(self.tcp.accept().map(drop))),
            ("udp", was(self.udp.recv(&mut [0]).map(drop))),
            ("path", was(self.path.accept().map(drop))),
            ("abstract", was(self.name.accept().map(drop))),
        ];
        { all.into_iter() }
            .filter_map(|(what, was)| was.then_some(what))
            .collect()
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        // One that ended by itself is as good.
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}
