//! The disk: the only module that writes, syncs, links and removes files, and the place where tests
//! inject faults.
//!
//! A store's promises matter when the disk fails, and a test cannot wait for that. So all file operations
//! of the store go through a [`Disk`]. It has ten operations ([`Op`]) and no others: create a directory,
//! create a file, append to it, sync it, sync a directory, link, remove, remove a directory, open a lock
//! file, and give a directory its final name. It does not overwrite, truncate or replace a file, because
//! nothing in a store is ever modified in place. Reading is not part of it, except for opening: only
//! regular files are opened (`regular_file`).
//!
//! # Guarantees
//!
//! - `Disk::publish` makes a whole file appear or none, never replaces one, and when it returns
//!   `Ok`, content and name are on the disk. `Disk::publish_link` is its last step alone, for a
//!   file that was streamed into place.
//! - `DiskFile::append` writes all bytes, or says whether it left a part of them in the file.
//! - An error names the operation, the path and the reason, and keeps the reason's kind and number
//!   ([`DiskError`]).
//! - Nothing is retried here, above all no sync.
//! - A disk that is anchored to a store's folder changes no names if another folder has taken its place
//!   (`folder_identity`).
//!
//! # How a name becomes durable
//!
//! A file has content and names, and a sync makes one of the two durable. `DiskFile::sync_data` is for
//! the content. A name, new or removed, is durable after `Disk::sync_dir` of its directory; the name of
//! that directory is durable after `sync_dir` of *its* parent. Some file systems promise more. The store
//! needs only this.
//!
//! # Faults in a test
//!
//! A test builds the store on [`Disk::with_plan`] and keeps a clone of the [`FaultPlan`]:
//!
//! - *fault*: [`fail_at`](FaultPlan::fail_at) the n-th operation once, or
//!   [`fail_from`](FaultPlan::fail_from) there on;
//! - *death*: [`halt_at`](FaultPlan::halt_at) stops the disk in a living process,
//!   [`abort_at`](FaultPlan::abort_at) kills the process;
//! - *power failure*: [`record_for_power_failure`](FaultPlan::record_for_power_failure), then
//!   [`power_failure`](FaultPlan::power_failure) makes a copy of the store as the disk might hold it,
//!   with unsynced writes dropped, torn or reordered. Open that copy with [`Disk::after_power_failure`].
//!
//! The usual test runs once on a plan without faults to count the operations, then once for each n:
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use ostracon::disk::{Disk, Fault, FaultPlan, Op};
//!
//! let rehearsal = FaultPlan::new();
//! // ... Store::builder().disk(Disk::with_plan(rehearsal.clone())), record, flush, close ...
//! for n in 1..=rehearsal.operations() {
//!     let plan = FaultPlan::new().fail_at(n, Fault::NoSpace);
//!     let disk = Disk::with_plan(plan.clone());
//!     // ... the same again on `disk`; reopen, expect every acknowledged fact exactly once ...
//! }
//!
//! // Or: the third fdatasync fails, and so does every later one.
//! let plan = FaultPlan::new().only(Op::SyncData).fail_from(3, Fault::Io);
//! # assert_eq!(plan.operations(), 0);
//! ```
//!
//! Without a plan, all this costs one check of an `Option` per operation.
//!
//! # The modules
//!
//! `folder_identity` recognises the store's folder; `file` is the growing file; `fault` names operations and
//! failures, and `fault_plan` decides which operation fails; `operation_record` remembers which bytes and names
//! were synced; `power_failure` makes a directory from that record as a power failure might leave it. This is not a
//! file system in memory: every operation that is allowed happens on the real disk, and tests run against
//! real directories.

mod error;
mod fault;
mod fault_plan;
mod file;
mod folder_identity;
mod operation_record;
mod owner;
mod power_failure;
mod random;
mod regular_file;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use error::DiskError;
pub use fault::{Fault, Op};
pub use fault_plan::FaultPlan;
pub use file::DiskFile;
pub(crate) use file::Syncer;
use folder_identity::Anchor;
use operation_record::{FileId, Record};
pub(crate) use owner::{is_of_another, owner, rights};
pub use power_failure::PowerFailure;
pub(crate) use regular_file::{EIO, is_broken_link, is_unreadable, open_regular, read_bytes, read_regular};

/// The boot id of a machine after a simulated power failure.
const BOOT_ID_AFTER_POWER_FAILURE: &str = "00000000-0000-4000-8000-706f7765726f";

/// Why a store may not be in its place.
pub(crate) enum Misplaced {
    /// Its path leads to another folder, or to none.
    Moved(String),
    /// The check itself failed.
    Unknown(io::Error),
}

/// The disk that a store writes to: the real disk, or one with a [`FaultPlan`]. It is cheap to clone;
/// clones share the plan.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    plan: Option<FaultPlan>,
    rebooted: bool,
    /// The folder that files belong in; `None` where it does not matter.
    anchor: Option<Arc<Anchor>>,
}

impl Disk {
    /// The real disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The real disk, with the faults of `plan`. Keep a clone of the plan to count operations and to
    /// heal.
    pub fn with_plan(plan: FaultPlan) -> Self {
        Self { plan: Some(plan), ..Self::default() }
    }

    /// The real disk, on a machine that was restarted: it has another boot id. For opening the result of
    /// [`FaultPlan::power_failure`].
    pub fn after_power_failure() -> Self {
        Self { rebooted: true, ..Self::default() }
    }

    /// Anchors the disk to one store's folder: no name is made or removed once the store's path leads to
    /// another folder than now.
    pub(crate) fn anchored(&self, root: &Path) -> io::Result<Self> {
        Ok(Self { anchor: Some(Arc::new(Anchor::hold(root)?)), ..self.clone() })
    }

    /// Fails if the store's path leads to another folder than when the disk was
    /// [anchored](Self::anchored), or to no folder.
    pub(crate) fn check_anchor(&self) -> Result<(), Misplaced> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        anchor.check().map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<folder_identity::Moved>() => Misplaced::Moved(error.to_string()),
            _ => Misplaced::Unknown(error),
        })
    }

    /// Creates the directory `path`, one level; `Ok` if it exists. Durable after a sync of its parent.
    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        let create = || match fs::create_dir(path) {
            Ok(()) => {
                self.take_after_folder(path, || File::open(path))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
            Err(error) => Err(error),
        };
        self.perform(Op::CreateDir, path, create, |record, &created| {
            record.directory_created(path, created);
        })?;
        Ok(())
    }

    /// Works as [`create_dir`](Self::create_dir); a new directory gets the owner, group and mode of
    /// `after`.
    pub(crate) fn create_dir_after(&self, path: &Path, after: &Path) -> io::Result<()> {
        self.create_dir(path)?;
        owner::take_after(&fs::metadata(after)?, &File::open(path)?)
    }

    /// Creates the file `path` for appending; [`io::ErrorKind::AlreadyExists`] if the name exists.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        let id = FileId::fresh();
        let create = || {
            let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
            self.take_after_folder(path, || file.try_clone())?;
            Ok(file)
        };
        let file = self.perform(Op::CreateNew, path, create, |record, _| {
            record.file_created(path, id);
        })?;
        // The folder may have been exchanged just before: then the file is in the wrong folder.
        if let Err(moved) = self.refuse_elsewhere(Op::CreateNew, path) {
            drop(file);
            let _ = fs::remove_file(path);
            return Err(moved);
        }
        Ok(DiskFile::new(file, path, self.plan.clone(), id))
    }

    /// Waits until the disk has all changes of names in the directory `path` that were made before
    /// this call.
    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.refuse_elsewhere(Op::SyncDir, path)?;
        let sync = || File::open(path)?.sync_all();
        let result = match &self.plan {
            None => sync(),
            Some(plan) => plan.sync(
                Op::SyncDir,
                path,
                |record| record.name_changes(),
                sync,
                |record, before, done| record.directory_synced(path, before, done),
            ),
        };
        result.map_err(|reason| DiskError::wrap(Op::SyncDir, path, reason))
    }

    /// Gives the file `from` the further name `to`; [`io::ErrorKind::AlreadyExists`] if that name exists,
    /// which is then left unchanged. Durable after a sync of the directory of `to`.
    pub(crate) fn publish_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Op::Link, to, || fs::hard_link(from, to), |record, ()| record.linked(from, to))
    }

    /// Removes the name `path` of a file; durable after a sync of its directory.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.perform(Op::Remove, path, || fs::remove_file(path), |record, ()| record.removed(path))
    }

    /// Removes the empty directory `path`; durable after a sync of its parent.
    pub(crate) fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.perform(Op::RemoveDir, path, || fs::remove_dir(path), |record, ()| record.removed(path))
    }

    /// Renames the directory `from` to `to`, where nothing or an empty directory is; durable after a sync
    /// of both parents. A recording for a power failure does not include this.
    pub(crate) fn rename_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Op::RenameDir, to, || fs::rename(from, to), |_, ()| {})
    }

    /// Publishes a whole file: either `bytes` are at `target`, content and name on the disk, or no file
    /// is there.
    ///
    /// 1. creates `temp`, which must be a fresh name in the directory of `target`, and writes and syncs
    ///    `bytes` there;
    /// 2. links it to `target`, which fails if that name exists already;
    /// 3. removes `temp`;
    /// 4. syncs the directory.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] always means that `target` existed before (if `temp` exists
    /// before, the error has kind `Other`, and `temp` is left alone).
    ///
    /// If the error comes before step 2 succeeded, nothing was published, and `temp` is removed if the
    /// disk still can. After step 2 the file cannot be withdrawn, because others may have read it. A
    /// failure of step 3 is then no error: a name that nothing refers to does no harm. A failure of step
    /// 4 means *published, but perhaps not durable*; its [`DiskError::op`] is [`Op::SyncDir`].
    pub(crate) fn publish(&self, temp: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create_new(temp).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => DiskError::without_kind(error),
            _ => error,
        })?;
        let linked =
            file.append(bytes).and_then(|()| file.sync_data()).and_then(|()| self.publish_link(temp, target));
        drop(self.remove(temp));
        linked?;
        self.sync_dir(directory_of(target))
    }

    /// Opens the lock file `path`, and creates it empty if it does not exist. Takes no lock.
    pub(crate) fn lock_file(&self, path: &Path) -> io::Result<File> {
        let open = || {
            let existed = path.exists();
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            if !existed {
                self.take_after_folder(path, || file.try_clone())?;
            }
            Ok((file, existed))
        };
        let note = |record: &mut Record, &(_, existed): &(File, bool)| {
            record.lock_file_opened(path, existed);
        };
        let (file, _) = self.perform(Op::LockFile, path, open, note)?;
        Ok(file)
    }

    /// Works as [`lock_file`](Self::lock_file). If another user's process made the file and it may not be
    /// written, it is opened for reading, which is enough to lock it.
    pub(crate) fn lock_file_of_anyone(&self, path: &Path) -> io::Result<File> {
        self.lock_file(path).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => File::open(path).map_err(|_| error),
            _ => Err(error),
        })
    }

    /// Gives a new entry of the store the owner, group and mode of its folder.
    fn take_after_folder(&self, path: &Path, made: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        match &self.anchor {
            Some(anchor) if anchor.holds(path) => owner::take_after_folder(path, &made()?),
            _ => Ok(()),
        }
    }

    /// Identifies the current boot of the machine: another text after each boot. Empty where the system
    /// has none.
    pub(crate) fn boot_id(&self) -> String {
        if self.rebooted || self.plan.as_ref().is_some_and(FaultPlan::power_has_failed) {
            return BOOT_ID_AFTER_POWER_FAILURE.to_owned();
        }
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    }

    /// Performs one operation on names: `act` does it, and `note` adds it to the plan's record, if there
    /// is one.
    fn perform<T>(
        &self,
        op: Op,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut Record, &T),
    ) -> io::Result<T> {
        self.refuse_elsewhere(op, path)?;
        let result = match &self.plan {
            None => act(),
            Some(plan) => plan.perform(op, path, act, note),
        };
        result.map_err(|reason| DiskError::wrap(op, path, reason))
    }

    fn refuse_elsewhere(&self, op: Op, path: &Path) -> io::Result<()> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        anchor.check().map_err(|reason| DiskError::wrap(op, path, reason))
    }
}

/// The directory of `path`; for a bare name the current one.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}
