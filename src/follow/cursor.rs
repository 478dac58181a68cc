//! Positions: the name of one fact, the facts that were handled, and the facts that are requested.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::fact::{FactId, Recorded, Seq, StreamId};
use crate::ledger::{CommitNumber, State, StoreId, StreamRange, read_commit};
use crate::snapshot::Snapshot;

/// A position in every stream: the facts that were handled.
///
/// Its text form is short, and may be stored: `1:120,2:77` is fact 120 of stream 1 and fact 77 of stream
/// 2. A signed cursor begins with the identity of its store and the state of the store's ledger, and an
/// `@` ([`After::sign`](super::After::sign)). If such a cursor belongs to another store, or to a later
/// state than an older copy has, it is refused, so that no facts are skipped. A cursor without a
/// signature is accepted by every store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    origin: Option<Origin>,
    passed: BTreeMap<StreamId, Seq>,
}

/// The store of a cursor, and the commit at which the cursor was last moved.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    store: StoreId,
    commit: CommitNumber,
    /// The first digits of the commit's digest.
    digest: String,
}

/// The number of digits of a commit's digest that are kept.
const DIGEST_DIGITS: usize = 12;

impl Origin {
    fn of(state: &State) -> Self {
        Self { store: state.store, commit: state.head.number, digest: abridged(&state.head.blake3) }
    }

    /// Parses the part of a text before the `@`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let store = StoreId::try_from(parts.next()?.to_owned()).ok()?;
        let commit = CommitNumber(parts.next()?.parse().ok()?);
        let digest = parts.next()?.to_owned();
        let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && parts.next().is_none()).then_some(Self { store, commit, digest })
    }

    /// Checks whether a store has, or had, this commit; the error says why not.
    fn check(&self, ledger: &Path, state: &State) -> Result<(), String> {
        let (own, number) = (state.store, self.commit);
        if self.store != own {
            return Err(format!("it belongs to store {}, but this is store {own}", self.store));
        }
        if number > state.head.number {
            let head = state.head.number;
            return Err(format!(
                "it belongs to commit {number}, but the newest commit of the store is {head}: this is an \
                 older copy of the store"
            ));
        }
        let digest = if number == state.head.number {
            Some(state.head.blake3.clone())
        } else {
            // A commit that cannot be read, or that a rebuilt ledger no longer has, proves nothing.
            read_commit(ledger, number).ok().flatten().map(|(_, digest)| digest)
        };
        match digest {
            Some(digest) if abridged(&digest) != self.digest => Err(format!(
                "commit {number} of the store is another one than the cursor's: this is an older copy of the \
                 store that was written to since, or its ledger was rebuilt"
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
    /// The position before all facts.
    pub fn start() -> Self {
        Self::default()
    }

    /// Moves the cursor after this fact.
    pub fn advance<T>(&mut self, fact: &Recorded<T>) {
        self.pass(fact.position.stream, fact.position.seq);
    }

    /// Moves the cursor after a fact, unless it is after the fact already.
    pub(crate) fn pass(&mut self, stream: StreamId, seq: Seq) {
        let passed = self.passed.entry(stream).or_default();
        *passed = seq.max(*passed);
    }

    /// Whether this fact was handled.
    pub(crate) fn has_passed(&self, id: FactId) -> bool {
        id.seq <= self.seq(id.stream)
    }

    /// Whether the cursor names its store.
    pub fn is_signed(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether the cursor is before all facts.
    pub fn is_start(&self) -> bool {
        self.passed.values().all(|seq| seq.0 == 0)
    }

    /// Makes this the store and the state of the cursor.
    pub(crate) fn sign(&mut self, state: &State) {
        self.origin = Some(Origin::of(state));
    }

    /// The cursor without its store.
    pub(crate) fn unsigned(self) -> Self {
        Self { origin: None, ..self }
    }

    /// Refuses a cursor that does not fit the store of this snapshot: facts would be skipped that were
    /// not handled.
    pub(crate) fn check(&self, ledger: &Path, snapshot: &Snapshot) -> Result<()> {
        let refused = |why: String| {
            let cursor = Self { origin: None, passed: self.passed.clone() };
            let why = format!(
                "the cursor {cursor} does not belong to this store: {why}; it would skip facts; begin \
                 without a cursor, or with one of this store"
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
                    format!("stream {stream} ends with fact {end}, but the cursor is at {seq}")
                });
            }
        }
        Ok(())
    }

    /// The last fact of a stream that was handled.
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
        let wrong = || {
            Error::new(ErrorKind::Query, format!("{text:?} is not a cursor; write one such as 1:120,2:77"))
        };
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

/// The facts that a caller requests.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// All facts after a cursor.
    After(Cursor),
    /// The facts with these names.
    These(BTreeSet<FactId>),
}

impl Wanted {
    /// Whether this fact is requested.
    pub(crate) fn is(&self, id: FactId) -> bool {
        match self {
            Self::After(cursor) => !cursor.has_passed(id),
            Self::These(ids) => ids.contains(&id),
        }
    }

    /// Whether all facts in this range of a stream are requested.
    pub(crate) fn are_all_of(&self, range: &StreamRange) -> bool {
        match self {
            Self::After(cursor) => range.first_seq > cursor.seq(range.stream),
            Self::These(_) => false,
        }
    }

    /// Whether some facts in this range of a stream may be requested.
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
