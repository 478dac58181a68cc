use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::file::{self, StateName};
use super::state::GroupState;
use crate::disk::Disk;
use crate::error::ErrorKind;
use crate::fact::{FactId, Kind, Seq, StreamId, UnixNanos};
use crate::follow::Cursor;
use crate::ledger::StoreId;

fn id(stream: u32, seq: u64) -> FactId {
    FactId { stream: StreamId(stream), seq: Seq(seq) }
}

const STORE: StoreId = StoreId::from_bytes([7; 16]);

/// A state with facts pending for two consumers, some of them delivered twice.
fn some_state() -> GroupState {
    let mut state = GroupState::first("2:5".parse().unwrap());
    state.deliver([id(1, 1), id(1, 2), id(1, 3), id(2, 6)].into_iter(), "a", UnixNanos(10));
    state.deliver([id(1, 7), id(1, 9)].into_iter(), "b", UnixNanos(20));
    state.deliver([id(1, 2)].into_iter(), "b", UnixNanos(30));
    state
}

#[test]
fn every_name_has_one_file_and_every_file_one_name() {
    for group in ["shippers", "a.b", "../../etc", "ä", "%41", " ", "A-Z_0"] {
        let name = StateName { kind: Kind::DeadLetter, group: group.to_owned(), number: 42 };
        let path = name.path();
        let file = path.strip_prefix("consumers/").unwrap();
        assert!(!file.contains('/'), "{file}");
        assert_eq!(StateName::parse(file), Some(name));
    }
    for wrong in [
        "events.a.42.json",
        "events.a.00000000000000000042.tmp",
        "facts.a.00000000000000000042.json",
        "events..00000000000000000042.json",
        "events.%41.00000000000000000042.json",
        "events.%4.00000000000000000042.json",
        "events.%FF.00000000000000000042.json",
        "events.a b.00000000000000000042.json",
        "events.a.00000000000000000042.x.json",
    ] {
        assert_eq!(StateName::parse(wrong), None, "{wrong}");
    }
    for wrong in ["", &"x".repeat(181), &"ä".repeat(31)] {
        assert_eq!(file::check_name(wrong).unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[test]
fn a_state_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let state = some_state();
    let publish = |state| file::publish(&Disk::new(), folder.path(), STORE, Kind::Event, "g", state);
    std::fs::create_dir(folder.path().join("consumers")).unwrap();
    publish(&state).unwrap();
    assert_eq!(file::load(folder.path(), STORE, Kind::Event, "g").unwrap(), Some(state));
    assert_eq!(file::load(folder.path(), STORE, Kind::Audit, "g").unwrap(), None);
}

#[test]
fn a_state_that_is_not_what_was_written_is_damage_whichever_byte_it_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("consumers")).unwrap();
    file::publish(&Disk::new(), folder.path(), STORE, Kind::Event, "g", &some_state()).unwrap();
    let path = folder.path().join("consumers/events.g.00000000000000000001.json");
    let sound = std::fs::read(&path).unwrap();
    let load = || file::load(folder.path(), STORE, Kind::Event, "g");
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(load().unwrap_err().kind(), ErrorKind::Damaged, "bit {bit} of byte {at}");
        }
        std::fs::write(&path, &sound[..at]).unwrap();
        assert_eq!(load().unwrap_err().kind(), ErrorKind::Damaged, "cut to {at} bytes");
    }
    // A valid state, but of another group or store.
    std::fs::write(&path, &sound).unwrap();
    std::fs::rename(&path, folder.path().join("consumers/events.h.00000000000000000001.json")).unwrap();
    assert_eq!(file::load(folder.path(), STORE, Kind::Event, "h").unwrap_err().kind(), ErrorKind::Damaged);
    std::fs::write(&path, &sound).unwrap();
    let other = StoreId::from_bytes([8; 16]);
    assert_eq!(file::load(folder.path(), other, Kind::Event, "g").unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn pending_facts_that_lie_about_their_number_take_no_memory() {
    let json = r#"{"number": 1, "delivered": "", "pending":
        [{"consumer": "a", "at": 1, "times": 1, "facts": "1:1-18446744073709551615"}]}"#;
    let state: super::state::StateInFile = serde_json::from_str(json).unwrap();
    assert_eq!(state.state(100_000), None);
}

#[test]
fn a_state_is_published_over_no_other_and_the_one_before_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let publish =
        |state: &GroupState| file::publish(&Disk::new(), folder.path(), STORE, Kind::Event, "g", state);
    std::fs::create_dir(folder.path().join("consumers")).unwrap();
    let lock = || file::Lock::take(&Disk::new(), folder.path(), Kind::Event, "g", Duration::ZERO);
    let held = lock().unwrap();
    let refused = lock().err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Contended);
    assert!(refused.to_string().contains("events.g.lock"), "{refused}");
    drop(held);
    let _held = lock().unwrap();
    let mut state = GroupState::first(Cursor::start());
    for _ in 0..5 {
        publish(&state).unwrap();
        assert!(publish(&state).is_err(), "its number is taken");
        state = state.next();
    }
    let entries = std::fs::read_dir(folder.path().join("consumers")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let state = |number: u64| format!("events.g.{number:020}.json");
    assert_eq!(names, [state(4), state(5), "events.g.lock".to_owned()]);
}

/// The actions of a consumer.
#[derive(Clone, Debug)]
enum Act {
    Deliver(u8, usize),
    Acknowledge(Vec<u64>),
    Claim(u8, Vec<u64>, u64),
    Reload,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let some = || proptest::collection::vec(1..40u64, 0..6);
    let act = prop_oneof![
        (0..3u8, 0..5usize).prop_map(|(consumer, most)| Act::Deliver(consumer, most)),
        some().prop_map(Act::Acknowledge),
        (0..3u8, some(), 0..6u64).prop_map(|(consumer, ids, idle)| Act::Claim(consumer, ids, idle)),
        Just(Act::Reload),
    ];
    proptest::collection::vec(act, 0..60)
}

proptest! {
    /// Compares with a plain list: every fact is delivered in order, is pending for one consumer until it
    /// is acknowledged, and is never forgotten.
    #[test]
    fn a_group_is_a_list_of_facts_and_who_has_them(acts in acts()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("consumers")).unwrap();
        let facts: Vec<FactId> = (1..40).map(|seq| id(1, seq)).collect();
        let mut state = GroupState::first(Cursor::start());
        let mut next = 0;
        let mut pending: BTreeMap<FactId, (u8, u64)> = BTreeMap::new();
        for (now, act) in (1..).zip(acts) {
            match act {
                Act::Deliver(consumer, most) => {
                    let new: Vec<_> = facts.iter().copied().skip(next).take(most).collect();
                    next += new.len();
                    pending.extend(new.iter().map(|id| (*id, (consumer, now))));
                    state.deliver(new.into_iter(), &consumer.to_string(), UnixNanos(now as i64));
                }
                Act::Acknowledge(seqs) => {
                    let ids: Vec<_> = seqs.into_iter().map(|seq| id(1, seq)).collect();
                    let expected = ids.iter().filter(|id| pending.remove(id).is_some()).count();
                    prop_assert_eq!(state.acknowledge(&ids), expected as u64);
                }
                Act::Claim(consumer, seqs, idle) => {
                    let ids: BTreeSet<_> = seqs.into_iter().map(|seq| id(1, seq)).collect();
                    let old = |id: &FactId| pending.get(id).is_some_and(|(_, at)| now - at >= idle);
                    let expected: Vec<_> = ids.iter().copied().filter(old).collect();
                    let least = Duration::from_nanos(idle);
                    let found: Vec<_> =
                        ids.into_iter().filter(|id| state.is_idle(*id, least, UnixNanos(now as i64))).collect();
                    prop_assert_eq!(&found, &expected);
                    pending.extend(found.iter().map(|id| (*id, (consumer, now))));
                    state.deliver(found.into_iter(), &consumer.to_string(), UnixNanos(now as i64));
                }
                Act::Reload => {
                    state = state.next();
                    file::publish(&Disk::new(), folder.path(), STORE, Kind::Event, "g", &state).unwrap();
                    state = file::load(folder.path(), STORE, Kind::Event, "g").unwrap().unwrap();
                }
            }
            for consumer in 0..3u8 {
                let of = pending.iter().filter(|(_, (whose, _))| *whose == consumer).map(|(id, _)| *id);
                prop_assert!(state.pending_of(&consumer.to_string(), None).eq(of));
            }
            for (at, fact) in facts.iter().enumerate() {
                prop_assert_eq!(state.is_open(*fact), at >= next || pending.contains_key(fact));
            }
        }
    }
}
