//! Opening a store whose ledger cannot be read.
//!
//! Both files of a commit are damaged, say, or a file of another store is among them. Facts that come now must be kept all the same: a writer takes
//! a stream of its own and journals them there, and its flushes wait until the ledger can be read again.
//! The number of that stream is higher than any that something readable names, so that no number comes to
//! name two facts: higher than every stream's folder, than every stream in a commit, a copy, a checkpoint
//! or a segment's footer; and a commit that cannot be read began one stream at most.
//!
//! Lists give what the readable part of the ledger names ([`Store::list_readable`](crate::Store)). All
//! else, SQL above all, fails: it would answer wrongly.

use std::path::Path;

use crate::context::Access;
use crate::disk::Disk;
use crate::error::Result;
use crate::ledger::{Ledger, is_ledger_damage};
use crate::maintain::guess_state;

/// Opens the ledger; if it is damaged, with a guess from what is left of it.
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
