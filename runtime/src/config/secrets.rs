//! The secrets that the operator binds: where each is kept, to which hosts it goes, and in which form. Never a value.

mod aws;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

pub use aws::AwsScope;

use super::EgressHost;
use super::parse::Checker;
use super::vault::{VaultToken, address, file_path, segments, token, variable};
use crate::capability::{Authority, SecretForm};
use crate::ids::SecretName;
use crate::limits::{
    SECRET_FRESH_MAX, SECRET_HOSTS_MAX, SECRETS_MAX, VAULT_TTL_DEFAULT, VAULT_TTL_MAX,
};

/// A secret under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretBinding {
    /// The name that a manifest asks for.
    pub name: SecretName,
    /// Where it is kept.
    pub source: SecretSource,
    /// The hosts to which it may go; never empty.
    pub hosts: Vec<Authority>,
    /// The one form in which it is attached.
    pub form: SecretForm,
    /// The user of the form `basic`; empty for others.
    pub user: String,
    /// What requests of the form `aws-sigv4` are signed for; none for others.
    pub aws: Option<AwsScope>,
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, perhaps one per `{tenant}`.
    File(String),
    /// In a variable of the environment in which the server was started.
    Env(String),
    /// In a vault.
    Vault(Box<VaultSource>),
}

/// One field of a secret in a key-value store of the second version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSource {
    /// Scheme, host and port.
    pub address: Url,
    /// Where the store is mounted, by segments.
    pub mount: Vec<String>,
    /// Where the secret lies in it, by segments, perhaps with `{tenant}`.
    pub path: Vec<String>,
    /// The field of it; none where its fields are those of an access key.
    pub field: Option<String>,
    /// What opens it.
    pub token: VaultToken,
    /// How long a value serves.
    pub ttl: Duration,
    /// Certificates of further authorities by which it may prove itself.
    pub ca_file: Option<PathBuf>,
    /// Whether it is on this machine or on a host that the operator bound.
    pub local: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    name: Spanned<String>,
    file: Option<Spanned<String>>,
    env: Option<Spanned<String>>,
    vault: Option<Spanned<RawVault>>,
    hosts: Vec<Spanned<String>>,
    form: Spanned<String>,
    user: Option<Spanned<String>>,
    region: Option<Spanned<String>>,
    service: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVault {
    address: Spanned<String>,
    mount: Spanned<String>,
    path: Spanned<String>,
    field: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
    token_env: Option<Spanned<String>>,
    ttl_seconds: Option<Spanned<u64>>,
    ca_file: Option<PathBuf>,
}

pub(super) fn secrets(
    check: &mut Checker<'_>,
    raw: &[RawSecret],
    hosts: &[EgressHost],
) -> Vec<SecretBinding> {
    let mut all: Vec<SecretBinding> = Vec::new();
    for one in raw {
        let Some(secret) = secret(check, one, hosts) else {
            continue;
        };
        if all.iter().any(|known| known.name == secret.name) {
            let message = format!("the secret `{}` is bound twice", secret.name);
            check.wrong(&one.name, message, "keep one `[[secret]]` of that name");
        }
        if all.len() == SECRETS_MAX {
            let message = format!("there are more than {SECRETS_MAX} secrets");
            check.wrong(&one.name, message, "let tools share secrets by hosts");
        }
        all.push(secret);
    }
    all
}

fn secret(check: &mut Checker<'_>, raw: &RawSecret, bound: &[EgressHost]) -> Option<SecretBinding> {
    let name = check.name(&raw.name, "choose a short name");
    let form: Option<SecretForm> = check.name(&raw.form, "use the form that the host expects");
    let hosts: Vec<Authority> = raw
        .hosts
        .iter()
        .filter_map(|host| check.name(host, "no pattern reaches a secret"))
        .collect();
    if !(1..=SECRET_HOSTS_MAX).contains(&raw.hosts.len()) {
        let help = format!("name 1 to {SECRET_HOSTS_MAX} hosts, each exactly");
        check.wrong(
            &raw.name,
            "the secret goes to no host, or to too many",
            &help,
        );
    }
    let source = source(check, raw, bound, form.as_ref());
    let aws = aws::scope(check, raw, form.as_ref());
    let user = match (&raw.user, &form) {
        (Some(user), Some(SecretForm::Basic)) => {
            // RFC 7617 §2: a user has no colon.
            let fits = |c: char| c.is_ascii_graphic() && c != ':';
            if user.get_ref().is_empty() || !user.get_ref().chars().all(fits) {
                let help = "write visible ASCII without `:`";
                check.wrong(user, "this is no user of the form `basic`", help);
            }
            user.get_ref().clone()
        }
        (Some(user), Some(_)) => {
            check.wrong(user, "only the form `basic` has a user", "remove it");
            String::new()
        }
        (None, Some(SecretForm::Basic)) => {
            check.wrong(&raw.form, "the form `basic` has a user", "add `user`");
            String::new()
        }
        (None, Some(_)) | (_, None) => String::new(),
    };
    Some(SecretBinding {
        name: name?,
        source: source?,
        hosts,
        form: form?,
        user,
        aws,
    })
}

fn source(
    check: &mut Checker<'_>,
    raw: &RawSecret,
    bound: &[EgressHost],
    form: Option<&SecretForm>,
) -> Option<SecretSource> {
    match (&raw.file, &raw.env, &raw.vault) {
        (Some(file), None, None) => file_path(check, file, true).map(SecretSource::File),
        (None, Some(env), None) => variable(check, env).map(SecretSource::Env),
        (None, None, Some(raw)) => {
            vault(check, raw, bound, form).map(|one| SecretSource::Vault(Box::new(one)))
        }
        _ => {
            let message = "the secret does not have exactly one source";
            check.wrong(&raw.name, message, "write one of `file`, `env` and `vault`");
            None
        }
    }
}

fn vault(
    check: &mut Checker<'_>,
    raw: &Spanned<RawVault>,
    bound: &[EgressHost],
    form: Option<&SecretForm>,
) -> Option<VaultSource> {
    let one = raw.get_ref();
    let token = token(check, raw, one.token_file.as_ref(), one.token_env.as_ref());
    let address = address(check, &one.address, bound);
    let mount = segments(check, &one.mount, false);
    let path = segments(check, &one.path, true);
    let signs = form.is_some_and(SecretForm::signs);
    match &one.field {
        Some(field) if signs => {
            let help = "remove it; the secret has the fields `AccessKeyId` and `SecretAccessKey`";
            check.wrong(field, "an access key is not in one field", help);
        }
        Some(field) if field.get_ref().is_empty() => {
            let message = "the field of the secret is empty";
            check.wrong(field, message, "write such as `value`");
        }
        None if !signs && form.is_some() => {
            let message = "the secret has no field in the vault";
            check.wrong(raw, message, "add `field`, such as `value`");
        }
        Some(_) | None => {}
    }
    let range = SECRET_FRESH_MAX.as_secs()..=VAULT_TTL_MAX.as_secs();
    let ttl = one.ttl_seconds.as_ref().map(|ttl| {
        if !range.contains(ttl.get_ref()) {
            let help = format!("choose {} to {} seconds", range.start(), range.end());
            check.wrong(
                ttl,
                "the time for which a value serves is out of range",
                &help,
            );
        }
        Duration::from_secs((*ttl.get_ref()).min(*range.end()))
    });
    let (address, local) = address?;
    Some(VaultSource {
        address,
        mount: mount?,
        path: path?,
        field: one.field.as_ref().map(|field| field.get_ref().clone()),
        token: token?,
        ttl: ttl.unwrap_or(VAULT_TTL_DEFAULT),
        ca_file: one.ca_file.as_deref().map(|file| check.path(file)),
        local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    #[test]
    fn a_secret_has_a_source_hosts_and_a_form_and_no_value() {
        let config = parse(
            "[[secret]]\nname = \"tracker\"\nfile = \"secrets/{tenant}/tracker\"\nhosts = [\"api.example.com\", \"b.example:8443\"]\nform = \"bearer\"\n\
             [[secret]]\nname = \"mail\"\nenv = \"MAIL_TOKEN\"\nhosts = [\"mail.example\"]\nform = \"basic\"\nuser = \"robot\"\n\
             [[secret]]\nname = \"deep\"\nhosts = [\"c.example\"]\nform = \"header X-Key\"\n\
             vault = {address = \"http://127.0.0.1:8200\", mount = \"kv/team\", path = \"a/{tenant}\", field = \"value\", token_file = \"vault-token\"}\n",
        );
        let config = config.unwrap();
        let [tracker, mail, deep] = config.secrets.as_slice() else {
            panic!("{:?}", config.secrets)
        };
        let file = SecretSource::File("/srv/secrets/{tenant}/tracker".to_owned());
        assert_eq!(tracker.source, file);
        let hosts: Vec<_> = tracker.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["api.example.com", "b.example:8443"]);
        assert_eq!(mail.source, SecretSource::Env("MAIL_TOKEN".to_owned()));
        assert_eq!(mail.user, "robot");
        let SecretSource::Vault(vault) = &deep.source else {
            panic!("{deep:?}")
        };
        assert_eq!(
            (&*vault.mount.join("/"), &*vault.path.join("/")),
            ("kv/team", "a/{tenant}")
        );
        assert_eq!((vault.ttl, vault.local), (VAULT_TTL_DEFAULT, true));
        assert_eq!(vault.token, VaultToken::File("/srv/vault-token".to_owned()));
        assert_eq!(parse("").unwrap().secrets, []);
    }

    #[test]
    fn what_is_open_or_unclear_is_refused_with_its_line() {
        let secret = |rest: &str| format!("[[secret]]\nname = \"a\"\n{rest}");
        let to = "hosts = [\"a.example\"]\nform = \"bearer\"\n";
        let vault = |rest: &str| {
            secret(&format!(
                "{to}vault = {{mount = \"kv\", path = \"a\", field = \"v\", {rest}}}\n"
            ))
        };
        let many: String = (0..=SECRETS_MAX)
            .map(|n| format!("[[secret]]\nname = \"s{n}\"\nenv = \"E\"\n{to}"))
            .collect();
        for (wrong, line, says) in [
            (secret(to), 9, "exactly one source"),
            (
                secret(&format!("{to}env = \"A\"\nfile = \"a\"\n")),
                9,
                "exactly one source",
            ),
            (
                secret(&format!("{to}value = \"plain-text\"\n")),
                12,
                "unknown field",
            ),
            (secret(&format!("{to}file = \"../a\"\n")), 12, "no path"),
            (secret(&format!("{to}file = \"a/\"\n")), 12, "no path"),
            (
                secret(&format!("{to}file = \"{{sub}}/a\"\n")),
                12,
                "no path",
            ),
            (
                secret(&format!("{to}file = \"{{tenant}}{{tenant}}\"\n")),
                12,
                "no path",
            ),
            (
                secret(&format!("{to}env = \"A=B\"\n")),
                12,
                "no name of a variable",
            ),
            (
                secret("env = \"A\"\nhosts = []\nform = \"bearer\"\n"),
                9,
                "no host",
            ),
            (
                secret("env = \"A\"\nhosts = [\"*\"]\nform = \"bearer\"\n"),
                11,
                "not the host",
            ),
            (
                secret("env = \"A\"\nhosts = [\"*.a.example\"]\nform = \"bearer\"\n"),
                11,
                "not the host",
            ),
            (
                secret("env = \"A\"\nhosts = [\"a.example\"]\nform = \"cookie\"\n"),
                12,
                "not the form",
            ),
            (
                secret("env = \"A\"\nhosts = [\"a.example\"]\nform = \"basic\"\n"),
                12,
                "has a user",
            ),
            (
                secret("env = \"A\"\nhosts = [\"a.example\"]\nform = \"basic\"\nuser = \"a:b\"\n"),
                13,
                "no user",
            ),
            (
                secret(&format!("{to}env = \"A\"\nuser = \"a\"\n")),
                13,
                "only the form `basic`",
            ),
            (
                secret(&format!("{to}env = \"A\"\n")) + &secret(&format!("{to}env = \"A\"\n")),
                14,
                "bound twice",
            ),
            (
                vault("address = \"https://v.example\""),
                12,
                "exactly one token",
            ),
            (
                vault("address = \"http://v.example\", token_env = \"T\""),
                12,
                "no address",
            ),
            (
                vault("address = \"https://v.example/x\", token_env = \"T\""),
                12,
                "no address",
            ),
            (
                vault("address = \"https://v.example\", token_env = \"T\", ttl_seconds = 1"),
                12,
                "out of range",
            ),
            (
                vault("address = \"https://v.example\", token = \"T\""),
                12,
                "unknown field",
            ),
            (many, 9 + 5 * 64, "more than 64"),
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
