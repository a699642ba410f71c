//! Signals: SIGHUP has files read again, SIGTERM ends in order, and a second one ends at once.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rustix::process::Signal;

use super::*;
use crate::harness::{Setup, Stopwatch, Upstream};

/// How long the upstream thinks: long enough to send a signal meanwhile.
const THINKS: Duration = Duration::from_millis(1_500);

/// A server with a tool that asks a slow upstream, and a call of it that is under way.
async fn in_the_middle(upstream: &Upstream) -> (Process, tokio::task::JoinHandle<Option<Answer>>) {
    let setup = Setup::new().tools(&["fetch"]).await;
    let server = setup.host("slow.test", upstream.port, true).start().await;
    let url = json!({"url": "http://slow.test/"});
    let answer = server
        .caller("alice")
        .call_allowed(&server, "fetch", url.clone())
        .await;
    assert!(answer.is_reply(), "{answer:?}");
    let mut server = server.into_process().await;
    server.start().await;
    let asked = upstream.count();
    let request = server
        .caller("alice")
        .request("tools/call", json!({"name": "fetch", "arguments": url}));
    let calling = tokio::spawn(async move {
        let response = request.send().await.ok()?;
        Some(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.ok()?,
        })
    });
    until("the call is under way", async || {
        (upstream.count() > asked).then_some(())
    })
    .await;
    (server, calling)
}

#[test]
fn a_server_that_is_told_to_end_lets_calls_finish_and_takes_no_new_ones() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let (mut server, calling) = in_the_middle(&upstream).await;
        server.signal(Signal::TERM);
        until("new connections are refused", async || {
            let address = server.url.trim_start_matches("http://").to_owned();
            tokio::net::TcpStream::connect(address).await.err()
        })
        .await;
        let answer = calling.await.unwrap().expect("the call is answered");
        assert!(answer.is_reply(), "{answer:?}");
        assert_eq!(server.ended().await.code(), Some(0));
        let records = server.records(1).await;
        assert_eq!(records.last().unwrap().kind, "server.stopped");
        assert_eq!(endings(&records, "fetch").last().unwrap(), "replied");
        assert_closed(&records);
        assert_whole(&server, &[]);
    });
}

#[test]
fn a_second_signal_ends_it_at_once_and_the_next_start_says_what_was_cut_off() {
    run(async {
        let upstream = Upstream::slow(Duration::from_secs(15)).await;
        let hurried = Upstream::start().await;
        // The first call, by which its user is asked, is not to take as long.
        let setup = Setup::new().tools(&["fetch"]).await;
        let setup = setup.host("slow.test", upstream.port, true);
        let server = setup.host("fast.test", hurried.port, true).start().await;
        let alice = server.caller("alice");
        let fast = json!({"url": "http://fast.test/"});
        assert!(alice.call_allowed(&server, "fetch", fast).await.is_reply());
        let mut server = server.into_process().await;
        server.start().await;
        let slow = json!({"name": "fetch", "arguments": {"url": "http://slow.test/"}});
        let calling = tokio::spawn(server.caller("alice").request("tools/call", slow).send());
        until("the call is under way", async || {
            (upstream.count() > 0).then_some(())
        })
        .await;

        let watch = Stopwatch::start();
        server.signal(Signal::TERM);
        until("it says so", async || {
            server.log().contains("stopping").then_some(())
        })
        .await;
        server.signal(Signal::INT);
        let status = server.ended().await;
        assert_eq!((status.code(), status.signal()), (Some(1), None));
        assert!(watch.took() < Duration::from_secs(5), "{:?}", watch.took());
        assert!(calling.await.unwrap().is_err());
        let before = server.records(1).await;
        assert_eq!(endings(&before, "fetch"), ["asked", "replied"]);

        server.start().await;
        let records = server.records(1).await;
        let last = endings(&records, "fetch");
        assert_eq!(last, ["asked", "replied", "interrupted"]);
        let started = records
            .iter()
            .rfind(|record| record.kind == "server.started");
        assert_eq!(started.unwrap().facts["interrupted"], 1);
        assert_closed(&records);
        assert_whole(&server, &[]);
        server.kill();
    });
}

#[test]
fn a_hangup_has_the_limits_read_again_and_ends_nothing() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let mut server = setup.start().await.into_process().await;
        server.start().await;
        let hello = || async {
            let answer = server
                .caller("alice")
                .call("hello", json!({"name": "Ada"}))
                .await;
            answer.is_reply()
        };
        assert!(hello().await && hello().await);
        server.signal(Signal::HUP);
        until("it reads them", async || {
            server
                .log()
                .contains("the limits are read again")
                .then_some(())
        })
        .await;
        let file = server.dir().join("bailiwick.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let limit = "[[limit]]\nname = \"few\"\nper = \"user\"\ncalls = 1\nseconds = 3600\n";
        std::fs::write(&file, format!("{text}{limit}")).unwrap();
        server.signal(Signal::HUP);
        until("they hold", async || (!hello().await).then_some(())).await;
        let changed = |record: &Record| record.kind == "limits.changed";
        until("it is recorded", async || {
            let all = server.records(1).await;
            all.iter().any(changed).then_some(())
        })
        .await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
    });
}

#[test]
fn one_server_at_a_time_works_on_a_state() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await;
        let mut server = setup.start().await.into_process().await;
        server.start().await;
        let starts = async |server: &Process| {
            let records = server.records(1).await;
            let started = records
                .iter()
                .filter(|record| record.kind == "server.started");
            started.count()
        };
        let before = starts(&server).await;
        let second = bailiwick(server.dir(), &["serve", "--dev", "--dir", "."]);
        assert_eq!(second.status, Some(1), "{}", second.out);
        let said = &second.complaints;
        assert!(said.contains("another server works on"), "{said}");
        assert_eq!(starts(&server).await, before);
        let answer = server.caller("alice");
        let answer = answer.call("hello", json!({"name": "Ada"})).await;
        assert!(answer.is_reply(), "{answer:?}");
        server.kill();
        server.start().await;
        assert_eq!(starts(&server).await, before + 1);
        server.kill();
    });
}
