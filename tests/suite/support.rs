//! What several scenarios need.

use std::path::Path;
use std::process::Command;

use ostracon::{Cursor, Event, Fact, Json, Kind, Store};

/// A crash of actor `n`, distinguishable from every other.
pub(crate) fn crash(n: u64) -> Fact<'static> {
    let payload =
        Json::parse(format!(r#"{{"error": "KeyError: missing field sku-{n}", "reason": "n={n}"}}"#)).unwrap();
    Event::new("shop", format!("shop:{}", n % 7), "ActorCrashed", payload, 1_795_404_290.0 + n as f64).into()
}

/// Every fact of a store as a JSON line, in the store's order.
pub(crate) fn lines(store: &Store) -> Vec<String> {
    store.after(&Cursor::start()).unwrap().map(|fact| fact.unwrap().fact.to_line()).collect()
}

/// Every fact of the store at this path, read as another process would.
pub(crate) fn lines_at(path: &Path) -> Vec<String> {
    lines(&Store::builder().read_only(true).open(path).unwrap())
}

/// The command, as a process.
pub(crate) fn ostracon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ostracon"))
}

/// The one number that a query answers.
pub(crate) fn number(store: &Store, sql: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() });
    let column = batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).clone();
    let column = arrow::compute::cast(&column, &arrow::datatypes::DataType::Int64).unwrap();
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&column).value(0)
}

/// How many facts of all kinds a store has.
pub(crate) fn count(store: &Store) -> u64 {
    Kind::ALL.into_iter().map(|kind| store.summary().unwrap().of(kind).facts).sum()
}
