//! A few facts with many NULLs and equal values, in segments and tails.

use arrow::array::{Array, RecordBatch};
use ostracon::{Audit, DeadLetter, Event, Fact, Json, QueryOptions, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::support::scratch;

/// Numbers that are the same for the same seed on every machine.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) as usize % sides
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

/// The columns that are compared: what the engines have a type in common for.
pub(super) const TABLES: [(&str, &[(&str, Kind)]); 6] = [
    ("events", EVENTS),
    ("dead_letters", &[("stream", Int), ("seq", Int), ("target", Text), ("message_type", Text)]),
    (
        "audits",
        &[
            ("stream", Int),
            ("seq", Int),
            ("total_actors", Int),
            ("alive_actors", Int),
            ("registry_size", Int),
        ],
    ),
    ("crashes", EVENTS),
    ("restarts", EVENTS),
    (
        "actors",
        &[("actor_address", Text), ("starts", Int), ("crashes", Int), ("last_error", Text), ("state", Text)],
    ),
];

const EVENTS: &[(&str, Kind)] = &[
    ("stream", Int),
    ("seq", Int),
    ("actor_address", Text),
    ("event_type", Text),
    ("error", Text),
    ("error_type", Text),
    ("reason", Text),
];

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bool,
}
use Kind::{Int, Text};

/// Stores of the same facts that differ in where these lie.
pub(super) struct Facts {
    /// Segments and tails of two writers, perhaps compacted.
    pub(super) mixed: Store,
    /// Tails only.
    pub(super) tails: Store,
    _writers: Vec<Store>,
    _folder: TempDir,
}

impl Facts {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let folder = scratch();
        let [mixed, tails] = ["mixed", "tails"].map(|name| folder.path().join(name));
        let writers = [&mixed, &mixed, &tails, &tails].map(|path| Store::open(path).unwrap());
        let count = *dice.pick(&[0, 1, 5, 12, 25]);
        let flushes = *dice.pick(&[2, 5, 100]);
        for _ in 0..count {
            let fact = fact(&mut dice);
            let writer = dice.roll(2);
            writers[writer].record(fact.clone()).unwrap();
            writers[2 + writer].record(fact).unwrap();
            if dice.one_in(flushes) {
                writers[dice.roll(2)].flush().unwrap();
            }
        }
        let [first, second, tail, other] = writers;
        if dice.one_in(3) {
            first.flush().unwrap();
            second.flush().unwrap();
        }
        if dice.one_in(3) {
            first.compact(ostracon::CompactOptions::new()).unwrap();
        }
        Self { mixed: first, tails: tail, _writers: vec![second, other], _folder: folder }
    }

    /// What the other engines are to have as tables.
    pub(super) fn tables(&self, runtime: &tokio::runtime::Runtime) -> Value {
        let tables = TABLES.map(|(name, columns)| {
            let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
            let types: Vec<&str> =
                columns.iter().map(|(_, kind)| if *kind == Int { "BIGINT" } else { "TEXT" }).collect();
            let sql = format!("SELECT {} FROM {name}", names.join(", "));
            let rows = ask(&self.mixed, runtime, &sql).unwrap();
            json!({"name": name, "columns": names, "types": types, "rows": rows})
        });
        Value::Array(tables.into())
    }
}

fn fact(dice: &mut Dice) -> Fact<'static> {
    let address = format!("shop:{}", dice.roll(3));
    match dice.roll(6) {
        0 => {
            let mut audit = Audit::new("shop", 1_795_404_290.0);
            audit.total_actors = dice.roll(4) as i64;
            audit.alive_actors = dice.roll(3) as i64;
            audit.registry_size = dice.roll(2) as i64;
            audit.into()
        }
        1 | 2 => {
            let target = *dice.pick(&[None, Some("shop:0"), Some("shop:1"), Some("x")]);
            let message = *dice.pick(&["Order", "Bill"]);
            DeadLetter::new("shop", target, message, Json::empty_object(), 1_795_404_290.0).into()
        }
        _ => {
            let event_type = *dice.pick(&["ActorStarted", "ActorRestarted", "ActorCrashed", "ActorCrashed"]);
            let error = *dice.pick(&["null", "null", "\"E: 1\"", "\"E: 2\"", "\"F: 1\"", "\"\""]);
            let reason = *dice.pick(&["null", "\"Order\"", "\"E: 1\""]);
            let payload = Json::parse(format!(r#"{{"error": {error}, "reason": {reason}}}"#)).unwrap();
            Event::new("shop", address, event_type, payload, 1_795_404_290.0).into()
        }
    }
}

/// Rows in the form in which answers are compared: NULL, numbers, texts; truth is 1 or 0.
pub(super) type Rows = Vec<Vec<Value>>;

pub(super) fn ask(store: &Store, runtime: &tokio::runtime::Runtime, sql: &str) -> Result<Rows, String> {
    ask_with(store, runtime, sql, QueryOptions::new())
}

pub(super) fn ask_with(
    store: &Store,
    runtime: &tokio::runtime::Runtime,
    sql: &str,
    options: QueryOptions,
) -> Result<Rows, String> {
    let asked = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let answer = store.sql_with(sql, options).await?;
            answer.collect().await
        })
    });
    let batches = std::panic::catch_unwind(asked).map_err(|_| "a panic".to_owned())?;
    let batches = batches.map_err(|error| error.to_string())?;
    Ok(batches.iter().flat_map(rows).collect())
}

fn rows(batch: &RecordBatch) -> Rows {
    let columns: Vec<Vec<Value>> = batch.columns().iter().map(|column| values(column)).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

fn values(column: &dyn Array) -> Vec<Value> {
    use arrow::array::AsArray;
    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Float64Type, Int64Type};
    let count = column.len();
    let or_null =
        |row: usize, value: &dyn Fn() -> Value| if column.is_null(row) { Value::Null } else { value() };
    match column.data_type() {
        DataType::Null => vec![Value::Null; count],
        DataType::Boolean => {
            let column = column.as_boolean();
            (0..count).map(|row| or_null(row, &|| json!(i64::from(column.value(row))))).collect()
        }
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            let wide = cast(column, &DataType::Float64).unwrap();
            let wide = wide.as_primitive::<Float64Type>();
            (0..count).map(|row| or_null(row, &|| json!(wide.value(row)))).collect()
        }
        kind if kind.is_integer() => {
            let wide = cast(column, &DataType::Int64).unwrap();
            let wide = wide.as_primitive::<Int64Type>();
            (0..count).map(|row| or_null(row, &|| json!(wide.value(row)))).collect()
        }
        _ => {
            let texts = cast(column, &DataType::Utf8).unwrap();
            let texts = texts.as_string::<i32>();
            (0..count).map(|row| or_null(row, &|| json!(texts.value(row)))).collect()
        }
    }
}
