//! What is told of a group.

use std::time::Duration;

use crate::fact::{FactId, Kind};
use crate::follow::Cursor;

/// What a group has been given, and what is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// The kind of its facts.
    pub kind: Kind,
    /// Its name.
    pub group: String,
    /// What was delivered to anybody, acknowledged or not.
    pub delivered: Cursor,
    /// How many facts are pending.
    pub pending: u64,
    /// The first and the last of them, in the order of their names.
    pub pending_range: Option<(FactId, FactId)>,
    /// Whose they are.
    pub consumers: Vec<ConsumerSummary>,
}

/// The pending facts of one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSummary {
    /// Its name.
    pub consumer: String,
    /// How many facts it has not acknowledged.
    pub pending: u64,
    /// How long ago the one was delivered that has waited longest.
    pub longest_idle: Duration,
}
