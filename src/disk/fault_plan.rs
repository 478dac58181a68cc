//! The fault plan: which operation fails, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::Halted;
use super::fault::{Fault, Op};
use super::operation_record::{FileId, Record};
use super::power_failure::PowerFailure;
use super::random::SplitMix64;

/// A test's plan for the disk: which operations fail, and whether to record for a power failure.
///
/// Clones share one plan: pass one to [`Disk::with_plan`](super::Disk::with_plan) and keep the other.
/// Every method may be called at any time, also while a store uses the disk. `n` always counts from the
/// call, and the next operation is number 1. Several faults may be pending at once.
#[derive(Clone, Default)]
pub struct FaultPlan {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pending: Vec<Pending>,
    broken: BTreeMap<Op, Fault>,
    only: Option<Op>,
    below: Option<PathBuf>,
    halted: bool,
    power_has_failed: bool,
    counts: BTreeMap<Op, u64>,
    log: Vec<(Op, Arc<Path>)>,
    record: Option<Record>,
}

/// A fault that happens at the operation that takes `left` to 0.
struct Pending {
    left: u64,
    event: Event,
}

enum Event {
    FailOnce(Fault),
    FailForGood(Fault),
    Halt,
    Abort,
}

/// Why an operation must not happen.
enum Refusal {
    Halted,
    Fault(Fault),
}

#[allow(
    clippy::return_self_not_must_use,
    reason = "they return one more handle of one plan, for chaining; not all tests chain"
)]
impl FaultPlan {
    /// A plan without faults; it only counts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the `n`-th operation from now fail, once.
    pub fn fail_at(&self, n: u64, fault: Fault) -> Self {
        self.at(n, Event::FailOnce(fault))
    }

    /// Lets the `n`-th operation from now fail, and every later one of its kind, until
    /// [`heal`](Self::heal).
    pub fn fail_from(&self, n: u64, fault: Fault) -> Self {
        self.at(n, Event::FailForGood(fault))
    }

    /// From the `n`-th operation on, every operation fails with "disk halted" and changes nothing. The
    /// disk then holds what a process leaves that died before that operation, while the test can still
    /// look at it. A halt cannot be undone.
    pub fn halt_at(&self, n: u64) -> Self {
        self.at(n, Event::Halt)
    }

    /// Kills the process with SIGKILL before the `n`-th operation: no destructor runs and no buffer is
    /// flushed. For a test that runs the store in a process of its own.
    pub fn abort_at(&self, n: u64) -> Self {
        self.at(n, Event::Abort)
    }

    /// Counts only operations of the kind `op`, for all faults of the plan and for
    /// [`operations`](Self::operations): `only(Op::SyncData).fail_at(3, …)` fails the third sync.
    pub fn only(&self, op: Op) -> Self {
        self.state().only = Some(op);
        self.clone()
    }

    /// Limits faults to operations on paths below this folder.
    pub fn below(&self, folder: impl Into<PathBuf>) -> Self {
        self.state().below = Some(folder.into());
        self.clone()
    }

    /// Starts to record what [`power_failure`](Self::power_failure) needs, for all operations below
    /// `root`: a copy of every byte written, and which of them were synced.
    ///
    /// All that is there now counts as synced, and so does the name of `root` itself, whether or not it
    /// exists. To test whether a store syncs the name of its own directory, record the directory above.
    /// From now on, every change below `root` must go through a disk with this plan. A second call starts
    /// a new record.
    pub fn record_for_power_failure(&self, root: impl AsRef<Path>) -> Self {
        let mut state = self.state();
        state.record = Some(Record::new(root.as_ref()));
        drop(state);
        self.clone()
    }

    fn at(&self, n: u64, event: Event) -> Self {
        self.state().pending.push(Pending { left: n.max(1), event });
        self.clone()
    }
}

impl FaultPlan {
    /// Works as [`only`](Self::only), for a plan that is in use.
    pub fn restrict_to(&self, op: Op) {
        self.state().only = Some(op);
    }

    /// Removes all faults, as when space was freed: pending faults are cancelled, and failing operations
    /// work again. A halted disk stays halted.
    pub fn heal(&self) {
        let mut state = self.state();
        state.pending.clear();
        state.broken.clear();
    }

    /// Counts the operations that were attempted so far, including failed ones; under
    /// [`only`](Self::only), the operations of that kind. Operations after a halt do not count.
    pub fn operations(&self) -> u64 {
        let state = self.state();
        match state.only {
            Some(op) => state.counts.get(&op).copied().unwrap_or(0),
            None => state.counts.values().sum(),
        }
    }

    /// Lists the operations that were attempted so far, in order, for the message of a failing test. A
    /// link is listed by its new name.
    pub fn log(&self) -> Vec<(Op, PathBuf)> {
        self.state().log.iter().map(|(op, path)| (*op, path.to_path_buf())).collect()
    }

    /// Whether [`halt_at`](Self::halt_at) has taken effect.
    pub fn is_halted(&self) -> bool {
        self.state().halted
    }

    /// Makes a tree in the empty directory `into` that the disk might hold below `root` if the power
    /// failed now. `root` is the recorded directory or one below it, and counts as durable itself.
    ///
    /// The files below `root` are left alone, and the store may go on running: a test can make many power
    /// failures from one moment, and one each from many moments. From here on, disks with this plan have
    /// another boot id.
    ///
    /// # Errors
    ///
    /// If nothing was recorded for `root`, if something below it could not be read when recording,
    /// if `into` is not empty, or if it cannot be written.
    pub fn power_failure(&self, root: &Path, into: &Path, choice: PowerFailure) -> io::Result<()> {
        let mut state = self.state();
        let Some(record) = &state.record else {
            let missing = "nothing was recorded: call record_for_power_failure first";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, missing));
        };
        choice.apply(record, root, into)?;
        state.power_has_failed = true;
        Ok(())
    }

    pub(super) fn power_has_failed(&self) -> bool {
        self.state().power_has_failed
    }

    /// Performs one operation on names. The lock is held throughout, so that the record has the
    /// operations in their order.
    pub(super) fn perform<T>(
        &self,
        op: Op,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
        note: impl FnOnce(&mut Record, &T),
    ) -> io::Result<T> {
        let mut state = self.state();
        let refusal = match state.admit(op, path.into()) {
            Ok(()) => None,
            Err(Refusal::Fault(Fault::DoneBefore)) => Some(Fault::DoneBefore.error(op)),
            Err(refusal) => return Err(refusal.error(op)),
        };
        let done = act()?;
        if let Some(record) = &mut state.record {
            note(record, &done);
        }
        refusal.map_or(Ok(done), Err)
    }

    /// Performs one append to the file `id`, which is `len` bytes long.
    pub(super) fn append(
        &self,
        id: FileId,
        path: &Arc<Path>,
        file: &File,
        len: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut state = self.state();
        let mut file = file;
        let result = match state.admit(Op::Append, Arc::clone(path)) {
            Ok(()) => file.write_all(bytes),
            Err(Refusal::Fault(Fault::ShortWrite)) => {
                let some = short(bytes, state.log.len() as u64);
                file.write_all(some).and(Err(Fault::ShortWrite.error(Op::Append)))
            }
            Err(refusal) => Err(refusal.error(Op::Append)),
        };
        if let Some(record) = &mut state.record {
            // After an error, only the file itself shows how much has reached it.
            let reached = match &result {
                Ok(()) => bytes.len(),
                Err(_) => file.metadata().map_or(0, |found| found.len().saturating_sub(len) as usize),
            };
            record.appended(id, path, bytes.get(..reached).unwrap_or(bytes));
        }
        result
    }

    /// Performs one sync. It covers the bytes that are in the record at `begin`, and not bytes that are
    /// added while it runs, so the lock is free meanwhile. `end` gets the result.
    pub(super) fn sync(
        &self,
        op: Op,
        path: &Path,
        begin: impl FnOnce(&mut Record) -> u64,
        act: impl FnOnce() -> io::Result<()>,
        end: impl FnOnce(&mut Record, u64, bool),
    ) -> io::Result<()> {
        let mut state = self.state();
        let admitted = state.admit(op, path.into());
        if let Err(Refusal::Halted) = admitted {
            // Not a failed sync: the dead process never made this call.
            return Err(Refusal::Halted.error(op));
        }
        let covered = state.record.as_mut().map(begin);
        drop(state);

        let result = admitted.map_err(|refusal| refusal.error(op)).and_then(|()| act());

        if let Some(covered) = covered
            && let Some(record) = &mut self.state().record
        {
            end(record, covered, result.is_ok());
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("FaultPlan")
            .field("operations", &state.log.len())
            .field("pending", &state.pending.len())
            .field("broken", &state.broken)
            .field("only", &state.only)
            .field("halted", &state.halted)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Counts the operation and decides whether it may happen.
    fn admit(&mut self, op: Op, path: Arc<Path>) -> Result<(), Refusal> {
        if self.halted {
            return Err(Refusal::Halted);
        }
        *self.counts.entry(op).or_default() += 1;
        let reaches = self.below.as_ref().is_none_or(|below| path.starts_with(below));
        self.log.push((op, path));

        let mut fault = self.broken.get(&op).copied().filter(|_| reaches);
        if reaches && self.only.is_none_or(|only| only == op) {
            let due = self.pending.extract_if(.., |pending| {
                pending.left -= 1;
                pending.left == 0
            });
            for Pending { event, .. } in due {
                match event {
                    Event::FailOnce(how) => fault = Some(how),
                    Event::FailForGood(how) => {
                        self.broken.insert(op, how);
                        fault = Some(how);
                    }
                    Event::Halt => self.halted = true,
                    Event::Abort => die(),
                }
            }
        }
        match fault {
            _ if self.halted => Err(Refusal::Halted),
            Some(fault) => Err(Refusal::Fault(fault)),
            None => Ok(()),
        }
    }
}

impl Refusal {
    fn error(self, op: Op) -> io::Error {
        match self {
            Self::Halted => io::Error::other(Halted),
            Self::Fault(fault) => fault.error(op),
        }
    }
}

/// A part of `bytes`: of two or more bytes neither all nor none.
fn short(bytes: &[u8], seed: u64) -> &[u8] {
    let most = bytes.len().saturating_sub(1);
    let some = (1 + SplitMix64::new(seed).below(most)).min(most);
    bytes.get(..some).unwrap_or_default()
}

/// Kills the process with SIGKILL. Only the plan's lock keeps the other threads from the disk until the
/// signal arrives, so the caller holds it.
fn die() -> ! {
    // The shell's own `kill`: not every system has the command of that name.
    let kill = format!("kill -9 {}", std::process::id());
    if Command::new("sh").args(["-c", &kill]).status().is_ok() {
        thread::sleep(Duration::from_secs(5));
    }
    std::process::abort()
}
