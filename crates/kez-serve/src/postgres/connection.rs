//! One connection, as jobs and reads use it.

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::Fault;

/// A value of a statement.
pub type Value<'a> = &'a (dyn ToSql + Sync);

/// A connection out of the pool. Statements are prepared once and kept.
///
/// One that is given up within a transaction is not used again.
pub struct Connection {
    client: Option<Object>,
    in_transaction: AtomicBool,
}

impl Connection {
    pub(super) fn new(client: Object) -> Self {
        Self { client: Some(client), in_transaction: AtomicBool::new(false) }
    }

    /// All rows of a query.
    pub async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, values).await?)
    }

    /// The first row of a query, if there is one.
    pub async fn row(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The row of a query that always has one.
    pub async fn one(&self, sql: &str, values: &[Value<'_>]) -> Result<Row, Fault> {
        self.row(sql, values).await?.ok_or(Fault::NoRow)
    }

    /// Whether a query has a row.
    pub async fn exists(&self, sql: &str, values: &[Value<'_>]) -> Result<bool, Fault> {
        Ok(self.row(sql, values).await?.is_some())
    }

    /// Runs a statement; how many rows it changed.
    pub async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, Fault> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, values).await?)
    }

    /// The rows of two queries that are sent together and run in this order: the second sees what whoever held the locks
    /// of the first has done.
    pub async fn pair(
        &self,
        (first, first_values): (&str, &[Value<'_>]),
        (second, second_values): (&str, &[Value<'_>]),
    ) -> Result<(Vec<Row>, Vec<Row>), Fault> {
        let client = self.client()?;
        let (first, second) = (client.prepare_cached(first).await?, client.prepare_cached(second).await?);
        // Each is sent when it is polled first: `biased` makes that this order.
        let (first, second) = tokio::join!(
            biased;
            client.query(&first, first_values),
            client.query(&second, second_values)
        );
        Ok((first?, second?))
    }

    /// Runs statements without values.
    pub async fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client()?.batch_execute(sql).await?)
    }

    pub(super) async fn begin(&self, sql: &str) -> Result<(), Fault> {
        self.in_transaction.store(true, Ordering::Relaxed);
        self.batch(sql).await
    }

    pub(super) async fn end(&self, sql: &str) -> Result<(), Fault> {
        self.batch(sql).await?;
        self.in_transaction.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn client(&self) -> Result<&Object, Fault> {
        self.client.as_ref().ok_or(Fault::NoRow)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if *self.in_transaction.get_mut()
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client)); // closes it; the server undoes what was begun
        }
    }
}

/// A column with exactly `N` bytes.
pub fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], Fault> {
    row.try_get::<_, &[u8]>(column)?.try_into().map_err(Fault::damaged)
}

/// A column with a number that is never negative.
pub fn unsigned(row: &Row, column: usize) -> Result<u64, Fault> {
    row.try_get::<_, i64>(column)?.try_into().map_err(Fault::damaged)
}
