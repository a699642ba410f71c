//! How much, how many at once and how slowly: rates, budgets, requests, what is told of them, and connections.

use std::time::Duration;

use super::CALL_WALL_MAX;

/// Calls that a rate class may allow in its period.
pub const RATE_CALLS_MAX: u32 = 1_000_000;
/// Longest period of a rate class: a day. What was used is kept in memory and forgotten with a restart.
pub const RATE_PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Callers and limits of which something is used up, about 100 bytes each. Beyond it, who is new waits.
pub const RATE_KEYS_MAX: usize = 100_000;
/// Limits that a configuration can name: each is looked at for every call.
pub const LIMITS_MAX: usize = 64;
/// Largest daily budget. Beyond it, it bounds nothing, and the database counts with 63 bits.
pub const DAILY_MAX: u64 = 1 << 53;
/// What of a daily budget is written down as spent before it is, as a part of the whole: so much may a crash cost, and so many
/// writes a day a budget needs.
pub const DAILY_PARTS: u64 = 100;
/// Daily budgets of which something is spent today, about 100 bytes each. Beyond it, who is new waits for tomorrow.
pub const BUDGET_KEYS_MAX: usize = 200_000;
/// Addresses of which something is remembered, about 120 bytes each: 8 MiB.
pub const ADDRESSES_MAX: usize = 65_536;
/// Entries that addresses share while the table is full. Which one an address falls to cannot be foreseen.
pub const ADDRESSES_SHARED: usize = 256;
/// First pause of an address that was too fast.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause of an address: after it, a person who mended a client tries again.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long after a pause another offence lengthens the next one.
pub const OFFENCES_KEPT: Duration = Duration::from_secs(600);
/// Requests to `/mcp` that are being answered at once, unless the operator says otherwise: four for each place of the sandbox.
pub const REQUESTS_IN_FLIGHT_DEFAULT: usize = 1_024;
/// Most that the operator can allow. Each may hold a body of [`REQUEST_BODY_BYTES_MAX`](super::REQUEST_BODY_BYTES_MAX).
pub const REQUESTS_IN_FLIGHT_MAX: usize = 16_384;
/// The same for pages, apart from calls: who is asked for consent while calls are many can still answer.
pub const PAGES_IN_FLIGHT_MAX: usize = 256;
/// The same for administrators: whoever is to end a flood must get in.
pub const ADMINS_IN_FLIGHT_MAX: usize = 16;
/// The same for `/healthz` and `/readyz`.
pub const PROBES_IN_FLIGHT_MAX: usize = 16;

/// Tools whose calls are counted one by one. Each has some twenty numbers; those beyond are counted together.
pub const METERED_TOOLS_MAX: usize = 500;

/// Spans that wait for a collector, about 1 KiB each. Beyond it they are dropped.
pub const OTLP_QUEUE_MAX: usize = 4_096;
/// Spans of one request to a collector.
pub const OTLP_BATCH_MAX: usize = 512;
/// How often what waits is sent to a collector.
pub const OTLP_EVERY: Duration = Duration::from_secs(1);
/// How often durations are sent to a collector.
pub const OTLP_METRICS_EVERY: Duration = Duration::from_secs(15);
/// Longest wait for a collector, and for each of its parts when the server ends.
pub const OTLP_TIMEOUT: Duration = Duration::from_secs(3);
/// What is read of the answer of a collector, in bytes: it says how many spans it refused.
pub const OTLP_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections at once, of every listener. Each may hold what came and nobody has read yet, which is
/// [`CONNECTION_BUFFER_BYTES`] over HTTP/1.1 and [`CONNECTION_WINDOW_BYTES`] over HTTP/2, and what TLS keeps of either way, some
/// 64 KiB each. Answers are bounded apart, by [`ANSWERS_BYTES_MAX`]. A process that may open fewer than twice as many descriptors
/// has half of those.
pub const CONNECTIONS_MAX: usize = 2_048;
/// Connections at once from one address, or one IPv6 network of 64 bits: half of all, so that nobody alone shuts out the others.
/// Declared proxies are not counted.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_024;
/// Descriptors that the server asks the system for: connections, and what calls open.
pub const DESCRIPTORS_WISHED: u64 = 8_192;
/// Largest head of a request, in bytes: a token of 8 KiB, and cookies.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Most header fields of one request: browsers behind three proxies send thirty.
pub const HEADERS_MAX: usize = 100;
/// What of one HTTP/1.1 connection is read ahead, in bytes; it holds the largest head. While as much of an answer waits to be
/// written, no further piece of it is asked for, over HTTP/2 as well; one piece may be larger.
pub const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;
/// How long a TLS handshake may take: four round trips over a slow line.
pub const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the head of a request may take from its first byte, and the first one from the connection on.
pub const HEADER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time in which a body must arrive whole: a megabyte over a slow line.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(15);
/// How long a client may take to take [`ANSWER_STEP_BYTES`] of an answer that waits for it.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// What of each answer that waits is to be taken in that time, in bytes, or all of it if that is less: one frame of HTTP/2. The
/// largest reply is taken in 8 minutes, and a line of 500 kbit/s carries some tens of them beside each other.
pub const ANSWER_STEP_BYTES: usize = 16 * 1024;
/// What of answers may wait in memory for the clients of one listener, in bytes. Beyond it no call and no page is begun; what was
/// begun is answered. That is 512 of the largest replies, as many as a fast line takes in a second.
pub const ANSWERS_BYTES_MAX: usize = 128 * 1024 * 1024;
/// The same for one address, or one IPv6 network of 64 bits: a quarter, as of the places. This machine and declared proxies are
/// not counted, but the clients that those tell of.
pub const ANSWERS_BYTES_PER_ADDRESS_MAX: usize = ANSWERS_BYTES_MAX / 4;
/// The same for one connection: sixteen of the largest replies. Those of declared proxies are not counted.
pub const ANSWERS_BYTES_PER_CONNECTION_MAX: usize = 4 * 1024 * 1024;
/// How long a connection may be without a request. Clients keep theirs for 60 to 90 seconds.
pub const IDLE_MAX: Duration = Duration::from_secs(90);
/// Requests of one connection; then its client opens another one, and what has piled up goes.
pub const CONNECTION_REQUESTS_MAX: u64 = 10_000;
/// Requests at once of one HTTP/2 connection. RFC 9113 §6.5.2 wants at least 100 so as not to hinder anybody.
pub const STREAMS_MAX: u32 = 100;
/// Streams of one HTTP/2 connection that were reset before anybody looked at them (CVE-2023-44487). One more ends the connection.
pub const STREAMS_RESET_MAX: usize = 20;
/// Streams of one HTTP/2 connection that we had to reset (CVE-2025-8671). One more ends the connection.
pub const STREAMS_AT_FAULT_MAX: usize = 64;
/// What may come for one HTTP/2 stream before somebody reads it, in bytes.
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// What may come on one HTTP/2 connection before somebody reads it, in bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// How often a quiet HTTP/2 connection is asked whether it is there.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// How long the answer to that may take.
pub const PING_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long calls in flight may go on once the server shall end: as long as a call may take at most.
pub const DRAIN_MAX: Duration = CALL_WALL_MAX;
/// How long calls that were ended then may take to write their records.
pub const DRAIN_RECORDS_WAIT_MAX: Duration = Duration::from_secs(5);
/// Networks of proxies that a configuration can name: each request is held against them.
pub const TRUSTED_PROXIES_MAX: usize = 64;
/// Proxies in a row that one request is followed through.
pub const PROXY_HOPS_MAX: usize = 16;
/// Largest file with a chain of certificates, or with authorities, in bytes. A chain has 4 KiB, all public authorities 250 KiB.
pub const CERTIFICATES_BYTES_MAX: usize = 512 * 1024;
/// Largest file with a private key, in bytes. One of RSA with 8,192 bits has 6 KiB.
pub const TLS_KEY_BYTES_MAX: usize = 16 * 1024;
/// How often the files of TLS are read again. A pair counts when it is the same twice in a row.
pub const TLS_POLL: Duration = Duration::from_secs(10);
/// How long before its end a certificate is warned of. Those of 90 days are renewed 30 days before.
pub const CERTIFICATE_WARN: Duration = Duration::from_secs(14 * 24 * 3600);
/// How often that is said.
pub const CERTIFICATE_WARN_EVERY: Duration = Duration::from_secs(12 * 3600);
/// How long browsers shall come over https alone (RFC 6797): two years, as Mozilla's guideline wants it.
pub const HSTS_MAX_AGE: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// How often refused connections are said, with how many there were: floods are no reason to fill the log.
pub const REFUSED_CONNECTIONS_SAID_EVERY: Duration = Duration::from_secs(10);
