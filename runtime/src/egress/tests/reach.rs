//! Who is reached, and who never is.

use std::error::Error;

use super::super::testing::{Authority, Names};
use super::*;

const PUBLIC: &str = "93.184.216.34";

fn public(names: Names, board: Arc<Switchboard>) -> Egress {
    Egress::new(Vec::new(), Vec::new(), Arc::new(names))
        .unwrap()
        .with_dial(board)
}

#[tokio::test]
async fn a_bound_host_is_reached_over_http_by_its_name() {
    let upstream = Upstream::answering(OK).await;
    let egress = bound_to(&upstream);
    let answer = get(
        &egress,
        "http GET api.test /v1/",
        "http://api.test/v1/x?y=1",
    )
    .await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "ok");
    let seen = &upstream.seen()[0];
    assert!(seen.starts_with("GET /v1/x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: api.test\r\n"), "{seen}");
    assert!(!upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_bound_host_is_reached_at_its_own_port_under_no_other_number() {
    let upstream = Upstream::answering(OK).await;
    let egress = bound_to(&upstream);
    let own = format!("http://api.test:{}/", upstream.address.port());
    get(&egress, "http GET api.test /", &own).await.unwrap();
    let other = get(&egress, "http GET api.test:9 /", "http://api.test:9/").await;
    assert!(matches!(reason(other.unwrap_err()), Reason::OtherPort(_)));
    let ungranted = get(&egress, "http GET api.test /", "http://api.test:9/").await;
    assert!(matches!(reason(ungranted.unwrap_err()), Reason::NotGranted));
}

#[tokio::test]
async fn a_pattern_never_reaches_a_bound_host_unless_the_binding_says_so() {
    let upstream = Upstream::answering(OK).await;
    let host = |any| vec![bound("api.corp.test", upstream.address, any)];
    let egress = |any| Egress::new(host(any), Vec::new(), Arc::new(NoNames)).unwrap();
    for pattern in [
        "http GET * /",
        "http GET *.corp.test /",
        "http GET *.test /",
    ] {
        let refused = get(&egress(false), pattern, "http://api.corp.test/").await;
        assert!(
            matches!(reason(refused.unwrap_err()), Reason::NotGranted),
            "{pattern}"
        );
    }
    assert!(upstream.saw_nobody().await);
    for pattern in ["http GET * /", "http GET *.corp.test /"] {
        get(&egress(true), pattern, "http://api.corp.test/")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_public_host_is_reached_over_tls_by_its_name_at_a_judged_address() {
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("api.example.com")).await;
    let board = Arc::new(Switchboard::default().with(&format!("{PUBLIC}:443"), upstream.address));
    let egress = public(
        Names::default().with("api.example.com", &[&[PUBLIC]]),
        board.clone(),
    )
    .with_roots([authority.root()])
    .unwrap();
    let answer = get(
        &egress,
        "http GET *.example.com /",
        "https://API.example.com./",
    )
    .await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "ok");
    assert_eq!(upstream.seen()[0], "SNI api.example.com");
    assert!(upstream.seen()[1].contains("host: api.example.com\r\n"));
    assert_eq!(board.dialled().len(), 1);
}

#[tokio::test]
async fn a_bound_host_is_reached_over_tls_with_a_root_of_the_operator() {
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("api.test")).await;
    let egress = bound_to(&upstream).with_roots([authority.root()]).unwrap();
    let answer = get(&egress, "http GET api.test /", "https://api.test/").await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_an_unknown_root_is_refused() {
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("other.test")).await;
    let other = bound_to(&upstream).with_roots([authority.root()]).unwrap();
    let unknown = bound_to(&upstream);
    for egress in [other, unknown] {
        let refused = get(&egress, "http GET api.test /", "https://api.test/").await;
        assert!(matches!(refused, Err(EgressError::Tls(_))));
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn plain_text_is_for_bound_hosts_alone() {
    let board = Arc::new(Switchboard::default());
    let egress = public(Names::default(), board.clone());
    for granted in ["http GET api.example.com /", "http GET * /"] {
        let refused = get(&egress, granted, "http://api.example.com/").await;
        assert!(matches!(reason(refused.unwrap_err()), Reason::PlainText(_)));
    }
    assert!(board.dialled().is_empty());
}

#[tokio::test]
async fn a_name_that_is_never_public_is_refused_unless_it_is_bound() {
    let upstream = Upstream::answering(OK).await;
    let egress = bound_to(&upstream);
    for name in [
        "localhost",
        "b.test",
        "metadata.google.internal",
        "nas.local",
    ] {
        let refused = get(&egress, "http GET * /", &format!("https://{name}/")).await;
        assert!(
            matches!(reason(refused.unwrap_err()), Reason::SpecialName(_)),
            "{name}"
        );
    }
    get(&egress, "http GET api.test /", "http://api.test/")
        .await
        .unwrap();
}

#[tokio::test]
async fn no_spelling_of_loopback_reaches_a_listener() {
    let upstream = Upstream::answering(OK).await;
    let egress = bound_to(&upstream);
    let port = upstream.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0",
        "localhost",
        "localhost.",
        "a.localhost",
        "127.0.0.1.",
        "%3127.0.0.1",
        "user@127.0.0.1",
        "api.test@127.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let granted = scope(&format!("http GET *:{port} /"));
            let refused = egress.admit(&[granted], &Method::GET, &url);
            assert!(refused.is_err_and(|error| error.is_denied()), "{url}");
        }
    }
    assert!(upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_name_with_one_special_address_is_refused_whatever_the_others_are() {
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "192.88.99.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:a00:1::1",
        "2a00::5efe:a00:1",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "3fff::1",
        "5f00::1",
        "ff02::1",
    ] {
        let board = Arc::new(Switchboard::default());
        let names = Names::default().with("api.example.com", &[&[PUBLIC, address]]);
        let refused = get(
            &public(names, board.clone()),
            "http GET * /",
            "https://api.example.com/",
        )
        .await;
        assert!(
            matches!(reason(refused.unwrap_err()), Reason::Special { .. }),
            "{address}"
        );
        assert!(board.dialled().is_empty(), "{address}");
    }
}

#[tokio::test]
async fn an_answer_that_changes_after_the_check_reaches_nobody_else() {
    let forbidden = Upstream::answering(OK).await;
    let board = Arc::new(Switchboard::default().with("127.0.0.1:443", forbidden.address));
    let names = Names::default().with("api.example.com", &[&[PUBLIC], &["127.0.0.1"]]);
    let egress = public(names, board.clone());
    // The first answer passes and nobody listens there; the second one is judged as well.
    for _ in 0..3 {
        let refused = get(&egress, "http GET * /", "https://api.example.com/").await;
        assert!(refused.is_err_and(|error| error.is_denied()));
    }
    assert_eq!(board.dialled(), [format!("{PUBLIC}:443").parse().unwrap()]);
    assert!(forbidden.saw_nobody().await);
}

#[tokio::test]
async fn a_connection_that_ends_elsewhere_is_given_up_before_a_byte_is_sent() {
    let upstream = Upstream::answering(OK).await;
    let board = Switchboard::default()
        .with(&format!("{PUBLIC}:443"), upstream.address)
        .ending_at("127.0.0.1:443");
    let names = Names::default().with("api.example.com", &[&[PUBLIC]]);
    let egress = public(names, Arc::new(board));
    let refused = get(&egress, "http GET * /", "https://api.example.com/").await;
    assert!(matches!(
        reason(refused.unwrap_err()),
        Reason::OtherPeer { .. }
    ));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_address_of_this_machine_is_refused_however_public_it_is() {
    let board = Arc::new(Switchboard::default());
    let names = Names::default().with("api.example.com", &[&[PUBLIC]]);
    let egress = public(names, board.clone()).with_own(PUBLIC.parse().unwrap());
    let refused = get(&egress, "http GET * /", "https://api.example.com/").await;
    assert!(matches!(
        reason(refused.unwrap_err()),
        Reason::Special { .. }
    ));
    assert!(board.dialled().is_empty());
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_closed() {
    let authority = Authority::new();
    let upstream = Upstream::secure(OK, authority.server("api.example.com")).await;
    let board = Arc::new(Switchboard::default().with("[2a00::1]:443", upstream.address));
    let names = Names::default().with("api.example.com", &[&["2a00::1", PUBLIC, "1.1.1.1"]]);
    let egress = public(names, board.clone())
        .with_roots([authority.root()])
        .unwrap();
    get(&egress, "http GET * /", "https://api.example.com/")
        .await
        .unwrap();
    assert_eq!(board.dialled().len(), 2);
}

#[tokio::test]
async fn denied_unresolved_and_closed_are_told_alike_and_at_the_same_time() {
    let names = Names::default()
        .with("closed.example.com", &[&[PUBLIC]])
        .with("special.example.com", &[&["10.0.0.1"]])
        .with("empty.example.com", &[&[]]);
    let bindings = vec![bound("api.test", "127.0.0.1:9".parse().unwrap(), false)];
    let egress = Egress::new(bindings, Vec::new(), Arc::new(names))
        .unwrap()
        .with_dial(Arc::new(Switchboard::default()));
    for url in [
        "https://closed.example.com/",
        "https://special.example.com/",
        "https://empty.example.com/",
        "https://unknown.example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://api.test/",
        "http://api.test/",
    ] {
        let began = Instant::now();
        let admitted = egress.admit(
            &[
                scope("http GET *.example.com /"),
                scope("http GET api.test /"),
            ],
            &Method::GET,
            url,
        );
        let refused = match admitted {
            Ok(admitted) => {
                let body = Empty::<Bytes>::new();
                let whose = Whose::of(["anybody"]);
                egress
                    .send(&whose, admitted, HeaderMap::new(), body, wide())
                    .await
            }
            Err(error) => {
                egress.settle(began, wide().deadline).await;
                Err(error)
            }
        };
        let error = refused.unwrap_err();
        assert_eq!(error.to_string(), "the request is refused", "{url}");
        let waited = began.elapsed();
        assert!(
            (REFUSAL_STEP..REFUSAL_STEP * 10).contains(&waited),
            "{url}: {waited:?}"
        );
        assert!(error.source().is_some(), "the operator learns why");
    }
}

#[tokio::test]
async fn a_resolver_that_never_answers_is_a_denial_in_bounded_time() {
    struct Never;
    impl Resolve for Never {
        fn resolve<'a>(&'a self, _: &'a HostName) -> Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    let egress = Egress::new(Vec::new(), Vec::new(), Arc::new(Never)).unwrap();
    let granted = [scope("http GET * /")];
    let admitted = egress.admit(&granted, &Method::GET, "https://api.example.com/");
    let bounds = Bounds {
        connect: Some(Duration::from_millis(150)),
        ..wide()
    };
    let body = Empty::<Bytes>::new();
    let whose = Whose::of(["anybody"]);
    let sent = egress.send(&whose, admitted.unwrap(), HeaderMap::new(), body, bounds);
    let refused = tokio::time::timeout(CONNECT_MAX, sent).await.unwrap();
    assert!(matches!(reason(refused.unwrap_err()), Reason::Silent));
}

#[test]
fn a_name_has_one_binding() {
    let host = bound("api.test", "127.0.0.1:1".parse().unwrap(), false);
    let twice = Egress::new(vec![host.clone(), host], Vec::new(), Arc::new(NoNames));
    assert!(matches!(twice, Err(EgressSetupError::BoundTwice(_))));
}
