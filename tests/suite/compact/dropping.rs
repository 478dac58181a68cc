//! What rules drop is counted, and its bytes are nowhere any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ostracon::{
    CompactOptions, ErrorKind, Event, Fact, Hold, Json, Kind, RetentionLimits, RetentionPolicy,
    RetentionRule, Store, UnixNanos,
};

use super::{
    BEGIN, assert_sorted, assert_swept, facts_at, segment_files, support, tree_without_lock, written,
    written_with,
};
use crate::support::tree;

fn newest(records: u64) -> RetentionPolicy {
    RetentionPolicy::new().store(RetentionLimits::new().max_records(records))
}

fn compact(root: &Path, policy: RetentionPolicy) -> ostracon::CompactReport {
    let store = Store::builder().access(ostracon::Access::Maintain).retention(policy).open(root).unwrap();
    store.compact(CompactOptions::new()).unwrap()
}

#[test]
fn facts_before_are_facts_after_and_those_that_were_dropped() {
    for (writers, flushes, kept) in [(1, 4, 50), (2, 3, 0), (3, 2, 1), (2, 5, 137), (1, 1, 3)] {
        for target in [10_000, 128 << 20] {
            let folder = support::scratch();
            let root = folder.path();
            written(root, writers, flushes, 40);
            let before = facts_at(root);
            let store = Store::builder()
                .access(ostracon::Access::Maintain)
                .retention(newest(kept))
                .open(root)
                .unwrap();
            let report = store.compact(CompactOptions::new().target_bytes(target)).unwrap();

            // The newest are kept, all kinds together.
            let gone = before.len() - kept as usize;
            assert_eq!(facts_at(root), before[gone..], "{writers} {flushes} {kept} {target}");
            assert_eq!(report.dropped_facts(), gone as u64);
            let bytes: usize = before[..gone].iter().map(|(_, line)| line.len()).sum();
            assert_eq!(report.dropped.iter().map(|dropped| dropped.bytes).sum::<u64>(), bytes as u64);
            for dropped in &report.dropped {
                let tag = format!(r#"{{"kind": "{}""#, dropped.kind.tag());
                let of_kind = before[..gone].iter().filter(|(_, line)| line.starts_with(&tag)).count();
                assert_eq!((dropped.rule.as_str(), dropped.facts), ("store.max_records", of_kind as u64));
            }
            assert_eq!(report.before.facts, report.after.facts + report.dropped_facts());
            assert_eq!(report.before.fact_bytes, report.after.fact_bytes + bytes as u64);
            assert_sorted(root);
            assert_swept(root);
            let again = store.compact(CompactOptions::new().target_bytes(target)).unwrap();
            assert_eq!((again.commit, again.dropped_facts()), (None, 0), "{again:?}");
        }
    }
}

#[test]
fn rules_with_conditions_drop_rows_out_of_the_middle() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 4, 30);
    let policy = RetentionPolicy::new().rule(
        RetentionRule::new("sevens", RetentionLimits::new().max_records(0))
            .kind(Kind::Event)
            .predicate("actor_address = 'shop:0'"),
    );
    let before = facts_at(root);
    let report = compact(root, policy);
    let is_seven = |line: &String| line.contains("\"shop:0\"") && line.contains("\"event\"");
    let kept: Vec<_> = before.iter().filter(|(_, line)| !is_seven(line)).cloned().collect();
    assert!(kept.len() < before.len() && !kept.is_empty());
    assert_eq!(facts_at(root), kept);
    assert_eq!(report.dropped.len(), 1);
    assert_eq!(report.dropped[0].facts, (before.len() - kept.len()) as u64);
}

#[test]
fn a_large_segment_of_which_nothing_goes_is_not_written_again() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 1, 400);
    let policy = RetentionPolicy::new().rule(
        RetentionRule::new("nobody", RetentionLimits::new().max_records(0))
            .kind(Kind::Event)
            .predicate("actor_address = 'nobody'"),
    );
    let before = tree_without_lock(root);
    let report = compact(root, policy);
    assert_eq!((report.commit, report.segments_removed), (None, 0));
    assert_eq!(tree_without_lock(root), before);
}

/// Whether a text is in any file of the store.
fn is_anywhere(root: &Path, text: &str) -> bool {
    tree(root).values().any(|bytes| memchr::memmem::find(bytes, text.as_bytes()).is_some())
}

/// A fact with a text that is nowhere else, at least once where it is not compressed.
fn secret(n: u64) -> Fact<'static> {
    let secret = format!("secret-{:016x}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let payload = Json::parse(format!(r#"{{"error": "{secret}"}}"#)).unwrap();
    Event::new("shop", secret, "ActorCrashed", payload, 1.0 + n as f64).into()
}

fn secret_of(line: &str) -> &str {
    let at = line.find("secret-").unwrap();
    &line[at..at + 23]
}

/// The journal files of a store.
fn journals(root: &Path) -> Vec<PathBuf> {
    let journals = tree(root).into_keys().filter(|path| path.extension().is_some_and(|is| is == "journal"));
    journals.map(|path| root.join(path)).collect()
}

#[test]
fn no_byte_string_of_a_dropped_fact_is_in_any_file() {
    let folder = support::scratch();
    let root = &folder.path().join("facts");
    written_with(root, 2, 3, 20, secret);

    // What crashes may leave: a journal that was not retired, …
    let store = Store::open(root).unwrap();
    for n in 0..10 {
        store.record(secret(9_000_000 + n)).unwrap();
    }
    let [journal] = &journals(root)[..] else { panic!("{:?}", journals(root)) };
    let aside = folder.path().join("aside");
    std::fs::copy(journal, &aside).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(journals(root).len(), 0);
    std::fs::copy(aside, journal).unwrap();
    // … a second name of a segment, a segment that was never committed, and the unfinished file of a
    // compaction.
    let segment = segment_files(root).remove(0);
    let stem = segment.file_stem().unwrap().to_str().unwrap();
    let (range, _) = stem.rsplit_once('-').unwrap();
    std::fs::hard_link(root.join(&segment), root.join(format!("events/{stem}.tmp"))).unwrap();
    std::fs::copy(root.join(&segment), root.join(format!("events/{range}-00000000.parquet"))).unwrap();
    std::fs::copy(root.join(&segment), root.join("events/again-00000000.tmp")).unwrap();

    let before = facts_at(root);
    assert!(before.iter().all(|(_, line)| is_anywhere(root, secret_of(line))));
    let report = compact(root, newest(5));
    let (gone, kept) = before.split_at(before.len() - 5);
    assert_eq!(facts_at(root), kept);
    assert_eq!(report.files_waiting, 0);
    for (position, line) in gone {
        assert!(!is_anywhere(root, secret_of(line)), "{position:?}: {:?}", tree(root).keys());
    }
    assert!(kept.iter().all(|(_, line)| is_anywhere(root, secret_of(line))));
    assert_swept(root);
}

#[test]
fn what_is_held_is_kept_until_it_is_released() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 2, 30);
    let before = facts_at(root);
    let store = Store::builder().access(ostracon::Access::Maintain).retention(newest(0)).open(root).unwrap();
    store.hold("case", Hold::new("a case").predicate("seq < 10").by("me")).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    let held: Vec<_> = before.iter().filter(|(position, _)| position.seq.get() < 10).cloned().collect();
    assert_eq!(facts_at(root), held);
    store.release("case", "me", "closed").unwrap();
    store.compact(CompactOptions::new()).unwrap();
    assert_eq!(facts_at(root), []);
}

/// Rules were asked before the hold was added, and the commit comes after it.
#[test]
fn a_hold_that_is_added_meanwhile_counts() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 2, 30);
    let before = facts_at(root);
    let other = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let store = Store::builder().access(ostracon::Access::Maintain).retention(newest(0)).open(root).unwrap();
    let mut added = false;
    let options = CompactOptions::new().on_progress(|_| {
        if !std::mem::replace(&mut added, true) {
            other.hold("late", Hold::new("a case").predicate("seq < 10").by("me")).unwrap();
        }
    });
    let report = store.compact(options).unwrap();
    let held: Vec<_> = before.iter().filter(|(position, _)| position.seq.get() < 10).cloned().collect();
    assert_eq!(facts_at(root), held);
    assert_eq!(report.dropped_facts() as usize, before.len() - held.len());
    assert_swept(root);
}

/// A writer commits between the plan and the commit: the compaction's commit comes behind it.
#[test]
fn what_is_flushed_meanwhile_is_neither_lost_nor_dropped() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 3, 20);
    let writer = Store::open(root).unwrap();
    let store = Store::builder().access(ostracon::Access::Maintain).retention(newest(10)).open(root).unwrap();
    let mut n = 1000;
    let options = CompactOptions::new().on_progress(|_| {
        writer.record(support::crash(n)).unwrap();
        writer.flush().unwrap();
        n += 1;
    });
    let report = store.compact(options).unwrap();
    assert_eq!(report.dropped_facts(), 50);
    let found = facts_at(root);
    assert_eq!(found.len() as u64, 10 + (n - 1000));
    assert!(n > 1001);
}

#[test]
fn a_clock_that_jumped_ahead_empties_no_store_unless_one_insists() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 2, 10);
    let policy = RetentionPolicy::new().store(RetentionLimits::new().max_age(Duration::from_secs(60)));
    let late = || UnixNanos::new(BEGIN + 5 * 365 * 86_400 * 1_000_000_000);
    let store =
        Store::builder().access(ostracon::Access::Maintain).retention(policy).clock(late).open(root).unwrap();
    let before = tree_without_lock(root);
    let error = store.compact(CompactOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("insist"), "{error}");
    assert_eq!(tree_without_lock(root), before);
    assert_eq!(store.metrics().compaction_errors, 1);
    let report = store.compact(CompactOptions::new().insist(true)).unwrap();
    assert_eq!((report.dropped_facts(), report.after.segments), (20, 0));
}
