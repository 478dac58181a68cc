//! What lies in a store's folders and is not part of it: what a crash left, and strangers.

use std::fs::File;

use super::super::anomaly::{Affected, Anomaly, AnomalyKind, Debris, Span};
use super::super::footer::Footer;
use super::super::inventory::{Entry, Inventory, Item, Known, Standing, What, is_imported};
use super::Scene;
use super::segments::spans;
use crate::error::Result;
use crate::fact::Kind;
use crate::ledger::{State, StreamRange};
use crate::store::FOLDERS;

/// What was found besides the segments, commits and journals that belong there.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) debris: Vec<Debris>,
    /// Segments that no commit names, with facts that may be nowhere else: to be looked at again.
    pub(super) unknown: Vec<Unknown>,
    pub(super) bytes: u64,
}

/// A segment that no commit names.
pub(super) struct Unknown {
    pub(super) entry: Entry,
    kind: Kind,
    rows: u64,
    pub(super) ranges: Vec<StreamRange>,
}

impl Unknown {
    /// What to say of it: its facts are nowhere else.
    pub(super) fn anomaly(&self, known: &Known<'_>) -> Anomaly {
        let missing: Vec<_> = self
            .ranges
            .iter()
            .copied()
            .filter(|range| known.standing(&[*range]) == Standing::Unknown)
            .collect();
        let found = format!(
            "{} {}, {}, which no commit names and which are nowhere else; a ledger that was rolled back leaves such files",
            self.rows,
            self.kind,
            spans(&self.ranges)
        );
        let affected = Affected {
            kind: Some(self.kind),
            facts: Some(self.rows),
            spans: missing.into_iter().map(Span::from).collect(),
            recorded_at: None,
        };
        let expected = "a segment that a commit names";
        Anomaly::new(AnomalyKind::SegmentUnknown, self.entry.name(), expected, found).touching(affected)
    }
}

/// Goes through everything that is there.
pub(super) fn look(
    scene: &mut Scene<'_>,
    entries: Vec<Entry>,
    known: &Known<'_>,
    state: Option<&State>,
) -> Result<Beside> {
    let mut beside = Beside::default();
    for folder in FOLDERS {
        if !entries.iter().any(|entry| entry.path.as_os_str() == folder) {
            let gone = Anomaly::new(AnomalyKind::Unexpected, folder, "a folder", "nothing");
            beside.anomalies.push(gone.remedy("makes the folder"));
        }
    }
    for Item { entry, what } in Inventory::of(entries, known).items {
        let debris = |what: String| Debris { path: entry.name(), what, bytes: entry.bytes };
        match what {
            What::Stranger(expected) => {
                let form = entry.form.words();
                let anomaly = Anomaly::new(AnomalyKind::Unexpected, entry.name(), expected, form);
                beside.anomalies.push(anomaly);
            }
            What::Hidden => {
                beside.debris.push(debris("a file that another program has hidden here".to_owned()));
            }
            What::LinkedFolder => {
                let what =
                    "a link in the place of a folder; what is behind it, and is no segment, is not listed";
                beside.debris.push(debris(what.to_owned()));
            }
            What::Temporary { stream } => {
                let in_the_making = match stream {
                    Some(stream) => scene.is_owned(stream)?,
                    None => false,
                };
                if !in_the_making {
                    beside
                        .debris
                        .push(debris("a file that was not finished; nothing refers to it".to_owned()));
                }
            }
            What::Removed(_) => {
                let by = state.into_iter().flat_map(|state| &state.removed);
                let by = by
                    .filter(|tombstone| tombstone.path == entry.name())
                    .map(|tombstone| tombstone.by.0)
                    .max();
                let what = format!(
                    "a segment that commit {} removed; it goes when no reader needs it any more",
                    by.unwrap_or_default()
                );
                beside.debris.push(debris(what));
            }
            What::Uncommitted { kind, ranges, .. } => {
                beside.uncommitted(scene, &entry, kind, &ranges, known)?;
            }
            _ => {}
        }
    }
    Ok(beside)
}

impl Beside {
    /// A segment that no commit names is judged by what it says of itself.
    fn uncommitted(
        &mut self,
        scene: &mut Scene<'_>,
        entry: &Entry,
        kind: Kind,
        named: &[StreamRange],
        known: &Known<'_>,
    ) -> Result<()> {
        let mut unexpected = |found: &str| {
            let expected = "a segment that a commit names";
            self.anomalies.push(Anomaly::new(AnomalyKind::Unexpected, entry.name(), expected, found));
        };
        let file = match File::open(scene.root.join(&entry.path)) {
            Ok(file) => file,
            // Not even the litter of a flush that failed, any more.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                unexpected(&format!("a file that cannot be read: {error}"));
                return Ok(());
            }
        };
        self.bytes += entry.bytes.min(16 << 10);
        let footer = match Footer::read(&file, entry.bytes) {
            Ok(Ok(footer)) => footer,
            Ok(Err(why)) => {
                unexpected(&format!("a file that is no segment: {why}"));
                return Ok(());
            }
            Err(error) => {
                unexpected(&format!("a file that cannot be read: {error}"));
                return Ok(());
            }
        };
        if let Some(Err(what)) = scene.store.map(|store| footer.check(store, kind)) {
            unexpected(&what);
            return Ok(());
        }
        let what = match known.standing(&footer.streams) {
            Standing::Covered if named.is_empty() => {
                unexpected(&format!("a copy of facts that the ledger covers, {}", spans(&footer.streams)));
                return Ok(());
            }
            Standing::Covered => {
                "a segment that no commit names, and whose facts the ledger covers: of a flush or a \
                 compaction that was cut short, or is under way"
            }
            Standing::Journaled if scene.any_owned(&footer.streams)? => return Ok(()),
            Standing::Journaled => "a segment that was never committed; its facts are still in the journal",
            _ if is_imported(&entry.path.file_name().unwrap_or_default().to_string_lossy()) => {
                "a segment of an import that was cut short, is under way, or has lost its commit; importing the \
                 same input again completes it"
            }
            Standing::Imported | Standing::Unknown => {
                self.unknown.push(Unknown {
                    entry: entry.clone(),
                    kind,
                    rows: footer.rows,
                    ranges: footer.streams,
                });
                return Ok(());
            }
        };
        self.debris.push(Debris { path: entry.name(), what: what.to_owned(), bytes: entry.bytes });
        Ok(())
    }
}
