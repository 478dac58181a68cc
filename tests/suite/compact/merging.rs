//! The same facts in the same order, and the same answers.

use ostracon::disk::Disk;
use ostracon::{CompactOptions, Event, Json, Kind, PersistenceBackend, Store};

use super::{
    Clock, assert_clean, assert_sorted, assert_swept, facts, facts_at, noisy, segments, support,
    tree_without_lock, written, written_with,
};

const QUESTIONS: [&str; 4] = [
    "SELECT count(*) + sum(seq) FROM events",
    "SELECT count(DISTINCT payload->>'reason') FROM events",
    "SELECT sum(total_actors) FROM audits WHERE seq > 20",
    "SELECT count(*) FROM dead_letters WHERE at > '2026-11-23'",
];

#[test]
fn what_three_writers_wrote_becomes_one_segment_of_each_kind() {
    let folder = support::scratch();
    written(folder.path(), 3, 4, 40);
    let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
    let before = facts(&store);
    let answers = QUESTIONS.map(|sql| support::number(&store, sql));
    // Twelve flushes, and what two writers had left when they closed.
    assert_eq!(segments(&store, Kind::Event), 14);

    let report = store.compact(CompactOptions::new()).unwrap();

    assert_eq!((report.before.segments, report.after.segments), (42, 3));
    assert_eq!((report.segments_removed, report.segments_added), (42, 3));
    assert_eq!(report.before.facts, before.len() as u64);
    assert_eq!(
        (report.after.facts, report.after.fact_bytes),
        (report.before.facts, report.before.fact_bytes)
    );
    assert!(report.after.bytes < report.before.bytes / 4, "{report:?}");
    assert_eq!(report.dropped, []);
    assert_eq!((report.files_removed, report.files_waiting), (42, 0));
    assert_eq!(report.commit, Some(42 / 3 + 1));
    for kind in Kind::ALL {
        assert_eq!(segments(&store, kind), 1);
    }
    assert_eq!(facts(&store), before);
    assert_eq!(facts_at(folder.path()), before);
    assert_eq!(QUESTIONS.map(|sql| support::number(&store, sql)), answers);
    assert_sorted(folder.path());
    assert_swept(folder.path());
    assert_clean(folder.path(), &Disk::new());
    // The size of each fact is known, whatever segment it is in.
    let bytes: u64 = before.iter().map(|(_, line)| line.len() as u64).sum();
    assert_eq!(report.after.fact_bytes, bytes);
    assert_eq!((store.metrics().compactions, store.metrics().compaction_errors), (1, 0));
}

#[test]
fn a_second_compaction_has_nothing_to_do() {
    for target in [250_000, 600_000, 128 << 20] {
        let folder = support::scratch();
        written_with(folder.path(), 2, 6, 400, noisy);
        let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
        let options = || CompactOptions::new().target_bytes(target);
        assert!(store.compact(options()).unwrap().commit.is_some());
        let tree = tree_without_lock(folder.path());
        let report = store.compact(options()).unwrap();
        assert_eq!(report.commit, None, "{target}: {report:?}");
        assert_eq!(report.before, report.after);
        assert_eq!(tree_without_lock(folder.path()), tree, "{target}");
    }
}

#[test]
fn large_segments_are_left_alone_and_new_small_ones_merged() {
    let folder = support::scratch();
    written_with(folder.path(), 1, 6, 300, noisy);
    let store = Store::open(folder.path()).unwrap();
    let options = || CompactOptions::new().target_bytes(150_000);
    assert!(store.compact(options()).unwrap().segments_added > 3);
    let kept = segments(&store, Kind::Event);
    for n in 0..6 {
        store.record(support::crash(1_000_000 + n)).unwrap();
        store.flush().unwrap();
    }
    let before = facts(&store);
    let report = store.compact(options()).unwrap();
    // At most one small one was there before.
    assert!(report.segments_removed <= 7, "{report:?}");
    assert_eq!(report.segments_added, 1);
    assert!(segments(&store, Kind::Event) <= kept + 1);
    assert_eq!(facts(&store), before);
}

#[test]
fn only_the_kind_that_was_asked_for_is_compacted() {
    let folder = support::scratch();
    written(folder.path(), 2, 3, 20);
    let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
    let report = store.compact(CompactOptions::new().kind(Kind::Audit)).unwrap();
    assert_eq!((report.before.segments, report.after.segments), (7, 1));
    let left = Kind::ALL.map(|kind| segments(&store, kind));
    assert_eq!(left, [7, 1, 7]);
}

#[test]
fn what_this_process_has_not_flushed_is_compacted_too() {
    let folder = support::scratch();
    let store = Store::open(folder.path()).unwrap();
    for n in 0..9 {
        store.record(support::crash(n)).unwrap();
        if n < 5 {
            store.flush().unwrap();
        }
    }
    let before = facts(&store);
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!((report.before.facts, report.after.facts, report.after.segments), (9, 9, 1));
    assert_eq!(facts(&store), before);
    // And the store goes on.
    store.record(support::crash(9)).unwrap();
    assert_eq!(facts(&store).len(), 10);
}

#[test]
fn the_backends_contract_has_a_report_of_its_own() {
    let folder = support::scratch();
    written(folder.path(), 1, 3, 10);
    let store = Store::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = runtime.block_on(PersistenceBackend::compact(&store)).unwrap();
    assert_eq!((report.backend, report.before_records, report.after_records), ("ostracon", 30, 30));
    assert!(report.after_bytes < report.before_bytes);
}

#[test]
fn an_import_beside_a_writer_is_merged_in_order() {
    let folder = support::scratch();
    let clock = written(folder.path(), 2, 2, 50);
    let store = clock.builder().open(folder.path()).unwrap();
    let lines: String = (0..500).map(|n| support::any_fact(5000 + n).to_line() + "\n").collect();
    store.import(lines.as_bytes(), ostracon::Import::named("more")).unwrap();
    store.record(support::crash(1)).unwrap();
    store.flush().unwrap();
    let before = facts(&store);
    store.compact(CompactOptions::new().target_bytes(30_000)).unwrap();
    assert_eq!(facts(&store), before);
    assert_sorted(folder.path());
}

/// Facts so large that a batch has few of them, beside tiny ones.
#[test]
fn large_facts_and_odd_ones_stay_as_they_are() {
    let folder = support::scratch();
    written_with(folder.path(), 2, 3, 12, |n| {
        let text = "x\u{1F600}\\\"".repeat(if n % 5 == 0 { 20_000 } else { n as usize % 3 });
        let payload =
            Json::parse(format!("{{\"n\": {n}, \"text\": {}}}", Json::string(&text).as_str())).unwrap();
        let seconds = [f64::NAN, 1e300, -0.0, 12.5, 1_795_404_290.4002798][n as usize % 5];
        let mut event = Event::new("s", format!("s:{n}"), "Odd", payload, seconds);
        event.extra = (n % 4 == 0).then(|| Json::parse("{\"node\": [1, null]}").unwrap());
        event.into()
    });
    let before = facts_at(folder.path());
    let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!(facts_at(folder.path()), before);
    let bytes: u64 = before.iter().map(|(_, line)| line.len() as u64).sum();
    assert_eq!(report.after.fact_bytes, bytes);
}

/// Where one input ends up in several segments, each is told the sizes of its own facts.
#[test]
fn every_segment_is_told_the_sizes_of_its_own_facts() {
    for (writers, target) in [(1, 60_000), (2, 60_000), (3, 80_000), (5, 100_000)] {
        let folder = support::scratch();
        written_with(folder.path(), writers, 12_usize.div_ceil(writers), 150, noisy);
        let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
        let before = facts(&store);
        let report = store.compact(CompactOptions::new().target_bytes(target)).unwrap();
        assert!(report.segments_added > 3, "{writers}: {report:?}");
        assert_eq!(facts(&store), before);
        assert_sorted(folder.path());
        for kind in Kind::ALL {
            let sql = format!(
                "SELECT count(*) FROM store.segments WHERE kind = '{kind}' AND (rows < 1 OR fact_bytes < rows * 60)"
            );
            assert_eq!(support::number(&store, &sql), 0);
            let of_kind = format!(r#"{{"kind": "{}""#, kind.tag());
            let bytes: usize = before
                .iter()
                .filter(|(_, line)| line.starts_with(&of_kind))
                .map(|(_, line)| line.len())
                .sum();
            let sql = format!("SELECT sum(fact_bytes) FROM store.segments WHERE kind = '{kind}'");
            assert_eq!(support::number(&store, &sql), bytes as i64);
        }
    }
}

#[test]
fn more_streams_than_may_be_open_at_once_are_merged_in_rounds() {
    let folder = support::scratch();
    let clock = Clock::new();
    let stores: Vec<_> = (0..11).map(|_| clock.builder().open(folder.path()).unwrap()).collect();
    for n in 0..40 {
        for (writer, store) in (0..).zip(&stores) {
            store.record(support::any_fact(writer * 40 + n)).unwrap();
        }
    }
    for store in stores {
        store.close().unwrap();
    }
    let before = facts_at(folder.path());
    let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
    let report = store.compact(CompactOptions::new().open_segments(3)).unwrap();
    assert_eq!((report.before.segments, report.after.segments), (33, 3));
    assert_eq!(facts(&store), before);
    assert_sorted(folder.path());
    assert_swept(folder.path());
    assert_clean(folder.path(), &Disk::new());
    assert_eq!(store.compact(CompactOptions::new().open_segments(3)).unwrap().commit, None);
}

#[test]
fn progress_is_told_from_nothing_to_all() {
    let folder = support::scratch();
    written(folder.path(), 2, 3, 600);
    let store = Store::builder().access(ostracon::Access::Maintain).open(folder.path()).unwrap();
    let mut told = Vec::new();
    store
        .compact(CompactOptions::new().on_progress(|progress| told.push((progress.done, progress.all))))
        .unwrap();
    assert!(!told.is_empty());
    assert!(told.iter().all(|(done, all)| done <= all), "{told:?}");
    assert_eq!(told.last(), Some(&(3600, 3600)));
}
