use std::net::SocketAddr;

use super::testing::Shelf;
use super::*;
use crate::egress::testing::{After, Authority, Names, Switchboard, Upstream, bound};
use crate::limits::{CLIENT_READS_HOST_MAX, CLIENT_TTL_MAX};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const ID: &str = "https://client.example/meta.json";
/// A name that the way out takes for public.
const PUBLIC: &str = "https://client.example.com/meta.json";

fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

fn name(client: &Client) -> &str {
    match client {
        Client::Document(document) => document.name(),
        other => panic!("{other:?}"),
    }
}

fn shelf() -> Arc<Shelf> {
    let shelf = Arc::new(Shelf::default());
    shelf.describe(ID, "Example", &["https://client.example/back"]);
    shelf
}

#[tokio::test]
async fn who_is_named_by_the_operator_or_names_no_document_is_never_looked_for() {
    let shelf = shelf();
    let clients = shelf.clients(&[("cli", "Our own"), ("https://named.example/", "Named")]);
    for (who, expected) in [
        ("other", Client::Registered),
        (
            "http://client.example/meta.json",
            Client::Unread(Unread::PlainText),
        ),
        ("https://client.example", Client::Unread(Unread::Address)),
    ] {
        let look = clients.look(&id(who), Purpose::Question, NOW).await;
        assert_eq!((look.client, look.read), (expected.clone(), false));
        assert_eq!(clients.known(&id(who), NOW), (expected, false));
    }
    for who in ["cli", "https://named.example/"] {
        let look = clients.look(&id(who), Purpose::Question, NOW).await;
        assert!(matches!(look.client, Client::Named(_)), "{who}");
    }
    assert_eq!(shelf.asked(), 0);
    let off = Arc::new(Clients::none());
    let look = off.look(&id(ID), Purpose::Question, NOW).await;
    assert_eq!(look.client, Client::Unread(Unread::Off));
}

#[tokio::test]
async fn a_document_is_read_once_and_again_when_its_time_is_up() {
    let shelf = shelf();
    let clients = shelf.clients(&[]);
    assert_eq!(clients.known(&id(ID), NOW), (Client::NotLooked, true));
    let look = clients.look(&id(ID), Purpose::Question, NOW).await;
    assert!(look.read);
    assert_eq!(name(&look.client), "Example");
    shelf.describe(ID, "Other", &["https://client.example/back"]);
    // Within a minute nobody reads it again, whoever asks.
    let soon = NOW.plus(CLIENT_READ_EVERY_MIN / 2);
    let look = clients.look(&id(ID), Purpose::Question, soon).await;
    assert_eq!((name(&look.client), look.read), ("Example", false));
    // A question reads it; who uses a consent goes on with what is known until it is stale.
    let later = NOW.plus(CLIENT_READ_EVERY_MIN * 2);
    let (known, due) = clients.known(&id(ID), later);
    assert_eq!((name(&known), due), ("Example", false));
    let stale = NOW.plus(CLIENT_TTL_MAX);
    let (known, due) = clients.known(&id(ID), stale);
    assert_eq!((name(&known), due), ("Example", true));
    let look = clients.look(&id(ID), Purpose::Question, later).await;
    assert_eq!((name(&look.client), look.read), ("Other", true));
    assert_eq!(shelf.asked(), 2);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_minute_and_a_document_does_not_outlive_one() {
    let shelf = shelf();
    let clients = shelf.clients(&[]);
    clients.look(&id(ID), Purpose::Use, NOW).await;
    shelf.put(ID, 404, "");
    let later = NOW.plus(CLIENT_TTL_MAX);
    for _ in 0..5 {
        let look = clients.look(&id(ID), Purpose::Question, later).await;
        assert_eq!(look.client, Client::Unread(Unread::Missing));
    }
    assert_eq!(shelf.asked(), 2);
    let (known, due) = clients.known(&id(ID), later.plus(CLIENT_READ_EVERY_MIN));
    assert_eq!((known, due), (Client::Unread(Unread::Missing), true));
}

#[tokio::test]
async fn questions_wait_for_the_one_reader_and_consents_that_are_used_do_not() {
    let shelf = shelf();
    shelf.think(Duration::from_millis(200));
    let clients = shelf.clients(&[]);
    let many = (0..20).map(|_| {
        let clients = Arc::clone(&clients);
        tokio::spawn(async move { clients.look(&id(ID), Purpose::Question, NOW).await })
    });
    let many: Vec<_> = many.collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let used = clients.look(&id(ID), Purpose::Use, NOW).await;
    assert_eq!((used.client, used.read), (Client::NotLooked, false));
    assert_eq!(clients.known(&id(ID), NOW), (Client::NotLooked, false));
    let mut read = 0;
    for look in many {
        let look = look.await.unwrap();
        assert_eq!(name(&look.client), "Example");
        read += usize::from(look.read);
    }
    assert_eq!((read, shelf.asked()), (1, 1));
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_undo_the_reading() {
    let shelf = shelf();
    shelf.think(Duration::from_millis(100));
    let clients = shelf.clients(&[]);
    let who = id(ID);
    let look = clients.look(&who, Purpose::Question, NOW);
    assert!(
        tokio::time::timeout(Duration::from_millis(20), look)
            .await
            .is_err()
    );
    let look = clients.look(&id(ID), Purpose::Question, NOW).await;
    assert_eq!((name(&look.client), look.read), ("Example", false));
    assert_eq!(shelf.asked(), 1);
}

#[tokio::test]
async fn ids_that_strangers_make_up_are_read_seldom_and_remembered_seldom() {
    let shelf = shelf();
    let clients = shelf.clients(&[]);
    let mut busy = 0;
    for n in 0..200 {
        let made_up = id(&format!("https://victim.example/{n}"));
        let look = clients.look(&made_up, Purpose::Question, NOW).await;
        busy += usize::from(look.client == Client::Unread(Unread::Busy));
    }
    assert_eq!(
        shelf.asked(),
        usize::try_from(CLIENT_READS_HOST_MAX).unwrap()
    );
    assert_eq!(busy, 200 - shelf.asked());
    assert_eq!(lock(&clients.known).len(), shelf.asked());
    // Others are not kept from theirs.
    let look = clients.look(&id(ID), Purpose::Use, NOW).await;
    assert_eq!(name(&look.client), "Example");
}

#[tokio::test]
async fn no_more_clients_are_remembered_than_there_is_room_for() {
    let shelf = shelf();
    let clients = shelf.clients(&[]);
    let mut now = NOW;
    clients.look(&id(ID), Purpose::Use, now).await;
    for n in 0..CLIENTS_KNOWN_MAX + 50 {
        now = now.plus(Duration::from_secs(10));
        let other = id(&format!("https://c{n}.example/"));
        clients.look(&other, Purpose::Use, now).await;
    }
    assert_eq!(lock(&clients.known).len(), CLIENTS_KNOWN_MAX);
    assert_eq!(clients.known(&id(ID), now), (Client::NotLooked, true));
}

/// Documents over the real way out, where names and addresses are the test's.
fn over(names: Names, board: Switchboard, authority: &Authority) -> Arc<Clients> {
    let egress = Egress::new(Vec::new(), Vec::new(), Arc::new(names))
        .unwrap()
        .with_roots([authority.root()])
        .unwrap()
        .with_dial(Arc::new(board));
    Arc::new(Clients::new(&[], Some(Arc::new(egress))))
}

fn answer(head: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn looked(clients: &Arc<Clients>, who: &str) -> Client {
    clients.look(&id(who), Purpose::Question, NOW).await.client
}

#[tokio::test]
async fn a_public_host_is_read_over_tls_and_nothing_else_is_reached() {
    let authority = Authority::new();
    let document =
        super::testing::described(PUBLIC, "Example", &["https://client.example.com/back"]);
    let upstream = Upstream::secure(
        answer("200 OK", &document.to_string()),
        authority.server("client.example.com"),
    )
    .await;
    let private = Upstream::answering(answer("200 OK", "{}")).await;
    let public = "93.184.216.34:443";
    let names = || {
        Names::default()
            .with("client.example.com", &[&["93.184.216.34"]])
            .with("other.example.com", &[&["93.184.216.34"]])
            .with("inside.example.com", &[&["10.0.0.1"]])
            .with("loop.example.com", &[&["127.0.0.1"]])
            .with("metadata.example.com", &[&["169.254.169.254"]])
            .with("both.example.com", &[&["93.184.216.34", "127.0.0.1"]])
    };
    let board = Switchboard::default()
        .with(public, upstream.address)
        .with("10.0.0.1:443", private.address)
        .with("127.0.0.1:443", private.address);
    let clients = over(names(), board, &authority);
    let client = looked(&clients, PUBLIC).await;
    assert_eq!(name(&client), "Example");
    let seen = upstream.seen().join("\n");
    assert!(seen.contains("GET /meta.json HTTP/1.1\r\n"), "{seen}");
    assert!(!seen.to_lowercase().contains("authorization"), "{seen}");
    for (who, why) in [
        ("https://inside.example.com/meta", Unread::Refused),
        ("https://loop.example.com/meta", Unread::Refused),
        ("https://metadata.example.com/latest", Unread::Refused),
        ("https://both.example.com/meta", Unread::Refused),
        ("https://unknown.example.com/meta", Unread::Refused),
        ("https://127.0.0.1/meta", Unread::Refused),
        ("https://[::1]/meta", Unread::Refused),
        ("https://localhost/meta", Unread::Refused),
        ("https://service.internal/meta", Unread::Refused),
        ("https://client.example.com:9/meta", Unread::Refused),
        // Its certificate is for another name.
        ("https://other.example.com/meta", Unread::Unproven),
    ] {
        assert_eq!(looked(&clients, who).await, Client::Unread(why), "{who}");
    }
    assert!(private.saw_nobody().await);
}

#[tokio::test]
async fn a_private_host_is_read_only_where_the_operator_named_its_origin() {
    let authority = Authority::new();
    let who = "https://clients.corp/meta";
    let document = super::testing::described(who, "Inside", &["https://clients.corp/back"]);
    let upstream = Upstream::secure(
        answer("200 OK", &document.to_string()),
        authority.server("clients.corp"),
    )
    .await;
    let clients = |address: SocketAddr, origins: Vec<url::Origin>| {
        let hosts = vec![bound("clients.corp", address, true)];
        let egress = Egress::new(hosts, origins, Arc::new(crate::egress::NoNames)).unwrap();
        let egress = egress.with_roots([authority.root()]).unwrap();
        Arc::new(Clients::new(&[], Some(Arc::new(egress))))
    };
    // Bound for tools, and not for this.
    let refused = looked(&clients(upstream.address, Vec::new()), who).await;
    assert_eq!(refused, Client::Unread(Unread::Refused));
    let origin = who.parse::<Url>().unwrap().origin();
    let client = looked(&clients(upstream.address, vec![origin]), who).await;
    assert_eq!(name(&client), "Inside");
}

#[tokio::test]
async fn whatever_comes_back_instead_of_a_document_has_a_name() {
    let authority = Authority::new();
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: https://other.example.com/\r\ncontent-length: 0\r\n\r\n";
    let flood = answer("200 OK", &"x".repeat(5 * 1024 * 1024));
    let endless =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned()
            + &format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(100);
    for (answer, why) in [
        (redirect.to_owned(), Unread::Redirect),
        (flood, Unread::TooLarge),
        (endless, Unread::TooLarge),
        (answer("404 Not Found", "{}"), Unread::Missing),
        (answer("200 OK", "not json"), Unread::NotJson),
        ("nothing of HTTP\r\n\r\n".to_owned(), Unread::Broken),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef".to_owned(),
            Unread::Broken,
        ),
    ] {
        let upstream = Upstream::secure(answer, authority.server("client.example.com")).await;
        let names = Names::default().with("client.example.com", &[&["93.184.216.34"]]);
        let board = Switchboard::default().with("93.184.216.34:443", upstream.address);
        let clients = over(names, board, &authority);
        assert_eq!(
            looked(&clients, PUBLIC).await,
            Client::Unread(why),
            "{why:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_left_in_time() {
    let authority = Authority::new();
    let upstream = Upstream::then("", After::Hold).await;
    let names = Names::default().with("client.example.com", &[&["93.184.216.34"]]);
    let board = Switchboard::default().with("93.184.216.34:443", upstream.address);
    let began = std::time::Instant::now();
    let client = looked(&over(names, board, &authority), PUBLIC).await;
    assert_eq!(client, Client::Unread(Unread::TooSlow));
    assert!(began.elapsed() < CLIENT_READ_MAX * 3);
}
