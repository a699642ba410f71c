//! `[[issuer]]`: whose tokens count, and what their claims mean here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::introspection::{self, RawIntrospection};
use super::parse::Checker;
use super::proof::{self, Dpop};
use super::{ClaimMap, ClaimType, ExtraClaim, IssuerConfig, KeySource, ScopeMap};
use crate::capability::ClaimName;
use crate::ids::{IDENTIFIER_BYTES_MAX, Issuer, Tenant};
use crate::limits::{EXTRA_CLAIMS_MAX, ROLE_PREFIX_BYTES_MAX};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    pub(super) issuer: Spanned<String>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<Spanned<Url>>,
    audience: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    other_audiences: bool,
    algorithms: Spanned<Vec<String>>,
    #[serde(default)]
    required_scopes: Vec<String>,
    client_claim: Option<Spanned<String>>,
    /// Stands before every role and group.
    role_prefix: Option<Spanned<String>>,
    roles_claim: Option<Spanned<RawPath>>,
    groups_claim: Option<Spanned<RawPath>>,
    tenant_claim: Option<Spanned<RawPath>>,
    default_tenant: Option<Spanned<String>>,
    #[serde(default)]
    allow_without_user: bool,
    /// Values of `acr`, the weakest first.
    #[serde(default)]
    acr: Option<Spanned<Vec<String>>>,
    /// Further claims that rules can read, by the name that rules use.
    #[serde(default)]
    claims: BTreeMap<String, Spanned<RawClaim>>,
    /// Those of them that a tool can be told, where that is granted.
    #[serde(default)]
    tool_claims: Vec<Spanned<String>>,
    /// What a scope implies.
    #[serde(default)]
    scopes: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    dpop: Dpop,
    dpop_nonce: Option<Spanned<bool>>,
    introspection: Option<Spanned<RawIntrospection>>,
}

/// Where a claim stands: names with dots between them, or a list of names where a name itself has dots.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawPath {
    Dotted(String),
    Names(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    path: Option<Spanned<RawPath>>,
    #[serde(rename = "type")]
    kind: ClaimType,
    #[serde(default)]
    required: bool,
}

pub(super) fn issuer(
    check: &mut Checker<'_>,
    raw: &RawIssuer,
    ours: Option<&str>,
) -> Option<IssuerConfig> {
    let issuer: Option<Issuer> = check.name(&raw.issuer, "write the `iss` of its tokens, exactly");
    let keys = match (&raw.jwks_file, &raw.jwks_url) {
        (Some(_), Some(url)) => {
            check.wrong(
                url,
                "keys come from a file and from a URL",
                "keep one of `jwks_file` and `jwks_url`",
            );
            None
        }
        (Some(file), None) => Some(KeySource::File(check.path(file))),
        (None, Some(url)) => Some(KeySource::Url(url.get_ref().clone())),
        (None, None) => Some(KeySource::Discovery),
    };
    let audience = match &raw.audience {
        Some(list) if list.get_ref().is_empty() || list.get_ref().iter().any(String::is_empty) => {
            check.wrong(
                list,
                "the list of audiences is empty",
                "name our URL, or leave `audience` out",
            );
            None
        }
        Some(list) => Some(list.get_ref().clone()),
        None => ours.map(|ours| vec![ours.to_owned()]),
    };
    let algorithms = algorithms(check, &raw.algorithms);
    let client_claim = match &raw.client_claim {
        Some(claim) if !matches!(claim.get_ref().as_str(), "client_id" | "azp") => {
            check.wrong(
                claim,
                format!("`{}` cannot name the client", claim.get_ref()),
                "use `client_id` or `azp`",
            );
            None
        }
        Some(claim) => Some(claim.get_ref().clone()),
        None => Some("client_id".to_owned()),
    };
    let default_tenant: Option<Tenant> = match &raw.default_tenant {
        Some(tenant) => check.name(tenant, "write a short name"),
        // Two issuers never share a tenant unless someone writes so.
        None => raw.issuer.get_ref().parse().ok(),
    };
    let mut path = |claim: &Option<Spanned<RawPath>>, default: &str| match claim {
        Some(raw) => path(check, raw),
        None => Some(vec![default.to_owned()]),
    };
    let (roles, groups, tenant) = (
        path(&raw.roles_claim, "roles"),
        path(&raw.groups_claim, "groups"),
        path(&raw.tenant_claim, "tenant"),
    );
    let role_prefix = role_prefix(check, raw.role_prefix.as_ref());
    let extra = extra(check, &raw.claims);
    let extra = told(check, &raw.tool_claims, extra);
    let acr = acr(check, raw.acr.as_ref());
    let scopes = scopes(check, &raw.scopes);
    let proof = proof::proof(check, raw.dpop, raw.dpop_nonce.as_ref());
    let introspection = match &raw.introspection {
        Some(raw) => Some(introspection::introspection(check, raw)?),
        None => None,
    };
    Some(IssuerConfig {
        issuer: issuer?,
        keys: keys?,
        audience: audience?,
        other_audiences: raw.other_audiences,
        algorithms: algorithms?,
        required_scopes: raw.required_scopes.clone(),
        client_claim: client_claim?,
        claims: ClaimMap {
            role_prefix: role_prefix?,
            roles: roles?,
            groups: groups?,
            tenant: tenant?,
            default_tenant: default_tenant?,
            extra,
        },
        acr,
        scopes,
        allow_without_user: raw.allow_without_user,
        proof,
        introspection,
    })
}

fn algorithms(
    check: &mut Checker<'_>,
    raw: &Spanned<Vec<String>>,
) -> Option<Vec<jsonwebtoken::Algorithm>> {
    use jsonwebtoken::Algorithm as A;
    const HELP: &str = "choose from ES256, ES384, EdDSA, PS256, RS256, or HS256 for an issuer that has nothing else";
    let mut known = Vec::new();
    for name in raw.get_ref() {
        match name.as_str() {
            "ES256" => known.push(A::ES256),
            "ES384" => known.push(A::ES384),
            "EdDSA" => known.push(A::EdDSA),
            "PS256" => known.push(A::PS256),
            "RS256" => known.push(A::RS256),
            "HS256" => known.push(A::HS256),
            other => check.wrong(
                raw,
                format!("`{other}` is not an algorithm that we accept"),
                HELP,
            ),
        }
    }
    if known.is_empty() {
        check.wrong(raw, "the list of algorithms is empty", HELP);
        return None;
    }
    // RFC 8725 §3.1 and §3.2: a public key must never pass as an HMAC secret.
    if known.contains(&A::HS256) && known.iter().any(|one| *one != A::HS256) {
        check.wrong(raw, "HMAC stands beside public keys", HELP);
        return None;
    }
    Some(known)
}

/// What stands before every role and group. It ends in a mark, so that no name runs into it.
fn role_prefix(check: &mut Checker<'_>, raw: Option<&Spanned<String>>) -> Option<String> {
    let Some(raw) = raw else {
        return Some(String::new());
    };
    let text = raw.get_ref();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let word = text.strip_suffix([':', '/']);
    let good = word.is_some_and(|word| {
        !word.is_empty() && word.len() <= ROLE_PREFIX_BYTES_MAX && word.chars().all(is_word)
    });
    if !good {
        let message = format!("`{text}` cannot stand before roles");
        let help = "write a short word and `:` or `/`, such as `partner:`";
        check.wrong(raw, message, help);
        return None;
    }
    Some(text.clone())
}

fn path(check: &mut Checker<'_>, raw: &Spanned<RawPath>) -> Option<Vec<String>> {
    let names: Vec<String> = match raw.get_ref() {
        RawPath::Dotted(text) => text.split('.').map(str::to_owned).collect(),
        RawPath::Names(names) => names.clone(),
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        let help = "write `realm_access.roles`, or a list of names where a name has dots";
        check.wrong(raw, "the path of a claim has no name in it", help);
        return None;
    }
    Some(names)
}

fn extra(
    check: &mut Checker<'_>,
    raw: &BTreeMap<String, Spanned<RawClaim>>,
) -> BTreeMap<String, ExtraClaim> {
    let mut all = BTreeMap::new();
    for (name, claim) in raw {
        if !is_identifier(name) {
            let message = format!("rules cannot read a claim by the name `{name}`");
            check.wrong(claim, message, "use letters, digits and `_`");
            continue;
        }
        let path = match &claim.get_ref().path {
            Some(raw) => path(check, raw),
            None => Some(vec![name.clone()]),
        };
        if all.len() == EXTRA_CLAIMS_MAX {
            let message = format!("there are more than {EXTRA_CLAIMS_MAX} claims for rules");
            check.wrong(claim, message, "keep those that rules read");
            break;
        }
        if let Some(path) = path {
            let (kind, required) = (claim.get_ref().kind, claim.get_ref().required);
            let extra = ExtraClaim {
                path,
                kind,
                required,
                told: false,
            };
            all.insert(name.clone(), extra);
        }
    }
    all
}

/// Marks what tools can be told. Nothing that is about the token itself is among it, by whatever name.
fn told(
    check: &mut Checker<'_>,
    raw: &[Spanned<String>],
    mut all: BTreeMap<String, ExtraClaim>,
) -> BTreeMap<String, ExtraClaim> {
    for name in raw {
        let parsed = name.get_ref().parse::<ClaimName>();
        let is_name = parsed.is_ok_and(|name| !name.is_pseudonym());
        let of_the_token = |claim: &ExtraClaim| {
            let first = claim.path.first();
            first.is_none_or(|first| ClaimName::is_of_the_token(first))
        };
        match all.get_mut(name.get_ref()) {
            Some(claim) if is_name && !of_the_token(claim) => claim.told = true,
            Some(_) => check.wrong(
                name,
                format!("`{}` is about the token itself", name.get_ref()),
                "tools are told claims about the user alone; remove it",
            ),
            None => check.wrong(
                name,
                format!("there is no claim `{}`", name.get_ref()),
                "describe it in `[issuer.claims]` first; standard claims such as `email` need not be listed",
            ),
        }
    }
    all
}

/// What Cedar takes for an attribute without quotes.
fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A token that is given to a client for tools must not be one for administrators.
pub(super) fn check_admin(
    check: &mut Checker<'_>,
    raw: &[RawIssuer],
    issuers: &[IssuerConfig],
    scope: &str,
) {
    for issuer in issuers {
        let every: BTreeSet<String> = issuer.required_scopes.iter().cloned().collect();
        let at = raw
            .iter()
            .find(|raw| raw.issuer.get_ref() == issuer.issuer.as_str());
        if let Some(raw) = at
            && issuer.scopes.expand(every).contains(scope)
        {
            let message =
                format!("every token of this issuer has the scope `{scope}`, and could administer");
            let help = "name another scope in `[admin]`, or take it out of `required_scopes`";
            check.wrong(&raw.issuer, message, help);
        }
    }
}

/// An opaque token is asked about at one issuer, at a place to which tokens may go.
pub(super) fn check_introspection(check: &mut Checker<'_>, issuers: &[RawIssuer]) {
    let all = issuers.iter().filter_map(|one| one.introspection.as_ref());
    introspection::check_all(check, all);
}

/// One name has one type: a rule is checked once, for the callers of every issuer.
pub(super) fn check_types(check: &mut Checker<'_>, issuers: &[RawIssuer]) {
    let mut known = BTreeMap::new();
    for (name, claim) in issuers.iter().flat_map(|issuer| &issuer.claims) {
        let kind = claim.get_ref().kind;
        if *known.entry(name).or_insert(kind) != kind {
            let message = format!("the claim `{name}` has another type at another issuer");
            check.wrong(claim, message, "give it one type, or another name");
        }
    }
}

fn acr(check: &mut Checker<'_>, raw: Option<&Spanned<Vec<String>>>) -> Vec<String> {
    let Some(raw) = raw else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let good = |one: &String| !one.is_empty() && one.len() <= IDENTIFIER_BYTES_MAX;
    if !raw
        .get_ref()
        .iter()
        .all(|one| good(one) && seen.insert(one))
    {
        let message = "a value of `acr` is empty, too long or there twice";
        check.wrong(raw, message, "list each value once, the weakest first");
    }
    raw.get_ref().clone()
}

fn scopes(check: &mut Checker<'_>, raw: &BTreeMap<String, Spanned<Vec<String>>>) -> ScopeMap {
    for (scope, implied) in raw {
        // RFC 6749 §3.3.
        let is_scope = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        let wrong = [scope].into_iter().chain(implied.get_ref());
        if let Some(wrong) = wrong.into_iter().find(|text| !is_scope(text)) {
            let message = format!("`{wrong}` is not a scope");
            check.wrong(
                implied,
                message,
                "use visible ASCII without spaces, quotes and backslashes",
            );
        }
    }
    let direct = raw.iter();
    let direct = direct.map(|(scope, implied)| (scope.clone(), implied.get_ref().clone()));
    ScopeMap::new(direct)
}

#[cfg(test)]
mod tests;
