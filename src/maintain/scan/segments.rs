//! Checks whether a segment's file matches the ledger.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Span};
use super::super::inventory::{Form, is_absent, look_at};
use super::fact_set::FactSet;
use super::rows::Described;
use crate::disk::open_regular;
use crate::error::{Error, Result};
use crate::ledger::{Segment, StoreId, StreamRange};
use crate::segment::footer::Footer;
use crate::segment::is_damage;

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Checks segment files, one after another.
pub(super) struct Checker<'a> {
    pub(super) root: &'a Path,
    pub(super) store: StoreId,
    /// In a deep scan: the facts that were seen so far.
    pub(super) seen: Option<&'a Mutex<FactSet>>,
}

/// The findings in one segment.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) bytes: u64,
}

impl Checker<'_> {
    /// Checks the size and the footer; in a deep scan every byte and every row.
    pub(super) fn check(&self, segment: &Segment, progress: &dyn Fn(u64)) -> Result<Checked> {
        let mut checked = Checked::default();
        let path = self.root.join(&segment.path);
        let attempt = |error| Error::io("access", &path, error);
        let missing = |found: &str| {
            let expected = format!("a file of {} bytes", segment.bytes);
            found_in(segment, AnomalyKind::SegmentMissing, expected, found)
        };
        match look_at(&path)? {
            Some(found) if found.is_file() => {}
            found => {
                let words = found.map_or("nothing", |found| Form::of(&found).words());
                checked.anomalies.push(missing(words));
                return Ok(checked);
            }
        }
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => {
                checked.anomalies.push(missing("nothing"));
                return Ok(checked);
            }
            Err(error) => return Err(attempt(error)),
        };
        match self.check_bytes(&file, segment, progress, &mut checked.bytes) {
            Ok(None) => {}
            Ok(Some(found)) => checked.anomalies.push(found),
            // No file descriptors, no memory, or a server that cannot be reached: that says nothing about
            // the segment.
            Err(error) if is_damage(&error) => checked.anomalies.push(unreadable(segment, &error)),
            Err(error) => return Err(attempt(error)),
        }
        // No byte is decoded before all bytes are known to be the bytes that were written.
        let Some(seen) = self.seen.filter(|_| checked.anomalies.is_empty()) else { return Ok(checked) };
        checked.anomalies = match Described::read(&file, &path, segment, seen)? {
            Ok(described) => differences(segment, &described),
            Err(why) => {
                let expected = "pages that decode".to_owned();
                vec![found_in(segment, AnomalyKind::SegmentDamaged, expected, why)]
            }
        };
        Ok(checked)
    }

    /// Checks the size, the footer and, in a deep scan, the digest.
    fn check_bytes(
        &self,
        file: &File,
        segment: &Segment,
        progress: &dyn Fn(u64),
        read: &mut u64,
    ) -> io::Result<Option<Anomaly>> {
        let size = file.metadata()?.len();
        let footer = Footer::read(file, size)?;
        *read += size.min(16 << 10);
        let foreign = match &footer {
            Ok(footer) => self.foreign(footer, segment),
            Err(_) => None,
        };
        let (expected, found) = (|| says(segment), |what: String| (AnomalyKind::SegmentForeign, what));
        let wrong = match (foreign, footer) {
            (Some(what), _) => Some((expected(), found(what))),
            _ if size != segment.bytes => Some((
                format!("{} bytes", segment.bytes),
                (AnomalyKind::SegmentSize, format!("{size} bytes")),
            )),
            (None, Err(why)) => {
                Some(("a segment's footer".to_owned(), (AnomalyKind::SegmentDamaged, why.to_owned())))
            }
            (None, Ok(_)) => None,
        };
        if let Some((expected, (kind, found))) = wrong {
            return Ok(Some(found_in(segment, kind, expected, found)));
        }
        if self.seen.is_none() {
            return Ok(None);
        }
        let digest = digest(file, progress)?;
        *read += size;
        Ok((digest != segment.blake3).then(|| {
            let expected = format!("digest {}", segment.blake3);
            found_in(segment, AnomalyKind::SegmentDamaged, expected, format!("digest {digest}"))
        }))
    }

    /// Describes a file with this footer, if it is not the segment.
    fn foreign(&self, footer: &Footer, segment: &Segment) -> Option<String> {
        if let Err(what) = footer.check(self.store, segment.kind) {
            return Some(what);
        }
        let within = |range: &StreamRange| {
            footer.streams.iter().any(|other| {
                other.stream == range.stream
                    && other.first_seq <= range.first_seq
                    && other.last_seq >= range.last_seq
            })
        };
        if footer.rows == segment.rows && segment.streams.iter().all(within) {
            return None;
        }
        Some(format!("a segment of {} rows, {}", footer.rows, spans(&footer.streams)))
    }
}

/// The facts that the ledger says a segment has.
fn says(segment: &Segment) -> String {
    format!("a segment of {} {}, {}", segment.rows, segment.kind, spans(&segment.streams))
}

/// Ranges as text for people.
pub(super) fn spans(ranges: &[StreamRange]) -> String {
    const MOST: usize = 3;
    let mut texts: Vec<_> = ranges.iter().take(MOST).map(|range| Span::from(*range).to_string()).collect();
    if ranges.len() > MOST {
        texts.push(format!("and {} more ranges", ranges.len() - MOST));
    }
    if texts.is_empty() { "of no stream".to_owned() } else { texts.join(", ") }
}

/// Reports where the rows differ from the ledger's description.
fn differences(segment: &Segment, described: &Described) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let mut differ = |expected: String, found: String| {
        if expected != found {
            anomalies.push(found_in(segment, AnomalyKind::SegmentForeign, expected, found));
        }
    };
    differ(says(segment), described.says(segment.kind));
    differ(
        format!("facts of {} bytes", segment.fact_bytes),
        format!("facts of {} bytes", described.fact_bytes),
    );
    for (what, expected, found) in [
        ("recorded", Some(segment.recorded_at), described.recorded_at),
        ("timestamps", segment.timestamp, described.timestamp),
        ("wall times", Some(segment.at), described.at),
    ] {
        let range_text = |range: Option<crate::ledger::TimeRange>| match range {
            Some(range) => format!("{what} from {} to {}", range.min, range.max),
            None => format!("no {what}"),
        };
        differ(range_text(expected), range_text(found));
    }
    differ(
        format!("{} timestamps without a nanosecond", segment.timestamp_nulls),
        format!("{} timestamps without a nanosecond", described.timestamp_nulls),
    );
    if let Some((first, second)) = described.disorder {
        let expected = "facts of a stream in the order of their numbers and times".to_owned();
        let found = format!("{} after {}", place(second), place(first));
        anomalies.push(found_in(segment, AnomalyKind::SegmentForeign, expected, found));
    }
    if !described.again.is_empty() {
        let count: u64 = described.again.iter().filter_map(|range| range.facts()).sum();
        let found = format!("{count} facts that are in another segment, too: {}", spans(&described.again));
        let anomaly = found_in(segment, AnomalyKind::Imbalance, "every fact once".to_owned(), found);
        let spans = described.again.iter().copied().map(Span::from).collect();
        anomalies.push(anomaly.touching(Affected { facts: Some(count), spans, ..Affected::of(segment) }));
    }
    anomalies
}

fn place((stream, seq, recorded_at): super::rows::Place) -> String {
    format!("fact {seq} of stream {stream}, recorded at {recorded_at},")
}

fn found_in(segment: &Segment, kind: AnomalyKind, expected: String, found: impl Into<String>) -> Anomaly {
    Anomaly::new(kind, segment.path.clone(), expected, found).touching(Affected::of(segment))
}

fn unreadable(segment: &Segment, error: &io::Error) -> Anomaly {
    let expected = "a file that can be read".to_owned();
    found_in(segment, AnomalyKind::SegmentDamaged, expected, format!("the disk says: {error}"))
}

/// The digest of a whole file.
fn digest(mut file: &File, progress: &dyn Fn(u64)) -> io::Result<String> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(piece.get(..read).unwrap_or_default());
        progress(read as u64);
    }
    Ok(hasher.finalize().to_hex().to_string())
}
