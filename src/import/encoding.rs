//! The encoding of an input: plain text, or text compressed with gzip or zstd.
//!
//! The encoding is found from an input's first bytes, not from its name. An input that is neither text
//! nor supported is refused before anything is done with it. The error has its name and the command that
//! makes text of it.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use crate::error::{Error, ErrorKind, Result};

/// The most layers of compression that are unpacked.
const MOST_LAYERS: usize = 4;
/// The best ratio of compression: facts, with times and numbers in every line, never compress this well.
/// Such an input was made to fill a disk.
const MOST_TIMES: u64 = 5000;
/// The bytes that may be unpacked before the ratio is checked.
const ANY_BYTES: u64 = 1 << 30;
/// The place of the mark in a tar archive.
const TAR_MARK: usize = 257;

/// An input's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Text,
    Gzip,
    Zstd,
    /// Another format: its name, and the command that makes text of `FILE`.
    Other(&'static str, &'static str),
}

use Encoding::{Gzip, Other, Zstd};

const ICONV_16: &str = "iconv -f UTF-16 -t UTF-8 FILE";
const ICONV_32: &str = "iconv -f UTF-32 -t UTF-8 FILE";
const NOT_LINES: &str = "";

/// The first bytes of inputs. If one beginning is the prefix of another, the longer one comes first.
const SIGNATURES: &[(&[u8], Encoding)] = &[
    (b"\x1f\x8b", Gzip),
    (b"\x28\xb5\x2f\xfd", Zstd),
    (b"BZh", Other("bzip2", "bzcat FILE")),
    (b"\xfd7zXZ\0", Other("xz", "xzcat FILE")),
    (b"\x5d\0\0", Other("LZMA", "xzcat --format=lzma FILE")),
    (b"\x04\x22\x4d\x18", Other("lz4", "lz4cat FILE")),
    (b"\x1f\x9d", Other("compress (.Z)", "zcat FILE")),
    (b"LZIP", Other("lzip", "lzip -dc FILE")),
    (b"\xff\x06\0\0sNaPpY", Other("snappy", "snzip -dc FILE")),
    (b"PK\x03\x04", Other("zip", "unzip -p FILE")),
    (b"PK\x05\x06", Other("zip", "unzip -p FILE")),
    (b"7z\xbc\xaf\x27\x1c", Other("7-Zip", "7z x -so FILE")),
    (b"Rar!\x1a\x07", Other("RAR", "unrar p -inul FILE")),
    (b"PAR1", Other("Parquet", NOT_LINES)),
    (b"ARROW1", Other("Arrow", NOT_LINES)),
    (b"SQLite format 3\0", Other("an SQLite database", NOT_LINES)),
    (b"\xff\xfe\0\0", Other("UTF-32", ICONV_32)),
    (b"\0\0\xfe\xff", Other("UTF-32", ICONV_32)),
    (b"{\0\0\0", Other("UTF-32", "iconv -f UTF-32LE -t UTF-8 FILE")),
    (b"\0\0\0{", Other("UTF-32", "iconv -f UTF-32BE -t UTF-8 FILE")),
    (b"\xff\xfe", Other("UTF-16", ICONV_16)),
    (b"\xfe\xff", Other("UTF-16", ICONV_16)),
    (b"{\0", Other("UTF-16", "iconv -f UTF-16LE -t UTF-8 FILE")),
    (b"\0{", Other("UTF-16", "iconv -f UTF-16BE -t UTF-8 FILE")),
];

const TAR: Encoding = Other("a tar archive", "tar -xOf FILE");

impl Encoding {
    /// The encoding of an input with these first bytes; `None` if more bytes are needed.
    fn of(begin: &[u8], is_all: bool) -> Option<Self> {
        let is_skippable = |magic: &[u8]| matches!(magic, [0x50..=0x5f, rest @ ..] if b"\x2a\x4d\x18".starts_with(rest) || rest.starts_with(b"\x2a\x4d\x18"));
        let undecided = |magic: &&[u8]| begin.len() < magic.len() && magic.starts_with(begin);
        let mut magics = SIGNATURES.iter().map(|(magic, _)| *magic);
        if !is_all && (begin.is_empty() || magics.any(|magic| undecided(&magic))) {
            return None;
        }
        // A file that zstd wrote in parallel begins with a frame that holds no data.
        if begin.len() >= 4 && is_skippable(begin) {
            return Some(Zstd);
        }
        if !is_all && begin.len() < 4 && is_skippable(begin) {
            return None;
        }
        let known = SIGNATURES.iter().find(|(magic, _)| begin.starts_with(magic));
        if let Some((_, encoding)) = known {
            return Some(*encoding);
        }
        // An archive begins with a file's name, while a line of text ends after some bytes.
        match begin.get(TAR_MARK..TAR_MARK + 5) {
            Some(b"ustar") => Some(TAR),
            None if !is_all && is_archive(begin) => None,
            _ => Some(Self::Text),
        }
    }
}

/// Whether this may be a file's name, padded with zeros.
fn is_archive(begin: &[u8]) -> bool {
    let end = begin.iter().position(|byte| *byte == 0);
    end.is_some_and(|end| end > 0 && begin.iter().take(end).all(|byte| !byte.is_ascii_control()))
}

/// The text of an input, unpacked if it is packed. `name` is for messages.
///
/// It reads only as many bytes as it needs to find the encoding: live input is passed on as it arrives.
///
/// # Errors
/// [`ErrorKind::Refused`] if the input is not text, and the errors of reading.
pub fn text<'a>(input: impl Read + Send + 'a, name: &str) -> Result<Box<dyn Read + Send + 'a>> {
    unpack(input, name).map(|(text, _)| text)
}

/// Reads a packed input to its end, where its checksum shows whether the unpacked bytes are right. Of
/// plain text it reads only the beginning.
///
/// An input that is torn off, or that cannot be read, is not refused: its whole lines are imported.
///
/// # Errors
/// [`ErrorKind::Io`] if the input is damaged.
pub fn confirm(input: impl Read + Send, name: &str) -> Result<()> {
    let Ok((mut text, is_packed)) = unpack(input, name) else { return Ok(()) };
    if !is_packed {
        return Ok(());
    }
    match io::copy(&mut text, &mut io::sink()) {
        Err(error) if is_damage(&error) => {
            let attempt = format!("cannot unpack {name}: nothing of it was imported");
            Err(Error::with_source(ErrorKind::Io, attempt, error))
        }
        _ => Ok(()),
    }
}

/// The text of an input, and whether it was packed.
fn unpack<'a>(input: impl Read + Send + 'a, name: &str) -> Result<(Box<dyn Read + Send + 'a>, bool)> {
    let packed = Arc::new(Packed::default());
    let mut input: Box<dyn Read + Send + 'a> = Box::new(Counted { input, packed: Arc::clone(&packed) });
    for layer in 0..=MOST_LAYERS {
        let (encoding, begin) = sniff(&mut input).map_err(|error| cannot_read(name, error))?;
        let whole = io::Cursor::new(begin).chain(input);
        let attempt = |error| cannot_read(name, error);
        input = match encoding {
            Encoding::Text if layer == 0 => return Ok((Box::new(whole), false)),
            Encoding::Text => return Ok((Box::new(Unpacked { input: whole, bytes: 0, packed }), true)),
            Gzip => Box::new(Members(Some(GzDecoder::new(BufReader::new(whole))))),
            Zstd => Box::new(zstd::stream::read::Decoder::new(whole).map_err(attempt)?),
            Other(what, command) => return Err(refused(name, what, command)),
        };
    }
    let why = format!("cannot import {name}: it is packed more than {MOST_LAYERS} times over");
    Err(Error::new(ErrorKind::Refused, why))
}

/// Whether the bytes that were read before are sound: the input ended too early, or the operating system
/// could not read more of it.
pub(crate) fn is_torn(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error().is_some()
}

/// Whether a packed input is damaged, so that the bytes that were unpacked before may be wrong, too.
pub fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

fn cannot_read(name: &str, error: io::Error) -> Error {
    Error::with_source(ErrorKind::Io, format!("cannot read {name}"), error)
}

fn refused(name: &str, what: &str, command: &str) -> Error {
    let remedy = match command {
        NOT_LINES => "an import reads JSON lines".to_owned(),
        command if name == "-" => {
            let command = command.replace(" FILE", "");
            format!(
                "pipe it through the command that makes text of it: … | {command} | ostracon import STORE -"
            )
        }
        command => {
            format!("import the text in it: {} | ostracon import STORE -", command.replace("FILE", name))
        }
    };
    Error::new(
        ErrorKind::Refused,
        format!("cannot import {name}: this is {what}, not text in UTF-8; {remedy}"),
    )
}

/// Reads as many bytes as are needed to find the encoding.
fn sniff(input: &mut impl Read) -> io::Result<(Encoding, Vec<u8>)> {
    let mut begin = Vec::new();
    let mut room = [0; 512];
    loop {
        let read = match input.read(&mut room) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        begin.extend_from_slice(room.get(..read).unwrap_or_default());
        if let Some(encoding) = Encoding::of(&begin, read == 0) {
            return Ok((encoding, begin));
        }
    }
}

/// The members of a gzip file, one after another. Zeros after a member fill a block of a tape, or a file
/// whose size was set before it was written.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    /// Moves to the next member. Returns `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let Some(decoder) = &mut self.0 else { return Ok(false) };
        let input = decoder.get_mut();
        loop {
            let available = input.fill_buf()?;
            let zeros = available.iter().take_while(|byte| **byte == 0).count();
            let is_end = available.is_empty();
            let is_found = zeros < available.len();
            input.consume(zeros);
            if is_end {
                return Ok(false);
            }
            if is_found {
                self.0 = self.0.take().map(|decoder| GzDecoder::new(decoder.into_inner()));
                return Ok(true);
            }
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if room.is_empty() {
            return Ok(0);
        }
        while let Some(decoder) = &mut self.0 {
            match decoder.read(room) {
                Ok(0) => {
                    if !self.next()? {
                        break;
                    }
                }
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    // No bytes after this are read as a member.
                    self.0 = None;
                    return Err(error);
                }
                read => return read,
            }
        }
        Ok(0)
    }
}

/// The result of reading a packed input.
#[derive(Default)]
struct Packed {
    bytes: AtomicU64,
    /// The input could not be read further: an error after this is not damage.
    failed: AtomicBool,
}

/// A reader that counts the bytes that were read.
struct Counted<R> {
    input: R,
    packed: Arc<Packed>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(room).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.packed.failed.store(true, Ordering::Relaxed);
            }
        })?;
        self.packed.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The unpacked text of a packed input; an error if it is larger than real data can be.
struct Unpacked<R> {
    input: R,
    bytes: u64,
    packed: Arc<Packed>,
}

impl<R> Unpacked<R> {
    /// Marks an error of unpacking as [damage](is_damage), if it is damage.
    fn classify(&self, error: io::Error) -> io::Error {
        let is_below =
            self.packed.failed.load(Ordering::Relaxed) || error.kind() == io::ErrorKind::Interrupted;
        if is_below || is_torn(&error) { error } else { io::Error::new(io::ErrorKind::InvalidData, error) }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(room).map_err(|error| self.classify(error))?;
        self.bytes += read as u64;
        let packed = self.packed.bytes.load(Ordering::Relaxed).max(1);
        if self.bytes > ANY_BYTES && self.bytes / packed > MOST_TIMES {
            let why = format!("it unpacks to more than {MOST_TIMES} times its size: it has no facts");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(input: &[u8]) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        text(input, "facts.log")?.read_to_end(&mut read).map_err(|error| cannot_read("facts.log", error))?;
        Ok(read)
    }

    #[test]
    fn text_is_text_and_packed_text_is_unpacked() {
        let line = b"{\"kind\": \"event\"}\n".as_slice();
        let zstd = |text| zstd::stream::encode_all(text, 3).unwrap();
        for (input, text) in [
            (line.to_vec(), line.to_vec()),
            (Vec::new(), Vec::new()),
            (b"{".to_vec(), b"{".to_vec()),
            (b"P".to_vec(), b"P".to_vec()),
            (gzip(line), line.to_vec()),
            (zstd(line), line.to_vec()),
            ([gzip(line), gzip(line)].concat(), line.repeat(2)),
            ([gzip(line), vec![0; 9000]].concat(), line.to_vec()),
            ([gzip(line), vec![0; 512], gzip(line)].concat(), line.repeat(2)),
            ([zstd(line), zstd(line)].concat(), line.repeat(2)),
            ([b"\x50\x2a\x4d\x18\x02\0\0\0ab".to_vec(), zstd(line)].concat(), line.to_vec()),
            (gzip(&zstd(line)), line.to_vec()),
        ] {
            assert_eq!(read(&input).unwrap(), text);
        }
        let deep = (0..9).fold(line.to_vec(), |text, _| gzip(&text));
        assert!(read(&deep).unwrap_err().to_string().contains("more than 4 times over"));
    }

    #[test]
    fn what_is_no_text_is_named_with_the_command_that_makes_text_of_it() {
        let mut tar = vec![0; 1024];
        tar[..3].copy_from_slice(b"log");
        tar[TAR_MARK..TAR_MARK + 5].copy_from_slice(b"ustar");
        let wide: Vec<u8> = b"{\"kind\"".iter().flat_map(|byte| [*byte, 0]).collect();
        for (input, what) in [
            (
                b"BZh91AY&SY".as_slice(),
                "this is bzip2, not text in UTF-8; import the text in it: bzcat facts.log | ostracon import \
                 STORE -",
            ),
            (b"\xfd7zXZ\0\0", "this is xz"),
            (b"PK\x03\x04", "this is zip"),
            (b"\xff\xfe{\0", "this is UTF-16"),
            (b"\xff\xfe", "this is UTF-16"),
            (b"\xff\xfe\0\0{\0\0\0", "this is UTF-32"),
            (&wide, "iconv -f UTF-16LE -t UTF-8 facts.log"),
            (b"PAR1", "this is Parquet, not text in UTF-8; an import reads JSON lines"),
            (&tar, "tar -xOf facts.log"),
            (&gzip(&tar), "this is a tar archive"),
        ] {
            let error = read(input).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_line_is_known_as_text_before_the_next_one_comes() {
        for begin in ["{\"", "not a fact\n", "n", " ", "\n"] {
            assert_eq!(Encoding::of(begin.as_bytes(), false), Some(Encoding::Text), "{begin}");
        }
    }
}
