//! Copies of checkpoints outside.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixDatagram};

use super::checkpoints::World;
use super::*;
use crate::config::SyslogAddress;
use crate::egress::{Egress, NoNames};
use crate::limits::AUDIT_COPY_LAG_MAX;

impl World {
    async fn witness(&self, places: Vec<(String, Place)>) -> Witness {
        let due = Due {
            records: 1,
            every: Duration::from_secs(60),
        };
        Witness::open(&self.audit, due, places).await.unwrap()
    }
}

#[tokio::test]
async fn a_copy_that_fails_is_loud_and_gets_everything_later_in_order() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.txt");
    std::fs::write(&path, "torn").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
    let place = |path: &std::path::Path| ("file".to_owned(), Place::File(path.to_owned()));
    let witness = world.witness(vec![place(&path)]).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let tasks = witness.start(&stop);
    world.calls(1).await;
    let until = |wanted: bool| async move {
        let reached = async {
            while witness.wrong().is_empty() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            witness
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached);
        reached.await.unwrap()
    };
    let witness = until(false).await;
    assert_eq!(witness.wrong(), ["file"]);
    assert!(witness.is_well());
    world.clock.advance(AUDIT_COPY_LAG_MAX);
    assert!(!witness.is_well());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "torn");
    world.calls(1).await;
    let last = async {
        while world
            .checkpoints
            .last()
            .await
            .unwrap()
            .unwrap()
            .checkpoint()
            .size
            < 4
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), last)
        .await
        .unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let recovered = async {
        while !witness.wrong().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered)
        .await
        .unwrap();
    assert!(witness.is_well());
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    world.calls(1).await;
    witness.finish().await;
    let (copied, torn) = notes(&std::fs::read_to_string(&path).unwrap());
    let sizes: Vec<_> = copied.iter().map(|note| note.checkpoint().size).collect();
    assert_eq!((sizes, torn), (vec![2, 4, 6], 1));
    let copied: Vec<_> = copied.iter().collect();
    assert_eq!(world.against(&copied).await.unwrap().copies, 3);
}

#[tokio::test]
async fn no_link_and_no_folder_is_a_copy() {
    let world = World::new().await;
    world.calls(1).await;
    let note = world.checkpoint().await;
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    for path in [
        link,
        folder.path().to_owned(),
        folder.path().join("no/file"),
    ] {
        assert!(Place::File(path).put(&note).await.is_err());
    }
    assert_eq!(std::fs::read(&real).unwrap(), b"");
}

#[tokio::test]
async fn collectors_get_one_message_for_each_checkpoint() {
    let world = World::new().await;
    world.calls(1).await;
    let note = world.checkpoint().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let put = |address| async { Place::Syslog(address).put(&note).await };
    let mut bytes = vec![0; 4096];
    put(SyslogAddress::Unix(path.clone())).await.unwrap();
    let length = unix.recv(&mut bytes).await.unwrap();
    let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
    put(SyslogAddress::Udp(udp.local_addr().unwrap()))
        .await
        .unwrap();
    let length = udp.recv(&mut bytes).await.unwrap();
    assert_eq!(message.as_bytes(), &bytes[..length]);
    put(SyslogAddress::Tcp(tcp.local_addr().unwrap()))
        .await
        .unwrap();
    let mut framed = String::new();
    let (mut stream, _) = tcp.accept().await.unwrap();
    stream.read_to_string(&mut framed).await.unwrap();
    assert_eq!(framed, format!("{} {message}", message.len()));
    let parts: Vec<_> = message.split(' ').collect();
    assert_eq!(
        &parts[..4],
        ["<109>1", "2027-01-15T08:00:00Z", "-", "bailiwick"]
    );
    assert_eq!(&parts[5..7], ["CHECKPOINT", "-"]);
    let (_, encoded) = message.split_once(" note=").unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
    assert_eq!(decoded.unwrap(), note.to_string().as_bytes());
    drop((unix, tcp));
    std::fs::remove_file(&path).unwrap();
    assert!(put(SyslogAddress::Unix(path)).await.is_err());
}

#[tokio::test]
async fn an_address_gets_the_checkpoint_with_its_token_and_has_to_say_that_it_has_it() {
    let world = World::new().await;
    world.calls(1).await;
    let note = world.checkpoint().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/add", listener.local_addr().unwrap());
    let url: url::Url = url.parse().unwrap();
    let egress = |origins| Arc::new(Egress::new(vec![], origins, Arc::new(NoNames)).unwrap());
    let place = |origins| Place::Http {
        url: url.clone(),
        token_file: Some(token.clone()),
        egress: egress(origins),
    };
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in [
            "503 Busy",
            "307 Moved\r\nlocation: http://127.0.0.1:1/",
            "409 Had",
            "200 OK",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut bytes = [0; 4096];
            while !String::from_utf8_lossy(&request).contains("\n\u{2014} ")
                || !request.ends_with(b"\n")
            {
                let length = stream.read(&mut bytes).await.unwrap();
                request.extend_from_slice(&bytes[..length]);
            }
            let answer =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    let trusted = place(vec![url.origin()]);
    for status in [503, 307] {
        let error = trusted.put(&note).await.unwrap_err();
        assert!(
            matches!(error, CopyError::Status(found) if found == status),
            "{error}"
        );
    }
    trusted.put(&note).await.unwrap();
    trusted.put(&note).await.unwrap();
    for request in served.await.unwrap() {
        assert!(request.starts_with("POST /add HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains("authorization: Bearer s3cret\r\n"),
            "{request}"
        );
        assert!(request.ends_with(&format!("\r\n\r\n{note}")), "{request}");
    }
    // What the operator did not name as being here is not reached, and no token that others can read is sent.
    let error = place(vec![]).put(&note).await.unwrap_err();
    assert!(matches!(error, CopyError::Reach(_)), "{error}");
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let error = trusted.put(&note).await.unwrap_err();
    assert!(matches!(error, CopyError::Token(_)), "{error}");
}
