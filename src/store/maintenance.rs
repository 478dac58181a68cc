//! Maintenance of a store: scan, verify, recover, compact and backup.

use std::path::Path;

use super::{CONDITIONS, Store};
use crate::backup::{self, BackupOptions, BackupReport};
use crate::counters::count;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::maintain::{
    self, BalanceSheet, CompactOptions, CompactReport, LedgerHead, RecoveryConfig, RecoveryReport, ScanDepth,
    ScanOptions, ScanReport,
};
use crate::store_folder::absolute;

/// Checks whether a store is whole, without opening it: it may be too damaged to open.
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
/// [`ErrorKind::NotAStore`], [`ErrorKind::NewerFormat`], and the operating system's errors if it does not
/// allow a file to be read. A segment that the disk cannot read is an anomaly, not an error.
pub fn scan<'a>(path: impl AsRef<Path>, options: impl Into<ScanOptions<'a>>) -> Result<ScanReport> {
    maintain::scan(&absolute(path.as_ref())?, options, CONDITIONS)
}

/// Recovers the store at this path. It may be too damaged to open.
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
/// [`ErrorKind::NotAStore`]; [`ErrorKind::Settings`] for quarantine mode without a folder, or with a
/// folder within the store; [`ErrorKind::Contended`] while another process maintains the store;
/// [`ErrorKind::NewerFormat`]; and the operating system's errors. Steps that were done before the error
/// stand, and the next recovery continues from there. Damage that remains after the recovery is not an
/// error: the report lists it.
pub fn recover(path: impl AsRef<Path>, config: RecoveryConfig) -> Result<RecoveryReport> {
    maintain::recover(&absolute(path.as_ref())?, config, CONDITIONS)
}

/// Adds up the facts of a store, from its first commit to its head.
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
/// Those of [`scan`]. A damaged ledger is an anomaly, not an error.
pub fn verify(path: impl AsRef<Path>, against: Option<&LedgerHead>) -> Result<BalanceSheet> {
    verify_at(path, against, ScanDepth::Quick)
}

/// Works as [`verify`], with this depth: [`ScanDepth::Deep`] also reads the contents of all segments.
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

/// Backs up the store at this path: opens it for reading only and calls [`Store::backup`].
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
    /// Checks whether the store is whole: calls [`scan`], and counts it in the store's metrics. It never
    /// changes a byte. It does not wait for writers, and they do not wait for it.
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

    /// Recovers the store: calls [`recover`], and counts it in the store's metrics. The stream of this
    /// open store is left alone, and its ledger cannot be rebuilt while the store is open for writing.
    ///
    /// # Errors
    /// Those of [`recover`].
    pub fn recover(&self, config: RecoveryConfig) -> Result<RecoveryReport> {
        let context = self.context();
        let metrics = &context.metrics;
        count(&metrics.recoveries, 1);
        // A recovery includes a scan.
        count(&metrics.scans, 1);
        let allowed = if config.only_looks() { Ok(()) } else { context.check_commits("recover it") };
        let result = allowed.and_then(|()| recover(self.path(), config.disk(context.disk.clone())));
        match &result {
            Ok(report) => count(&metrics.anomalies_detected, report.scan.anomalies.len() as u64),
            Err(_) => count(&metrics.recovery_errors, 1),
        }
        result
    }

    /// Returns the newest commit, to be kept elsewhere: later, [`verify`] checks whether the store still
    /// has the history up to it.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn head(&self) -> Result<LedgerHead> {
        Ok(maintain::head_of(&*self.context().ledger.refresh()?))
    }

    /// Merges small segments into large ones, and drops for good the facts that retention does not keep.
    ///
    /// One commit at the end changes the store. If there is nothing to merge and nothing to drop, there
    /// is no commit. Facts that this process recorded are flushed first; the journals of other processes
    /// are left to them. The store may be open for writing, or for
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
    /// [`ErrorKind::Contended`] if another process maintains the store, or holds keep changing;
    /// [`ErrorKind::Damaged`] if a segment differs from the committed one; [`ErrorKind::Cancelled`]; and
    /// errors of retention and of the operating system. After an error the store is unchanged, unless the
    /// error says that the commit was published.
    pub fn compact(&self, options: CompactOptions<'_>) -> Result<CompactReport> {
        maintain::compact(self.context(), options)
    }

    /// Makes a backup of the store at `target`: a complete store, with all facts that were recorded
    /// before this call. Recording, reading and compaction continue meanwhile.
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
    /// [`ErrorKind::Refused`] if something at `target` is not a backup of this store, or was written to
    /// since, or has facts that this store does not have; or if the requested commit or some of its files
    /// are not there. [`ErrorKind::Damaged`] if the store is damaged; [`ErrorKind::Contended`] while
    /// another process maintains the backup, or has it open for writing; and the operating system's
    /// errors.
    #[expect(clippy::needless_pass_by_value, reason = "the options of a backup are used once")]
    pub fn backup(&self, target: impl AsRef<Path>, options: BackupOptions) -> Result<BackupReport> {
        backup::backup(self.context(), target.as_ref(), &options, CONDITIONS)
    }
}
