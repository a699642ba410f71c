//! What one call may have and do, and the processes in which it runs.

use std::time::Duration;

/// Calls in flight at once; one more is refused, it never waits inside the pool.
pub const CALLS_IN_FLIGHT_MAX: u32 = 256;
/// Revocations that are remembered, so that a call that was looking at consents meanwhile looks again for its own alone. A
/// look takes below a millisecond; one that took longer than so many revocations is done again.
pub const RECENT_REVOCATIONS_MAX: usize = 4_096;
/// One tick of the epoch clock: the grain of every guest deadline.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);
/// For how long a call computes before it takes turns with others. Tools that answer at once stay below a millisecond, one that
/// reads a large document below this.
pub const FIRST_SLICE: Duration = Duration::from_millis(16);
/// A turn of a process that computes for a call: to halt it and to let it go on takes some 40 µs, a hundredth of it.
pub const EXECUTOR_TURN: Duration = Duration::from_millis(4);
/// Largest share of the processors that one tenant can be given, as a multiple of what the others have.
pub const SHARE_MAX: u32 = 1_000;
/// Tenants that can be given a share of their own.
pub const SHARES_MAX: usize = 10_000;
/// Longest call, when neither manifest nor configuration says less.
pub const CALL_WALL_DEFAULT: Duration = Duration::from_secs(10);
/// Longest call that a manifest may ask for.
pub const CALL_WALL_MAX: Duration = Duration::from_secs(60);
/// Linear memory of one call, in bytes, when the manifest says nothing.
pub const MEMORY_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// Linear memory that a manifest may ask for, in bytes. It also bounds how long one bulk instruction runs.
pub const MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Elements of one table.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Stack of guest code, in bytes.
pub const WASM_STACK_BYTES_MAX: usize = 512 * 1024;
/// Stack of one fibre, in bytes: guest code and the host functions that it calls.
pub const FIBRE_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Entries of a call's resource table; the engine's default is a million.
pub const RESOURCES_MAX: usize = 1_000;
/// One message between the server and an executor, in bytes: what a host call may copy, both ways, with its frame.
pub const EXECUTOR_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Values that one message makes, of up to some 100 bytes each. A list of files, say, comes in parts; bytes of a body are one value.
pub const EXECUTOR_VALUES_MAX: usize = 65_536;
/// Memory of a mirror, in bytes: what one message brings and what the host function gives, each with its copy.
pub const MIRROR_MEMORY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Private memory of an executor beside the memories of its guest, in bytes: its engine, its stack, one message as values.
pub const EXECUTOR_DATA_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Largest file that an executor makes, in bytes: an image of a guest's memory, in memory.
pub const EXECUTOR_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Open files of an executor: its socket, its code, images of its guest's memories.
pub const EXECUTOR_FILES_MAX: u64 = 64;
/// Executors at once; each has about 10 MiB of its own. A call that finds none is refused as one that finds no place.
pub const EXECUTORS_MAX: usize = 64;
/// Executors that wait for their first call, so that none waits for them to start.
pub const EXECUTORS_WARM: usize = 2;
/// How long an executor without a call is kept for the next of its tenant and package.
pub const EXECUTOR_IDLE_MAX: Duration = Duration::from_secs(60);
/// For how long an executor makes calls: for as long one that was taken over without a sign sees what calls of its tenant and
/// package bring. Starting another takes some milliseconds.
pub const EXECUTOR_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Calls that an executor makes, for the same reason: a busy one is replaced each few seconds, and so is what it remembers.
pub const EXECUTOR_CALLS_MAX: u32 = 1_000;
/// Longest start of an executor, its loading of code included.
pub const EXECUTOR_START_MAX: Duration = Duration::from_secs(10);
/// Handles of one component.
pub const COMPONENT_HANDLES_MAX: usize = 10_000;
/// What one host call may copy out of a guest, in bytes; the engine's default is 128 MiB.
pub const HOSTCALL_BYTES_MAX: usize = 1024 * 1024;
/// Random bytes of one request; the engine's default is 64 MiB.
pub const RANDOM_BYTES_MAX: u64 = 64 * 1024;
/// Largest reply of a guest, in bytes. Models rarely use more; a flood costs the caller money.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;
/// Content blocks of one reply.
pub const REPLY_BLOCKS_MAX: usize = 64;
/// Lines of log that one call may write; the rest is counted, not kept.
pub const LOG_LINES_MAX: usize = 200;
/// Longest line of a guest's log, in bytes.
pub const LOG_LINE_BYTES_MAX: usize = 1024;
/// Progress messages of one call; MCP asks that they be rate limited.
pub const PROGRESS_MESSAGES_MAX: usize = 100;
/// Questions that one call may ask its user: each costs a person's attention, and its answer travels with the next.
pub const ASK_QUESTIONS_MAX: usize = 4;
/// Longest message of a question, in bytes: a paragraph.
pub const ASK_MESSAGE_BYTES_MAX: usize = 2 * 1024;
/// Largest schema of a question, in bytes.
pub const ASK_SCHEMA_BYTES_MAX: usize = 8 * 1024;
/// Fields of one form: what a person fills in at once.
pub const ASK_FIELDS_MAX: usize = 16;
/// Largest answer to a question, in bytes as JSON. Those of one call travel sealed with its client.
pub const ASK_ANSWER_BYTES_MAX: usize = 4 * 1024;
/// Runs of one call that asks: each question takes one, and so does each answer that does not fit.
pub const ASK_RUNS_MAX: u32 = 12;
/// From the first run of a call that asks to the beginning of its last: for so long a consent to one call stays its own, and
/// can be taken back.
pub const ASK_CALL_MAX: Duration = Duration::from_secs(15 * 60);
/// How long the last call may go on for which a consent was used up: it may ask its user, and then run again.
pub const LAST_CALL_MAX: Duration = ASK_CALL_MAX.saturating_add(CALL_WALL_MAX);
/// Calls that may lie in each other, the first one counted: a tool that uses tools which use tools, and one more.
pub const CALL_DEPTH_MAX: usize = 4;
/// Calls that all the calls of one tree may make of each other. Each passes the whole line and takes a place.
pub const CALL_TREE_MAX: u32 = 16;
/// Largest arguments of a call that a tool makes, in bytes: as much as a reply.
pub const CALL_ARGUMENTS_BYTES_MAX: usize = 256 * 1024;
/// How long a call whose caller has ended may take to end itself, so that its record says how.
pub const CALL_STOP_MAX: Duration = Duration::from_secs(2);
/// Largest claim that a tool is told, in bytes as JSON: an address has a few hundred.
pub const CLAIM_VALUE_BYTES_MAX: usize = 4 * 1024;
/// Steps of real time that a guest with `clock` sees: coarse, against timing channels.
pub const CLOCK_STEP: Duration = Duration::from_millis(1);

/// Requests of one call to web hosts.
pub const HTTP_REQUESTS_MAX: u64 = 20;
/// Requests of one call whose answers are not read to their end: each holds a connection and up to 64 KiB that was read ahead.
pub const HTTP_PARALLEL_MAX: u64 = 8;
/// Bytes that one call may send to web hosts.
pub const HTTP_BYTES_OUT_MAX: u64 = 1024 * 1024;
/// Bytes that one call may receive from web hosts.
pub const HTTP_BYTES_IN_MAX: u64 = 8 * 1024 * 1024;
/// One request, from resolving to the last byte.
pub const HTTP_TOTAL_MAX: Duration = Duration::from_secs(10);
/// How often a request may be made that the operator lets us make again: each attempt is one of the call's requests.
pub const HTTP_ATTEMPTS_MAX: u32 = 5;
/// Bytes of a request's body that the host takes from a guest at a time. Two of them can wait for each request that a guest
/// holds, so with [`RESOURCES_MAX`] requests they bound what bodies nobody sends can take: 32 MiB.
pub const HTTP_BODY_CHUNK_BYTES: usize = 16 * 1024;
/// The same for a guest whose requests are denied anyway: 8 MiB in all.
pub const HTTP_BODY_CHUNK_DENIED_BYTES: usize = 4 * 1024;
/// Size of one set of header fields, in bytes; the engine's default is 128 KiB.
pub const HTTP_FIELDS_BYTES_MAX: usize = 32 * 1024;
/// Longest URL, in bytes.
pub const HTTP_URL_BYTES_MAX: usize = 8 * 1024;

/// Longest key of a store, in bytes: it stands in an index, and in every list.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Largest value of a store, in bytes: as much as a reply. What is larger is a file.
pub const KV_VALUE_BYTES_MAX: usize = 256 * 1024;
/// Keys and values of one user in one store, in bytes, unless the operator says less. Whoever has a million users with a full
/// store each needs disks for it; the operator then says less.
pub const KV_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Keys of one user in one store, unless the operator says less.
pub const KV_KEYS_MAX: u64 = 10_000;
/// Longest time that a value is kept where the operator has values end: ten years. Without it they are kept.
pub const KV_TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Keys of one batch, and so rows of one transaction that a guest asks for.
pub const KV_BATCH_MAX: usize = 100;
/// Keys of one page of a list: some 128 KiB at their longest.
pub const KV_PAGE_KEYS_MAX: usize = 256;
/// Keys that one call may touch, a page of a list counted as one. A write waits for the disk, and others wait for it.
pub const KV_OPERATIONS_MAX: u32 = 1_000;
/// Bytes that one call may write to stores.
pub const KV_BYTES_OUT_MAX: u64 = 4 * 1024 * 1024;
/// Bytes that one call may read from stores.
pub const KV_BYTES_IN_MAX: u64 = 8 * 1024 * 1024;
/// Bytes of values that one batch reads.
pub const KV_BATCH_BYTES_MAX: u64 = 1024 * 1024;
/// Stores that an operator can bind.
pub const KV_STORES_MAX: usize = 64;
/// Values that an operator can set for one package.
pub const CONFIG_KEYS_MAX: usize = 64;
/// Longest value that an operator can set, in bytes.
pub const CONFIG_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Files of one user in one mount, in bytes, unless the operator says less or more: some hundred documents with pictures.
pub const FILES_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Files, directories and links of one user in one mount, unless the operator says less or more. A call that writes walks them
/// once, in some 20 ms for so many.
pub const FILES_COUNT_MAX: u64 = 10_000;
/// Most files of one user in one mount that an operator can allow: a walk of them takes seconds.
pub const FILES_COUNT_CEILING: u64 = 1_000_000;
/// Files and directories that one call may have open. Each takes a descriptor of the server, and there are 256 calls.
pub const FILES_OPEN_MAX: usize = 64;
/// Streams of one call that read files: one for each that is open. Each may have a read in the queue of the disk.
pub const FILES_READERS_MAX: usize = FILES_OPEN_MAX;
/// Streams of one call that write files. Each may keep 64 KiB in memory until it is its turn; a tool rarely writes two at once.
pub const FILES_WRITERS_MAX: usize = 16;
/// Listings of directories that one call may hold: each keeps every name in memory, 10,000 of them some 3 MiB.
pub const FILES_LISTINGS_MAX: usize = 8;
/// Directories inside of each other in one mount that are counted; a deeper one makes it full. A walk holds a descriptor for
/// each.
pub const FILES_DEPTH_MAX: usize = 32;
/// Longest path of one operation, in bytes: Linux takes no longer one (`PATH_MAX`).
pub const FILES_PATH_BYTES_MAX: usize = 4_095;
