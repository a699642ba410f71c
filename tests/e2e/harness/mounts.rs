//! Disks that a test has for itself, without any privilege.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::skipped;

/// A shell with a name space of mounts of its own, in which there are disks that only its servers see: small ones, full ones, and
/// ones that nobody may write to.
pub struct Mounts {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Mounts {
    /// In a name space of users of its own as well, so that it needs no privilege. None where this machine lets nobody make one;
    /// that is told.
    pub fn of_users() -> Option<Self> {
        let made = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut shell = match made {
            Ok(shell) => shell,
            Err(error) => {
                skipped(&format!("`unshare` cannot be run: {error}"));
                return None;
            }
        };
        let mut mounts = Self {
            input: shell.stdin.take().unwrap(),
            output: BufReader::new(shell.stdout.take().unwrap()),
            shell,
        };
        let folder = tempfile::tempdir().unwrap();
        let mount = format!(
            "mount -t tmpfs tmpfs {0} && umount {0}",
            folder.path().display()
        );
        if !mounts.run(&mount) {
            skipped("nobody may mount anything here, also in a name space of their own");
            return None;
        }
        // By which servers are started in it.
        if !mounts.run("command -v nsenter >/dev/null") {
            skipped("there is no `nsenter`");
            return None;
        }
        Some(mounts)
    }

    /// Runs a command in it. Whether it went well.
    pub fn run(&mut self, command: &str) -> bool {
        let line = format!("if {{ {command}; }} >&2 </dev/null; then echo yes; else echo no; fi\n");
        let mut said = String::new();
        let asked = self.input.write_all(line.as_bytes());
        asked.is_ok() && self.output.read_line(&mut said).is_ok() && said.trim() == "yes"
    }

    /// How a program is started in it, in this folder.
    pub fn within(&self, dir: &Path) -> Vec<String> {
        let (id, dir) = (self.shell.id().to_string(), dir.display().to_string());
        let mut words = vec!["nsenter", "-t", &*id, "-m", "-U", "--preserve-credentials"];
        words.extend(["sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh", &*dir]);
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        // What was mounted goes with the last process that sees it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
