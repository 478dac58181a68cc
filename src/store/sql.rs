//! SQL over a store.

use std::sync::Arc;

use super::Store;
use crate::counters::count;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{self, Answer, Engine, QueryOptions, SavedQuery};

impl Store {
    /// Runs an SQL query over the facts that are there now, flushed or not. The [`Answer`] is computed
    /// when its rows are read.
    ///
    /// The tables are `events`, `audits` and `dead_letters`, with the views `crashes`, `restarts` and
    /// `actors`, and `store.segments`, `store.commits`, `store.streams`, `store.consumers`,
    /// `store.unverified` and `store.metrics`. A query cannot write, and cannot reach anything outside
    /// the store.
    ///
    /// Each column of the answer has a name of its own: where a query selects two columns `seq`, the
    /// second one becomes `seq_2`. A name that a subquery gives to several columns cannot be selected.
    ///
    /// ```
    /// # use ostracon::{Event, Json, Store};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// let crash = Json::parse(r#"{"error": "KeyError: 'sku'"}"#)?;
    /// store.record(Event::new("shop", "shop:5", "ActorCrashed", crash, 1_795_404_290.4))?;
    ///
    /// let answer = store.sql("SELECT error_type, count(*) AS n FROM crashes GROUP BY 1").await?;
    /// let rows = answer.rows().await?;
    /// assert_eq!(rows[0].get::<String>("error_type")?, "KeyError");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for SQL that is wrong or not allowed, [`ErrorKind::Damaged`] if the store is
    /// damaged.
    pub async fn sql(&self, sql: &str) -> Result<Answer> {
        self.sql_with(sql, QueryOptions::new()).await
    }

    /// Works as [`Store::sql`], with a timeout or parameters.
    ///
    /// # Errors
    /// Those of [`Store::sql`].
    pub async fn sql_with(&self, sql: &str, options: QueryOptions) -> Result<Answer> {
        count(&self.context().metrics.queries, 1);
        query::check_text(sql)?;
        let snapshot = Arc::new(self.snapshot()?);
        query::answer(self.engine()?, self.context(), &snapshot, sql, options).await
    }

    /// Runs a saved query, with values for some of its parameters.
    ///
    /// # Errors
    /// Those of [`Store::sql`]; [`ErrorKind::Query`] for an unknown query or parameter, or a value of the
    /// wrong type.
    pub async fn saved_query(
        &self,
        name: &str,
        set: &[(String, String)],
        options: QueryOptions,
    ) -> Result<Answer> {
        let query = SavedQuery::find(name)?;
        let options = QueryOptions { params: query.values(set)?, ..options };
        self.sql_with(query.sql, options).await
    }

    /// The store's query engine. It is made when it is first needed.
    fn engine(&self) -> Result<&Engine> {
        let engine = self.engine.get_or_init(|| Engine::new(self.context()).map_err(|e| e.to_string()));
        engine
            .as_ref()
            .map_err(|why| Error::new(ErrorKind::Query, format!("cannot prepare the query engine: {why}")))
    }
}
