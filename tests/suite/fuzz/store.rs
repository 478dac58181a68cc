//! The store that is mutated, and where its facts are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ostracon::disk::{Disk, FaultPlan};
use ostracon::{CompactOptions, Cursor, Import, Kind, StartAt, Store};

use crate::support;
use crate::support::copy_tree;

/// Facts of a flush.
const FLUSHED: u64 = 40;

/// A sound store, and what is in it.
pub(super) struct Sound {
    folder: tempfile::TempDir,
    /// Each fact's line, by stream and number.
    pub(super) facts: BTreeMap<(u32, u64), String>,
    /// Which file each fact is in, below the store.
    pub(super) homes: BTreeMap<(u32, u64), PathBuf>,
}

impl Sound {
    /// Two merged flushes, two more, an import, a group of consumers, and facts in the journals of
    /// two processes that have died.
    pub(super) fn new() -> Self {
        let folder = support::scratch();
        let root = folder.path().join("facts");
        let mut homes = BTreeMap::new();
        for writer in 0..2 {
            let plan = FaultPlan::new();
            let store = Store::builder().disk(Disk::with_plan(plan.clone())).open(&root).unwrap();
            let mut n = writer * 1000;
            for flush in 0..2 {
                record(&store, &mut n, FLUSHED);
                store.flush().unwrap();
                if writer == 0 && flush == 1 {
                    store.compact(CompactOptions::new()).unwrap();
                    let lines: String = (500..520).map(|n| support::any_fact(n).to_line() + "\n").collect();
                    store.import(lines.as_bytes(), Import::named("a file")).unwrap();
                    let group = store.consumer_group(Kind::Event, "mails").unwrap();
                    group.create(StartAt::Beginning).unwrap();
                    let given = group.consume("one", 7).unwrap();
                    group.acknowledge(given.iter().take(3).map(|fact| fact.position.id())).unwrap();
                }
            }
            record(&store, &mut n, 9);
            plan.halt_at(1);
        }
        find_homes(&root, &mut homes);
        let facts = facts(&root).unwrap();
        assert_eq!(homes.len(), facts.len());
        Self { folder, facts, homes }
    }

    /// The same store once more, in a folder of its own.
    pub(super) fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = support::scratch();
        copy_tree(self.folder.path(), folder.path());
        let root = folder.path().join("facts");
        (folder, root)
    }
}

fn record(store: &Store, n: &mut u64, facts: u64) {
    for _ in 0..facts {
        store.record(support::any_fact(*n)).unwrap();
        *n += 1;
    }
}

/// Every fact of a store.
pub(super) fn facts(root: &Path) -> ostracon::Result<BTreeMap<(u32, u64), String>> {
    let store = Store::builder().access(ostracon::Access::Read).open(root)?;
    let all = store.after(&Cursor::start())?;
    all.map(|fact| fact.map(|f| ((f.position.stream.get(), f.position.seq.get()), f.fact.to_line())))
        .collect()
}

/// Each fact's file: a segment, or else the newest journal file of its stream.
fn find_homes(root: &Path, homes: &mut BTreeMap<(u32, u64), PathBuf>) {
    for kind in Kind::ALL {
        for path in files(&root.join(kind.table())) {
            if path.extension().is_none_or(|e| e != "parquet") {
                continue;
            }
            let file = fs::File::open(&path).unwrap();
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let stream = column(&batch, "stream");
                let seq = column(&batch, "seq");
                for (stream, seq) in stream.into_iter().zip(seq) {
                    homes.insert((stream as u32, seq as u64), path.strip_prefix(root).unwrap().to_owned());
                }
            }
        }
    }
    for (place, _) in facts(root).unwrap() {
        homes.entry(place).or_insert_with(|| {
            let folder = root.join(format!("journal/{}", place.0));
            let mut journals = files(&folder);
            journals.retain(|path| path.extension().is_some_and(|e| e == "journal"));
            journals.last().unwrap().strip_prefix(root).unwrap().to_owned()
        });
    }
}

fn column(batch: &arrow::array::RecordBatch, name: &str) -> Vec<i64> {
    use arrow::array::AsArray;
    let column =
        arrow::compute::cast(batch.column_by_name(name).unwrap(), &arrow::datatypes::DataType::Int64)
            .unwrap();
    column.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
}

/// The files in a folder and below it.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}
