//! Retention: which facts the rules keep.
//!
//! 1. A policy is read from `ostracon.toml` or given in code (`settings/retention.rs`), and becomes rules whose
//!    conditions were checked (`rules`, `condition`), before anything else of the store is touched. When the file
//!    changes, the next statement goes by what it says then (`in_force`).
//! 2. For every query, and for compaction, [`Selection::of`] turns the rules into bounds as of one
//!    snapshot and one instant: how old is too old, and at which place in the store's order a limit
//!    on number or bytes cuts (`bounds`, `count`, `cut`).
//! 3. Reads skip the segments that it drops as a whole, pass on those that it keeps as a whole, and
//!    filter the rows of the others. Compaction drops the very same rows for good.
//! 4. What a hold covers is neither hidden nor dropped (`holds`). It still counts in the ranks: so
//!    adding a hold never drops another fact, and releasing it brings back what was before.
//!
//! What a fact's fate depends on, in this order: its rule; the floor (`keep_at_least`), which
//! protects the newest facts of the rule from all limits; its age; its rank among those that the
//! age leaves; the bytes of those that come behind it; and at last the holds. "The newest" is by the
//! store's order (`recorded_at`, `stream`, `seq`), whatever timestamps say, and facts that are not
//! flushed yet count like all others.
//!
//! A limit is on what the store says, not on what the disk holds: nothing is removed before somebody
//! compacts. [`Store::summary`](crate::Store::summary) and the tables `store.*` tell of everything
//! that is there.

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
