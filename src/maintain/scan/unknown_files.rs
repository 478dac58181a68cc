//! Judges the files in a store's folders that are not part of it: remainders of a crash, and unknown
//! files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Debris, Span};
use super::super::inventory::{
    Entry, ExpectedFiles, Form, Inventory, Item, Standing, What, is_absent, look_at, range_of,
};
use super::super::lossy_repair::{LostPlaces, find_by_file};
use super::Scene;
use super::segments::spans;
use crate::consume::{self, StateName};
use crate::disk::open_regular;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{COPY_FOLDER, LossyRepair, State, StreamRange};
use crate::segment::footer::Footer;
use crate::segment::{ImportPart, is_damage, is_imported, unconfirmed};
use crate::store_folder::{CONSUMERS, FOLDERS};

/// The files that are not segments, commits or journals of the store.
#[derive(Default)]
pub(super) struct UnknownFiles {
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) debris: Vec<Debris>,
    /// Segments that no commit names, with facts that may be nowhere else: they need a second look.
    pub(super) unknown: Vec<Unknown>,
    pub(super) bytes: u64,
}

/// A segment that no commit names.
pub(super) struct Unknown {
    pub(super) entry: Entry,
    kind: Kind,
    rows: u64,
    pub(super) ranges: Vec<StreamRange>,
    /// Whether it is of an import, which had committed it.
    pub(super) imported: bool,
    /// The part of an input that it holds, if its footer says so.
    import: Option<ImportPart>,
}

impl Unknown {
    /// Whether its facts may be nowhere else.
    pub(super) fn is_lost(&self, known: &ExpectedFiles<'_>) -> bool {
        // An import has no journal: if the ledger has its numbers, they belong to other facts.
        self.imported || known.standing(&self.ranges) == Standing::Unknown
    }

    /// The anomaly for a segment whose facts are nowhere else.
    pub(super) fn anomaly(&self, known: &ExpectedFiles<'_>) -> Anomaly {
        // A part of an input can be restored only as a whole.
        let is_taken = self.imported && known.has_some(&self.ranges);
        let missing: Vec<_> = self
            .ranges
            .iter()
            .copied()
            .filter(|range| !is_taken && known.standing(&[*range]) == Standing::Unknown)
            .collect();
        let facts = format!("{} {}, {}, which no commit names", self.rows, self.kind, spans(&self.ranges));
        let why = match &self.import {
            Some(part) if is_taken => format!(
                "; an import of {:?} had committed them, but its commit is lost, and other facts have their \
                 numbers now, or a repair that was cut short has already restored them",
                part.mark.name
            ),
            Some(part) => format!(
                " and which are nowhere else; an import of {:?} had committed them, but its commit is lost",
                part.mark.name
            ),
            None if is_taken => {
                "; they are left from an import, and other facts have their numbers now; it is unknown \
                 whether the import was cut short or its commit is lost"
                    .to_owned()
            }
            None if self.imported => {
                " and which are nowhere else in the store; it is unknown whether an import was cut short, \
                 which can be done again, or its commit is lost"
                    .to_owned()
            }
            None => " and which are nowhere else; a ledger that was rolled back leaves such files".to_owned(),
        };
        let found = facts + &why;
        let affected = Affected {
            kind: Some(self.kind),
            facts: Some(self.rows),
            spans: missing.into_iter().map(Span::from).collect(),
            recorded_at: None,
        };
        let expected = "a segment that a commit names";
        let anomaly = Anomaly::new(AnomalyKind::SegmentUnknown, self.entry.name(), expected, found);
        let anomaly = anomaly.touching(affected);
        if is_taken {
            return anomaly
                .remedy("moves the file to quarantine; importing the input again restores its facts");
        }
        anomaly
    }
}

/// A file with these facts of a segment that a repair lost.
fn with_lost_facts(entry: &Entry, repair: &LossyRepair, found: &[StreamRange]) -> Anomaly {
    let kind = repair.segment.kind;
    let facts = found.iter().filter_map(|range| range.facts()).fold(0, u64::saturating_add);
    let what = format!(
        "a segment with {facts} {kind}, {}, that are in no live segment; commit {} gave up facts with these \
         numbers as lost",
        spans(found),
        repair.by
    );
    let affected = Affected {
        kind: Some(kind),
        facts: Some(facts),
        spans: found.iter().copied().map(Span::from).collect(),
        recorded_at: None,
    };
    let anomaly =
        Anomaly::new(AnomalyKind::SegmentUnknown, entry.name(), "a segment that a commit names", what);
    anomaly.touching(affected).remedy("makes these facts part of the store again")
}

/// Judges every entry that is there.
pub(super) fn look(
    scene: &mut Scene<'_>,
    entries: Vec<Entry>,
    known: &ExpectedFiles<'_>,
    state: Option<&State>,
    lost: Option<&LostPlaces<'_>>,
) -> Result<UnknownFiles> {
    let mut beside = UnknownFiles::default();
    // Older programs did not write copies. Missing copies are reported elsewhere.
    for folder in FOLDERS.into_iter().filter(|folder| *folder != COPY_FOLDER) {
        if !entries.iter().any(|entry| entry.path.as_os_str() == folder) {
            let gone = Anomaly::new(AnomalyKind::Unexpected, folder, "a folder", "nothing");
            beside.anomalies.push(gone.remedy("makes the folder"));
        }
    }
    beside.consumer_groups(scene, &entries);
    let names: BTreeSet<PathBuf> = entries.iter().map(|entry| entry.path.clone()).collect();
    for Item { entry, what } in Inventory::of(entries, known).items {
        let debris = |what: String| Debris { path: entry.name(), what, bytes: entry.bytes };
        match what {
            What::Stranger(expected) => {
                let form = entry.form.words();
                let anomaly = Anomaly::new(AnomalyKind::Unexpected, entry.name(), expected, form);
                beside.anomalies.push(anomaly);
            }
            What::Hidden => {
                beside.debris.push(debris("a file of another program or of the operating system".to_owned()));
            }
            What::Foreign => {
                beside.debris.push(debris("not part of the store; it is left alone".to_owned()));
            }
            What::LinkedFolder => {
                let what = "a link in the place of a folder; its target is not listed, except for segments";
                beside.debris.push(debris(what.to_owned()));
                if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.folder() == entry.name()) {
                    beside.through_link(scene, kind, known, state, lost)?;
                }
            }
            What::Temporary { stream } => {
                let in_the_making = match stream {
                    Some(stream) => scene.is_owned(stream)?,
                    None => false,
                };
                // The second name of an import's segment says that no commit names it; that is reported
                // for the segment.
                let is_second =
                    is_imported(&entry.path) && names.contains(&entry.path.with_extension("parquet"));
                if !in_the_making && !is_second {
                    beside
                        .debris
                        .push(debris("a file that was not finished; nothing refers to it".to_owned()));
                }
            }
            What::Removed(kind) if beside.has_lost_facts(scene, lost, &entry, kind, true)? => {}
            What::Uncommitted { kind, .. } if beside.has_lost_facts(scene, lost, &entry, kind, false)? => {}
            What::Removed(_) => {
                let by = state.into_iter().flat_map(|state| &state.removed);
                let by = by
                    .filter(|tombstone| tombstone.path == entry.name())
                    .map(|tombstone| tombstone.by.0)
                    .max();
                let what = format!(
                    "a segment that commit {} removed; it is deleted when no reader needs it any more",
                    by.unwrap_or_default()
                );
                beside.debris.push(debris(what));
            }
            What::Uncommitted { .. } if scene.removed.contains(&entry.name()) => {
                let what = "a segment that an older commit removed; a backup keeps it for that commit";
                beside.debris.push(debris(what.to_owned()));
            }
            What::Uncommitted { kind, ranges, .. } => {
                let judged = Uncommitted {
                    kind,
                    named: &ranges,
                    is_unconfirmed: is_imported(&entry.path) && names.contains(&unconfirmed(&entry.path)),
                };
                beside.uncommitted(scene, &entry, &judged, known, state)?;
            }
            _ => {}
        }
    }
    Ok(beside)
}

/// The information in the name of a segment that no commit names.
struct Uncommitted<'a> {
    kind: Kind,
    named: &'a [StreamRange],
    /// Its import did not see its commit.
    is_unconfirmed: bool,
}

impl UnknownFiles {
    /// Reports segments in a kind's folder that is a link, if they have facts that are nowhere else.
    /// Other files there may be of another store.
    fn through_link(
        &mut self,
        scene: &mut Scene<'_>,
        kind: Kind,
        known: &ExpectedFiles<'_>,
        state: Option<&State>,
        lost: Option<&LostPlaces<'_>>,
    ) -> Result<()> {
        let folder = scene.root.join(kind.folder());
        let attempt = |error| Error::io("list the folder", &folder, error);
        let listed = match std::fs::read_dir(&folder) {
            Ok(listed) => listed,
            // The link leads nowhere: the missing segments are reported elsewhere.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(attempt(error)),
        };
        for found in listed {
            let path = Path::new(kind.folder()).join(found.map_err(attempt)?.file_name());
            let place = scene.root.join(&path);
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let Some(named) = range_of(stem) else { continue };
            let Some(metadata) = look_at(&place)?.filter(std::fs::Metadata::is_file) else { continue };
            let entry = Entry { path, form: Form::File, bytes: metadata.len() };
            if known.is_live(&entry.name()) || self.has_lost_facts(scene, lost, &entry, kind, false)? {
                continue;
            }
            let is_own = match open_regular(&place).and_then(|file| Footer::read(&file, entry.bytes)) {
                Ok(Ok(footer)) => {
                    scene.store.is_some_and(|store| footer.check(store, kind).is_ok())
                        && known.standing(&footer.streams) == Standing::Unknown
                }
                Ok(Err(_)) => false,
                Err(error) if is_damage(&error) || is_absent(&error) => false,
                Err(error) => return Err(Error::io("access", &place, error)),
            };
            if is_own {
                let is_unconfirmed = is_imported(&entry.path) && unconfirmed(&place).exists();
                let judged = Uncommitted { kind, named: &[named], is_unconfirmed };
                self.uncommitted(scene, &entry, &judged, known, state)?;
            }
        }
        Ok(())
    }

    /// Reports an entry that was put back and has facts which a repair gave up: the file of the damaged
    /// segment, or a file with some of its facts. Returns `false` if it has none.
    fn has_lost_facts(
        &mut self,
        scene: &Scene<'_>,
        lost: Option<&LostPlaces<'_>>,
        entry: &Entry,
        kind: Kind,
        is_removed: bool,
    ) -> Result<bool> {
        let Some(lost) = lost else { return Ok(false) };
        let place = scene.root.join(&entry.path);
        let Some(repair) = find_by_file(lost.repairs, &place, entry.bytes)? else {
            if let Some((repair, found)) = lost.in_segment(&place, kind)? {
                self.anomalies.push(with_lost_facts(entry, repair, &found));
                return Ok(true);
            }
            if is_removed && lost.may_be_in(&place, kind)? {
                let found = "a damaged file of a segment that a commit removed; it may have facts that were given up \
                             as lost";
                let expected = "a segment that a commit names";
                self.anomalies.push(Anomaly::new(AnomalyKind::Unexpected, entry.name(), expected, found));
                return Ok(true);
            }
            return Ok(false);
        };
        let kind = repair.segment.kind;
        let within: Vec<StreamRange> =
            repair.lost.iter().flat_map(|lost| lost.within.iter().copied()).collect();
        let had = match repair.lost_facts() {
            0 => format!("{} {kind} that commit {} kept in doubt", repair.segment.rows, repair.by),
            lost => format!("{lost} {kind}, {}, that commit {} gave up as lost", spans(&within), repair.by),
        };
        let found = format!("the segment of {had}, as it was written");
        let affected = Affected {
            kind: Some(kind),
            facts: Some(repair.lost_facts()),
            spans: within.into_iter().map(Span::from).collect(),
            recorded_at: None,
        };
        let expected = "a segment that a commit names";
        let anomaly = Anomaly::new(AnomalyKind::SegmentUnknown, entry.name(), expected, found);
        self.anomalies.push(anomaly.touching(affected).remedy("makes these facts part of the store again"));
        Ok(true)
    }

    /// Reads the states of every consumer group: the newest state, and the one before.
    fn consumer_groups(&mut self, scene: &Scene<'_>, entries: &[Entry]) {
        let names = entries.iter().filter_map(|entry| {
            let folder = entry.path.parent()?.to_str()?;
            let name = entry.path.file_name()?.to_str().filter(|_| folder == CONSUMERS)?;
            StateName::parse(name).filter(|_| entry.form == Form::File)
        });
        for name in names {
            // A state that was removed in the meantime was followed by a newer one.
            if let Err(error) = consume::check_state(scene.root, scene.store, &name) {
                // A newer Ostracon can read it.
                if error.kind() == ErrorKind::NewerFormat {
                    continue;
                }
                let expected = "the state of a consumer group, as it was written";
                let kind = AnomalyKind::ConsumerGroupDamaged;
                self.anomalies.push(Anomaly::new(kind, name.path(), expected, error.to_string()));
            }
        }
    }

    /// Judges a segment that no commit names by its footer and its name.
    fn uncommitted(
        &mut self,
        scene: &mut Scene<'_>,
        entry: &Entry,
        judged: &Uncommitted<'_>,
        known: &ExpectedFiles<'_>,
        state: Option<&State>,
    ) -> Result<()> {
        let Uncommitted { kind, named, is_unconfirmed } = *judged;
        let mut unexpected = |found: &str| {
            let expected = "a segment that a commit names";
            self.anomalies.push(Anomaly::new(AnomalyKind::Unexpected, entry.name(), expected, found));
        };
        let place = scene.root.join(&entry.path);
        let attempt = |error| Error::io("access", &place, error);
        let file = match open_regular(&place) {
            Ok(file) => file,
            // The file is gone: it was the remainder of a flush that failed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if is_damage(&error) => {
                unexpected(&format!("a file that cannot be read: {error}"));
                return Ok(());
            }
            Err(error) => return Err(attempt(error)),
        };
        self.bytes += entry.bytes.min(16 << 10);
        let footer = match Footer::read(&file, entry.bytes) {
            Ok(Ok(footer)) => footer,
            Ok(Err(why)) => {
                unexpected(&format!("a file that is no segment: {why}"));
                return Ok(());
            }
            Err(error) if is_damage(&error) => {
                unexpected(&format!("a file that cannot be read: {error}"));
                return Ok(());
            }
            Err(error) => return Err(attempt(error)),
        };
        if let Some(Err(what)) = scene.store.map(|store| footer.check(store, kind)) {
            unexpected(&what);
            return Ok(());
        }
        let imported = is_imported(&entry.path) || footer.import.is_some();
        let has_input =
            footer.import.as_ref().zip(state).is_some_and(|(part, state)| part.is_imported(&state.imports));
        let what = match known.standing(&footer.streams) {
            Standing::Covered if named.is_empty() => {
                unexpected(&format!("a copy of facts that the ledger covers, {}", spans(&footer.streams)));
                return Ok(());
            }
            Standing::Covered if state.is_some_and(State::has_losses) && !imported => {
                "a segment that no commit names, and whose numbers the ledger covers; it stays, because the \
                 store has lost facts, which may be in this segment"
            }
            Standing::Covered if !imported || is_unconfirmed || has_input => {
                "a segment that no commit names, and whose facts the ledger covers; its flush, import or \
                 compaction was cut short, or is under way"
            }
            Standing::Journaled if !imported && scene.any_owned(&footer.streams)? => return Ok(()),
            Standing::Journaled if !imported => {
                "a segment that was never committed; its facts are still in the journal"
            }
            _ if is_unconfirmed => {
                "a segment of an import that is under way, or was cut short before its commit: its facts \
                 were never reported as imported, and importing the same input again restores them"
            }
            _ if has_input => {
                "a segment of an import that no commit names; the same part of its input was imported again \
                 since"
            }
            _ => {
                self.unknown.push(Unknown {
                    entry: entry.clone(),
                    kind,
                    rows: footer.rows,
                    ranges: footer.streams,
                    imported,
                    import: footer.import,
                });
                return Ok(());
            }
        };
        self.debris.push(Debris { path: entry.name(), what: what.to_owned(), bytes: entry.bytes });
        Ok(())
    }
}
