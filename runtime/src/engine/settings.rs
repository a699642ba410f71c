//! Every knob of the engine, set and never left to a default.

use std::num::NonZeroUsize;

use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    ProfilingStrategy, Strategy, WasmBacktraceDetails, WasmFeatures,
};

use crate::limits::{
    CALLS_IN_FLIGHT_MAX, FIBRE_STACK_BYTES, MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX,
    WASM_STACK_BYTES_MAX,
};

/// Address space of one linear memory, in bytes: all that 32 bits reach, so that no access needs a check.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
/// Unmapped space around a memory, in bytes: catches the offset of an instruction.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;
/// What of a slot's memory stays mapped between calls, in bytes: a guest with a 64 KiB stack dirties no more.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 128 << 10;
/// The same for a table.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// The same for a fibre's stack. All of it is written to after each call, and few calls go deeper; a deeper one pays with
/// page faults.
const STACK_KEEP_RESIDENT_BYTES: usize = 32 << 10;
/// Core instances of one component: interpreters are linked from a dozen or two shared libraries.
pub(crate) const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 32;
/// Linear memories of one component; an adapter may bring a second.
pub(crate) const MEMORIES_PER_COMPONENT_MAX: u32 = 2;
/// Tables of one component: its own, and one for the indirect calls that `component new` adds.
pub(crate) const TABLES_PER_COMPONENT_MAX: u32 = 4;
/// Host-side bookkeeping of one core instance or component, in bytes.
const INSTANCE_BYTES_MAX: usize = 1 << 20;
/// Frames of a guest's backtrace, for the operator's log.
const BACKTRACE_FRAMES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Proposals that are off: what is not needed cannot be hit. Several of them are on by default.
const OFF: [WasmFeatures; 25] = [
    WasmFeatures::TAIL_CALL,
    WasmFeatures::THREADS,
    WasmFeatures::SHARED_EVERYTHING_THREADS,
    WasmFeatures::MEMORY64,
    WasmFeatures::MULTI_MEMORY,
    WasmFeatures::CUSTOM_PAGE_SIZES,
    WasmFeatures::WIDE_ARITHMETIC,
    WasmFeatures::RELAXED_SIMD,
    WasmFeatures::FUNCTION_REFERENCES,
    WasmFeatures::GC,
    WasmFeatures::GC_TYPES,
    WasmFeatures::EXCEPTIONS,
    WasmFeatures::LEGACY_EXCEPTIONS,
    WasmFeatures::STACK_SWITCHING,
    WasmFeatures::MEMORY_CONTROL,
    WasmFeatures::CM_ASYNC,
    WasmFeatures::CM_MORE_ASYNC_BUILTINS,
    WasmFeatures::CM_ASYNC_STACKFUL,
    WasmFeatures::CM_THREADING,
    WasmFeatures::CM_ERROR_CONTEXT,
    WasmFeatures::CM_GC,
    WasmFeatures::CM_MAP,
    WasmFeatures::CM64,
    WasmFeatures::CM_FIXED_LENGTH_LISTS,
    WasmFeatures::CM_IMPLEMENTS,
];

/// How large the pool of instances is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Calls in flight at once.
    pub calls_in_flight_max: u32,
    /// Slots that stay warm for the tools that are called most.
    pub hot_tools_max: u32,
}

impl Pool {
    /// That of a process which runs one call at a time.
    pub const ONE: Self = Self {
        calls_in_flight_max: 1,
        hot_tools_max: 1,
    };
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            calls_in_flight_max: CALLS_IN_FLIGHT_MAX,
            hot_tools_max: 100,
        }
    }
}

/// The engine that serves: instances come from a pool.
pub(super) fn serving(pool: Pool) -> Config {
    let mut config = compiling();
    config
        .parallel_compilation(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(pool)));
    config
}

/// The engine of the process that compiles: the same code, no pool.
pub(super) fn compiling() -> Config {
    let mut config = Config::new();
    proposals(&mut config);
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_debug_verifier(false)
        .cranelift_nan_canonicalization(false)
        .parallel_compilation(true)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        // time
        .epoch_interruption(true)
        .consume_fuel(false)
        // stacks
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .async_stack_size(FIBRE_STACK_BYTES)
        .async_stack_zeroing(true)
        // memory
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_reservation_for_growth(0)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .guard_before_linear_memory(true)
        .memory_may_move(false)
        .signals_based_traps(true)
        .memory_init_cow(true)
        .table_lazy_init(true)
        // nothing that shows a guest's data or adds a surface
        .debug_info(false)
        .profiler(ProfilingStrategy::None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES_MAX))
        .native_unwind_info(false)
        .concurrency_support(false)
        .shared_memory(false);
    config
}

fn proposals(config: &mut Config) {
    config
        // on: what the toolchains of WASI 0.2 emit
        .wasm_component_model(true)
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_features(WasmFeatures::REFERENCE_TYPES, true)
        .wasm_simd(true)
        .wasm_extended_const(true)
        .wasm_branch_hinting(false);
    for proposal in OFF {
        config.wasm_features(proposal, false);
    }
}

/// Memory protection keys are not compiled in: they gain address space alone and have leaked between instances.
pub(super) fn pooling(pool: Pool) -> PoolingAllocationConfig {
    let calls = pool.calls_in_flight_max;
    let mut config = PoolingAllocationConfig::new();
    config
        .total_component_instances(calls)
        .total_core_instances(
            calls
                .saturating_mul(4)
                .max(CORE_INSTANCES_PER_COMPONENT_MAX),
        )
        .total_memories(calls.saturating_add(pool.hot_tools_max))
        .total_tables(calls.saturating_mul(2).max(TABLES_PER_COMPONENT_MAX))
        .total_stacks(calls)
        .max_unused_warm_slots(pool.hot_tools_max)
        .decommit_batch_size(1)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        // wt#14357: the scan overlooks a dirty page that was swapped out, which the slot's next guest would then read.
        .pagemap_scan(Enabled::No);
    config
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;

    fn pool() -> Pool {
        Pool {
            calls_in_flight_max: 8,
            hot_tools_max: 3,
        }
    }

    #[test]
    fn every_knob_reads_as_it_was_set() {
        for config in [compiling(), serving(pool())] {
            let config = Engine::new(&config).unwrap();
            assert!(matches!(config.get_strategy(), Some(Strategy::Cranelift)));
            assert!(matches!(
                config.get_cranelift_opt_level(),
                Some(OptLevel::Speed)
            ));
            assert!(config.get_epoch_interruption());
            assert!(!config.get_consume_fuel());
            assert_eq!(config.get_max_wasm_stack(), 512 << 10);
            assert_eq!(config.get_async_stack_size(), 2 << 20);
            assert!(config.get_async_stack_zeroing());
            assert_eq!(config.get_memory_reservation(), 4 << 30);
            assert_eq!(config.get_memory_reservation_for_growth(), 0);
            assert_eq!(config.get_memory_guard_size(), 32 << 20);
            assert!(config.get_guard_before_linear_memory());
            assert!(!config.get_memory_may_move());
            assert!(config.get_signals_based_traps());
            assert!(config.get_memory_init_cow());
            assert!(config.get_table_lazy_init());
            assert!(!config.get_debug_info());
            assert!(!config.get_guest_debug());
            assert!(!config.get_concurrency_support());
            assert!(!config.get_shared_memory());
            assert!(!config.get_wasm_branch_hinting());
            for proposal in OFF {
                assert!(!config.get_wasm_features().intersects(proposal));
            }
        }
    }

    #[test]
    fn the_pool_reads_as_it_was_set() {
        let engine = |config| Engine::new(&config).unwrap();
        assert!(engine(compiling()).get_pooling_config().is_none());
        let engine = engine(serving(pool()));
        let pool = engine.get_pooling_config().unwrap();
        assert_eq!(pool.get_total_component_instances(), 8);
        assert_eq!(pool.get_total_core_instances(), 32);
        assert_eq!(pool.get_total_memories(), 11);
        assert_eq!(pool.get_total_tables(), 16);
        assert_eq!(pool.get_total_stacks(), 8);
        assert_eq!(pool.get_max_unused_warm_slots(), 3);
        assert_eq!(pool.get_decommit_batch_size(), 1);
        assert_eq!(pool.get_memory_keep_resident(), 128 << 10);
        assert_eq!(pool.get_table_keep_resident(), 64 << 10);
        assert_eq!(pool.get_async_stack_keep_resident(), 32 << 10);
        assert_eq!(pool.get_max_core_instances_per_component(), 32);
        assert_eq!(pool.get_max_memories_per_component(), 2);
        assert_eq!(pool.get_max_tables_per_component(), 4);
        assert_eq!(pool.get_max_memories_per_module(), 1);
        assert_eq!(pool.get_table_elements(), 20_000);
        assert_eq!(pool.get_max_memory_size(), MEMORY_BYTES_MAX);
        assert!(matches!(pool.get_pagemap_scan(), Enabled::No));
        assert!(matches!(pool.get_memory_protection_keys(), Enabled::No));
    }

    #[test]
    fn only_the_compiling_process_compiles_in_parallel() {
        let parallel = |config| Engine::new(&config).unwrap().get_parallel_compilation();
        assert!(parallel(compiling()));
        assert!(!parallel(serving(pool())));
    }
}
