//! Retention: which facts the rules keep.
//!
//! 1. A policy is read from `ostracon.toml` or given in code (`settings/retention.rs`). It becomes rules
//!    whose conditions are checked (`rules`, `condition`), before any other part of the store is opened.
//!    When the file changes, the next statement uses its new content (`in_force`).
//! 2. For every query, and for compaction, [`Selection::of`] turns the rules into bounds for one snapshot
//!    and one time: the oldest allowed time, and the place in the store's order at which a limit on
//!    number or bytes cuts (`bounds`, `count`, `cut`).
//! 3. Reads skip segments that are dropped as a whole, pass on segments that are kept as a whole, and
//!    filter the rows of the others. Compaction drops exactly these rows for good.
//! 4. A fact that a hold covers is neither hidden nor dropped (`holds`). It still counts in the ranks. So
//!    adding a hold never drops another fact, and releasing it restores the earlier result.
//!
//! The fate of a fact depends on these points, in this order: its rule; the floor (`keep_at_least`),
//! which protects the newest facts of the rule from all limits; its age; its rank among the facts that
//! are not too old; the bytes of the facts after it; and at last the holds. "The newest" is by the
//! store's order (`recorded_at`, `stream`, `seq`), whatever timestamps say. Facts that are not flushed
//! yet count like all others.
//!
//! A limit applies to the facts that reads return, not to the space on the disk: nothing is removed
//! before a compaction. [`Store::summary`](crate::Store::summary) and the tables `store.*` count all
//! facts that are still there.

mod bounds;
mod condition;
mod count;
mod cut;
mod doubts;
mod explain;
mod holds;
mod in_force;
mod rows;
mod rules;
mod selection;
mod tally;
#[cfg(test)]
#[cfg(feature = "sql")]
mod tests;

pub(crate) use condition::ConditionParser;
#[cfg(feature = "sql")]
pub(crate) use condition::{Condition, Matches};
pub use doubts::RetentionDoubt;
pub(crate) use doubts::doubts;
pub use explain::{Explanation, Fate, Outcome, RuleInForce};
pub(crate) use explain::{explain, hidden, hidden_in_segments, rules_in_force};
pub use holds::{Hold, HoldInForce};
pub(crate) use holds::{add_hold, holds_in_force, release_hold};
pub(crate) use in_force::Retention;
pub(crate) use rules::{RuleId, Rules};
pub(crate) use selection::{Selection, Verdict};
pub(crate) use tally::may_be_dropped;
