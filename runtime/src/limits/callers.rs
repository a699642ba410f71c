//! Who calls: tokens, proofs, claims, keys of issuers, and what is known of clients.

use std::time::Duration;

/// Longest proof of a sender, in bytes (RFC 9449). One with an RSA key of 4096 bits has 2 KiB.
pub const DPOP_PROOF_BYTES_MAX: usize = 4 * 1024;
/// How long a proof counts after it was made. RFC 9449 §11.1: "on the order of seconds or minutes".
pub const DPOP_AGE_MAX: Duration = Duration::from_secs(60);
/// How far the clock of a client may be ahead of ours: as far as an issuer's.
pub const DPOP_AHEAD_MAX: Duration = Duration::from_secs(30);
/// How long a nonce for proofs counts. RFC 9449 §8.2 leaves it to us; each new one costs a client one more request.
pub const DPOP_NONCE_TTL: Duration = Duration::from_secs(300);
/// Longest time from when a request came to when its proof is looked at: keys may be read meanwhile, and its token asked about.
pub const DPOP_JUDGED_MAX: Duration = Duration::from_secs(30);
/// Proofs that are remembered of 120 s, in which one can count and be looked at: 4 100 a second. About 20 MiB, three times.
pub const DPOP_PROOFS_MAX: usize = 500_000;
/// The same of one key: 410 a second, so that ten keys and no fewer can take the room of all.
pub const DPOP_PROOFS_OF_KEY_MAX: usize = 50_000;
/// How long an answer about a token serves where nothing else is said: as long, a token that was revoked counts.
pub const INTROSPECTION_TTL_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that an operator may choose.
pub const INTROSPECTION_TTL_MAX: Duration = Duration::from_secs(60);
/// The same for a token that does not count. Shorter: it may be one that its issuer has not yet heard of.
pub const INTROSPECTION_NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// How long a signed text counts that says at an issuer who we are (RFC 7523 §3): for one question.
pub const CLIENT_ASSERTION_TTL: Duration = Duration::from_secs(60);
/// Largest file of the private key that signs it, in bytes. One of RSA with 4096 bits has 3.3 KiB.
pub const CLIENT_KEY_BYTES_MAX: usize = 16 * 1024;
/// Longest question about a token, from its beginning to its end: a caller waits for it.
pub const INTROSPECTION_MAX: Duration = Duration::from_secs(5);
/// Largest answer about a token, in bytes, with its head. It holds what a token of 8 KiB would.
pub const INTROSPECTION_BYTES_MAX: usize = 64 * 1024;
/// Questions at once about tokens that anybody may have made up, and as many about others: neither becomes a flood at their issuer. One
/// address has a quarter.
pub const INTROSPECTION_IN_FLIGHT_MAX: usize = 32;
/// Longest wait for an answer for which another request has asked. A little longer than a question takes.
pub const INTROSPECTION_WAIT_MAX: Duration = Duration::from_secs(6);
/// Tokens that do not count and are remembered, each by its keyed hash: 2 000 a second, of 100 bytes each.
pub const INTROSPECTION_REFUSALS_MAX: u64 = 10_000;
/// Answers about tokens that are kept, in bytes of memory: some 20 000 of 1 KiB each, and fewer where an issuer says much.
pub const INTROSPECTION_ANSWERS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long an endpoint that could not be reached is left alone.
pub const INTROSPECTION_RETRY_MIN: Duration = Duration::from_secs(1);
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
/// Stack on which rules decide, in bytes: the deepest take less than 768 KiB, and about 55 KiB for each level in a debug build. A
/// thread of the server has 2 MiB.
pub const DECISION_STACK_BYTES: usize = match cfg!(debug_assertions) {
    true => 8 * 1024 * 1024,
    false => 1024 * 1024,
};

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
