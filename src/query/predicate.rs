//! Predicates: conditions on facts, in SQL, outside of any query.
//!
//! Rules of retention and holds pick facts by a condition over the columns of a kind, the same
//! columns that a `WHERE` may name. It must give the same answer for a fact today and in ten
//! years, whatever else the store holds: so it may use nothing but the row's own columns and
//! functions that depend on nothing else.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use super::prune::Known;
use super::table::sql_schema;
use super::{guard, promoted, query_error, session, wall_time};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, columns};
use crate::ledger::Segment;

/// A condition on the facts of one kind.
pub(crate) struct Predicate {
    /// Over the columns of `schema`.
    condition: Arc<dyn PhysicalExpr>,
    /// The stored columns that it looks at.
    schema: SchemaRef,
    /// Over what the ledger knows of a segment.
    of_segments: Option<PruningPredicate>,
}

/// Functions and operators, as queries have them.
fn language() -> Result<&'static SessionState> {
    static LANGUAGE: LazyLock<std::result::Result<SessionState, String>> = LazyLock::new(|| {
        let mut state =
            SessionStateBuilder::new().with_config(session::config()).with_default_features().build();
        session::register_functions(&mut state).map_err(|error| error.to_string())?;
        Ok(state)
    });
    LANGUAGE.as_ref().map_err(|why| Error::new(ErrorKind::Query, format!("cannot prepare for SQL: {why}")))
}

impl Predicate {
    /// Reads a condition over the columns that SQL shows of a kind.
    pub(crate) fn parse(kind: Kind, sql: &str) -> Result<Self> {
        guard::check_text(sql)?;
        let language = language()?;
        let shown = sql_schema(kind);
        let over_shown = DFSchema::try_from(Arc::clone(&shown)).map_err(query_error)?;
        let condition = language.create_logical_expr(sql, &over_shown).map_err(query_error)?;
        check(&condition)?;
        let typed = language.create_physical_expr(condition.clone(), &over_shown).map_err(query_error)?;
        let found = typed.data_type(&shown).map_err(query_error)?;
        if found != DataType::Boolean {
            return Err(Error::new(
                ErrorKind::Query,
                format!("a condition is true or false, and this gives {found}"),
            ));
        }
        let of_segments = PruningPredicateBuilder::new().with_file_schema(shown).try_build(typed).ok();
        let stored = promoted::of_row(kind, condition)
            .and_then(wall_time::to_stored)
            .and_then(|stored| over_stored(language, kind, stored));
        let (condition, schema) = stored.map_err(query_error)?;
        Ok(Self { condition, schema, of_segments })
    }

    /// The stored columns that it looks at.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// For each row of a batch with (at least) these columns, whether it is true there. Where it
    /// is `NULL`, it is not.
    pub(crate) fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let columns = self.columns().map(|name| batch.column_by_name(name).cloned());
        let columns: Option<Vec<_>> = columns.collect();
        let columns = columns
            .ok_or_else(|| Error::new(ErrorKind::Damaged, "rows lack columns that a condition looks at"))?;
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let answer = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(DataFusionError::from)
            .and_then(|batch| self.condition.evaluate(&batch)?.into_array(batch.num_rows()))
            .map_err(query_error)?;
        let answer = as_boolean_array(&answer).map_err(query_error)?;
        Ok(if answer.null_count() > 0 { prep_null_mask_filter(answer) } else { answer.clone() })
    }

    /// For each segment, whether rows of it may match, by what the ledger knows of it.
    pub(crate) fn may_match(&self, segments: &[Arc<Segment>]) -> Vec<bool> {
        let known = self.of_segments.as_ref().map(|pruning| pruning.prune(&Known(segments)));
        match known {
            Some(Ok(matching)) if matching.len() == segments.len() => matching,
            _ => vec![true; segments.len()],
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.condition, f)
    }
}

/// The condition over just the stored columns that it names.
fn over_stored(
    language: &SessionState,
    kind: Kind,
    condition: Expr,
) -> datafusion::common::Result<(Arc<dyn PhysicalExpr>, SchemaRef)> {
    let all = columns::schema(kind);
    let over_all = DFSchema::try_from(Arc::clone(&all))?;
    let over = language.create_physical_expr(condition.clone(), &over_all)?;
    let mut named: Vec<usize> = collect_columns(&over).iter().map(Column::index).collect();
    named.sort_unstable();
    let schema: SchemaRef = Arc::new(Schema::clone(&all).project(&named)?);
    let over_named = DFSchema::try_from(Arc::clone(&schema))?;
    Ok((language.create_physical_expr(condition, &over_named)?, schema))
}

/// Refuses what looks beyond the row, or may give another answer tomorrow.
fn check(condition: &Expr) -> Result<()> {
    let mut refused = None;
    let walked = condition.apply(|expr| {
        refused = match expr {
            Expr::Alias(_)
            | Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => None,
            Expr::ScalarFunction(ScalarFunction { func, .. }) => (func.signature().volatility
                != Volatility::Immutable)
                .then(|| format!("{}() may give another answer each time", func.name())),
            other => Some(format!("{other} is more than a condition on one row")),
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(query_error)?;
    refused
        .map_or(Ok(()), |why| Err(Error::new(ErrorKind::Query, format!("the condition is refused: {why}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::columns::RowsBuilder;
    use crate::fact::{Event, Fact, Json, Seq, StreamId, UnixNanos};

    fn rows() -> RecordBatch {
        let mut rows = RowsBuilder::new(Kind::Event);
        for (at, (event_type, payload, timestamp)) in [
            ("ActorStarted", "{}", 5.0),
            ("ActorCrashed", r#"{"error": "KeyError: 'sku'", "code": 7}"#, 1_795_404_290.5),
            ("ActorCrashed", r#"{"error": null}"#, f64::NAN),
        ]
        .into_iter()
        .enumerate()
        {
            let payload = Json::parse(payload).unwrap();
            let fact = Fact::from(Event::new("shop", "shop:1", event_type, payload, timestamp));
            rows.push(Seq(at as u64 + 1), UnixNanos(1_800_000_000_000_000_000), &fact, None);
        }
        rows.finish(StreamId(1), Seq(0)).batch
    }

    fn matching(sql: &str) -> Vec<bool> {
        let predicate = Predicate::parse(Kind::Event, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        predicate.matches(&rows()).unwrap().iter().map(|matches| matches == Some(true)).collect()
    }

    #[test]
    fn a_condition_is_asked_of_every_row() {
        for (sql, wanted) in [
            ("event_type = 'ActorCrashed'", [false, true, true]),
            ("true", [true, true, true]),
            ("error IS NULL", [true, false, true]),
            ("error LIKE 'KeyError%'", [false, true, false]),
            ("NOT (error LIKE 'KeyError%')", [false, false, false]),
            ("payload->>'error' = 'KeyError: ''sku'''", [false, true, false]),
            ("payload->>'code' = '7'", [false, true, false]),
            ("json_get_int(payload, 'code') > 3", [false, true, false]),
            ("at >= '2026-11-23' AND at < '2026-12-01'", [false, true, false]),
            ("at BETWEEN '2027-01-01' AND '2028-01-01'", [true, false, true]),
            ("date_trunc('year', at) = '2026-01-01'", [false, true, false]),
            ("timestamp IS NULL OR seq IN (1, 7)", [true, false, true]),
            ("CASE WHEN event_type = 'ActorStarted' THEN stream = 1 ELSE false END", [true, false, false]),
        ] {
            assert_eq!(matching(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn a_condition_reads_no_more_columns_than_it_needs() {
        let columns = |sql| {
            let predicate = Predicate::parse(Kind::Event, sql).unwrap();
            predicate.columns().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(columns("payload->>'error' = 'x'"), ["error"]);
        assert_eq!(columns("at > '2026-01-01'"), ["recorded_at", "timestamp", "wall_time"]);
        assert_eq!(columns("true"), [""; 0]);
    }

    #[test]
    fn what_is_no_condition_on_one_row_is_refused() {
        for (sql, why) in [
            ("evnt_type = 'x'", "evnt_type"),
            ("event_type", "true or false"),
            ("1", "true or false"),
            ("NULL", "true or false"),
            ("", "understood"),
            ("true; DROP TABLE events", "understood"),
            ("true) OR (true", "understood"),
            ("at < now()", "now()"),
            ("random() < 0.5", "random()"),
            ("seq = (SELECT 1)", "one row"),
            ("seq IN (SELECT 1)", "one row"),
            ("EXISTS (SELECT 1)", "one row"),
            ("count(*) > 1", "one row"),
            ("row_number() OVER () = 1", "one row"),
            ("seq = $1", "one row"),
            ("timestamp_bits IS NULL", "timestamp_bits"),
            ("total_actors = 1", "total_actors"),
        ] {
            let error = Predicate::parse(Kind::Event, sql).err().unwrap_or_else(|| panic!("{sql}"));
            assert_eq!(error.kind(), ErrorKind::Query, "{sql}: {error}");
            assert!(error.to_string().contains(why), "{sql}: {error}");
        }
        let deep = format!("{}true{}", "(".repeat(200), ")".repeat(200));
        assert!(Predicate::parse(Kind::Event, &deep).is_err());
    }

    #[test]
    fn a_condition_that_fails_on_a_row_says_so() {
        let predicate = Predicate::parse(Kind::Event, "CAST(event_type AS INT) = 1").unwrap();
        assert_eq!(predicate.matches(&rows()).unwrap_err().kind(), ErrorKind::Query);
    }
}
