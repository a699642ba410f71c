//! The operator's folders that guests may be given, with their placeholders and quotas.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;
use super::{Mount, Quota};
use crate::ids::MountName;
use crate::limits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMount {
    name: Spanned<String>,
    path: Spanned<String>,
    max_bytes: Option<Spanned<u64>>,
    max_files: Option<Spanned<u64>>,
}

pub(super) fn mount(check: &mut Checker<'_>, raw: &RawMount) -> Option<Mount> {
    let name: Option<MountName> = check.name(&raw.name, "choose a short name");
    let path = raw.path.get_ref();
    let rest = ["{tenant}", "{iss}", "{sub}"]
        .iter()
        .fold(path.clone(), |rest, known| rest.replace(known, ""));
    if path.is_empty() || rest.contains(['{', '}']) {
        check.wrong(
            &raw.path,
            "the path has a placeholder that we do not know",
            "use `{tenant}`, `{iss}` and `{sub}`",
        );
        return None;
    }
    // Tenants never share; the tenant of an issuer that names none is the issuer itself.
    if path.contains("{sub}") && !path.contains("{tenant}") {
        check.wrong(
            &raw.path,
            "users of two tenants with one name would share this folder",
            "add `{tenant}` before `{sub}`",
        );
        return None;
    }
    if path
        .split('/')
        .any(|segment| segment.matches('{').count() > 1)
    {
        check.wrong(
            &raw.path,
            "two placeholders in one segment run together",
            "put a `/` between them",
        );
        return None;
    }
    let quota = quota(check, raw)?;
    Some(Mount {
        name: name?,
        quota,
        path: check.path(Path::new(path)).to_string_lossy().into_owned(),
    })
}

fn quota(check: &mut Checker<'_>, raw: &RawMount) -> Option<Quota> {
    let usual = Quota::default();
    let mut bound = |raw: &Option<Spanned<u64>>, usual, most| match raw {
        None => Some(usual),
        Some(number) if (1..=most).contains(number.get_ref()) => Some(*number.get_ref()),
        Some(number) => {
            let help = format!("write a number from 1 to {most}, or leave it out for {usual}");
            check.wrong(number, "a mount cannot be bounded by that", &help);
            None
        }
    };
    Some(Quota {
        // A file has at most so many bytes, so that no sum of them runs over.
        bytes: bound(&raw.max_bytes, usual.bytes, i64::MAX.unsigned_abs())?,
        files: bound(&raw.max_files, usual.files, limits::FILES_COUNT_CEILING)?,
    })
}
