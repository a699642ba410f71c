//! A process that was taken over: what it can do to the system, and what it can say to the server.

mod drill;
mod effects;
mod lies;
mod lives;
mod reins;
mod shapes;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use tempfile::TempDir;
use wasmtime::component::Component;

use super::birth::{self, Life};
use super::maker::Maker;
use super::pool::Executors;
use crate::catalog::cache::{Cache, Key};
use crate::catalog::compile::testing::compiler;
use crate::catalog::manifest::Wishes;
use crate::catalog::surface::Surface;
use crate::catalog::{Apart, Part};
use crate::engine::testing::engine;
use crate::grant::Holder;
use crate::ids::Digest;
use crate::revocation::Standing;
use crate::sandbox::testing::{granted, guest_bytes, holder, sandbox};
use crate::sandbox::{Outcome, RunContext, Sandbox, Target};

/// A guest that logs, and that has handles of two kinds to let go of.
const IMPORTS: &str = r#"
    (import "bailiwick:tool/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $drop (param i32)))"#;
const CALL: &str = r#"
    (call $log (i32.const 2) (local.get $at) (local.get $len))
    (call $text (local.get $at) (local.get $len))"#;

/// A guest with all that it takes to run it apart.
pub(in crate::sandbox) struct Guest {
    pub(in crate::sandbox) digest: Digest,
    pub(in crate::sandbox) component: Component,
    pub(in crate::sandbox) apart: Apart,
    _cache: TempDir,
}

impl Guest {
    async fn made() -> Self {
        Self::of(&guest_bytes(IMPORTS, CALL)).await
    }

    pub(in crate::sandbox) async fn of(bytes: &[u8]) -> Self {
        let digest = Digest::of(bytes);
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let native = async |part| {
            let key = Key {
                component: digest,
                configuration: engine().configuration_digest(),
                part,
            };
            let code = compiler().compile(bytes, part, cache.dir()).await.unwrap();
            let native = cache.keep(key, &code).unwrap();
            let loaded = native.load(engine().engine()).unwrap();
            (native, loaded)
        };
        let (code, component) = native(Part::Guest).await;
        let (_, mirror) = native(Part::Mirror).await;
        Self {
            digest,
            component,
            apart: Apart { mirror, code },
            _cache: folder,
        }
    }

    /// By which number executors know a function of an import.
    fn function(&self, name: &str) -> Option<u32> {
        let all = Surface::of(engine().engine(), &self.component).functions;
        let found = all.iter().position(|one| one.name == name);
        found.map(|at| u32::try_from(at).unwrap())
    }

    /// By which number they know a resource.
    fn resource(&self, name: &str) -> Option<u32> {
        let all = Surface::of(engine().engine(), &self.component).resources;
        let found = all.iter().position(|one| one.name == name);
        found.map(|at| u32::try_from(at).unwrap())
    }

    async fn call(&self, executors: Arc<Executors>, context: RunContext) -> Outcome {
        let sandbox = sandbox().with_executors(Some(executors));
        self.call_in(&sandbox, context).await
    }

    async fn call_in(&self, sandbox: &Sandbox, context: RunContext) -> Outcome {
        self.call_for(sandbox, &holder(), &[], context).await
    }

    /// A call for this caller, who is granted this.
    async fn call_for(
        &self,
        sandbox: &Sandbox,
        holder: &Holder,
        capabilities: &[&str],
        context: RunContext,
    ) -> Outcome {
        let target = Target {
            component: &self.component,
            apart: Some(&self.apart),
            digest: self.digest,
            package: &"package".parse().unwrap(),
            tool: "tool",
            wishes: &Wishes::default(),
            structured: false,
        };
        let granted = granted(capabilities);
        let standing = Standing::free(granted.iter());
        sandbox
            .run_with(&target, &granted, &standing, holder, "{}", context)
            .await
    }
}

/// A maker that is this very test program, in the test [`maker`], whose processes live what `which` names.
pub(in crate::sandbox) fn maker_of(which: &str) -> Maker {
    maker_with(which, &[])
}

/// The same, whose processes are told this.
fn maker_with(which: &str, told: &[String]) -> Maker {
    let program = std::env::current_exe().unwrap();
    let arguments = [
        "--exact",
        "sandbox::executor::tests::maker",
        "--nocapture",
        super::SUBCOMMAND,
        which,
    ];
    let arguments = arguments.into_iter().map(OsString::from);
    let arguments: Vec<_> = arguments.chain(told.iter().map(OsString::from)).collect();
    Maker::start(&program, &arguments).unwrap()
}

/// No test by itself: what [`maker_of`] starts.
#[test]
fn maker() {
    let arguments: Vec<_> = std::env::args().collect();
    let at = arguments.iter().position(|one| one == super::SUBCOMMAND);
    let Some(which) = at.and_then(|at| arguments.get(at + 1)) else {
        return;
    };
    /// In no namespaces but those of this program.
    const NONE: &[libc::c_int] = &[0];
    let (life, kinds): (Life, _) = match which.as_str() {
        "guest" => (super::child::live, birth::KINDS),
        "drill" => (drill::live, birth::KINDS),
        "drill in none" => (drill::live, NONE),
        "otherwise" => (drill::speaks_otherwise, birth::KINDS),
        "bare" => (drill::bare, NONE),
        "namespaces" => (drill::behind_namespaces, birth::KINDS),
        "landlock" => (drill::behind_walls, NONE),
        "walls" => (drill::behind_walls, birth::KINDS),
        other => panic!("{other}"),
    };
    let control = io::stdin().as_fd().try_clone_to_owned().unwrap();
    birth::attend(&control, life, kinds).unwrap();
}
