//! What comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn no_form_in_which_a_value_is_written_comes_back() {
    let keep = Keep::new().await;
    let (email, name) = (keep.email().await, keep.name().await);
    let form: String = url::form_urlencoded::byte_serialize(NAME.as_bytes()).collect();
    let ascii = "\\u00D6 \\\"\\u0043anary\\\" \\u0026 co";
    for written in [
        EMAIL.to_owned(),
        NAME.to_owned(),
        serde_json::to_string(NAME).unwrap(),
        ascii.to_owned(),
        form.clone(),
        form.replace("%22", "\""),
        form.replacen('+', "%20", 1),
        percent_encoding::utf8_percent_encode(NAME, percent_encoding::NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(format!("x{NAME}y")),
        hex::encode(NAME),
    ] {
        let fields = format!("location: http://other.test/?a={form}\r\n");
        let said = answer(&fields, &format!("[{written}|{written}]"));
        let said = said.replace("200 OK", "302 Found");
        let upstream = Upstream::answering(said).await;
        let mut call = Call::new(upstream.address, &keep.seals, &[GRANT, NAMES]);
        let body = format!("{{\"a\": \"{email}\", \"b\": \"{name}\"}}");
        // A redirect is an answer as any other: nothing follows it, and what it says is masked.
        let said = call.post(JSON, &body).await.unwrap();
        assert_eq!(said.status(), 302);
        let location = said.headers()["location"].to_str().unwrap().to_owned();
        assert!(
            location.ends_with(&format!("?a={}", "*".repeat(form.len()))),
            "{location}"
        );
        let came = text(said).await.unwrap();
        assert!(
            !came.contains("anary") && came.contains("*****"),
            "{written}: {came}"
        );
        let letters = came.chars().filter(|c| c.is_alphanumeric()).count();
        assert!(letters <= 8, "{written}: {came}");
        assert_eq!(upstream.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_value_is_masked_where_it_went_and_nowhere_else() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(answer("", &format!("{EMAIL} {NAME}"))).await;
    let mut call = Call::new(
        upstream.address,
        &keep.seals,
        &[GRANT, "deliver other.test email"],
    );
    let said = call.post(PLAIN, &email).await.unwrap();
    assert_eq!(
        text(said).await.unwrap(),
        format!("{} {NAME}", "*".repeat(EMAIL.len()))
    );
    // The other host says back what a guest guesses, as it is.
    let guess = bytes(EMAIL);
    let said = call
        .send(("POST", "http://other.test/"), PLAIN, guess)
        .await
        .unwrap();
    assert_eq!(text(said).await.unwrap(), format!("{EMAIL} {NAME}"));
    // What comes later from the host that has it is searched too.
    let said = call
        .send(("GET", "http://api.test/"), &[], bytes(""))
        .await
        .unwrap();
    assert!(!text(said).await.unwrap().contains("canary"));
}

#[tokio::test]
async fn a_host_that_is_sent_a_guess_is_sent_nothing_more() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(OK).await;
    let escaped: String = EMAIL.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let coded = STANDARD.encode(format!("..{EMAIL}.."));
    let query: String = url::form_urlencoded::byte_serialize(EMAIL.as_bytes()).collect();
    for (url, fields, body) in [
        ("http://api.test/", PLAIN, EMAIL),
        ("http://api.test/", JSON, &format!("[\"{escaped}\"]")),
        ("http://api.test/", PLAIN, &format!("{email} {coded}")),
        ("http://api.test/", &[("x-a", EMAIL)], ""),
        (&format!("http://api.test/?a={query}"), PLAIN, ""),
        (&format!("http://api.test/{query}"), PLAIN, ""),
    ] {
        let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
        let before = upstream.seen().len();
        // What was not delivered yet may be guessed: nobody answers to it.
        call.post(PLAIN, "second@example.com").await.unwrap();
        call.post(PLAIN, &email).await.unwrap();
        let sent = call.send(("POST", url), fields, bytes(body)).await;
        assert!(
            matches!(sent, Err(Error::HttpRequestDenied)),
            "{url} {body}"
        );
        assert_eq!(call.effect("deliver (guessed)").refused, 1);
        for closed in ["nothing", &email] {
            let sent = call.post(PLAIN, closed).await;
            assert!(matches!(sent, Err(Error::HttpRequestDenied)), "{closed}");
        }
        assert_eq!(upstream.seen().len(), before + 2);
    }
}

#[tokio::test]
async fn an_answer_ends_where_its_host_is_given_another_value() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let repeat = After::Repeat(b"14\r\ncanary+1@example.com\r\n", Duration::from_millis(5));
    let upstream = Upstream::then(head, repeat).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let guessed = call.post(PLAIN, EMAIL).await.unwrap();
    let mut guessed = guessed.into_body();
    let first = guessed.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"canary"), "{first:?}");
    let given = call.post(PLAIN, &email).await.unwrap();
    let cut = guessed.frame().await.unwrap();
    assert!(matches!(cut, Err(Error::HttpResponseIncomplete)), "{cut:?}");
    assert!(guessed.frame().await.is_none());
    // The same value again ends nothing.
    let again = call.post(PLAIN, &email).await.unwrap();
    for answer in [given, again] {
        let mut body = answer.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b"****"), "{first:?}");
    }
}

#[tokio::test]
async fn an_answer_comes_whole_so_that_no_part_of_a_value_comes_alone() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let part = [PLAIN[0], ("range", "bytes=0-4"), ("if-range", "\"a\"")];
    call.post(&part, &email).await.unwrap();
    call.send(("GET", "http://api.test/"), &part, bytes(""))
        .await
        .unwrap();
    assert!(upstream.seen().iter().all(|seen| !seen.contains("range")));
    call.send(("POST", "http://other.test/"), &part, bytes(""))
        .await
        .unwrap();
    assert!(upstream.seen()[2].contains("range: bytes=0-4"));
}
