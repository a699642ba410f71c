//! A server that gave up what it does not need still does all that it is for, and is seen from outside to have given it up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::cli::bailiwick;
use crate::harness::{Caller, free_ports, program, run, tool};

/// A development server as a process of its own, ended when it goes out of scope.
struct Serving {
    child: Child,
    /// Held open: a server whose output nobody takes ends.
    _out: BufReader<ChildStdout>,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Starts one in a folder; the first line of its output says that it serves.
    fn start(folder: &Path) -> Self {
        Self::on(folder, free_ports())
    }

    /// At this port.
    fn on(folder: &Path, port: u16) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--dev", "--dir", "dev", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder)
            .env_remove("RUST_LOG")
            .env_remove("BAILIWICK_CONFIG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        assert_eq!(first.trim(), format!("bailiwick serves MCP at {url}/mcp"));
        Self {
            child,
            _out: out,
            url,
        }
    }

    /// A line of what the kernel says of the process.
    fn status(&self, name: &str) -> String {
        let file = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .trim_start_matches(':')
            .trim()
            .to_owned()
    }
}

/// Puts a package where the server looks for it, and waits until it is listed.
async fn admitted(server: &Serving, caller: &Caller, folder: &Path, name: &str) {
    let file = folder.join(format!("dev/tools.d/{name}.wasm"));
    std::fs::write(file, &*tool(name).await).unwrap();
    for _ in 0..600 {
        if caller.list().await.iter().any(|one| one.starts_with(name)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("`{name}` is not served at {}", server.url);
}

#[test]
fn a_server_that_gave_up_what_it_does_not_need_compiles_asks_and_serves() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = Serving::start(folder.path());
        assert_eq!(server.status("NoNewPrivs"), "1");
        assert_eq!(server.status("Seccomp"), "2");
        let arguments = ["token", "--dir", "dev", "--user", "alice"];
        let token = bailiwick(folder.path(), &arguments).ends(0);
        let alice = Caller::at(&server.url, token.trim());
        admitted(&server, &alice, folder.path(), "hello").await;
        admitted(&server, &alice, folder.path(), "notes").await;
        let hello = alice.call("hello", json!({"name": "Ada"})).await;
        assert!(hello.is_reply(), "{hello:?}");
        let write = json!({"name": "list", "text": "milk"});
        let asked = alice.call("notes_write", write).await;
        assert!(asked.link().is_some(), "{asked:?}");
    });
}

/// The address in a configuration.
fn listening(config: &str) -> String {
    let from = config.split_once("listen = \"").unwrap().1;
    from.split_once('"').unwrap().0.to_owned()
}

#[test]
fn the_operator_says_whether_it_is_given_up() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("dev/bailiwick.toml");
        drop(Serving::start(folder.path()));
        let usual = std::fs::read_to_string(&config).unwrap();
        for (said, filters) in [("off", "0"), ("require", "2")] {
            // The port of the first start is in it.
            let text = format!("hardening = \"{said}\"\n{usual}");
            std::fs::write(&config, text).unwrap();
            let port = listening(&usual)
                .rsplit_once(':')
                .unwrap()
                .1
                .parse()
                .unwrap();
            let server = Serving::on(folder.path(), port);
            assert_eq!(server.status("Seccomp"), filters, "{said}");
        }
        // Asked, it says the same.
        let watching = free_ports();
        let port = free_ports();
        let config_text = usual.replace(&listening(&usual), &format!("127.0.0.1:{port}"));
        let telemetry = format!("{config_text}\n[telemetry]\nlisten = \"127.0.0.1:{watching}\"\n");
        std::fs::write(&config, telemetry).unwrap();
        let live = ["check", "--dir", "dev", "--live"];
        let nobody = bailiwick(folder.path(), &live);
        assert!(nobody.out.contains("no server answers"), "{}", nobody.out);
        let server = Serving::on(folder.path(), port);
        let told = bailiwick(folder.path(), &live).ends(0);
        assert!(
            told.contains("  files: active") && told.contains("  system-calls: active"),
            "{told}"
        );
        drop(server);
        std::fs::write(&config, format!("hardening = \"perhaps\"\n{usual}")).unwrap();
        let wrong = bailiwick(folder.path(), &["check", "--config", "dev/bailiwick.toml"]);
        assert!(wrong.out.contains("prefer"), "{}", wrong.out);
    });
}
