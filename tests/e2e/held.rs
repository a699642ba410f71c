//! Secrets that the configuration names are said by no command, stand in no core file, and are used from no file that others
//! can read.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{config_text, free_ports, http, private_file, program, run, until};

/// In every planted secret and in nothing else.
const WORD: &str = "persimmon";

const MORE: &str = r#"
[[issuer]]
issuer = "https://as.example"
jwks_file = "keys.json"
algorithms = ["ES256"]
dpop = "required"
dpop_nonce = true
[issuer.introspection]
url = "http://127.0.0.1:9/introspect"
client_id = "bailiwick"
client_secret_file = "asked-as"
[sign_in]
issuer = "https://as.example"
client_id = "bailiwick-web"
client_secret_file = "signs-in-as"
[[secret]]
name = "by-file"
file = "by-file"
hosts = ["a.example"]
form = "bearer"
[[secret]]
name = "by-variable"
env = "PLANTED"
hosts = ["b.example"]
form = "bearer"
"#;
/// The files of `MORE` that hold a secret.
const FILES: [&str; 3] = ["asked-as", "signs-in-as", "by-file"];

fn folder() -> (tempfile::TempDir, u16) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for sub in ["tools.d", "policy.d"] {
        std::fs::create_dir(at(sub)).unwrap();
    }
    for name in FILES {
        private_file(&at(name), &format!("{WORD}-{name}"));
    }
    let key = bailiwick::idp::SigningKey::generate().unwrap();
    std::fs::write(at("keys.json"), key.key_set().to_string()).unwrap();
    let port = free_ports();
    let config = config_text(&format!("http://127.0.0.1:{port}"), port, MORE);
    std::fs::write(at("bailiwick.toml"), config).unwrap();
    (folder, port)
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "info,bailiwick=trace")
        .env("PLANTED", format!("{WORD}-by-variable"))
        .env_remove("BAILIWICK_CONFIG");
    command
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn no_command_says_a_secret_and_one_that_others_can_read_is_told() {
    let (folder, _) = folder();
    let folder = folder.path();
    let check = ["check", "--config", "bailiwick.toml"];
    for arguments in [
        &["--help"][..],
        &["help"],
        &["serve", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["token", "--help"],
        &["keys", "--help"],
        &check,
    ] {
        let output = command(folder, arguments).output().unwrap();
        let said = said(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!said.contains(WORD), "{arguments:?}");
    }
    for name in FILES {
        let file = folder.join(name);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        let output = command(folder, &check).output().unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{name}: {said}");
        assert!(said.contains("chmod 600"), "{name}: {said}");
        assert!(!said.contains(WORD), "{name}");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    // The search finds what is there.
    let file = std::fs::read_to_string(folder.join("by-file")).unwrap();
    assert!(file.contains(WORD));
}

/// Ends the server whatever becomes of the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_that_is_killed_by_a_fault_leaves_no_core_and_said_no_secret() {
    run(async {
        let (folder, port) = folder();
        let mut command = command(folder.path(), &["serve", "--config", "bailiwick.toml"]);
        let log = folder.path().join("server.log");
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut serving = Serving(command.spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}");
        until("it answers", async || {
            http().get(format!("{url}/healthz")).send().await.ok()
        })
        .await;
        // Bad tokens of each kind are told in the log, and nothing of them.
        for (scheme, token) in [
            ("Bearer", "a.b.c"),
            ("DPoP", "opaque"),
            ("Bearer", "opaque"),
        ] {
            let token = format!("{WORD}-{token}");
            let request = http().post(format!("{url}/mcp")).header("dpop", &token);
            let request = request.header("authorization", format!("{scheme} {token}"));
            let answer = request.send().await.unwrap();
            assert!(
                matches!(answer.status().as_u16(), 401 | 503),
                "{scheme} {token}"
            );
            let headers = format!("{:?}", answer.headers());
            assert!(!headers.contains(WORD) && !answer.text().await.unwrap().contains(WORD));
        }
        let id = serving.0.id();
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let core: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
        assert_eq!(core, ["0", "0"]);
        let killed = kill_process(Pid::from_child(&serving.0), Signal::ABORT);
        killed.unwrap();
        let status = serving.0.wait().unwrap();
        assert!(
            status.signal().is_some() && !status.core_dumped(),
            "{status:?}"
        );
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(said.contains("a token was refused"), "{said}");
        assert!(!said.contains(WORD), "{said}");
    });
}
