//! Counters of the work that one process did with a store.

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
        /// The first ten counters are those of the backend contract. The others are Ostracon's own.
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
            /// The name, meaning and value of each counter.
            pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $doc.trim_ascii(), self.$name),)*]
            }
        }
    };
}

metrics! {
    /// Facts that this process recorded.
    records_written,
    /// Bytes that this process wrote to the journal for recorded facts.
    bytes_written,
    /// Scans that this process began.
    scans,
    /// Anomalies that scans of this process found.
    anomalies_detected,
    /// Recoveries that this process began.
    recoveries,
    /// Compactions that this process began.
    compactions,
    /// Facts that this process could not record, for any reason.
    write_errors,
    /// Scans that failed.
    scan_errors,
    /// Recoveries that failed.
    recovery_errors,
    /// Compactions that failed.
    compaction_errors,
    /// Facts that were refused because the buffer was full. They count as write errors, too.
    refused,
    /// Facts with a value that no column holds exactly; the exact value is in `extra`.
    inexact,
    /// Times that a recorder waited for room in the buffer.
    waits,
    /// Syncs of the journal to the disk.
    syncs,
    /// Flushes that were committed.
    flushes,
    /// Flushes that failed. A failed flush is tried again.
    flush_errors,
    /// Segments that this process wrote.
    segments_written,
    /// Bytes of the segments that this process wrote.
    segment_bytes_written,
    /// Facts that were replayed from the journals of dead processes.
    replayed,
    /// Queries that this process began.
    queries,
}

/// Raises a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
