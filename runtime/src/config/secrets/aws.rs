//! What requests are signed for, where a secret is an access key.

use toml::Spanned;

use super::super::parse::Checker;
use super::RawSecret;
use crate::capability::SecretForm;

/// Longest name of a region or of a service, in bytes. Both stand in every signature and are a few words long.
const NAME_BYTES_MAX: usize = 64;

/// The part of a signature's scope that the operator says: a signature is good for one region and one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsScope {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The service by the name in signatures, such as `s3` or `execute-api`.
    pub service: String,
}

pub(super) fn scope(
    check: &mut Checker<'_>,
    raw: &RawSecret,
    form: Option<&SecretForm>,
) -> Option<AwsScope> {
    let signs = form?.signs();
    let mut name = |given: &Option<Spanned<String>>, key: &str, such_as: &str| match given {
        Some(given) if !signs => {
            let message = format!("only the form `aws-sigv4` has a {key}");
            check.wrong(given, message, "remove it");
            None
        }
        Some(given) => {
            let text = given.get_ref();
            let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
            if !(1..=NAME_BYTES_MAX).contains(&text.len()) || !text.bytes().all(fits) {
                let message = format!("this is no {key} of a signature");
                check.wrong(given, message, such_as);
                return None;
            }
            Some(text.clone())
        }
        None if signs => {
            let message = format!("the form `aws-sigv4` has a {key}");
            check.wrong(&raw.form, message, such_as);
            None
        }
        None => None,
    };
    let region = name(&raw.region, "region", "write such as `eu-central-1`");
    let service = name(
        &raw.service,
        "service",
        "write its name in signatures, such as `s3` or `execute-api`",
    );
    Some(AwsScope {
        region: region?,
        service: service?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError, SecretSource};

    fn parse(secret: &str) -> Result<Config, ConfigError> {
        crate::config::testing::parse(&format!(
            "[[secret]]\nname = \"a\"\nhosts = [\"a.example\"]\n{secret}"
        ))
    }

    #[test]
    fn an_access_key_has_a_region_and_a_service() {
        let config = parse(
            "form = \"aws-sigv4\"\nregion = \"eu-central-1\"\nservice = \"execute-api\"\nfile = \"key.json\"\n",
        );
        let scope = AwsScope {
            region: "eu-central-1".to_owned(),
            service: "execute-api".to_owned(),
        };
        assert_eq!(config.unwrap().secrets[0].aws, Some(scope));
        let vault = "vault = {address = \"https://v.example\", mount = \"kv\", path = \"a\", token_env = \"T\"}\n";
        let config = parse(&format!(
            "form = \"aws-sigv4\"\nregion = \"auto\"\nservice = \"s3\"\n{vault}"
        ));
        let config = config.unwrap();
        let SecretSource::Vault(vault) = &config.secrets[0].source else {
            panic!("{config:?}")
        };
        assert_eq!(vault.field, None);
        let other = parse("form = \"bearer\"\nfile = \"key\"\n").unwrap();
        assert_eq!(other.secrets[0].aws, None);
    }

    #[test]
    fn what_cannot_be_signed_for_is_refused_with_its_line() {
        let signed = |rest: &str| format!("form = \"aws-sigv4\"\nfile = \"k\"\n{rest}");
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let vault = |field: &str| {
            format!(
                "vault = {{address = \"https://v.example\", mount = \"kv\", path = \"a\", token_env = \"T\"{field}}}\n"
            )
        };
        for (wrong, line, says) in [
            (signed("region = \"r\"\n"), 11, "has a service"),
            (signed("service = \"s3\"\n"), 11, "has a region"),
            (signed("region = \"\"\nservice = \"s3\"\n"), 13, "no region"),
            (
                signed("region = \"eu/x\"\nservice = \"s3\"\n"),
                13,
                "no region",
            ),
            (
                signed(&format!("region = \"{long}\"\nservice = \"s3\"\n")),
                13,
                "no region",
            ),
            (
                signed("region = \"r\"\nservice = \"s3, x\"\n"),
                14,
                "no service",
            ),
            (
                signed("region = \"r\"\nservice = \"s3\"\nuser = \"u\"\n"),
                15,
                "only the form `basic`",
            ),
            (
                "form = \"bearer\"\nfile = \"k\"\nregion = \"r\"\n".to_owned(),
                13,
                "only the form `aws-sigv4` has a region",
            ),
            (
                "form = \"query q\"\nfile = \"k\"\nservice = \"s3\"\n".to_owned(),
                13,
                "only the form `aws-sigv4` has a service",
            ),
            (
                format!(
                    "form = \"aws-sigv4\"\nregion = \"r\"\nservice = \"s3\"\n{}",
                    vault(", field = \"v\"")
                ),
                14,
                "not in one field",
            ),
            (
                format!("form = \"bearer\"\n{}", vault("")),
                12,
                "no field in the vault",
            ),
            (
                format!("form = \"bearer\"\n{}", vault(", field = \"\"")),
                12,
                "is empty",
            ),
        ] {
            let ConfigError::Invalid { problems } = parse(&wrong).unwrap_err() else {
                panic!("{wrong}")
            };
            let told = problems
                .iter()
                .any(|one| one.line == Some(line) && one.message.contains(says));
            assert!(told, "{wrong}: {problems:?}");
        }
    }
}
