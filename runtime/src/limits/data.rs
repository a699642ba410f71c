//! What is looked for in data, secrets, and values that are kept encrypted.

use std::time::Duration;

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

/// Shortest secret, in bytes. A shorter one stands in ordinary text by chance, and masking it would destroy that.
pub const SECRET_BYTES_MIN: usize = 8;
/// Longest secret, in bytes: a signed token with many claims has 2 KiB, and servers take fields of 8 KiB.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;
/// Longest access key with which requests are signed, in bytes: two secrets, their names and what stands beside them.
pub const ACCESS_KEY_BYTES_MAX: usize = 12 * 1024;
/// Largest body of a request that is signed, in bytes. It is held in memory until its end was seen: with
/// [`HTTP_PARALLEL_MAX`](super::HTTP_PARALLEL_MAX) requests 4 MiB for a call, less than any guest has for itself.
pub const SIGNED_BODY_BYTES_MAX: usize = 512 * 1024;
/// Secrets of one server.
pub const SECRETS_MAX: usize = 64;
/// Hosts to which one secret may go.
pub const SECRET_HOSTS_MAX: usize = 32;
/// How long a secret that was read serves before it is read again: a file that is replaced counts after that.
pub const SECRET_FRESH_MAX: Duration = Duration::from_secs(5);
/// How long a secret of a vault serves when the configuration says nothing.
pub const VAULT_TTL_DEFAULT: Duration = Duration::from_secs(60);
/// Longest that a secret of a vault may serve: what is rotated there counts after that.
pub const VAULT_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Largest answer of a vault, in bytes, its head included.
pub const VAULT_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for a vault. The call that needs the secret waits as well.
pub const VAULT_READ_MAX: Duration = Duration::from_secs(5);
/// Values of secrets that are kept between reads, each of one tenant; who is beyond it is read for at every request.
pub const SECRET_VALUES_MAX: u64 = 1_024;

/// Encrypted values that one call may open, or try to: as many as are found in one value.
pub const REVEALS_MAX: u32 = 1_000;

/// Encrypted values that the host puts into the requests of one call: more is an export, which a person should make. Each is looked for
/// in all that comes back.
pub const DELIVERIES_MAX: u64 = 100;

/// Bytes of these values together: a hundred addresses. What looks for them has some ten states for each, made anew for each value.
pub const DELIVERED_BYTES_MAX: u64 = 8 * 1024;

/// Body of a request to a host that values are delivered to, in bytes: it is held until its end was seen.
pub const DELIVERED_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Shortest value that the host puts into a request, in bytes: a shorter one would be found in ordinary text and guessed in few
/// requests, and so could not be kept out of what comes back.
pub const DELIVERED_BYTES_MIN: usize = 6;

/// Largest value that is encrypted, in bytes. Personal data is a line or a page; what is larger is a document, and a file.
pub const SEALED_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Longest name of the place at which an encrypted value stood, in bytes: it is kept beside each.
pub const SEALED_FIELD_BYTES_MAX: usize = 1_024;
/// Values that are encrypted at once: they are kept in one transaction, for which others wait.
pub const SEALED_BATCH_MAX: usize = 10_000;
/// Encrypted values of one tenant, unless the operator says less: some 2 GiB of addresses and numbers.
pub const SEALED_VALUES_MAX: u64 = 5_000_000;
/// How long an encrypted value is kept when the configuration says nothing.
pub const SEALED_KEEP_DEFAULT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Longest time that an encrypted value is kept: ten years, as the law of some countries asks for.
pub const SEALED_KEEP_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Keys of tenants that are in memory as they are, each of 32 bytes; who is beyond it is unwrapped for at every use.
pub const TENANT_KEYS_HELD_MAX: u64 = 4_096;
/// How long a key of a tenant stays in memory after it was unwrapped: a provider's key that is taken away counts after that.
pub const TENANT_KEY_HELD_MAX: Duration = Duration::from_secs(300);
/// Largest key file, in bytes: some thousand versions.
pub const KEY_FILE_BYTES_MAX: usize = 64 * 1024;
