//! A window in time: it restricts a query to a part of the store.
//!
//! The window is a condition on each row of each table of facts. It is added to the query's own filters, so
//! that statistics leave out whole segments. It is also applied directly above the scan, as retention is. So
//! views, rewrites and sorts see a smaller table, and no other difference.

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::QueryOptions;
use super::retained_rows::RetainedExec;
use super::wall_time::AT;
use crate::fact::UnixNanos;

const RECORDED_AT: &str = "recorded_at";

/// The limits of a query in time: since, until, and as of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    since: Option<UnixNanos>,
    until: Option<UnixNanos>,
    as_of: Option<UnixNanos>,
}

impl Window {
    /// Returns the window of a query; `None` if the query has no limits in time.
    pub(super) fn of(options: &QueryOptions) -> Option<Self> {
        let QueryOptions { since, until, as_of, .. } = *options;
        let bounded = since.is_some() || until.is_some() || as_of.is_some();
        bounded.then_some(Self { since, until, as_of })
    }

    /// Returns the columns that the window uses.
    pub(super) fn columns(self) -> impl Iterator<Item = &'static str> {
        let at = (self.since.is_some() || self.until.is_some()).then_some(AT);
        at.into_iter().chain(self.as_of.map(|_| RECORDED_AT))
    }

    /// Returns the window as conditions on the SQL columns.
    pub(super) fn conditions(self) -> impl Iterator<Item = Expr> {
        let column = |name: &str| Expr::Column(Column::from_name(name));
        let instant =
            |nanos: UnixNanos| lit(ScalarValue::TimestampNanosecond(Some(nanos.get()), Some("UTC".into())));
        let since = self.since.map(|since| column(AT).gt_eq(instant(since)));
        let until = self.until.map(|until| column(AT).lt(instant(until)));
        let as_of = self.as_of.map(|as_of| column(RECORDED_AT).lt_eq(instant(as_of)));
        [since, until, as_of].into_iter().flatten()
    }

    /// Makes a plan for the rows of an input that are in the window, with the first `keep` columns.
    pub(super) fn over(
        self,
        state: &dyn Session,
        rows: Arc<dyn ExecutionPlan>,
        keep: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = rows.schema();
        let Some(condition) = conjunction(self.conditions()) else { return Ok(rows) };
        let condition = state.create_physical_expr(condition, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let inside = Arc::new(RetainedExec::rows_if(condition, rows));
        if keep == schema.fields().len() {
            return Ok(inside);
        }
        let asked = schema.fields().iter().take(keep).enumerate().map(|(at, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(expressions::Column::new(field.name(), at));
            (column, field.name().clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(asked.collect::<Vec<_>>(), inside)?))
    }
}
