//! What a program gets of an answer: batches, rows, values, and a way to stop it.

use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch};
use futures::StreamExt;
use ostracon::{Answer, ErrorKind, FromValue, QueryOptions, Store, UnixNanos, Value};

use super::{run, ten_crashes as store};

#[track_caller]
fn one<T: FromValue>(store: &Store, expression: &str) -> Result<T, ErrorKind> {
    let sql = format!("SELECT {expression} AS value");
    let rows = run(async { store.sql(&sql).await?.rows().await });
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))[0].get("value").map_err(|error| error.kind())
}

#[test]
fn a_value_is_read_as_what_it_is_and_as_nothing_else() {
    let (_folder, store) = store();
    assert_eq!(one::<i64>(&store, "9223372036854775807"), Ok(i64::MAX));
    assert_eq!(one::<u64>(&store, "18446744073709551615"), Ok(u64::MAX));
    assert_eq!(one::<u8>(&store, "255"), Ok(255));
    assert_eq!(one::<i32>(&store, "7::decimal(10, 0)"), Ok(7));
    assert_eq!(one::<f64>(&store, "0.5"), Ok(0.5));
    assert_eq!(one::<f64>(&store, "5"), Ok(5.0));
    assert_eq!(one::<String>(&store, "'ß'"), Ok("ß".to_owned()));
    assert_eq!(one::<bool>(&store, "1 = 1"), Ok(true));
    assert_eq!(one::<Option<i64>>(&store, "NULL"), Ok(None));
    assert_eq!(one::<Option<i64>>(&store, "5"), Ok(Some(5)));
    let at = UnixNanos::new(1_795_404_290_000_000_000);
    assert_eq!(one::<UnixNanos>(&store, "TIMESTAMP '2026-11-23T03:24:50Z'"), Ok(at));
    for (expression, wrong) in [
        ("5.5", one::<i64>(&store, "5.5").map(drop)),
        ("256", one::<u8>(&store, "256").map(drop)),
        ("-1", one::<u64>(&store, "-1").map(drop)),
        ("NULL", one::<String>(&store, "NULL").map(drop)),
        ("5", one::<String>(&store, "5").map(drop)),
        ("'5'", one::<i64>(&store, "'5'").map(drop)),
        ("1", one::<bool>(&store, "1").map(drop)),
        ("5", one::<UnixNanos>(&store, "5").map(drop)),
    ] {
        assert_eq!(wrong, Err(ErrorKind::InvalidArgument), "{expression}");
    }
}

#[test]
fn columns_are_named_or_counted() {
    let (_folder, store) = store();
    let rows = run(async {
        store.sql("SELECT seq, error FROM events ORDER BY seq").await.unwrap().rows().await.unwrap()
    });
    assert_eq!(rows.len(), 10);
    assert_eq!(rows[9].get::<String>("error").unwrap(), "E: 9");
    assert_eq!(rows[9].get::<String>(1).unwrap(), "E: 9");
    assert_eq!(rows[0].value("seq").unwrap(), rows[0].value(0).unwrap());
    let error = rows[0].get::<String>("eror").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("seq, error"), "{error}");
    assert!(rows[0].get::<String>(2).is_err());
}

#[test]
fn a_parameter_is_a_value_of_any_type() {
    let (_folder, store) = store();
    let decimals: ArrayRef = std::sync::Arc::new(
        Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(10, 2).unwrap(),
    );
    for (value, shown) in [
        (Value::from(5), "5"),
        (Value::from("it's"), "it's"),
        (Value::from(true), "true"),
        (Value::from(UnixNanos::new(0)), "1970-01-01T00:00:00Z"),
        (Value::from_array(decimals.as_ref(), 0).unwrap(), "123.45"),
        (Value::from_array(decimals.as_ref(), 1).unwrap(), super::NULL),
        (Value::NULL, super::NULL),
        (Value::from(None::<&str>), super::NULL),
    ] {
        let options = QueryOptions::new().param("x", value.clone());
        let rows = super::try_rows(&store, "SELECT $x AS x", options).unwrap();
        assert_eq!(rows, [[shown]], "{value:?}");
        let array = value.to_array().unwrap();
        assert_eq!(Value::from_array(array.as_ref(), 0).unwrap().is_null(), value.is_null());
    }
    assert_eq!(Value::from_array(decimals.as_ref(), 2).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 10000000000) a WHERE a.value % 7 = 9";

#[test]
fn a_query_is_cancelled_from_another_thread() {
    let (_folder, store) = store();
    run(async {
        let mut stream = store.sql(ENDLESS).await.unwrap().stream().await.unwrap();
        let (canceller, monitor) = (stream.canceller(), stream.monitor());
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            canceller.cancel();
            canceller.cancel();
        });
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(stream.next().await.is_none(), "after its error a stream is over");
        thread.join().unwrap();
        assert!(!monitor.steps().is_empty());
    });
}

#[test]
fn an_answer_that_has_ended_is_not_changed_by_being_cancelled() {
    let (_folder, store) = store();
    run(async {
        let mut stream = store.sql("SELECT 42").await.unwrap().stream().await.unwrap();
        let canceller = stream.canceller();
        while let Some(batch) = stream.next().await {
            batch.unwrap();
        }
        canceller.cancel();
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_monitor_tells_how_far_a_query_has_come() {
    let (_folder, store) = store();
    run(async {
        let mut stream = store.sql("SELECT seq FROM events").await.unwrap().stream().await.unwrap();
        let monitor = stream.monitor();
        assert_eq!(monitor.rows_to_scan(), Some(10));
        let mut rows = 0;
        while let Some(batch) = stream.next().await.transpose().unwrap() {
            rows += batch.num_rows() as u64;
        }
        assert_eq!((rows, monitor.rows_scanned()), (10, 10));
        let steps = monitor.steps();
        assert_eq!(steps[0].depth, 0);
        assert!(steps.iter().any(|step| step.description.contains(".parquet")), "{steps:#?}");
    });
}

#[test]
fn an_answer_that_is_larger_than_the_query_memory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder().query_memory_bytes(4 << 20).open(folder.path().join("facts")).unwrap();
    run(async {
        let sql = "SELECT value, repeat('x', 100) FROM generate_series(1, 1000000)";
        let error = store.sql(sql).await.unwrap().collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        // Batch by batch it needs no such room.
        let mut stream = store.sql(sql).await.unwrap().stream().await.unwrap();
        let mut rows = 0;
        while let Some(batch) = stream.next().await.transpose().unwrap() {
            rows += batch.num_rows();
        }
        assert_eq!(rows, 1_000_000);
    });
}

#[test]
fn a_data_frame_made_of_an_answer_is_an_answer() {
    let (_folder, store) = store();
    let batches: Vec<RecordBatch> = run(async {
        let frame = store.sql("SELECT seq FROM events ORDER BY seq").await.unwrap().into_dataframe();
        Answer::from(frame.limit(2, Some(3)).unwrap()).collect().await.unwrap()
    });
    let seqs: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            let seqs = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            (0..seqs.len()).map(|row| seqs.value(row)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(seqs, [3, 4, 5]);
}
