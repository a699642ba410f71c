//! Every bound of the runtime, with its unit and its reason, in one place.

use std::time::Duration;

/// Longest bearer token, in bytes, judged before any decoding. Real access tokens stay below 4 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Largest MCP request body, in bytes. Arguments come from a model; rmcp's own default is 4 MiB.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of arguments. A guest with a 64 KiB stack traps between 90 and 150 frames of a recursive parser.
pub const ARGUMENTS_DEPTH_MAX: usize = 64;
/// Tolerated difference between our clock and an issuer's, in seconds. RFC 7519 §4.1.4: "no more than a few minutes".
pub const TOKEN_LEEWAY_SECS: i64 = 30;
/// Strings of one claim: roles, groups, scopes. Microsoft Entra puts at most 200 groups into a token, and each one is
/// looked at for every decision.
pub const CLAIM_STRINGS_MAX: usize = 256;
/// Further claims of one issuer that rules can read. Each one is copied into every decision.
pub const EXTRA_CLAIMS_MAX: usize = 32;

/// Longest word before the roles of an issuer, in bytes: rules repeat it.
pub const ROLE_PREFIX_BYTES_MAX: usize = 64;

/// Scopes that the rules about one tool may name for a refusal to say which would do: each one is another decision.
pub const STEP_UP_SCOPES_MAX: usize = 32;

/// Values of `acr`, and ages of a sign-in, that are tried for a refusal to say which would do: each one is another decision.
pub const STEP_UP_SIGN_INS_MAX: usize = 16;

/// The answer to a call of an unknown tool, or of one that its caller may not see, is not sent sooner after its request. How
/// long the rules were asked shall not tell the two apart: with a thousand of them that is below one millisecond.
pub const UNKNOWN_TOOL_WAIT: Duration = Duration::from_millis(5);
/// Levels of expressions in one rule. Each chained `&&` or `||` is one, and what rewrites rules recurses through them.
pub const RULE_DEPTH_MAX: usize = 100;
/// Stack on which rules are loaded, in bytes: about 200 KiB for each level in a debug build.
pub const RULE_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Calls that a rate class may allow in its period.
pub const RATE_CALLS_MAX: u32 = 1_000_000;
/// Longest period of a rate class: a day. What was used is kept in memory and forgotten with a restart.
pub const RATE_PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Users and rate classes of which something is used up, about 300 bytes each. Beyond it, who is new waits.
pub const RATE_KEYS_MAX: usize = 100_000;

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
/// Compilations at once. Each uses several processors by itself.
pub const COMPILE_AT_ONCE_MAX: usize = 2;
/// What is kept of a compiler's complaint, in bytes.
pub const COMPILE_MESSAGE_BYTES_MAX: u64 = 4 * 1024;
/// Largest native code of one package, in bytes.
pub const COMPILE_OUTPUT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Calls in flight at once; one more is refused, it never waits inside the pool.
pub const CALLS_IN_FLIGHT_MAX: u32 = 256;
/// Revocations that are remembered, so that a call that was looking at consents meanwhile looks again for its own alone. A
/// look takes below a millisecond; one that took longer than so many revocations is done again.
pub const RECENT_REVOCATIONS_MAX: usize = 4_096;
/// One tick of the epoch clock: the grain of every guest deadline.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);
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
/// Steps of real time that a guest with `clock` sees: coarse, against timing channels.
pub const CLOCK_STEP: Duration = Duration::from_millis(1);

/// Requests of one call to web hosts.
pub const HTTP_REQUESTS_MAX: u32 = 20;
/// Bytes that one call may send to web hosts.
pub const HTTP_BYTES_OUT_MAX: u64 = 1024 * 1024;
/// Bytes that one call may receive from web hosts.
pub const HTTP_BYTES_IN_MAX: u64 = 8 * 1024 * 1024;
/// One request, from resolving to the last byte.
pub const HTTP_TOTAL_MAX: Duration = Duration::from_secs(10);
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

/// Largest key set of an issuer, in bytes.
pub const JWKS_BYTES_MAX: usize = 1024 * 1024;
/// Most keys of an issuer.
pub const JWKS_KEYS_MAX: usize = 100;
/// How long a fetched key set is fresh.
pub const JWKS_TTL: Duration = Duration::from_secs(600);
/// Shortest time between two fetches of one issuer's keys, however many unknown keys are shown.
pub const JWKS_REFETCH_MIN: Duration = Duration::from_secs(10);
/// How long the last good key set serves while fetches fail.
pub const JWKS_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// One fetch of keys or metadata.
pub const JWKS_FETCH_MAX: Duration = Duration::from_secs(5);

/// Largest metadata document of a client, in bytes. The draft proposes 5 KiB; a thousand of them are kept in memory, and one in
/// each open question.
pub const CLIENT_DOCUMENT_BYTES_MAX: usize = 8 * 1024;
/// One reading of a client's metadata document: a question waits for it.
pub const CLIENT_READ_MAX: Duration = Duration::from_secs(5);
/// Shortest time between two readings of one client's document, whoever asks and whatever came of the first.
pub const CLIENT_READ_EVERY_MIN: Duration = Duration::from_secs(60);
/// How long a document is fresh at least, whatever its server says of caching: each call under consents could read it otherwise.
pub const CLIENT_TTL_MIN: Duration = Duration::from_secs(5 * 60);
/// How long a document is fresh at most, and when its server says nothing: so long a change may go unseen.
pub const CLIENT_TTL_MAX: Duration = Duration::from_secs(3600);
/// How long a document may be unreadable before it counts as gone: as long as the keys of an issuer serve.
pub const CLIENT_GONE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Documents that are read at once. Each holds a connection.
pub const CLIENT_READS_AT_ONCE_MAX: usize = 8;
/// Documents that are read in a minute for questions, of the whole server: anybody with a token may name clients that are none.
pub const CLIENT_READS_QUESTIONS_MAX: u32 = 60;
/// The same for consents that are used, counted apart so that questions do not keep us from seeing what changed.
pub const CLIENT_READS_USES_MAX: u32 = 60;
/// The same from one host: what strangers make us ask of it is no flood.
pub const CLIENT_READS_HOST_MAX: u32 = 20;
/// Clients of which it is remembered what their documents say.
pub const CLIENTS_KNOWN_MAX: usize = 1_000;
/// Clients that a configuration can name.
pub const CLIENTS_NAMED_MAX: usize = 1_000;
/// Redirect URIs of one client.
pub const CLIENT_REDIRECTS_MAX: usize = 64;
/// Redirect hosts of one client: a person shall read them all.
pub const CLIENT_HOSTS_MAX: usize = 16;
/// Longest name of a client, in characters: one line of a page.
pub const CLIENT_NAME_CHARS_MAX: usize = 128;

/// How long a question to the user stays open.
pub const TICKET_TTL: Duration = Duration::from_secs(600);
/// How long a call in a session waits for its user's decision: less than its sealed state is good for.
pub const SESSION_QUESTION_WAIT_MAX: Duration = Duration::from_secs(240);
/// Questions that wait in one session: a user reads one after the other.
pub const SESSION_QUESTIONS_MAX: usize = 8;
/// Calls of the whole server that wait for their users. Each looks into the store once a second.
pub const SESSION_QUESTIONS_WAITING_MAX: usize = 256;
/// Open GET streams of the whole server; each holds a connection.
pub const SESSION_STREAMS_MAX: usize = 1_024;
/// How long a session lives that nobody uses: programs that are killed never say goodbye.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(3600);
/// How long a session lives at most; then its client begins a new one, under a new id.
pub const SESSION_AGE_MAX: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one user, of all clients together. One more ends the one that was used longest ago.
pub const SESSIONS_PER_USER_MAX: usize = 32;
/// Sessions of the whole server, of about a kilobyte each. Further clients are served without.
pub const SESSIONS_MAX: usize = 10_000;
/// How long a sealed `requestState` is good; it is also single use.
pub const REQUEST_STATE_TTL: Duration = Duration::from_secs(300);
/// Longest consent to a capability of tier T1.
pub const CONSENT_T1_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longest consent to a capability of tier T2.
pub const CONSENT_T2_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a browser stays signed in, however much it is used.
pub const SIGN_IN_TTL: Duration = Duration::from_secs(8 * 3600);
/// How long a browser stays signed in that opens none of our pages: somebody else may sit before it by then.
pub const SIGN_IN_IDLE_TTL: Duration = Duration::from_secs(3600);
/// How often it is noted that a browser opens our pages.
pub const SIGN_IN_SEEN_EVERY: Duration = Duration::from_secs(60);
/// How long a sign-in that was begun may take.
pub const SIGN_IN_FLOW_TTL: Duration = Duration::from_secs(600);

/// Records that may wait for the audit writer; beyond it callers wait, nothing is dropped.
pub const AUDIT_QUEUE_MAX: usize = 1_024;
/// Records of one kind a minute about what anybody can cause, such as a bad token; beyond it they are counted.
pub const AUDIT_SAMPLED_MAX: usize = 60;
/// Records that one commit holds at most. A commit waits for the disk, so this over its time bounds the calls per second.
pub const AUDIT_BATCH_MAX: usize = 512;

/// Things on one page of an administrator's answer, when the request says nothing.
pub const ADMIN_PAGE_DEFAULT: usize = 100;
/// Things on one page of an administrator's answer: some hundred KiB.
pub const ADMIN_PAGE_MAX: usize = 500;
/// Consents that one request of an administrator names, or takes back by what they have in common. Each waits for the disk.
pub const ADMIN_REVOKED_MAX: usize = 500;
/// Problems, warnings and refused files that the state of the server names; the log has all of them.
pub const ADMIN_PROBLEMS_MAX: usize = 100;

/// Deepest nesting of JSON that is searched for personal data. `serde_json` reads no deeper; arguments end at 64.
pub const PROTECT_DEPTH_MAX: usize = 128;
/// Text of one JSON value, keys and strings together, that is searched for personal data, in bytes: eight request bodies.
pub const PROTECT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest single string that is searched to its end, in bytes: a whole request body.
pub const PROTECT_STRING_BYTES_MAX: usize = 1024 * 1024;
/// Findings in one JSON value. Who sends more of them sends a data set, and each one is masked and counted.
pub const PROTECT_FINDINGS_MAX: usize = 1_000;
/// Largest string that is also read as JSON, or as base64 of text, in bytes: what a reply may have.
pub const PROTECT_NESTED_BYTES_MAX: usize = 256 * 1024;
/// Subschemas that are looked at for one place of a JSON value: the branches of `anyOf` and what they refer to.
pub const PROTECT_SCHEMA_BRANCHES_MAX: usize = 32;
/// Subschemas that are looked at for one JSON value. A place costs at most 32 of them.
pub const PROTECT_SCHEMA_STEPS_MAX: usize = 1_000_000;
/// Rules of the operator's own. Every one is tried at every beginning of a word.
pub const PROTECT_RULES_MAX: usize = 64;
/// Longest text that a rule of the operator's own may match, in bytes. So much may be read at every beginning of a word.
pub const PROTECT_RULE_MATCH_BYTES_MAX: usize = 128;
/// Longest pattern of a rule, in bytes: a person shall read it.
pub const PROTECT_RULE_PATTERN_BYTES_MAX: usize = 512;
/// Memory for the compiled patterns of all rules, in bytes. One of 30 letters and digits needs 10 KiB.
pub const PROTECT_RULES_COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Context words of one rule, and the bytes of one of them.
pub const PROTECT_RULE_WORDS_MAX: usize = 32;
/// Bytes of one context word of a rule.
pub const PROTECT_RULE_WORD_BYTES_MAX: usize = 64;
/// Rules about what becomes of data: they are gone through for each finding.
pub const DATA_RULES_MAX: usize = 256;
