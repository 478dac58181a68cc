//! The core, built without SQL: conditions cannot be read, and nothing is dropped for that.

use std::fs;
use std::time::Duration;

use ostracon::{
    CompactOptions, ErrorKind, Hold, Kind, RetentionLimits, RetentionPolicy, RetentionRule, Store,
};

use super::support;

#[test]
fn a_rule_with_a_condition_keeps_a_store_from_being_opened() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..3 {
        store.record(support::any_fact(n)).unwrap();
    }
    store.close().unwrap();
    let rule = RetentionRule::new("old", RetentionLimits::new().max_age(Duration::from_secs(1)));
    let policy = RetentionPolicy::new().rule(rule.predicate("seq = 1"));
    let error = Store::builder().retention(policy).open(&root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.to_string().contains("the feature `sql`"), "{error}");

    fs::write(
        root.join("ostracon.toml"),
        "[[retention.rule]]\nname = 'old'\nwhere = 'seq = 1'\nmax_age = '1s'\n",
    )
    .unwrap();
    assert_eq!(Store::open(&root).unwrap_err().kind(), ErrorKind::Settings);
    fs::write(root.join("ostracon.toml"), "").unwrap();
    assert_eq!(support::lines(&Store::open(&root).unwrap()).len(), 3);
}

#[test]
fn a_rule_that_gets_a_condition_later_changes_nothing_and_nothing_is_dropped() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..3 {
        store.record(support::any_fact(n)).unwrap();
    }
    store.flush().unwrap();
    fs::write(
        root.join("ostracon.toml"),
        "[[retention.rule]]\nname = 'none'\nwhere = 'true'\nmax_records = 0\n",
    )
    .unwrap();
    assert_eq!(support::lines(&store).len(), 3);
    let error = store.compact(CompactOptions::new()).unwrap_err();
    assert!(error.to_string().contains("the feature `sql`"), "{error}");
    assert_eq!(support::lines(&store).len(), 3);
}

#[test]
fn a_hold_with_a_condition_is_refused_and_one_without_holds() {
    let folder = support::scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let hold = || Hold::new("claim 4711").kind(Kind::Event).by("legal");
    let error = store.hold("case", hold().predicate("seq = 1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Query);
    assert!(store.holds().unwrap().is_empty());
    store.hold("case", hold()).unwrap();
    assert_eq!(store.holds().unwrap().len(), 1);
}
