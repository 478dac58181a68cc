//! Verify: the balance sheet of a store, and that nobody has changed its history.
//!
//! The ledger carries the numbers, and every commit names the digest of the one before. So whoever
//! kept one commit's number and digest elsewhere ([`LedgerHead`]) can tell for ever whether the
//! store still has the history that led there: a store that was rolled back ends before it, and
//! one that was rewritten has another digest at its place. Without such a mark a rolled back store
//! looks like a younger one.
//!
//! Verifying looks at commits and journals, and into segments only as far as it takes to tell which
//! facts rules hide. Whether the segments hold what the ledger says is found out by reading them:
//! [`ScanDepth::Deep`] does, and the sheet says whether it was done.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::anomaly::{Affected, Anomaly, AnomalyKind, Note, Span};
use super::chain;
use super::changes::Changes;
use super::inventory::is_absent;
use super::scan::surroundings::ahead_of_the_clock;
use super::scan::{ScanDepth, Scene, check_is_store, open_journals, scan};
use crate::context::Context;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, UnixNanos};
use crate::ledger::{Ledger, Segment, State};
use crate::retention::{ConditionParser, hidden_in_segments};

/// A commit, by number and digest: what to keep elsewhere, so that a store which was rolled back
/// or rewritten is found out.
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
    /// When it was made.
    pub at: Option<UnixNanos>,
    /// The commit that the ledger begins with: 0, unless it was rebuilt.
    pub root: u64,
    /// What could not be known when the ledger was rebuilt, if it was.
    pub rebuilt: Option<Vec<String>>,
    /// Commits that were read.
    pub commits: u64,
    /// Of each kind, in the order of [`Kind::ALL`].
    pub kinds: Vec<KindBalance>,
    /// Numbers that streams gave out and the ledger covers: those of the recorded facts of all kinds,
    /// of facts that were lost from journals, and those that are unaccounted for.
    pub numbers: u64,
    /// Facts that were acknowledged, and lost from a damaged journal before they were in a segment.
    /// Nobody knows their kinds.
    pub lost_from_journals: u64,
    /// Numbers of which is not known whose they were: from before the ledger was rebuilt.
    pub unaccounted: u64,
    /// Facts that were read from damaged files when the store was recovered, and that may not be
    /// what was recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Affected>,
    /// Names of the holds.
    pub holds: Vec<String>,
    /// What the head that was kept elsewhere says, if one was given.
    pub against: Option<Against>,
    /// What became of facts since that head, if the store still has the history that led there.
    pub changes: Option<Changes>,
    /// Whether the contents of all live segments were read and compared with what was written.
    pub contents_read: bool,
    /// What is wrong with the ledger, the journals, or the sizes of the segments' files.
    pub anomalies: Vec<Anomaly>,
    /// What is worth knowing: facts that are stamped ahead of the clock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// What became of the facts of one kind: those recorded are live, dropped or lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KindBalance {
    /// The kind.
    pub kind: Kind,
    /// Facts that the ledger ever covered.
    pub recorded: u64,
    /// Of these, facts in live segments.
    pub live: u64,
    /// Of the live ones, facts that reads give; `None` if that could not be found out.
    pub kept: Option<u64>,
    /// Of the live ones, facts that the rules of retention in `ostracon.toml` hide until a
    /// compaction drops them.
    pub hidden: Option<u64>,
    /// Of these, facts that a rule of retention did not keep, by the rule's name.
    pub dropped: BTreeMap<String, u64>,
    /// Of these, facts that could not be read any more when their segment was repaired.
    pub lost: u64,
    /// Facts in the journals, which the ledger does not cover yet.
    pub unflushed: u64,
}

/// Whether a store still has the history that led to a head which was kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Against {
    /// The head is in the history, and this number of commits follow it. [`BalanceSheet::changes`] says what they did.
    Contained {
        /// The commits made since.
        since: u64,
    },
    /// The store's newest commit is older: it was rolled back.
    RolledBack {
        /// The newest commit that is there.
        newest: u64,
    },
    /// Another commit has that number: the store was rewritten, or is another.
    Rewritten {
        /// The digest of that commit.
        found: String,
    },
    /// That commit cannot be read, or comes before a rebuilt ledger's beginning.
    Gone,
}

impl BalanceSheet {
    /// Whether the chain holds, the numbers add up, and the head that was kept is part of it.
    pub fn is_sound(&self) -> bool {
        self.anomalies.is_empty()
            && self.against.as_ref().is_none_or(|against| matches!(against, Against::Contained { .. }))
    }

    /// Whether facts that were there at the head which was kept, or came since, are gone or may have been changed:
    /// dropped by rules, lost, or read from damaged files.
    pub fn took_facts(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::took_facts)
    }
}

/// Adds up the store at `root`, from its first commit to its head, and with [`ScanDepth::Deep`] also reads the contents
/// of all segments.
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

/// How many facts in the segments of each kind the rules hide.
fn hidden(context: &Context) -> Result<[u64; 3]> {
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
    let mut chain = chain::walk(root, |commit, digest| {
        let Some(against) = against else { return };
        match commit.number.0.cmp(&against.commit) {
            Ordering::Less => {}
            Ordering::Equal => kept = Some(digest.to_owned()),
            Ordering::Greater => changes.add(commit),
        }
    })?;
    let scene = Scene::new(root, &disk, parser);
    // The sheet is of one moment: what is committed while the journals are read does not count.
    let state = chain.state.clone();
    let mut unflushed = [0_u64; 3];
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
    // The rules are read as a reader would; in a store that is damaged nobody reads.
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

/// Live segments whose files are not there, or not of the right size. What is in them a scan looks at.
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
            Err(error) => return Err(Error::io("look at", &root.join(&segment.path), error)),
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
        // A compaction may have put another in its place meanwhile.
        let now = ledger.known();
        let is_live = |path: &str| now.segments.iter().flatten().any(|segment| segment.path == path);
        found.retain(|anomaly| is_live(&anomaly.path));
    }
    Ok(found)
}

fn balance(kind: Kind, state: Option<&State>, unflushed: [u64; 3], hidden: Option<[u64; 3]>) -> KindBalance {
    let at = kind.index();
    let unflushed = unflushed.get(at).copied().unwrap_or_default();
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
        balance.recorded = state.recorded.get(at).map_or(0, |total| total.facts);
        balance.live = state.live(kind).facts;
        // What was found out is of a moment later.
        balance.hidden = hidden.and_then(|hidden| hidden.get(at).copied()).map(|n| n.min(balance.live));
        balance.kept = balance.hidden.map(|hidden| balance.live - hidden);
        balance.lost = state.lost.get(at).map_or(0, |total| total.facts);
        let dropped =
            state.dropped.iter().filter_map(|(rule, totals)| Some((rule.clone(), totals.get(at)?.facts)));
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
