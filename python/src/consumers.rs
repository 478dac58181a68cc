//! Consumer groups.

use std::sync::Arc;

use ostracon::{Fact, FactId, Kind, Recorded};
use pyo3::prelude::*;

use crate::error::raise;
use crate::guard::detached;
use crate::settings::seconds;

/// The ids of facts, and the facts as Papyra's JSON lines.
type Delivered = Vec<(String, String)>;

/// Consumers that share the facts of one kind in one store.
#[pyclass(frozen, module = "ostracon._native")]
pub(crate) struct ConsumerGroup {
    store: Arc<ostracon::Store>,
    kind: Kind,
    name: String,
}

fn delivered(facts: Vec<Recorded<Fact<'static>>>) -> Delivered {
    facts.into_iter().map(|fact| (fact.position.id().to_string(), fact.fact.to_line())).collect()
}

fn ids(texts: Vec<String>) -> PyResult<Vec<FactId>> {
    texts.into_iter().map(|text| text.parse().map_err(raise)).collect()
}

impl ConsumerGroup {
    pub(crate) const fn new(store: Arc<ostracon::Store>, kind: Kind, name: String) -> Self {
        Self { store, kind, name }
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&ostracon::ConsumerGroup<'_>) -> ostracon::Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || act(&self.store.consumer_group(self.kind, self.name.as_str())?))
    }
}

#[pymethods]
#[expect(clippy::redundant_closure_for_method_calls, reason = "a method path has only one lifetime")]
impl ConsumerGroup {
    /// Creates the group, unless it exists. Returns whether it was created.
    fn create(&self, py: Python<'_>, start: &str) -> PyResult<bool> {
        let start = start.parse().map_err(raise)?;
        self.with(py, |group| group.create(start))
    }

    /// Returns the next facts that were not delivered to any consumer of the group.
    fn consume(&self, py: Python<'_>, consumer: &str, most: usize) -> PyResult<Delivered> {
        self.with(py, |group| group.consume(consumer, most).map(delivered))
    }

    /// Returns the facts that were delivered to a consumer and are not acknowledged.
    fn pending(
        &self,
        py: Python<'_>,
        consumer: &str,
        after: Option<&str>,
        most: usize,
    ) -> PyResult<Delivered> {
        let after = after.map(str::parse::<FactId>).transpose().map_err(raise)?;
        self.with(py, |group| group.pending(consumer, after, most).map(delivered))
    }

    /// Moves the given pending facts to a consumer.
    fn claim(
        &self,
        py: Python<'_>,
        consumer: &str,
        min_idle: f64,
        facts: Vec<String>,
    ) -> PyResult<Delivered> {
        let (idle, facts) = (seconds(min_idle)?, ids(facts)?);
        self.with(py, |group| group.claim(consumer, idle, facts).map(delivered))
    }

    /// Moves facts to a consumer that have been pending for at least `min_idle` seconds.
    fn claim_idle(&self, py: Python<'_>, consumer: &str, min_idle: f64, most: usize) -> PyResult<Delivered> {
        let idle = seconds(min_idle)?;
        self.with(py, |group| group.claim_idle(consumer, idle, most).map(delivered))
    }

    /// Acknowledges facts. Returns how many of them were pending.
    fn acknowledge(&self, py: Python<'_>, facts: Vec<String>) -> PyResult<u64> {
        let facts = ids(facts)?;
        self.with(py, |group| group.acknowledge(facts))
    }

    /// Returns the number of pending facts, the first and the last of them, the number and the longest idle
    /// time for each consumer, and the cursor after the delivered facts.
    #[expect(clippy::type_complexity, reason = "tuples for Python")]
    fn summary(
        &self,
        py: Python<'_>,
    ) -> PyResult<(u64, Option<(String, String)>, Vec<(String, u64, f64)>, String)> {
        let summary = self.with(py, |group| group.summary())?;
        let consumers = summary.consumers.into_iter();
        Ok((
            summary.pending,
            summary.pending_range.map(|(first, last)| (first.to_string(), last.to_string())),
            consumers.map(|c| (c.consumer, c.pending, c.longest_idle.as_secs_f64())).collect(),
            summary.delivered.to_string(),
        ))
    }

    /// Removes the group. Returns whether it existed.
    fn remove(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |group| group.remove())
    }
}
