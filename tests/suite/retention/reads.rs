//! Reads give what is kept, and do no more work than that takes.

use std::time::Duration;

use datafusion::physical_plan::displayable;
use ostracon::{Cursor, Hold, Kind, RetentionLimits, RetentionPolicy, RetentionRule, Store};

use super::{Hand, by_recording, listed, segment_files, store_of_segments, support};

fn plan(store: &Store, sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plan = runtime.block_on(async {
        store.sql(sql).await.unwrap().into_dataframe().create_physical_plan().await.unwrap()
    });
    displayable(plan.as_ref()).indent(true).to_string()
}

fn keep(limits: RetentionLimits) -> RetentionPolicy {
    RetentionPolicy::new().store(limits)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All events that SQL, `list` and `after` give.
#[track_caller]
fn all(store: &Store) -> Vec<u64> {
    let listed = listed(store);
    let followed: Vec<_> =
        store.after(&Cursor::start()).unwrap().map(|fact| fact.unwrap().position.seq.get()).collect();
    assert_eq!(followed, listed);
    assert_eq!(support::number(store, "SELECT count(*) FROM events"), listed.len() as i64);
    let sum = "SELECT coalesce(sum(CAST(substring(error, 4) AS BIGINT) + 1), 0) FROM events";
    assert_eq!(support::number(store, sum), listed.iter().sum::<u64>() as i64);
    listed
}

#[test]
fn segments_that_are_too_old_as_a_whole_are_not_opened() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 5);
    for file in segment_files(&root).iter().take(3) {
        std::fs::remove_file(file).unwrap();
    }
    // The newest is of now, so events 36 to 55 are at most 19 seconds old.
    for limits in [
        by_recording().max_age(seconds(19)),
        RetentionLimits::new().max_age(seconds(19)),
        RetentionLimits::new().max_records(20),
    ] {
        assert_eq!(all(&hand.read(&root, keep(limits))), (36..=55).collect::<Vec<_>>());
    }
    let all = hand.read(&root, RetentionPolicy::new());
    assert!(all.list(Kind::Event, None, None).is_err(), "the files are really gone");
}

#[test]
fn a_rule_with_a_condition_leaves_whole_segments_alone_too() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 5);
    for file in segment_files(&root).iter().take(2) {
        std::fs::remove_file(file).unwrap();
    }
    let crashes = RetentionRule::new("crashes", by_recording().max_age(seconds(30)))
        .kind(Kind::Event)
        .predicate("event_type = 'ActorCrashed'");
    let policy = keep(by_recording().max_age(seconds(4))).rule(crashes);
    let wanted: Vec<u64> = (1..=55).filter(|seq| *seq > 50 || (*seq > 24 && (seq - 1) % 5 == 0)).collect();
    assert_eq!(all(&hand.read(&root, policy)), wanted);
}

#[test]
fn where_all_is_kept_a_query_is_planned_as_if_there_were_no_rules() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 3);
    let (free, ruled) = (
        hand.read(&root, RetentionPolicy::new()),
        hand.read(&root, keep(by_recording().max_age(seconds(1000)).max_records(1000))),
    );
    for sql in [
        "SELECT count(*), min(recorded_at), max(seq) FROM events",
        "SELECT actor_address FROM events WHERE error = 'x'",
        "SELECT seq FROM events ORDER BY recorded_at DESC LIMIT 3",
    ] {
        assert_eq!(plan(&ruled, sql), plan(&free, sql));
    }
}

#[test]
fn only_what_is_cut_through_is_filtered_and_only_there_more_columns_are_read() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 4);
    let store = hand.read(&root, keep(by_recording().max_age(seconds(19))));
    let plan = plan(&store, "SELECT actor_address FROM events");
    let scans: Vec<_> = plan.lines().filter(|line| line.contains("DataSourceExec")).collect();
    assert_eq!(scans.len(), 2, "{plan}");
    let of = |first: u64| {
        let name = format!("1-{first}-");
        scans.iter().find(|scan| scan.contains(&name)).map(|scan| scan.to_string())
    };
    // Events 26 to 45 are kept: segment 21 to 30 is cut through, 31 to 40 is not.
    assert_eq!((of(1), of(11)), (None, None), "{plan}");
    let (cut, whole) = (of(21).unwrap(), of(31).unwrap());
    assert!(cut.contains("projection=[actor_address, recorded_at, stream, seq]"), "{plan}");
    assert!(whole.contains("projection=[actor_address]") && !whole.contains("1-21-"), "{plan}");
    assert_eq!(plan.matches("RetainedExec").count(), 1, "{plan}");
}

#[test]
fn counts_come_from_statistics_where_no_segment_is_cut_through() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 3);
    let sql = "SELECT count(*), min(seq), max(seq), min(recorded_at) FROM events";
    // 15 seconds before now is the first event of the last segment.
    let store = hand.read(&root, keep(by_recording().max_age(seconds(14))));
    assert!(!plan(&store, sql).contains("Exec: file_groups"), "{}", plan(&store, sql));
    assert_eq!(support::number(&store, "SELECT count(*) FROM events"), 15);
    assert_eq!(support::number(&store, "SELECT min(seq) FROM events"), 21);
    let cut = hand.read(&root, keep(by_recording().max_age(seconds(12))));
    assert_eq!(support::number(&cut, "SELECT count(*) FROM events"), 13);
    assert_eq!(support::number(&cut, "SELECT min(seq) FROM events"), 23);
}

#[test]
fn facts_go_as_time_goes_by_and_nothing_has_to_be_opened_again() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 2);
    let store = hand.read(&root, keep(by_recording().max_age(seconds(10))));
    assert_eq!(listed(&store), (15..=25).collect::<Vec<_>>());
    hand.wait(7);
    assert_eq!(listed(&store), (22..=25).collect::<Vec<_>>());
    hand.wait(1000);
    assert_eq!(all(&store), [0; 0]);
    // Nothing was removed.
    hand.wait(-1007);
    assert_eq!(listed(&store), (15..=25).collect::<Vec<_>>());
}

#[test]
fn the_writer_hides_facts_like_everybody_else_as_new_ones_come() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let policy = keep(RetentionLimits::new().max_records(3));
    let store = hand.builder().retention(policy).open(&root).unwrap();
    for n in 0..20 {
        hand.wait(1);
        store.record(super::event(&hand, n)).unwrap();
        if n % 7 == 6 {
            store.flush().unwrap();
        }
        let first = (n as u64 + 1).saturating_sub(2).max(1);
        assert_eq!(all(&store), (first..=n as u64 + 1).collect::<Vec<_>>());
    }
}

#[test]
fn what_the_store_says_about_itself_is_about_all_that_is_there() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 2);
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(0)));
    assert_eq!(all(&store), [0; 0]);
    assert_eq!(store.summary().unwrap().of(Kind::Event).facts, 25);
    assert_eq!(support::number(&store, "SELECT sum(rows) FROM store.segments"), 20);
    assert_eq!(support::number(&store, "SELECT unflushed FROM store.streams"), 5);
}

#[test]
fn a_shipper_goes_on_from_its_cursor_over_what_is_gone() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 4);
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(12)));
    let after = |cursor: &str| -> Vec<u64> {
        let cursor: Cursor = cursor.parse().unwrap();
        store.after(&cursor).unwrap().map(|fact| fact.unwrap().position.seq.get()).collect()
    };
    assert_eq!(after("1:7"), (34..=45).collect::<Vec<_>>());
    assert_eq!(after("1:40"), (41..=45).collect::<Vec<_>>());
    assert_eq!(after("1:45"), [0; 0]);
}

/// A limit that cuts through a segment of many blocks, by number and by bytes.
#[test]
fn a_limit_cuts_a_large_segment_at_the_right_fact() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let writer = hand.builder().open(&root).unwrap();
    let facts: Vec<_> = (0..20_000).map(|n| super::event(&hand, n)).collect();
    writer.record_all(facts.iter().cloned()).unwrap();
    writer.flush().unwrap();
    for most in [1_u64, 8_191, 8_192, 8_193, 12_345, 19_999, 20_000, 20_001] {
        let store = hand.read(&root, keep(RetentionLimits::new().max_records(most)));
        let first = support::number(&store, "SELECT min(seq) FROM events");
        assert_eq!(first, (20_001 - most as i64).max(1), "{most}");
        let bytes: u64 = facts.iter().rev().take(most as usize).map(|fact| fact.to_line().len() as u64).sum();
        for (most_bytes, wanted) in [(bytes, most.min(20_000)), (bytes - 1, most.min(20_000) - 1)] {
            let store = hand.read(&root, keep(RetentionLimits::new().max_bytes(most_bytes)));
            let count = support::number(&store, "SELECT count(*) FROM events");
            assert_eq!(count, wanted as i64, "{most} facts in {most_bytes} bytes");
        }
    }
}

#[test]
fn a_damaged_segment_in_which_a_limit_cuts_is_loud() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let _writer = store_of_segments(&root, &hand, 3);
    let files = segment_files(&root);
    let mut bytes = std::fs::read(&files[1]).unwrap();
    let half = bytes.len() / 2;
    bytes.truncate(half);
    std::fs::write(&files[1], &bytes).unwrap();
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(20)));
    let error = store.list(Kind::Event, Some(1), None).unwrap_err();
    assert_eq!(error.kind(), ostracon::ErrorKind::Damaged);
    assert!(error.to_string().contains(files[1].file_name().unwrap().to_str().unwrap()), "{error}");
    // One in which no limit cuts is nobody's business who does not read it.
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(3)));
    assert_eq!(listed(&store), [33, 34, 35]);
}

#[test]
fn a_fact_on_which_a_condition_fails_is_kept_by_a_rule_and_covered_by_a_hold() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let writer = store_of_segments(&root, &hand, 1);
    // The numbers of crashes are no numbers here.
    let sql = "CASE WHEN event_type = 'ActorCrashed' THEN CAST(event_type AS INT) = 1 ELSE seq = 2 END";
    let rule = RetentionRule::new("odd", RetentionLimits::new()).kind(Kind::Event).predicate(sql);
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(1)).rule(rule));
    assert_eq!(all(&store), [1, 2, 6, 11, 15]);

    writer.hold("odd", Hold::new("a case").kind(Kind::Event).predicate(sql)).unwrap();
    let store = hand.read(&root, keep(RetentionLimits::new().max_records(1)));
    assert_eq!(all(&store), [1, 2, 6, 11, 15]);
}
