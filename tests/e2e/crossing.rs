//! Two users, two clients and two tenants make eight callers of one tool. What belongs to one of them is of no use to any
//! of the seven others: consents, questions and their pages, states, records, receipts, files.

use std::collections::BTreeSet;

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::consent::{Answer as Decision, Choice, PageFacts, SignInFacts, TicketError};
use bailiwick::ids::{Digest, TenantUser};
use bailiwick::store::{ConsentRow, ConsentState};
use serde_json::{Value, json};

use crate::harness::{Browser, Caller, Server, Setup, for_an_hour, run, ticket};

/// Both can sign in to our pages. The embedded identity provider signs them in to the first tenant.
const USERS: [&str; 2] = ["alice", "root"];
const CLIENTS: [&str; 2] = ["desk", "phone"];
const TENANTS: [&str; 2] = ["dev", "other"];
const WRITE: &str = "notes_write";

/// One of the eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    user: &'static str,
    client: &'static str,
    tenant: &'static str,
}

fn all() -> Vec<Identity> {
    let pairs = USERS
        .into_iter()
        .flat_map(|user| CLIENTS.map(|client| (user, client)));
    pairs
        .flat_map(|(user, client)| {
            TENANTS.map(|tenant| Identity {
                user,
                client,
                tenant,
            })
        })
        .collect()
}

impl Identity {
    fn caller(self, server: &Server) -> Caller {
        let claims = json!({"client_id": self.client, "tenant": self.tenant});
        server.caller(self.user).with(server, claims)
    }

    /// Who signs in for it: a page is a user's and a tenant's, whatever the client.
    fn who(self, server: &Server) -> TenantUser {
        TenantUser {
            tenant: self.tenant.parse().unwrap(),
            ..server.user(self.user)
        }
    }

    fn has_pages_of(self, other: Self) -> bool {
        (self.user, self.tenant) == (other.user, other.tenant)
    }
}

fn others(one: Identity) -> impl Iterator<Item = Identity> {
    all().into_iter().filter(move |other| *other != one)
}

fn note() -> Value {
    json!({"name": "mine", "text": "one's own"})
}

async fn serve() -> Server {
    Setup::new().tools(&["notes"]).await.start().await
}

/// The link under which each of the eight is asked, in their order.
async fn questions(server: &Server) -> Vec<(Identity, String)> {
    let mut all_links = Vec::new();
    for one in all() {
        let asked = one.caller(server).call(WRITE, note()).await;
        all_links.push((one, asked.link().unwrap_or_else(|| panic!("{asked:?}"))));
    }
    let different: BTreeSet<_> = all_links.iter().map(|(_, link)| link).collect();
    assert_eq!(different.len(), 8);
    all_links
}

async fn agrees(server: &Server, one: Identity) {
    let answer = one.caller(server).call_allowed(server, WRITE, note()).await;
    assert!(answer.is_reply(), "{one:?}: {answer:?}");
}

async fn live(server: &Server, one: Identity) -> Vec<ConsentRow> {
    let mut rows = server.decisions(&one.who(server)).await;
    rows.retain(|row| row.state == ConsentState::Active);
    rows
}

async fn revoke(server: &Server, who: Identity, row: &ConsentRow) -> bool {
    let consents = &server.running.stages.consents;
    let (who, now) = (who.who(server), SystemClock.now());
    consents.revoke(&who, row.id, now).await.unwrap()
}

#[test]
fn p4_s1_1_a_consent_of_one_of_the_eight_serves_none_of_the_seven_others_nor_can_they_end_it() {
    run(async {
        let server = serve().await;
        for one in all() {
            agrees(&server, one).await;
            let rows = live(&server, one).await;
            assert_eq!(rows.len(), 1, "{one:?}");
            for other in others(one) {
                let asked = other.caller(&server).call(WRITE, note()).await;
                assert!(asked.link().is_some(), "{one:?} for {other:?}: {asked:?}");
                if !other.has_pages_of(one) {
                    assert_eq!(live(&server, other).await.len(), 0, "{other:?}");
                    assert!(!revoke(&server, other, &rows[0]).await, "{other:?}");
                }
            }
            assert!(one.caller(&server).call(WRITE, note()).await.is_reply());
            assert!(revoke(&server, one, &rows[0]).await);
            let asked = one.caller(&server).call(WRITE, note()).await;
            assert!(asked.link().is_some(), "{one:?}: {asked:?}");
        }
        server.stop().await;
    });
}

#[test]
fn p27_p29_h1_h4_a_question_to_one_of_the_eight_is_unknown_to_every_other_user_and_tenant() {
    run(async {
        let server = serve().await;
        let consents = &server.running.stages.consents;
        let questions = questions(&server).await;
        let mut browsers = [Browser::default(), Browser::default()];
        for (one, link) in &questions {
            let id = ticket(link);
            let now = SystemClock.now();
            for other in others(*one).filter(|other| !other.has_pages_of(*one)) {
                let who = other.who(&server);
                let shown = consents.question(&id, &who, now).await;
                assert!(matches!(shown, Err(TicketError::Unknown)), "{shown:?}");
                let state = consents.ticket_state(&id, &who, now).await.unwrap();
                assert_eq!(state, None, "{other:?}");
                let answer = [Decision {
                    capability: "files write notes".parse().unwrap(),
                    choice: for_an_hour(),
                }];
                let page = PageFacts {
                    digest: Digest::of(b"a page"),
                    locale: "en",
                };
                let sign_in = SignInFacts::default();
                let decided = consents.decide(&id, &who, &answer, page, &sign_in, now);
                let decided = decided.await;
                assert!(matches!(decided, Err(TicketError::Unknown)), "{decided:?}");
            }
            for (browser, user) in browsers.iter_mut().zip(USERS) {
                let page = browser.open(link, user).await;
                let own = one.user == user && one.tenant == TENANTS[0];
                let expected = if own { 200 } else { 404 };
                assert_eq!(page.status, expected, "{one:?} by {user}");
                assert_eq!(page.html.contains(WRITE), own, "{one:?} by {user}");
            }
        }
        // All of them are still open, and each is answered by its own user.
        for (one, link) in &questions {
            assert!(server.decide(link, one.user, for_an_hour()).await);
            assert!(one.caller(&server).call(WRITE, note()).await.is_reply());
        }
        server.stop().await;
    });
}

#[test]
fn p22_h3_h4_h5_s4_4_a_state_of_one_of_the_eight_is_refused_to_the_seven_others_and_not_used_up_by_them()
 {
    run(async {
        let server = serve().await;
        for one in all() {
            let caller = one.caller(&server);
            let asked = caller.call(WRITE, note()).await;
            let link = asked.link().unwrap();
            for other in others(one) {
                let other = other.caller(&server);
                let refused = other.retry(WRITE, note(), &asked, "accept").await;
                assert!(refused.is_tool_error(), "{refused:?}");
                assert_eq!(refused.link(), None, "{refused:?}");
            }
            let again = caller.retry(WRITE, note(), &asked, "accept").await;
            assert_eq!(again.link(), Some(link));
        }
        server.stop().await;
    });
}

#[test]
fn consents_that_all_eight_gave_are_listed_ended_and_receipted_for_their_own_user_alone() {
    run(async {
        let server = serve().await;
        for one in all() {
            agrees(&server, one).await;
        }
        let list = format!("{}/consents", server.url);
        for user in USERS {
            let mut browser = Browser::default();
            let page = browser.open(&list, user).await;
            assert_eq!(page.status, 200, "{page:?}");
            for one in all() {
                let of_page = one.user == user && one.tenant == TENANTS[0];
                for row in live(&server, one).await {
                    let id = row.id.to_string();
                    assert_eq!(page.html.contains(&id), of_page, "{one:?} of {user}");
                    let receipt = format!("{list}/{id}/receipt");
                    let receipt = browser.open(&receipt, user).await;
                    assert_eq!(receipt.status == 200, of_page, "{one:?} of {user}");
                }
            }
        }

        // A form of one's own, sent to the record of another: it ends nothing.
        let mut browser = Browser::default();
        let alice = all()[0];
        let own = live(&server, alice).await[0].id.to_string();
        for one in all().into_iter().filter(|one| !one.has_pages_of(alice)) {
            let foreign = live(&server, one).await;
            let mut page = browser.open(&list, alice.user).await;
            page.html = page.html.replace(&own, &foreign[0].id.to_string());
            let actions = page.form_actions();
            let form = actions
                .iter()
                .position(|action| action.contains(&foreign[0].id.to_string()));
            let refused = browser.fill(&page, form.unwrap(), &[]).await;
            assert_eq!(refused.status, 404, "{one:?}: {refused:?}");
            assert_eq!(live(&server, one).await, foreign, "{one:?}");
        }

        // All of one's own at once.
        let page = browser.open(&list, alice.user).await;
        let actions = page.form_actions();
        let form = actions
            .iter()
            .position(|action| action.ends_with("/revoke-all"));
        browser.fill(&page, form.unwrap(), &[]).await;
        for one in all() {
            let answer = one.caller(&server).call(WRITE, note()).await;
            assert_eq!(
                answer.link().is_some(),
                one.has_pages_of(alice),
                "{one:?}: {answer:?}"
            );
        }
        server.stop().await;
    });
}

#[test]
fn a_denial_by_one_of_the_eight_quiets_nobody_else() {
    run(async {
        let server = serve().await;
        for (one, link) in questions(&server).await {
            assert!(!server.decide(&link, one.user, Choice::Deny).await);
            let denied = one.caller(&server).call(WRITE, note()).await;
            assert!(denied.text().contains("did not allow"), "{denied:?}");
            let who = one.who(&server);
            let rows = server.decisions(&who).await;
            let own = |row: &&ConsentRow| row.key.client.as_str() == one.client;
            assert_eq!(rows.iter().filter(own).count(), 1);
            let rest = all().into_iter().skip_while(|other| *other != one).skip(1);
            for other in rest {
                let asked = other.caller(&server).call(WRITE, note()).await;
                assert!(asked.link().is_some(), "{other:?}: {asked:?}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn the_files_of_a_user_in_a_tenant_are_there_for_both_clients_and_nobody_else() {
    run(async {
        let server = serve().await;
        for one in all() {
            let name = format!("{}-{}-{}", one.user, one.client, one.tenant);
            let note = json!({"name": name, "text": name});
            let written = one.caller(&server).call_allowed(&server, WRITE, note).await;
            assert!(written.is_reply(), "{one:?}: {written:?}");
        }
        for one in all() {
            let caller = one.caller(&server);
            let listed = caller.call_allowed(&server, "notes_list", json!({})).await;
            let own = CLIENTS.map(|client| format!("{}-{client}-{}", one.user, one.tenant));
            assert_eq!(listed.structured()["notes"], json!(own), "{one:?}");
            for other in all() {
                let name = format!("{}-{}-{}", other.user, other.client, other.tenant);
                let name = json!({"name": name});
                let read = caller.call_allowed(&server, "notes_read", name).await;
                assert_eq!(
                    read.is_reply(),
                    other.has_pages_of(one),
                    "{one:?}: {read:?}"
                );
            }
        }
        server.stop().await;
    });
}

#[test]
fn what_a_user_in_a_tenant_keeps_is_there_for_both_clients_and_nobody_else() {
    run(async {
        let server = Setup::new().tools(&["memory"]).await.start().await;
        for one in all() {
            let name = format!("{}-{}-{}", one.user, one.client, one.tenant);
            let memory = json!({"name": name, "text": name});
            let caller = one.caller(&server);
            let kept = caller.call_allowed(&server, "memory_remember", memory);
            let kept = kept.await;
            assert!(kept.is_reply(), "{one:?}: {kept:?}");
        }
        for one in all() {
            let caller = one.caller(&server);
            let listed = caller.call_allowed(&server, "memory_list", json!({})).await;
            let own = CLIENTS.map(|client| format!("{}-{client}-{}", one.user, one.tenant));
            assert_eq!(listed.structured()["names"], json!(own), "{one:?}");
            for other in all() {
                let name = format!("{}-{}-{}", other.user, other.client, other.tenant);
                let name = json!({"name": name});
                let read = caller.call_allowed(&server, "memory_recall", name).await;
                assert_eq!(
                    read.is_reply(),
                    other.has_pages_of(one),
                    "{one:?}: {read:?}"
                );
            }
        }
        server.stop().await;
    });
}
