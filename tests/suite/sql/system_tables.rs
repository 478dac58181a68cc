//! What the store says about itself, the views, and the functions of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ostracon::{Audit, DeadLetter, Event, Import, Json, Store, UnixNanos};

use super::model::{SECOND, START};
use super::{NULL, column, event, rows, strings};

struct Known {
    folder: tempfile::TempDir,
    store: Store,
    now: Arc<AtomicI64>,
}

impl Known {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(START));
        let store = Self::open(&folder, &now);
        Self { folder, store, now }
    }

    fn open(folder: &tempfile::TempDir, now: &Arc<AtomicI64>) -> Store {
        let now = Arc::clone(now);
        let clock = move || UnixNanos::new(now.load(Ordering::SeqCst));
        Store::builder().clock(clock).open(folder.path().join("facts")).unwrap()
    }

    fn tick(&self) {
        self.now.fetch_add(SECOND, Ordering::SeqCst);
    }

    fn record(&self, event_type: &str, address: &str, payload: &str) {
        self.tick();
        let payload = Json::parse(payload.to_owned()).unwrap();
        self.store
            .record(Event::new("shop", address.to_owned(), event_type.to_owned(), payload, 5.0))
            .unwrap();
    }
}

#[test]
fn segments_and_commits_and_streams_say_what_was_done() {
    let known = Known::new();
    let store = &known.store;
    assert_eq!(
        rows(store, "SELECT number, action, stream, parent FROM store.commits"),
        [["0", "create", NULL, ""]]
    );
    assert_eq!(rows(store, "SELECT * FROM store.segments"), Vec::<Vec<String>>::new());

    known.record("ActorStarted", "shop:1", "{}");
    known.record("ActorCrashed", "shop:1", r#"{"error": "E: 1"}"#);
    known.tick();
    store.record(Audit::new("shop", 7.0)).unwrap();
    store.flush().unwrap();
    let other = Known::open(&known.folder, &known.now);
    known.tick();
    other.record(DeadLetter::new("shop", None::<&str>, "Order", Json::null(), 1_795_404_290.25)).unwrap();
    other.flush().unwrap();
    let line = event("ActorStopped", "{}", 100.0);
    let line = ostracon::Fact::from(line).to_line() + "\n";
    let epoch = UnixNanos::new(START - 86_400 * SECOND);
    store.import(line.repeat(4).as_bytes(), Import::named("old.ndjson").epoch(epoch)).unwrap();
    known.record("ActorStarted", "shop:2", "{}");
    known.record("ActorStarted", "shop:3", "{}");

    let found = rows(
        store,
        "SELECT kind, rows, stream, first_seq, last_seq, first_recorded_at, last_recorded_at, first_at, last_at
         FROM store.segments ORDER BY stream, kind",
    );
    let wanted = [
        [
            "audits",
            "1",
            "1",
            "3",
            "3",
            "2026-11-23T08:00:03Z",
            "2026-11-23T08:00:03Z",
            "2026-11-23T08:00:03Z",
            "2026-11-23T08:00:03Z",
        ],
        [
            "events",
            "2",
            "1",
            "1",
            "2",
            "2026-11-23T08:00:01Z",
            "2026-11-23T08:00:02Z",
            "2026-11-23T08:00:01Z",
            "2026-11-23T08:00:02Z",
        ],
        [
            "dead_letters",
            "1",
            "2",
            "1",
            "1",
            "2026-11-23T08:00:04Z",
            "2026-11-23T08:00:04Z",
            "2026-11-23T03:24:50.250Z",
            "2026-11-23T03:24:50.250Z",
        ],
    ];
    assert_eq!(found[..3], wanted.map(|row| strings(&row)));
    assert_eq!(found[3][..5], ["events", "4", "3", "1", "4"]);
    assert_eq!(found[3][7..], ["2026-11-22T08:01:40Z", "2026-11-22T08:01:40Z"]);
    assert_eq!(found.len(), 4);

    // Size and digest are those of the files.
    for row in rows(store, "SELECT path, bytes, blake3, kind FROM store.segments") {
        let bytes = std::fs::read(store.path().join(&row[0])).unwrap();
        assert_eq!(bytes.len().to_string(), row[1]);
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), row[2]);
        assert!(row[0].starts_with(&format!("{}/", row[3])) && row[0].ends_with(".parquet"));
    }
    let fact_bytes = column(store, "SELECT fact_bytes FROM store.segments WHERE stream = 3");
    assert_eq!(fact_bytes, [(4 * (line.len() - 1)).to_string()]);

    let found = rows(
        store,
        "SELECT number, action, stream, first_seq, last_seq, segments_added, rows_added, imported_from
         FROM store.commits ORDER BY number",
    );
    let wanted = [
        ["0", "create", NULL, NULL, NULL, NULL, NULL, NULL],
        ["1", "flush", "1", "1", "3", "2", "3", NULL],
        ["2", "flush", "2", "1", "1", "1", "1", NULL],
        ["3", "flush", "3", "1", "4", "1", "4", "old.ndjson"],
    ];
    assert_eq!(found[..4], wanted.map(|row| strings(&row)));
    // Each names the digest of the one before.
    let parents = column(store, "SELECT parent FROM store.commits ORDER BY number");
    for (number, parent) in parents.iter().enumerate().skip(1) {
        let before = std::fs::read(store.path().join(format!("ledger/{:020}.json", number - 1))).unwrap();
        assert_eq!(blake3::hash(&before).to_hex().as_str(), parent);
    }
    assert_eq!(
        column(
            store,
            "SELECT bytes_added = (SELECT sum(bytes) FROM store.segments s WHERE s.stream = 1) FROM store.commits WHERE number = 1"
        ),
        ["true"]
    );

    let found = rows(
        store,
        "SELECT stream, committed_seq, last_seq, unflushed, last_recorded_at FROM store.streams ORDER BY stream",
    );
    let wanted = [["1", "3", "5", "2", "2026-11-23T08:00:06Z"], ["2", "1", "1", "0", "2026-11-23T08:00:04Z"]];
    assert_eq!(found[..2], wanted.map(|row| strings(&row)));
    assert_eq!(found[2][..4], ["3", "4", "4", "0"]);
    assert_eq!(column(store, "SELECT ended FROM store.streams ORDER BY stream")[..2], ["false", "false"]);
}

#[test]
fn a_reader_sees_the_unflushed_of_others_in_the_streams() {
    let known = Known::new();
    known.record("ActorStarted", "shop:1", "{}");
    known.record("ActorStarted", "shop:1", "{}");
    let reader =
        Store::builder().access(ostracon::Access::Read).open(known.folder.path().join("facts")).unwrap();
    let sql = "SELECT committed_seq, last_seq, unflushed, last_recorded_at FROM store.streams";
    assert_eq!(rows(&reader, sql), [["0", "2", "2", "2026-11-23T08:00:02Z"]]);
}

#[test]
fn metrics_are_those_of_the_asking_process() {
    let known = Known::new();
    let store = &known.store;
    known.record("ActorStarted", "shop:1", "{}");
    known.record("ActorStarted", "shop:1", "{}");
    store.flush().unwrap();
    let value = |name: &str| column(store, &format!("SELECT value FROM store.metrics WHERE name = '{name}'"));
    assert_eq!(value("records_written"), ["2"]);
    assert_eq!(value("segments_written"), ["1"]);
    assert_eq!(value("flushes"), ["1"]);
    assert_eq!(value("write_errors"), ["0"]);
    assert_eq!(value("queries"), ["5"]);
    let snapshot = store.metrics().counters();
    let names = column(store, "SELECT name FROM store.metrics");
    assert_eq!(names, snapshot.iter().map(|(name, ..)| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        column(store, "SELECT count(*) FROM store.metrics WHERE meaning <> '' AND value >= 0"),
        [names.len().to_string()]
    );
}

#[test]
fn system_tables_can_be_joined_and_filtered_like_others() {
    let known = Known::new();
    for n in 0..6 {
        known.record("ActorCrashed", "shop:1", &format!(r#"{{"error": "E: {n}"}}"#));
        if n % 2 == 1 {
            known.store.flush().unwrap();
        }
    }
    let sql = "SELECT s.first_seq, count(*) FROM events e JOIN store.segments s
        ON s.kind = 'events' AND e.stream = s.stream AND e.seq BETWEEN s.first_seq AND s.last_seq
        GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&known.store, sql), [["1", "2"], ["3", "2"], ["5", "2"]]);
    let sql = "SELECT path FROM store.segments WHERE last_recorded_at > '2026-11-23T08:00:05Z' LIMIT 1";
    assert_eq!(rows(&known.store, sql).len(), 1);
}

#[test]
fn views_give_crashes_restarts_and_actors() {
    let known = Known::new();
    known.record("ActorStarted", "shop:1", "{}");
    known.record("ActorStarted", "shop:2", "{}");
    known.record("ActorCrashed", "shop:1", r#"{"error": "KeyError: a", "reason": "x"}"#);
    known.store.flush().unwrap();
    known.record("ActorRestarted", "shop:1", r#"{"reason": "x"}"#);
    known.record("ActorCrashed", "shop:1", r#"{"error": "KeyError: b"}"#);
    known.record("Noted", "shop:1", "{}");
    known.record("ActorStopped", "shop:2", r#"{"reason": "done"}"#);
    known.record("Noted", "shop:3", "{}");
    let store = &known.store;
    assert_eq!(
        rows(store, "SELECT seq, error, error_type, reason FROM crashes ORDER BY seq"),
        [["3", "KeyError: a", "KeyError", "x"], ["5", "KeyError: b", "KeyError", NULL]]
    );
    assert_eq!(rows(store, "SELECT seq, reason FROM restarts"), [["4", "x"]]);
    let sql = "SELECT actor_address, first_seen, last_seen, starts, stops, restarts, crashes, last_event, last_error, state
        FROM actors ORDER BY actor_address";
    let wanted = [
        [
            "shop:1",
            "2026-11-23T08:00:01Z",
            "2026-11-23T08:00:06Z",
            "1",
            "0",
            "1",
            "2",
            "Noted",
            "KeyError: b",
            "crashed",
        ],
        [
            "shop:2",
            "2026-11-23T08:00:02Z",
            "2026-11-23T08:00:07Z",
            "1",
            "1",
            "0",
            "0",
            "ActorStopped",
            NULL,
            "stopped",
        ],
        [
            "shop:3",
            "2026-11-23T08:00:08Z",
            "2026-11-23T08:00:08Z",
            "0",
            "0",
            "0",
            "0",
            "Noted",
            NULL,
            "unknown",
        ],
    ];
    assert_eq!(rows(store, sql), wanted.map(|row| strings(&row)));
}

#[test]
fn errors_are_grouped_by_their_shape() {
    let known = Known::new();
    for n in 0..4 {
        known.record("ActorCrashed", "shop:1", &format!(r#"{{"error": "KeyError: missing field sku-{n}"}}"#));
        if n == 2 {
            known.store.flush().unwrap();
        }
    }
    known.record("ActorCrashed", "shop:1", r#"{"error": "OSError: [Errno 28] No space left on device"}"#);
    known.record("ActorCrashed", "shop:1", "{}");
    let store = &known.store;
    let wanted = [
        ["KeyError: missing field sku-<n>", "4"],
        ["OSError: [Errno 28] No space left on device", "1"],
        [NULL, "1"],
    ];
    for text in ["error", "payload->>'error'", "error::TEXT", "arrow_cast(error, 'LargeUtf8')", "error || ''"]
    {
        let sql =
            format!("SELECT error_group({text}) AS g, count(*) FROM crashes GROUP BY g ORDER BY 2 DESC, 1");
        assert_eq!(rows(store, &sql), wanted, "{sql}");
    }
    assert_eq!(column(store, "SELECT error_group('KeyError: missing field sku-123')"), [wanted[0][0]]);
    assert_eq!(column(store, "SELECT error_group(NULL)"), [NULL]);
    assert_eq!(
        column(
            store,
            "SELECT error_group(error_group(error)) = error_group(error) FROM events WHERE seq = 1"
        ),
        ["true"]
    );
    assert_eq!(super::failure(store, "SELECT error_group()").kind(), ostracon::ErrorKind::Query);
    assert_eq!(super::failure(store, "SELECT error_group('a', 'b')").kind(), ostracon::ErrorKind::Query);
}
