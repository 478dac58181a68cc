//! The names and values for completion and colours. They are gathered in the background, and kept.
//!
//! Tables, columns and functions come from the session. Values (event types, systems, actors, message types)
//! come from the newest facts. The number of facts is limited, so that this is quick for a store of any size.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ostracon::{Fact, Kind, QueryOptions, Store};

/// The number of facts of each kind that are searched for values.
const NEWEST: usize = 20_000;
/// The number of values that are kept for each column.
const MOST_VALUES: usize = 2_000;
/// The age after which values are gathered again.
const STALE: Duration = Duration::from_secs(30);
/// How long to wait for a list of names.
const PATIENCE: Duration = Duration::from_secs(5);

/// The known names. They are shared with the task that gathers them.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<NameLists>>);

/// See [`Names`].
#[derive(Default)]
pub(super) struct NameLists {
    /// Columns by table, in their order.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    pub(super) functions: Vec<String>,
    /// Values by column, the most frequent first.
    pub(super) values: HashMap<&'static str, Vec<String>>,
    /// The names of parameters that are set.
    pub(super) parameters: Vec<String>,
    gathered: Option<Instant>,
    gathering: bool,
}

impl Names {
    pub(super) fn known(&self) -> MutexGuard<'_, NameLists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gathers the names in the background, unless they are fresh.
    pub(super) fn refresh(&self, store: &Arc<Store>, runtime: &tokio::runtime::Handle) {
        let mut known = self.known();
        if known.gathering || known.gathered.is_some_and(|then| then.elapsed() < STALE) {
            return;
        }
        known.gathering = true;
        let first = known.tables.is_empty();
        drop(known);
        let (names, store) = (self.clone(), Arc::clone(store));
        let handle = runtime.clone();
        runtime.spawn(async move {
            if first {
                // A failure here leaves the completion without these names, and has no other effect.
                if let Ok(tables) = tables(&store).await {
                    names.known().tables = tables;
                }
                if let Ok(functions) = functions(&store).await {
                    names.known().functions = functions;
                }
            }
            let values = handle.spawn_blocking(move || values(&store)).await;
            let mut known = names.known();
            if let Ok(values) = values {
                known.values = values;
            }
            known.gathered = Some(Instant::now());
            known.gathering = false;
        });
    }
}

async fn rows(store: &Store, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let answer = store.sql_with(sql, QueryOptions::new().timeout(PATIENCE)).await?;
    let batches = answer.collect().await?;
    batches.iter().try_fold(Vec::new(), |mut rows, batch| {
        rows.extend(texts(batch)?);
        Ok(rows)
    })
}

/// The cells of a batch, row by row; NULL is empty.
pub(super) fn texts(batch: &RecordBatch) -> anyhow::Result<Vec<Vec<String>>> {
    let options = FormatOptions::default();
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<_, _>>()?;
    Ok((0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect())
        .collect())
}

async fn tables(store: &Store) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let sql = "SELECT table_schema, table_name, column_name FROM information_schema.columns \
               WHERE table_schema <> 'information_schema' ORDER BY 1, 2, ordinal_position";
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(store, sql).await? {
        let [schema, table, column] = row.as_slice() else { continue };
        let name = if schema == "store" { format!("store.{table}") } else { table.clone() };
        tables.entry(name).or_default().push(column.clone());
    }
    Ok(tables)
}

async fn functions(store: &Store) -> anyhow::Result<Vec<String>> {
    let sql = "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1";
    Ok(rows(store, sql).await?.into_iter().flatten().collect())
}

/// The values of the newest facts.
fn values(store: &Store) -> HashMap<&'static str, Vec<String>> {
    let mut counts: HashMap<&'static str, HashMap<String, usize>> = HashMap::new();
    let mut count = |column, value: &str| {
        let of_column = counts.entry(column).or_default();
        match of_column.get_mut(value) {
            Some(count) => *count += 1,
            None => drop(of_column.insert(value.to_owned(), 1)),
        }
    };
    for kind in Kind::ALL {
        for found in store.list(kind, Some(NEWEST), None).unwrap_or_default() {
            match &found.fact {
                Fact::Event(event) => {
                    count("event_type", &event.event_type);
                    count("system_id", &event.system_id);
                    count("actor_address", &event.actor_address);
                }
                Fact::DeadLetter(letter) => {
                    count("message_type", &letter.message_type);
                    count("system_id", &letter.system_id);
                    if let Some(target) = &letter.target {
                        count("target", target);
                    }
                }
                Fact::Audit(audit) => count("system_id", &audit.system_id),
                _ => {}
            }
        }
    }
    let most = |values: HashMap<String, usize>| {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        values.truncate(MOST_VALUES);
        values.into_iter().map(|(value, _)| value).collect()
    };
    counts.into_iter().map(|(column, values)| (column, most(values))).collect()
}
