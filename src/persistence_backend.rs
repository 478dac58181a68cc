//! The persistence backend's contract as a trait.
//!
//! An actor system hands its facts to a backend and must not suffer for it: the `record_*` methods do not
//! fail. [`MetricsSnapshot::write_errors`] counts the facts that could not be recorded. A caller that
//! needs the reason calls [`Store::record`].
//!
//! `recover` belongs to the contract, too, and returns its report.

use std::future::Future;
use std::sync::Arc;

use crate::counters::MetricsSnapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Audit, DeadLetter, Event, Fact, Kind, Recorded};
use crate::maintain::{
    CompactOptions, CompactionReport, RecoveryConfig, RecoveryReport, ScanDepth, ScanReport, compact,
};
use crate::store::Store;

/// Records the observable facts of an actor system, and lists them.
///
/// Lists are in the order of recording. `since` (inclusive, in seconds of the facts' own clock) applies
/// first, then `limit`, which keeps the newest facts.
pub trait PersistenceBackend: Send + Sync {
    /// Records an event. It is appended before the future first suspends.
    fn record_event(&self, event: Event<'_>) -> impl Future<Output = ()> + Send;

    /// Records an audit. It is appended before the future first suspends.
    fn record_audit(&self, audit: Audit<'_>) -> impl Future<Output = ()> + Send;

    /// Records a dead letter. It is appended before the future first suspends.
    fn record_dead_letter(&self, letter: DeadLetter<'_>) -> impl Future<Output = ()> + Send;

    /// Stops recording: later facts are dropped. Reading still works. May be called again.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;

    /// Lists the newest events.
    fn list_events(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> impl Future<Output = Result<Vec<Recorded<Event<'static>>>>> + Send;

    /// Lists the newest audits.
    fn list_audits(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> impl Future<Output = Result<Vec<Recorded<Audit<'static>>>>> + Send;

    /// Lists the newest dead letters.
    fn list_dead_letters(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> impl Future<Output = Result<Vec<Recorded<DeadLetter<'static>>>>> + Send;

    /// Drops for good the facts that retention does not keep, and merges the remaining segments.
    fn compact(&self) -> impl Future<Output = Result<CompactionReport>> + Send;

    /// Checks whether the store is whole, and changes nothing. May be called on a closed store.
    fn scan(&self) -> impl Future<Output = Result<ScanReport>> + Send;

    /// Repairs a damaged store, as far as the configuration allows. Without a configuration it only
    /// scans. Quarantine mode without a folder uses the store's own `quarantine` folder.
    fn recover(&self, config: Option<RecoveryConfig>) -> impl Future<Output = Result<RecoveryReport>> + Send;

    /// Returns the counters. Never fails.
    fn metrics(&self) -> MetricsSnapshot;

    /// Sets all counters to zero.
    fn reset_metrics(&self);
}

impl Store {
    /// Lists facts of one kind as their own type.
    fn list_as<T>(
        &self,
        kind: Kind,
        limit: Option<usize>,
        since: Option<f64>,
        pick: fn(Fact<'static>) -> Option<T>,
    ) -> Result<Vec<Recorded<T>>> {
        let facts = self.list(kind, limit, since)?;
        let picked = facts
            .into_iter()
            .filter_map(|found| Some(Recorded { position: found.position, fact: pick(found.fact)? }));
        Ok(picked.collect())
    }
}

impl PersistenceBackend for Store {
    async fn record_event(&self, event: Event<'_>) {
        // The error is counted; an actor system has no use for it.
        let _ = self.record(event);
    }

    async fn record_audit(&self, audit: Audit<'_>) {
        let _ = self.record(audit);
    }

    async fn record_dead_letter(&self, letter: DeadLetter<'_>) {
        let _ = self.record(letter);
    }

    async fn close(&self) -> Result<()> {
        Self::close(self)
    }

    async fn list_events(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Event<'static>>>> {
        self.list_as(Kind::Event, limit, since, |fact| match fact {
            Fact::Event(event) => Some(event),
            _ => None,
        })
    }

    async fn list_audits(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Audit<'static>>>> {
        self.list_as(Kind::Audit, limit, since, |fact| match fact {
            Fact::Audit(audit) => Some(audit),
            _ => None,
        })
    }

    async fn list_dead_letters(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<DeadLetter<'static>>>> {
        self.list_as(Kind::DeadLetter, limit, since, |fact| match fact {
            Fact::DeadLetter(letter) => Some(letter),
            _ => None,
        })
    }

    async fn compact(&self) -> Result<CompactionReport> {
        let context = Arc::clone(self.context());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // A compaction may take minutes and uses two cores: it does not belong on the async runtime's
        // threads.
        let thread = std::thread::Builder::new().name("ostracon-compact".to_owned()).spawn(move || {
            let report = compact(&context, CompactOptions::new());
            // If the caller no longer waits, the compaction was done all the same.
            let _ = sender.send(report.map(|report| CompactionReport::from(&report)));
        });
        thread.map_err(|error| {
            Error::with_source(ErrorKind::Io, "cannot start the thread of the compaction", error)
        })?;
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "the compaction failed: its thread panicked"))
        })
    }

    async fn scan(&self) -> Result<ScanReport> {
        Self::scan(self, ScanDepth::Quick)
    }

    async fn recover(&self, config: Option<RecoveryConfig>) -> Result<RecoveryReport> {
        Self::recover(self, config.unwrap_or_default().own_quarantine(self.path()))
    }

    fn metrics(&self) -> MetricsSnapshot {
        Self::metrics(self)
    }

    fn reset_metrics(&self) {
        Self::reset_metrics(self);
    }
}

impl<B: PersistenceBackend> PersistenceBackend for Arc<B> {
    async fn record_event(&self, event: Event<'_>) {
        B::record_event(self, event).await;
    }

    async fn record_audit(&self, audit: Audit<'_>) {
        B::record_audit(self, audit).await;
    }

    async fn record_dead_letter(&self, letter: DeadLetter<'_>) {
        B::record_dead_letter(self, letter).await;
    }

    async fn close(&self) -> Result<()> {
        B::close(self).await
    }

    async fn list_events(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Event<'static>>>> {
        B::list_events(self, limit, since).await
    }

    async fn list_audits(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Audit<'static>>>> {
        B::list_audits(self, limit, since).await
    }

    async fn list_dead_letters(
        &self,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<DeadLetter<'static>>>> {
        B::list_dead_letters(self, limit, since).await
    }

    async fn compact(&self) -> Result<CompactionReport> {
        B::compact(self).await
    }

    async fn scan(&self) -> Result<ScanReport> {
        B::scan(self).await
    }

    async fn recover(&self, config: Option<RecoveryConfig>) -> Result<RecoveryReport> {
        B::recover(self, config).await
    }

    fn metrics(&self) -> MetricsSnapshot {
        B::metrics(self)
    }

    fn reset_metrics(&self) {
        B::reset_metrics(self);
    }
}
