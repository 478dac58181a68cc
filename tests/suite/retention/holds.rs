//! What somebody holds is neither hidden nor dropped, and the ledger says who, when and why.

use ostracon::{ErrorKind, Hold, Kind, RetentionLimits, RetentionPolicy, Store};

use super::{Hand, listed, store_of_segments, support};

fn newest(facts: u64) -> RetentionPolicy {
    RetentionPolicy::new().store(RetentionLimits::new().max_records(facts))
}

#[test]
fn a_hold_brings_back_what_was_hidden_and_its_release_hides_it_again() {
    let (folder, hand) = (support::scratch(), Hand::new());
    let root = folder.path().join("facts");
    let writer = store_of_segments(&root, &hand, 3);
    let reader = hand.read(&root, newest(3));
    assert_eq!(listed(&reader), [33, 34, 35]);
    let keeper = hand.builder().maintenance().open(&root).unwrap();
    let hold = Hold::new("claim 4711").kind(Kind::Event).predicate("seq IN (2, 12, 34)").by("legal");
    keeper.hold("case-1", hold.clone()).unwrap();
    // It counts in the ranks as before: nothing else is dropped for it, nor kept.
    assert_eq!(listed(&reader), [2, 12, 33, 34, 35]);
    assert_eq!(support::number(&reader, "SELECT count(*) FROM events"), 5);
    keeper.hold("case-2", Hold::new("audit").predicate("seq < 4")).unwrap();
    assert_eq!(listed(&reader), [1, 2, 3, 12, 33, 34, 35]);
    keeper.release("case-1", "legal", "settled").unwrap();
    assert_eq!(listed(&reader), [1, 2, 3, 33, 34, 35]);
    keeper.release("case-2", "", "").unwrap();
    assert_eq!(listed(&reader), [33, 34, 35]);
    keeper.hold("all", Hold::new("everything is evidence")).unwrap();
    assert_eq!(listed(&reader), (1..=35).collect::<Vec<_>>());
    drop(writer);
}

#[test]
fn holds_are_in_the_ledger_with_who_when_and_why() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.hold("case", Hold::new("claim 4711").kind(Kind::Audit).predicate("seq > 1").by("legal")).unwrap();
    store.hold("other", Hold::new("b").by("me")).unwrap();
    let holds = store.holds().unwrap();
    assert_eq!(holds.len(), 2);
    assert_eq!((holds[0].name.as_str(), holds[0].hold.by.as_str()), ("case", "legal"));
    assert_eq!(holds[0].hold.predicate.as_deref(), Some("seq > 1"));
    assert!(holds[0].since.unwrap() <= holds[1].since.unwrap());
    store.release("case", "judge", "settled").unwrap();
    assert_eq!(store.holds().unwrap().len(), 1);
    let commits = "SELECT count(*) FROM store.commits WHERE action IN ('hold', 'release')";
    assert_eq!(support::number(&store, commits), 3);
    let last = std::fs::read_to_string(root.join("ledger/00000000000000000003.json")).unwrap();
    for said in
        [r#""action": "release""#, r#""name": "case""#, r#""released_by": "judge""#, r#""reason": "settled""#]
    {
        assert!(last.contains(said), "{last}");
    }
}

#[test]
fn what_cannot_be_held_commits_nothing() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    store.hold("case", Hold::new("why")).unwrap();
    let commits = || support::number(&store, "SELECT count(*) FROM store.commits");
    let before = commits();
    for (name, hold, kind, said) in [
        ("case", Hold::new("again"), ErrorKind::Refused, "already"),
        ("", Hold::new("why"), ErrorKind::Refused, "a name"),
        ("two\nlines", Hold::new("why"), ErrorKind::Refused, "a name"),
        ("x", Hold::new(" "), ErrorKind::Refused, "reason"),
        ("x", Hold::new("why").predicate("actor_address = 'a'"), ErrorKind::Query, "give it one"),
        ("x", Hold::new("why").kind(Kind::Event).predicate("at > now()"), ErrorKind::Query, "now()"),
        ("x", Hold::new("why").kind(Kind::Event).predicate("nonsense"), ErrorKind::Query, "nonsense"),
    ] {
        let error = store.hold(name, hold).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = store.release("other", "me", "").unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains(r#""case""#), "{error}");
    let reader = Store::builder().read_only(true).open(&root).unwrap();
    assert_eq!(reader.hold("y", Hold::new("why")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reader.release("case", "me", "").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(commits(), before);
}

#[test]
fn opening_for_maintenance_claims_no_stream_and_records_nothing() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let journal = || std::fs::read_dir(root.join("journal")).unwrap().count();
    assert_eq!(
        Store::builder().maintenance().open(&root).unwrap_err().kind(),
        ErrorKind::NotAStore,
        "nothing is created"
    );
    assert!(!root.exists());
    Store::open(&root).unwrap().close().unwrap();
    let streams = journal();
    let keeper = Store::builder().maintenance().open(&root).unwrap();
    keeper.hold("case", Hold::new("why")).unwrap();
    assert_eq!(keeper.record(support::crash(1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(journal(), streams);
}

#[test]
fn two_processes_that_hold_at_once_both_succeed() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    Store::open(&root).unwrap().close().unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let root = &root;
            scope.spawn(move || {
                let store = Store::builder().maintenance().open(root).unwrap();
                for m in 0..5 {
                    store.hold(&format!("{n}-{m}"), Hold::new("why")).unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(&root).unwrap().holds().unwrap().len(), 20);
}
