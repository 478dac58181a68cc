//! Damaged stores become whole again, and what is lost is accounted for.
//!
//! [`table`] is the whole of it on one page: every damage, in every mode, and what comes of it.
//! [`faults`] has the disk fail, the process stop and the power fail at every operation of a
//! recovery, and of the recovery after that. [`rules`] are the rules that a table cannot show,
//! [`imports`] those of inputs whose commits are lost, and [`command`] is the command.

#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "cli")]
mod elsewhere;
mod faults;
mod imports;
#[cfg(feature = "cli")]
mod ledger;
#[cfg(unix)]
mod links;
mod longer;
#[cfg(feature = "cli")]
mod proof;
mod rebuilt;
mod restore_lost;
#[cfg(feature = "cli")]
mod rules;
pub(crate) mod scene;
mod table;
mod torn;
