//! What a process did with a store, counted.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($(#[doc = $doc:literal] $name:ident,)*) => {
        /// Counters that recorders, the flush and queries raise.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// The counters of one process at one moment.
        ///
        /// The first ten are those of the backend contract; the others are ours.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl Metrics {
            /// The counters now.
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }

            /// Sets every counter to zero.
            pub(crate) fn reset(&self) {
                $(self.$name.store(0, Ordering::Relaxed);)*
            }
        }

        impl MetricsSnapshot {
            /// Name, meaning and value of each counter.
            pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_ascii(), self.$name),)*]
            }
        }
    };
}

metrics! {
    /// Facts recorded.
    records_written,
    /// Bytes of these facts in the journal.
    bytes_written,
    /// Scans begun.
    scans,
    /// Anomalies that scans found.
    anomalies_detected,
    /// Recoveries begun.
    recoveries,
    /// Compactions begun.
    compactions,
    /// Facts that could not be recorded, for whatever reason.
    write_errors,
    /// Scans that failed.
    scan_errors,
    /// Recoveries that failed.
    recovery_errors,
    /// Compactions that failed.
    compaction_errors,
    /// Of the write errors, those for want of room in the buffer.
    refused,
    /// Facts with a value that no column holds: the column has the nearest one, `extra` the exact one.
    inexact,
    /// Times a recorder had to wait for room in the buffer.
    waits,
    /// Syncs of the journal.
    syncs,
    /// Flushes committed.
    flushes,
    /// Flushes that failed, and will be tried again.
    flush_errors,
    /// Segments written.
    segments_written,
    /// Bytes of these segments.
    segment_bytes_written,
    /// Facts replayed from journals that a dead process left.
    replayed,
    /// Queries begun.
    queries,
}

/// Raises a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
