//! The summary of a group.

use std::time::Duration;

use crate::fact::{FactId, Kind};
use crate::follow::Cursor;

/// The delivered and pending facts of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// The kind of the group's facts.
    pub kind: Kind,
    /// The group's name.
    pub group: String,
    /// The facts that were delivered to any consumer, acknowledged or not.
    pub delivered: Cursor,
    /// The number of pending facts.
    pub pending: u64,
    /// The first and the last pending fact, in the order of their names.
    pub pending_range: Option<(FactId, FactId)>,
    /// The pending facts by consumer.
    pub consumers: Vec<ConsumerSummary>,
}

/// The pending facts of one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerSummary {
    /// The consumer's name.
    pub consumer: String,
    /// The number of facts that the consumer has not acknowledged.
    pub pending: u64,
    /// The time since the delivery of the fact that has waited longest.
    pub longest_idle: Duration,
}
