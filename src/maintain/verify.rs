//! Verify: makes the balance sheet of a store, and checks that its history was not changed.
//!
//! The ledger has the numbers, and every commit has the digest of the one before. Keep one commit's
//! number and digest elsewhere ([`LedgerHead`]). Then you can check at any later time whether the store
//! still has the history up to that commit: a store that was rolled back ends before it, and a store that
//! was rewritten has another digest in its place. Without such a head, a store that was rolled back looks
//! like a younger one.
//!
//! Verifying reads commits and journals, and of the segments only the parts that show which facts the
//! rules hide. [`ScanDepth::Deep`] also reads the contents of the segments, and compares them with the
//! ledger. The balance sheet says whether this was done.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::anomaly::{Affected, Anomaly, AnomalyKind, Note, Span};
use super::changes::Changes;
use super::commit_chain;
use super::inventory::is_absent;
use super::scan::surroundings::ahead_of_the_clock;
use super::scan::{ScanDepth, Scene, check_is_store, open_journals, scan};
use crate::context::Context;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, PerKind, UnixNanos};
use crate::ledger::{Ledger, Segment, State};
use crate::retention::{ConditionParser, hidden_in_segments};

/// A commit, by number and digest. Keep it elsewhere, to detect later that a store was rolled back or
/// rewritten.
///
/// Its text form is `42:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerHead {
    /// The commit's number.
    pub commit: u64,
    /// The BLAKE3 digest of its file, in hex.
    pub blake3: String,
}

impl fmt::Display for LedgerHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.commit, self.blake3)
    }
}

impl FromStr for LedgerHead {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.trim().split_once(':').and_then(|(commit, blake3)| {
            let blake3 = blake3.to_ascii_lowercase();
            let sound = blake3.len() == 64 && blake3.bytes().all(|digit| digit.is_ascii_hexdigit());
            Some(Self { commit: commit.parse().ok()?, blake3 }).filter(|_| sound)
        });
        let what =
            || format!("{text:?} is no head of a ledger; one looks like 42: and 64 hexadecimal digits");
        parts.ok_or_else(|| Error::new(ErrorKind::Query, what()))
    }
}

impl Serialize for LedgerHead {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// The balance sheet of a store: what became of every fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BalanceSheet {
    /// The newest commit; `None` if none can be read.
    pub head: Option<LedgerHead>,
    /// When the newest commit was made.
    pub at: Option<UnixNanos>,
    /// The commit that begins the ledger: 0, unless the ledger was rebuilt.
    pub root: u64,
    /// The facts that were unknown when the ledger was rebuilt, as text, if it was rebuilt.
    pub rebuilt: Option<Vec<String>>,
    /// Commits that were read.
    pub commits: u64,
    /// The balance of each kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<KindBalance>,
    /// Numbers that streams gave out and that the ledger covers. They belong to recorded facts of all
    /// kinds, to facts that were lost from journals, or are unaccounted for.
    pub numbers: u64,
    /// Facts that were acknowledged, and lost from a damaged journal before they were in a segment. Their
    /// kinds are unknown.
    pub lost_from_journals: u64,
    /// Numbers whose facts are unknown: from before the ledger was rebuilt.
    pub unaccounted: u64,
    /// Facts that were read from damaged files during a recovery, and that may differ from the recorded
    /// facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Affected>,
    /// The names of the holds in force.
    pub holds: Vec<String>,
    /// The result of the comparison with a head that was kept elsewhere, if one was given.
    pub against: Option<Against>,
    /// The changes since that head, if the store still has the history up to it.
    pub changes: Option<Changes>,
    /// Whether the contents of all live segments were read and compared with the ledger.
    pub contents_read: bool,
    /// Anomalies of the ledger, of the journals, and of the sizes of the segments' files.
    pub anomalies: Vec<Anomaly>,
    /// Notes that are not damage, such as facts that are stamped ahead of the clock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// The balance of one kind: recorded facts are live, dropped or lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KindBalance {
    /// The kind of the facts.
    pub kind: Kind,
    /// All facts of the kind that the ledger ever covered.
    pub recorded: u64,
    /// Recorded facts that are in live segments.
    pub live: u64,
    /// Live facts that reads return; `None` if that could not be found out.
    pub kept: Option<u64>,
    /// Live facts that the retention rules in `ostracon.toml` hide until a compaction drops them; `None`
    /// if that could not be found out.
    pub hidden: Option<u64>,
    /// Recorded facts that retention rules dropped, by the rule's name.
    pub dropped: BTreeMap<String, u64>,
    /// Recorded facts that could not be read when their segment was repaired.
    pub lost: u64,
    /// Facts of the kind in the journals that the ledger does not cover yet.
    pub unflushed: u64,
}

/// Whether a store still has the history up to a head that was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Against {
    /// The head is in the history. [`BalanceSheet::changes`] has the changes since.
    Contained {
        /// The number of commits after the head.
        since: u64,
    },
    /// The store's newest commit is older than the head: the store was rolled back.
    RolledBack {
        /// The newest commit of the store.
        newest: u64,
    },
    /// Another commit has the head's number: the store was rewritten, or is another one.
    Rewritten {
        /// The digest of the store's commit with that number.
        found: String,
    },
    /// The commit cannot be read, or is from before the ledger was rebuilt.
    Gone,
}

impl BalanceSheet {
    /// Whether the chain holds, the numbers add up, and the head that was kept is part of the chain.
    pub fn is_sound(&self) -> bool {
        self.anomalies.is_empty()
            && self.against.as_ref().is_none_or(|against| matches!(against, Against::Contained { .. }))
    }

    /// Whether facts from before or after the head are gone or may differ from the recorded ones: they
    /// were dropped by rules, lost, or read from damaged files.
    pub fn took_facts(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::took_facts)
    }
}

/// Adds up the store at `root`, from its first commit to its head. With [`ScanDepth::Deep`] it also reads
/// the contents of all segments.
pub(crate) fn verify(
    root: &Path,
    against: Option<&LedgerHead>,
    depth: ScanDepth,
    parser: ConditionParser,
) -> Result<BalanceSheet> {
    let mut sheet = add_up(root, against, parser)?;
    if depth == ScanDepth::Deep {
        let found = scan(root, depth, parser)?.anomalies.into_iter();
        let is_known = |found: &Anomaly| {
            sheet.anomalies.iter().any(|known| (known.kind, &known.path) == (found.kind, &found.path))
        };
        let new: Vec<_> = found.filter(|found| !is_known(found)).collect();
        sheet.anomalies.extend(new);
        sheet.contents_read = true;
    }
    Ok(sheet)
}

/// The number of facts in the segments of each kind that the rules hide.
fn hidden(context: &Context) -> Result<PerKind<u64>> {
    let snapshot = context.snapshot()?;
    let selection = context.selection(&snapshot, context.now())?;
    hidden_in_segments(&context.root, &selection, &snapshot)
}

fn add_up(root: &Path, against: Option<&LedgerHead>, parser: ConditionParser) -> Result<BalanceSheet> {
    let disk = Disk::new();
    check_is_store(root)?;
    let mut streams = open_journals(&disk, root)?;
    let mut kept = None;
    let mut changes = Changes::default();
    let mut chain = commit_chain::walk(root, |commit, digest| {
        let Some(against) = against else { return };
        match commit.number.0.cmp(&against.commit) {
            Ordering::Less => {}
            Ordering::Equal => kept = Some(digest.to_owned()),
            Ordering::Greater => changes.add(commit),
        }
    })?;
    let scene = Scene::new(root, &disk, parser);
    // The sheet is of one moment: commits that are added while the journals are read do not count.
    let state = chain.state.clone();
    let mut unflushed = PerKind::<u64>::default();
    let mut anomalies = Vec::new();
    for files in &mut streams {
        let committed = state.as_ref().map_or_else(Default::default, |state| state.committed(files.stream));
        let judged = files.judge(state.as_ref().map(|state| state.store), committed)?;
        for (total, more) in unflushed.iter_mut().zip(judged.unflushed) {
            *total = total.saturating_add(more);
        }
        if !judged.anomalies.is_empty() {
            anomalies.extend(scene.judge(files, &mut chain)?.anomalies);
        }
    }
    anomalies.append(&mut chain.anomalies);
    let empty = || LedgerHead { commit: 0, blake3: String::new() };
    let head = state.as_ref().map_or_else(empty, head_of);
    // The rules are applied as a reader does; a damaged store cannot be read in this way.
    let hidden = Context::open_for_reading(root, parser).and_then(|context| hidden(&context)).ok();
    let unaccounted = state.as_ref().map_or(0, |state| state.unaccounted);
    let lost_from_journals = chain.lost_from_journals.min(unaccounted);
    if let Some(state) = state.as_ref().filter(|_| chain.adds_up)
        && let Some(found) = state.imbalance()
    {
        let path = format!("ledger/{:020}.json", head.commit);
        let expected = "that recorded facts are live, dropped or lost";
        anomalies.push(Anomaly::new(AnomalyKind::Imbalance, path, expected, found));
    }
    if let Some(state) = state.as_ref().filter(|_| chain.adds_up) {
        anomalies.extend(not_there(root, state)?);
    }
    let against = against.map(|against| match kept {
        Some(found) if found == against.blake3 => {
            Against::Contained { since: head.commit.saturating_sub(against.commit) }
        }
        Some(found) => Against::Rewritten { found },
        None if state.is_some() && against.commit > head.commit => {
            Against::RolledBack { newest: head.commit }
        }
        None => Against::Gone,
    });
    let notes = state.as_ref().and_then(|state| ahead_of_the_clock(state, UnixNanos::now()));
    Ok(BalanceSheet {
        notes: notes.into_iter().collect(),
        at: state.as_ref().map(|state| state.at),
        root: state.as_ref().map_or(0, |state| state.root.0),
        rebuilt: chain.rebuilt,
        commits: chain.commits,
        kinds: Kind::ALL.into_iter().map(|kind| balance(kind, state.as_ref(), unflushed, hidden)).collect(),
        numbers: state.as_ref().map_or(0, |state| {
            let covered = state.streams.values().map(|stream| stream.committed.get());
            covered.fold(0, u64::saturating_add)
        }),
        lost_from_journals,
        unaccounted: unaccounted - lost_from_journals,
        unverified: state.as_ref().map_or_else(Vec::new, |state| {
            let each = state.unverified.iter().map(|unverified| Affected {
                kind: Some(unverified.kind),
                facts: Some(unverified.facts),
                spans: unverified.within.iter().copied().map(Span::from).collect(),
                recorded_at: None,
            });
            each.collect()
        }),
        holds: state.as_ref().map_or_else(Vec::new, |state| state.holds.keys().cloned().collect()),
        head: state.map(|_| head),
        changes: matches!(against, Some(Against::Contained { .. })).then_some(changes),
        against,
        contents_read: false,
        anomalies,
    })
}

/// Live segments whose files are missing or have a wrong size. A scan checks their contents.
fn not_there(root: &Path, state: &State) -> Result<Vec<Anomaly>> {
    let of = |segment: &Segment| {
        let (kind, expected, found) = match std::fs::metadata(root.join(&segment.path)) {
            Ok(file) if file.len() == segment.bytes => return Ok(None),
            Ok(file) => (
                AnomalyKind::SegmentSize,
                format!("{} bytes", segment.bytes),
                format!("{} bytes", file.len()),
            ),
            Err(error) if is_absent(&error) => {
                (AnomalyKind::SegmentMissing, "a segment".to_owned(), "nothing".to_owned())
            }
            Err(error) => return Err(Error::io("access", &root.join(&segment.path), error)),
        };
        let anomaly = Anomaly::new(kind, segment.path.clone(), expected, found);
        Ok(Some(anomaly.touching(Affected::of(segment))))
    };
    let mut found = Vec::new();
    for segment in state.segments.iter().flatten() {
        found.extend(of(segment)?);
    }
    if !found.is_empty()
        && let Ok(ledger) = Ledger::open(Disk::new(), root)
    {
        // A compaction may have replaced it meanwhile.
        let now = ledger.known();
        let is_live = |path: &str| now.segments.iter().flatten().any(|segment| segment.path == path);
        found.retain(|anomaly| is_live(&anomaly.path));
    }
    Ok(found)
}

fn balance(
    kind: Kind,
    state: Option<&State>,
    unflushed: PerKind<u64>,
    hidden: Option<PerKind<u64>>,
) -> KindBalance {
    let unflushed = unflushed[kind];
    let mut balance = KindBalance {
        kind,
        recorded: 0,
        live: 0,
        kept: None,
        hidden: None,
        dropped: BTreeMap::new(),
        lost: 0,
        unflushed,
    };
    if let Some(state) = state {
        balance.recorded = state.recorded[kind].facts;
        balance.live = state.live(kind).facts;
        // The number was found at a later moment.
        balance.hidden = hidden.map(|hidden| hidden[kind].min(balance.live));
        balance.kept = balance.hidden.map(|hidden| balance.live - hidden);
        balance.lost = state.lost[kind].facts;
        let dropped = state.dropped.iter().map(|(rule, totals)| (rule.clone(), totals[kind].facts));
        balance.dropped = dropped.filter(|(_, facts)| *facts > 0).collect();
    }
    balance
}

pub(crate) fn head_of(state: &State) -> LedgerHead {
    LedgerHead { commit: state.head.number.0, blake3: state.head.blake3.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_text_for_keeping() {
        let digest = "0123456789abcdef".repeat(4);
        let head: LedgerHead = format!(" 42:{}\n", digest.to_uppercase()).parse().unwrap();
        assert_eq!(head, LedgerHead { commit: 42, blake3: digest.clone() });
        assert_eq!(head.to_string(), format!("42:{digest}"));
        for wrong in ["", "42", "42:", "x:00", &format!("42:{}g", &digest[1..]), &format!("-1:{digest}")] {
            let error = wrong.parse::<LedgerHead>().unwrap_err().to_string();
            assert!(error.contains("no head of a ledger"), "{error}");
        }
    }
}
