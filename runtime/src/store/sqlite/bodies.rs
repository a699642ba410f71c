//! What of the state is encrypted where rows are: what of each table its body holds, and to what that is bound.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use zeroize::Zeroizing;

use super::super::{ConsentRow, Session, StoreError, TicketRow};
use super::rest::{Body, Contents, Place, Rest};
use super::rows;
use crate::clock::Timestamp;
use crate::ids::{Digest, User};

/// The state.
pub(super) const STATE: Contents = Contents {
    name: "the state",
    places: &[CONSENT, TICKET, FLOW, SESSION, SECRET],
    erase: &[
        // Nobody can read what was agreed to: nothing of it holds, it is in the way of no new decision, and what is left of a row
        // would name its user and lead to the records of the log that are about this user.
        "consent",
        "foreign_visit",
        // What its clients said of themselves was kept for what was agreed to.
        "client_text",
        "ticket",
        "browser_session",
        "secret",
    ],
};

/// Records of consent: all that is not looked for. What stays beside the body and never changes, it is bound to.
pub(super) const CONSENT: Place = Place {
    table: "consent",
    owner: "tenant",
    bound: &[
        "id",
        "iss",
        "sub",
        "client_id",
        "tool",
        "publisher",
        "capability",
        "tier",
        "scope",
        "sign_in",
        "arguments",
        "ticket",
        "channel",
        "decided_at",
        "not_before",
        "expires_at",
        "uses_max",
        "supersedes",
        "refused",
        "client_kind",
        "client_hosts",
        "client_metadata",
    ],
    empties: "component = '', definition = '', manifest = '', version = NULL, ui = '', locale = NULL, by_iss = NULL, \
        by_sub = NULL, acr = NULL, amr = '[]', auth_time = NULL, actors = '[]', policy = NULL, rules = '[]', end_reason = NULL",
    plain: |row| json(&Agreed::in_clear(row)?),
};

/// Questions: what the page shows.
pub(super) const TICKET: Place = Place {
    table: "ticket",
    owner: "tenant",
    bound: &[
        "id_hash",
        "iss",
        "sub",
        "client_id",
        "tool",
        "publisher",
        "component",
        "definition",
        "manifest",
        "question",
        "arguments",
        "created_at",
        "expires_at",
    ],
    empties: "shown = ''",
    plain: |row| text(row, "shown"),
};

/// Sign-ins that were begun. Whose they will be is not known yet: they are the server's.
pub(super) const FLOW: Place = Place {
    table: "sign_in_flow",
    owner: "''",
    bound: &["state_hash", "expires_at"],
    empties: "data = ''",
    plain: |row| text(row, "data"),
};

/// Browsers that signed in: how and when their users did.
pub(super) const SESSION: Place = Place {
    table: "browser_session",
    owner: "tenant",
    bound: &[
        "id_hash",
        "sign_in",
        "iss",
        "sub",
        "created_at",
        "expires_at",
    ],
    empties: "auth_time = NULL, acr = NULL, amr = '[]'",
    plain: |row| json(&SignedIn::in_clear(row)?),
};

/// Keys of the server's own, and those that it has of each tenant.
pub(super) const SECRET: Place = Place {
    table: "secret",
    owner: "tenant",
    bound: &["name"],
    empties: "value = x''",
    plain: |row| Ok(Zeroizing::new(row.try_get("value")?)),
};

/// What the body of a consent holds.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Agreed {
    pub(super) component: String,
    pub(super) definition: String,
    pub(super) manifest: String,
    pub(super) version: Option<String>,
    pub(super) ui: String,
    pub(super) locale: Option<String>,
    pub(super) by_iss: Option<String>,
    pub(super) by_sub: Option<String>,
    pub(super) acr: Option<String>,
    pub(super) amr: Vec<String>,
    pub(super) auth_time: Option<i64>,
    pub(super) actors: Vec<User>,
    pub(super) policy: Option<Digest>,
    pub(super) rules: Vec<String>,
    pub(super) end_reason: Option<String>,
}

impl Agreed {
    /// That of a record.
    pub(super) fn of(record: &ConsentRow) -> Self {
        let evidence = &record.evidence;
        let by = evidence.by.as_ref();
        Self {
            component: record.pinned.component.to_string(),
            definition: record.pinned.definition.to_string(),
            manifest: record.pinned.manifest.to_string(),
            version: evidence.version.clone(),
            ui: record.ui.to_string(),
            locale: evidence.locale.clone(),
            by_iss: by.map(|by| by.issuer.to_string()),
            by_sub: by.map(|by| by.subject.to_string()),
            acr: record.acr.clone(),
            amr: evidence.amr.clone(),
            auth_time: record.auth_time.map(|at| at.0),
            actors: evidence.actors.clone(),
            policy: evidence.policy,
            rules: evidence.rules.clone(),
            end_reason: None,
        }
    }

    /// That of a row whose columns hold it.
    fn in_clear(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            component: row.try_get("component")?,
            definition: row.try_get("definition")?,
            manifest: row.try_get("manifest")?,
            version: row.try_get("version")?,
            ui: row.try_get("ui")?,
            locale: row.try_get("locale")?,
            by_iss: row.try_get("by_iss")?,
            by_sub: row.try_get("by_sub")?,
            acr: row.try_get("acr")?,
            amr: row.try_get::<Json<_>, _>("amr")?.0,
            auth_time: row.try_get("auth_time")?,
            actors: row.try_get::<Json<_>, _>("actors")?.0,
            policy: rows::parsed_if_any(row, "consent", "policy")?,
            rules: row.try_get::<Json<_>, _>("rules")?.0,
            end_reason: row.try_get("end_reason")?,
        })
    }
}

/// What the body of a session holds.
#[derive(Serialize, Deserialize)]
struct SignedIn {
    auth_time: Option<i64>,
    acr: Option<String>,
    amr: Vec<String>,
}

impl SignedIn {
    fn in_clear(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            auth_time: row.try_get("auth_time")?,
            acr: row.try_get("acr")?,
            amr: row.try_get::<Json<_>, _>("amr")?.0,
        })
    }
}

impl Rest {
    /// The body of a consent that was read with its key; none when that was destroyed.
    pub(super) async fn agreed(&self, row: &SqliteRow) -> Result<Option<Agreed>, StoreError> {
        match self.body(&CONSENT, row).await? {
            Body::Clear => Agreed::in_clear(row).map(Some),
            Body::Open(plain) => from_json(&plain, "consent").map(Some),
            Body::Erased => Ok(None),
        }
    }

    /// Consents that were read with their keys. What nobody can open any more is not there.
    pub(super) async fn consents(&self, all: &[SqliteRow]) -> Result<Vec<ConsentRow>, StoreError> {
        let mut consents = Vec::with_capacity(all.len());
        for row in all {
            if let Some(agreed) = self.agreed(row).await? {
                consents.push(rows::consent(row, agreed)?);
            }
        }
        Ok(consents)
    }

    /// The same for one that there may be.
    pub(super) async fn consent(
        &self,
        row: Option<SqliteRow>,
    ) -> Result<Option<ConsentRow>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        Ok(self.consents(std::slice::from_ref(&row)).await?.pop())
    }

    /// A question that was read with its key.
    pub(super) async fn ticket(
        &self,
        row: Option<SqliteRow>,
    ) -> Result<Option<TicketRow>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        let shown = match self.body(&TICKET, &row).await? {
            Body::Clear => row.try_get("shown")?,
            Body::Open(plain) => from_text(&plain, "ticket")?,
            Body::Erased => return Ok(None),
        };
        rows::ticket(&row, shown).map(Some)
    }

    /// Gives a session that was read with its key what its body holds; none when the key was destroyed.
    pub(super) async fn session(
        &self,
        row: &SqliteRow,
        session: Session,
    ) -> Result<Option<Session>, StoreError> {
        let signed_in = match self.body(&SESSION, row).await? {
            Body::Clear => SignedIn::in_clear(row)?,
            Body::Open(plain) => from_json(&plain, "browser_session")?,
            Body::Erased => return Ok(None),
        };
        Ok(Some(Session {
            auth_time: signed_in.auth_time.map(Timestamp),
            acr: signed_in.acr,
            amr: signed_in.amr,
            ..session
        }))
    }
}

/// The body of a session.
pub(super) fn signed_in(session: &Session) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    json(&SignedIn {
        auth_time: session.auth_time.map(|at| at.0),
        acr: session.acr.clone(),
        amr: session.amr.clone(),
    })
}

pub(super) fn json<T: Serialize>(body: &T) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    serde_json::to_vec(body)
        .map(Zeroizing::new)
        .map_err(StoreError::Record)
}

pub(super) fn from_json<T: DeserializeOwned>(
    plain: &[u8],
    table: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_slice(plain).map_err(|_| StoreError::Corrupt {
        table,
        column: "body",
    })
}

pub(super) fn from_text(plain: &[u8], table: &'static str) -> Result<String, StoreError> {
    let text = std::str::from_utf8(plain);
    text.map(str::to_owned).map_err(|_| StoreError::Corrupt {
        table,
        column: "body",
    })
}

fn text(row: &SqliteRow, column: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let text: String = row.try_get(column)?;
    Ok(Zeroizing::new(text.into_bytes()))
}
