//! What a tenant has of the processors, beside the others.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use toml::Spanned;

use super::parse::Checker;
use crate::ids::Tenant;
use crate::limits::{SHARE_MAX, SHARES_MAX};

pub(super) type RawShares = BTreeMap<Spanned<String>, Spanned<u32>>;

/// The shares of those tenants that have one of their own.
pub(super) fn shares(check: &mut Checker<'_>, raw: &RawShares) -> BTreeMap<Tenant, NonZeroU32> {
    let mut shares = BTreeMap::new();
    for (tenant, share) in raw {
        if shares.len() >= SHARES_MAX {
            let help = format!("{SHARES_MAX} are enough; whoever is not named has a share of 1");
            check.wrong(tenant, "too many tenants have a share of their own", &help);
            return shares;
        }
        let name = check.name(tenant, "write the tenant as its tokens name it");
        let within = NonZeroU32::new(*share.get_ref()).filter(|share| share.get() <= SHARE_MAX);
        if within.is_none() {
            let help =
                format!("choose from 1 to {SHARE_MAX}; a rule keeps a tenant out altogether");
            check.wrong(share, "the share of a tenant is out of range", &help);
        }
        shares.extend(name.zip(within));
    }
    shares
}

#[cfg(test)]
mod tests {
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn a_tenant_has_the_share_that_is_written_and_no_other() {
        let limits = parse("[limits.shares]\nacme = 3\n").unwrap().limits;
        let share = |tenant: &str| limits.shares.get(&tenant.parse().unwrap()).copied();
        assert_eq!(share("acme").map(u32::from), Some(3));
        assert_eq!(share("other"), None);
        assert!(parse("").unwrap().limits.shares.is_empty());
    }

    #[test]
    fn a_share_out_of_range_is_refused_with_its_line() {
        for wrong in ["acme = 0", "acme = 1001", "\"\" = 1", "\"a\\u0000b\" = 1"] {
            let text = format!("[limits.shares]\n{wrong}\n");
            let ConfigError::Invalid { problems } = parse(&text).unwrap_err() else {
                panic!("{wrong}")
            };
            assert!(
                problems.iter().all(|one| one.line.is_some()),
                "{problems:?}"
            );
            assert_eq!(problems.len(), 1, "{wrong}: {problems:?}");
        }
        assert!(parse("[limits.shares]\nacme = 1000\n").is_ok());
        assert!(parse("[limits.shares]\nacme = -1\n").is_err());
    }
}
