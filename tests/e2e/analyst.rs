//! The shipped analyst: its answers need consent, and its statements only read.

use bailiwick::consent::Choice;
use serde_json::json;

use crate::harness::{Server, Setup, for_an_hour, log, run};

const MOUNT: &str = "[[mount]]\nname = \"data\"\npath = \"data/{tenant}/{sub}\"\n";

async fn server(files: &[(&str, &str)]) -> Server {
    let server = Setup::new().tools(&["analyst"]).await.config(MOUNT);
    let server = server.start().await;
    let folder = server.dir().join("data/dev/alice");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    server
}

#[test]
fn tables_are_asked_with_sql_once_their_user_agreed() {
    run(async {
        let sales = "city,amount\nOslo,10\nBergen,2\nOslo,4\n";
        let people = "[{\"city\": \"Oslo\", \"mayor\": \"Anne\"}]";
        let server = server(&[("sales.csv", sales), ("people.json", people)]).await;
        let alice = server.caller("alice");
        let question = json!({"sql": "SELECT p.mayor, SUM(s.amount) AS total FROM sales s JOIN people p ON s.city = p.city GROUP BY p.mayor"});
        let asked = alice.call("analyst_query", question.clone()).await;
        let asked = server.asked(&asked.link().unwrap(), "alice").await;
        assert!(asked.contains(&"files read data".to_owned()), "{asked:?}");

        let answer = alice.call_allowed(&server, "analyst_query", question).await;
        let structured = answer.structured();
        assert_eq!(structured["columns"], json!(["mayor", "total"]));
        assert_eq!(structured["rows"], json!([["Anne", 14]]));
        assert_eq!(
            answer.text(),
            "mayor | total\nAnne | 14\n(these are all rows)"
        );
        let listed = alice
            .call_allowed(&server, "analyst_tables", json!({}))
            .await;
        assert_eq!(listed.structured()["tables"][1]["rows"], 3);

        // A user has a folder of their own.
        let bob = server.caller("bob");
        let listed = bob.call_allowed(&server, "analyst_tables", json!({})).await;
        assert_eq!(listed.structured()["tables"], json!([]));
        server.stop().await;
    });
}

#[test]
fn statements_that_are_wrong_or_too_much_are_answered_and_change_nothing() {
    run(async {
        let text = format!("n\n{}", "1\n".repeat(2_000));
        let server = server(&[("t.csv", &text), ("bad.csv", "a,b\n1\n")]).await;
        let alice = server.caller("alice");
        let nested = format!("SELECT {}n{} FROM t", "(".repeat(50), ")".repeat(50));
        let chain = format!("SELECT n{} FROM t", " + n".repeat(500));
        for (sql, told) in [
            ("DELETE FROM t", "one SELECT"),
            ("SELECT 1; DROP TABLE t", "one SELECT"),
            ("INSERT INTO t VALUES (1)", "VALUES("),
            ("SELEC n", "not SQL"),
            ("SELECT m FROM t", "analyst_tables"),
            ("SELECT * FROM missing", "no table `missing`"),
            ("SELECT * FROM \"../../bob/t\"", "no table"),
            ("SELECT * FROM bad", "line 2"),
            ("SELECT REPEAT('x', 2000000000)", "REPEAT("),
            ("SELECT COUNT(*) FROM t a JOIN t b ON a.n < b.n", "rows"),
            (&nested, "levels"),
            (&chain, "words and signs"),
        ] {
            let answer = alice
                .call_allowed(&server, "analyst_query", json!({"sql": sql}))
                .await;
            assert!(answer.body.contains(told), "{sql}: {answer:?}");
        }
        // The most that is let through fits the stack.
        let nested = format!("SELECT {}n{} FROM t LIMIT 1", "(".repeat(4), ")".repeat(4));
        let chain = format!("SELECT n{} FROM t LIMIT 1", " + n".repeat(39));
        let whens = "SELECT CASE WHEN n = 1 THEN CASE WHEN n = 1 THEN (SELECT MAX(n) FROM t) ELSE 0 END ELSE 0 END AS x FROM t LIMIT 1";
        let subqueries = "SELECT n FROM t WHERE n IN (SELECT n FROM t WHERE n IN (SELECT n FROM t WHERE n IN (SELECT n FROM t LIMIT 1) LIMIT 1) LIMIT 1) LIMIT 1";
        for sql in [nested.as_str(), &chain, whens, subqueries] {
            let answer = alice
                .call_allowed(&server, "analyst_query", json!({"sql": sql}))
                .await;
            assert!(answer.is_reply(), "{sql}: {answer:?}");
            assert_eq!(
                answer.structured()["rows"].as_array().unwrap().len(),
                1,
                "{sql}"
            );
        }
        let kept = std::fs::read_to_string(server.dir().join("data/dev/alice/t.csv")).unwrap();
        assert_eq!(kept, text);
        server.stop().await;
    });
}

#[test]
fn what_a_table_holds_of_people_is_masked_as_far_as_its_user_did_not_agree_to_it() {
    run(async {
        let (address, number) = ("canary.19c4@example.com", "+81 90 1234 5678");
        let people = format!("name,email,phone\nAnne,{address},{number}\n");
        let server = server(&[("people.csv", &people)]).await;
        let question = json!({"sql": "SELECT email, phone FROM people"});
        // The one class is allowed, the other is not.
        let alice = server.caller("alice");
        let choice = |one: &str| match one {
            "data phone" => Choice::Deny,
            _ => for_an_hour(),
        };
        let answer = alice
            .call_deciding(&server, "analyst_query", question.clone(), choice)
            .await;
        assert!(answer.body.contains(address), "{answer:?}");
        assert!(!answer.body.contains(number), "{answer:?}");
        let row = &answer.structured()["rows"][0];
        assert_eq!(row, &json!([address, "+** ** **** **78"]));
        // In the table of text and in the structured rows.
        let masked = &answer.result()["_meta"]["bailiwick/masked"];
        assert_eq!(masked, &json!({"phone": 2}));
        let outcome = server.outcomes("analyst_query").await.pop().unwrap();
        let counts = &outcome.facts["data_out"];
        assert_eq!(counts["phone"]["mask"], 2, "{counts}");

        // A question that names the address is a question with an address.
        let named = json!({"sql": format!("SELECT phone FROM people WHERE email = '{address}'")});
        let answer = alice.call("analyst_query", named.clone()).await;
        assert!(answer.is_reply(), "{answer:?}");
        server.take_back("alice", "data email").await;
        let neither = alice
            .call_deciding(&server, "analyst_query", question, |_| Choice::Deny)
            .await;
        assert!(neither.is_reply(), "{neither:?}");
        for value in [address, number] {
            assert!(!neither.body.contains(value), "{neither:?}");
        }
        let refused = alice.call("analyst_query", named).await;
        assert!(refused.is_tool_error(), "{refused:?}");
        assert!(refused.text().contains("`email`"), "{refused:?}");

        for value in [address, number] {
            for stored in server.records().await {
                assert!(!stored.json.contains(value), "{}", stored.json);
            }
            assert!(!log::text().contains(value), "the log holds `{value}`");
        }
        server.stop().await;
    });
}

/// A file of 1 MiB; `--nocapture` shows how long it took.
#[test]
fn a_mebibyte_of_rows_is_answered_in_time() {
    run(async {
        let rows: String = (0..26_000)
            .map(|n| format!("{n},customer {n},{}.5,2026-01-02,Oslo\n", n % 997))
            .collect();
        let text = format!("id,name,amount,day,city\n{rows}");
        assert!(text.len() >= 1024 * 1024, "{}", text.len());
        let server = server(&[("sales.csv", &text)]).await;
        let alice = server.caller("alice");
        let question = json!({"sql": "SELECT city, COUNT(*) AS n, SUM(amount) AS total FROM sales GROUP BY city"});
        let answer = alice
            .call_allowed(&server, "analyst_query", question.clone())
            .await;
        assert_eq!(answer.structured()["rows"][0][1], 26_000, "{answer:?}");
        let began = std::time::Instant::now();
        let answer = alice.call_allowed(&server, "analyst_query", question).await;
        println!(
            "a query over {} bytes took {:?}",
            text.len(),
            began.elapsed()
        );
        assert!(answer.is_reply(), "{answer:?}");
        server.stop().await;
    });
}
