//! A store in numbers.

use crate::error::Result;
use crate::fact::Kind;
use crate::store::Store;

/// What is in a store, in numbers: over all processes, and all time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    kinds: [KindSummary; 3],
    /// Facts that are in no segment yet.
    pub unflushed: u64,
    /// Streams that ever had a fact.
    pub streams: u64,
    /// Commits in the ledger.
    pub commits: u64,
}

/// What is in one table, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindSummary {
    /// Facts, flushed and unflushed.
    pub facts: u64,
    /// Live segments.
    pub segments: u64,
    /// Bytes of these.
    pub segment_bytes: u64,
    /// Bytes of the flushed facts as JSON lines.
    pub fact_bytes: u64,
}

impl Summary {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> KindSummary {
        self.kinds.get(kind.index()).copied().unwrap_or_default()
    }

    /// Facts of all kinds.
    pub fn facts(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.facts).sum()
    }
}

impl Store {
    /// Counts what is there now, from the ledger and the unflushed tail.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) and the operating system's errors.
    pub fn summary(&self) -> Result<Summary> {
        let snapshot = self.snapshot()?;
        let tail = snapshot.tail()?;
        let mut summary = Summary {
            unflushed: tail.iter().map(|chunk| chunk.facts()).sum(),
            streams: snapshot.newest()?.len() as u64,
            commits: snapshot.state.head.number.0 + 1,
            ..Summary::default()
        };
        for (kind, of) in Kind::ALL.into_iter().zip(&mut summary.kinds) {
            for segment in snapshot.state.segments(kind) {
                of.facts += segment.rows;
                of.segments += 1;
                of.segment_bytes += segment.bytes;
                of.fact_bytes += segment.fact_bytes;
            }
            of.facts += tail
                .iter()
                .filter_map(|chunk| chunk.rows(kind))
                .map(|r| r.batch.num_rows() as u64)
                .sum::<u64>();
        }
        Ok(summary)
    }
}
