//! Consumer groups of a store.

use super::Store;
use crate::consume::{self, ConsumerGroup, GroupSummary};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::fact::Kind;

impl Store {
    /// Returns the consumer group with this name and kind. The group need not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a name that is empty or too long.
    pub fn consumer_group(&self, kind: Kind, name: impl Into<String>) -> Result<ConsumerGroup<'_>> {
        ConsumerGroup::new(self.context(), kind, name.into())
    }

    /// Summarizes every consumer group: delivered and pending facts.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the state of a group is damaged, and the operating system's errors.
    pub fn consumer_summaries(&self) -> Result<Vec<GroupSummary>> {
        consume::summaries(self.context())
    }

    /// Lists all consumer groups, by kind and name.
    ///
    /// # Errors
    /// The operating system's errors.
    pub fn consumer_groups(&self) -> Result<Vec<ConsumerGroup<'_>>> {
        consume::groups(self.context())
    }
}
