//! What the look-up of a consent costs with a million records beside it. Measured by `cargo test --release -p bailiwick
//! --lib store::sqlite::tests::cost -- --ignored --nocapture`; never a condition of a test.

use std::time::Instant;

use sqlx::Row;

use super::*;

/// Users, each with ten consents to ten tools; fewer where the variable `BAILIWICK_COST_USERS` says so.
const USERS: u64 = 100_000;
/// Look-ups in one round of each store.
const LOOKS: u64 = 10_000;
const ROUNDS: usize = 5;

/// The one record of the store, made into ten for each of so many users.
async fn multiplied(store: &SqliteStore, users: u64) {
    let columns = sqlx::query("SELECT name FROM pragma_table_info('consent')")
        .fetch_all(&store.writer)
        .await
        .unwrap();
    let value = |name: String| match name.as_str() {
        "id" => "printf('%08x-0000-7000-8000-%012x', n, n)".to_owned(),
        "sub" => "'user-' || (n / 10)".to_owned(),
        "tool" => "'tool-' || (n % 10)".to_owned(),
        _ => name,
    };
    let values: Vec<String> = columns.iter().map(|row| value(row.get("name"))).collect();
    let statement = format!(
        "WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {}) \
         INSERT INTO consent SELECT {} FROM consent, number",
        users * 10,
        values.join(", ")
    );
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&store.writer)
        .await
        .unwrap();
}

/// Microseconds of each look-up, for users spread over all.
async fn looks(store: &SqliteStore, users: u64, times: &mut Vec<f64>) {
    for n in 0..LOOKS {
        // A step that meets no user twice before it has met all.
        let user_number = n.wrapping_mul(7_919) % users;
        let mut key = key();
        key.user = user(&format!("user-{user_number}"));
        key.tool = format!("tool-{}", n % 10).parse().unwrap();
        let began = Instant::now();
        let found = store.live_consents(&key, NOW).await.unwrap();
        times.push(began.elapsed().as_secs_f64() * 1e6);
        assert_eq!(found.len(), 1);
    }
}

#[tokio::test]
#[ignore = "a measurement, of docs/performance.md; `tests/long/run what_a_look_up_costs` runs it"]
async fn what_a_look_up_costs_among_a_million() {
    let dir = tempfile::tempdir().unwrap();
    crate::seal::add_version(&dir.path().join("keys")).unwrap();
    let users = std::env::var("BAILIWICK_COST_USERS").map_or(USERS, |users| users.parse().unwrap());
    let mut stores = Vec::new();
    for (file, users, sealed) in [
        ("few.db", 1, false),
        ("many.db", users, false),
        ("few-sealed.db", 1, true),
        ("many-sealed.db", users, true),
    ] {
        let path = dir.path().join(file);
        let mut store = SqliteStore::open(&path).await.unwrap();
        ask(&store, b"t").await;
        decide(&store, b"t", vec![consent(Scope::Until)]).await;
        multiplied(&store, users).await;
        if sealed {
            store.close().await;
            let began = Instant::now();
            let keys = rest::keys_in(&dir.path().join("keys"));
            store = SqliteStore::open_sealed(&path, keys).await.unwrap();
            println!("{file}: encrypted within {:.1?}", began.elapsed());
        }
        let size = std::fs::metadata(&path).unwrap().len();
        println!(
            "{file}: {} bytes of file for each record",
            size / (users * 10)
        );
        stores.push((store, users, sealed, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (store, users, _, times) in &mut stores {
            looks(store, *users, times).await;
        }
    }
    for (_, users, sealed, times) in &mut stores {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        println!(
            "{} records{}: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us",
            *users * 10,
            if *sealed { ", encrypted" } else { "" },
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
}
