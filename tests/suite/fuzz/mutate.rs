//! What is done to a store's files: bits, bytes, cuts, swaps; and lies about lengths, where the
//! lengths are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::store::files;
use super::thrift::{Spot, spots};

/// Numbers from a seed: splitmix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One of these.
    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Numbers that are worth trying.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    127,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 2,
    (1 << 32) - 1,
    1 << 35,
    (1 << 63) - 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Mutates a store. Returns which files are not as they were, and what was done.
pub(super) fn mutate(root: &Path, random: &mut Random) -> (BTreeSet<PathBuf>, Vec<String>) {
    let (mut touched, mut told) = (BTreeSet::new(), Vec::new());
    for _ in 0..*random.of(&[1, 1, 1, 2, 3]) {
        let all: Vec<_> = files(root)
            .into_iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|e| ["parquet", "json", "journal", "state"].iter().any(|x| e == *x))
            })
            .filter(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0))
            .collect();
        let segments: Vec<_> =
            all.iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).cloned().collect();
        let among = if random.below(5) < 3 && !segments.is_empty() { &segments } else { &all };
        if among.is_empty() {
            break;
        }
        let path = random.of(among).clone();
        let other = random.of(&all).clone();
        let what = change_file(&path, &other, random, &mut touched);
        touched.insert(path.clone());
        told.push(format!("{}: {what}", path.strip_prefix(root).unwrap().display()));
    }
    let touched = touched.iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect();
    (touched, told)
}

fn change_file(path: &Path, other: &Path, random: &mut Random, touched: &mut BTreeSet<PathBuf>) -> String {
    match random.below(20) {
        0 => {
            fs::remove_file(path).unwrap();
            return "removed".to_owned();
        }
        1 if path != other => {
            let (bytes, others) = (fs::read(path).unwrap(), fs::read(other).unwrap());
            fs::write(path, others).unwrap();
            fs::write(other, bytes).unwrap();
            touched.insert(other.to_owned());
            return format!("swapped with {}", other.display());
        }
        2 => {
            let copy = path.with_file_name(format!("copy-{}", path.file_name().unwrap().to_string_lossy()));
            fs::copy(path, &copy).unwrap();
            return "copied".to_owned();
        }
        _ => {}
    }
    let mut bytes = fs::read(path).unwrap();
    let is_segment = bytes.ends_with(b"PAR1") && bytes.len() > 12;
    let what = match random.below(if is_segment { 12 } else { 6 }) {
        0 => flip(&mut bytes, random),
        1 => overwrite(&mut bytes, random),
        2 => cut(&mut bytes, random),
        3 => {
            let more: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
            bytes.extend(more);
            "bytes added at its end".to_owned()
        }
        4 => splice(&mut bytes, &fs::read(other).unwrap_or_default(), random),
        5 => {
            let (begin, length) = (random.below(bytes.len()), random.below(600));
            let end = bytes.len().min(begin + length);
            bytes[begin..end].fill(0);
            format!("zeros at {begin}..{end}")
        }
        6 => in_part(&mut bytes, random, flip),
        7 => in_part(&mut bytes, random, overwrite),
        8 | 9 => lie_in_footer(&mut bytes, random),
        10 => lie_in_page(&mut bytes, random),
        _ => lie_in_index(&mut bytes, random),
    };
    fs::write(path, bytes).unwrap();
    what
}

#[allow(clippy::ptr_arg, reason = "it is one of several that change a file")]
fn flip(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let count = *random.of(&[1, 1, 2, 8]);
    let mut told = "bits flipped at".to_owned();
    for _ in 0..count {
        let (at, bit) = (random.below(bytes.len()), random.below(8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
        told += &format!(" {at}");
    }
    told
}

#[allow(clippy::ptr_arg, reason = "it is one of several that change a file")]
fn overwrite(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let number = *random.of(NUMBERS);
    let with = match random.below(4) {
        0 => vec![*random.of(&[0x00, 0x7f, 0x80, 0xff])],
        1 => (number as u32).to_le_bytes().to_vec(),
        2 => number.to_le_bytes().to_vec(),
        _ => varint(number),
    };
    let at = random.below(bytes.len());
    for (place, byte) in bytes.iter_mut().skip(at).zip(&with) {
        *place = *byte;
    }
    format!("{with:?} written at {at}")
}

fn cut(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let end = match random.below(3) {
        0 => random.below(bytes.len()),
        1 => bytes.len().saturating_sub(1 + random.below(12)),
        _ => bytes.len().saturating_sub(1 + random.below(1500)),
    };
    let told = format!("cut at {end} of {}", bytes.len());
    bytes.truncate(end);
    told
}

fn splice(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) -> String {
    let from = random.below(other.len());
    let length = random.below(400).min(other.len() - from);
    let at = random.below(bytes.len());
    let end = if random.below(2) == 0 { at } else { bytes.len().min(at + length) };
    bytes.splice(at..end, other[from..from + length].iter().copied());
    format!("{length} bytes of another file at {at}")
}

/// Does something to the footer and what stands before it only.
fn in_part(bytes: &mut Vec<u8>, random: &mut Random, act: fn(&mut Vec<u8>, &mut Random) -> String) -> String {
    let begin = footer(bytes).map_or(0, |footer| footer.saturating_sub(800));
    let mut part = bytes.split_off(begin);
    let told = act(&mut part, random);
    bytes.extend(part);
    format!("from {begin} on: {told}")
}

fn footer(bytes: &[u8]) -> Option<usize> {
    let end = bytes.len().checked_sub(8)?;
    let length = u32::from_le_bytes(bytes.get(end..end + 4)?.try_into().unwrap());
    end.checked_sub(length as usize)
}

fn lie_in_footer(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let Some(begin) = footer(bytes) else { return flip(bytes, random) };
    let told = lie(bytes, begin, random);
    // Its length is as its bytes.
    let end = bytes.len() - 8;
    let length = (end - begin) as u32;
    bytes[end..end + 4].copy_from_slice(&length.to_le_bytes());
    format!("footer: {told}")
}

/// Goes from page to page, and stops at one.
fn lie_in_page(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let mut at = 4;
    for _ in 0..random.below(14) {
        let Some(end) = bytes.get(at..).and_then(page_end) else { break };
        at += end;
    }
    format!("page at {at}: {}", lie(bytes, at, random))
}

/// How long the page is that these bytes begin with.
fn page_end(bytes: &[u8]) -> Option<usize> {
    let (spots, length) = spots(bytes)?;
    let numbers = spots.iter().filter_map(|spot| match spot {
        Spot::Number { at, end } => Some(&bytes[*at..*end]),
        Spot::List { .. } => None,
    });
    let compressed = numbers.take(3).last()?;
    let number = compressed.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some(length + (number >> 1) as usize)
}

fn lie_in_index(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let Some(end) = footer(bytes) else { return flip(bytes, random) };
    // Where a struct begins that ends where another begins, or the footer does.
    let begins: Vec<_> = (end.saturating_sub(900)..end).filter(|at| bytes[*at] == 0x19).collect();
    if begins.is_empty() {
        return flip(bytes, random);
    }
    let at = *random.of(&begins);
    format!("index at {at}: {}", lie(bytes, at, random))
}

/// Changes a number or a length of the struct that begins here.
fn lie(bytes: &mut Vec<u8>, begin: usize, random: &mut Random) -> String {
    let Some((spots, _)) = bytes.get(begin..).and_then(spots).filter(|(spots, _)| !spots.is_empty()) else {
        return flip(bytes, random);
    };
    let number = *random.of(NUMBERS);
    let in_place = random.below(2) == 0;
    let spot = *random.of(&spots);
    let (at, end, with) = match spot {
        Spot::List { at, end, of_type } => {
            let mut with = vec![0xf0 | of_type];
            with.extend(varint(number));
            (begin + at, begin + end, with)
        }
        Spot::Number { at, end } => (begin + at, begin + end, varint(number)),
    };
    let end = if in_place { bytes.len().min(at + with.len()) } else { end };
    bytes.splice(at..end, with);
    format!("{spot:?} says {number}")
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
