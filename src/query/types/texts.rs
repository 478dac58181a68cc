//! Compares texts with numbers and with times.
//!
//! DataFusion 55.2 casts the text to the type of the other side, and fails if a text is not a value of that
//! type. One payload with `n/a` among a million makes `payload->>'t' > 5` fail. This rule compares numbers if
//! the text is a number, and gives NULL if it is not, as `TRY_CAST` does. A cast in the query still fails.
//! Dates, times, intervals and booleans are compared in the same way. Delete this rule when DataFusion gives
//! NULL in such comparisons.
//!
//! - In a comparison with an integer, the digits are compared: `9007199254740993` is not 2⁵³, `5.0` and `5e0`
//!   are 5, and `1e400` is more than every integer.
//! - In a comparison with a float, the text is read as the nearest float, so `0.1` is 0.1.
//! - `NaN` is more than all other numbers, as in PostgreSQL.
//!
//! A constant text in a query, as in `seq > '5'`, is converted into the type of the other side. If that
//! fails, the query fails.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Column, DFSchema, NullEquality, Result, plan_err};
use datafusion::logical_expr::expr::{Alias, Between, Case, InList, InSubquery, ScalarFunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, TryCast, lit,
};

use super::number_functions::{number_key, number_order, text_to_float};
use super::{equal, is_comparison, null_if};
use crate::fact::json::RawValue;
use crate::query::{json, operator_chains};

/// The longest list of values of several types that is rewritten.
const MAX_LIST: usize = 1_000;

/// The way in which a text is compared with a value of another type.
enum Meeting {
    Integer,
    Float,
    Cast(DataType),
}

impl Meeting {
    /// Converts a text and the other value into values that can be hashed. They are equal if the text and the
    /// value are.
    fn sides(self, text: Expr, other: Expr) -> Result<(Expr, Expr)> {
        Ok(match self {
            Self::Integer => (number_key(text), number_key(other)),
            Self::Float => (text_to_float(text), other),
            Self::Cast(to) => (try_cast(text, to)?, other),
        })
    }
}

fn meeting(of: &DataType) -> Option<Meeting> {
    Some(match of {
        integer if integer.is_integer() => Meeting::Integer,
        DataType::Decimal32(_, 0) | DataType::Decimal64(_, 0) | DataType::Decimal128(_, 0) => {
            Meeting::Integer
        }
        number if number.is_numeric() => Meeting::Float,
        DataType::Interval(_) | DataType::Duration(_) => {
            Meeting::Cast(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        DataType::Boolean
        | DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Time32(_)
        | DataType::Time64(_) => Meeting::Cast(of.clone()),
        _ => return None,
    })
}

/// Rewrites the keys of a join. `USING` and `NATURAL` have columns as keys, and must compare them as `ON`
/// does.
pub(super) fn rewrite_node(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Join(mut join) = plan else { return Ok(plan) };
    // `EXCEPT` and `INTERSECT` match NULL with NULL, and a text that is not a number would become NULL.
    if join.null_equality != NullEquality::NullEqualsNothing {
        return Ok(LogicalPlan::Join(join));
    }
    for (left, right) in &mut join.on {
        if let Some(keys) = keys(left, join.left.schema(), right, join.right.schema())? {
            (*left, *right) = keys;
        }
    }
    Ok(LogicalPlan::Join(join))
}

/// Rewrites a comparison of a text with another type; `None` for other expressions, and for comparisons that
/// are right.
pub(super) fn rewrite(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            compare(left, *op, right, schema)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let from = compare(expr, Operator::GtEq, low, schema)?;
            let to = compare(expr, Operator::LtEq, high, schema)?;
            if from.is_none() && to.is_none() {
                return Ok(None);
            }
            let from = from.unwrap_or_else(|| (**expr).clone().gt_eq((**low).clone()));
            let to = to.unwrap_or_else(|| (**expr).clone().lt_eq((**high).clone()));
            let within = from.and(to);
            Ok(Some(if *negated { Expr::Not(Box::new(within)) } else { within }))
        }
        Expr::InList(list) => in_list(list, schema),
        Expr::InSubquery(subquery) => in_subquery(subquery, schema),
        Expr::Case(case) => case_of(case, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" => {
            let [value, other] = args.as_slice() else { return Ok(None) };
            let Some(equal) = compare(value, Operator::Eq, other, schema)? else { return Ok(None) };
            Ok(Some(null_if(equal, value, schema)?))
        }
        _ => Ok(None),
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether an expression is a constant in the query.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        Expr::Alias(Alias { expr, .. }) => is_constant(expr),
        Expr::Cast(cast) => is_constant(&cast.expr),
        _ => false,
    }
}

/// Returns the way to compare a text with another value. `None` if the text is a constant, or if the value is
/// a text.
fn meets(text: &Expr, other: &Expr, schema: &DFSchema) -> Option<Meeting> {
    let text_type = text.get_type(schema).ok()?;
    if !is_text(&text_type) || is_constant(text) {
        return None;
    }
    meeting(&other.get_type(schema).ok()?)
}

/// Compares a text with a value of another type; `None` for other types.
pub(super) fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    refuse_no_json(left, right)?;
    refuse_no_json(right, left)?;
    let (text, op, other, meeting) = if let Some(meeting) = meets(left, right, schema) {
        (left, op, right, meeting)
    } else if let Some(meeting) = meets(right, left, schema) {
        let Some(op) = op.swap() else { return Ok(None) };
        (right, op, left, meeting)
    } else {
        return Ok(None);
    };
    let (text, other) = (text.clone(), other.clone());
    let (left, right) = match meeting {
        Meeting::Integer => {
            let ordered = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
            let equals = matches!(op, Operator::Eq | Operator::NotEq);
            if ordered || (equals && is_constant(&other)) {
                (number_order(text, other), lit(0_i8))
            } else {
                Meeting::Integer.sides(text, other)?
            }
        }
        meeting => meeting.sides(text, other)?,
    };
    Ok(Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
}

fn try_cast(text: Expr, to: DataType) -> Result<Expr> {
    let cast = Expr::TryCast(TryCast::new(Box::new(text), to));
    Ok(json::typed(&cast)?.unwrap_or(cast))
}

/// Refuses `payload->'n' = 'x'`. It compares JSON text with a text that is not JSON, and is never true.
fn refuse_no_json(json: &Expr, constant: &Expr) -> Result<()> {
    let Expr::Literal(value, _) = constant else { return Ok(()) };
    let Some(Some(text)) = value.try_as_str() else { return Ok(()) };
    if !json::is_json(json)? || RawValue::parse(text).is_ok() {
        return Ok(());
    }
    plan_err!(
        "-> returns JSON text, in which a string has quotes, and '{text}' is not JSON; write ->> instead of \
         the last ->, or compare with '\"{text}\"'"
    )
}

fn in_list(list: &InList, schema: &DFSchema) -> Result<Option<Expr>> {
    let InList { expr, list, negated } = list;
    for value in list {
        refuse_no_json(expr, value)?;
    }
    let meets_any =
        |value: &Expr| meets(expr, value, schema).is_some() || meets(value, expr, schema).is_some();
    if !list.iter().any(meets_any) {
        return Ok(None);
    }
    let is_text_of_rows = expr.get_type(schema).is_ok_and(|of| is_text(&of)) && !is_constant(expr);
    let mut lists = Lists::default();
    for value in list {
        let of = value.get_type(schema)?;
        let constants = match &of {
            _ if !is_text_of_rows || !is_constant(value) => &mut lists.others,
            of if of.is_integer() || of.is_null() => &mut lists.integers,
            of if of.is_floating() => &mut lists.floats,
            of if is_text(of) => &mut lists.texts,
            _ => &mut lists.others,
        };
        constants.push(value.clone());
    }
    if lists.others.len() > MAX_LIST {
        return Ok(None);
    }
    let Some(any) = lists.any_equals(expr, schema)? else { return Ok(None) };
    Ok(Some(if *negated { Expr::Not(Box::new(any)) } else { any }))
}

/// The values of a list, by how a text is compared with them.
#[derive(Default)]
struct Lists {
    integers: Vec<Expr>,
    floats: Vec<Expr>,
    texts: Vec<Expr>,
    others: Vec<Expr>,
}

impl Lists {
    /// Makes a condition that is true if a value is in one of the lists. A list of constants of any length
    /// stays a list.
    fn any_equals(self, value: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let Self { integers, floats, texts, others } = self;
        let keys = integers.into_iter().map(number_key).collect();
        let lists = [
            (number_key(value.clone()), keys),
            (text_to_float(value.clone()), floats),
            (value.clone(), texts),
        ];
        let lists = lists.into_iter().filter(|(_, values): &(Expr, Vec<Expr>)| !values.is_empty());
        let mut any: Vec<Expr> = lists.map(|(operand, values)| operand.in_list(values, false)).collect();
        for other in others {
            any.push(equal(value, &other, schema)?);
        }
        Ok(operator_chains::joined(any, Operator::Or))
    }
}

fn in_subquery(asked: &InSubquery, schema: &DFSchema) -> Result<Option<Expr>> {
    let InSubquery { expr, subquery, negated } = asked;
    let of_subquery = subquery.subquery.schema();
    if of_subquery.fields().len() != 1 {
        return Ok(None);
    }
    let column = Expr::Column(Column::from(of_subquery.qualified_field(0)));
    let Some((expr, column)) = keys(expr, schema, &column, of_subquery)? else { return Ok(None) };
    Ok(Some(Expr::InSubquery(InSubquery {
        expr: Box::new(expr),
        subquery: project(subquery, column)?,
        negated: *negated,
    })))
}

/// Returns a NULL with the type of an expression. It can be used with another schema.
fn typed(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let null = datafusion::common::ScalarValue::try_new_null(&expr.get_type(schema)?)?;
    Ok(Expr::Literal(null, None))
}

/// Rewrites the keys of a join if one is a text and the other is not; `None` for other keys.
pub(super) fn keys(
    left: &Expr,
    of_left: &DFSchema,
    right: &Expr,
    of_right: &DFSchema,
) -> Result<Option<(Expr, Expr)>> {
    if let Some(meeting) = meets(left, &typed(right, of_right)?, of_left) {
        return Ok(Some(meeting.sides(left.clone(), right.clone())?));
    }
    let Some(meeting) = meets(right, &typed(left, of_left)?, of_right) else { return Ok(None) };
    let (right, left) = meeting.sides(right.clone(), left.clone())?;
    Ok(Some((left, right)))
}

/// Replaces the column of a subquery by an expression.
pub(super) fn project(subquery: &Subquery, column: Expr) -> Result<Subquery> {
    let plan = LogicalPlanBuilder::from((*subquery.subquery).clone()).project([column])?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery.clone() })
}

/// Rewrites `CASE text WHEN 5 THEN …`, so that it compares as `text = 5` does.
fn case_of(case: &Case, schema: &DFSchema) -> Result<Option<Expr>> {
    let Some(base) = &case.expr else { return Ok(None) };
    let meets_base = |when: &Expr| meets(base, when, schema).is_some() || meets(when, base, schema).is_some();
    if !case.when_then_expr.iter().any(|(when, _)| meets_base(when)) {
        return Ok(None);
    }
    let whens = case
        .when_then_expr
        .iter()
        .map(|(when, then)| Ok((Box::new(equal(base, when, schema)?), then.clone())));
    Ok(Some(Expr::Case(Case::new(None, whens.collect::<Result<_>>()?, case.else_expr.clone()))))
}
