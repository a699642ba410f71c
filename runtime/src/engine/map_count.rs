//! Whether the kernel lets a process have as many mappings as a pool may come to.
//!
//! Beyond them nothing can be mapped any more: calls would fail one by one, under load, with nothing that says why.

use super::{EngineError, Pool};

/// How many a process may have.
const SYSCTL: &str = "/proc/sys/vm/max_map_count";
/// Of one call: two memories, each in two parts with the image that it begins with, a table, and a stack with its guard.
const OF_A_CALL: u64 = 9;
/// Of the program, its libraries, threads and files.
const OF_THE_REST: u64 = 1_000;

/// Refuses a pool that may come to more.
pub(super) fn suffice(pool: Pool) -> Result<(), EngineError> {
    // Where the kernel does not say, mapping says it.
    let text = std::fs::read_to_string(SYSCTL).unwrap_or_default();
    match text.trim().parse() {
        Ok(allowed) => within(pool, allowed),
        Err(_) => Ok(()),
    }
}

fn within(pool: Pool, allowed: u64) -> Result<(), EngineError> {
    let slots = u64::from(pool.calls_in_flight_max).saturating_add(pool.hot_tools_max.into());
    let needed = slots.saturating_mul(OF_A_CALL).saturating_add(OF_THE_REST);
    match needed <= allowed {
        true => Ok(()),
        false => Err(EngineError::Mappings {
            calls: pool.calls_in_flight_max,
            needed,
            allowed,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Pool = Pool {
        calls_in_flight_max: 256,
        hot_tools_max: 100,
    };

    #[test]
    fn a_pool_that_may_come_to_more_mappings_than_there_are_is_refused() {
        // (256 + 100) * 9 + 1 000
        assert!(within(POOL, 4_204).is_ok());
        let refused = within(POOL, 4_203).unwrap_err().to_string();
        for part in [
            "256 calls",
            "4204",
            "4203",
            "vm.max_map_count",
            "calls_in_flight_max",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(suffice(POOL).is_ok());
    }

    #[test]
    fn a_call_takes_no_more_than_is_reckoned() {
        let mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            u64::try_from(maps.lines().count()).unwrap()
        };
        let before = mapped();
        let pool = Pool {
            calls_in_flight_max: 200,
            hot_tools_max: 0,
        };
        let engine = crate::engine::WasmEngine::new(pool).unwrap();
        // Other tests map meanwhile, and may give back what they had.
        let made = mapped().saturating_sub(before);
        assert!(made <= 200 * OF_A_CALL + OF_THE_REST, "{made}");
        drop(engine);
    }
}
