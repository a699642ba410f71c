//! The path of a request beside that of `htu`, where one of them has percent-encodings.

use super::*;

#[tokio::test]
async fn x1_an_encoded_octet_of_a_path_stands_for_itself_alone() {
    let world = World::new(ALLOWED);
    let key = Mint::es256("p");
    let named = |htu: &str| Try {
        path: "/mcp%2fx%7ey?a=b",
        ..claiming(&key, json!({ "htu": htu }))
    };
    for same in [
        "https://mcp.test/mcp%2fx%7ey",
        "https://mcp.test/mcp%2Fx%7Ey",
        "https://mcp.test/mcp%2Fx~y",
    ] {
        let shown = world.show(&named(same), NOW).await;
        assert!(shown.is_ok(), "{same}");
    }
    for other in [
        "https://mcp.test/mcp/x~y",
        "https://mcp.test/mcp2Fx~y",
        "https://mcp.test/mcp%3fx~y",
        "https://mcp.test/mcp%x~y",
        "https://mcp.test/mcp%252fx~y",
    ] {
        let error = world.show(&named(other), NOW).await.map(drop).unwrap_err();
        assert!(
            matches!(error, IdentityError::Proof(ProofError::Url)),
            "{other}"
        );
    }
}
