//! Consumer groups: every fact to one of the group, at least once, whatever is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use insta::assert_snapshot;
use ostracon::disk::{Disk, Fault, FaultPlan, PowerFailure};
use ostracon::{
    AnomalyKind, CompactOptions, Cursor, Durability, ErrorKind, FactId, Kind, RecoveryConfig, RecoveryMode,
    RetentionLimits, RetentionPolicy, ScanDepth, StartAt, Store, recover, scan,
};
use serde_json::Value;

use super::command::Folder;
use super::support::{any_fact, crash, scratch};

fn ids<T>(facts: &[ostracon::Recorded<T>]) -> Vec<FactId> {
    facts.iter().map(|fact| fact.position.id()).collect()
}

/// The names of all facts of a kind.
fn all(store: &Store, kind: Kind) -> BTreeSet<FactId> {
    let facts = store.after(&Cursor::start()).unwrap().map(Result::unwrap);
    facts.filter(|fact| fact.fact.kind() == kind).map(|fact| fact.position.id()).collect()
}

#[test]
fn each_fact_goes_to_one_consumer_and_is_pending_until_it_is_acknowledged() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    for n in 0..40 {
        store.record(any_fact(n)).unwrap();
        if n == 20 {
            store.flush().unwrap();
        }
    }
    let group = store.consumer_group(Kind::Event, "shippers").unwrap();
    assert_eq!(group.consume("a", 1).unwrap_err().kind(), ErrorKind::Refused, "it is not there yet");
    assert!(group.create(StartAt::Beginning).unwrap());
    assert!(!group.create(StartAt::Now).unwrap(), "it was there already");

    let to_a = group.consume("a", 7).unwrap();
    let to_b = group.consume("b", 100).unwrap();
    assert_eq!((to_a.len(), to_b.len()), (7, 13));
    let events: Vec<_> = all(&store, Kind::Event).into_iter().collect();
    assert_eq!([ids(&to_a), ids(&to_b)].concat(), events);
    assert!(group.consume("a", 100).unwrap().is_empty());

    assert_eq!(group.acknowledge(ids(&to_a[..3])).unwrap(), 3);
    assert_eq!(group.acknowledge(ids(&to_a[..3])).unwrap(), 0, "only once");
    let again = group.pending("a", None, 100).unwrap();
    assert_eq!(ids(&again), ids(&to_a[3..]));
    assert_eq!(again[0].fact, to_a[3].fact);
    assert_eq!(ids(&group.pending("a", Some(ids(&to_a)[4]), 1).unwrap()), ids(&to_a[5..6]));

    // Others see the same, in this process and in any other.
    let other = Store::open(folder.path().join("facts")).unwrap();
    let same = other.consumer_group(Kind::Event, "shippers").unwrap();
    let summary = same.summary().unwrap();
    assert_eq!(summary.pending, 17);
    let pending: Vec<_> = summary.consumers.iter().map(|c| (c.consumer.as_str(), c.pending)).collect();
    assert_eq!(pending, [("a", 4), ("b", 13)]);
    let stranger = other.record(crash(99)).unwrap();
    assert_eq!(ids(&group.consume("a", 100).unwrap()), [stranger.id()]);

    let twice = [ids(&to_b), ids(&to_b)].concat();
    let claimed = same.claim("c", Duration::ZERO, twice).unwrap();
    assert_eq!(ids(&claimed), ids(&to_b));
    assert!(group.claim("b", Duration::from_secs(3600), ids(&to_b)).unwrap().is_empty(), "just delivered");
    assert!(group.pending("b", None, 100).unwrap().is_empty());
    assert_eq!(group.claim_idle("d", Duration::ZERO, 5).unwrap().len(), 5);

    let names: Vec<_> =
        store.consumer_groups().unwrap().iter().map(|g| (g.kind(), g.name().to_owned())).collect();
    assert_eq!(names, [(Kind::Event, "shippers".to_owned())]);
    assert!(group.remove().unwrap() && !group.remove().unwrap());
    assert!(store.consumer_groups().unwrap().is_empty());
}

#[test]
fn a_group_begins_where_it_is_told_to() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    let group = |name: &str| store.consumer_group(Kind::Event, name).unwrap();
    for n in 0..3 {
        store.record(crash(n)).unwrap();
    }
    let stream = store.record(crash(3)).unwrap().stream;
    group("all").create("0".parse().unwrap()).unwrap();
    group("new").create("$".parse().unwrap()).unwrap();
    group("some").create(format!("{stream}:2").parse().unwrap()).unwrap();
    store.record(crash(4)).unwrap();
    let counts = ["all", "new", "some"].map(|name| group(name).consume("c", 100).unwrap().len());
    assert_eq!(counts, [5, 1, 3]);
    assert!("now".parse::<StartAt>().is_err());
}

#[test]
fn the_middle_of_a_large_segment_is_found_row_by_row() {
    let folder = scratch();
    let root = folder.path().join("facts");
    // Two streams in each segment of the compacted store.
    let stores = [Store::open(&root).unwrap(), Store::open(&root).unwrap()];
    for n in 0..3000 {
        stores[n as usize % 2].record(any_fact(n)).unwrap();
    }
    for store in &stores {
        store.flush().unwrap();
    }
    stores[0].compact(CompactOptions::new()).unwrap();
    let group = stores[1].consumer_group(Kind::Event, "g").unwrap();
    group.create(StartAt::Beginning).unwrap();
    let mut given = Vec::new();
    loop {
        let facts = group.consume("c", 97).unwrap();
        if facts.is_empty() {
            break;
        }
        // A few stay pending, in the middle of everything.
        group.acknowledge(ids(&facts[1..])).unwrap();
        given.extend(facts.into_iter().map(|fact| (fact.position.id(), fact.fact.to_line())));
    }
    let expected: Vec<_> = stores[0].after(&Cursor::start()).unwrap().map(Result::unwrap).collect();
    let expected = expected.into_iter().filter(|fact| fact.fact.kind() == Kind::Event);
    assert!(given.iter().cloned().eq(expected.map(|f| (f.position.id(), f.fact.to_line()))));
    let pending = group.pending("c", None, 100).unwrap();
    assert_eq!(pending.len(), given.len().div_ceil(97));
    let lines: BTreeSet<_> = given.into_iter().collect();
    assert!(pending.iter().all(|f| lines.contains(&(f.position.id(), f.fact.to_line()))));
}

#[test]
fn compaction_says_what_it_drops_before_a_group_has_acknowledged_it() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(10));
    let store = Store::builder().retention(policy).open(&root).unwrap();
    for n in 0..12 {
        store.record(crash(n)).unwrap();
        store.record(any_fact(1)).unwrap();
    }
    store.flush().unwrap();
    let behind = store.consumer_group(Kind::Event, "behind").unwrap();
    behind.create(StartAt::Beginning).unwrap();
    let done = store.consumer_group(Kind::Event, "done").unwrap();
    done.create(StartAt::Beginning).unwrap();
    store.consumer_group(Kind::Audit, "audits").unwrap().create(StartAt::Beginning).unwrap();
    // Delivered are only those that retention keeps; one of them is not acknowledged.
    let given = behind.consume("a", 4).unwrap();
    assert_eq!(behind.acknowledge(ids(&given[1..])).unwrap(), 3);
    let given = done.consume("a", 100).unwrap();
    assert_eq!(done.acknowledge(ids(&given)).unwrap(), 10);
    for n in 12..17 {
        store.record(crash(n)).unwrap();
        store.flush().unwrap();
    }
    let unacknowledged = |dry_run: bool| {
        let report = store.compact(CompactOptions::new().dry_run(dry_run)).unwrap();
        assert_eq!(report.dropped_facts(), 7);
        let told = report.unacknowledged.into_iter();
        told.map(|facts| (facts.group, facts.kind, facts.facts)).collect::<Vec<_>>()
    };
    // Of the seven oldest two were hidden before either group came by: nobody was given them. Three of the
    // other five the first group has acknowledged, and the second all of them.
    let expected = [("behind".to_owned(), Kind::Event, 4), ("done".to_owned(), Kind::Event, 2)];
    assert_eq!(unacknowledged(true), expected);
    assert_eq!(unacknowledged(false), expected);
    // What is gone can be given to nobody, and is pending no more.
    assert_eq!(behind.summary().unwrap().pending, 1);
    assert!(behind.pending("a", None, 100).unwrap().is_empty());
    assert_eq!(behind.summary().unwrap().pending, 0);
    assert_eq!(behind.consume("a", 100).unwrap().len(), 10);
}

#[test]
fn a_segment_that_goes_as_a_whole_is_counted_too() {
    let folder = scratch();
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(0));
    let store = Store::open(folder.path().join("facts")).unwrap();
    for n in 0..10 {
        store.record(crash(n)).unwrap();
    }
    store.flush().unwrap();
    for (name, acknowledged) in [("none", 0), ("some", 4), ("all", 10)] {
        let group = store.consumer_group(Kind::Event, name).unwrap();
        group.create(StartAt::Beginning).unwrap();
        let given = group.consume("c", 10).unwrap();
        group.acknowledge(ids(&given[..acknowledged])).unwrap();
    }
    store.consumer_group(Kind::Event, "new").unwrap().create(StartAt::Beginning).unwrap();
    store.close().unwrap();
    let store = Store::builder().retention(policy).open(folder.path().join("facts")).unwrap();
    let report = store.compact(CompactOptions::new()).unwrap();
    let told: Vec<_> =
        report.unacknowledged.iter().map(|facts| (facts.group.as_str(), facts.facts)).collect();
    assert_eq!(told, [("new", 10), ("none", 10), ("some", 6)]);
}

#[test]
fn what_is_hidden_stays_pending_and_bars_the_way_to_nothing() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..20 {
        store.record(crash(n)).unwrap();
    }
    store.flush().unwrap();
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    group.create(StartAt::Beginning).unwrap();
    let given = group.consume("gone", 100).unwrap();
    store.close().unwrap();
    let policy = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(5));
    let store = Store::builder().retention(policy).open(&root).unwrap();
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    let claimed = group.claim_idle("b", Duration::ZERO, 3).unwrap();
    assert_eq!(ids(&claimed), ids(&given[15..18]), "the oldest that is there comes first");
    assert_eq!(group.summary().unwrap().pending, 20);
    store.compact(CompactOptions::new()).unwrap();
    assert_eq!(group.claim_idle("b", Duration::ZERO, 100).unwrap().len(), 5);
    assert_eq!(group.summary().unwrap().pending, 5);
}

#[test]
fn a_flipped_bit_is_not_taken_for_how_far_a_group_has_come() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..60 {
        store.record(crash(n)).unwrap();
    }
    store.flush().unwrap();
    let segment = fs::read_dir(root.join("events")).unwrap().next().unwrap().unwrap().path();
    let sound = fs::read(&segment).unwrap();
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    group.create("1:10".parse().unwrap()).unwrap();
    let expected = all(&store, Kind::Event);
    let mut refused = 0;
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&segment, damaged).unwrap();
        match group.consume("c", 5) {
            Ok(facts) => assert!(ids(&facts).iter().all(|id| expected.contains(id)), "byte {at}: {facts:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "byte {at}: {error}");
                refused += 1;
            }
        }
        assert!(group.summary().unwrap().delivered.to_string().len() <= "1:60".len(), "byte {at}");
        group.remove().unwrap();
        group.create("1:10".parse().unwrap()).unwrap();
    }
    assert!(refused > sound.len() / 4, "{refused} of {}", sound.len());
    fs::write(&segment, sound).unwrap();
    assert_eq!(group.consume("c", 100).unwrap().len(), 50);
}

#[test]
fn what_is_no_file_is_damage_and_nobody_waits_for_it() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    group.create(StartAt::Beginning).unwrap();
    let place = root.join("consumers/events.g.00000000000000000099.json");
    std::os::unix::fs::symlink("nowhere", &place).unwrap();
    assert_eq!(group.consume("c", 1).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(store.compact(CompactOptions::new()).unwrap_err().kind(), ErrorKind::Damaged);
    assert!(!scan(&root, ScanDepth::Quick).unwrap().is_clean());
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.after.is_clean(), "{:?}", report.after.anomalies);
    assert!(group.consume("c", 1).unwrap().is_empty());
    // With its only state the group is gone, and that is said.
    fs::write(root.join("consumers/events.g.00000000000000000001.json"), "").unwrap();
    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("\"g\" for events is gone")), "{:?}", report.notes);
    assert_eq!(group.consume("c", 1).unwrap_err().kind(), ErrorKind::Refused);
}

fn newest_state(root: &Path) -> std::path::PathBuf {
    let mut states: Vec<_> =
        fs::read_dir(root.join("consumers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    states.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    states.sort();
    states.pop().unwrap()
}

#[test]
fn a_damaged_group_is_found_and_goes_on_from_the_state_before() {
    let folder = scratch();
    let root = folder.path().join("facts");
    let store = Store::open(&root).unwrap();
    for n in 0..10 {
        store.record(crash(n)).unwrap();
    }
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    group.create(StartAt::Beginning).unwrap();
    let given = group.consume("c", 6).unwrap();
    group.acknowledge(ids(&given)).unwrap();
    assert!(scan(&root, ScanDepth::Quick).unwrap().is_clean());

    let newest = newest_state(&root);
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let error = group.consume("c", 6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains("recover"), "{error}");
    // Nobody knows what it has not acknowledged.
    assert_eq!(store.compact(CompactOptions::new()).unwrap_err().kind(), ErrorKind::Damaged);
    let found = scan(&root, ScanDepth::Quick).unwrap();
    assert_eq!(found.anomalies.len(), 1);
    assert_eq!(found.anomalies[0].kind, AnomalyKind::ConsumerGroupDamaged);

    let report = recover(&root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.after.is_clean(), "{:?}", report.after.anomalies);
    assert_eq!(report.quarantined_files.len(), 1);
    // What was acknowledged last comes once more.
    assert_eq!(ids(&group.pending("c", None, 100).unwrap()), ids(&given));
    assert_eq!(group.consume("c", 100).unwrap().len(), 4);
}

/// What somebody does who consumes a store to its end, and deals with each fact before it is
/// acknowledged.
fn consume_all(store: &Store, done: &mut BTreeSet<FactId>) -> ostracon::Result<()> {
    let group = store.consumer_group(Kind::Event, "g")?;
    group.create(StartAt::Beginning)?;
    loop {
        let mut facts = group.pending("c", None, 3)?;
        if facts.is_empty() {
            facts = group.consume("c", 3)?;
        }
        if facts.is_empty() {
            return Ok(());
        }
        done.extend(ids(&facts));
        group.acknowledge(ids(&facts))?;
    }
}

#[test]
fn whatever_the_disk_does_every_fact_is_delivered() {
    let prepare = || {
        let folder = scratch();
        let root = folder.path().join("facts");
        let store = Store::open(&root).unwrap();
        for n in 0..8 {
            store.record(any_fact(n)).unwrap();
        }
        store.close().unwrap();
        (folder, root)
    };
    let maintain = |root: &Path, disk: Disk| {
        Store::builder().access(ostracon::Access::Maintain).disk(disk).open(root).unwrap()
    };
    let (_folder, root) = prepare();
    let rehearsal = FaultPlan::new();
    consume_all(&maintain(&root, Disk::with_plan(rehearsal.clone())), &mut BTreeSet::new()).unwrap();
    assert!(rehearsal.operations() > 20);
    for n in 1..=rehearsal.operations() {
        for plan in [
            FaultPlan::new().fail_at(n, Fault::Io),
            FaultPlan::new().fail_at(n, Fault::ShortWrite),
            FaultPlan::new().fail_from(n, Fault::NoSpace),
            FaultPlan::new().halt_at(n),
        ] {
            let (_folder, root) = prepare();
            let mut done = BTreeSet::new();
            // It may fail, or not notice.
            let _ = consume_all(&maintain(&root, Disk::with_plan(plan)), &mut done);
            let store = maintain(&root, Disk::new());
            let before = done.clone();
            consume_all(&store, &mut done).unwrap();
            assert_eq!(done, all(&store, Kind::Event), "operation {n}, {} were done before", before.len());
            assert_eq!(store.consumer_group(Kind::Event, "g").unwrap().summary().unwrap().pending, 0);
            drop(store);
            let found = scan(&root, ScanDepth::Quick).unwrap();
            assert!(found.is_clean(), "operation {n}: {:?}", found.anomalies);
        }
    }
}

#[test]
fn a_power_failure_delivers_again_and_forgets_nothing() {
    let parent = scratch();
    for n in 1.. {
        let folder = tempfile::tempdir_in(parent.path()).unwrap();
        let root = folder.path().join("facts");
        let plan = FaultPlan::new().record_for_power_failure(folder.path()).halt_at(n);
        let mut done = BTreeSet::new();
        let disk = Disk::with_plan(plan.clone());
        let consume = |done: &mut BTreeSet<FactId>| {
            let store = Store::builder().durability(Durability::Synced).disk(disk.clone()).open(&root)?;
            for fact in 0..8 {
                store.record(any_fact(fact))?;
            }
            store.flush()?;
            consume_all(&store, done)
        };
        let ended = consume(&mut done).is_ok();
        for choice in [PowerFailure::DropUnsynced, PowerFailure::KeepNames, PowerFailure::Random(n)] {
            let left = tempfile::tempdir_in(parent.path()).unwrap();
            plan.power_failure(folder.path(), left.path(), choice).unwrap();
            let root = left.path().join("facts");
            let store = Store::builder().disk(Disk::after_power_failure()).open(&root).unwrap();
            let mut done = done.clone();
            let was_done = done.len();
            consume_all(&store, &mut done).unwrap();
            let there = all(&store, Kind::Event);
            assert!(there.is_subset(&done), "operation {n}, {choice:?}: {there:?}, and {done:?} were done");
            assert!(was_done == 0 || there.len() == 4, "what was delivered was kept");
            let group = store.consumer_group(Kind::Event, "g").unwrap();
            assert_eq!(group.summary().unwrap().pending, 0);
            drop(store);
            let found = scan(&root, ScanDepth::Quick).unwrap();
            assert!(found.is_clean(), "operation {n}, {choice:?}: {:?}", found.anomalies);
        }
        if ended {
            break;
        }
    }
}

#[test]
fn of_many_consumers_at_once_none_is_given_what_it_does_not_get() {
    let folder = scratch();
    let store = Store::open(folder.path().join("facts")).unwrap();
    store.record_all((0..600).map(crash)).unwrap();
    store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Beginning).unwrap();
    let consume = |consumer: &str| {
        let group = store.consumer_group(Kind::Event, "g").unwrap();
        let mut got = Vec::new();
        loop {
            let facts = ids(&group.consume(consumer, 3).unwrap());
            if facts.is_empty() {
                return got;
            }
            assert_eq!(group.acknowledge(facts.iter().copied()).unwrap(), facts.len() as u64);
            got.extend(facts);
        }
    };
    let got = std::thread::scope(|scope| {
        let consumers = ["a", "b", "c", "d"].map(|name| scope.spawn(move || consume(name)));
        consumers.map(|consumer| consumer.join().unwrap())
    });
    let mut got: Vec<_> = got.into_iter().flatten().collect();
    got.sort_unstable();
    assert!(got.into_iter().eq(all(&store, Kind::Event)), "each of them once");
    assert_eq!(store.consumer_group(Kind::Event, "g").unwrap().summary().unwrap().pending, 0);
}

#[test]
fn consumers_in_several_processes_share_a_store_that_is_written() {
    let folder = Folder::new();
    let store = Store::open(folder.path("facts")).unwrap();
    store.consumer_group(Kind::Event, "g").unwrap().create(StartAt::Beginning).unwrap();
    let children: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let args = ["consume", "facts", "g", "--consumer", name, "--ack", "--follow"];
            let mut child = folder.command(&args).stdout(Stdio::piped()).spawn().unwrap();
            let out = BufReader::new(child.stdout.take().unwrap());
            let heard = Arc::new(AtomicBool::new(false));
            let hears = Arc::clone(&heard);
            let lines = std::thread::spawn(move || {
                let lines = out.lines().map_while(Result::ok);
                lines.inspect(|_| hears.store(true, Ordering::Relaxed)).collect::<Vec<_>>()
            });
            (child, lines, heard)
        })
        .collect();
    let group = store.consumer_group(Kind::Event, "g").unwrap();
    // Slowly enough, and for long enough, that all of them come by.
    let all_heard = || children.iter().all(|(_, _, heard)| heard.load(Ordering::Relaxed));
    for n in (0..6000).take_while(|n| *n < 600 || !all_heard()) {
        store.record(crash(n)).unwrap();
        if n % 20 == 0 {
            store.flush().unwrap();
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    let recorded = all(&store, Kind::Event);
    // One is killed in the middle of it; another takes over what it leaves.
    let (mut given, mut by_children) = (Vec::new(), Vec::new());
    for (at, (mut child, lines, _)) in children.into_iter().enumerate() {
        if at > 0 {
            let through = || {
                let summary = group.summary().unwrap();
                summary.delivered.to_string().ends_with(&format!(":{}", recorded.len()))
            };
            for _ in 0..300 {
                if through() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = lines.join().unwrap();
        by_children.push(lines.len());
        given.extend(lines);
    }
    let args = ["consume", "facts", "g", "--consumer", "last", "--ack", "--claim-idle", "0s"];
    given.extend(folder.run(&args).ok().out.lines().map(str::to_owned));
    let name = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        format!("{}:{}", line["stream"], line["seq"]).parse::<FactId>().unwrap()
    };
    assert_eq!(given.iter().map(name).collect::<BTreeSet<_>>(), recorded);
    assert!(by_children.iter().all(|lines| *lines > 0), "each had its share: {by_children:?}");
    assert_eq!(group.summary().unwrap().pending, 0);
    assert!(given.len() < recorded.len() * 3 / 2, "{} lines: the work was not shared", given.len());
}

#[test]
fn at_the_command_line() {
    let folder = Folder::with_known_facts();
    let lines = |said: &str| said.lines().count();
    let first = folder.run(&["consume", "facts", "shippers", "-n", "2"]).ok();
    assert_eq!(lines(&first.out), 2);
    assert_snapshot!(first.err, @r#"the group "shippers" is created"#);
    // Nobody has acknowledged them: they come again, and first.
    let again = folder.run(&["consume", "facts", "shippers", "-n", "3"]).ok();
    assert!(again.out.starts_with(&first.out));
    let listed = folder.run(&["group", "list", "facts"]).ok().out;
    assert_snapshot!(listed.replace("1s ago", "0s ago"), @r"
    shippers (events)
      place      2:3
      pending    3 facts
        3 facts of consumer, delivered up to 0s ago
    ");
    assert_snapshot!(folder.run(&["group", "ack", "facts", "shippers", "2:1", "2:2", "7:7"]).ok().err, @r"
    2 facts acknowledged
    1 fact not pending
    ");
    let rest = folder.run(&["consume", "facts", "shippers", "--ack"]).ok();
    let events = folder.run(&["sql", "facts", "-c", "SELECT count(*) FROM events", "--format", "tsv"]).ok();
    let events: usize = events.out.lines().last().unwrap().parse().unwrap();
    assert!(lines(&rest.out) >= events - 2, "{} of {events}", lines(&rest.out));
    assert_eq!(folder.run(&["consume", "facts", "shippers", "--ack"]).ok().out, "");
    let sql = "SELECT kind, group_name, consumer, pending FROM store.consumers";
    let told = folder.run(&["sql", "facts", "-c", sql, "--format", "csv"]).ok().out;
    assert_eq!(told, "kind,group_name,consumer,pending\nevents,shippers,,0\n");
    folder.run(&["group", "create", "facts", "others"]).ok();
    folder.run(&["consume", "facts", "others", "--consumer", "me", "-n", "2"]).ok();
    let sql =
        "SELECT consumer, pending, waiting_since < now() AS past FROM store.consumers WHERE pending > 0";
    let told = folder.run(&["sql", "facts", "-c", sql, "--format", "csv"]).ok().out;
    assert_eq!(told, "consumer,pending,past\nme,2,true\n");
    folder.run(&["group", "remove", "facts", "others"]).ok();
    let json = folder.run(&["group", "list", "facts", "--json"]).ok().out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["group"], &json[0]["pending"]), (&"shippers".into(), &0.into()));
    assert_snapshot!(folder.run(&["group", "create", "facts", "late", "--kind", "dead-letters", "--start", "$"]).ok().err, @r#"the group "late" is created"#);
    assert_eq!(folder.run(&["consume", "facts", "late", "--kind", "dead-letters"]).ok().out, "");
    assert_snapshot!(folder.run(&["group", "remove", "facts", "late", "--kind", "dead-letters"]).ok().err, @r#"the group "late" is removed"#);
    assert_snapshot!(folder.run(&["group", "remove", "facts", "late"]).failed(), @r#"error: cannot remove the group "late" of events: there is no such group"#);
    assert_snapshot!(folder.run(&["group", "ack", "facts", "nobody", "1:1"]).failed(), @r#"error: no consumer group "nobody" for events exists in facts; create it first"#);
    assert!(folder.run(&["group", "ack", "facts", "shippers", "1"]).failed().contains("1:120"));
}
