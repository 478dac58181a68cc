//! Turns operators on JSON into calls of functions.

use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::cast::call_of;
use super::functions::{Answer, Way, function, is_text};
use super::path::parse;

/// Plans `->`, `->>`, `#>`, `#>>` and `?`.
#[derive(Debug)]
pub(super) struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let expr = negative_index(expr);
        let (answer, way) = match expr.op {
            BinaryOperator::Arrow => (Answer::Json, Way::Steps),
            BinaryOperator::LongArrow => (Answer::Text, Way::Steps),
            BinaryOperator::HashArrow => (Answer::Json, Way::Path),
            BinaryOperator::HashLongArrow => (Answer::Text, Way::Path),
            BinaryOperator::Question => (Answer::Contains, Way::Steps),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let left = expr.left.get_type(schema)?;
        if !is_text(&left) && !left.is_null() {
            return plan_err!(
                "{} needs JSON text on its left side, and {} has the type {left}",
                expr.op,
                expr.left
            );
        }
        match way {
            Way::Steps => refuse_json_path(&expr)?,
            Way::Path => check_path(&expr)?,
        }
        let name = format!("{} {} {}", title(&expr.left), expr.op, title(&expr.right));
        let mut args = Vec::new();
        match call_of(&expr.left)? {
            Some(before) if way == Way::Steps && answer != Answer::Contains => args.extend_from_slice(before),
            _ => args.push(expr.left),
        }
        args.push(expr.right);
        // The column is named after the text of the query.
        Ok(PlannerResult::Planned(function(answer, way)?.call(args).alias(name)))
    }
}

/// Splits `->-1`, which the parser reads as one operator and PostgreSQL as two.
fn negative_index(mut expr: RawBinaryExpr) -> RawBinaryExpr {
    let op = match &expr.op {
        BinaryOperator::Custom(name) if name == "->-" => BinaryOperator::Arrow,
        BinaryOperator::Custom(name) if name == "->>-" => BinaryOperator::LongArrow,
        _ => return expr,
    };
    expr.op = op;
    expr.right = match expr.right {
        Expr::Literal(ScalarValue::Int64(Some(index)), metadata) => {
            Expr::Literal(ScalarValue::Int64(Some(index.saturating_neg())), metadata)
        }
        other => Expr::Negative(Box::new(other)),
    };
    expr
}

/// Checks a constant path when the query is planned.
fn check_path(expr: &RawBinaryExpr) -> Result<()> {
    let Expr::Literal(value, _) = &expr.right else { return Ok(()) };
    match value.try_as_str().flatten().map(parse) {
        Some(Err(why)) => plan_err!("{why}"),
        _ => Ok(()),
    }
}

/// Refuses `payload->>'$.a.b'`. This is a path in DuckDB, SQLite and MySQL, but in PostgreSQL it is a key,
/// and would give NULL.
fn refuse_json_path(expr: &RawBinaryExpr) -> Result<()> {
    let Expr::Literal(value, _) = &expr.right else { return Ok(()) };
    let Some(Some(key)) = value.try_as_str() else { return Ok(()) };
    if !(key.starts_with("$.") || key.starts_with("$[")) {
        return Ok(());
    }
    let steps: Vec<String> = key
        .trim_start_matches('$')
        .split(['.', '[', ']'])
        .filter(|step| !step.is_empty())
        .map(|step| if step.parse::<i64>().is_ok() { step.to_owned() } else { format!("'{step}'") })
        .collect();
    let (last, before) = steps.split_last().map_or(("'key'", &[][..]), |(last, rest)| (last.as_str(), rest));
    let before = before.iter().fold(String::new(), |path, step| path + "->" + step);
    let document = title(&expr.left);
    let op = if expr.op == BinaryOperator::LongArrow { "->>" } else { "->" };
    plan_err!(
        "{op} takes one step, and {key:?} looks like a JSON path; write {document}{before}{op}{last}, or \
         {document} #>> '{{a,b}}'; to read a member with this name, write json_text({document}, '{key}')"
    )
}

/// Returns the text of an operand for the name of a column.
fn title(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Cast(cast) => title(&cast.expr),
        Expr::Literal(value, _) => match value {
            ScalarValue::Int64(Some(value)) => value.to_string(),
            text => text.try_as_str().flatten().map_or_else(|| text.to_string(), |text| format!("'{text}'")),
        },
        other => other.to_string(),
    }
}
