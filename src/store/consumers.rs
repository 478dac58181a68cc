//! Consumer groups of a store.

use super::Store;
use crate::consume::{self, ConsumerGroup, GroupSummary};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::fact::Kind;

impl Store {
    /// The consumer group of this name for facts of a kind, whether or not it is there.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a name that is empty or too long.
    pub fn consumer_group(&self, kind: Kind, name: impl Into<String>) -> Result<ConsumerGroup<'_>> {
        ConsumerGroup::new(self.context(), kind, name.into())
    }

    /// Summarizes every consumer group: delivered and pending facts.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the state of a group is, and the operating system's errors.
    pub fn consumer_summaries(&self) -> Result<Vec<GroupSummary>> {
        consume::summaries(self.context())
    }

    /// All consumer groups, by kind and name.
    ///
    /// # Errors
    /// The operating system's.
    pub fn consumer_groups(&self) -> Result<Vec<ConsumerGroup<'_>>> {
        consume::groups(self.context())
    }
}
