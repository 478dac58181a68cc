//! SQL over a store, as its users ask it.
//!
//! Two questions run through all of this. Is the answer right? A plain Rust model of the facts
//! ([`model`]) says so, and so does the same question asked without any pruning ([`pruning`]).
//! Was it cheap? The plans and their metrics say so: what statistics answer reads no rows
//! ([`statistics`]), the newest rows need only the newest segments ([`newest`]), and a hot key of
//! the payload costs no JSON ([`promoted`]). The rest is about what a query may not do
//! ([`refusals`]), where it ends ([`limits`]), and what it sees ([`snapshots`],
//! [`system_tables`], [`windows`]), and in whose time ([`zones`]); [`contract`] asks without SQL, as a persistence backend is asked.

mod answers;
mod contract;
mod intervals;
mod json;
mod limits;
mod model;
mod newest;
mod overflow;
mod promoted;
mod pruning;
mod refusals;
mod snapshots;
mod statistics;
mod system_tables;
mod texts_and_numbers;
mod windows;
mod zones;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use ostracon::{Error, Event, Json, QueryOptions, Store};

/// Rows as text; `NULL` is not the text `NULL`.
type Rows = Vec<Vec<String>>;

/// What a null looks like in [`Rows`].
const NULL: &str = "∅";

/// Runs a future on two threads, as a server would.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answer = runtime.block_on(future);
    // A worker that is still busy with a query that nobody waits for keeps no test waiting.
    runtime.shutdown_background();
    answer
}

fn try_rows(store: &Store, sql: &str, options: QueryOptions) -> Result<Rows, Error> {
    run(async {
        let answer = store.sql_with(sql, options).await?;
        Ok(text(&answer.collect().await?))
    })
}

#[track_caller]
fn rows(store: &Store, sql: &str) -> Rows {
    try_rows(store, sql, QueryOptions::new()).unwrap_or_else(|error| panic!("{sql}\n{error:?}"))
}

/// The first column of the answer.
#[track_caller]
fn column(store: &Store, sql: &str) -> Vec<String> {
    rows(store, sql).into_iter().map(|row| row.into_iter().next().unwrap()).collect()
}

/// What a query is refused with, or fails with.
#[track_caller]
fn failure(store: &Store, sql: &str) -> Error {
    match try_rows(store, sql, QueryOptions::new()) {
        Err(error) => error,
        Ok(rows) => panic!("{sql}\nwas answered: {rows:?}"),
    }
}

fn text(batches: &[RecordBatch]) -> Rows {
    let options = FormatOptions::default().with_null(NULL);
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()),
        );
    }
    rows
}

/// How a query would be answered.
#[track_caller]
fn plan(store: &Store, sql: &str) -> String {
    let plan: Arc<dyn ExecutionPlan> =
        run(async { store.sql(sql).await.unwrap().into_dataframe().create_physical_plan().await })
            .unwrap_or_else(|error| panic!("{sql}\n{error}"));
    displayable(plan.as_ref()).indent(true).to_string()
}

/// A store with ten crashes, of which six are in a segment.
fn ten_crashes() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for n in 0..10 {
        store.record(event("ActorCrashed", &format!(r#"{{"error": "E: {n}"}}"#), f64::from(n))).unwrap();
        if n == 5 {
            store.flush().unwrap();
        }
    }
    (folder, store)
}

/// An event of a type, with nothing else to it.
fn event(event_type: &str, payload: &str, timestamp: f64) -> Event<'static> {
    let payload = Json::parse(payload.to_owned()).unwrap();
    Event::new("shop", "shop:1", event_type.to_owned(), payload, timestamp)
}

fn strings(row: &[&str]) -> Vec<String> {
    row.iter().map(|text| (*text).to_owned()).collect()
}
