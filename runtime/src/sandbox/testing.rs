//! Guests for tests, written as core modules and made components as `component new` does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::{Given, Outcome, RunContext, Sandbox, Services, Target};
use crate::capability::CapabilitySet;
use crate::catalog::manifest::Wishes;
use crate::clock::{ManualClock, Timestamp};
use crate::dialogue::Asking;
use crate::engine;
use crate::grant::Holder;
use crate::host::files::Mounts;
use crate::ids::{Digest, User};
use crate::revocation::Standing;

/// When calls begin.
pub(crate) const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// What every guest has: memory, an allocator that only grows, replies of one text, and numbers as hexadecimal text.
const COMMON: &str = r#"
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 65536))
    (func $realloc (export "cabi_realloc")
        (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
        (global.set $next (i32.add (local.get $at) (local.get $len)))
        (block $enough
            (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
            (br_if $enough (i32.ne (i32.const -1)
                (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $len) (i32.const 16))))))
            unreachable)
        (local.get $at))
    (func $text (param $at i32) (param $len i32) (result i32)
        (i32.store (i32.const 1024) (i32.const 0))
        (i32.store (i32.const 1028) (i32.const 1040))
        (i32.store (i32.const 1032) (i32.const 1))
        (i32.store (i32.const 1036) (i32.const 0))
        (i32.store (i32.const 1040) (i32.const 0))
        (i32.store (i32.const 1048) (local.get $at))
        (i32.store (i32.const 1052) (local.get $len))
        (i32.const 1024))
    (func $hex (param $number i64) (result i32)
        (local $at i32) (local $digit i32)
        (local.set $at (i32.const 2064))
        (loop $digits
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (local.set $digit (i32.and (i32.wrap_i64 (local.get $number)) (i32.const 15)))
            (i32.store8 (local.get $at) (i32.add (local.get $digit)
                (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
            (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
            (br_if $digits (i32.gt_u (local.get $at) (i32.const 2048))))
        (call $text (i32.const 2048) (i32.const 16)))
    (func (export "bailiwick:tool/handler@0.1.0#describe") (result i32) (i32.const 512))
"#;

/// A guest with these imports and fields whose `call` has this body. The body sees `$name`, `$name_len`, `$at` and
/// `$len` (the arguments) and returns the address of a result: of `$text` or `$hex`.
pub(crate) fn guest(fields: &str, call: &str) -> Component {
    compiled(&guest_bytes(fields, call))
}

#[expect(clippy::disallowed_methods, reason = "a component of a test")]
pub(crate) fn compiled(bytes: &[u8]) -> Component {
    Component::new(engine::testing::engine().engine(), bytes).expect("a component that compiles")
}

/// The same before it is compiled.
pub(crate) fn guest_bytes(fields: &str, call: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit");
    resolve.push_dir(wit).expect("our interfaces");
    let package = resolve
        .push_str("testing.wit", include_str!("testing.wit"))
        .expect("the interfaces of the tests");
    let world = resolve
        .select_world(&[package], Some("guest"))
        .expect("the world");
    encoded(&resolve, world, fields, call)
}

/// One of another world.
pub(crate) fn encoded(resolve: &Resolve, world: WorldId, fields: &str, call: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {fields} {COMMON}
            (func (export "bailiwick:tool/handler@0.1.0#call")
                (param $name i32) (param $name_len i32) (param $at i32) (param $len i32) (result i32)
                {call}))"#
    );
    let mut module = wat::parse_str(&text).expect("a module");
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .expect("a module")
        .encode()
        .expect("a component")
}

/// A guest that answers its arguments.
pub(crate) fn echo() -> Component {
    guest("", "(call $text (local.get $at) (local.get $len))")
}

pub(crate) fn holder() -> Holder {
    Holder {
        tenant: "acme".parse().expect("a tenant"),
        user: User {
            issuer: "https://as.test".parse().expect("an issuer"),
            subject: "alice".parse().expect("a subject"),
        },
        client: "client-1".parse().expect("a client"),
    }
}

pub(crate) fn context() -> RunContext {
    RunContext {
        deadline: Duration::from_secs(10),
        progress: None,
        asking: Asking::default(),
        cancel: CancellationToken::new(),
        clock: Arc::new(ManualClock::new(BEGIN)),
        given: Given::default(),
    }
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(engine::testing::engine(), Services::none())
}

pub(crate) fn with_mounts(mounts: Mounts) -> Sandbox {
    Sandbox::new(
        engine::testing::engine(),
        Services {
            mounts,
            ..Services::none()
        },
    )
}

pub(crate) fn granted(capabilities: &[&str]) -> CapabilitySet {
    capabilities
        .iter()
        .map(|text| text.parse().expect("a capability"))
        .collect()
}

/// One call of a component, under grants that no consent was needed for.
pub(crate) async fn run(
    sandbox: &Sandbox,
    component: &Component,
    capabilities: &[&str],
    arguments: &str,
    context: RunContext,
) -> Outcome {
    let granted = granted(capabilities);
    let standing = Standing::free(granted.iter());
    run_on(sandbox, component, &granted, &standing, arguments, context).await
}

/// The same on consents that may end.
pub(crate) async fn run_on(
    sandbox: &Sandbox,
    component: &Component,
    granted: &CapabilitySet,
    standing: &Standing,
    arguments: &str,
    context: RunContext,
) -> Outcome {
    let wishes = Wishes {
        memory_mib: Some(16),
        timeout_ms: None,
    };
    let target = Target {
        apart: None,
        component,
        digest: Digest::of(format!("{:?}", component.image_range()).as_bytes()),
        package: &"package".parse().expect("a name"),
        tool: "tool",
        wishes: &wishes,
        structured: false,
    };
    sandbox
        .run_with(&target, granted, standing, &holder(), arguments, context)
        .await
}
