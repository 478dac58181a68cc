//! The progress of a query, and the work that each of its steps has done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};

use crate::query::deadline;

/// Shows the progress of a query, from any thread, during the computation and after it.
#[derive(Clone)]
pub struct Monitor {
    plan: Arc<dyn ExecutionPlan>,
}

/// One step of a query, and the work that it has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The number of steps between this step and the answer. A step reads the rows of the steps that follow
    /// it in the list and whose depth is larger by one.
    pub depth: usize,
    /// DataFusion's description of the step.
    pub description: String,
    /// The number of rows that the step has returned; `None` if they are not counted.
    pub rows: Option<u64>,
    /// The computing time of the step, summed over all threads; `None` if it is not measured.
    pub busy: Option<Duration>,
}

impl Monitor {
    pub(super) const fn new(plan: Arc<dyn ExecutionPlan>) -> Self {
        Self { plan }
    }

    /// Returns the number of rows that have been read so far.
    pub fn rows_scanned(&self) -> u64 {
        let mut rows = 0;
        each_leaf(&self.plan, &mut |leaf| {
            rows += leaf.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or_default() as u64;
        });
        rows
    }

    /// Returns the number of rows that the whole query will read; `None` if it is unknown.
    pub fn rows_to_scan(&self) -> Option<u64> {
        let mut rows = Some(0_u64);
        each_leaf(&self.plan, &mut |leaf| {
            let known = StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok();
            let known = known.and_then(|known| known.num_rows.get_value().copied());
            rows = rows.zip(known).map(|(rows, known)| rows + known as u64);
        });
        rows.filter(|rows| *rows > 0)
    }

    /// Returns the steps of the query, from the answer down to the files and tails that it reads.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        add_steps(&self.plan, 0, &mut steps);
        steps
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("rows_scanned", &self.rows_scanned()).finish_non_exhaustive()
    }
}

fn each_leaf<'p>(plan: &'p Arc<dyn ExecutionPlan>, visit: &mut impl FnMut(&'p Arc<dyn ExecutionPlan>)) {
    let children = plan.children();
    if children.is_empty() {
        visit(plan);
    }
    for child in children {
        each_leaf(child, visit);
    }
}

fn add_steps(plan: &Arc<dyn ExecutionPlan>, depth: usize, steps: &mut Vec<Step>) {
    // The root watches the query, and does not change the rows.
    if let Some(watched) = deadline::watched(plan) {
        return add_steps(watched, depth, steps);
    }
    let metrics = plan.metrics();
    let rows = metrics.as_ref().and_then(MetricsSet::output_rows);
    let nanos = metrics.as_ref().and_then(MetricsSet::elapsed_compute);
    steps.push(Step {
        depth,
        description: Description(plan.as_ref()).to_string(),
        rows: rows.map(|rows| rows as u64),
        busy: nanos.map(|nanos| Duration::from_nanos(nanos as u64)),
    });
    for child in plan.children() {
        add_steps(child, depth + 1, steps);
    }
}

struct Description<'p>(&'p dyn ExecutionPlan);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}
