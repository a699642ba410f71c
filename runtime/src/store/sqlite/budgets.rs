//! What is spent of daily budgets, in an SQLite file of its own beside the state.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::super::StoreError;
use super::super::budgets::{Budgets, Spent};
use super::migrations;
use super::side::{self, Side};
use crate::ids::Digest;

/// What the file is called behind the name of the state file.
const NAME: &str = "budgets";
const FORMATS: &migrations::Formats = &[(1, include_str!("budgets_0001.sql"))];

/// Daily budgets in an SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteBudgets(Side);

impl SqliteBudgets {
    /// The file beside this state file.
    pub fn beside(state: &Path) -> PathBuf {
        side::beside(state, NAME)
    }

    /// Opens the file, makes it when it is missing, and brings it to the newest format.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Side::open(path, NAME, FORMATS).await.map(Self)
    }

    /// Waits until every connection is closed and the write-ahead log is in the file.
    pub async fn close(&self) {
        self.0.close().await;
    }

    async fn write(&self, statement: &'static str, all: &[Spent]) -> Result<(), StoreError> {
        let mut tx = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        for spent in all {
            sqlx::query(statement)
                .bind(spent.key.as_bytes().as_slice())
                .bind(spent.day)
                .bind(i64::try_from(spent.amount).unwrap_or(i64::MAX))
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

#[async_trait]
impl Budgets for SqliteBudgets {
    async fn latest_day(&self) -> Result<Option<i64>, StoreError> {
        let latest = sqlx::query_scalar("SELECT MAX(day) FROM budget");
        Ok(latest.fetch_one(&self.0.readers).await?)
    }

    async fn spent(&self, keys: &[Digest]) -> Result<Vec<Spent>, StoreError> {
        let mut all = Vec::new();
        for key in keys {
            let row = sqlx::query_as("SELECT day, amount FROM budget WHERE key = ?");
            let row: Option<(i64, i64)> = row
                .bind(key.as_bytes().as_slice())
                .fetch_optional(&self.0.readers)
                .await?;
            let Some((day, amount)) = row else { continue };
            let amount = u64::try_from(amount).map_err(|_| StoreError::Corrupt {
                table: "budget",
                column: "amount",
            })?;
            all.push(Spent {
                key: *key,
                day,
                amount,
            });
        }
        Ok(all)
    }

    async fn reserve(&self, all: &[Spent]) -> Result<(), StoreError> {
        let statement = "INSERT INTO budget (key, day, amount) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET \
             amount = CASE WHEN excluded.day > day THEN excluded.amount \
             WHEN excluded.day = day THEN MAX(amount, excluded.amount) ELSE amount END, \
             day = MAX(day, excluded.day)";
        self.write(statement, all).await
    }

    async fn settle(&self, all: &[Spent]) -> Result<(), StoreError> {
        let statement = "INSERT INTO budget (key, day, amount) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET \
             amount = CASE WHEN excluded.day >= day THEN excluded.amount ELSE amount END, \
             day = MAX(day, excluded.day)";
        self.write(statement, all).await
    }

    async fn forget_before(&self, day: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM budget WHERE day < ?")
            .bind(day)
            .execute(&self.0.writer)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(key: &[u8], day: i64, amount: u64) -> Spent {
        let key = Digest::of(key);
        Spent { key, day, amount }
    }

    #[tokio::test]
    async fn what_is_reserved_is_there_after_a_start_and_never_shrinks_but_by_settling() {
        let folder = tempfile::tempdir().unwrap();
        let path = SqliteBudgets::beside(&folder.path().join("state.db"));
        let budgets = SqliteBudgets::open(&path).await.unwrap();
        assert_eq!(budgets.latest_day().await.unwrap(), None);
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        for (day, amount, kept) in [
            (5, 10, (5, 10)),
            (5, 7, (5, 10)),
            (4, 99, (5, 10)),
            (6, 3, (6, 3)),
        ] {
            budgets.reserve(&[spent(b"a", day, amount)]).await.unwrap();
            let expected = spent(b"a", kept.0, kept.1);
            assert_eq!(budgets.spent(&[a, b]).await.unwrap(), [expected]);
        }
        budgets
            .settle(&[spent(b"a", 6, 1), spent(b"b", 2, 2)])
            .await
            .unwrap();
        budgets.close().await;
        let budgets = SqliteBudgets::open(&path).await.unwrap();
        let all = [spent(b"a", 6, 1), spent(b"b", 2, 2)];
        assert_eq!(budgets.spent(&[a, b]).await.unwrap(), all);
        assert_eq!(budgets.latest_day().await.unwrap(), Some(6));
        budgets.forget_before(6).await.unwrap();
        assert_eq!(budgets.spent(&[a, b]).await.unwrap(), [all[0]]);
    }
}
