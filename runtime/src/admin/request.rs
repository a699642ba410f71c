//! What an administrator wants, read from path, query and body. An unknown key is refused.

use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::respond::Trouble;
use crate::config::LogLevel;
use crate::ids::{ClientId, Subject, Tenant, ToolName};
use crate::limits::{ADMIN_PAGE_DEFAULT, ADMIN_PAGE_MAX, ADMIN_REVOKED_MAX};
use crate::policy::{AdminAction, AdminResource};
use crate::store::ConsentFilter;

/// What is wanted.
pub(super) enum Wanted {
    /// How the server is.
    Status,
    /// The tools that are served.
    Tools(Page),
    /// What the rules say of themselves.
    Rules(Page),
    /// What users decided.
    Consents(Sought),
    /// To take consents back.
    Revoke(Taken),
    /// To have the log say more, or less.
    Log(Said),
}

/// What the log is to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) level: LogLevel,
}

/// A part of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Behind this one.
    pub(super) after: Option<String>,
    limit: Option<usize>,
}

impl Page {
    /// So many at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(ADMIN_PAGE_DEFAULT)
    }
}

/// Which consents are looked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sought {
    tenant: Option<Tenant>,
    user: Option<Subject>,
    client: Option<ClientId>,
    tool: Option<ToolName>,
    /// Those that have ended as well.
    #[serde(default)]
    pub(super) all: bool,
    after: Option<Uuid>,
    limit: Option<usize>,
}

impl Sought {
    /// The records of a tenant that fit.
    pub(super) fn filter(&self, tenant: Option<&Tenant>) -> ConsentFilter {
        let limit = self.limit.unwrap_or(ADMIN_PAGE_DEFAULT);
        ConsentFilter {
            id: None,
            subject: self.user.clone(),
            client: self.client.clone(),
            tool: self.tool.clone(),
            tenant: tenant.cloned(),
            before: self.after,
            limit: u32::try_from(limit).ok(),
        }
    }
}

/// Which consents are taken back: by id, or by what they have in common.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Taken {
    tenant: Option<Tenant>,
    #[serde(default)]
    pub(super) ids: Vec<Uuid>,
    user: Option<Subject>,
    client: Option<ClientId>,
    tool: Option<ToolName>,
}

impl Taken {
    /// The records of a tenant that fit.
    pub(super) fn filter(&self, tenant: Option<&Tenant>) -> ConsentFilter {
        ConsentFilter {
            id: None,
            subject: self.user.clone(),
            client: self.client.clone(),
            tool: self.tool.clone(),
            tenant: tenant.cloned(),
            before: None,
            limit: u32::try_from(ADMIN_PAGE_MAX).ok(),
        }
    }

    fn check(&self) -> Result<(), Trouble> {
        let narrowed = self.user.is_some() || self.client.is_some() || self.tool.is_some();
        match (self.ids.len(), narrowed) {
            (0, false) => Err(bad(
                "say which: name `ids`, or narrow down with `user`, `client` or `tool`",
            )),
            (1.., true) => Err(bad("name `ids`, or narrow down, not both")),
            (ids, false) if ids > ADMIN_REVOKED_MAX => {
                Err(bad(&format!("name at most {ADMIN_REVOKED_MAX} `ids`")))
            }
            (_, _) => Ok(()),
        }
    }
}

impl Wanted {
    /// Reads a request whose sender is known.
    pub(super) fn read(parts: &Parts, body: &[u8]) -> Result<Self, Trouble> {
        let only = |method: Method| {
            let allowed = parts.method == method;
            allowed
                .then_some(())
                .ok_or(Trouble::Method(if method == Method::GET {
                    "GET"
                } else {
                    "POST"
                }))
        };
        let wanted = match parts.uri.path() {
            "/admin/status" => {
                only(Method::GET)?;
                let Nothing {} = query(&parts.uri)?;
                Self::Status
            }
            "/admin/tools" => {
                only(Method::GET)?;
                Self::Tools(page(&parts.uri)?)
            }
            "/admin/rules" => {
                only(Method::GET)?;
                Self::Rules(page(&parts.uri)?)
            }
            "/admin/consents" => {
                only(Method::GET)?;
                let sought: Sought = query(&parts.uri)?;
                in_range(sought.limit)?;
                Self::Consents(sought)
            }
            "/admin/consents/revoke" => {
                only(Method::POST)?;
                let Nothing {} = query(&parts.uri)?;
                let taken: Taken = json(parts, body)?;
                taken.check()?;
                Self::Revoke(taken)
            }
            "/admin/log" => {
                only(Method::POST)?;
                let Nothing {} = query(&parts.uri)?;
                Self::Log(json(parts, body)?)
            }
            _ => return Err(Trouble::Unknown),
        };
        Ok(wanted)
    }

    /// Its name in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Tools(_) => "tools",
            Self::Rules(_) => "rules",
            Self::Consents(_) => "consents",
            Self::Revoke(_) => "consents/revoke",
            Self::Log(_) => "log",
        }
    }

    /// What the rules are asked: about the server, or about a tenant, the caller's own if none is named.
    pub(super) fn asks(&self, own: &Tenant) -> (AdminAction, AdminResource) {
        let of = |tenant: &Option<Tenant>| {
            AdminResource::Tenant(tenant.clone().unwrap_or_else(|| own.clone()))
        };
        match self {
            Self::Status | Self::Tools(_) | Self::Rules(_) => {
                (AdminAction::Read, AdminResource::Server)
            }
            Self::Consents(sought) => (AdminAction::Read, of(&sought.tenant)),
            Self::Revoke(taken) => (AdminAction::Revoke, of(&taken.tenant)),
            Self::Log(_) => (AdminAction::Log, AdminResource::Server),
        }
    }
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn bad(detail: &str) -> Trouble {
    Trouble::Bad(detail.to_owned())
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Trouble> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|Query(read)| read)
        .map_err(|error| Trouble::Bad(error.body_text()))
}

fn page(uri: &Uri) -> Result<Page, Trouble> {
    let page: Page = query(uri)?;
    in_range(page.limit)?;
    Ok(page)
}

fn in_range(limit: Option<usize>) -> Result<(), Trouble> {
    match limit {
        Some(limit) if !(1..=ADMIN_PAGE_MAX).contains(&limit) => {
            Err(bad(&format!("`limit` is 1 to {ADMIN_PAGE_MAX}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn json<T: DeserializeOwned>(parts: &Parts, body: &[u8]) -> Result<T, Trouble> {
    let kind = parts.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return Err(Trouble::ContentType);
    }
    serde_json::from_slice(body).map_err(|error| Trouble::Bad(error.to_string()))
}
