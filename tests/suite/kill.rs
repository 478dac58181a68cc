//! Killed writers: what was acknowledged is there, once, in order, and nothing else is.
//!
//! `kill -9` leaves a store as it is at that instant; nobody tidies up. So each scenario sends
//! numbered facts, notes which of them were acknowledged and where, kills, and looks at what is
//! left with the eyes of the next process:
//!
//! - [`random`]: `ostracon record` is killed at a random moment, over and over on one store, while
//!   it flushes all the time. The choices come from a seed that a failure prints, and the store is
//!   then kept.
//! - [`steps`]: a process dies before its first operation on the disk, before its second, … until
//!   it gets through: every step of opening, recording, flushing, taking over and closing.
//! - [`crowd`]: four writers, killed and replaced, beside readers that never see a fact twice, a
//!   gap, or less than before.
//! - [`disturbed`]: writers are killed while the store is backed up, after one of its commits was damaged,
//!   and after it was renamed.
//! - [`import`]: an import is killed around its commits, and a second one completes it.
//!
//! What a reader may find is exact. A writer that acknowledges each fact before it takes the next
//! leaves its acknowledged facts, and at most one more. A fact that is not there when the store is
//! opened again never appears later, for its number is not sent twice.
//!
//! Every scenario asserts how many processes it killed; together these are about 600 (see
//! [`KILLS`]). What a kill cannot show is what the disk would have lost: that is for the power
//! failures in [`faults`](crate::faults).

pub(crate) mod check;
mod crowd;
mod disturbed;
mod import;
mod random;
mod steps;
mod writer;

/// At least so many processes are killed in one run of the suite.
const KILLS: u64 = random::KILLS + steps::KILLS + crowd::KILLS + import::KILLS;

const _: () = assert!(KILLS >= 500);

/// Not a scenario: the process that [`steps`] and [`import`] start, and that kills itself. Run by
/// itself it does nothing.
#[test]
fn child_entry() {
    match std::env::var("OSTRACON_KILL_CHILD").as_deref() {
        Ok("steps") => steps::child(),
        Ok("import") => import::child(),
        Ok(other) => panic!("there is no child {other:?}"),
        Err(_) => {}
    }
}
