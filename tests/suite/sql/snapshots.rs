//! What a query sees: the store at one moment, from its first row to its last.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use futures::StreamExt;
use ostracon::Store;

use super::{column, event, rows, run, text};
use crate::support::crash;

const COUNT: &str = "SELECT count(*), max(seq) FROM events";

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    (folder, store)
}

fn record(store: &Store, facts: usize) {
    for n in 0..facts {
        store.record(event("ActorCrashed", &format!(r#"{{"error": "E: {n}"}}"#), n as f64)).unwrap();
    }
}

#[test]
fn an_answer_made_before_more_facts_came_does_not_know_of_them() {
    let (_folder, store) = store();
    record(&store, 10);
    store.flush().unwrap();
    record(&store, 5);
    run(async {
        let before = store.sql(COUNT).await.unwrap();
        let all_before = store.sql("SELECT seq FROM events ORDER BY seq").await.unwrap();
        record(&store, 7);
        let between = store.sql(COUNT).await.unwrap();
        store.flush().unwrap();
        record(&store, 3);
        let after = store.sql(COUNT).await.unwrap();
        // Collected in another order than they were asked in.
        assert_eq!(text(&after.collect().await.unwrap()), [["25", "25"]]);
        assert_eq!(text(&before.clone().collect().await.unwrap()), [["15", "15"]]);
        assert_eq!(text(&between.collect().await.unwrap()), [["22", "22"]]);
        let seqs = text(&all_before.collect().await.unwrap()).concat();
        assert_eq!(seqs, (1..=15).map(|seq| seq.to_string()).collect::<Vec<_>>());
        // Again, and still the same.
        assert_eq!(text(&before.collect().await.unwrap()), [["15", "15"]]);
    });
}

/// The journal file that a reader's tail is in is removed by the flush of its writer.
#[test]
fn a_reader_keeps_a_tail_whose_journal_is_gone() {
    let (folder, store) = store();
    record(&store, 10);
    let reader = Store::builder().access(ostracon::Access::Read).open(folder.path().join("facts")).unwrap();
    run(async {
        let before = reader.sql("SELECT count(*), min(seq), max(seq) FROM crashes").await.unwrap();
        store.flush().unwrap();
        record(&store, 4);
        store.close().unwrap();
        assert_eq!(text(&before.collect().await.unwrap()), [["10", "1", "10"]]);
    });
    assert_eq!(rows(&reader, COUNT), [["14", "14"]]);
}

#[test]
fn a_stream_half_read_does_not_notice_a_flush() {
    let (_folder, store) = store();
    for _ in 0..12 {
        record(&store, 2_000);
        store.flush().unwrap();
    }
    record(&store, 9_000);
    run(async {
        let answer = store.sql("SELECT seq, error FROM events").await.unwrap();
        let mut stream = answer.stream().await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        let mut batches = vec![first];
        let mut turn = 0;
        loop {
            if turn < 5 {
                record(&store, 100);
                store.flush().unwrap();
                turn += 1;
            }
            match stream.next().await {
                Some(batch) => batches.push(batch.unwrap()),
                None => break,
            }
        }
        assert!(turn >= 3 && batches.len() >= 3);
        let mut seqs: Vec<u64> = text(&batches).into_iter().map(|row| row[0].parse().unwrap()).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=33_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_reader_and_the_writer_see_the_same_while_facts_are_recorded_and_flushed() {
    let (folder, writer) = store();
    let readers: Vec<_> = (0..2)
        .map(|_| Store::builder().access(ostracon::Access::Read).open(folder.path().join("facts")).unwrap())
        .collect();
    for turn in 1..=30_u64 {
        writer.record(crash(turn)).unwrap();
        if turn % 4 == 0 {
            writer.flush().unwrap();
        }
        for store in readers.iter().chain([&writer]) {
            let found = rows(store, "SELECT count(*), count(DISTINCT seq), max(seq) FROM events");
            assert_eq!(found, [[turn.to_string(), turn.to_string(), turn.to_string()]]);
        }
    }
}

/// While a writer flushes as fast as it can, no query sees a fact twice or a gap.
#[test]
fn no_query_sees_a_fact_twice_or_a_gap_while_a_writer_flushes() {
    let (folder, writer) = store();
    let reader = Store::builder().access(ostracon::Access::Read).open(folder.path().join("facts")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                record(&writer, 1 + n % 5);
                writer.flush().unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut least = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            for store in [&reader, &writer] {
                let sql = "SELECT count(*), count(DISTINCT seq), coalesce(max(seq), 0) FROM (SELECT seq FROM events WHERE seq > 0)";
                let found: Vec<u64> =
                    rows(store, sql)[0].iter().map(|number| number.parse().unwrap()).collect();
                assert!(found[0] == found[1] && found[0] == found[2], "{found:?}");
                assert!(found[0] >= least, "{} after {least}", found[0]);
                least = found[0];
            }
        }
    });
}

fn head(store: &Store) -> PathBuf {
    let folder = std::fs::read_dir(store.path().join("ledger")).unwrap();
    let commits = folder.map(|entry| entry.unwrap().path());
    commits.filter(|path| path.extension().is_some_and(|extension| extension == "json")).max().unwrap()
}

fn is_pinned(commit: &Path) -> bool {
    // Closing the file gives the lock back.
    File::open(commit).unwrap().try_lock().is_err()
}

#[test]
fn a_commit_is_pinned_while_a_query_reads_from_it() {
    let (_folder, store) = store();
    record(&store, 3_000);
    store.flush().unwrap();
    let commit = head(&store);
    assert!(!is_pinned(&commit));
    run(async {
        let answer = store.sql("SELECT * FROM events").await.unwrap();
        assert!(is_pinned(&commit), "an answer that may be collected later needs its files, too");
        let mut stream = answer.stream().await.unwrap();
        assert!(is_pinned(&commit));
        stream.next().await.unwrap().unwrap();
        record(&store, 10);
        store.flush().unwrap();
        let newer = head(&store);
        assert_ne!(newer, commit);
        assert!(is_pinned(&commit), "the stream is not at its end");
        assert!(!is_pinned(&newer), "nobody reads {}", newer.display());
        drop(stream);
        assert!(!is_pinned(&commit), "nobody reads any more");
    });
}

/// The threads that compute a query give up its pin when they hear that it ended.
fn is_soon_free(commit: &Path) -> bool {
    (0..200).any(|_| {
        let is_free = !is_pinned(commit);
        if !is_free {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        is_free
    })
}

#[test]
fn a_pin_is_given_back_however_a_query_ends() {
    let (_folder, store) = store();
    record(&store, 100);
    store.flush().unwrap();
    let commit = head(&store);
    assert_eq!(column(&store, "SELECT count(*) FROM crashes WHERE seq > 7"), ["93"]);
    assert!(!is_pinned(&commit), "after an answer");
    super::failure(&store, "SELECT CAST(error AS INT) FROM events");
    assert!(is_soon_free(&commit), "after a failure");
    super::failure(&store, "DROP TABLE events");
    assert!(!is_pinned(&commit), "after a refusal");
    let options = ostracon::QueryOptions::new().timeout(std::time::Duration::from_millis(50));
    super::try_rows(&store, "SELECT sum(a.seq) FROM events a, generate_series(1, 1000000000)", options)
        .unwrap_err();
    assert!(is_soon_free(&commit), "after a timeout");
    run(async {
        let batches: Vec<RecordBatch> =
            store.sql("SELECT * FROM events").await.unwrap().collect().await.unwrap();
        assert!(!is_pinned(&commit), "rows that were handed out need no file");
        drop(batches);
    });
}
