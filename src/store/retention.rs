//! What the rules of retention keep of a store, and holds.

use super::{CONDITIONS, Store};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::retention::{self, Explanation, Hold, HoldInForce, RetentionDoubt, RuleInForce};

impl Store {
    /// Holds facts: they are neither hidden nor dropped until the hold is released, whatever rules
    /// of retention say. Facts that compaction has dropped before do not come back.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a condition that cannot be asked, [`ErrorKind::Refused`] if there
    /// is a hold of that name, [`ErrorKind::Closed`] if the store is open for reading only;
    /// nothing is committed then. And the operating system's errors.
    pub fn hold(&self, name: &str, hold: Hold) -> Result<()> {
        self.context().check_commits("hold anything")?;
        retention::add_hold(&self.context().ledger, CONDITIONS, name, hold)
    }

    /// Releases a hold: the rules of retention apply to what it covered.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if there is no hold of that name, [`ErrorKind::Closed`] if the store
    /// is open for reading only, and the operating system's errors.
    pub fn release(&self, name: &str, by: &str, reason: &str) -> Result<()> {
        self.context().check_commits("release anything")?;
        retention::release_hold(&self.context().ledger, name, by, reason)
    }

    /// The holds in force, by name.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn holds(&self) -> Result<Vec<HoldInForce>> {
        retention::holds_in_force(&self.context().ledger)
    }

    /// The rules of retention in force, in the order in which facts are offered to them. They are those that
    /// `ostracon.toml` says now, unless a policy was given in code.
    pub fn retention_rules(&self) -> Vec<RuleInForce> {
        retention::rules_in_force(&self.context().retention)
    }

    /// Why the rules in force are not those of `ostracon.toml`, if they are not: the file has been changed since,
    /// and is not understood. Reads go by the rules that were; compaction is refused.
    pub fn retention_problem(&self) -> Option<Error> {
        self.context().retention.problem()
    }

    /// Finds the rules and holds in force whose conditions fail on facts of the store, and counts these facts.
    ///
    /// Facts are read only where a condition can fail at all.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn retention_doubts(&self) -> Result<Vec<RetentionDoubt>> {
        retention::doubts(self.path(), &self.context().retention, &self.snapshot()?)
    }

    /// How many facts each rule of retention keeps, and how many it does not, now, and why; of all
    /// facts that are there, of one kind, or of those that a condition in SQL picks.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a condition that cannot be asked, [`ErrorKind::Damaged`] and the
    /// operating system's errors.
    pub fn explain_retention(&self, kind: Option<Kind>, predicate: Option<&str>) -> Result<Explanation> {
        let context = self.context();
        context.retention.check()?;
        let now = context.now();
        retention::explain(&context.root, &context.retention, &self.snapshot()?, now, kind, predicate)
    }
}
