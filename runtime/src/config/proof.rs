//! Whether the callers of an issuer prove that a token was issued to them (RFC 9449).

use serde::Deserialize;
use toml::Spanned;

use super::parse::Checker;

/// Whether tokens that are bound to a key are taken, with the proof of that key.
///
/// A token that says that it is bound is never taken without its proof, whichever of these it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dpop {
    /// No proof is looked at, so tokens that need one are refused.
    #[default]
    Off,
    /// Beside plain bearer tokens.
    Allowed,
    /// A plain bearer token is refused.
    Required,
}

/// What the callers of an issuer prove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProofConfig {
    /// Whether tokens are bound to keys.
    pub dpop: Dpop,
    /// Whether proofs must carry a nonce of ours (RFC 9449 §9).
    pub nonce: bool,
}

pub(super) fn proof(
    check: &mut Checker<'_>,
    dpop: Dpop,
    nonce: Option<&Spanned<bool>>,
) -> ProofConfig {
    let nonce = match (dpop, nonce) {
        (Dpop::Off, Some(nonce)) if *nonce.get_ref() => {
            let help = "set `dpop` to `allowed` or `required`, or remove `dpop_nonce`";
            check.wrong(nonce, "there are no proofs that could carry a nonce", help);
            false
        }
        (Dpop::Off | Dpop::Allowed | Dpop::Required, nonce) => {
            nonce.is_some_and(|nonce| *nonce.get_ref())
        }
    };
    ProofConfig { dpop, nonce }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::testing::parse;

    fn of(lines: &str) -> Result<ProofConfig, ConfigError> {
        let issuer = format!(
            "[[issuer]]\nissuer = \"https://as.example\"\nalgorithms = [\"ES256\"]\n{lines}"
        );
        parse(&issuer).map(|config| config.issuers[0].proof)
    }

    #[test]
    fn proofs_are_off_until_someone_writes_so() {
        assert_eq!(of("").unwrap(), ProofConfig::default());
        assert_eq!(of("dpop = \"off\"\n").unwrap().dpop, Dpop::Off);
        assert_eq!(of("dpop = \"allowed\"\n").unwrap().dpop, Dpop::Allowed);
        let all = of("dpop = \"required\"\ndpop_nonce = true\n").unwrap();
        assert_eq!((all.dpop, all.nonce), (Dpop::Required, true));
        assert!(of("dpop = \"Required\"\n").is_err());
        assert!(of("dpop = true\n").is_err());
        assert!(of("dpop_nonce = true\n").is_err());
        assert!(of("dpop_nonce = false\n").is_ok());
    }
}
