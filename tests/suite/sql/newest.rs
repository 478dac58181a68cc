//! The newest facts, without reading the old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, collect};
use ostracon::{Event, Json, Store, UnixNanos};

use super::model::{SECOND, START};
use super::{Rows, column, rows, run, text};

const SEGMENTS: usize = 24;
const ROWS: usize = 40;

/// Whose clock the facts' timestamps come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clock {
    Boot,
    Epoch,
    /// Old facts, all recorded at one instant, as an import does it.
    Import,
}

/// A store of many segments, each of a minute, four facts at a time; with or without a tail.
fn store(clock: Clock, tail: bool) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(START));
    let machine = {
        let now = Arc::clone(&now);
        move || UnixNanos::new(now.load(Ordering::SeqCst))
    };
    let store = Store::builder().clock(machine).open(folder.path().join("facts")).unwrap();
    for segment in 0..SEGMENTS + usize::from(tail) {
        for n in 0..ROWS {
            if n % 4 == 0 && clock != Clock::Import {
                now.fetch_add(SECOND, Ordering::SeqCst);
            }
            let seconds = match clock {
                Clock::Boot => (segment * 60 + n) as f64,
                Clock::Import => 1.7e9 + (segment * 60 + n) as f64,
                Clock::Epoch => now.load(Ordering::SeqCst) as f64 / 1e9 - 0.5,
            };
            let kind = if n % 10 == 3 { "ActorCrashed" } else { "ActorStarted" };
            let payload = Json::parse(format!(r#"{{"error": "E{segment}: {n}"}}"#)).unwrap();
            store.record(Event::new("shop", format!("shop:{}", n % 7), kind, payload, seconds)).unwrap();
        }
        if segment < SEGMENTS {
            store.flush().unwrap();
        }
        if clock != Clock::Import {
            now.fetch_add(60 * SECOND, Ordering::SeqCst);
        }
    }
    (folder, store)
}

/// The answer, and how many rows and segments were read for it.
#[track_caller]
fn read(store: &Store, sql: &str) -> (Rows, usize, usize) {
    run(async {
        let answer = store.sql(sql).await.unwrap().into_dataframe();
        let context = Arc::new(answer.task_ctx());
        let plan = answer.create_physical_plan().await.unwrap();
        let batches = collect(Arc::clone(&plan), context).await.unwrap();
        let mut read = (0, 0);
        scans(&plan, &mut read);
        (text(&batches), read.0, read.1)
    })
}

fn scans(plan: &Arc<dyn ExecutionPlan>, read: &mut (usize, usize)) {
    if plan.is::<DataSourceExec>() {
        let metrics = plan.metrics().unwrap();
        read.0 += metrics.output_rows().unwrap_or(0);
        for metric in metrics.iter() {
            if let MetricValue::PruningMetrics { name, pruning_metrics } = metric.value()
                && name == "row_groups_pruned_statistics"
            {
                // Each segment here has one row group, of which nobody hears unless it is opened.
                read.1 += pruning_metrics.matched();
            }
        }
    }
    for child in plan.children() {
        scans(child, read);
    }
}

#[test]
fn the_newest_rows_need_only_the_newest_segments() {
    for (clock, tail) in
        [(Clock::Boot, true), (Clock::Epoch, true), (Clock::Boot, false), (Clock::Epoch, false)]
    {
        let (_folder, store) = store(clock, tail);
        for key in ["recorded_at", "seq", "timestamp", "at"] {
            let sql = format!("SELECT seq, {key} AS key FROM events ORDER BY {key} DESC, seq DESC LIMIT 5");
            let (found, rows, segments) = read(&store, &sql);
            let last = (SEGMENTS + usize::from(tail)) * ROWS;
            let wanted: Vec<String> = (0..5).map(|n| (last - n).to_string()).collect();
            assert_eq!(
                found.iter().map(|row| row[0].clone()).collect::<Vec<_>>(),
                wanted,
                "{clock:?} {tail} {sql}"
            );
            assert!(
                segments <= SEGMENTS / 2 && rows <= SEGMENTS / 2 * ROWS,
                "{clock:?} {tail} {sql}: {rows} rows, {segments} segments"
            );
        }
    }
}

#[test]
fn the_newest_imported_rows_need_only_the_newest_segments() {
    let (_folder, store) = store(Clock::Import, false);
    for (sql, wanted) in [
        ("SELECT seq FROM events ORDER BY at DESC LIMIT 2", ["960", "959"]),
        ("SELECT seq FROM events ORDER BY at LIMIT 2", ["1", "2"]),
    ] {
        let (found, rows, segments) = read(&store, sql);
        assert_eq!(found.concat(), wanted, "{sql}");
        assert!(segments <= SEGMENTS / 2, "{sql}: {rows} rows, {segments} segments");
    }
}

#[test]
fn the_oldest_rows_need_only_the_oldest_segments() {
    let (_folder, store) = store(Clock::Epoch, true);
    for key in ["recorded_at", "seq", "timestamp", "at"] {
        let sql = format!("SELECT seq FROM events ORDER BY {key}, seq LIMIT 5");
        let (found, rows, segments) = read(&store, &sql);
        assert_eq!(found, [["1"], ["2"], ["3"], ["4"], ["5"]], "{sql}");
        assert!(
            segments <= SEGMENTS / 2 && rows <= SEGMENTS / 2 * ROWS,
            "{sql}: {rows} rows, {segments} segments"
        );
    }
}

#[test]
fn the_newest_crashes_need_only_the_newest_segments() {
    // Without the tail's rows, a filter gathers those of all these tiny segments before it gives any.
    let (_folder, store) = store(Clock::Boot, true);
    for sql in [
        "SELECT seq FROM crashes ORDER BY recorded_at DESC LIMIT 3",
        "SELECT seq, at, error FROM crashes ORDER BY recorded_at DESC LIMIT 3",
        "SELECT seq, at, payload->>'error' AS e FROM events WHERE event_type = 'ActorCrashed' ORDER BY timestamp DESC LIMIT 3",
        "SELECT seq, error FROM crashes ORDER BY at DESC LIMIT 3",
        "SELECT seq, at AS t FROM crashes WHERE actor_address <> '' ORDER BY t DESC, seq DESC LIMIT 3",
        "SELECT * FROM (SELECT seq AS place, recorded_at AS t, error FROM crashes) ORDER BY t DESC LIMIT 3",
    ] {
        let (found, rows, segments) = read(&store, sql);
        assert_eq!(found.len(), 3);
        assert!(
            segments <= SEGMENTS / 2 && rows <= SEGMENTS / 2 * ROWS,
            "{sql}: {rows} rows, {segments} segments"
        );
    }
}

#[test]
fn a_scan_that_filters_begins_with_the_newest_segment() {
    let (_folder, store) = store(Clock::Epoch, false);
    for key in ["recorded_at", "at"] {
        let sql =
            format!("SELECT actor_address FROM crashes WHERE system_id = 'shop' ORDER BY {key} DESC LIMIT 3");
        let plan = rows(&store, &format!("EXPLAIN {sql}"));
        let plan = plan.iter().flatten().find(|text| text.contains("DataSourceExec")).unwrap();
        assert!(plan.contains("reverse_row_groups=true"), "{plan}");
    }
}

/// Where many rows share the last place, any of them may be in the answer, but none that is worse.
#[test]
fn ties_at_the_limit_are_as_good_as_any() {
    let (_folder, store) = store(Clock::Boot, true);
    for limit in [1, 4, 41, 5_000] {
        for key in ["recorded_at", "seq", "timestamp", "at"] {
            for direction in ["", " DESC"] {
                let mut all = column(&store, &format!("SELECT {key} FROM events ORDER BY {key}{direction}"));
                all.truncate(limit);
                let sql = format!("SELECT {key} FROM events ORDER BY {key}{direction} LIMIT {limit}");
                assert_eq!(column(&store, &sql), all, "{sql}");
            }
        }
    }
}

#[test]
fn an_offset_and_a_filter_do_not_lose_rows() {
    let (_folder, store) = store(Clock::Epoch, true);
    let last = (SEGMENTS + 1) * ROWS;
    let sql = "SELECT seq FROM events ORDER BY recorded_at DESC, seq DESC LIMIT 2 OFFSET 100";
    assert_eq!(column(&store, sql), [(last - 100).to_string(), (last - 101).to_string()]);
    let sql = "SELECT seq FROM events WHERE error LIKE 'E2:%' ORDER BY at DESC, seq DESC LIMIT 2";
    assert_eq!(column(&store, sql), ["120", "119"]);
    let sql = "SELECT count(*) FROM (SELECT seq FROM events ORDER BY at DESC LIMIT 100)";
    assert_eq!(rows(&store, sql), [["100"]]);
    let sql = "SELECT error FROM events WHERE actor_address = 'shop:1' ORDER BY seq DESC LIMIT 1";
    assert_eq!(column(&store, sql), ["E24: 36"]);
}
