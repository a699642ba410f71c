//! Requests of our own.

use url::Url;

use super::super::testing::{Authority, Names};
use super::*;

const LIMIT: usize = 10_000;
const WAIT: Duration = Duration::from_secs(10);

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn trusting(origins: &[&Url]) -> Result<Egress, EgressSetupError> {
    let origins = origins.iter().map(|url| url.origin()).collect();
    Egress::new(Vec::new(), origins, Arc::new(NoNames))
}

#[tokio::test]
async fn a_trusted_loopback_origin_is_fetched_and_its_neighbour_is_not() {
    let keys = Upstream::answering(OK).await;
    let neighbour = Upstream::answering(OK).await;
    for host in ["127.0.0.1", "localhost"] {
        let trusted = url(&format!("http://{host}:{}/jwks?x", keys.address.port()));
        let egress = trusting(&[&trusted]).unwrap();
        assert_eq!(egress.fetch(&trusted, LIMIT, WAIT).await.unwrap(), "ok");
        let other = url(&format!("http://{host}:{}/", neighbour.address.port()));
        let refused = egress.fetch(&other, LIMIT, WAIT).await;
        assert!(refused.is_err_and(|error| error.is_denied()));
    }
    assert!(keys.seen()[0].starts_with("GET /jwks?x HTTP/1.1\r\nhost: 127.0.0.1:"));
    assert!(neighbour.saw_nobody().await);
}

#[tokio::test]
async fn a_guest_never_reaches_a_trusted_origin() {
    let keys = Upstream::answering(OK).await;
    let port = keys.address.port();
    let trusted = url(&format!("http://localhost:{port}/"));
    let egress = trusting(&[&trusted]).unwrap();
    let granted = scope(&format!("http GET localhost:{port} /"));
    let refused = egress.admit(&[granted], &Method::GET, trusted.as_str());
    assert!(refused.is_err());
}

#[tokio::test]
async fn public_https_is_fetched_and_plain_text_is_not() {
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("as.example.com")).await;
    let board = Switchboard::default().with("93.184.216.34:443", upstream.address);
    let names = Names::default()
        .with("as.example.com", &[&["93.184.216.34"]])
        .with("in.example.com", &[&["10.0.0.1"]]);
    let egress = Egress::new(Vec::new(), Vec::new(), Arc::new(names))
        .unwrap()
        .with_roots([authority.root()])
        .unwrap()
        .with_dial(Arc::new(board));
    let keys = url("https://as.example.com/keys");
    assert_eq!(egress.fetch(&keys, LIMIT, WAIT).await.unwrap(), "ok");
    for refused in [
        "http://as.example.com/keys",
        "https://in.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://as.internal/",
        "https://user@as.example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
    ] {
        let answer = egress.fetch(&url(refused), LIMIT, WAIT).await;
        assert!(answer.is_err_and(|error| error.is_denied()), "{refused}");
    }
}

#[tokio::test]
async fn a_bound_host_serves_us_only_when_its_origin_is_trusted() {
    let upstream = Upstream::answering(OK).await;
    let address = url("http://as.test/keys");
    let egress = |trusted| {
        let hosts = vec![bound("as.test", upstream.address, true)];
        Egress::new(hosts, trusted, Arc::new(NoNames)).unwrap()
    };
    let refused = egress(Vec::new()).fetch(&address, LIMIT, WAIT).await;
    assert!(refused.is_err_and(|error| error.is_denied()));
    let trusting = egress(vec![address.origin()]);
    assert_eq!(trusting.fetch(&address, LIMIT, WAIT).await.unwrap(), "ok");
}

#[test]
fn only_this_machine_or_a_bound_host_can_be_trusted() {
    for strange in [
        "http://10.0.0.1/",
        "http://93.184.216.34/",
        "http://as.example.com/",
        "https://as.corp/",
        "file:///x",
    ] {
        assert!(
            matches!(
                trusting(&[&url(strange)]),
                Err(EgressSetupError::NotLocal(_))
            ),
            "{strange}"
        );
    }
}

#[tokio::test]
async fn a_redirect_an_error_and_a_flood_are_errors() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let flood = "HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n".to_owned() + &"x".repeat(20_000);
    for (answer, status) in [(redirect.to_owned(), Some(302)), (flood, None)] {
        let upstream = Upstream::answering(answer).await;
        let trusted = url(&format!("http://{}/", upstream.address));
        let answer = trusting(&[&trusted])
            .unwrap()
            .fetch(&trusted, LIMIT, WAIT)
            .await;
        match (answer.unwrap_err(), status) {
            (EgressError::Status(found), Some(wanted)) => assert_eq!(found, wanted),
            (EgressError::ResponseTooLarge, None) => {}
            (other, _) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_form_is_posted_with_its_fields() {
    let upstream = Upstream::answering(OK).await;
    let trusted = url(&format!("http://{}/token", upstream.address));
    let mut headers = HeaderMap::new();
    let form = "application/x-www-form-urlencoded";
    headers.insert("content-type", form.parse().unwrap());
    let answer = trusting(&[&trusted])
        .unwrap()
        .send_own(
            Method::POST,
            &trusted,
            headers,
            Bytes::from_static(b"grant_type=authorization_code"),
            LIMIT,
            WAIT,
        )
        .await
        .unwrap();
    assert_eq!(answer.body(), "ok");
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("POST /token HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("content-length: 29\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\ngrant_type=authorization_code"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_in_time() {
    let upstream = Upstream::then("", super::super::testing::After::Hold).await;
    let trusted = url(&format!("http://{}/", upstream.address));
    let wait = Duration::from_millis(200);
    let answer = trusting(&[&trusted])
        .unwrap()
        .fetch(&trusted, LIMIT, wait)
        .await;
    assert!(matches!(answer, Err(EgressError::OutOfTime)));
}
