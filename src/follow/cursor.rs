//! Positions: the name of one fact, what has been dealt with, and what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{FactId, Recorded, Seq, StreamId};
use crate::ledger::{CommitNumber, State, StoreId, StreamRange, read_commit};
use crate::snapshot::Snapshot;

/// A position in every stream: what has been dealt with.
///
/// Its text form is short, and for keeping: `1:120,2:77` is fact 120 of stream 1 and fact 77 of
/// stream 2. Before that, and an `@`, stands of which store it is, and how far its ledger had come
/// ([`After::sign`](super::After::sign)): a cursor of another store, or of a later state than an older
/// copy of the store has, is refused instead of passing over facts. One that does not say so is
/// taken for one of the store that it is given to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    origin: Option<Origin>,
    passed: BTreeMap<StreamId, Seq>,
}

/// The store that a cursor is of, and the commit at which it was last moved.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    store: StoreId,
    commit: CommitNumber,
    /// The beginning of the commit's digest.
    digest: String,
}

/// So many digits of a commit's digest are kept.
const DIGEST_DIGITS: usize = 12;

impl Origin {
    fn of(state: &State) -> Self {
        Self { store: state.store, commit: state.head.number, digest: abridged(&state.head.blake3) }
    }

    /// The form of `text` before the `@`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let store = StoreId::try_from(parts.next()?.to_owned()).ok()?;
        let commit = CommitNumber(parts.next()?.parse().ok()?);
        let digest = parts.next()?.to_owned();
        let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && parts.next().is_none()).then_some(Self { store, commit, digest })
    }

    /// Whether a store has, or had, this commit; an error says why not.
    fn check(&self, ledger: &Path, state: &State) -> Result<(), String> {
        let (own, number) = (state.store, self.commit);
        if self.store != own {
            return Err(format!("it is of store {}, and this is store {own}", self.store));
        }
        if number > state.head.number {
            let head = state.head.number;
            return Err(format!(
                "it is of commit {number}, and the newest commit of the store is {head}: this is an older copy of the store"
            ));
        }
        let digest = if number == state.head.number {
            Some(state.head.blake3.clone())
        } else {
            // One that cannot be read, or that a rebuilt ledger no longer has, proves nothing.
            read_commit(ledger, number).ok().flatten().map(|(_, digest)| digest)
        };
        match digest {
            Some(digest) if abridged(&digest) != self.digest => Err(format!(
                "commit {number} of the store is another one than it was: this is an older copy of the store that has gone its own way, or its ledger was rebuilt"
            )),
            _ => Ok(()),
        }
    }
}

fn abridged(digest: &str) -> String {
    digest.get(..DIGEST_DIGITS).unwrap_or(digest).to_owned()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store.to_string().replace('-', "");
        write!(f, "{store}.{}.{}", self.commit, self.digest)
    }
}

impl Cursor {
    /// The position before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// Moves behind this fact.
    pub fn advance<T>(&mut self, fact: &Recorded<T>) {
        self.pass(fact.position.stream, fact.position.seq);
    }

    /// Moves behind a fact, unless it is behind it already.
    pub(crate) fn pass(&mut self, stream: StreamId, seq: Seq) {
        let passed = self.passed.entry(stream).or_default();
        *passed = seq.max(*passed);
    }

    /// Whether this fact has been dealt with.
    pub(crate) fn has_passed(&self, id: FactId) -> bool {
        id.seq <= self.seq(id.stream)
    }

    /// Whether it says of which store it is.
    pub fn is_signed(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether it is before everything.
    pub fn is_start(&self) -> bool {
        self.passed.values().all(|seq| seq.0 == 0)
    }

    /// From now on it is of this store, at this state.
    pub(crate) fn sign(&mut self, state: &State) {
        self.origin = Some(Origin::of(state));
    }

    /// The positions alone.
    pub(crate) fn unsigned(self) -> Self {
        Self { origin: None, ..self }
    }

    /// Refuses one that cannot be of the store that this snapshot is of: facts would be passed over that
    /// nobody has dealt with.
    pub(crate) fn check(&self, ledger: &Path, snapshot: &Snapshot) -> Result<()> {
        let refused = |why: String| {
            let cursor = Self { origin: None, passed: self.passed.clone() };
            let why = format!(
                "the cursor {cursor} does not belong to this store: {why}; with it, facts would be passed over; \
                 begin without a cursor, or with one of this store"
            );
            Err(Error::new(ErrorKind::Refused, why))
        };
        if let Some(origin) = &self.origin
            && let Err(why) = origin.check(ledger, &snapshot.state)
        {
            return refused(why);
        }
        if self.is_start() {
            return Ok(());
        }
        let newest: BTreeMap<StreamId, Seq> = snapshot.newest()?.into_iter().collect();
        for (stream, seq) in &self.passed {
            let end = newest.get(stream).copied().unwrap_or_default();
            // Numbers that a power failure took are not given out again: no fact comes after them.
            if *seq > end && !snapshot.may_have_lost_numbers(*stream) {
                return refused(if end.0 == 0 {
                    format!("it has no stream {stream}")
                } else {
                    format!("stream {stream} ends with fact {end}, and the cursor is at {seq}")
                });
            }
        }
        Ok(())
    }

    /// The last fact of a stream that has been dealt with.
    pub(crate) fn seq(&self, stream: StreamId) -> Seq {
        self.passed.get(&stream).copied().unwrap_or_default()
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}@")?;
        }
        for (at, (stream, seq)) in self.passed.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{stream}:{seq}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Query, format!("{text:?} is not a cursor; one looks like 1:120,2:77"));
        let (origin, positions) = match text.split_once('@') {
            Some((origin, positions)) => (Some(Origin::parse(origin).ok_or_else(wrong)?), positions),
            None => (None, text),
        };
        let mut passed = BTreeMap::new();
        for part in positions.trim().split(',').filter(|part| !part.is_empty()) {
            let (stream, seq) = part.split_once(':').ok_or_else(wrong)?;
            let stream = stream.trim().parse().map_err(|_| wrong())?;
            let seq = seq.trim().parse().map_err(|_| wrong())?;
            passed.insert(StreamId(stream), Seq(seq));
        }
        Ok(Self { origin, passed })
    }
}

/// Which facts somebody asks for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// Those behind a cursor.
    After(Cursor),
    /// Those of these names.
    These(BTreeSet<FactId>),
}

impl Wanted {
    /// Whether it is this one.
    pub(crate) fn is(&self, id: FactId) -> bool {
        match self {
            Self::After(cursor) => !cursor.has_passed(id),
            Self::These(ids) => ids.contains(&id),
        }
    }

    /// Whether all in this range of a stream are.
    pub(crate) fn are_all_of(&self, range: &StreamRange) -> bool {
        match self {
            Self::After(cursor) => range.first_seq > cursor.seq(range.stream),
            Self::These(_) => false,
        }
    }

    /// Whether there may be one in this range of a stream.
    pub(crate) fn may_be_in(&self, range: &StreamRange) -> bool {
        match self {
            Self::After(cursor) => range.last_seq > cursor.seq(range.stream),
            Self::These(ids) => {
                let id = |seq| FactId { stream: range.stream, seq };
                range.first_seq <= range.last_seq
                    && ids.range(id(range.first_seq)..=id(range.last_seq)).next().is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_short_text() {
        let cursor: Cursor = "2:77,1:120".parse().unwrap();
        assert_eq!(cursor.to_string(), "1:120,2:77");
        assert_eq!("".parse::<Cursor>().unwrap(), Cursor::start());
        let signed = "67e5504410b1426f9247bb680e5fe0c8.42.0123456789ab@1:120,2:77";
        let parsed: Cursor = signed.parse().unwrap();
        assert!(parsed.is_signed() && !cursor.is_signed());
        assert_eq!(parsed.to_string(), signed);
        assert_eq!(parsed.unsigned(), cursor);
        let other = "67e5504410b1426f9247bb680e5fe0c8.42.xyz@1:1";
        for wrong in ["1", "1:x", "a:1", "1:2:3", "@1:2", "1:2@1:2", other] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wanted_is_looked_for_where_it_may_be() {
        let range = |stream, first, last| StreamRange {
            stream: StreamId(stream),
            first_seq: Seq(first),
            last_seq: Seq(last),
        };
        let id = |text: &str| text.parse::<FactId>().unwrap();
        let after = Wanted::After("1:10".parse().unwrap());
        assert!(after.may_be_in(&range(1, 5, 11)) && !after.may_be_in(&range(1, 5, 10)));
        assert!(after.may_be_in(&range(2, 1, 1)));
        assert!(after.are_all_of(&range(1, 11, 12)) && !after.are_all_of(&range(1, 10, 12)));
        assert!(after.is(id("1:11")) && !after.is(id("1:10")) && after.is(id("3:1")));
        let these = Wanted::These([id("1:10"), id("2:7")].into());
        assert!(these.may_be_in(&range(1, 10, 12)) && !these.may_be_in(&range(1, 11, 12)));
        assert!(!these.may_be_in(&range(3, 1, 100)) && !these.may_be_in(&range(1, 12, 9)));
        assert!(!these.are_all_of(&range(2, 7, 7)));
        assert!(these.is(id("2:7")) && !these.is(id("2:8")));
    }
}
