//! Opens a store whose ledger cannot be read.
//!
//! For example, both files of a commit are damaged, or a file of another store is among them. New facts
//! must be kept all the same: a writer takes a stream of its own and journals them there, and its flushes
//! wait until the ledger can be read again. The number of that stream must be higher than every number in
//! use, so that no number ever names two facts. It is higher than every stream's folder, and every stream
//! in a commit, a copy, a checkpoint or a segment's footer. A commit that cannot be read began one stream
//! at most.
//!
//! Lists return the facts that the readable part of the ledger names
//! ([`Store::list_readable`](crate::Store)). Every other read fails, above all SQL: its answer would be
//! wrong.

use std::path::Path;

use crate::context::Access;
use crate::disk::Disk;
use crate::error::Result;
use crate::ledger::{Ledger, is_ledger_damage};
use crate::maintain::guess_state;

/// Opens the ledger. If it is damaged, opens an estimate from its readable part.
pub(super) fn open_ledger(disk: &Disk, root: &Path, access: Access) -> Result<Ledger> {
    let error = match Ledger::open(disk.clone(), root) {
        Err(error) if is_ledger_damage(&error) && access != Access::Maintain => error,
        opened => return opened,
    };
    let Some(guess) = guess_state(root).ok().flatten() else { return Err(error) };
    if access == Access::Write {
        tracing::error!(%error, "the ledger cannot be read: facts are journaled and not flushed, and queries fail, until `ostracon recover` has repaired it");
    }
    Ok(Ledger::unreadable(disk.clone(), root, guess))
}
