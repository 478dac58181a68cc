//! Reads the header of a page of a column from bytes that may be damaged.

use super::metadata_types::{BLOOM_FILTER_HEADER, PAGE_HEADER};
use super::thrift::Value;

/// The most bytes of a page's header.
pub(crate) const MOST_HEADER_BYTES: usize = 1 << 20;
/// The bytes that are read first: most headers are shorter.
pub(super) const HEADER_BYTES: usize = 256;

/// The best ratio of Zstandard: a block of four bytes stands for 128 KiB.
const MOST_RATIO: u64 = 1 << 15;

/// The types of a page.
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

/// `PLAIN`, `PLAIN_DICTIONARY`, `RLE` and `RLE_DICTIONARY`: for these, the memory that a decoder reserves
/// is limited by the number of values and the size of the page.
const ENCODINGS: [i64; 4] = [0, 2, 3, 8];
/// `DELTA_BINARY_PACKED`: for numbers only.
const DELTA: i64 = 5;
const RLE: i64 = 3;

/// The header of a page.
#[derive(Debug)]
pub(crate) struct PageHeader {
    form: i64,
    /// The number of bytes after the header.
    pub(crate) compressed: u64,
    pub(crate) uncompressed: u64,
    pub(crate) values: u64,
    /// The number of bytes of the header itself.
    pub(crate) header_bytes: u64,
    encoding: i64,
    levels_are_sound: bool,
}

impl PageHeader {
    /// Reads the header at the beginning of the bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (header, length) = Value::parse_first(bytes)?;
        if !PAGE_HEADER.fits(&header) {
            return None;
        }
        let number = |value: &Value<'_>, id| {
            let number = i32::try_from(value.integer(id)?).ok()?;
            u64::try_from(number).ok()
        };
        let form = header.integer(1)?;
        let uncompressed = number(&header, 2)?;
        let (part, encoding, levels_are_sound) = match form {
            DATA => {
                let part = header.field(5)?;
                let levels = part.integer(3)? == RLE && part.integer(4)? == RLE;
                (part, part.integer(2)?, levels)
            }
            DICTIONARY => {
                let part = header.field(7)?;
                (part, part.integer(2)?, true)
            }
            DATA_V2 => {
                let part = header.field(8)?;
                let levels = number(part, 5)?.checked_add(number(part, 6)?)?;
                let of_rows = number(part, 2)?.max(number(part, 3)?) <= number(part, 1)?;
                (part, part.integer(4)?, levels <= uncompressed && of_rows)
            }
            _ => return None,
        };
        Some(Self {
            form,
            compressed: number(&header, 3)?,
            uncompressed,
            values: number(part, 1)?,
            header_bytes: length as u64,
            encoding,
            levels_are_sound,
        })
    }

    pub(crate) const fn is_dictionary(&self) -> bool {
        self.form == DICTIONARY
    }

    /// Where the next page begins, if this one begins here.
    pub(crate) const fn end(&self, begin: u64) -> u64 {
        begin.saturating_add(self.header_bytes).saturating_add(self.compressed)
    }

    /// Whether a decoder can read the page without reserving more memory than its column needs.
    pub(crate) fn is_within(&self, most: &PageLimits) -> bool {
        self.uncompressed <= most.bytes.min(self.compressed.saturating_mul(MOST_RATIO))
            && self.values <= most.values
            && self.levels_are_sound
            && (ENCODINGS.contains(&self.encoding) || (most.numbers && self.encoding == DELTA))
    }
}

/// The number of bytes of the Bloom filter at the beginning of the bytes, including its header.
pub(crate) fn bloom_filter_bytes(bytes: &[u8]) -> Option<u64> {
    let (header, length) =
        Value::parse_first(bytes).filter(|(header, _)| BLOOM_FILTER_HEADER.fits(header))?;
    let bits = u64::try_from(header.integer(1)?).ok().filter(|bits| *bits > 0 && bits.is_multiple_of(32))?;
    bits.checked_add(length as u64)
}

/// The limits of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    /// The most bytes when it is not compressed.
    pub(crate) bytes: u64,
    pub(crate) values: u64,
    /// Whether its values are numbers.
    pub(crate) numbers: bool,
}
