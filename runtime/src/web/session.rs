//! The browser's session: who signed in, kept on our side; the cookie holds 256 random bits and nothing else.

use axum::http::HeaderMap;

use super::cookie;
use super::fault::Fault;
use super::secret::Secret;
use super::{WebState, page::Viewer};
use crate::audit::{Audit, AuditError, Event, EventKind};
use crate::clock::Timestamp;
use crate::consent::SignInFacts;
use crate::identity::SignedIn;
use crate::ids::{Digest, TenantUser};
use crate::limits::{CLOCK_LEAP_MAX, SIGN_IN_IDLE_TTL, SIGN_IN_SEEN_EVERY, SIGN_IN_TTL};
use crate::store::{Applied, Change, NOT_SEEN, OverSession, Session, Store, StoreError};

/// Sessions that are forgotten in one transaction.
const OVER_MAX: u32 = 100;

/// Who signed in at this browser, if somebody did.
pub(super) async fn current(
    web: &WebState,
    headers: &HeaderMap,
) -> Result<Option<Session>, StoreError> {
    let now = web.clock.now();
    let Some(session) = known(web, headers, now).await? else {
        return Ok(None);
    };
    let unseen = now.since(session.seen_at);
    if unseen >= SIGN_IN_IDLE_TTL {
        if session.seen_at != NOT_SEEN {
            // It cannot come back to life by being asked for again. Its sign-in goes on, and what was agreed to for as long.
            let change = Change::ExpireSession {
                id: session.id_hash,
            };
            let told = event(&session.who, session.id_hash, "idle");
            // It is over all the same; whoever asks next tries again, or its age does.
            if let Err(error) = web.audit.commit(change, vec![told]).await {
                tracing::error!(%error, "the end of a session could not be recorded");
            }
        }
        return Ok(None);
    }
    if unseen >= SIGN_IN_SEEN_EVERY {
        web.store.see_session(session.id_hash, now).await?;
    }
    Ok(Some(session))
}

/// The session of this browser, also where it was not used for too long: nobody sees or does anything by it then but sign out,
/// or in again.
pub(super) async fn known(
    web: &WebState,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let Some(secret) = shown(headers) else {
        return Ok(None);
    };
    let session = web.store.session(secret.hash(), now).await?;
    // One that begins after now was begun while the clock was ahead, and would last for as long as it was.
    Ok(session.filter(|session| session.created_at <= now.plus(CLOCK_LEAP_MAX)))
}

/// Begins a session, and ends the one that the browser had: a session is never older than its sign-in. The cookie for it.
///
/// Whoever signs in again goes on with the sign-in that they had here, so that signing out ends all that was agreed to until
/// then. Where somebody else was signed in, they are signed out.
pub(super) async fn begin(
    web: &WebState,
    headers: &HeaderMap,
    who: &SignedIn,
    now: Timestamp,
) -> Result<String, Fault> {
    let secret = Secret::make()?;
    let user = TenantUser {
        tenant: who.tenant().clone(),
        user: who.user().clone(),
    };
    let before = known(web, headers, now).await?;
    let own = before.as_ref().filter(|before| before.who == user);
    let session = Session {
        id_hash: secret.hash(),
        sign_in: match own {
            Some(before) => before.sign_in,
            None => Secret::make()?.hash(),
        },
        who: user,
        auth_time: who.auth_time(),
        acr: who.acr().map(str::to_owned),
        amr: who.amr().to_vec(),
        created_at: now,
        seen_at: now,
        expires_at: now.plus(SIGN_IN_TTL),
    };
    if let Some(before) = before.as_ref().filter(|before| before.who != session.who) {
        end(web, before, false).await?;
    }
    let event = Event::new(EventKind::SignedIn)
        .user(who.tenant(), who.user())
        .fact("session", session.id_hash.to_string());
    web.audit.event(event).await?;
    web.store.insert_session(&session).await?;
    if let Some(before) = before.filter(|before| before.who == session.who)
        && web.store.delete_session(before.id_hash).await?
    {
        let event = Event::new(EventKind::SignedOut)
            .user(&session.who.tenant, &session.who.user)
            .fact("session", before.id_hash.to_string())
            .fact("again_as", session.id_hash.to_string());
        web.audit.event_soon(event).await?;
    }
    Ok(cookie::set(cookie::SESSION, secret.as_str(), SIGN_IN_TTL))
}

/// Ends the sign-in of this session on our side, or every one of its user, and what was agreed to for as long.
pub(super) async fn end(web: &WebState, session: &Session, everywhere: bool) -> Result<(), Fault> {
    let now = web.clock.now();
    let ended = web.consents.sign_out(session, everywhere, now).await;
    ended.map(drop).map_err(Fault::of)
}

/// Forgets the sessions that are over for their age, and records that they are. One that was over before for want of use has its
/// record already.
pub async fn forget_over(
    store: &dyn Store,
    audit: &Audit,
    now: Timestamp,
) -> Result<(), OverError> {
    loop {
        let over = store.over_sessions(now, OVER_MAX).await?;
        if over.is_empty() {
            return Ok(());
        }
        let applied = match forget(audit, &over, event_of, now).await {
            Ok(applied) => applied,
            // It keeps nobody else's, and its own go without a name.
            Err(error) if is_of_one_user(&error) => one_by_one(audit, &over, now).await?,
            Err(error) => return Err(error.into()),
        };
        match applied {
            Applied::Done => {}
            // Somebody signed out or in again meanwhile; what is left is looked for the next time.
            Applied::Refused | Applied::Existing(_) => return Ok(()),
        }
    }
}

async fn one_by_one(
    audit: &Audit,
    over: &[OverSession],
    now: Timestamp,
) -> Result<Applied, AuditError> {
    for session in over {
        let session = std::slice::from_ref(session);
        let applied = match forget(audit, session, event_of, now).await {
            Err(error) if is_of_one_user(&error) => forget(audit, session, nameless, now).await?,
            applied => applied?,
        };
        if !matches!(applied, Applied::Done) {
            return Ok(applied);
        }
    }
    Ok(Applied::Done)
}

async fn forget(
    audit: &Audit,
    over: &[OverSession],
    event: fn(&OverSession) -> Event,
    now: Timestamp,
) -> Result<Applied, AuditError> {
    let told = over.iter().filter(|session| session.seen_at != NOT_SEEN);
    let events = told.map(event).collect();
    let ids = over
        .iter()
        .map(|session| (session.id_hash, session.seen_at));
    let change = Change::ForgetSessions {
        ids: ids.collect(),
        at: now,
    };
    audit.commit(change, events).await
}

fn event_of(session: &OverSession) -> Event {
    event(&session.who, session.id_hash, "age")
}

fn nameless(session: &OverSession) -> Event {
    Event::new(EventKind::SignInExpired)
        .tenant(&session.who.tenant)
        .fact("session", session.id_hash.to_string())
        .fact("why", "age")
}

/// Whether an error is about the key of one user, under which his name stands in the log. Any other may be gone the next time.
fn is_of_one_user(error: &AuditError) -> bool {
    match error {
        AuditError::Unavailable(source) => {
            source.is_of_one_owner() && !matches!(**source, StoreError::Changing)
        }
        AuditError::Full | AuditError::Closed | AuditError::TooSlow => false,
    }
}

/// Sessions that are over could not be forgotten.
#[derive(Debug, thiserror::Error)]
pub enum OverError {
    /// They cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

fn event(who: &TenantUser, session: Digest, why: &'static str) -> Event {
    Event::new(EventKind::SignInExpired)
        .user(&who.tenant, &who.user)
        .fact("session", session.to_string())
        .fact("why", why)
}

/// How its user signed in.
pub(super) fn facts(session: &Session) -> SignInFacts {
    SignInFacts {
        acr: session.acr.clone(),
        amr: session.amr.clone(),
        auth_time: session.auth_time,
    }
}

/// What a page shows of whoever looks at it.
pub(super) fn viewer(web: &WebState, session: &Session) -> Viewer {
    Viewer::new(
        &session.who.user,
        web.forms
            .seal(session.id_hash, &super::form::Purpose::SignOut),
    )
}

fn shown(headers: &HeaderMap) -> Option<Secret> {
    cookie::read(headers, cookie::SESSION).and_then(Secret::parse)
}
