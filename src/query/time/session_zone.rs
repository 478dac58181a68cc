//! Puts the zone of a session into plans.
//!
//! Parts of a query that name no zone use the session's zone: the day of `at::date`, the month of
//! `date_trunc`, the hour of `extract`, the instant of `'2026-11-23'`, and the length of a day that is added.
//! After types are coerced, all such parts are casts, or calls of a few functions. This rule replaces them by
//! functions that use the zone. For UTC it does nothing.
//!
//! Instants, their comparisons, differences and order do not depend on a zone. Columns stay as they are
//! stored, so segments are still pruned by their statistics.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};
use datafusion::optimizer::AnalyzerRule;

use super::clock::Clock;
use super::functions::{Task, WALL_TYPE, call, instant_of_wall, instant_type};
use super::zone::Zone;

/// The rule for a session with a zone other than UTC.
#[derive(Debug)]
pub(in crate::query) struct SessionZone(pub(in crate::query) Zone);

impl AnalyzerRule for SessionZone {
    fn name(&self) -> &'static str {
        "session_zone"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|node| self.node(node, config))?.data)
    }
}

impl SessionZone {
    fn node(&self, node: LogicalPlan, config: &ConfigOptions) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&node.inputs());
        if let LogicalPlan::TableScan(scan) = &node {
            let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
            schema.merge(&source);
        }
        let place = Place { zone: &self.0, schema: &schema, config };
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| place.in_zone(expr))?.update_data(|expr| name.restore(expr)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

const fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_instant(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(_, Some(_)))
}

fn cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to.clone()))
}

/// The schema and the zone of an expression.
struct Place<'p> {
    zone: &'p Zone,
    schema: &'p DFSchema,
    config: &'p ConfigOptions,
}

impl Place<'_> {
    fn in_zone(&self, expr: Expr) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::Cast(Cast { expr, field }) => {
                let from = expr.get_type(self.schema)?;
                match self.converted(&expr, &from, field.data_type(), false) {
                    Some(converted) => Transformed::yes(converted),
                    None => Transformed::no(Expr::Cast(Cast::new_from_field(expr, field))),
                }
            }
            Expr::TryCast(TryCast { expr, field }) => {
                let from = expr.get_type(self.schema)?;
                match self.converted(&expr, &from, field.data_type(), true) {
                    Some(converted) => Transformed::yes(converted),
                    None => Transformed::no(Expr::TryCast(TryCast::new_from_field(expr, field))),
                }
            }
            Expr::BinaryExpr(binary) => self.operation(binary)?,
            Expr::ScalarFunction(function) => self.function(function)?,
            other => Transformed::no(other),
        })
    }

    fn call(&self, task: Task, args: Vec<Expr>) -> Expr {
        call(task, self.zone, args)
    }

    /// Casts an instant to nanoseconds in UTC, if it has another type.
    fn instant(&self, expr: Expr) -> Result<Expr> {
        Ok(if expr.get_type(self.schema)? == instant_type() { expr } else { cast(expr, &instant_type()) })
    }

    /// Casts a rewritten expression to the type that it had before.
    fn typed(expr: Expr, from: &DataType, to: &DataType) -> Expr {
        if from == to { expr } else { cast(expr, to) }
    }

    fn wall(&self, instant: Expr) -> Result<Expr> {
        Ok(self.call(Task::Wall, vec![self.instant(instant)?]))
    }

    /// Rewrites a cast between an instant and a type without a zone.
    fn converted(&self, expr: &Expr, from: &DataType, to: &DataType, or_null: bool) -> Option<Expr> {
        use DataType::{Date32, Date64, Time32, Time64, Timestamp};
        let instant = || self.instant(expr.clone()).ok();
        match (from, to) {
            (Timestamp(_, Some(_)), Timestamp(_, None) | Date32 | Date64 | Time32(_) | Time64(_)) => {
                Some(Self::typed(self.call(Task::Wall, vec![instant()?]), &WALL_TYPE, to))
            }
            (Timestamp(_, Some(_)), text) if is_text(text) => {
                Some(Self::typed(self.call(Task::Text, vec![instant()?]), &DataType::Utf8, to))
            }
            (Timestamp(_, None) | Date32 | Date64, Timestamp(_, Some(_))) => {
                let wall = Self::typed(expr.clone(), from, &WALL_TYPE);
                Some(Self::typed(self.call(Task::Instant, vec![wall]), &instant_type(), to))
            }
            (text, Timestamp(_, Some(_))) if is_text(text) => {
                let task = if or_null { Task::TryParse } else { Task::Parse };
                Some(Self::typed(self.call(task, vec![expr.clone()]), &instant_type(), to))
            }
            _ => None,
        }
    }

    fn operation(&self, binary: BinaryExpr) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        if is_comparison(op) {
            return Ok(self.comparison(*left, op, *right));
        }
        let task = match op {
            Operator::Plus => Some(Task::Add),
            Operator::Minus => Some(Task::Subtract),
            _ => None,
        };
        if let Some(task) = task {
            let types = (left.get_type(self.schema)?, right.get_type(self.schema)?);
            let moved = match types {
                (of, DataType::Interval(_)) if is_instant(&of) => Some((of, *left.clone(), *right.clone())),
                (DataType::Interval(_), of) if is_instant(&of) && task == Task::Add => {
                    Some((of, *right.clone(), *left.clone()))
                }
                _ => None,
            };
            if let Some((of, time, interval)) = moved {
                let moved = self.call(task, vec![self.instant(time)?, interval]);
                return Ok(Transformed::yes(Self::typed(moved, &instant_type(), &of)));
            }
        }
        Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, op, right))))
    }

    /// Rewrites a comparison of an instant with a date. DataFusion coerces the instant to a wall time. A
    /// comparison of the instant with the date's midnight can be decided by statistics.
    fn comparison(&self, left: Expr, op: Operator, right: Expr) -> Transformed<Expr> {
        if let (Some(instant), Some(midnight)) = (instant_of_wall(&left), self.midnight(&right)) {
            return Transformed::yes(binary(instant.clone(), op, midnight));
        }
        if let (Some(midnight), Some(instant)) = (self.midnight(&left), instant_of_wall(&right)) {
            return Transformed::yes(binary(midnight, op, instant.clone()));
        }
        Transformed::no(binary(left, op, right))
    }

    /// Returns the instant when a constant date begins, if it is unique.
    fn midnight(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Cast(Cast { expr, field }) = expr else { return None };
        let days = match expr.as_ref() {
            Expr::Literal(ScalarValue::Date32(Some(days)), _) if *field.data_type() == WALL_TYPE => *days,
            _ => return None,
        };
        let wall = i64::from(days).checked_mul(86_400_000_000_000)?;
        let mut clock = Clock::of(self.zone);
        let instant = clock.instant(wall).filter(|_| clock.shows_once(wall))?;
        Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(instant), Some("UTC".into())), None))
    }

    fn function(&self, function: ScalarFunction) -> Result<Transformed<Expr>> {
        let ScalarFunction { func, args } = function;
        let of = args.iter().map(|arg| arg.get_type(self.schema)).collect::<Result<Vec<_>>>()?;
        let instant_at = |at: usize| of.get(at).is_some_and(is_instant);
        let replaced = match (func.name(), args.as_slice()) {
            ("date_trunc", [unit, time]) if instant_at(1) => {
                let truncated = self.call(Task::Truncate, vec![unit.clone(), self.instant(time.clone())?]);
                Some(Self::typed(truncated, &instant_type(), &of[1]))
            }
            ("date_bin", [stride, time]) if instant_at(1) => {
                let binned = self.call(Task::Bin, vec![stride.clone(), self.instant(time.clone())?]);
                Some(Self::typed(binned, &instant_type(), &of[1]))
            }
            // Seconds since 1970 do not depend on the zone.
            ("date_part", [part, time]) if instant_at(1) && !is_epoch(part) => {
                Some(func.call(vec![part.clone(), self.wall(time.clone())?]))
            }
            ("to_char", [time, pattern]) if instant_at(0) => {
                Some(self.call(Task::ToChar, vec![self.instant(time.clone())?, pattern.clone()]))
            }
            ("to_timestamp", [text, pattern]) if is_text(&of[0]) => {
                Some(self.call(Task::FromChar, vec![text.clone(), pattern.clone()]))
            }
            ("to_timestamp", [text]) if is_text(&of[0]) => Some(self.call(Task::Parse, vec![text.clone()])),
            (name, [text, ..]) if name.starts_with("to_timestamp_") && is_text(&of[0]) => {
                self.read_by(&func, args.clone())?
            }
            ("range" | "generate_series", [_, _, _]) if instant_at(0) => self.series(&func, &args)?,
            ("to_date" | "to_time", [time]) if instant_at(0) => {
                Some(func.call(vec![self.wall(time.clone())?]))
            }
            ("to_local_time", [time]) if instant_at(0) => Some(self.wall(time.clone())?),
            ("current_date", []) => Some(cast(self.wall(self.now())?, &DataType::Date32)),
            ("current_time", []) => {
                Some(cast(self.wall(self.now())?, &DataType::Time64(TimeUnit::Nanosecond)))
            }
            _ => None,
        };
        Ok(match replaced {
            Some(replaced) => Transformed::yes(replaced),
            None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
        })
    }

    /// Lets DataFusion's own function parse texts, in the session's zone.
    fn read_by(&self, func: &datafusion::logical_expr::ScalarUDF, args: Vec<Expr>) -> Result<Option<Expr>> {
        let Some(name) = self.zone.as_jiff().iana_name() else { return Ok(None) };
        let mut config = self.config.clone();
        config.execution.time_zone = Some(name.to_owned());
        let Some(here) = func.inner().with_updated_config(&config) else { return Ok(None) };
        let before = func.call(args.clone()).get_type(self.schema)?;
        Ok(Some(cast(here.call(args), &before)))
    }

    /// Makes a series of instants with steps of days and months on the calendar of the session's zone.
    fn series(&self, func: &datafusion::logical_expr::ScalarUDF, args: &[Expr]) -> Result<Option<Expr>> {
        // In a zone with a fixed offset, days have the same length as in UTC.
        let Some(name) = self.zone.as_jiff().iana_name() else { return Ok(None) };
        let before = func.call(args.to_vec()).get_type(self.schema)?;
        let here = DataType::Timestamp(TimeUnit::Nanosecond, Some(name.into()));
        let ends = args.iter().take(2).map(|end| cast(end.clone(), &here));
        let series = func.call(ends.chain(args.iter().skip(2).cloned()).collect());
        Ok(Some(cast(series, &before)))
    }

    fn now(&self) -> Expr {
        datafusion::functions::datetime::now(self.config).call(Vec::new())
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn is_epoch(part: &Expr) -> bool {
    let part = part.as_literal().and_then(|part| part.try_as_str().flatten());
    part.is_some_and(|part| part.trim_matches(['\'', '"']).eq_ignore_ascii_case("epoch"))
}
