use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::browser::{Browser, From, Page};
use super::consent::{asked, chosen, records};
use super::world::World;
use crate::consent::RECEIPT_TYPE;
use crate::ids::Digest;
use crate::store::ConsentState;

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// What a receipt says, if it holds against the published key: by RFC 7515 and RFC 8037 alone, with nothing of ours.
async fn checked(world: &World, receipt: &Value) -> Option<Value> {
    let header: Value = serde_json::from_slice(&decoded(&receipt["protected"])).ok()?;
    // The key is looked for where the server is known to be, and never where the receipt says.
    let keys = Browser::new().get(&world.at("/receipts/jwks.json")).await;
    let keys: Value = serde_json::from_str(&keys.body).unwrap();
    let key = keys["keys"].as_array().unwrap();
    let key = key.iter().find(|key| key["kid"] == header["kid"])?;
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&"EdDSA".into(), &RECEIPT_TYPE.into())
    );
    let signed = format!(
        "{}.{}",
        receipt["protected"].as_str()?,
        receipt["payload"].as_str()?
    );
    UnparsedPublicKey::new(&ED25519, decoded(&key["x"]))
        .verify(signed.as_bytes(), &decoded(&receipt["signature"]))
        .ok()?;
    serde_json::from_slice(&decoded(&receipt["payload"])).ok()
}

/// Alice allows reading and denies sending. Her browser, and the page that she was shown.
async fn decided(world: &World) -> (Browser, Page) {
    let (browser, page) = asked(world, "alice").await;
    let choices = [
        ("decision-1", "allow-until"),
        ("until-1", "2027-01-20"),
        ("decision-0", "deny"),
    ];
    let done = browser
        .post(page.url.as_str(), &chosen(&page, &choices), From::OurPage)
        .await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    (browser, page)
}

async fn receipt(world: &World, browser: &Browser, id: uuid::Uuid) -> Value {
    let page = browser
        .get(&world.at(&format!("/consents/{id}/receipt")))
        .await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(page.headers[header::CONTENT_TYPE], "application/jose+json");
    let name = page.headers[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(name.starts_with("attachment") && name.contains(&id.to_string()));
    serde_json::from_str(&page.body).unwrap()
}

#[tokio::test]
async fn a_receipt_says_what_was_decided_and_anybody_can_check_it() {
    let world = World::start().await;
    let (browser, page) = decided(&world).await;
    for row in records(&world, "alice").await {
        let receipt = receipt(&world, &browser, row.id).await;
        let said = checked(&world, &receipt).await.expect("it is signed by us");
        assert_eq!(said["iss"], world.ours);
        let consent = &said["consent"];
        assert_eq!(consent["id"], row.id.to_string());
        let given = row.state == ConsentState::Active;
        assert_eq!(consent["decision"], if given { "given" } else { "denied" });
        assert_eq!(consent["holds"], given);
        assert_eq!(consent["user"]["sub"], "alice");
        assert_eq!(consent["user"]["iss"], world.issuer);
        assert_eq!(consent["capability"]["text"], row.capability.to_string());
        assert_eq!(
            consent["tool"]["component_digest"],
            row.pinned.component.to_string()
        );
        // Of exactly the bytes that the browser got.
        let shown = Digest::of(page.body.as_bytes()).to_string();
        assert_eq!(consent["decided"]["ui_digest"], shown);
        assert_eq!(consent["decided"]["locale"], "en");
        assert_eq!(consent["decided"]["acr"], "dev");
        assert_eq!(consent["audit"]["seq"], row.evidence.audit_seq.unwrap());
        assert!(consent["ended"].is_null());
        // Nothing of a person beyond issuer and subject, and nothing that opens anything.
        let text = said.to_string();
        for secret in ["password", "session", "actors"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

#[tokio::test]
async fn a_receipt_of_a_revocation_says_who_ended_it_and_when() {
    let world = World::start().await;
    let (browser, _) = decided(&world).await;
    let rows = records(&world, "alice").await;
    let given = rows.iter().find(|row| row.state == ConsentState::Active);
    let id = given.unwrap().id;
    let before = receipt(&world, &browser, id).await;
    let now = world.now();
    let who = world.user("alice");
    assert!(world.consents.revoke(&who, id, now).await.unwrap());
    let said = checked(&world, &receipt(&world, &browser, id).await)
        .await
        .unwrap();
    let ended = &said["consent"]["ended"];
    assert_eq!(ended["by"], "user");
    assert_eq!(ended["at"], now.rfc3339());
    assert!(ended["audit_seq"].as_u64() > said["consent"]["audit"]["seq"].as_u64());
    assert_eq!(said["consent"]["holds"], false);
    // The receipt from before stays what it was: what held when it was made.
    let said = checked(&world, &before).await.unwrap();
    assert_eq!(said["consent"]["holds"], true);
}

#[tokio::test]
async fn an_altered_receipt_fails() {
    let world = World::start().await;
    let (browser, _) = decided(&world).await;
    let id = records(&world, "alice").await[0].id;
    let good = receipt(&world, &browser, id).await;
    assert!(checked(&world, &good).await.is_some());
    let payload = String::from_utf8(decoded(&good["payload"])).unwrap();
    for altered in [
        payload.replace("alice", "mallo"),
        payload.replace("denied", "given"),
        payload.replace("\"holds\":true", "\"holds\":false"),
    ] {
        if altered == payload {
            continue;
        }
        let mut bad = good.clone();
        bad["payload"] = URL_SAFE_NO_PAD.encode(altered).into();
        assert!(checked(&world, &bad).await.is_none());
    }
    let mut bad = good.clone();
    let mut signature = decoded(&good["signature"]);
    signature[0] ^= 1;
    bad["signature"] = URL_SAFE_NO_PAD.encode(signature).into();
    assert!(checked(&world, &bad).await.is_none());
    // Another server, with a key of its own.
    assert!(checked(&World::start().await, &good).await.is_none());
}

#[tokio::test]
async fn a_receipt_is_for_its_user_alone_and_that_of_another_is_as_unknown_as_none() {
    let world = World::start().await;
    let (_, _) = decided(&world).await;
    let id = records(&world, "alice").await[0].id;
    let url = world.at(&format!("/consents/{id}/receipt"));
    // Without a session: to the sign-in.
    let nobody = Browser::new().get(&url).await;
    assert_eq!(nobody.status, StatusCode::SEE_OTHER);
    let other = Browser::new();
    other.visit_as(&world.at("/consents"), "root").await;
    let foreign = other.get(&url).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    for unknown in [uuid::Uuid::nil().to_string(), "x".to_owned()] {
        let unknown = other
            .get(&world.at(&format!("/consents/{unknown}/receipt")))
            .await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        assert_eq!(unknown.body, foreign.body);
    }
    assert!(!foreign.body.contains("alice"));
}

#[tokio::test]
async fn the_key_of_receipts_is_published_without_its_private_half_and_outlives_a_restart() {
    let world = World::start().await;
    let keys = Browser::new().get(&world.at("/receipts/jwks.json")).await;
    assert_eq!(
        keys.headers[header::CONTENT_TYPE],
        "application/jwk-set+json"
    );
    let keys: Value = serde_json::from_str(&keys.body).unwrap();
    let key = &keys["keys"][0];
    assert!(key.get("d").is_none(), "{key}");
    assert_eq!(
        (&key["kty"], &key["crv"]),
        (&"OKP".into(), &"Ed25519".into())
    );
    let store: crate::store::SharedStore = world.store.clone();
    let url = world.ours.parse().unwrap();
    let again = crate::consent::Receipts::open(store, &url).await.unwrap();
    assert_eq!(again.key_set(), keys);
}
