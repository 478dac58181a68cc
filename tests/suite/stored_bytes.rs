//! Files that never change once they are there, changed: commits, checkpoints and segments are cut
//! and flipped, and every way of asking gives the right answer or says what is damaged.
//!
//! Nothing may panic, hang, or ask for memory by a number that a file made up. One limit is
//! known: a byte flipped within a segment's pages is only found by comparing the file's digest,
//! which is a scan's business and not a query's. So of segments the right *number* of rows is
//! demanded.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::{Cursor, Error, ErrorKind, Kind, Result, Store};
use tempfile::TempDir;

use super::support;

/// A store of a few flushes, closed.
struct Scene {
    folder: TempDir,
    lines: Vec<String>,
}

impl Scene {
    fn new(flushes: u64, each: u64) -> Self {
        let folder = support::scratch();
        let store = Store::open(folder.path().join("facts")).unwrap();
        for n in 0..flushes * each {
            store.record(support::any_fact(n)).unwrap();
            if (n + 1) % each == 0 {
                store.flush().unwrap();
            }
        }
        store.close().unwrap();
        Self { lines: support::lines(&store), folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }

    fn commit(&self, number: u64) -> PathBuf {
        self.root().join(format!("ledger/{number:020}.json"))
    }

    fn newest_commit(&self) -> u64 {
        (0..).find(|number| !self.commit(number + 1).exists()).unwrap()
    }

    /// Every fact, each time, from `after` and from `list`.
    fn ask(&self) -> Result<Vec<String>> {
        let store = Store::builder().access(ostracon::Access::Read).open(self.root())?;
        let lines: Vec<_> = store
            .after(&Cursor::start())?
            .map(|fact| fact.map(|fact| fact.fact.to_line()))
            .collect::<Result<_>>()?;
        let mut listed = 0;
        for kind in Kind::ALL {
            listed += store.list(kind, None, None)?.len();
            store.list(kind, Some(1), None)?;
        }
        assert_eq!(listed, lines.len());
        Ok(lines)
    }

    /// How many rows SQL reads, all columns of them.
    fn ask_sql(&self) -> Result<usize> {
        let store = Store::builder().access(ostracon::Access::Read).open(self.root())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut rows = 0;
            for kind in Kind::ALL {
                let answer = store.sql(&format!("SELECT * FROM {kind}")).await?;
                let batches = answer.collect().await?;
                rows += batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>();
            }
            Ok(rows)
        })
    }

    /// Asks with the file changed, and puts it right again.
    fn with<T>(&self, path: &Path, bytes: &[u8], ask: impl FnOnce(&Self) -> T) -> T {
        let sound = fs::read(path).unwrap();
        fs::write(path, bytes).unwrap();
        let answer = ask(self);
        fs::write(path, sound).unwrap();
        answer
    }
}

/// That the error names the damage, and is not taken for anything else.
fn assert_named(error: &Error, what: &str) {
    let named = [ErrorKind::Damaged, ErrorKind::NewerFormat];
    assert!(named.contains(&error.kind()), "{what}: {error:?}");
}

/// The most memory that this process has asked the system for so far, in bytes.
fn peak_of_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// That nothing in between has asked for memory that no store this small needs.
fn assert_modest(peak_before: u64) {
    let more = peak_of_memory() - peak_before;
    assert!(more < 1 << 30, "{more} bytes more than before");
}

fn flip(bytes: &[u8], at: usize, way: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= way;
    bytes
}

#[test]
fn a_changed_commit_without_a_copy_is_damage() {
    let scene = Scene::new(2, 8);
    // As in a store of an older program, which kept the ledger once.
    fs::remove_dir_all(scene.root().join("ledger-copy")).unwrap();
    let peak = peak_of_memory();
    // The newest one is vouched for by itself alone.
    for number in 0..=scene.newest_commit() {
        let path = scene.commit(number);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            for way in [0x01, 0x04, 0x80] {
                let what = format!("commit {number}, byte {at} ^ {way:#x}");
                let error = scene.with(&path, &flip(&bytes, at, way), Scene::ask).expect_err(&what);
                assert_named(&error, &what);
            }
            let error = scene.with(&path, &bytes[..at], Scene::ask).unwrap_err();
            assert_named(&error, &format!("commit {number}, cut at {at}"));
            if at % 101 == 0 {
                let error = scene.with(&path, &flip(&bytes, at, 0x01), Scene::ask_sql).unwrap_err();
                assert_named(&error, &format!("SQL, commit {number}, byte {at}"));
            }
        }
    }
    assert_modest(peak);
}

#[test]
fn a_changed_commit_or_a_changed_copy_of_it_makes_no_difference() {
    let scene = Scene::new(2, 8);
    for number in 0..=scene.newest_commit() {
        for path in support::both_files(&scene.root(), number) {
            let bytes = fs::read(&path).unwrap();
            for at in (0..bytes.len()).step_by(7) {
                for changed in [flip(&bytes, at, [0x01, 0x04, 0x80][at % 3]), bytes[..at].to_vec()] {
                    let lines = scene.with(&path, &changed, Scene::ask);
                    assert_eq!(lines.unwrap(), scene.lines, "{}, byte {at}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_changed_checkpoint_makes_no_difference() {
    let scene = Scene::new(129, 1);
    let path = scene.root().join("ledger/00000000000000000128.checkpoint");
    let bytes = fs::read(&path).unwrap();
    let peak = peak_of_memory();
    for at in (0..bytes.len()).step_by(2003).chain([64, 65, bytes.len() - 1]) {
        for changed in [flip(&bytes, at, 0x01), bytes[..at].to_vec()] {
            let summary = scene.with(&path, &changed, |scene| {
                Store::builder().access(ostracon::Access::Read).open(scene.root()).unwrap().summary().unwrap()
            });
            assert_eq!((summary.facts(), summary.commits), (129, 130), "byte {at}");
        }
    }
    assert_modest(peak);
    // Once in full: the commits lead to the same facts as the checkpoint.
    assert_eq!(scene.with(&path, b"", Scene::ask).unwrap(), scene.lines);
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let files = Kind::ALL.map(|kind| fs::read_dir(root.join(kind.table())).unwrap());
    files.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Changes every segment of a small store, and asks.
fn change_segments(change: impl Fn(&[u8]) -> Vec<(String, Vec<u8>)>) {
    let scene = Scene::new(1, 24);
    let peak = peak_of_memory();
    let segments = segments(&scene.root());
    assert_eq!(segments.len(), 3);
    for path in segments {
        let bytes = fs::read(&path).unwrap();
        for (n, (what, changed)) in change(&bytes).into_iter().enumerate() {
            let what = format!("{}, {what}", path.display());
            match scene.with(&path, &changed, Scene::ask) {
                Ok(lines) => assert_eq!(lines.len(), scene.lines.len(), "{what}"),
                Err(error) => assert_named(&error, &what),
            }
            if n % 8 == 0 {
                match scene.with(&path, &changed, Scene::ask_sql) {
                    Ok(rows) => assert_eq!(rows, scene.lines.len(), "SQL, {what}"),
                    // A footer that names other columns is an error of the plan, to DataFusion.
                    Err(error) if error.kind() == ErrorKind::Query => {}
                    Err(error) => assert_named(&error, &format!("SQL, {what}")),
                }
            }
        }
    }
    assert_modest(peak);
}

#[test]
fn a_segment_cut_short_is_damage() {
    change_segments(|bytes| {
        let lengths = (0..bytes.len()).step_by(37).chain(bytes.len() - 12..bytes.len());
        lengths.map(|len| (format!("cut at {len}"), bytes[..len].to_vec())).collect()
    });
}

#[test]
fn a_segment_with_bytes_behind_its_end_is_damage_or_right() {
    change_segments(|bytes| {
        let tails: [&[u8]; 4] =
            [b"\0", b"PAR1", &[0xff; 8], &[0x7f, 0xff, 0xff, 0x7f, b'P', b'A', b'R', b'1']];
        tails.map(|tail| (format!("{tail:?} behind it"), [bytes, tail].concat())).to_vec()
    });
}

#[test]
fn a_segment_with_a_flipped_byte_gives_its_number_of_rows_or_an_error() {
    change_segments(|bytes| {
        let flips = (0..bytes.len()).step_by(7).map(|at| {
            let way = [0x01, 0x80, 0xff, 0x40][at % 4];
            (format!("byte {at} ^ {way:#x}"), flip(bytes, at, way))
        });
        flips.collect()
    });
}

#[test]
fn a_segment_that_is_gone_is_damage() {
    let scene = Scene::new(1, 8);
    for path in segments(&scene.root()) {
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        assert_named(&scene.ask().unwrap_err(), "gone");
        assert_named(&scene.ask_sql().unwrap_err(), "gone, SQL");
        fs::rename(aside, path).unwrap();
    }
}
