//! Questions to users, their answers, sessions and sign-ins.

use std::time::Duration;

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
