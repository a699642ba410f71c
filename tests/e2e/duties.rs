//! The numbered duties on consent pages, cookies, state, redirects and handles, and where each is proved.
//!
//! The numbers are those of our reading of MCP (`P`, `D`, `A`, `S`) and of the OAuth rules for resource servers and clients
//! (`W`, `H`, `O`). A duty is proved by every test that has its number in its name: `grep -rn 'fn .*s1_12_' runtime tests`
//! finds those of S1.12. A test below holds the table to that.
//!
//! | duty | says | |
//! |---|---|---|
//! | P4 | consent goes by claims of the token, never by what a client says of itself | proved |
//! | P19 | a missing consent is one question, on a call alone | proved |
//! | P20 | the retry brings the state back; no memory in between | proved |
//! | P21 | only what this request declares is asked of a client; decline and cancel end it | proved |
//! | P22 | a state is verified: whole, ours, for this caller and these arguments | proved |
//! | P23 | a state counts once | proved |
//! | P24 | the result of a retried call is not cached | proved |
//! | P25 | a form is a flat object of what MCP knows, and asks for no secrets | proved |
//! | P26 | a link holds no personal data and no right; to open it decides nothing | proved |
//! | P27 | whoever opens the link is the user of the call | proved |
//! | P28 | a link is no way in to the server itself | proved |
//! | P29 | a question is bound to client and user | proved |
//! | P30 | what a client says of its user allows nothing | proved |
//! | P31 | a state is bound to tenant, user, client, tool, build and arguments | proved |
//! | D4 | an id of a session is visible ASCII by chance; an ended one is answered with 404 | proved |
//! | D5 | no sessions unless the operator wants them | proved |
//! | D6 | an older client gets the link as text | proved |
//! | D7 | an older client is told to call again | proved |
//! | D7.1 | a session belongs to user and client | proved |
//! | D7.2 | each request within it is checked against the live token; a foreign id is an unknown one | proved |
//! | D7.3 | it is bound to the identity, not to the token's bytes | proved |
//! | D7.4 | 256 random bits, ends by itself, a bound for each user, authenticates nobody | proved |
//! | D7.5 | it keeps the revision and what its client declared | proved |
//! | D7.6 | a second user can neither call in it, listen to it nor end it | proved |
//! | A9 | a token counts in the `Authorization` header alone, never in a cookie | proved |
//! | A10 | the caller's token goes no further than here | proved |
//! | A23 | a proxy with one client id asks for consent for each client | cannot apply: we forward to no authorization server |
//! | A24 | duties of an authorization server | cannot apply: we are none; the embedded one is for development |
//! | S1.1 | which clients a user approved is kept for each user | proved |
//! | S1.2 | it is looked at before anything is done | proved |
//! | S1.3 | it is kept where nobody else reads or writes it | proved |
//! | S1.4 | the page names the client | proved |
//! | S1.5 | the page says exactly what is asked | proved |
//! | S1.6 | the page shows the redirect address of the client | cannot apply: our pages lead to no address of a client; the hosts that its metadata document names are shown |
//! | S1.7 | the form is safe against forgery | proved |
//! | S1.8 | no page can be framed | proved |
//! | S1.9 | cookies have the prefix `__Host-` | proved |
//! | S1.10 | cookies are Secure, HttpOnly, SameSite=Lax | proved |
//! | S1.11 | what a cookie stands for is kept on the server | proved |
//! | S1.12 | a decision is bound to the client that it was made for. No cookie of ours decides, so the form is bound | proved |
//! | S1.13 | the redirect address is the registered one | as O4, for our sign-in; others cannot apply, as for S1.6 |
//! | S1.14 | a changed redirect address is refused | as S1.13 |
//! | S1.15 | redirect addresses are compared as text | as S1.13 |
//! | S1.16 | a state is chance, for each sign-in anew | proved |
//! | S1.17 | it is stored only after approval | cannot apply: no approval comes before our sign-in, which gives no client anything |
//! | S1.18 | its cookie is set with the redirect and not before | proved |
//! | S1.19 | it is compared exactly | proved |
//! | S1.20 | without it, or with another, nobody is signed in | proved |
//! | S1.21 | it counts once, for ten minutes | proved |
//! | S4.1 | every request is verified | proved |
//! | S4.2 | to have a handle proves nothing | proved |
//! | S4.3 | handles are chance, and expire | proved |
//! | S4.4 | handles are kept with their user, and refused to others | proved |
//! | S6 | links are plain addresses without odd characters | proved |
//! | S8 | the answer to a sign-in names the issuer that was asked | proved |
//! | S9 | the authorization server warns of redirects to localhost | cannot apply: as A24 |
//! | W7 | nothing is answered under a host that is not ours | proved |
//! | H1 | a handle is a name; each use is checked against the live token or sign-in | proved |
//! | H2 | at least 128 random bits, kept as a hash, expiring, once where they decide | proved; a sign-in that is under way keeps the ticket to which it leads as it is |
//! | H3 | bound to the identity, never to the bytes of a token | proved |
//! | H4 | a foreign handle is answered as an unknown one | proved |
//! | H5 | a state is sealed over the call, for five minutes, once | proved |
//! | H6 | older sessions stay off | proved |
//! | O1 | consent for each client of a provider, before the redirect | cannot apply: we fetch no tokens of third parties |
//! | O2 | PKCE, always S256 | proved, for our sign-in |
//! | O3 | `state` by chance, once, in the browser that asked | proved, for our sign-in |
//! | O4 | one fixed redirect address | proved, for our sign-in |
//! | O5 | cookies as S1.9 to S1.11 | proved |
//! | O6 | the issuer of the answer is the one that was asked | proved, for our sign-in |
//! | O7 | who starts is who returns; a forwarded link fails | proved |
//! | O8 | the inbound token never goes out | proved |
//! | O9 | tokens of third parties are kept encrypted | cannot apply: as O1 |
//! | O10 | withdrawn consent revokes them | cannot apply: as O1 |
//! | O11 | links have no authority and no personal data in them | proved |

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::{Answer, Browser, Server, Setup, http, root, run, ticket};

const WRITE: &str = "notes_write";

fn note() -> serde_json::Value {
    json!({"name": "mine", "text": "one's own"})
}

async fn serve() -> Server {
    Setup::new().tools(&["notes"]).await.start().await
}

/// The names of all tests, and of other functions.
fn functions() -> Vec<String> {
    let mut folders: Vec<PathBuf> = ["runtime/src", "tests/e2e"]
        .map(|dir| root().join(dir))
        .into();
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.lines().filter_map(|line| {
                    let (_, rest) = line.split_once("fn ")?;
                    Some(rest.split_once('(')?.0.to_owned())
                });
                all.extend(names);
            }
        }
    }
    assert!(all.len() > 1_000);
    all
}

#[test]
fn every_duty_of_the_table_that_applies_has_a_test_with_its_number_in_its_name() {
    let functions = functions();
    let mut rows = 0;
    for line in include_str!("duties.rs").lines() {
        let Some(row) = line.strip_prefix("//! | ") else {
            continue;
        };
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let [duty, _, how] = cells[..] else {
            // The head of the table.
            continue;
        };
        rows += 1;
        let number = format!("_{}_", duty.to_lowercase().replace('.', "_"));
        let proves = |name: &&String| format!("_{name}_").contains(&number);
        let has = functions.iter().any(|name| proves(&name));
        assert_eq!(has, how.starts_with("proved"), "{duty}: {how}");
    }
    assert_eq!(rows, 74);
}

#[test]
fn p28_whoever_has_no_good_token_gets_a_challenge_and_never_a_link() {
    run(async {
        let server = serve().await;
        let alice = server.caller("alice");
        let params = json!({"name": WRITE, "arguments": note()});
        let stale = server.token("alice", json!({"exp": 1_000_000_000}));
        for token in ["", &stale] {
            let refused = alice.clone().bearing(token);
            let refused = refused.send("tools/call", params.clone()).await;
            assert!(matches!(refused.status.as_u16(), 400 | 401), "{refused:?}");
            assert!(!refused.body.contains("/consent/"), "{refused:?}");
            assert!(refused.header("location").is_none(), "{refused:?}");
        }
        // Beside it: with a token there is a link, and to have decided there is still no token.
        let link = alice.call(WRITE, note()).await.link().unwrap();
        let mut browser = Browser::default();
        browser.decide(&link, "alice", "allow-until").await;
        let with_cookies = http()
            .post(format!("{}/mcp", server.url))
            .header("cookie", browser.cookie_header())
            .header("accept", "application/json, text/event-stream")
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
        assert_eq!(Answer::read(with_cookies).await.status, 401);
        server.stop().await;
    });
}

#[test]
fn p26_s6_o11_a_link_is_a_plain_address_and_names_nobody() {
    run(async {
        let server = serve().await;
        let caller = server.caller("alice").via(&server, "desk-client");
        let link = caller.call(WRITE, note()).await.link().unwrap();
        let name = link.strip_prefix(&format!("{}/consent/", server.url));
        let name = name.unwrap_or_else(|| panic!("{link}"));
        // 256 bits in base64url, and nothing else.
        assert_eq!(name.len(), 43);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(name.chars().all(plain), "{link}");
        for told in ["alice", "desk-client", "dev", "notes"] {
            assert!(!name.contains(told), "{link}");
        }
        server.stop().await;
    });
}

#[test]
fn s1_12_what_is_decided_about_one_client_is_no_answer_about_another() {
    run(async {
        let server = serve().await;
        let mut browser = Browser::default();
        let mut links = Vec::new();
        for client in ["desk", "phone"] {
            let caller = server.caller("alice").via(&server, client);
            links.push(caller.call(WRITE, note()).await.link().unwrap());
        }
        // The form for the one, sent as the answer for the other.
        let mut page = browser.open(&links[0], "alice").await;
        let (one, other) = (ticket(&links[0]), ticket(&links[1]));
        page.html = page.html.replace(one.as_str(), other.as_str());
        let refused = browser.fill(&page, 0, &[("decision", "allow-until")]).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        for client in ["desk", "phone"] {
            let caller = server.caller("alice").via(&server, client);
            assert!(caller.call(WRITE, note()).await.link().is_some());
        }
        browser.decide(&links[0], "alice", "allow-until").await;
        for (client, allowed) in [("desk", true), ("phone", false)] {
            let caller = server.caller("alice").via(&server, client);
            let answer = caller.call(WRITE, note()).await;
            assert_eq!(answer.link().is_none(), allowed, "{client}: {answer:?}");
        }
        server.stop().await;
    });
}

#[test]
fn s1_18_a_cookie_of_a_sign_in_is_set_with_the_redirect_to_the_issuer_and_not_before() {
    run(async {
        let server = serve().await;
        let link = server.caller("alice").call(WRITE, note()).await.link();
        for before in [link.unwrap(), format!("{}/consents", server.url)] {
            let page = Answer::read(http().get(&before)).await;
            assert_eq!(page.status, 303, "{page:?}");
            let to = page.header("location").unwrap();
            assert!(to.contains("/sign-in?next="), "{to}");
            assert!(page.header("set-cookie").is_none(), "{page:?}");
        }
        let start = Answer::read(http().get(format!("{}/sign-in", server.url))).await;
        let to = start.header("location").unwrap();
        assert!(to.starts_with(&server.issuer), "{to}");
        assert!(start.header("set-cookie").is_some(), "{start:?}");
        server.stop().await;
    });
}

#[test]
fn s1_3_h2_what_is_kept_is_for_the_server_alone_and_holds_no_handle() {
    run(async {
        let server = serve().await;
        let alice = server.caller("alice");
        let asked = alice.call(WRITE, note()).await;
        let (link, state) = (asked.link().unwrap(), asked.state());
        // A ticket, which gives no right, stands for ten minutes in the sign-in that leads to its page; nowhere else.
        let row = server.running.store.ticket(ticket(&link).hash()).await;
        assert!(!format!("{row:?}").contains(ticket(&link).as_str()));
        let mut browser = Browser::default();
        browser.decide(&link, "alice", "allow-until").await;
        assert!(
            alice
                .retry(WRITE, note(), &asked, "accept")
                .await
                .is_reply()
        );
        let cookies = browser.cookie_values();
        assert!(!cookies.is_empty());
        let secrets = cookies.into_iter().map(|value| ("a cookie", value));
        let secrets: Vec<_> = secrets
            .chain([("a state", state), ("a token", alice.token.clone())])
            .collect();
        let mut looked = 0;
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let file = server.dir().join(name);
            let Ok(bytes) = std::fs::read(&file) else {
                continue;
            };
            looked += 1;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
            for (what, secret) in &secrets {
                let is = |some: &[u8]| some == secret.as_bytes();
                let kept = bytes.windows(secret.len()).any(is);
                assert!(!kept, "{name} holds {what}");
            }
        }
        assert!(looked > 0);
        server.stop().await;
    });
}

#[test]
fn h3_a_new_token_of_the_same_user_and_client_goes_on_where_the_old_one_was() {
    run(async {
        let server = serve().await;
        let before = server.caller("alice");
        let asked = before.call(WRITE, note()).await;
        let link = asked.link().unwrap();
        let after = server.caller("alice");
        assert_ne!(before.token, after.token);
        // The state that the old token got, the question that it raised, and what was agreed to.
        let again = after.retry(WRITE, note(), &asked, "accept").await;
        assert_eq!(again.link(), Some(link.clone()), "{again:?}");
        Browser::default()
            .decide(&link, "alice", "allow-until")
            .await;
        let third = server.caller("alice");
        assert!(
            third
                .retry(WRITE, note(), &again, "accept")
                .await
                .is_reply()
        );
        assert!(before.call(WRITE, note()).await.is_reply());
        server.stop().await;
    });
}
