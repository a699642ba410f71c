//! Tokens that are bound to the certificate of a connection (RFC 8705).

use super::*;

#[tokio::test]
async fn x7_a_token_that_is_bound_to_a_certificate_needs_it_on_its_connection() {
    let (ours, other) = (
        PeerCertificate::of_der(b"ours"),
        PeerCertificate::of_der(b"other"),
    );
    let print = encode(ours.thumbprint.as_bytes());
    let key = Mint::es256("p");
    for config in [OFF, ALLOWED] {
        let world = World::new(config);
        let token = testing::token(json!({"cnf": {"x5t#S256": print}}));
        let with = |certificate| Try {
            certificate,
            ..Try::of("Bearer", token.clone(), &[])
        };
        assert!(world.show(&with(Some(ours)), NOW).await.is_ok());
        for wrong in [None, Some(other)] {
            let error = world.show(&with(wrong), NOW).await.map(drop).unwrap_err();
            assert!(matches!(error, IdentityError::OtherCertificate));
            assert_eq!(error.public(), PublicError::InvalidToken);
        }
        // A certificate proves nothing for a token that is bound to none, and takes nothing from it.
        let free = Try {
            certificate: Some(other),
            ..Try::of("Bearer", testing::token(json!({})), &[])
        };
        assert!(world.show(&free, NOW).await.is_ok());
    }
    // Bound to both: both are shown.
    let world = World::new(ALLOWED);
    let token = testing::token(json!({"cnf": {"x5t#S256": print, "jkt": thumbprint(&key)}}));
    let with = |scheme, certificate| {
        let proof = proof(&key, &token, json!({}));
        Try {
            certificate,
            ..Try::of(scheme, token.clone(), &[&proof])
        }
    };
    assert!(world.show(&with("DPoP", Some(ours)), NOW).await.is_ok());
    assert!(world.show(&with("DPoP", None), NOW).await.is_err());
    assert!(world.show(&with("DPoP", Some(other)), NOW).await.is_err());
    assert!(world.show(&with("Bearer", Some(ours)), NOW).await.is_err());
}
