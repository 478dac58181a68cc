//! What is left of a journal is cut, flipped, shuffled and padded, byte by byte: reading gives a
//! beginning of what was recorded or says that the journal is damaged, and never anything else.
//!
//! The journal is what a killed process leaves: a copy of the folder of a store that is open.

use std::fs;
use std::path::{Path, PathBuf};

use ostracon::disk::Disk;
use ostracon::{Cursor, Durability, ErrorKind, Result, Store};
use tempfile::TempDir;

use super::support;
use crate::support::copy_tree;

const FACTS: usize = 8;
const FILE_HEADER_BYTES: usize = 36;
const FRAME_HEADER_BYTES: usize = 24;

/// What a dead process left.
struct Left {
    folder: TempDir,
    journal: PathBuf,
    bytes: Vec<u8>,
    lines: Vec<String>,
}

/// The journal files of a stream, oldest first.
fn journals(root: &Path, stream: u32) -> Vec<PathBuf> {
    let folder = root.join("journal").join(stream.to_string());
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "journal")).collect();
    paths.sort();
    paths
}

impl Left {
    fn by_a_process_that_was_killed(durability: Durability) -> Self {
        let alive = support::scratch();
        let store = Store::builder().durability(durability).open(alive.path().join("facts")).unwrap();
        for n in 0..FACTS {
            store.record(support::any_fact(n as u64)).unwrap();
        }
        let folder = support::scratch();
        copy_tree(&alive.path().join("facts"), &folder.path().join("facts"));
        let journal = journals(&folder.path().join("facts"), 1).remove(0);
        let bytes = fs::read(&journal).unwrap();
        Self { folder, journal, bytes, lines: support::lines(&store) }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("facts")
    }

    /// Where frames begin, and the end of the last.
    fn frames(&self) -> Vec<usize> {
        let mut at = FILE_HEADER_BYTES;
        let mut frames = vec![at];
        while at < self.bytes.len() {
            let length = u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap());
            at += FRAME_HEADER_BYTES + length as usize;
            frames.push(at);
        }
        frames
    }

    /// Reads the store with a journal of these bytes, which reading must leave alone. What is
    /// given back is a beginning of what was recorded.
    fn read(&self, disk: &Disk, bytes: &[u8]) -> Result<usize> {
        fs::write(&self.journal, bytes).unwrap();
        let result = lines(&self.root(), disk);
        assert!(fs::read(&self.journal).unwrap() == bytes, "reading has changed the journal");
        match result {
            Ok(lines) => {
                assert_eq!(self.lines.get(..lines.len()), Some(&lines[..]));
                Ok(lines.len())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
                Err(error)
            }
        }
    }

    /// Opens the store with a journal of these bytes for writing, in a copy: what could be read
    /// before is there afterwards, once; what is damaged stays as it is.
    fn write(&self, disk: &Disk, bytes: &[u8]) {
        let readable = self.read(disk, bytes);
        let folder = support::scratch();
        let root = folder.path().join("facts");
        copy_tree(&self.root(), &root);
        let journal = root.join(self.journal.strip_prefix(self.root()).unwrap());

        let store = Store::builder().disk(disk.clone()).open(&root).unwrap();
        let position = store.record(support::crash(99)).unwrap();
        store.close().unwrap();
        drop(store);

        match readable {
            Ok(facts) => {
                let mut expected = self.lines[..facts].to_vec();
                expected.push(support::crash(99).to_line());
                assert_eq!(lines(&root, disk).unwrap(), expected);
                assert!(!journal.exists(), "its facts are in the ledger");
            }
            Err(_) => {
                assert!(position.stream.get() > 1, "the damaged stream goes on");
                assert!(fs::read(&journal).unwrap() == bytes, "a damaged journal was touched");
                assert_eq!(lines(&root, disk).unwrap_err().kind(), ErrorKind::Damaged);
            }
        }
    }
}

fn lines(root: &Path, disk: &Disk) -> Result<Vec<String>> {
    let store = Store::builder().disk(disk.clone()).access(ostracon::Access::Read).open(root)?;
    store.after(&Cursor::start())?.map(|fact| fact.map(|fact| fact.fact.to_line())).collect()
}

#[test]
fn a_journal_cut_at_any_byte_gives_every_whole_fact() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    let frames = left.frames();
    assert_eq!(frames.len(), FACTS + 1);
    for disk in [Disk::new(), Disk::after_power_failure()] {
        for len in 0..=left.bytes.len() {
            let whole = frames.iter().filter(|end| **end <= len).count().saturating_sub(1);
            let read = left.read(&disk, &left.bytes[..len]);
            if len < FILE_HEADER_BYTES {
                // A file gets its name when its header is on the disk.
                read.unwrap_err();
            } else {
                assert_eq!(read.unwrap(), whole, "cut at {len}");
            }
            if len % 61 == 0 {
                left.write(&disk, &left.bytes[..len]);
            }
        }
    }
}

/// The bytes with one of them flipped, for every byte in several ways.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let ways = [0x01, 0x80, 0xff, 0x24];
    (0..bytes.len()).flat_map(move |at| {
        ways.map(|way| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= way;
            (at, bytes)
        })
    })
}

#[test]
fn a_flipped_byte_in_a_journal_never_hides_a_fact_but_the_last() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    let last = left.frames()[FACTS - 1];
    let mut called_damaged = 0;
    for (n, (at, bytes)) in flips(&left.bytes).enumerate() {
        match left.read(&Disk::new(), &bytes) {
            // A length that is too large looks like a frame that is cut short, if it is the last.
            Ok(facts) => assert!(facts == FACTS - 1 && (last..last + 4).contains(&at), "flipped at {at}"),
            Err(_) => called_damaged += 1,
        }
        if n % 97 == 0 {
            left.write(&Disk::new(), &bytes);
        }
    }
    assert!(called_damaged > 3 * left.bytes.len());
}

#[test]
fn after_a_restart_of_the_machine_a_flipped_byte_gives_a_beginning_or_an_error() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    for (n, (_, bytes)) in flips(&left.bytes).enumerate() {
        let _ = left.read(&Disk::after_power_failure(), &bytes);
        if n % 97 == 0 {
            left.write(&Disk::after_power_failure(), &bytes);
        }
    }
}

#[test]
fn after_a_restart_a_flipped_byte_in_what_was_synced_is_damage() {
    let left = Left::by_a_process_that_was_killed(Durability::Synced);
    let frames = left.frames();
    assert!(frames.len() > FACTS + 1, "there are marks between the facts");
    let last = frames[frames.len() - 2];
    for (at, bytes) in flips(&left.bytes) {
        // Only the last fact has no mark behind it that says that it was synced.
        if let Ok(facts) = left.read(&Disk::after_power_failure(), &bytes) {
            assert!(
                facts >= FACTS - 1 && at >= frames[frames.len() - 3],
                "{facts} facts, flipped at {at} of {last}"
            );
        }
    }
}

#[test]
fn unused_space_behind_the_last_fact_is_no_damage() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    for zeros in [1, 3, 4, 23, 24, 25, 4096, 100_000] {
        let mut bytes = left.bytes.clone();
        bytes.resize(bytes.len() + zeros, 0);
        assert_eq!(left.read(&Disk::new(), &bytes).unwrap(), FACTS, "{zeros} zeros");
        left.write(&Disk::new(), &bytes);
    }
}

#[test]
fn garbage_behind_the_last_fact_hides_none() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..300 {
        let mut bytes = left.bytes.clone();
        for _ in 0..1 + n * 7 % 500 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((random >> 56) as u8);
        }
        for disk in [Disk::new(), Disk::after_power_failure()] {
            if let Ok(facts) = left.read(&disk, &bytes) {
                assert_eq!(facts, FACTS);
            }
            if n % 50 == 0 {
                left.write(&disk, &bytes);
            }
        }
    }
}

#[test]
fn frames_that_are_doubled_swapped_or_missing_are_damage() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    let ends = left.frames();
    let frames: Vec<&[u8]> = ends.windows(2).map(|frame| &left.bytes[frame[0]..frame[1]]).collect();
    let journal = |frames: &[&[u8]]| [&left.bytes[..FILE_HEADER_BYTES], &frames.concat()[..]].concat();
    let mut wrong = Vec::new();
    for at in 0..FACTS {
        let mut doubled = frames.clone();
        doubled.insert(at, frames[at]);
        wrong.push(doubled);
        if at + 1 < FACTS {
            let mut missing = frames.clone();
            missing.remove(at);
            wrong.push(missing);
            let mut swapped = frames.clone();
            swapped.swap(at, at + 1);
            wrong.push(swapped);
        }
    }
    for frames in wrong {
        let bytes = journal(&frames);
        assert!(left.read(&Disk::new(), &bytes).is_err());
        left.write(&Disk::new(), &bytes);
    }
}

#[test]
fn the_journal_of_another_stream_or_store_is_damage() {
    let alive = support::scratch();
    let root = alive.path().join("facts");
    let (first, second) = (Store::open(&root).unwrap(), Store::open(&root).unwrap());
    for n in 0..3 {
        first.record(support::any_fact(n)).unwrap();
        second.record(support::any_fact(10 + n)).unwrap();
    }
    let folder = support::scratch();
    copy_tree(&root, &folder.path().join("facts"));
    let root = folder.path().join("facts");
    assert_eq!(lines(&root, &Disk::new()).unwrap().len(), 6);

    let (own, other) = (journals(&root, 1).remove(0), journals(&root, 2).remove(0));
    let bytes = fs::read(&own).unwrap();
    fs::copy(&other, &own).unwrap();
    assert_eq!(lines(&root, &Disk::new()).unwrap_err().kind(), ErrorKind::Damaged);

    let stranger = Left::by_a_process_that_was_killed(Durability::Journaled);
    fs::copy(&stranger.journal, &own).unwrap();
    assert_eq!(lines(&root, &Disk::new()).unwrap_err().kind(), ErrorKind::Damaged);

    fs::write(&own, bytes).unwrap();
    assert_eq!(lines(&root, &Disk::new()).unwrap().len(), 6);
}

#[test]
fn a_journal_that_is_there_twice_counts_once() {
    let left = Left::by_a_process_that_was_killed(Durability::Journaled);
    let name = left.journal.file_name().unwrap().to_str().unwrap();
    let again = left.journal.with_file_name(name.replacen("00000001", "00000002", 1));
    assert_ne!(again, left.journal);
    fs::copy(&left.journal, again).unwrap();
    assert_eq!(left.read(&Disk::new(), &left.bytes).unwrap(), FACTS);
    left.write(&Disk::new(), &left.bytes);
}
