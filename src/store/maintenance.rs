//! Maintenance of a store: scan, verify, recover, compact and backup.

use std::path::Path;

use super::{CONDITIONS, Store};
use crate::backup::{self, BackupOptions, BackupReport};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::maintain::{
    self, BalanceSheet, CompactOptions, CompactReport, LedgerHead, RecoveryConfig, RecoveryReport, ScanDepth,
    ScanOptions, ScanReport,
};
use crate::metrics::count;
use crate::place::absolute;

/// Looks whether a store is whole, without opening it: it may be too damaged for that.
///
/// ```
/// use ostracon::{ScanDepth, Store, scan};
///
/// let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("facts");
/// Store::open(&path)?.close()?;
/// let report = scan(&path, ScanDepth::Deep)?;
/// assert!(report.is_clean(), "{:?}", report.anomalies);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ErrorKind::NotAStore`], [`ErrorKind::NewerFormat`], and the operating system's errors where it
/// does not let a file be read. That the disk fails to give back a segment is an anomaly.
pub fn scan<'a>(path: impl AsRef<Path>, options: impl Into<ScanOptions<'a>>) -> Result<ScanReport> {
    maintain::scan(&absolute(path.as_ref())?, options, CONDITIONS)
}

/// Recovers the store at this path, which may be too damaged to be opened.
///
/// ```
/// use ostracon::{RecoveryConfig, RecoveryMode, Store, recover};
///
/// let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("facts");
/// Store::open(&path)?.close()?;
/// let report = recover(&path, RecoveryConfig::new(RecoveryMode::Repair))?;
/// assert!(report.is_clean() && report.facts_lost() == 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ErrorKind::NotAStore`]; [`ErrorKind::Settings`] for mode quarantine without a folder, or a
/// folder within the store; [`ErrorKind::Contended`] while another process maintains the store;
/// [`ErrorKind::NewerFormat`]; and what kept a file from being read or written. What was done until
/// then stands, and recovering again goes on from there. That something is still wrong after it is
/// no error: the report says so.
pub fn recover(path: impl AsRef<Path>, config: RecoveryConfig) -> Result<RecoveryReport> {
    maintain::recover(&absolute(path.as_ref())?, config, CONDITIONS)
}

/// Adds a store up, from its first commit to its head.
///
/// ```
/// use ostracon::{Event, Json, LedgerHead, Store, verify};
///
/// let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("facts");
/// let store = Store::open(&path)?;
/// let kept: LedgerHead = store.head()?;
/// store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1.0))?;
/// store.close()?;
///
/// let sheet = verify(&path, Some(&kept))?;
/// assert!(sheet.is_sound() && !sheet.took_facts());
/// assert_eq!((sheet.kinds[0].recorded, sheet.kinds[0].live), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`scan`]. That the ledger is damaged is an anomaly, and no error.
pub fn verify(path: impl AsRef<Path>, against: Option<&LedgerHead>) -> Result<BalanceSheet> {
    verify_at(path, against, ScanDepth::Quick)
}

/// [`verify`], looking so closely: [`ScanDepth::Deep`] also reads the contents of all segments.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_at(
    path: impl AsRef<Path>,
    against: Option<&LedgerHead>,
    depth: ScanDepth,
) -> Result<BalanceSheet> {
    maintain::verify(&absolute(path.as_ref())?, against, depth, CONDITIONS)
}

/// Backs up the store at this path: [`Store::backup`] of a store that is opened for reading only.
///
/// # Errors
/// Those of [`Store::backup`].
pub fn backup(
    path: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: BackupOptions,
) -> Result<BackupReport> {
    Store::builder().access(crate::context::Access::Read).open(path)?.backup(target, options)
}

impl Store {
    /// Looks whether the store is whole: [`scan`], counted in the store's metrics. It never changes
    /// a byte, and neither waits for writers nor keeps them waiting.
    ///
    /// # Errors
    /// Those of [`scan`].
    pub fn scan<'a>(&self, options: impl Into<ScanOptions<'a>>) -> Result<ScanReport> {
        let context = self.context();
        count(&context.metrics.scans, 1);
        let result = scan(self.path(), options.into().disk(context.disk.clone()));
        match &result {
            Ok(report) => count(&context.metrics.anomalies_detected, report.anomalies.len() as u64),
            Err(_) => count(&context.metrics.scan_errors, 1),
        }
        result
    }

    /// Recovers the store: [`recover`], counted in the store's metrics. The stream of this very
    /// store is its own, and is left alone; a ledger cannot be rebuilt under it.
    ///
    /// # Errors
    /// Those of [`recover`].
    pub fn recover(&self, config: RecoveryConfig) -> Result<RecoveryReport> {
        let context = self.context();
        let metrics = &context.metrics;
        count(&metrics.recoveries, 1);
        // Recovering includes a scan.
        count(&metrics.scans, 1);
        let allowed = if config.only_looks() { Ok(()) } else { context.check_commits("recover it") };
        let result = allowed.and_then(|()| recover(self.path(), config.disk(context.disk.clone())));
        match &result {
            Ok(report) => count(&metrics.anomalies_detected, report.scan.anomalies.len() as u64),
            Err(_) => count(&metrics.recovery_errors, 1),
        }
        result
    }

    /// The newest commit, to keep elsewhere: [`verify`] tells later whether the store still has the
    /// history that led there.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn head(&self) -> Result<LedgerHead> {
        Ok(maintain::head_of(&*self.context().ledger.refresh()?))
    }

    /// Merges small segments into large ones, and drops for good what retention does not keep.
    ///
    /// One commit changes the store, at the end. A store that has nothing to merge and nothing to
    /// drop gets none. What this process has recorded is flushed first; what other processes have
    /// in their journals is left to them. The store may be open for writing, or for
    /// [maintenance](crate::Access::Maintain); for a dry run also for reading only.
    ///
    /// ```
    /// # use ostracon::{CompactOptions, Event, Json, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// for n in 0..3 {
    ///     store.record(Event::new("shop", "shop:5", "ActorStarted", Json::empty_object(), f64::from(n)))?;
    ///     store.flush()?;
    /// }
    /// let report = store.compact(CompactOptions::new())?;
    /// assert_eq!((report.before.segments, report.after.segments), (3, 1));
    /// assert_eq!((report.before.facts, report.after.facts), (3, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Contended`] if another process maintains the store,
    /// or holds keep changing; [`ErrorKind::Damaged`] if a segment is not
    /// what was committed; [`ErrorKind::Cancelled`]; those of retention
    /// and of the operating system. The store is as it was then, unless the error says that the
    /// commit was published.
    pub fn compact(&self, options: CompactOptions<'_>) -> Result<CompactReport> {
        maintain::compact(self.context(), options)
    }

    /// Makes a backup of the store at `target`: a store of its own, with all facts that are recorded
    /// when this begins. Recording, reading and compaction go on meanwhile.
    ///
    /// ```
    /// use ostracon::{BackupOptions, Event, Json, Store};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (path, target) = (folder.path().join("facts"), folder.path().join("backup"));
    /// let store = Store::open(&path)?;
    /// store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1.0))?;
    /// store.backup(&target, BackupOptions::new())?;
    /// store.record(Event::new("shop", "shop:1", "ActorStopped", Json::empty_object(), 2.0))?;
    /// store.backup(&target, BackupOptions::new().incremental(true))?;
    /// assert_eq!(Store::builder().access(ostracon::Access::Read).open(&target)?.summary()?.facts(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if something is at `target` that is no backup of this store, or one that has
    /// been written to since, or has facts that this store has not; or if there is no such commit, or not all
    /// of its files. [`ErrorKind::Damaged`] if the store is; [`ErrorKind::Contended`] while another process
    /// maintains the backup, or has it open for writing; and the operating system's errors.
    #[expect(clippy::needless_pass_by_value, reason = "how it is made is said once")]
    pub fn backup(&self, target: impl AsRef<Path>, options: BackupOptions) -> Result<BackupReport> {
        backup::backup(self.context(), target.as_ref(), &options, CONDITIONS)
    }
}
