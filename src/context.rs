//! The context: the parts of one open store that the layers share, such as its folder, its ledger, its
//! rules and its clock.
//!
//! The flush, reads and maintenance take a [`Context`]. They never take a [`Store`](crate::Store), which is the layer
//! above them. The query engine is not part of the context.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::counters::Metrics;
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::UnixNanos;
use crate::ledger::Ledger;
use crate::recorder::{Clock, Recorder};
use crate::retention::{ConditionParser, Retention, Rules, Selection};
use crate::settings::Settings;
use crate::snapshot::{Frozen, Snapshot, StoreParts};
use crate::store_folder::{self, PlaceState};

/// The parts of one open store that the layers share.
pub(crate) struct Context {
    pub(crate) root: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) retention: Retention,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    /// The recorder; only in a store that is open for writing.
    pub(crate) recorder: Option<Recorder>,
}

/// The purpose for which a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// For recording, and everything else. The store is created if there is none.
    #[default]
    Write,
    /// For holds, compaction and recovery, which commit. Nothing can be recorded, and nothing is created
    /// or flushed.
    Maintain,
    /// For reading only. Nothing is created, locked, flushed or committed.
    Read,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Context {
    /// Opens the store at this path for reading, by the rules in its settings.
    ///
    /// # Errors
    /// [`ErrorKind::NotAStore`], [`ErrorKind::Settings`], [`ErrorKind::Damaged`] if the ledger cannot be read, and the
    /// operating system's errors.
    pub(crate) fn open_for_reading(root: &Path, parser: ConditionParser) -> Result<Self> {
        if store_folder::look(root)? != PlaceState::Store {
            return Err(store_folder::not_a_store(root, "no store is there"));
        }
        let settings = Settings::load(root)?;
        let rules = Rules::new(&settings.retention, parser)?;
        let retention = Retention::new(&settings.retention, rules, Some(root), parser);
        let disk = Disk::new().anchored(root).map_err(|error| Error::io("open the store at", root, error))?;
        let ledger = Arc::new(Ledger::open(disk.clone(), root)?);
        Ok(Self {
            root: root.to_path_buf(),
            disk,
            ledger,
            settings,
            metrics: Arc::default(),
            retention,
            clock: Arc::new(UnixNanos::now),
            access: Access::Read,
            recorder: None,
        })
    }

    /// The wall time.
    pub(crate) fn now(&self) -> UnixNanos {
        (self.clock)()
    }

    fn parts(&self) -> StoreParts<'_> {
        let Self { disk, root, ledger, recorder, .. } = self;
        StoreParts { disk, root, ledger, recorder: recorder.as_ref() }
    }

    /// A stable view of the store as it is now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(self.parts())
    }

    /// A stable view of the readable part of the store.
    pub(crate) fn readable_snapshot(&self) -> Result<Snapshot> {
        Snapshot::take_readable(self.parts())
    }

    /// Freezes the store, as it is on the disk.
    pub(crate) fn freeze(&self) -> Result<Frozen> {
        Frozen::take(self.parts())
    }

    /// Selects the facts of a snapshot that the rules and holds in force keep at the time `now`.
    pub(crate) fn selection(&self, snapshot: &Snapshot, now: UnixNanos) -> Result<Selection> {
        Selection::of(&self.root, &self.retention, snapshot, now)
    }

    /// Refuses an action that commits, if the store is open for reading only.
    pub(crate) fn check_commits(&self, act: &str) -> Result<()> {
        if self.access == Access::Read {
            return Err(Error::new(
                ErrorKind::Closed,
                format!("the store is open for reading only; cannot {act}"),
            ));
        }
        Ok(())
    }
}
