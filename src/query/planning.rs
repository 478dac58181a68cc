//! Limits the time of planning.
//!
//! While rows are computed, [`deadline`](super::deadline) checks a query's timeout. The optimizer runs before
//! that, and cannot be interrupted. For some texts the plan grows with every rule. So this module adds a rule
//! between any two rules of the optimizer. It checks the clock and, once planning takes unusually long, the
//! size of the plan.
//!
//! A single rule is not interrupted. [`guard`](super::guard) refuses texts that make one rule slow.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;

use super::deadline::late;
use crate::error::{Error, ErrorKind};

/// The planning time after which the size of the plan is checked.
const QUICK: Duration = Duration::from_millis(200);
/// The largest number of expressions in a plan. Constants do not count, because a list of values may be long.
const MAX_EXPRESSIONS: usize = 200_000;

/// The time when the planning of a query began, and the time that it may take.
#[derive(Debug)]
pub(super) struct Planning {
    timeout: Option<Duration>,
    begun: Mutex<Instant>,
}

impl Planning {
    pub(super) fn within(timeout: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { timeout, begun: Mutex::new(Instant::now()) })
    }

    /// Adds a check between all rules of a session, and leaves out the rules with these names.
    pub(super) fn watch(
        self: &Arc<Self>,
        state: &SessionState,
        builder: SessionStateBuilder,
        without: &[String],
    ) -> SessionStateBuilder {
        let with = |name: &str| without.iter().all(|without| without != name);
        let analyzing = state.analyzer().rules.iter().cloned();
        let optimizing = state.optimizers().iter().filter(|rule| with(rule.name())).cloned();
        let physical = state.physical_optimizers().iter().filter(|rule| with(rule.name())).cloned();
        let analyzing = analyzing.map(|rule| Arc::new(Caught(rule)) as Arc<dyn AnalyzerRule + Send + Sync>);
        let optimizing =
            optimizing.map(|rule| Arc::new(Caught(rule)) as Arc<dyn OptimizerRule + Send + Sync>);
        let physical =
            physical.map(|rule| Arc::new(Caught(rule)) as Arc<dyn PhysicalOptimizerRule + Send + Sync>);
        builder
            .with_analyzer_rules(self.between(analyzing, |rule| Arc::new(rule) as _))
            .with_optimizer_rules(self.between(optimizing, |rule| Arc::new(rule) as _))
            .with_physical_optimizer_rules(self.between(physical, |rule| Arc::new(rule) as _))
    }

    fn between<R>(self: &Arc<Self>, rules: impl Iterator<Item = R>, rule: impl Fn(Look) -> R) -> Vec<R> {
        let look = |first| rule(Look { planning: Arc::clone(self), first });
        let mut all = vec![look(true)];
        for rule in rules {
            all.extend([rule, look(false)]);
        }
        all
    }

    /// Fails if planning takes too long, or if the plan is too large. `expressions` counts the expressions of
    /// the plan, and stops at the limit.
    fn check(&self, first: bool, expressions: impl FnOnce() -> Result<usize>) -> Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if first {
            *begun = Instant::now();
        }
        let taken = begun.elapsed();
        drop(begun);
        if let Some(timeout) = self.timeout.filter(|timeout| taken >= *timeout) {
            return Err(late(timeout));
        }
        if taken > QUICK && expressions()? >= MAX_EXPRESSIONS {
            let message = format!(
                "the SQL is refused: its plan has more than {MAX_EXPRESSIONS} expressions, which is the \
                 limit; use fewer subqueries that each use the subquery before several times"
            );
            return Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Query, message))));
        }
        Ok(())
    }
}

/// A rule that checks the time and the size of the plan, and changes nothing.
#[derive(Debug)]
struct Look {
    planning: Arc<Planning>,
    /// Whether this rule runs before all other rules.
    first: bool,
}

/// A rule whose panic becomes an error, so that a bug in the planner does not end a thread of the caller.
#[derive(Debug)]
struct Caught<R>(R);

fn caught<T>(rule: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let message = format!(
            "failed to plan the SQL: the planner's rule {rule} panicked, which is a bug in ostracon; please \
             report the SQL, and try to write it in another way"
        );
        Err(DataFusionError::External(Box::new(Error::new(ErrorKind::Internal, message))))
    })
}

impl AnalyzerRule for Caught<Arc<dyn AnalyzerRule + Send + Sync>> {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        caught(self.0.name(), || self.0.analyze(plan, config))
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl OptimizerRule for Caught<Arc<dyn OptimizerRule + Send + Sync>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        caught(self.0.name(), || self.0.rewrite(plan, config))
    }
}

impl PhysicalOptimizerRule for Caught<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.or_without(plan, |plan| self.0.optimize(plan, config))
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.or_without(plan, |plan| self.0.optimize_with_context(plan, context))
    }
}

/// Physical rules that only make a plan faster.
const SPARABLE: [&str; 11] = [
    "CombinePartialFinalAggregate",
    "FilterPushdown",
    "FilterPushdown(Post)",
    "HashJoinBuffering",
    "LimitAggregation",
    "LimitPushPastWindows",
    "LimitPushdown",
    "LimitedDistinctAggregation",
    "ProjectionPushdown",
    "TopKRepartition",
    "WindowTopN",
];

impl Caught<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    /// Applies the rule. If a rule of [`SPARABLE`] fails with an internal error, the plan stays as it was.
    fn or_without(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        rule: impl FnOnce(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let name = self.0.name();
        let before = Arc::clone(&plan);
        match caught(name, || rule(plan)) {
            Err(error) if SPARABLE.contains(&name) && is_mistake(&error) => {
                tracing::debug!(rule = name, %error, "a planner rule failed, and the query is planned without it");
                Ok(before)
            }
            planned => planned,
        }
    }
}

/// Whether an error is caused by a bug in the planner.
fn is_mistake(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Internal(_) => true,
        DataFusionError::External(error) => {
            error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Internal)
        }
        _ => false,
    }
}

fn count_expressions(plan: &LogicalPlan) -> Result<usize> {
    let mut count = 0;
    plan.apply_with_subqueries(|node| {
        count += 1;
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                count += usize::from(!matches!(expr, Expr::Literal(..)));
                Ok(enough(count))
            })
        })?;
        Ok(enough(count))
    })?;
    Ok(count)
}

fn enough(count: usize) -> TreeNodeRecursion {
    if count < MAX_EXPRESSIONS { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop }
}

impl AnalyzerRule for Look {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        self.planning.check(self.first, || count_expressions(&plan))?;
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "look_at_the_clock"
    }
}

impl OptimizerRule for Look {
    fn name(&self) -> &'static str {
        "look_at_the_clock"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        self.planning.check(false, || count_expressions(&plan))?;
        Ok(Transformed::no(plan))
    }
}

impl PhysicalOptimizerRule for Look {
    fn name(&self) -> &'static str {
        "look_at_the_clock"
    }

    fn schema_check(&self) -> bool {
        false
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        self.planning.check(false, || Ok(0))?;
        Ok(plan)
    }
}
