//! Which files go, and which stay.

use ostracon::{CompactOptions, Cursor, Kind, Store};

use super::{assert_swept, facts, facts_at, segment_files, support, tree_without_lock, written};
use crate::support::copy_tree;

#[test]
fn the_files_of_a_running_query_stay_until_it_has_ended() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 2, 3, 20);
    let reader = Store::builder().access(ostracon::Access::Read).open(root).unwrap();
    let expected = support::lines(&reader);
    let mut running = reader.after(&Cursor::start()).unwrap();
    let mut seen: Vec<_> = running.by_ref().take(3).map(|fact| fact.unwrap().fact.to_line()).collect();

    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!((report.segments_removed, report.files_removed, report.files_waiting), (21, 0, 21));
    assert!(report.bytes_waiting > 0);
    // A later reader is not in the way, and sees the same.
    let later = reader.after(&Cursor::start()).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!((report.commit, report.files_removed, report.files_waiting), (None, 0, 21));

    seen.extend(running.by_ref().map(|fact| fact.unwrap().fact.to_line()));
    assert_eq!(seen, expected);
    drop(running);
    let report = store.compact(CompactOptions::new()).unwrap();
    assert_eq!((report.commit, report.files_removed, report.files_waiting), (None, 21, 0));
    assert_eq!(later.map(|fact| fact.unwrap().fact.to_line()).collect::<Vec<_>>(), expected);
    assert_swept(root);
}

#[test]
fn the_files_of_a_running_sql_query_stay_too() {
    use futures::StreamExt;
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 4, 30);
    let reader = Store::builder().access(ostracon::Access::Read).open(root).unwrap();
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let query = reader.sql("SELECT seq FROM events").await.unwrap();
        let mut rows = query.stream().await.unwrap();
        assert_eq!(store.compact(CompactOptions::new()).unwrap().files_removed, 0);
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch.unwrap().num_rows();
        }
        assert_eq!(count, 60);
    });
    assert_eq!(store.compact(CompactOptions::new()).unwrap().files_removed, 12);
}

#[test]
fn tombstones_go_from_the_ledgers_state_when_their_files_are_gone() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 3, 10);
    let store = Store::open(root).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    store.record(support::crash(1)).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    let path = root.join(format!("ledger/{:020}.json", report.commit.unwrap()));
    let commit: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(commit["action"], "compact");
    // Four flushes and a compaction came before, and the sweep saw that its files are gone.
    assert_eq!(commit["swept"], serde_json::json!(5), "{commit}");
    assert_eq!(commit["remove"].as_array().unwrap().len(), 2);
    assert!(commit["remove"][0]["blake3"].is_string());
}

#[test]
fn strangers_and_what_may_be_needed_stay() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 2, 10);
    let other = support::scratch();
    written(other.path(), 1, 1, 10);
    // A segment of another store under a name that fits; one whose facts are not covered; files of
    // other programs; what a flush of a living writer is about to publish.
    let foreign = segment_files(other.path()).into_iter().find(|path| path.starts_with("events")).unwrap();
    let own = segment_files(root).into_iter().find(|path| path.starts_with("events")).unwrap();
    let live = Store::open(root).unwrap();
    let stream = live.record(support::crash(99)).unwrap().stream;
    let put = |from: &std::path::Path, name: &str| {
        std::fs::copy(from, root.join(name)).unwrap();
    };
    put(&other.path().join(&foreign), "events/1-1-10-00000001.parquet");
    put(&root.join(&own), "events/77-1-10-00000002.parquet");
    put(&root.join(&own), &format!("events/{stream}-21-21-00000003.tmp"));
    for name in
        ["events/notes.txt", "events/notes.tmp", ".DS_Store", "ledger/0123456789abcdef0123456789abcdef.tmp"]
    {
        std::fs::write(root.join(name), "not ours").unwrap();
    }
    let before = tree_without_lock(root);
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    let after = tree_without_lock(root);
    for name in [
        "events/1-1-10-00000001.parquet",
        "events/77-1-10-00000002.parquet",
        &format!("events/{stream}-21-21-00000003.tmp"),
        "events/notes.txt",
        "events/notes.tmp",
        ".DS_Store",
        "ledger/0123456789abcdef0123456789abcdef.tmp",
    ] {
        let name = std::path::Path::new(name);
        assert_eq!(after.get(name), before.get(name), "{name:?}");
        assert!(after.contains_key(name), "{name:?} is gone");
    }
    // The living writer's journal is its own, and its fact still there.
    assert_eq!(facts(&live).len(), 21);
    live.close().unwrap();
    drop(live);
    // It is gone now, and with it the owner of the unfinished file.
    store.compact(CompactOptions::new()).unwrap();
    assert!(!root.join(format!("events/{stream}-21-21-00000003.tmp")).exists());
}

/// Where a live segment is missing, a copy of its facts that no commit names may be all there is.
#[test]
fn a_copy_of_facts_is_not_removed_while_a_live_segment_is_missing() {
    let folder = support::scratch();
    let root = folder.path();
    written(root, 1, 2, 10);
    let mut events = segment_files(root).into_iter().filter(|path| path.starts_with("events"));
    let (one, _) = (events.next().unwrap(), events.next().unwrap());
    let copy = root.join("events/1-1-10-00000001.parquet");
    std::fs::rename(root.join(&one), &copy).unwrap();
    let store = Store::builder().access(ostracon::Access::Maintain).open(root).unwrap();
    store.compact(CompactOptions::new().kind(Kind::Audit)).unwrap();
    assert!(copy.exists());
    std::fs::rename(&copy, root.join(&one)).unwrap();
    assert_eq!(facts_at(root).len(), 20);
}

/// So may the journal of a process that has died, though the ledger covers its facts.
#[test]
fn a_journal_is_not_removed_while_a_live_segment_is_missing_or_damaged() {
    journal_stays_while(|segment| std::fs::remove_file(segment).unwrap());
    // Its size is what it was.
    journal_stays_while(|segment| {
        let mut bytes = std::fs::read(segment).unwrap();
        bytes[10..90].fill(0x55);
        std::fs::write(segment, bytes).unwrap();
    });
}

fn journal_stays_while(damage: impl Fn(&std::path::Path)) {
    let folder = support::scratch();
    let (root, aside) = (folder.path().join("facts"), folder.path().join("aside"));
    let writer = Store::open(&root).unwrap();
    for n in 0..20 {
        writer.record(support::any_fact(n)).unwrap();
    }
    let expected = facts(&writer);
    copy_tree(&root.join("journal/1"), &aside);
    writer.close().unwrap();
    drop(writer);
    // As if it had been killed before the journal went.
    std::fs::remove_dir_all(root.join("journal/1")).unwrap();
    copy_tree(&aside, &root.join("journal/1"));
    let journals = || {
        let files = std::fs::read_dir(root.join("journal/1")).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).count()
    };
    assert_eq!(journals(), 1);
    let events = segment_files(&root).into_iter().find(|path| path.starts_with("events")).unwrap();
    damage(&root.join(events));

    let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    store.compact(CompactOptions::new().kind(Kind::Audit)).unwrap();
    assert_eq!(journals(), 1);
    drop(store);
    let config = ostracon::RecoveryConfig::new(ostracon::RecoveryMode::Repair);
    let report = ostracon::recover(&root, config).unwrap();
    assert!(report.is_clean() && report.facts_lost() == 0 && report.facts_unverified() == 0, "{report:#?}");
    assert_eq!(facts_at(&root), expected);
    // Now the journal has nothing that is not elsewhere.
    let store = Store::builder().access(ostracon::Access::Maintain).open(&root).unwrap();
    store.compact(CompactOptions::new()).unwrap();
    assert_eq!(journals(), 0);
    assert_eq!(facts(&store), expected);
}
