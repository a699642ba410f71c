//! What is admitted, and what admitting it may cost.

use std::time::Duration;

/// Largest package file, in bytes: interpreters compiled to components reach 19 MB.
pub const PACKAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest manifest section, in bytes. The largest shipped one has 4 KiB.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Largest JSON Schema of one tool, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of a JSON Schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most subschemas of one tool: validation time is linear in them.
pub const SCHEMA_NODES_MAX: usize = 2_000;
/// Most subschemas of one tool once references are followed: what a validator built from it may hold.
pub const SCHEMA_EXPANDED_MAX: usize = 20_000;
/// Steps of one check against a schema. A request body of 1 MiB holds at most half a million values.
pub const SCHEMA_STEPS_MAX: usize = 1_000_000;
/// Subschemas that one check may be inside of at once: a validator recurses, on a stack of 2 MiB.
pub const SCHEMA_FRAMES_MAX: usize = 256;
/// Size of one compiled `pattern`, in bytes: some 2,000 states, and every one may be visited for each byte of a text.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 64 * 1024;
/// Most patterns in all schemas of one package: each is kept compiled.
pub const SCHEMA_PATTERNS_MAX: usize = 64;
/// Bytes of a text times parts of a pattern that cost as much as one step of a check: about 0.1 µs each way.
pub const SCHEMA_PATTERN_WORK_PER_STEP: usize = 64;
/// Most tools in one package.
pub const TOOLS_PER_PACKAGE_MAX: usize = 64;
/// Most needs of one package, and most capabilities of one need: a person shall read them all.
pub const NEEDS_PER_PACKAGE_MAX: usize = 32;
/// Most imports, and most exports, of one component. The largest known toolchain brings 25.
pub const PACKAGE_IMPORTS_MAX: usize = 256;
/// Longest title in a manifest, in characters: one line of a page.
pub const TITLE_CHARS_MAX: usize = 128;
/// Longest reason in a manifest, in characters: a sentence or two on the consent page.
pub const SENTENCE_CHARS_MAX: usize = 300;
/// Longest description in a manifest, in characters. Every client pays for it in its model's context.
pub const DESCRIPTION_CHARS_MAX: usize = 4_000;
/// How long the tools folder must be quiet before it is read: a copy in progress is not a package.
pub const TOOLS_QUIET: Duration = Duration::from_millis(200);
/// How often the tools folder is read even when nothing was reported: network file systems report nothing.
pub const TOOLS_POLL: Duration = Duration::from_secs(30);
/// How long the rules folder must be quiet before its files count: half of a set of rules may allow more than the whole.
pub const RULES_QUIET: Duration = Duration::from_millis(200);
/// How long the rules folder may keep changing before that is called a problem.
pub const RULES_SETTLE_MAX: Duration = Duration::from_secs(10);
/// How often the rules folder is read even when nothing was reported.
pub const RULES_POLL: Duration = Duration::from_secs(30);
/// Largest file of rules.
pub const RULES_BYTES_MAX: u64 = 1024 * 1024;
/// How long native code is kept whose package is served no more: a package that comes back needs no compilation.
pub const CACHE_UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Native code that is kept in all, unless packages that are served need more; a small tool in Rust needs 300 KiB.
pub const CACHE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Files in the tools folder that are looked at.
pub const TOOLS_FILES_MAX: usize = 10_000;
/// Most packages that are served at once; each costs about 50 KiB and three mappings.
pub const PACKAGES_MAX: usize = 2_000;
/// Longest compilation of one package, by the clock: an 18 MB interpreter takes 70 s on two loaded cores.
pub const COMPILE_WALL_MAX: Duration = Duration::from_secs(180);
/// Processor time of one compilation, in seconds.
pub const COMPILE_CPU_SECS_MAX: u64 = 300;
/// Address space of one compilation, in bytes.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Files that a compilation may have open.
pub const COMPILE_FILES_MAX: u64 = 64;
/// Files that a server may have open: each of some ten thousand connections and what a call of it opens.
pub const SERVE_FILES_MAX: u64 = 65_536;
/// Compilations at once. Each uses several processors by itself.
pub const COMPILE_AT_ONCE_MAX: usize = 2;
/// What is kept of a compiler's complaint, in bytes.
pub const COMPILE_MESSAGE_BYTES_MAX: u64 = 4 * 1024;
/// Largest native code of one package, in bytes.
pub const COMPILE_OUTPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;
