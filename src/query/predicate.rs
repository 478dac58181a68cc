//! Predicates: conditions on facts, in SQL, outside of queries.
//!
//! Retention rules and holds select facts by a condition over the columns of a kind. These are the columns
//! that a `WHERE` may use. The condition must give the same answer for a fact today and in ten years, and
//! must not depend on other facts. So it may use only the row's own columns, and functions that depend only
//! on their arguments.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
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

use super::prune::SegmentStatistics;
use super::table::sql_schema;
use super::workers::STACK_BYTES;
use super::{guard, payload_columns, query_error, session, time, types, wall_time};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, columns};
use crate::ledger::Segment;
use crate::retention::{Condition, Matches};

/// Parses a condition over the SQL columns of a kind.
pub(crate) fn parse_condition(kind: Kind, sql: &str) -> Result<Box<dyn Condition>> {
    Ok(Box::new(Predicate::parse(kind, sql)?))
}

/// A condition on the facts of one kind.
struct Predicate {
    /// The condition over the columns of `schema`.
    condition: Arc<dyn PhysicalExpr>,
    /// The stored columns that the condition uses.
    schema: SchemaRef,
    /// The condition over the statistics of a segment in the ledger.
    of_segments: Option<PruningPredicate>,
    /// Whether the condition may fail on a row.
    may_fail: bool,
}

/// Returns the functions and operators of queries.
fn language() -> Result<&'static SessionState> {
    static LANGUAGE: LazyLock<std::result::Result<SessionState, String>> = LazyLock::new(|| {
        let mut state =
            SessionStateBuilder::new().with_config(session::config()).with_default_features().build();
        session::register_functions(&mut state).map_err(|error| error.to_string())?;
        Ok(state)
    });
    LANGUAGE.as_ref().map_err(|why| Error::new(ErrorKind::Query, format!("failed to prepare for SQL: {why}")))
}

impl Predicate {
    fn parse(kind: Kind, sql: &str) -> Result<Self> {
        guard::check_text(sql)?;
        // The tree of a long text is deep, and the caller's stack may be small.
        stacker::grow(STACK_BYTES, || Self::planned(kind, sql))
    }

    fn planned(kind: Kind, sql: &str) -> Result<Self> {
        let language = language()?;
        let shown = sql_schema(kind);
        let over_shown = DFSchema::try_from(Arc::clone(&shown)).map_err(query_error)?;
        let condition = time::logical_expr(language, sql, &over_shown).map_err(query_error)?;
        check(&condition)?;
        let condition = types::meaning(condition, &over_shown).map_err(query_error)?;
        let coerced = types::coerced(language, condition.clone(), &over_shown).map_err(query_error)?;
        let may_fail = types::may_fail(&coerced, &over_shown);
        let typed = language.create_physical_expr(coerced, &over_shown).map_err(query_error)?;
        let found = typed.data_type(&shown).map_err(query_error)?;
        if found != DataType::Boolean {
            return Err(Error::new(
                ErrorKind::Query,
                format!("a condition must be true or false, and this one has the type {found}"),
            ));
        }
        let of_segments = PruningPredicateBuilder::new().with_file_schema(shown).try_build(typed).ok();
        let stored = payload_columns::of_row(kind, condition)
            .and_then(wall_time::to_stored)
            .and_then(|stored| over_stored(language, kind, stored));
        let (condition, schema) = stored.map_err(query_error)?;
        Ok(Self { condition, schema, of_segments, may_fail })
    }

    /// Evaluates the condition on halves of the rows. A half that fails is split again.
    fn evaluate_in_parts(&self, batch: &RecordBatch, why: Error) -> Matches {
        let mut matching = vec![false; batch.num_rows()];
        let (mut doubtful, mut first) = (Vec::new(), None);
        let mut open = vec![(0, batch.num_rows(), why)];
        while let Some((start, rows, why)) = open.pop() {
            if rows <= 1 {
                doubtful.extend((rows == 1).then_some(start));
                first.get_or_insert(why);
                continue;
            }
            // The later half is pushed first, so that it is popped last.
            let half = rows / 2;
            for (start, rows) in [(start + half, rows - half), (start, half)] {
                match self.truth(&batch.slice(start, rows)) {
                    Ok(answer) => {
                        let known = matching.iter_mut().skip(start);
                        known.zip(answer.values()).for_each(|(row, matches)| *row = matches);
                    }
                    Err(why) => open.push((start, rows, why)),
                }
            }
        }
        Matches { matching: matching.into(), doubtful, why: first }
    }

    /// Returns for each row whether the condition is true.
    fn truth(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let answer = self.condition.evaluate(batch).and_then(|answer| answer.into_array(batch.num_rows()));
        let answer = answer.map_err(query_error)?;
        let answer = as_boolean_array(&answer).map_err(query_error)?;
        Ok(if answer.null_count() > 0 { prep_null_mask_filter(answer) } else { answer.clone() })
    }
}

impl Condition for Predicate {
    fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    fn may_fail(&self) -> bool {
        self.may_fail
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<Matches> {
        let columns = self.columns().into_iter().map(|name| batch.column_by_name(name).cloned());
        let columns: Option<Vec<_>> = columns.collect();
        let columns = columns
            .ok_or_else(|| Error::new(ErrorKind::Damaged, "rows lack columns that a condition uses"))?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(|error| query_error(error.into()))?;
        match self.truth(&batch) {
            Ok(matching) => Ok(Matches { matching, doubtful: Vec::new(), why: None }),
            Err(why) => Ok(self.evaluate_in_parts(&batch, why)),
        }
    }

    fn may_match(&self, segments: &[Arc<Segment>]) -> Vec<bool> {
        let known = self.of_segments.as_ref().map(|pruning| pruning.prune(&SegmentStatistics(segments)));
        match known {
            Some(Ok(matching)) if matching.len() == segments.len() => matching,
            _ => vec![true; segments.len()],
        }
    }

    fn check_computable(&self) -> Result<()> {
        let nullable = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let columns = nullable.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(nullable, columns, &rows)
            .map_err(|error| query_error(error.into()))?;
        match self.condition.evaluate(&row) {
            Err(error) if matches!(error.find_root(), DataFusionError::Internal(_)) => {
                Err(query_error(error).context("the condition fails on every fact"))
            }
            // A condition that fails on one row may succeed on another.
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.condition, f)
    }
}

/// Compiles a condition over the stored columns that it uses. Also returns their schema.
fn over_stored(
    language: &SessionState,
    kind: Kind,
    condition: Expr,
) -> datafusion::common::Result<(Arc<dyn PhysicalExpr>, SchemaRef)> {
    let all = columns::schema(kind);
    let over_all = DFSchema::try_from(Arc::clone(&all))?;
    let coerced = types::coerced(language, condition, &over_all)?;
    let over = language.create_physical_expr(coerced.clone(), &over_all)?;
    let mut named: Vec<usize> = collect_columns(&over).iter().map(Column::index).collect();
    named.sort_unstable();
    let schema: SchemaRef = Arc::new(Schema::clone(&all).project(&named)?);
    let over_named = DFSchema::try_from(Arc::clone(&schema))?;
    Ok((language.create_physical_expr(coerced, &over_named)?, schema))
}

/// Refuses a condition that uses more than the row, or that may give another answer later.
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
                .then(|| format!("{}() may return another result each time", func.name())),
            other => Some(format!("{other} uses more than the columns of one row")),
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
        let asked = predicate.evaluate(&rows()).unwrap();
        assert!(asked.doubtful.is_empty() && asked.why.is_none(), "{sql}");
        asked.matching.iter().map(|matches| matches == Some(true)).collect()
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
            ("date_part('hour', at AT TIME ZONE 'europe/athens') = 5", [false, true, false]),
            (
                "(at AT TIME ZONE 'Asia/Tokyo')::date = '2026-11-23' AND at::date = '2026-11-23'",
                [false, true, false],
            ),
            ("to_char(at, 'YYYY-MM') = '2026-11'", [false, true, false]),
            ("timestamp IS NULL OR seq IN (1, 7)", [true, false, true]),
            ("coalesce(error, reason) LIKE 'KeyError%'", [false, true, false]),
            ("nvl(error, 'none') = 'none'", [true, false, true]),
            ("ifnull(error, reason) IS NULL", [true, false, true]),
            ("nvl2(error, seq, stream) = 2", [false, true, false]),
            ("arrow_cast(seq, 'Int32') = 2", [false, true, false]),
            ("arrow_cast(timestamp, 'Time64(Nanosecond)') > TIME '03:24:50'", [false, true, false]),
            ("at::time >= TIME '08:00:00'", [true, false, true]),
            ("at < DATE '9999-12-31' AND at >= '1000-01-01'", [true, true, true]),
            (
                "at BETWEEN '2026-11-23 03:24' AND '9999-01-01' AND at < '2026-11-23 03:25Z'",
                [false, true, false],
            ),
            ("at IN ('2026-11-23 03:24') OR at > TIMESTAMP '9999-01-01 00:00:00'", [false, false, false]),
            ("seq IN ('2') AND seq = '02'", [false, true, false]),
            ("at > '2026-01-01' AND seq = 1 AND seq IN (2)", [false, false, false]),
            ("payload->>'code' IN (1, 7.0, 0.5, 'x')", [false, true, false]),
            ("CASE WHEN event_type = 'ActorStarted' THEN stream = 1 ELSE false END", [true, false, false]),
        ] {
            assert_eq!(matching(sql), wanted, "{sql}");
        }
    }

    #[test]
    fn a_condition_reads_no_more_columns_than_it_needs() {
        let columns = |sql| {
            let predicate = Predicate::parse(Kind::Event, sql).unwrap();
            predicate.columns().into_iter().map(str::to_owned).collect::<Vec<_>>()
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
            ("", "failed to parse"),
            ("true; DROP TABLE events", "failed to parse"),
            ("true) OR (true", "failed to parse"),
            ("at < now()", "now()"),
            ("random() < 0.5", "random()"),
            ("seq = (SELECT 1)", "one row"),
            ("seq IN (SELECT 1)", "one row"),
            ("EXISTS (SELECT 1)", "one row"),
            ("count(*) > 1", "one row"),
            ("row_number() OVER () = 1", "one row"),
            ("seq = $1", "one row"),
            ("event_type SIMILAR TO 'Actor%'", "SIMILAR TO"),
            ("NOT (seq > 1 AND event_type NOT SIMILAR TO '%Started')", "SIMILAR TO"),
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
    fn what_is_safe_with_one_argument_may_fail_with_another() {
        for (sql, may_fail) in [
            ("split_part(event_type, 'x', 1) = 'a'", false),
            ("split_part(event_type, 'x', seq) = 'a'", true),
            ("split_part(event_type, 'x', 0) = 'a'", true),
            ("substr(event_type, 1, 3) = 'Act'", false),
            ("substr(event_type, 1, seq - 5) = 'Act'", true),
            ("payload #>> '{a,b}' = 'x'", false),
            ("json_text_at(payload, event_type) = 'x'", true),
            ("event_type ~ '^Actor[A-Z]'", false),
            ("event_type ~ actor_address", true),
            // An invalid pattern fails on every fact, so every fact is kept.
            ("event_type ~ '(x'", true),
            ("event_type ~ '(x' OR seq > 5", true),
            ("at > 'garbage'", true),
            ("at > 'garbage' OR coalesce(error, reason) = 'x'", true),
            ("event_type LIKE '%x_'", false),
            ("at::time > TIME '12:00:00'", false),
            ("seq::text = '5'", false),
            ("coalesce(error, reason) = 'x'", false),
        ] {
            assert_eq!(Predicate::parse(Kind::Event, sql).unwrap().may_fail(), may_fail, "{sql}");
        }
    }

    #[test]
    fn a_row_on_which_a_condition_fails_is_doubtful_and_the_others_are_asked() {
        for (sql, matching, doubtful) in [
            ("CAST(event_type AS INT) = 1", [false, false, false], vec![0, 1, 2]),
            (
                "CASE WHEN seq = 2 THEN CAST(event_type AS INT) = 1 ELSE seq = 3 END",
                [false, false, true],
                vec![1],
            ),
            ("10 / (seq - 1) > 4", [false, true, true], vec![0]),
            ("CAST(json_text(payload, 'code') AS INT) = 7", [false, true, false], vec![]),
        ] {
            let predicate = Predicate::parse(Kind::Event, sql).unwrap();
            assert!(predicate.may_fail(), "{sql}");
            let asked = predicate.evaluate(&rows()).unwrap();
            let found: Vec<bool> = asked.matching.iter().map(|matches| matches == Some(true)).collect();
            assert_eq!((found.as_slice(), &asked.doubtful), (&matching[..], &doubtful), "{sql}");
            assert_eq!(asked.why.map(|why| why.kind()), (!doubtful.is_empty()).then_some(ErrorKind::Query));
        }
        for sql in [
            "event_type = 'x'",
            "at > '2026-01-01'",
            "payload->>'code' = '7'",
            "error LIKE 'K%' OR seq IN (1)",
        ] {
            assert!(!Predicate::parse(Kind::Event, sql).unwrap().may_fail(), "{sql}");
        }
    }
}
