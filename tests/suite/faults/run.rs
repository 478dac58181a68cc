//! The scenario, what it was told, and the comparison of that with what is left.

use std::collections::BTreeMap;
use std::path::Path;

use ostracon::disk::Disk;
use ostracon::{Cursor, Durability, Error, ErrorKind, Fact, Kind, Position, Store};

use crate::support;

/// Facts that are recorded between two flushes: the first of them are of all kinds, the later ones
/// of one, which makes for fewer segments and a shorter test.
const PART: usize = 5;

/// What a scenario did and was told.
pub(crate) struct Run {
    durability: Durability,
    /// Every fact that was given, as a line.
    pub(crate) given: Vec<String>,
    /// Which of them were acknowledged, and with which position.
    pub(crate) acknowledged: Vec<(usize, Position)>,
    /// How many of the acknowledged were in segments when the last flush succeeded.
    pub(crate) flushed: usize,
    pub(crate) errors: Vec<Error>,
}

/// What was attempted: printed when a check fails.
pub(crate) struct Because(pub(crate) String);

impl Drop for Because {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("because: {}", self.0);
        }
    }
}

impl Run {
    pub(crate) fn new(durability: Durability) -> Self {
        Self { durability, given: Vec::new(), acknowledged: Vec::new(), flushed: 0, errors: Vec::new() }
    }

    /// The same so far, without the errors.
    pub(crate) fn copy(&self) -> Self {
        Self {
            durability: self.durability,
            given: self.given.clone(),
            acknowledged: self.acknowledged.clone(),
            flushed: self.flushed,
            errors: Vec::new(),
        }
    }

    /// The whole scenario. Nothing that fails ends it, but a store that cannot be opened.
    pub(crate) fn play(&mut self, root: &Path, disk: &Disk) {
        // Who cannot open it tries again once.
        let Some(store) = self.open(root, disk).or_else(|| self.open(root, disk)) else { return };
        self.record_and_flush(&store);
        let closed = store.close();
        self.note_flush(closed);
    }

    pub(crate) fn open(&mut self, root: &Path, disk: &Disk) -> Option<Store> {
        match Store::builder().disk(disk.clone()).durability(self.durability).open(root) {
            Ok(store) => Some(store),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    pub(crate) fn record_and_flush(&mut self, store: &Store) {
        self.record_part(store);
        self.flush(store);
        self.record_part(store);
        self.flush(store);
        self.record(store);
        self.record(store);
    }

    /// Whether all facts of the part were acknowledged.
    pub(crate) fn record_part(&mut self, store: &Store) -> bool {
        (0..PART).fold(true, |all, _| self.record(store) && all)
    }

    /// Whether the fact was acknowledged.
    pub(crate) fn record(&mut self, store: &Store) -> bool {
        self.give(|fact| store.record(fact))
    }

    /// Whether the fact was appended, which does not say yet that it is safe.
    pub(crate) fn append(&mut self, store: &Store) -> bool {
        self.give(|fact| store.append(fact))
    }

    /// Whether all that was appended is safe.
    pub(crate) fn wait(&mut self, store: &Store) -> bool {
        let waited = self.acknowledged.last().map_or(Ok(()), |(_, last)| store.wait(*last));
        let safe = waited.is_ok();
        self.errors.extend(waited.err());
        safe
    }

    fn give(&mut self, record: impl FnOnce(Fact<'static>) -> Result<Position, Error>) -> bool {
        let n = self.given.len();
        let fact = if n < PART { support::any_fact(n as u64) } else { support::crash(n as u64) };
        self.given.push(fact.to_line());
        match record(fact) {
            Ok(position) => {
                self.acknowledged.push((n, position));
                true
            }
            Err(error) => {
                self.errors.push(error);
                false
            }
        }
    }

    pub(crate) fn flush(&mut self, store: &Store) -> bool {
        self.note_flush(store.flush())
    }

    fn note_flush(&mut self, flushed: Result<(), Error>) -> bool {
        match flushed {
            Ok(()) => {
                self.flushed = self.acknowledged.len();
                true
            }
            Err(error) => {
                self.errors.push(error);
                false
            }
        }
    }

    /// Opens what is left for reading, for writing and once more for reading, and checks it each
    /// time. The first `kept` of the acknowledged facts must be there.
    pub(crate) fn reopen(&mut self, root: &Path, disk: &Disk, kept: usize) {
        let durability = self.durability;
        let builder = || Store::builder().disk(disk.clone()).durability(durability);
        let before = match builder().access(ostracon::Access::Read).open(root) {
            Ok(reader) => self.check(&reader, kept),
            Err(error) => {
                // Its creation was cut short.
                assert_eq!((error.kind(), kept), (ErrorKind::NotAStore, 0), "{error}");
                Vec::new()
            }
        };

        let store = builder().open(root).unwrap();
        self.check_place_of_next(&store);
        store.close().unwrap();
        drop(store);

        let reader = builder().access(ostracon::Access::Read).open(root).unwrap();
        let after = self.check(&reader, kept);
        assert_eq!(after.get(..before.len()), Some(&before[..]));
        assert_eq!(after.len(), before.len() + 1);
        assert_eq!(reader.summary().unwrap().unflushed, 0);
    }

    /// Records a fact in a store that was opened again: its place must be nobody else's.
    fn check_place_of_next(&mut self, store: &Store) {
        let place = |position: Position| (position.stream, position.seq);
        let before = self.acknowledged.clone();
        assert!(self.record(store), "{:?}", self.errors);
        let (_, new) = self.acknowledged.pop().unwrap();
        // For facts that only memory was promised for, there may be no trace of their places.
        if self.durability != Durability::Buffered {
            for (n, old) in before {
                assert_ne!(
                    place(old),
                    place(new),
                    "fact {n}, acknowledged, and a later one have the same place"
                );
            }
        }
    }

    /// Checks that everything which is there was given, in that order, at most once; that the
    /// first `kept` acknowledged facts are there and the others, if at all, under their
    /// positions; that streams have no gaps; and that all ways of counting agree.
    pub(crate) fn check(&self, store: &Store, kept: usize) -> Vec<(Position, String)> {
        let found: Vec<_> = store
            .after(&Cursor::start())
            .unwrap()
            .map(|fact| fact.map(|fact| (fact.position, fact.fact.to_line())).unwrap())
            .collect();

        let mut next = BTreeMap::new();
        let mut there = BTreeMap::new();
        let mut last = None;
        for (position, line) in &found {
            let seq = next.entry(position.stream).or_insert(1);
            assert_eq!(position.seq.get(), *seq, "stream {} has a gap", position.stream);
            *seq += 1;
            let n = self.given.iter().position(|given| given == line);
            let n = n.unwrap_or_else(|| panic!("nobody gave {line}"));
            assert!(last < Some(n), "fact {n} comes after fact {last:?}");
            last = Some(n);
            there.insert(n, *position);
        }
        for (at, (n, position)) in self.acknowledged.iter().enumerate() {
            match there.get(n) {
                Some(found) => assert_eq!(found, position, "fact {n} has another position"),
                None => assert!(at >= kept, "fact {n} was acknowledged and is not there"),
            }
        }

        let summary = store.summary().unwrap();
        assert_eq!(summary.facts(), found.len() as u64);
        for kind in Kind::ALL {
            let listed: Vec<_> =
                store.list(kind, None, None).unwrap().iter().map(|f| f.fact.to_line()).collect();
            let tag = format!(r#"{{"kind": "{}""#, kind.tag());
            let of_kind: Vec<_> = found.iter().filter(|(_, line)| line.starts_with(&tag)).collect();
            assert!(listed.iter().eq(of_kind.iter().map(|(_, line)| line)), "{listed:?}\n{of_kind:?}");
            assert_eq!(summary.of(kind).facts, listed.len() as u64);
        }
        found
    }
}
