//! Corrects a flipped bit, with proof.
//!
//! The most frequent damage of a file at rest, by a disk or memory, is one flipped bit. The ledger has
//! the file's BLAKE3 digest. So each bit is flipped in turn, and the file that has the digest is the one
//! that was written. BLAKE3 hashes a tree of chunks of 1024 bytes, so one try costs one chunk and the
//! path to the root, not the whole file. For small files this is fast enough: [`MOST_BYTES`] take some
//! ten seconds.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use blake3::{CHUNK_LEN, Hash, Hasher};

/// The largest file that is tried.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// The file with one bit corrected, so that it has this digest; `None` if no single bit does it.
pub(super) fn put_right(bytes: &[u8], digest: &str) -> Option<Vec<u8>> {
    let mut search =
        Search { wanted: Hash::from_hex(digest).ok()?, bytes: bytes.to_vec(), above: Vec::new() };
    let found = search.within(0, bytes.len());
    found.then_some(search.bytes)
}

struct Search {
    wanted: Hash,
    bytes: Vec<u8>,
    /// The values beside the path down from the root, and whether they are on its left.
    above: Vec<(ChainingValue, bool)>,
}

impl Search {
    /// Searches this part of the file for the flipped bit. Returns whether it was found; then it stays
    /// corrected.
    fn within(&mut self, begin: usize, end: usize) -> bool {
        if end - begin <= CHUNK_LEN {
            return (begin..end).any(|at| (0..8).any(|bit| self.is_it(begin, end, at, bit)));
        }
        let middle = begin + left_subtree_len((end - begin) as u64) as usize;
        for (begin, end, beside, is_left) in
            [(begin, middle, middle..end, false), (middle, end, begin..middle, true)]
        {
            let value = self.value(beside.start, beside.end);
            self.above.push((value, is_left));
            if self.within(begin, end) {
                return true;
            }
            self.above.pop();
        }
        false
    }

    fn is_it(&mut self, begin: usize, end: usize, at: usize, bit: u8) -> bool {
        self.flip(at, bit);
        let found = self.digest(begin, end) == self.wanted;
        if !found {
            self.flip(at, bit);
        }
        found
    }

    fn flip(&mut self, at: usize, bit: u8) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// The digest of the whole file, if only this chunk has changed.
    fn digest(&self, begin: usize, end: usize) -> Hash {
        let Some((top, way)) = self.above.split_first() else {
            return blake3::hash(&self.bytes);
        };
        let value = way.iter().rev().fold(self.value(begin, end), |value, (beside, is_left)| {
            let (left, right) = if *is_left { (beside, &value) } else { (&value, beside) };
            merge_subtrees_non_root(left, right, Mode::Hash)
        });
        let (beside, is_left) = top;
        let (left, right) = if *is_left { (beside, &value) } else { (&value, beside) };
        merge_subtrees_root(left, right, Mode::Hash)
    }

    /// The value of a subtree that is not the whole file.
    fn value(&self, begin: usize, end: usize) -> ChainingValue {
        let mut hasher = Hasher::new();
        hasher.set_input_offset(begin as u64);
        hasher.update(self.bytes.get(begin..end).unwrap_or_default());
        hasher.finalize_non_root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        for length in [1_usize, 1024, 1025, 2048, 4000] {
            let whole: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
            let digest = blake3::hash(&whole).to_hex().to_string();
            for at in (0..length).step_by(397).chain([length - 1]) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                assert_eq!(put_right(&bytes, &digest).as_ref(), Some(&whole), "byte {at} of {length}");
            }
        }
    }

    #[test]
    fn two_flipped_bits_are_not() {
        let whole = vec![5; 1500];
        let digest = blake3::hash(&whole).to_hex().to_string();
        let mut bytes = whole;
        bytes[3] ^= 1;
        bytes[1400] ^= 1;
        assert_eq!(put_right(&bytes, &digest), None);
        assert_eq!(put_right(&[], &digest), None);
        assert_eq!(put_right(&[1, 2], "no digest"), None);
    }
}
