//! A host function that panics ends its own call, whichever it is and wherever its guest runs.

mod every;

use std::sync::Arc;

use super::super::bindings::ToolPre;
use super::super::executor::tests::{Guest, maker_of};
use super::super::executor::{Executors, Mirror};
use super::super::link::{self, Kinds};
use super::super::testing::{compiled, context, granted, holder, with_mounts};
use super::super::{Ending, Outcome, Sandbox, Target};
use super::text;
use crate::capability::{CapabilitySet, Kind};
use crate::catalog::manifest::Wishes;
use crate::catalog::surface::Surface;
use crate::config::{Mount, Quota};
use crate::host::files::Mounts;
use crate::revocation::Standing;
use every::{Every, argument};

/// Whatever has functions of its own where it is granted.
const GRANTED: [&str; 11] = [
    "http GET a.example /",
    "files write notes",
    "clock",
    "progress",
    "ask",
    "kv write notes",
    "config key",
    "secret token a.example bearer",
    "call fetch",
    "claims email",
    "reveal email",
];
/// What the guest answers, calling nothing.
const NOTHING: &str = "none";

/// A sandbox with a guest that calls whatever it is told to, under these grants.
struct Bench<'a> {
    sandbox: &'a Sandbox,
    guest: &'a Guest,
    granted: CapabilitySet,
}

impl Bench<'_> {
    /// Links the guest as it is linked for a call, with what gives it handles beside.
    fn link(&self, every: &Every) {
        let engine = self.sandbox.engine.engine();
        let kinds = Kinds::of(&self.granted);
        let mut linker = link::linker(engine, &compiled(&every.imports), kinds).unwrap();
        every.give_handles(&mut linker);
        let (key, apart) = ((self.guest.digest, kinds), &self.guest.apart);
        if self.sandbox.executors.is_some() {
            let pre = linker.instantiate_pre(&apart.mirror).unwrap();
            let mirror = Mirror::of(engine, &self.guest.component, &apart.mirror, pre).unwrap();
            self.sandbox.mirrors.insert(key, Arc::new(mirror));
        } else {
            let pre = linker.instantiate_pre(&self.guest.component).unwrap();
            let pre = ToolPre::new(pre).unwrap();
            self.sandbox.linked.insert(key, Arc::new(pre));
        }
    }

    async fn call(&self, what: &str) -> Outcome {
        let target = Target {
            component: &self.guest.component,
            apart: Some(&self.guest.apart),
            digest: self.guest.digest,
            package: &"package".parse().unwrap(),
            tool: "tool",
            wishes: &Wishes::default(),
            structured: false,
        };
        let standing = Standing::free(self.granted.iter());
        let holder = holder();
        self.sandbox
            .run_with(&target, &self.granted, &standing, &holder, what, context())
            .await
    }

    /// Breaks each function in turn, in one of two calls that are made at once.
    async fn break_each(&self, every: &Every) {
        for (number, name) in every.names.iter().enumerate() {
            let before = self.sandbox.panics();
            self.sandbox.faults.arm(name);
            let which = argument(number);
            let (broken, neighbour) = tokio::join!(self.call(&which), self.call(NOTHING));
            assert!(
                matches!(&broken.ending, Ending::Fault(why) if why.contains(name)),
                "{name}: {:?}",
                broken.ending
            );
            assert_eq!(text(&neighbour), NOTHING, "{name}");
            assert_eq!(self.sandbox.panics(), before + 1, "{name}");
            assert_eq!(self.sandbox.places().0, 0, "{name}");
            assert_eq!(self.sandbox.turns(), (0, 0), "{name}");
        }
        assert_eq!(text(&self.call(NOTHING).await), NOTHING);
    }
}

#[tokio::test]
async fn a_panic_of_any_host_function_ends_its_own_call_and_no_other() {
    let every = Every::made();
    let guest = Guest::of(&every.guest).await;
    let engine = crate::engine::testing::engine();
    let surface = Surface::of(engine.engine(), &guest.component);
    // Each resource is let go of by one function and given by another, which is none of ours.
    assert_eq!(
        surface.functions.len() + surface.resources.len(),
        every.count()
    );
    assert!(every.names.len() > 200, "{}", every.names.len());
    let root = tempfile::tempdir().unwrap();
    let mount = Mount {
        name: "notes".parse().unwrap(),
        path: root.path().display().to_string(),
        quota: Quota::default(),
    };
    for apart in [false, true] {
        let executors = match apart {
            true => Some(Executors::open(maker_of("guest")).await.unwrap()),
            false => None,
        };
        let mounts = Mounts::new(std::slice::from_ref(&mount), 1).unwrap();
        let sandbox = with_mounts(mounts).with_executors(executors);
        for capabilities in [&[][..], &GRANTED] {
            let bench = Bench {
                sandbox: &sandbox,
                guest: &guest,
                granted: granted(capabilities),
            };
            let kinds = bench.granted.kinds().len();
            // Two kinds have no interface.
            assert!(kinds == 0 || kinds + 2 == Kind::ALL.len());
            bench.link(&every);
            bench.break_each(&every).await;
        }
    }
}
