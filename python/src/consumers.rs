//! Consumer groups.

use std::sync::Arc;

use ostracon::{Fact, FactId, Kind, Recorded};
use pyo3::prelude::*;

use crate::error::raise;
use crate::guard::detached;
use crate::settings::seconds;

/// Facts with their names, as Papyra's JSON lines.
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
#[expect(clippy::redundant_closure_for_method_calls, reason = "a path to a method is of one lifetime only")]
impl ConsumerGroup {
    /// Makes the group, unless it is there. Whether it was made.
    fn create(&self, py: Python<'_>, start: &str) -> PyResult<bool> {
        let start = start.parse().map_err(raise)?;
        self.with(py, |group| group.create(start))
    }

    /// The next facts that nobody of the group was given.
    fn consume(&self, py: Python<'_>, consumer: &str, most: usize) -> PyResult<Delivered> {
        self.with(py, |group| group.consume(consumer, most).map(delivered))
    }

    /// What a consumer was given and nobody has acknowledged.
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

    /// Takes these pending facts over.
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

    /// Takes over what has been pending for so long.
    fn claim_idle(&self, py: Python<'_>, consumer: &str, min_idle: f64, most: usize) -> PyResult<Delivered> {
        let idle = seconds(min_idle)?;
        self.with(py, |group| group.claim_idle(consumer, idle, most).map(delivered))
    }

    /// These facts were dealt with. How many of them were pending.
    fn acknowledge(&self, py: Python<'_>, facts: Vec<String>) -> PyResult<u64> {
        let facts = ids(facts)?;
        self.with(py, |group| group.acknowledge(facts))
    }

    /// How many facts are pending, the first and the last of them, each consumer with how many it has and
    /// for how long at most, and the cursor of what was delivered.
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

    /// Removes the group. Whether it was there.
    fn remove(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |group| group.remove())
    }
}
