//! The one Wasmtime engine of the process: every knob set, and a thread that ticks.
//!
//! Never compiles foreign bytes by itself and never runs a guest; it says what compiled code must fit.

mod imports;
mod map_count;
mod mapped;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what does not compile is tried here"
)]
mod proposals;
mod settings;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::thread;

use aws_lc_rs::digest;
use wasmtime::{Engine, EngineWeak};

pub(crate) use imports::parse;
pub use imports::{ImportClass, Ours, classify, unknown};
pub use settings::Pool;
pub(crate) use settings::{
    CORE_INSTANCES_PER_COMPONENT_MAX, MEMORIES_PER_COMPONENT_MAX, TABLES_PER_COMPONENT_MAX,
};

use crate::ids::Digest;
use crate::limits::EPOCH_TICK;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine refused its configuration, mostly for lack of address space.
    #[error(
        "the engine did not start; its pool reserves 4 GiB of address space for each call in flight and for 100 more, so raise \
         `ulimit -v`, or lower `server.calls_in_flight_max`"
    )]
    Start(#[source] wasmtime::Error),
    /// The kernel lets a process have too few mappings.
    #[error(
        "the engine did not start; {calls} calls in flight may take {needed} mappings and a process may have {allowed} here; raise the sysctl \
         `vm.max_map_count`, or lower `server.calls_in_flight_max`"
    )]
    Mappings {
        calls: u32,
        needed: u64,
        allowed: u64,
    },
    /// The thread that ticks did not start.
    #[error("the engine's clock thread did not start")]
    Clock(#[source] std::io::Error),
}

/// The engine and its tick.
pub struct WasmEngine {
    engine: Engine,
    pool: Pool,
}

impl WasmEngine {
    /// The engine that serves, with a pool of this size.
    pub fn new(pool: Pool) -> Result<Self, EngineError> {
        map_count::suffice(pool)?;
        let engine = Engine::new(&settings::serving(pool)).map_err(EngineError::Start)?;
        tick(engine.weak()).map_err(EngineError::Clock)?;
        Ok(Self { engine, pool })
    }

    /// An engine for the process that compiles: what it compiles loads in the engine that serves.
    pub fn for_compiler() -> Result<Engine, EngineError> {
        Engine::new(&settings::compiling()).map_err(EngineError::Start)
    }

    /// An engine for a process that runs one call at a time of code that it mapped itself, and whose time another process
    /// watches: nothing ticks.
    pub fn for_executor() -> Result<Engine, EngineError> {
        let mut config = settings::serving(Pool::ONE);
        config.with_custom_code_memory(Some(Arc::new(mapped::Mapped::new())));
        Engine::new(&config).map_err(EngineError::Start)
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How large its pool is.
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// What native code must have been compiled for, in one digest: versions, target and every setting that compiling
    /// depends on.
    pub fn configuration_digest(&self) -> Digest {
        compatibility_digest(&self.engine)
    }
}

/// The same digest for any engine: the compiling process names its own.
pub fn compatibility_digest(engine: &Engine) -> Digest {
    let mut hasher = Sha256(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    let mut all = b"bailiwick native code ".to_vec();
    all.extend_from_slice(hasher.0.finish().as_ref());
    Digest::of(&all)
}

/// A hasher that does not depend on the build of the standard library.
struct Sha256(digest::Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let whole = self.0.clone().finish();
        let mut first = [0; 8];
        first
            .iter_mut()
            .zip(whole.as_ref())
            .for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(first)
    }
}

/// Starts the thread that moves the epoch; it ends with the engine.
fn tick(engine: EngineWeak) -> Result<(), std::io::Error> {
    thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(EPOCH_TICK);
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.increment_epoch();
            }
        })
        .map(drop)
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::{Arc, OnceLock};

    use super::{Pool, WasmEngine};

    /// One engine for all tests of the process, as in the server.
    pub(crate) fn engine() -> Arc<WasmEngine> {
        static ENGINE: OnceLock<Arc<WasmEngine>> = OnceLock::new();
        ENGINE
            .get_or_init(|| {
                Arc::new(
                    WasmEngine::new(Pool {
                        calls_in_flight_max: 64,
                        hot_tools_max: 16,
                    })
                    .unwrap(),
                )
            })
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a component of a test")]
    fn what_the_compiler_makes_loads_where_it_is_served() {
        let compiler = WasmEngine::for_compiler().unwrap();
        let serving = testing::engine();
        assert_eq!(
            compatibility_digest(&compiler),
            serving.configuration_digest()
        );
        let code = compiler
            .precompile_component(&wat::parse_str("(component)").unwrap())
            .unwrap();
        // SAFETY: the bytes were compiled a line above.
        #[expect(unsafe_code, reason = "loading native code is what is tested")]
        let component = unsafe { Component::deserialize(serving.engine(), &code) };
        component.unwrap();
    }

    #[test]
    fn native_code_of_another_configuration_has_another_digest() {
        let mut other = settings::compiling();
        other.consume_fuel(true);
        assert_ne!(
            compatibility_digest(&Engine::new(&other).unwrap()),
            testing::engine().configuration_digest()
        );
    }
}
