//! The browser's session: who signed in, kept on our side; the cookie holds 256 random bits and nothing else.

use axum::http::HeaderMap;

use super::cookie;
use super::fault::Fault;
use super::secret::Secret;
use super::{WebState, page::Viewer};
use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::identity::SignedIn;
use crate::ids::TenantUser;
use crate::limits::{SIGN_IN_IDLE_TTL, SIGN_IN_SEEN_EVERY, SIGN_IN_TTL};
use crate::store::{Session, StoreError};

/// Who signed in at this browser, if somebody did.
pub(super) async fn current(
    web: &WebState,
    headers: &HeaderMap,
) -> Result<Option<Session>, StoreError> {
    let Some(secret) = shown(headers) else {
        return Ok(None);
    };
    let now = web.clock.now();
    let Some(session) = web.store.session(secret.hash(), now).await? else {
        return Ok(None);
    };
    let unseen = now.since(session.seen_at);
    if unseen >= SIGN_IN_IDLE_TTL {
        // It cannot come back to life by being asked for again.
        web.store.delete_session(session.id_hash).await?;
        return Ok(None);
    }
    if unseen >= SIGN_IN_SEEN_EVERY {
        web.store.see_session(session.id_hash, now).await?;
    }
    Ok(Some(session))
}

/// Begins a session, and ends the one that the browser had: a session is never older than its sign-in. The cookie for it.
pub(super) async fn begin(
    web: &WebState,
    headers: &HeaderMap,
    who: &SignedIn,
    now: Timestamp,
) -> Result<String, Fault> {
    let secret = Secret::make()?;
    let session = Session {
        id_hash: secret.hash(),
        who: TenantUser {
            tenant: who.tenant().clone(),
            user: who.user().clone(),
        },
        auth_time: who.auth_time(),
        acr: who.acr().map(str::to_owned),
        amr: who.amr().to_vec(),
        created_at: now,
        seen_at: now,
        expires_at: now.plus(SIGN_IN_TTL),
    };
    end(web, headers).await?;
    let event = Event::new(EventKind::SignedIn)
        .user(who.tenant(), who.user())
        .fact("session", session.id_hash.to_string());
    web.audit.event(event).await?;
    web.store.insert_session(&session).await?;
    Ok(cookie::set(cookie::SESSION, secret.as_str(), SIGN_IN_TTL))
}

/// Ends the session of this browser on our side, if there is one.
pub(super) async fn end(web: &WebState, headers: &HeaderMap) -> Result<(), Fault> {
    let Some(secret) = shown(headers) else {
        return Ok(());
    };
    if web.store.delete_session(secret.hash()).await? {
        let event = Event::new(EventKind::SignedOut).fact("session", secret.hash().to_string());
        web.audit.event_soon(event).await?;
    }
    Ok(())
}

/// Ends every session of the user who signed in at this browser, wherever they are.
pub(super) async fn end_all(web: &WebState, session: &Session) -> Result<(), Fault> {
    let ended = web.store.delete_sessions_of(&session.who).await?;
    let event = Event::new(EventKind::SignedOut)
        .fact("session", session.id_hash.to_string())
        .fact("sessions_ended", ended);
    web.audit.event_soon(event).await?;
    Ok(())
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
