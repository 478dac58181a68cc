//! Two owners of one stream: somebody has removed the lock file of a writer that lives. Numbers then name two
//! facts, and neither of them may be lost in silence.

use std::fs;
use std::path::Path;

use ostracon::disk::{Disk, Fault, FaultPlan, Op};
use ostracon::{AnomalyKind, ErrorKind, RecoveryConfig, RecoveryMode, ScanDepth, Store, recover, scan};

use super::support;

/// All bytes of journal files in a folder and below.
fn journal_bytes(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(journal_bytes(&path));
        } else if path.extension().is_some_and(|extension| extension == "journal") {
            all.extend(fs::read(path).unwrap());
        }
    }
    all
}

fn has_fact(folder: &Path, n: u64) -> bool {
    let needle = format!("missing field sku-{n}\"").into_bytes();
    journal_bytes(folder).windows(needle.len()).any(|window| window == needle)
}

/// The first owner has recorded facts 0 to 2, the second 100 and 101, each in stream 1.
fn two_owners(root: &Path) -> (Store, Store) {
    let first = Store::open(root).unwrap();
    for n in 0..3 {
        first.record(support::crash(n)).unwrap();
    }
    fs::remove_file(root.join("journal/1/lock")).unwrap();
    let second = Store::open(root).unwrap();
    let place = second.record(support::crash(100)).unwrap();
    assert_eq!((place.stream.get(), place.seq.get()), (1, 4));
    second.record(support::crash(101)).unwrap();
    (first, second)
}

#[test]
fn a_writer_whose_lock_was_removed_ends_and_its_facts_are_kept() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let (first, second) = two_owners(&root);
    second.flush().unwrap();
    // What the second has committed, the first must not take for its own.
    assert_eq!(first.flush().unwrap_err().kind(), ErrorKind::Contended);
    assert_eq!(first.record(support::crash(3)).unwrap_err().kind(), ErrorKind::Contended);
    drop(first);
    second.close().unwrap();
    let lines = support::lines_at(&root);
    for n in [0, 1, 2, 100, 101] {
        let is_kept = has_fact(&root.join("quarantine"), n);
        let is_there = lines.iter().any(|line| line.contains(&format!("missing field sku-{n}\"")));
        assert!(is_kept || is_there, "fact {n} is nowhere");
    }
}

#[test]
fn two_facts_of_one_number_are_told_and_recover_keeps_both() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let plan = ostracon::disk::FaultPlan::new();
    let disk = ostracon::disk::Disk::with_plan(plan.clone());
    let first = Store::builder().disk(disk.clone()).open(&root).unwrap();
    first.record(support::crash(0)).unwrap();
    fs::remove_file(root.join("journal/1/lock")).unwrap();
    // No flush succeeds, so both journals stay.
    plan.below(root.join("events")).fail_from(1, ostracon::disk::Fault::NoSpace);
    let second = Store::builder().disk(disk).open(&root).unwrap();
    // The second has taken over fact 1, and both go on with number 2.
    first.record(support::crash(1)).unwrap();
    second.record(support::crash(100)).unwrap();
    drop((first, second));

    let read = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    let error = read.summary().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("two processes have owned the stream"), "{error}");
    let found = scan(&root, ScanDepth::Quick).unwrap().anomalies;
    assert!(found.iter().any(|anomaly| anomaly.kind == AnomalyKind::JournalDamaged), "{found:?}");

    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    let lines = support::lines_at(&root);
    for n in [0, 1, 100] {
        let is_there = lines.iter().any(|line| line.contains(&format!("sku-{n}\"")));
        assert!(is_there || has_fact(&root.join("quarantine"), n), "fact {n} is nowhere");
    }
}

/// A commit was published, and the disk said that it was there before; then the ledger cannot be synced. It is this
/// process's own all the same.
#[test]
fn a_commit_that_was_made_though_the_disk_said_otherwise_is_no_other_owners() {
    let folder = support::scratch();
    let healthy = FaultPlan::new();
    let flush_of = |plan: &FaultPlan, name: &str| {
        let store =
            Store::builder().disk(Disk::with_plan(plan.clone())).open(folder.path().join(name)).unwrap();
        store.record(support::crash(0)).unwrap();
        store.flush().unwrap();
        store.record(support::crash(1)).unwrap();
        store
    };
    let rehearsal = flush_of(&healthy, "healthy");
    let before = healthy.log().len();
    rehearsal.flush().unwrap();
    // Only these are counted: in other places the background works at its own times.
    let ledger = folder.path().join("healthy/ledger");
    let log = healthy.log().split_off(before);
    let mut in_ledger = log.iter().filter(|(_, path)| path.starts_with(&ledger));
    let link = in_ledger.position(|(op, _)| *op == Op::Link).unwrap() as u64 + 1;

    let mut failed = 0;
    for later in 1..8 {
        let plan = FaultPlan::new();
        let name = format!("facts{later}");
        let store = flush_of(&plan, &name);
        let plan = plan.below(folder.path().join(&name).join("ledger"));
        let plan = plan.fail_at(link, Fault::DoneBefore).fail_at(link + later, Fault::Io);
        failed += u64::from(store.flush().is_err());
        plan.heal();
        store.flush().unwrap_or_else(|error| panic!("{later}: {error}"));
        store.record(support::crash(2)).unwrap();
        store.close().unwrap();
        let wanted = [0, 1, 2].map(|n| support::crash(n).to_line());
        assert_eq!(support::lines_at(&folder.path().join(name)), wanted, "{later}");
    }
    assert!(failed > 0, "no sync failed");
}
