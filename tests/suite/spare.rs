//! The journal's spare: the next file, which the flush begins before it is needed, so that nobody
//! who appends waits for a sync.

use std::path::Path;
use std::time::{Duration, Instant};

use ostracon::disk::{Disk, Fault, FaultPlan, Op, PowerFailure};
use ostracon::{Cursor, Durability, ErrorKind, ScanDepth, Store, scan};

use super::kill::check::assert_no_journal_files;
use super::support;
use crate::support::copy_tree;

const ALL: [Durability; 3] = [Durability::Buffered, Durability::Journaled, Durability::Synced];

fn open(root: &Path, plan: &FaultPlan, durability: Durability) -> Store {
    Store::builder().disk(Disk::with_plan(plan.clone())).durability(durability).open(root).unwrap()
}

/// Waits until the background thread does nothing more on the disk. Returns the number of operations.
fn settled(plan: &FaultPlan) -> u64 {
    let mut before = None;
    while before.replace(plan.operations()) != Some(plan.operations()) {
        std::thread::sleep(Duration::from_millis(150));
    }
    plan.operations()
}

/// What has been asked of the disk since there were so many operations.
fn since(plan: &FaultPlan, before: usize) -> Vec<Op> {
    plan.log().split_off(before).into_iter().map(|(op, _)| op).collect()
}

#[test]
fn after_a_flush_an_append_asks_nothing_of_the_disk_but_to_append() {
    for durability in ALL {
        let folder = support::scratch();
        let plan = FaultPlan::new();
        let store = open(&folder.path().join("facts"), &plan, durability);
        store.append(support::any_fact(0)).unwrap();
        for n in 1..5 {
            store.flush().unwrap();
            let before = plan.log().len();
            store.append(support::any_fact(n)).unwrap();
            let asked = since(&plan, before);
            // What only memory is promised for comes to the journal later.
            let most = if durability == Durability::Buffered { 0..=1 } else { 1..=1 };
            assert!(most.contains(&asked.len()), "{durability:?}: {asked:?}");
            assert!(asked.iter().all(|op| *op == Op::Append), "{durability:?}: {asked:?}");
        }
        store.close().unwrap();
    }
}

/// The flush's thread is kept from it meanwhile: it waits before its third attempt, two seconds.
#[test]
fn an_append_that_finds_the_buffer_full_leaves_it_to_the_flush() {
    for durability in ALL {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        Store::open(&root).unwrap().close().unwrap();
        let plan = FaultPlan::new().below(root.join("ledger")).only(Op::Link).fail_from(1, Fault::NoSpace);
        let disk = Disk::with_plan(plan.clone());
        let store = Store::builder().disk(disk).durability(durability).flush_rows(4).open(&root).unwrap();
        for n in 0..4 {
            store.append(support::any_fact(n)).unwrap();
        }
        let begun = Instant::now();
        while store.metrics().flush_errors < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the buffer was not sealed");
            std::thread::sleep(Duration::from_millis(5));
        }
        let before = plan.log().len();
        for n in 4..20 {
            store.append(support::any_fact(n)).unwrap();
        }
        let asked = since(&plan, before);
        assert!(asked.iter().all(|op| *op == Op::Append), "{durability:?}: {asked:?}");
        plan.heal();
        store.close().unwrap();
        assert_eq!(support::lines_at(&root).len(), 20);
        assert_no_journal_files(&root);
    }
}

#[test]
fn a_store_that_is_closed_leaves_no_spare_behind() {
    for durability in ALL {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let store = open(&root, &FaultPlan::new(), durability);
        store.record(support::any_fact(0)).unwrap();
        store.flush().unwrap();
        store.close().unwrap();
        assert_no_journal_files(&root);
    }
}

#[test]
fn a_spare_that_cannot_be_begun_is_nobodys_error() {
    for durability in ALL {
        for op in [Op::CreateNew, Op::Append, Op::SyncData, Op::SyncDir] {
            if (durability, op) == (Durability::Buffered, Op::Append) {
                // The next append may be that of what is pending.
                continue;
            }
            let folder = support::scratch();
            let root = folder.path().join("facts");
            let plan = FaultPlan::new();
            let store = open(&root, &plan, durability);
            let lines: Vec<_> = (0..3).map(|n| support::any_fact(n).to_line()).collect();
            store.record(support::any_fact(0)).unwrap();
            plan.restrict_to(op);
            plan.fail_at(1, Fault::NoSpace);
            store.flush().unwrap();
            let before = plan.log().len();
            store.record(support::any_fact(1)).unwrap();
            let asked = since(&plan, before);
            assert!(asked.contains(&Op::CreateNew), "{op:?}: it is begun when it is needed");
            store.flush().unwrap();
            store.record(support::any_fact(2)).unwrap();
            store.close().unwrap();
            assert_eq!(support::lines_at(&root), lines, "{durability:?}, {op:?}");
            assert_no_journal_files(&root);
        }
    }
}

/// At every step of the spare's making, and before anything was appended to it.
#[test]
fn a_process_that_dies_over_its_spare_leaves_nothing_that_does_harm() {
    for durability in [Durability::Journaled, Durability::Synced] {
        for n in 1..=7 {
            let alive = support::scratch();
            let plan = FaultPlan::new();
            let store = open(&alive.path().join("facts"), &plan, durability);
            for n in 0..3 {
                store.record(support::any_fact(n)).unwrap();
            }
            plan.halt_at(n);
            store.flush().unwrap_err();

            let folder = support::scratch();
            let root = folder.path().join("facts");
            copy_tree(&alive.path().join("facts"), &root);
            for depth in [ScanDepth::Quick, ScanDepth::Deep] {
                let report = scan(&root, depth).unwrap();
                assert!(report.is_clean(), "{n}: {report:#?}");
                let told: Vec<_> = report.debris.iter().map(|debris| &debris.what).collect();
                match n {
                    1 => assert_eq!(told, [""; 0]),
                    2..=4 => assert!(told.len() == 1 && told[0].contains("not finished"), "{n}: {told:?}"),
                    5 => assert!(told.len() == 2, "{told:?}"),
                    _ => assert_eq!(told, ["a journal without facts"], "{n}"),
                }
            }
            let mut lines: Vec<_> = (0..3).map(|n| support::any_fact(n).to_line()).collect();
            assert_eq!(support::lines_at(&root), lines, "{n}");

            let store = Store::builder().durability(Durability::Journaled).open(&root).unwrap();
            let next = store.record(support::any_fact(3)).unwrap();
            assert_eq!((next.stream.get(), next.seq.get()), (1, 4), "{n}: the stream goes on");
            lines.push(support::any_fact(3).to_line());
            assert_eq!(support::lines_at(&root), lines, "{n}");
            store.close().unwrap();
            assert_no_journal_files(&root);
            assert_eq!(support::lines_at(&root), lines, "{n}");
        }
    }
}

/// Nobody knows whether numbers were given out that only memory had.
#[test]
fn a_stream_that_buffers_ends_with_a_spare_that_is_left() {
    let alive = support::scratch();
    let store = open(&alive.path().join("facts"), &FaultPlan::new(), Durability::Buffered);
    store.record(support::any_fact(0)).unwrap();
    store.flush().unwrap();
    let folder = support::scratch();
    let root = folder.path().join("facts");
    copy_tree(&alive.path().join("facts"), &root);
    assert_eq!(store.append(support::any_fact(1)).unwrap().seq.get(), 2);
    let store = Store::open(&root).unwrap();
    assert_ne!(store.record(support::any_fact(2)).unwrap().stream.get(), 1);
    store.close().unwrap();
    assert_no_journal_files(&root);
    assert_eq!(support::lines_at(&root).len(), 2);
}

#[test]
fn a_fact_is_not_called_safe_before_those_in_the_file_before_it() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let plan = FaultPlan::new().record_for_power_failure(folder.path());
    let store = open(&root, &plan, Durability::Synced);
    for n in 0..2 {
        store.append(support::any_fact(n)).unwrap();
    }
    plan.restrict_to(Op::Append);
    plan.fail_at(1, Fault::ShortWrite);
    store.append(support::any_fact(2)).unwrap_err();
    let last = store.append(support::any_fact(3)).unwrap();
    assert_eq!((last.seq.get(), store.metrics().syncs), (3, 0));
    store.wait(last).unwrap();

    let left = support::scratch();
    plan.power_failure(folder.path(), left.path(), PowerFailure::DropUnsynced).unwrap();
    let disk = Disk::after_power_failure();
    let reader =
        Store::builder().disk(disk).access(ostracon::Access::Read).open(left.path().join("facts")).unwrap();
    assert_eq!(support::lines(&reader), [0, 1, 3].map(|n| support::any_fact(n).to_line()));
}

/// The first sync of this flush is the spare's, the second that of facts nobody has waited for.
#[test]
fn a_failed_sync_of_what_is_sealed_is_the_end_of_all_promises() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let plan = FaultPlan::new();
    let store = open(&root, &plan, Durability::Synced);
    store.append(support::any_fact(0)).unwrap();
    let last = store.append(support::any_fact(1)).unwrap();
    settled(&plan);
    plan.restrict_to(Op::SyncData);
    plan.fail_at(2, Fault::Io);
    assert_eq!(store.flush().unwrap_err().kind(), ErrorKind::Io);
    let syncs = settled(&plan);
    let poisoned = [
        store.append(support::any_fact(2)).unwrap_err(),
        store.wait(last).unwrap_err(),
        store.flush().unwrap_err(),
        store.close().unwrap_err(),
    ];
    assert!(poisoned.iter().all(|error| error.kind() == ErrorKind::Poisoned), "{poisoned:?}");
    assert_eq!(plan.operations(), syncs, "a failed sync was tried again");
    let reader = Store::builder().access(ostracon::Access::Read).open(&root).unwrap();
    // If the sync of the next journal file came first and failed, the flush had already committed them.
    let kept = reader.after(&Cursor::start()).unwrap().map(Result::unwrap).count();
    assert_eq!(kept, 2, "they stay in the journal, or are in a segment");
}

/// How long appending keeps an event loop. Run by hand, with `--release --run-ignored all --no-capture`
/// and, in `OSTRACON_MEASURE_IN`, a folder on a real disk.
#[test]
#[ignore = "it measures, and asserts nothing"]
fn the_longest_append_of_many() {
    const FACTS: u64 = 200_000;
    for durability in ALL {
        let place = std::env::var_os("OSTRACON_MEASURE_IN").unwrap_or_else(|| ".".into());
        let folder = tempfile::tempdir_in(place).unwrap();
        let root = folder.path().join("facts");
        let store = Store::builder().durability(durability).flush_rows(FACTS / 16).open(&root).unwrap();
        store.append(support::crash(0)).unwrap();
        let mut took: Vec<Duration> = Vec::new();
        for n in 1..FACTS {
            let fact = support::crash(n);
            let begun = Instant::now();
            store.append(fact).unwrap();
            took.push(begun.elapsed());
        }
        let flushes = store.metrics().flushes;
        store.close().unwrap();
        took.sort_unstable();
        let longest: Vec<_> = took.iter().rev().take(8).collect();
        eprintln!("{durability:?}: {flushes} flushes meanwhile; the longest appends: {longest:?}");
    }
}

/// However fast the buffer fills again, what was sealed is flushed before the next seal.
#[test]
fn recorders_who_are_faster_than_a_seal_do_not_keep_the_flush() {
    let folder = support::scratch();
    let store = Store::builder().flush_rows(1).open(folder.path().join("facts")).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while store.metrics().flushes < 3 && begun.elapsed() < Duration::from_secs(20) {
                    store.record(support::crash(1)).unwrap();
                }
            });
        }
    });
    assert!(store.metrics().flushes >= 3, "nothing was flushed for {:?}", begun.elapsed());
}
