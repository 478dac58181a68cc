//! What every scenario sends, reads back and counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use ostracon::{Audit, Cursor, DeadLetter, ErrorKind, Event, Fact, Json, Store};
use tempfile::TempDir;

/// The stream and the `seq` of a fact.
pub(crate) type Place = (u32, u64);

/// The fact of this number. Its kind, and all that is in it, follows from the number.
pub(crate) fn numbered(number: u64) -> Fact<'static> {
    let time = number as f64;
    let payload = Json::parse(format!(r#"{{"error": "KeyError: {number}", "n": {number}}}"#)).unwrap();
    match number % 3 {
        0 => Event::new("shop", format!("shop:{}", number % 7), "ActorCrashed", payload, time).into(),
        1 => {
            let mut audit = Audit::new("shop", time);
            audit.total_actors = number as i64;
            audit.into()
        }
        _ => DeadLetter::new("shop", Some("shop:1"), "Order", payload, time).into(),
    }
}

/// All facts there are behind a cursor, in order, which moves on. Each must be one that
/// [`numbered`] makes, to the last byte.
pub(crate) fn read_on(store: &Store, cursor: &mut Cursor) -> Vec<(Place, u64)> {
    let facts = store.after(cursor).unwrap().map(|fact| {
        let fact = fact.unwrap();
        cursor.advance(&fact);
        let number = fact.fact.timestamp().seconds() as u64;
        assert_eq!(fact.fact, numbered(number), "at {:?}", fact.position);
        ((fact.position.stream.get(), fact.position.seq.get()), number)
    });
    facts.collect()
}

pub(crate) fn read_all(store: &Store) -> Vec<(Place, u64)> {
    read_on(store, &mut Cursor::start())
}

/// Opens for reading only; `None` if nobody got as far as making a store.
pub(crate) fn reader(path: &Path) -> Option<Store> {
    match Store::builder().access(ostracon::Access::Read).open(path) {
        Ok(store) => Some(store),
        Err(error) if error.kind() == ErrorKind::NotAStore => None,
        Err(error) => panic!("a reader cannot open the store: {error}"),
    }
}

/// Fails unless each stream's facts are numbered 1, 2, 3, … in the order in which they come.
pub(crate) fn assert_gapless(facts: &[(Place, u64)]) {
    let mut last = BTreeMap::new();
    for ((stream, seq), number) in facts {
        let last = last.entry(stream).or_insert(0);
        assert_eq!(*seq, *last + 1, "fact {number} of stream {stream} comes behind {last}");
        *last = *seq;
    }
}

/// Fails unless these are the facts that one writer has left: those acknowledged, where it was
/// told, and at most one more, of those that were sent. Returns how many there are.
pub(crate) fn assert_left(left: &[(Place, u64)], first: u64, sent: u64, acked: &[Place]) -> usize {
    for (at, (place, number)) in left.iter().enumerate() {
        assert_eq!(*number, first + at as u64, "the facts are not those sent, in order: {left:?}");
        assert!(acked.get(at).is_none_or(|acked| acked == place), "fact {number} was acknowledged elsewhere");
    }
    assert!(
        left.len() >= acked.len(),
        "{} facts were acknowledged, and {} are there",
        acked.len(),
        left.len()
    );
    assert!(left.len() <= acked.len() + 1, "{} acknowledged, and {} are there", acked.len(), left.len());
    assert!(left.len() as u64 <= sent);
    left.len()
}

/// The numbers that a query answers, row by row.
pub(crate) fn rows(store: &Store, sql: &str) -> Vec<Vec<i64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() });
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| arrow::compute::cast(column, &DataType::Int64).unwrap())
            .collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            columns.iter().map(|column| column.as_primitive::<Int64Type>().value(row)).collect::<Vec<_>>()
        }));
    }
    rows
}

/// All facts' places and numbers, for a query's FROM.
pub(crate) const FACTS: &str = "(SELECT stream, seq, timestamp FROM events \
     UNION ALL SELECT stream, seq, timestamp FROM audits \
     UNION ALL SELECT stream, seq, timestamp FROM dead_letters)";

/// Fails unless SQL finds so many facts, all of them different, and the store's own books agree.
pub(crate) fn assert_conserved(store: &Store, facts: usize) {
    let found = rows(
        store,
        &format!(
            "SELECT count(*), count(DISTINCT stream * 1000000 + seq), count(DISTINCT timestamp) FROM {FACTS}"
        ),
    );
    assert_eq!(found, [vec![facts as i64; 3]], "facts, places, numbers");
    assert_books(store, facts);
}

/// Fails unless the store's books come to so many facts: rows in segments and what is not flushed,
/// rows in commits and what is not flushed, and the last numbers of all streams.
pub(crate) fn assert_books(store: &Store, facts: usize) {
    let found = rows(
        store,
        "SELECT (SELECT coalesce(sum(rows), 0) FROM store.segments) + unflushed AS segments,
                (SELECT coalesce(sum(rows_added), 0) FROM store.commits WHERE action <> 'compact') + unflushed AS commits,
                last AS streams
         FROM (SELECT coalesce(sum(unflushed), 0) AS unflushed, coalesce(sum(last_seq), 0) AS last
               FROM store.streams)",
    );
    assert_eq!(found, [vec![facts as i64; 3]], "segments, commits, streams");
}

/// Fails if any stream has a journal file.
pub(crate) fn assert_no_journal_files(store: &Path) {
    let streams = std::fs::read_dir(store.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let files =
        streams.flat_map(|stream| std::fs::read_dir(stream).unwrap().map(|entry| entry.unwrap().path()));
    let journals: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "journal")).collect();
    assert!(journals.is_empty(), "{journals:?}");
}

/// A store in a folder of its own, which is kept, and named with the seed and the round, when the
/// scenario fails.
pub(crate) struct Scene {
    folder: Option<TempDir>,
    pub(crate) store: PathBuf,
    pub(crate) seed: u64,
    pub(crate) round: u64,
}

impl Scene {
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: folder.path().join("facts"), folder: Some(folder), seed, round: 0 }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.folder.take().map(TempDir::keep);
            eprintln!("seed {}, round {}; the store is kept in {kept:?}", self.seed, self.round);
        }
    }
}

/// Random numbers that are the same in every run: SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
