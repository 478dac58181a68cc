//! Decides which expressions may fail on a row. Examples are a cast of a text that is not a number, and a
//! division by zero.
//!
//! An expression counts as safe only if it is known that it never fails.

use arrow::array::StringArray;
use arrow::compute::regexp_is_match_scalar;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::casts;
use crate::query::json;

/// Functions that never fail on a row after they are planned.
const SAFE: [&str; 33] = [
    "btrim",
    "character_length",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "error_group",
    "json_contains",
    "json_get",
    "json_get_array",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_str",
    "json_integer",
    "json_length",
    "json_object_keys",
    "json_scalar",
    "json_text",
    "left",
    "lower",
    "ltrim",
    "nullif",
    "number_key",
    "number_order",
    "octet_length",
    "reverse",
    "right",
    "rtrim",
    "starts_with",
    "strpos",
    "text_to_float",
    "upper",
];

/// Operators that never fail on values of the types that they accept.
const ALWAYS: [Operator; 11] = [
    Operator::And,
    Operator::Or,
    Operator::Eq,
    Operator::NotEq,
    Operator::Lt,
    Operator::LtEq,
    Operator::Gt,
    Operator::GtEq,
    Operator::IsDistinctFrom,
    Operator::IsNotDistinctFrom,
    Operator::StringConcat,
];

/// Whether an expression with coerced types may fail on a row of this schema.
pub(in crate::query) fn may_fail(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|expr| Ok(fails(expr, schema))).unwrap_or(true)
}

fn fails(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::Literal(..)
        | Expr::Placeholder(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => false,
        Expr::Like(Like { pattern, .. }) => text(pattern).is_none(),
        Expr::Cast(cast) => cast_fails(&cast.expr, cast.field.data_type(), schema),
        Expr::Negative(inside) => !is_float(inside, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                !is_float(left, schema)
            }
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch => !text(right).is_some_and(is_regex),
            op => !ALWAYS.contains(op),
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) => match casts::hidden_cast(expr) {
            Some((value, to, or_null)) => !or_null && cast_fails(value, to, schema),
            None => !SAFE.contains(&func.name()) && !is_safe_with(func.name(), args),
        },
        _ => true,
    }
}

fn cast_fails(value: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    // A constant that cannot be cast fails on each row that uses it.
    if let Expr::Literal(value, _) = value {
        return value.cast_to(to).is_err();
    }
    !value.get_type(schema).is_ok_and(|from| always_casts(&from, to))
}

/// Whether a function never fails with these arguments, although it may fail with others.
fn is_safe_with(function: &str, args: &[Expr]) -> bool {
    match (function, args) {
        ("split_part", [_, separator, position]) => {
            text(separator).is_some() && integer(position).is_some_and(|position| position != 0)
        }
        ("substr", [_, start]) => integer(start).is_some(),
        ("substr", [_, start, length]) => {
            integer(start).is_some() && integer(length).is_some_and(|length| length >= 0)
        }
        ("json_at" | "json_text_at", [_, path]) => text(path).is_some_and(json::is_path),
        _ => false,
    }
}

/// Returns a constant text.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(integer)) => integer,
            _ => None,
        },
        _ => None,
    }
}

/// Whether a text is a valid regular expression.
fn is_regex(pattern: &str) -> bool {
    regexp_is_match_scalar(&StringArray::from(vec![""]), pattern, None).is_ok()
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| of.is_floating())
}

/// Whether every value of a type can be cast to another type.
pub(super) fn always_casts(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null,
        Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    let is_text = |of: &DataType| matches!(of, Utf8 | LargeUtf8 | Utf8View);
    match (from, to) {
        (from, to) if from == to || *from == Null => true,
        (Binary | BinaryView, _) => false,
        // The text of a time may fail if the time is too far away.
        (from, to) if is_text(to) => is_text(from) || from.is_numeric() || *from == Boolean,
        (from, Float64) => from.is_numeric(),
        (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64 | Float32)
        | (Int8 | Int16 | UInt8 | UInt16, Int32)
        | (UInt8 | UInt16 | UInt32, UInt64)
        | (Timestamp(..), Date32)
        | (Timestamp(TimeUnit::Nanosecond, _), Time64(TimeUnit::Nanosecond)) => true,
        (Boolean, to) => to.is_integer(),
        (Timestamp(from, _), Timestamp(to, _)) => from == to,
        _ => false,
    }
}
