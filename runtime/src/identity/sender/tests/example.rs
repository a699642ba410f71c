//! The example of RFC 9449, which no code of ours made.

use super::*;

/// RFC 9449 §7.1, figure 12: the request of the document, byte by byte.
#[test]
fn the_example_of_the_rfc_is_verified() {
    crate::identity::self_test().unwrap();
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let jkt = strict::base64url("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let jkt = Digest::from(<[u8; 32]>::try_from(jkt.as_slice()).unwrap());
    let mut request = Request::get("/protectedresource").body(()).unwrap();
    request
        .headers_mut()
        .insert("dpop", HeaderValue::from_static(proof));
    let parts = request.into_parts().0;
    let public: Url = "https://resource.example.org".parse().unwrap();
    let token = BearerToken::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU".to_owned());
    let sent = Sent::of(&parts, &public).unwrap();
    let verified = Proof::verify(&sent, &token, jkt).unwrap();
    assert_eq!(verified.id, "e1j3V_bKic8-LAEB");
    let at = Timestamp::from_secs(1_562_262_618);
    assert!(verified.check_time(at).is_ok());
    let other = BearerToken::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxV".to_owned());
    assert!(Proof::verify(&sent, &other, jkt).is_err());
}
