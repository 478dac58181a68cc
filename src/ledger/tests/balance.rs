//! The ledger under maintenance: every removed fact must be accounted for.

use super::*;
use crate::fact::Kind;

/// A ledger with three flushes of one fact each.
fn three_facts() -> (Scene, Ledger) {
    let scene = Scene::with_commits(3);
    let ledger = scene.open().unwrap();
    (scene, ledger)
}

fn live(state: &State) -> Vec<Segment> {
    state.segments(Kind::Event).iter().map(|segment| (**segment).clone()).collect()
}

/// One segment that replaces others, without `without` of their facts.
fn merged(of: &[Segment], without: u64) -> Segment {
    let mut merged = of[0].clone();
    merged.path = "events/merged.parquet".to_owned();
    merged.rows = of.iter().map(|segment| segment.rows).sum::<u64>() - without;
    merged.fact_bytes = of.iter().map(|segment| segment.fact_bytes).sum::<u64>() - 100 * without;
    merged
}

fn dropped(facts: u64) -> Dropped {
    Dropped { rule: "old".to_owned(), kind: Kind::Event, total: Total { facts, bytes: 100 * facts } }
}

fn compaction(state: &State) -> Action {
    let remove = live(state);
    let add = vec![merged(&remove, 1)];
    Action::Compact { remove, add, dropped: vec![dropped(1)], swept: CommitNumber(0) }
}

/// The reason why such a commit is refused.
fn refusal(ledger: &Ledger, action: impl Fn(&State) -> Action) -> String {
    ledger.commit(|state| Ok(Some(action(state)))).unwrap_err().to_string()
}

fn count(state: &State) -> (u64, u64, u64, u64) {
    let dropped = state.dropped.values().map(|of| of[Kind::Event].facts).sum();
    (state.recorded[Kind::Event].facts, state.live(Kind::Event).facts, dropped, state.lost[Kind::Event].facts)
}

#[test]
fn a_compaction_accounts_for_what_it_drops_and_leaves_tombstones() {
    let (scene, ledger) = three_facts();
    let before = ledger.known();
    let after = ledger.commit(|state| Ok(Some(compaction(state)))).unwrap().unwrap();

    assert_eq!(count(&after), (3, 2, 1, 0));
    assert_eq!(after.imbalance(), None);
    assert_eq!(after.dropped["old"][Kind::Event], Total { facts: 1, bytes: 100 });
    let gone: Vec<_> = after.removed.iter().map(|tombstone| (tombstone.path.clone(), tombstone.by)).collect();
    let were: Vec<_> = live(&before).into_iter().map(|segment| (segment.path, CommitNumber(4))).collect();
    assert_eq!(gone, were);

    // A new opening reads an equal state, and the digests of the removed segments stay in the commit.
    assert_eq!(*scene.open().unwrap().known(), *after);
    let (commit, _) = commit::read(&scene.path(4)).unwrap().unwrap();
    assert_eq!(commit.action.removed(), live(&before));
}

#[test]
fn tombstones_go_when_their_files_are_known_to_be_gone() {
    let (_scene, ledger) = three_facts();
    ledger.commit(|state| Ok(Some(compaction(state)))).unwrap();
    commit_one(&ledger, StreamId(1));
    let swept = |swept| {
        move |state: &State| {
            let remove = live(state);
            let mut add = merged(&remove, 0);
            add.path = format!("events/again-{swept}.parquet");
            Action::Compact { remove, add: vec![add], dropped: vec![], swept: CommitNumber(swept) }
        }
    };
    assert!(refusal(&ledger, swept(6)).contains("files removed by commit 6 are gone"));
    let state = ledger.commit(|state| Ok(Some(swept(4)(state)))).unwrap().unwrap();
    assert_eq!(state.removed.iter().map(|tombstone| tombstone.by.0).collect::<Vec<_>>(), [6, 6]);
}

#[test]
fn a_compaction_that_does_not_add_up_is_not_taken() {
    let (_scene, ledger) = three_facts();
    let with = |change: fn(&mut Vec<Segment>, &mut Vec<Segment>, &mut Vec<Dropped>)| {
        refusal(&ledger, |state| {
            let Action::Compact { mut remove, mut add, mut dropped, swept } = compaction(state) else {
                unreachable!()
            };
            change(&mut remove, &mut add, &mut dropped);
            Action::Compact { remove, add, dropped, swept }
        })
    };
    let silent = with(|_, _, dropped| dropped.clear());
    assert!(silent.contains("restores 3 events (300 bytes), but accounts for 2 and 0"), "{silent}");
    let bytes = with(|_, _, dropped| dropped[0].total.bytes = 99);
    assert!(bytes.contains("accounts for 2 and 1 (200 and 99 bytes)"), "{bytes}");
    let invented = with(|_, add, _| add[0].rows += 1);
    assert!(invented.contains("accounts for 3 and 1"), "{invented}");
    let other_kind = with(|_, _, dropped| dropped[0].kind = Kind::Audit);
    assert!(other_kind.contains("restores 3 events"), "{other_kind}");
    let twice = with(|remove, add, _| {
        remove.push(remove[0].clone());
        add[0].rows += 1;
        add[0].fact_bytes += 100;
    });
    assert!(twice.contains("removes a segment twice"), "{twice}");
    let unknown = with(|remove, _, _| remove[0].path = "events/unknown.parquet".to_owned());
    assert!(unknown.contains("removes events/unknown.parquet, which is not live"), "{unknown}");
    let other_bytes = with(|remove, _, _| remove[0].blake3 = commit::digest(b"other"));
    assert!(other_bytes.contains("which is not live"), "{other_bytes}");
    let elsewhere = with(|_, add, _| add[0].path = "../elsewhere.parquet".to_owned());
    assert!(elsewhere.contains("not a valid path of a segment"), "{elsewhere}");
    let endless = with(|_, add, _| add[0].rows = u64::MAX);
    assert!(
        endless.contains("accounts for") || endless.contains("more facts than are possible"),
        "{endless}"
    );
    assert_eq!(ledger.refresh().unwrap().head.number, CommitNumber(3));
}

#[test]
fn a_repair_says_what_is_lost() {
    let (_scene, ledger) = three_facts();
    let repair = |lost: u64| {
        move |state: &State| {
            let remove = live(state);
            let add = vec![merged(&remove, 2)];
            let within = remove.iter().flat_map(|segment| segment.streams.clone()).collect();
            let total = Total { facts: lost, bytes: 100 * lost };
            Action::Repair {
                remove,
                add,
                lost: vec![Lost { kind: Kind::Event, total, within }],
                found: Vec::new(),
                proven: Vec::new(),
                unverified: Vec::new(),
            }
        }
    };
    assert!(refusal(&ledger, repair(1)).contains("accounts for 1 and 1"));
    let state = ledger.commit(|state| Ok(Some(repair(2)(state)))).unwrap().unwrap();
    assert_eq!(count(&state), (3, 1, 0, 2));
    assert_eq!(state.imbalance(), None);

    // Some of the lost facts are found again.
    let again = |facts: u64| {
        move |_: &State| {
            let add = vec![merged(&[segment(StreamId(1), Seq(2))], 0)];
            let total = Total { facts, bytes: 100 * facts };
            let found = vec![Lost { kind: Kind::Event, total, within: add[0].streams.clone() }];
            let (remove, lost, proven, unverified) = Default::default();
            Action::Repair { remove, add, lost, found, proven, unverified }
        }
    };
    let invented = refusal(&ledger, again(2));
    assert!(invented.contains("accounts for 1 and 0"), "{invented}");
    let state = ledger.commit(|state| Ok(Some(again(1)(state)))).unwrap().unwrap();
    assert_eq!(count(&state), (3, 2, 0, 1));
    assert_eq!(state.imbalance(), None);
    ledger.commit(|state| Ok(Some(again(1)(state)))).unwrap().unwrap();
    assert!(refusal(&ledger, again(1)).contains("more facts than were lost"));
}

#[test]
fn a_salvage_covers_a_range_with_holes_that_it_names() {
    let (_scene, ledger) = three_facts();
    let stream = StreamId(1);
    let hole = |first, last| StreamRange { stream, first_seq: Seq(first), last_seq: Seq(last) };
    let salvage = |lost: Vec<StreamRange>| {
        move |_: &State| Action::Salvage {
            unverified: Vec::new(),
            range: hole(4, 9),
            last_recorded_at: UnixNanos(9),
            ends_stream: true,
            add: vec![segment(stream, Seq(4)), segment(stream, Seq(9))],
            lost: lost.clone(),
            imports: Vec::new(),
        }
    };
    for wrong in [vec![hole(5, 7)], vec![hole(5, 9)], vec![hole(1, 4)], vec![hole(8, 5)], vec![]] {
        let why = refusal(&ledger, salvage(wrong.clone()));
        assert!(why.contains("covers 6 facts"), "{wrong:?}: {why}");
    }
    let state = ledger.commit(|state| Ok(Some(salvage(vec![hole(5, 8)])(state)))).unwrap().unwrap();
    assert_eq!((state.committed(stream), state.unaccounted), (Seq(9), 4));
    assert_eq!(count(&state), (5, 5, 0, 0));
    assert_eq!(state.imbalance(), None);
    assert!(state.streams[&stream].ended);
}

#[test]
fn a_hold_is_there_until_it_is_released() {
    let (_scene, ledger) = three_facts();
    let hold = |_: &State| Action::Hold {
        name: "case 7".to_owned(),
        hold: Hold {
            kind: Some(Kind::Event),
            predicate: Some("system_id = 'shop'".to_owned()),
            reason: "asked for by the court".to_owned(),
            by: "ana".to_owned(),
        },
    };
    let release = |_: &State| Action::Release {
        name: "case 7".to_owned(),
        by: "ben".to_owned(),
        reason: String::new(),
    };
    assert!(refusal(&ledger, release).contains("no hold \"case 7\" exists"));
    let state = ledger.commit(|state| Ok(Some(hold(state)))).unwrap().unwrap();
    assert_eq!(state.holds["case 7"].by, "ana");
    assert!(refusal(&ledger, hold).contains("a hold \"case 7\" exists already"));
    let state = ledger.commit(|state| Ok(Some(release(state)))).unwrap().unwrap();
    assert!(state.holds.is_empty());
}

#[test]
fn a_rebuilt_ledger_begins_where_its_commit_says() {
    let (scene, ledger) = three_facts();
    let before = ledger.known();
    let rebuilt = Rebuilt {
        add: live(&before)[1..].to_vec(),
        streams: before.streams.clone().into_iter().collect(),
        dropped: vec![],
        unknown: vec!["one fact".to_owned()],
        ..Rebuilt::default()
    };
    let mut commit = Commit::after(&before, Action::Rebuild(Box::new(rebuilt)), UnixNanos(7));
    commit.parent.clear();
    fs::write(scene.path(4), commit.to_bytes().unwrap()).unwrap();
    // The commits before it are no longer part of the ledger.
    assert!(scene.failure().to_string().contains("the commit before it has digest"));
    (0..4).for_each(|number| fs::remove_file(scene.path(number)).unwrap());

    let state = scene.open().unwrap().known();
    assert_eq!((state.root, state.head.number), (CommitNumber(4), CommitNumber(4)));
    assert_eq!((count(&state), state.unaccounted), ((2, 2, 0, 0), 1));
    assert_eq!(state.imbalance(), None);
    commit_one(&scene.open().unwrap(), StreamId(1));
    assert_eq!(scene.open().unwrap().known().committed(StreamId(1)), Seq(4));
}

/// A segment that is noted as removed is deleted later.
#[test]
fn a_rebuilt_ledger_has_removed_nothing_but_segments() {
    for path in ["/etc/passwd", "events/../x.parquet", "ledger/00000000000000000000.json", "events/x"] {
        let (scene, ledger) = three_facts();
        let removed = Removed { path: path.to_owned(), bytes: 1, by: CommitNumber(1), proof: None };
        let rebuilt = Rebuilt { removed: vec![removed], ..Rebuilt::default() };
        let mut commit = Commit::after(&ledger.known(), Action::Rebuild(Box::new(rebuilt)), UnixNanos(7));
        commit.parent.clear();
        fs::write(scene.path(4), commit.to_bytes().unwrap()).unwrap();
        (0..4).for_each(|number| fs::remove_file(scene.path(number)).unwrap());
        assert_eq!(scene.failure().kind(), ErrorKind::Damaged, "{path}");
    }
}

#[test]
fn sums_that_do_not_hold_are_noticed() {
    let (_scene, ledger) = three_facts();
    let sound = (*ledger.known()).clone();
    assert_eq!(sound.imbalance(), None);
    let mut more = sound.clone();
    more.recorded[Kind::Event].facts += 1;
    assert_eq!(more.imbalance().unwrap(), "of 4 events recorded, 3 are live, 0 dropped and 0 lost");
    let mut bytes = sound.clone();
    bytes.recorded[Kind::Event].bytes += 1;
    assert!(bytes.imbalance().is_some());
    let mut numbers = sound;
    numbers.unaccounted = 1;
    assert!(numbers.imbalance().unwrap().contains("Some(3) facts, and the facts to Some(4)"));
}

/// Two repairs lost facts of the same numbers; one of the two files is put back as a whole.
#[test]
fn a_segment_that_is_back_takes_its_own_loss_and_not_that_of_another() {
    let older = segment(StreamId(1), Seq(1));
    let newer = Segment { blake3: "b".repeat(64), ..older.clone() };
    let loss = || Lost { kind: Kind::Event, total: Total::of(&older), within: older.streams.clone() };
    let commit = |number, action| Commit { number: CommitNumber(number), action, ..Commit::first() };
    let repair = |remove: Vec<Segment>, add: Vec<Segment>, lost, found| Action::Repair {
        remove,
        add,
        lost,
        found,
        proven: Vec::new(),
        unverified: Vec::new(),
    };
    let mut known = Vec::new();
    for (number, lost) in [(7, &older), (8, &newer)] {
        let action = repair(vec![lost.clone()], Vec::new(), vec![loss()], Vec::new());
        LossyRepair::add_commit(&mut known, &commit(number, action));
    }
    let back = repair(Vec::new(), vec![newer], Vec::new(), vec![loss()]);
    LossyRepair::add_commit(&mut known, &commit(9, back));
    let left: Vec<_> = known.iter().map(|repair| (repair.by, repair.lost_facts())).collect();
    assert_eq!(left, [(CommitNumber(7), older.rows)]);
}
