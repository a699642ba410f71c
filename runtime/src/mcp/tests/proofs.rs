//! Tokens that are bound to their sender, as the wire says it: challenges, nonces and the metadata.

use super::*;

const ALGS: &str = r#"algs="ES256 ES384 EdDSA Ed25519 PS256 RS256""#;

fn rig(dpop: Dpop) -> Rig {
    Rig::with(|settings| settings.dpop = dpop)
}

fn challenges(shown: &Shown) -> Vec<&str> {
    let all = shown.headers.get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn w5_each_scheme_that_is_taken_has_its_challenge() {
    let bearer = format!(r#"Bearer scope="tools:call", {METADATA}"#);
    let dpop = format!(r#"DPoP scope="tools:call", {METADATA}, {ALGS}"#);
    for (taken, expected) in [
        (Dpop::Off, vec![&bearer]),
        (Dpop::Allowed, vec![&bearer, &dpop]),
        (Dpop::Required, vec![&dpop]),
    ] {
        let rig = rig(taken);
        let shown = rig
            .send(without(modern("tools/list", json!({})), "authorization"))
            .await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        assert_eq!(challenges(&shown), expected);
    }
}

#[tokio::test]
async fn w5_a_proof_that_is_missing_doubled_or_bad_is_told_by_its_own_scheme() {
    let token = testing::token(json!({}));
    let asked = |proofs: &[&'static str]| {
        let request = modern("tools/list", json!({}));
        let mut request = with(request, "authorization", &format!("DPoP {token}"));
        for proof in proofs {
            request.headers_mut().append("dpop", proof.parse().unwrap());
        }
        request
    };
    let rig = rig(Dpop::Allowed);
    for proofs in [&[][..], &["a.b.c", "a.b.c"]] {
        let shown = rig.send(asked(proofs)).await;
        assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
        let expected = format!(r#"DPoP error="invalid_dpop_proof", {METADATA}, {ALGS}"#);
        assert_eq!(challenges(&shown), [expected]);
    }
    assert_eq!(rig.line.edge(), ["bad-proof"; 2]);
    // Where no proofs are taken, it is a scheme that nobody knows.
    let shown = self::rig(Dpop::Off).send(asked(&["a.b.c"])).await;
    let expected = format!(r#"Bearer scope="tools:call", {METADATA}"#);
    assert_eq!(challenges(&shown), [expected]);
}

#[tokio::test]
async fn w5_a_needed_nonce_comes_with_its_refusal() {
    let rig = rig(Dpop::Allowed);
    rig.line.wants_nonce.store(true, Ordering::SeqCst);
    let shown = rig.modern("tools/list", json!({})).await;
    assert_eq!(shown.status, StatusCode::UNAUTHORIZED);
    let expected = format!(r#"DPoP error="use_dpop_nonce", {METADATA}, {ALGS}"#);
    assert_eq!(challenges(&shown), [expected]);
    assert_eq!(shown.header("dpop-nonce"), Some("nonce-1"));
    rig.line.wants_nonce.store(false, Ordering::SeqCst);
    let shown = rig.modern("tools/list", json!({})).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.header("dpop-nonce"), None);
}

#[tokio::test]
async fn the_metadata_says_which_proofs_are_taken() {
    let algorithms = json!(["ES256", "ES384", "EdDSA", "Ed25519", "PS256", "RS256"]);
    for (taken, methods, algorithms, required) in [
        (Dpop::Off, json!(["header"]), Value::Null, Value::Null),
        (
            Dpop::Allowed,
            json!(["header"]),
            algorithms.clone(),
            Value::Null,
        ),
        (Dpop::Required, json!([]), algorithms, json!(true)),
    ] {
        let request = Request::get("/.well-known/oauth-protected-resource/mcp")
            .header("host", "mcp.test")
            .body(Body::empty())
            .unwrap();
        let document = rig(taken).send(request).await.json();
        assert_eq!(document["bearer_methods_supported"], methods);
        assert_eq!(document["dpop_signing_alg_values_supported"], algorithms);
        assert_eq!(document["dpop_bound_access_tokens_required"], required);
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_proofs_and_read_nonces() {
    let request = Request::options("/mcp")
        .header("host", "mcp.test")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    let shown = rig(Dpop::Allowed).send(request).await;
    let allowed = shown.header("access-control-allow-headers").unwrap();
    assert!(allowed.split(", ").any(|name| name == "dpop"), "{allowed}");
    let exposed = shown.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.split(", ").any(|name| name == "dpop-nonce"),
        "{exposed}"
    );
}
