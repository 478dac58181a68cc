//! Retention rules and holds of a store.

use super::{CONDITIONS, Store};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::retention::{self, Explanation, Hold, HoldInForce, RetentionDoubt, RuleInForce};

impl Store {
    /// Holds facts: they are neither hidden nor dropped until the hold is released, whatever the
    /// retention rules say. Facts that a compaction dropped before do not come back.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a condition that cannot be evaluated, [`ErrorKind::Refused`] if a hold
    /// with this name exists, [`ErrorKind::Closed`] if the store is open for reading only; and the
    /// operating system's errors. After an error nothing was committed.
    pub fn hold(&self, name: &str, hold: Hold) -> Result<()> {
        self.context().check_commits("add a hold")?;
        retention::add_hold(&self.context().ledger, CONDITIONS, name, hold)
    }

    /// Releases a hold: the retention rules apply again to the facts that it covered.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if no hold has this name, [`ErrorKind::Closed`] if the store is open for
    /// reading only, and the operating system's errors.
    pub fn release(&self, name: &str, by: &str, reason: &str) -> Result<()> {
        self.context().check_commits("release a hold")?;
        retention::release_hold(&self.context().ledger, name, by, reason)
    }

    /// Lists the holds in force, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn holds(&self) -> Result<Vec<HoldInForce>> {
        retention::holds_in_force(&self.context().ledger)
    }

    /// Lists the retention rules in force, in the order in which they are tried on a fact. They are the
    /// rules that are in `ostracon.toml` now, unless a policy was given in code.
    pub fn retention_rules(&self) -> Vec<RuleInForce> {
        retention::rules_in_force(&self.context().retention)
    }

    /// The reason why the rules in force differ from `ostracon.toml`, if they do: the file was changed
    /// and cannot be parsed. Reads use the rules from before the change; compaction is refused.
    pub fn retention_problem(&self) -> Option<Error> {
        self.context().retention.problem()
    }

    /// Finds the rules and holds in force whose conditions fail on facts of the store, and counts these
    /// facts.
    ///
    /// Facts are read only where a condition can fail at all.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn retention_doubts(&self) -> Result<Vec<RetentionDoubt>> {
        retention::doubts(self.path(), &self.context().retention, &self.snapshot()?)
    }

    /// Counts how many facts each retention rule keeps and hides now, and why. Counts all facts, the
    /// facts of one kind, or the facts that an SQL condition picks.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a condition that cannot be evaluated, [`ErrorKind::Damaged`] and the
    /// operating system's errors.
    pub fn explain_retention(&self, kind: Option<Kind>, predicate: Option<&str>) -> Result<Explanation> {
        let context = self.context();
        context.retention.check()?;
        let now = context.now();
        retention::explain(&context.root, &context.retention, &self.snapshot()?, now, kind, predicate)
    }
}
