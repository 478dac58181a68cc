//! Names of every sort, and their classes.

use std::fs;

use super::*;

fn file(path: &str) -> Entry {
    Entry { path: path.into(), form: Form::File, bytes: 7 }
}

fn folder(path: &str) -> Entry {
    Entry { path: path.into(), form: Form::Folder, bytes: 0 }
}

fn classify(entry: Entry, known: &ExpectedFiles<'_>) -> What {
    Inventory::of(vec![entry], known).items.remove(0).what
}

fn range(stream: u32, first: u64, last: u64) -> StreamRange {
    StreamRange { stream: StreamId(stream), first_seq: Seq(first), last_seq: Seq(last) }
}

/// Stream 1 is covered up to fact 10, and has 11 to 20 in two journal files.
fn known() -> ExpectedFiles<'static> {
    let mut known = ExpectedFiles { committed: [(StreamId(1), Seq(10))].into(), ..ExpectedFiles::default() };
    known.add_journaled(StreamId(1), Seq(16), Seq(20));
    known.add_journaled(StreamId(1), Seq(9), Seq(15));
    known
}

#[test]
fn names_of_a_store() {
    let known = ExpectedFiles::default();
    for name in ["ledger", "ledger-copy", "journal", "events", "audits", "dead_letters"] {
        assert_eq!(classify(folder(name), &known), What::Folder);
        assert!(matches!(classify(file(name), &known), What::Stranger(_)), "{name} as a file");
        let link = Entry { path: name.into(), form: LINK, bytes: 0 };
        assert_eq!(classify(link, &known), What::LinkedFolder);
    }
    assert_eq!(classify(folder("quarantine"), &known), What::Quarantine);
    assert_eq!(classify(file("ostracon.toml"), &known), What::Settings);
    assert_eq!(classify(file("ostracon.toml~"), &known), What::Settings);
    assert_eq!(classify(file("ostracon.toml.0f.tmp"), &known), What::Temporary { stream: None });
    assert_eq!(classify(file("ledger/00000000000000000042.json"), &known), What::Commit(CommitNumber(42)));
    assert_eq!(
        classify(file("ledger/00000000000000000128.checkpoint"), &known),
        What::Checkpoint(CommitNumber(128))
    );
    assert_eq!(classify(file("ledger/maintenance.lock"), &known), What::MaintenanceLock);
    let copy = What::CommitCopy(CommitNumber(42));
    assert_eq!(classify(file("ledger-copy/00000000000000000042.json"), &known), copy);
    assert_eq!(classify(file("ledger-copy/0f0f.tmp"), &known), What::Temporary { stream: None });
    for name in ["00000000000000000128.checkpoint", "maintenance.lock", "7.json"] {
        assert!(
            matches!(classify(file(&format!("ledger-copy/{name}")), &known), What::Stranger(_)),
            "{name}"
        );
    }
    let begun = What::Temporary { stream: Some(StreamId(3)) };
    assert_eq!(classify(file("journal/3/0f0f.tmp"), &known), begun);
    assert_eq!(classify(file("ledger/0f0f.tmp"), &known), What::Temporary { stream: None });
    let group = StateName { kind: Kind::Event, group: "a.b".to_owned(), number: 7 };
    assert_eq!(
        classify(file("consumers/events.a%2Eb.00000000000000000007.json"), &known),
        What::ConsumerGroup(group)
    );
    assert_eq!(classify(file("consumers/events.a%2Eb.lock"), &known), What::ConsumerGroupLock);
    assert!(matches!(classify(file("consumers/facts.a.lock"), &known), What::Stranger(_)));
    assert_eq!(classify(file("consumers/0f0f.tmp"), &known), What::Temporary { stream: None });
    assert!(matches!(classify(file("consumers/notes.txt"), &known), What::Stranger(_)));
    assert_eq!(classify(folder("journal/3"), &known), What::StreamFolder(StreamId(3)));
    assert_eq!(classify(file("journal/3/lock"), &known), What::StreamLock(StreamId(3)));
    let name = JournalName { number: 7, tag: "1b2c".to_owned(), buffered: true };
    assert_eq!(
        classify(file("journal/3/00000007-1b2c-buffered.journal"), &known),
        What::Journal(StreamId(3), name)
    );
    assert_eq!(
        classify(file("events/1-5-9-0a0b0c0d.tmp"), &known),
        What::Temporary { stream: Some(StreamId(1)) }
    );
    assert_eq!(classify(file("audits/x.tmp"), &known), What::Temporary { stream: None });
}

#[test]
fn strangers_and_what_is_harmless_of_them() {
    let known = ExpectedFiles::default();
    for name in [
        "events/readme.md",
        "ledger/7.json",
        "ledger/+0000000000000000007.json",
        "ledger/00000000000000000002.bak",
        "journal/x/00000001-aa.journal",
        "journal/1/notes",
        "journal/07/lock",
    ] {
        assert!(matches!(classify(file(name), &known), What::Stranger(_)), "{name}");
    }
    for name in ["events/1-1-2-aa.parquet", "ledger/00000000000000000000.json", "journal/1/lock"] {
        assert!(matches!(classify(folder(name), &known), What::Stranger(_)), "{name} as a folder");
        let link = Entry { path: name.into(), form: Form::Other("a symbolic link"), bytes: 0 };
        assert!(matches!(classify(link, &known), What::Stranger(_)), "{name} as a link");
    }
    let everywhere = ["", "events/", "ledger/", "ledger-copy/", "journal/", "journal/1/", "consumers/"];
    for name in [".DS_Store", ".nfs0001", "lost+found", "@eaDir", "desktop.ini", "Thumbs.db", "$RECYCLE.BIN"]
    {
        for name in everywhere.map(|folder| format!("{folder}{name}")) {
            assert_eq!(classify(file(&name), &known), What::Hidden, "{name}");
            assert_eq!(classify(folder(&name), &known), What::Hidden, "{name}");
        }
    }
    for entry in [file("README.txt"), folder("notes"), file("segments.parquet")] {
        assert_eq!(classify(entry, &known), What::Foreign);
    }
}

#[test]
fn a_segment_that_no_commit_names_is_judged_by_its_facts() {
    let known = known();
    for (ranges, standing) in [
        (vec![range(1, 1, 10)], Standing::Covered),
        (vec![range(1, 4, 9), range(1, 1, 2)], Standing::Covered),
        (vec![range(1, 11, 20)], Standing::Journaled),
        (vec![range(1, 5, 14)], Standing::Journaled),
        (vec![range(1, 11, 21)], Standing::Unknown),
        (vec![range(1, 21, 22)], Standing::Unknown),
        (vec![range(1, 1, 10), range(2, 1, 1)], Standing::Unknown),
        (vec![range(2, 1, 1)], Standing::Unknown),
        (vec![], Standing::Unknown),
        (vec![range(1, 5, 2)], Standing::Unknown),
        (vec![range(1, 1, u64::MAX)], Standing::Unknown),
    ] {
        assert_eq!(known.standing(&ranges), standing, "{ranges:?}");
    }
    let what = classify(file("events/1-11-20-0a0b0c0d.parquet"), &known);
    let ranges = vec![range(1, 11, 20)];
    assert_eq!(what, What::Uncommitted { kind: Kind::Event, ranges, standing: Standing::Journaled });
}

#[test]
fn a_journal_with_a_hole_does_not_hold_what_is_in_the_hole() {
    let mut known = ExpectedFiles::default();
    known.add_journaled(StreamId(1), Seq(1), Seq(5));
    known.add_journaled(StreamId(1), Seq(8), Seq(12));
    assert_eq!(known.standing(&[range(1, 1, 5)]), Standing::Journaled);
    assert_eq!(known.standing(&[range(1, 9, 12)]), Standing::Journaled);
    assert_eq!(known.standing(&[range(1, 1, 12)]), Standing::Unknown);
}

#[test]
fn names_that_do_not_say_which_facts() {
    for stem in [
        "copy of 1-1-2-aa",
        "1-1-2",
        "1-1-2-aa-bb",
        "1-0-2-aa",
        "1-3-2-aa",
        "x-1-2-aa",
        "1-1-99999999999999999999-a",
    ] {
        assert_eq!(range_of(stem), None, "{stem}");
    }
    assert_eq!(range_of("1-1-2-aa"), Some(range(1, 1, 2)));
}

#[cfg(unix)]
#[test]
fn listing_follows_no_link_and_looks_into_no_foreign_folder() {
    let store = tempfile::tempdir().unwrap();
    let root = store.path();
    for folder in ["events", "events/old", "journal", "journal/1", "journal/one", "notes", "quarantine"] {
        fs::create_dir(root.join(folder)).unwrap();
        fs::write(root.join(folder).join("a.parquet"), b"1234").unwrap();
    }
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("secret"), b"?").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.join("audits")).unwrap();

    let listed: Vec<_> =
        list(root).unwrap().iter().map(|e| format!("{} {}", e.name(), e.form.words())).collect();
    assert_eq!(
        listed,
        [
            "audits a symbolic link",
            "events a folder",
            "events/a.parquet a file",
            "events/old a folder",
            "journal a folder",
            "journal/1 a folder",
            "journal/1/a.parquet a file",
            "journal/a.parquet a file",
            "journal/one a folder",
            "notes a folder",
            "quarantine a folder",
        ]
    );
}

#[test]
fn a_stream_is_owned_while_somebody_holds_its_lock() {
    let store = tempfile::tempdir().unwrap();
    let root = store.path();
    fs::create_dir(root.join("journal")).unwrap();
    assert!(!is_owned(root, StreamId(1)).unwrap());
    assert!(!root.join("journal/1").exists(), "asking creates nothing");
    let claim = claim::try_claim(&crate::disk::Disk::new(), root, StreamId(1)).unwrap().unwrap();
    assert!(is_owned(root, StreamId(1)).unwrap());
    drop(claim);
    assert!(!is_owned(root, StreamId(1)).unwrap());
}
