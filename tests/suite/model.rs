//! The store against a plain list: whatever is recorded, flushed, closed and opened again, in
//! whatever order, every way of asking gives what the list gives.

use std::path::Path;

use ostracon::{Audit, Cursor, DeadLetter, Durability, Event, Fact, Json, Kind, Store};
use proptest::prelude::*;

use super::support;

/// Seconds that a nanosecond can hold, and some that it cannot.
const TIMES: [f64; 8] = [0.0, -0.0, 0.1, 1_795_404_290.123_456_7, -5.25, 1e300, 1e-300, f64::INFINITY];

#[derive(Clone, Debug)]
enum Step {
    Record(Given),
    Flush,
    Reopen(Durability),
    /// Another process looks.
    LookFromOutside,
    List {
        kind: Kind,
        limit: Option<usize>,
        since: Option<usize>,
    },
    /// Goes on from a cursor that has passed so many hundredths of the facts.
    After(usize),
    Count,
}

#[derive(Clone, Debug)]
struct Given {
    kind: Kind,
    text: String,
    time: usize,
}

impl Given {
    fn fact(&self) -> Fact<'static> {
        let (text, time) = (self.text.clone(), TIMES[self.time]);
        let payload = Json::string(&text);
        match self.kind {
            Kind::Event => Event::new("shop", text, "ActorCrashed", payload, time).into(),
            Kind::Audit => {
                let mut audit = Audit::new("shop", time);
                audit.total_actors = text.len() as i64;
                audit.registry_orphans = vec![text.into(); 2];
                audit.into()
            }
            _ => {
                DeadLetter::new("shop", (!text.is_empty()).then(|| text.clone()), text, payload, time).into()
            }
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn step() -> impl Strategy<Value = Step> {
    let given = (kind(), ".{0,12}", 0..TIMES.len()).prop_map(|(kind, text, time)| Given { kind, text, time });
    let durability =
        prop::sample::select(&[Durability::Buffered, Durability::Journaled, Durability::Synced][..]);
    let list = (kind(), prop::option::of(0..9_usize), prop::option::of(0..TIMES.len()));
    prop_oneof![
        12 => given.prop_map(Step::Record),
        2 => Just(Step::Flush),
        2 => durability.prop_map(Step::Reopen),
        1 => Just(Step::LookFromOutside),
        4 => list.prop_map(|(kind, limit, since)| Step::List { kind, limit, since }),
        2 => (0..=100_usize).prop_map(Step::After),
        1 => Just(Step::Count),
    ]
}

/// The list, and the store that is to be like it.
struct Scene<'a> {
    root: &'a Path,
    store: Store,
    durability: Durability,
    list: Vec<Fact<'static>>,
}

impl Scene<'_> {
    fn open(root: &Path, durability: Durability) -> Store {
        // A clock that stands still and jumps back: the order must not depend on it.
        let ticks = std::sync::atomic::AtomicI64::new(0);
        let clock = move || {
            let tick = ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            ostracon::UnixNanos::new(1_795_404_290_000_000_000 - tick / 3)
        };
        Store::builder().durability(durability).flush_rows(7).clock(clock).open(root).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.list.iter().map(Fact::to_line).collect()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Record(given) => {
                let position = self.store.record(given.fact()).unwrap();
                self.list.push(given.fact());
                assert_eq!(position.seq.get(), self.list.len() as u64);
            }
            Step::Flush => self.store.flush().unwrap(),
            Step::Reopen(durability) => {
                self.store.close().unwrap();
                assert_eq!(support::lines(&self.store), self.lines(), "closed");
                self.durability = durability;
                self.store = Self::open(self.root, durability);
            }
            Step::LookFromOutside => {
                let mut lines = self.lines();
                let found = support::lines_at(self.root);
                if self.durability == Durability::Buffered {
                    lines.truncate(found.len());
                }
                assert_eq!(found, lines);
            }
            Step::List { kind, limit, since } => {
                let since = since.map(|at| TIMES[at]);
                let found = self.store.list(kind, limit, since).unwrap();
                let found: Vec<_> = found.into_iter().map(|found| found.fact).collect();
                let matching = |fact: &&Fact<'_>| {
                    fact.kind() == kind && since.is_none_or(|since| fact.timestamp().seconds() >= since)
                };
                let mut expected: Vec<_> = self.list.iter().filter(matching).cloned().collect();
                expected.drain(..expected.len().saturating_sub(limit.unwrap_or(usize::MAX)));
                assert_eq!(found, expected, "{kind}, {limit:?}, {since:?}");
            }
            Step::After(hundredths) => {
                let passed = self.list.len() * hundredths / 100;
                let mut cursor = Cursor::start();
                for fact in self.store.after(&cursor).unwrap().take(passed) {
                    cursor.advance(&fact.unwrap());
                }
                // A cursor is text for somebody else to keep.
                let cursor: Cursor = cursor.to_string().parse().unwrap();
                let found: Vec<_> = self.store.after(&cursor).unwrap().map(|f| f.unwrap().fact).collect();
                assert_eq!(found, self.list[passed..]);
            }
            Step::Count => {
                for kind in Kind::ALL {
                    let expected = self.list.iter().filter(|fact| fact.kind() == kind).count();
                    let sql = format!("SELECT count(*) FROM {kind}");
                    assert_eq!(support::number(&self.store, &sql), expected as i64);
                }
                let newest = support::number(&self.store, &NEWEST.replace('\n', " "));
                assert_eq!(newest, self.list.len() as i64);
                assert_eq!(support::count(&self.store), self.list.len() as u64);
            }
        }
    }
}

const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM
    (SELECT seq FROM events UNION ALL SELECT seq FROM audits UNION ALL SELECT seq FROM dead_letters)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_like_a_list(steps in prop::collection::vec(step(), 1..60)) {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let store = Scene::open(&root, Durability::Journaled);
        let mut scene = Scene { root: &root, store, durability: Durability::Journaled, list: Vec::new() };
        for step in steps {
            scene.take(step);
        }
        scene.take(Step::Count);
        scene.take(Step::Reopen(Durability::Journaled));
        scene.take(Step::After(0));
    }
}
