//! The one cryptographic library, installed before anything asks for one.

/// Another provider was installed before ours, so two libraries would do one job.
#[derive(Debug, thiserror::Error)]
#[error("another cryptographic provider is installed already")]
pub struct Installed;

/// Makes aws-lc-rs the provider of TLS and of token signatures. A second call changes nothing.
pub fn install() -> Result<(), Installed> {
    static ONCE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let ours = ONCE.get_or_init(|| {
        let tls = rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .is_ok();
        // The self-test of `identity` may have installed the same provider before.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        tls
    });
    if *ours { Ok(()) } else { Err(Installed) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_providers_are_installed() {
        super::install().unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
        crate::identity::self_test().unwrap();
    }
}
