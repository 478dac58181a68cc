//! Functions that users know from DuckDB, Timescale, Snowflake and `ClickHouse`.
//!
//! A call of one of them is written as an expression of functions that are here, with the meaning that the function
//! has where it comes from. If no expression has that meaning, the error says what the user can write instead
//! ([`instead_of`]).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Value, visit_expressions_mut,
};

use super::dialect;

/// Other names of functions that take the same arguments here.
const OTHER_NAMES: [(&str, &str); 11] = [
    ("any", "any_value"),
    ("approx_count_distinct", "approx_distinct"),
    ("first", "first_value"),
    ("grouparray", "array_agg"),
    ("last", "last_value"),
    ("len", "length"),
    ("list", "array_agg"),
    ("lcase", "lower"),
    ("string_split", "string_to_array"),
    ("ucase", "upper"),
    ("var", "var_samp"),
];

/// Parts of a time that have functions of their own.
const PARTS: [&str; 13] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "epoch",
    "dayofweek",
    "dayofyear",
    "isodow",
    "isoyear",
];

/// Functions without a counterpart, each with an expression for the same purpose.
const INSTEAD: [(&str, &str); 12] = [
    ("age", "a difference is an interval: max(at) - min(at)"),
    ("date_sub", "date_diff('hour', a, b) counts the hours that begin between a and b"),
    ("epoch_ms", "CAST(extract(epoch FROM at) * 1000 AS BIGINT) is the time in milliseconds"),
    ("epoch_us", "CAST(extract(epoch FROM at) * 1000000 AS BIGINT) is the time in microseconds"),
    ("format", "concat and || put texts together"),
    ("histogram", "SELECT x, count(*) FROM … GROUP BY x counts each value"),
    ("jsonb_path_query", "payload->'a'->>'b' reads a value inside of JSON"),
    ("make_timestamp", "a time is written as TIMESTAMP '2026-11-23 20:18:10'"),
    ("mode", "SELECT x FROM … GROUP BY x ORDER BY count(*) DESC LIMIT 1 is the most frequent value"),
    ("printf", "concat and || put texts together; to_char writes numbers and times by a pattern"),
    (
        "quantile",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY x) interpolates, approx_percentile_cont estimates",
    ),
    ("width_bucket", "floor((x - low) / width) numbers buckets of one width"),
];

/// Words that other databases understand, each with a form for the same purpose.
const OTHER_WORDS: [(&str, &str); 5] = [
    (
        "ASOF",
        "LEFT JOIN LATERAL (SELECT * FROM d WHERE d.target = e.actor_address AND d.at <= e.at ORDER BY d.at DESC LIMIT 1) d \
         ON true joins the last row before each one",
    ),
    ("PIVOT", "count(*) FILTER (WHERE event_type = 'ActorCrashed') makes a column of each value"),
    ("PERCENT", "LIMIT counts rows"),
    (
        "SUMMARIZE",
        "SELECT count(x), count(DISTINCT x), min(x), max(x) FROM … tells of a column, DESCRIBE lists columns",
    ),
    ("TOP", "LIMIT n at the end gives the first n rows"),
];

/// Returns an expression for the purpose of an unknown function.
pub(super) fn instead_of(function: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(name, _)| *name == function).map(|(_, instead)| *instead)
}

/// Returns a form for the purpose of a word in a text that cannot be parsed.
pub(super) fn instead_of_words(sql: &str) -> Option<String> {
    let mut words = sql.split(|char: char| !char.is_alphanumeric() && char != '_');
    let known = |word: &str| OTHER_WORDS.iter().find(|(other, _)| word.eq_ignore_ascii_case(other));
    words.find_map(known).map(|(word, instead)| format!("{word} is not known here: {instead}"))
}

/// Replaces a call of a function of another database by an expression that is known here. The expression may have an
/// argument several times.
pub(super) fn replace(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return };
    if name.quote_style.is_some() {
        return;
    }
    let name = name.value.to_lowercase();
    if let Some((_, known)) = OTHER_NAMES.iter().find(|(other, _)| *other == name) {
        function.name = ObjectName::from(vec![Ident::new(*known)]);
        return;
    }
    let found = plain_arguments(function).and_then(|arguments| template(&name, arguments));
    let filled =
        found.and_then(|(template, arguments)| filled(&template, &arguments, function.filter.as_deref()));
    if let Some(filled) = filled {
        *expr = filled;
    }
}

/// The arguments of a call that has nothing but arguments, and a filter at most.
fn plain_arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_plain = list.clauses.is_empty()
        && list.duplicate_treatment.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none();
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument.clone()),
        _ => None,
    });
    arguments.collect::<Option<_>>().filter(|_| is_plain)
}

/// The template with the meaning of a call, and the values of its placeholders. `None` for other functions, and for
/// forms of a call that are not known.
fn template(name: &str, mut arguments: Vec<Expr>) -> Option<(String, Vec<Expr>)> {
    let template = match (name, arguments.as_slice()) {
        ("arg_max" | "argmax" | "max_by", [_, _]) => {
            "first_value($1 ORDER BY $2 DESC) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"
        }
        ("arg_min" | "argmin" | "min_by", [_, _]) => {
            "first_value($1 ORDER BY $2) FILTER (WHERE $1 IS NOT NULL AND $2 IS NOT NULL)"
        }
        ("count_if" | "countif", [_]) => "count(*) FILTER (WHERE $1)",
        ("uniq" | "uniqexact", [_]) => "count(DISTINCT $1)",
        ("quantile_cont", [_, _]) => "percentile_cont($2) WITHIN GROUP (ORDER BY $1)",
        ("weekday" | "dayofweek", [_]) => "date_part('dow', $1)",
        ("dayofyear", [_]) => "date_part('doy', $1)",
        ("weekofyear", [_]) => "date_part('week', $1)",
        ("dayofmonth", [_]) => "date_part('day', $1)",
        (part, [_]) if PARTS.contains(&part) => return Some((format!("date_part('{part}', $1)"), arguments)),
        ("strftime", [pattern, _]) if text_of(pattern).is_some() => "to_char($2, $1)",
        ("strftime", [_, _]) => "to_char($1, $2)",
        ("todate", [_]) => "CAST($1 AS DATE)",
        ("tostartofminute", [_]) => "date_trunc('minute', $1)",
        ("tostartofhour", [_]) => "date_trunc('hour', $1)",
        ("tostartofday", [_]) => "date_trunc('day', $1)",
        ("tostartofmonth", [_]) => "date_trunc('month', $1)",
        ("tostartofquarter", [_]) => "date_trunc('quarter', $1)",
        ("tostartofyear", [_]) => "date_trunc('year', $1)",
        ("time_bucket", [width, _]) => {
            return Some((format!("date_bin($1, $2, {})", origin(width)), arguments));
        }
        ("time_bucket", [_, _, _]) => "date_bin($1, $2, $3)",
        ("date_diff" | "datediff", [unit, _, _]) => return Some((difference(&text_of(unit)?)?, arguments)),
        ("json_extract", [_, _]) => "($1 -> $2)",
        ("json_extract_string", [_, _]) => "($1 ->> $2)",
        ("regexp_extract", [_, pattern] | [_, pattern, _]) => {
            // One more group is the whole pattern.
            let whole = Expr::value(Value::SingleQuotedString(format!("({})", text_of(pattern)?)));
            let group: u32 = match arguments.get(2) {
                None => 0,
                Some(group) => group.to_string().parse().ok()?,
            };
            let group = group.checked_add(1)?;
            if let Some(pattern) = arguments.get_mut(1) {
                *pattern = whole;
            }
            return Some((
                format!(
                    "CASE WHEN $1 IS NULL THEN NULL ELSE coalesce((regexp_match($1, $2))[{group}], '') END"
                ),
                arguments,
            ));
        }
        _ => return None,
    };
    Some((template.to_owned(), arguments))
}

/// Puts arguments in the places of `$1`, `$2` and `$3`, and adds a filter to the aggregate. `None` if a template without
/// an aggregate has a filter.
fn filled(template: &str, arguments: &[Expr], filter: Option<&Expr>) -> Option<Expr> {
    let mut filled = dialect::expression(template)?;
    match (&mut filled, filter) {
        (_, None) => {}
        (Expr::Function(function), Some(more)) if function.filter.is_some() || is_aggregate(function) => {
            let more = Expr::Nested(Box::new(more.clone()));
            function.filter = Some(Box::new(match function.filter.take() {
                None => more,
                Some(own) => {
                    let own = Box::new(Expr::Nested(own));
                    Expr::BinaryOp { left: Box::new(more), op: BinaryOperator::And, right: own }
                }
            }));
        }
        (_, Some(_)) => return None,
    }
    // What an argument has in place of a placeholder is not looked at again: it is visited before.
    let _ = visit_expressions_mut(&mut filled, |part| {
        if let Expr::Value(value) = part
            && let Value::Placeholder(place) = &value.value
            && let Some(argument) = place
                .strip_prefix('$')
                .and_then(|at| at.parse::<usize>().ok()?.checked_sub(1))
                .and_then(|at| arguments.get(at))
        {
            *part = Expr::Nested(Box::new(argument.clone()));
        }
        ControlFlow::<()>::Continue(())
    });
    Some(Expr::Nested(Box::new(filled)))
}

fn is_aggregate(function: &Function) -> bool {
    ["count", "percentile_cont"].contains(&function.name.to_string().as_str())
}

/// Returns the text of a constant.
fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the time at which buckets begin, as in DuckDB and Timescale: a Monday, or the first of a month for buckets
/// of months.
fn origin(width: &Expr) -> &'static str {
    let width = width.to_string().to_lowercase();
    if ["month", "year", "quarter", "decade", "century"].iter().any(|unit| width.contains(unit)) {
        "TIMESTAMP '2000-01-01T00:00:00Z'"
    } else {
        "TIMESTAMP '2000-01-03T00:00:00Z'"
    }
}

/// A template that counts the units which begin after the time `$2`, up to the time `$3`, as in DuckDB.
fn difference(unit: &str) -> Option<String> {
    let unit = unit.to_lowercase();
    let unit = unit.strip_suffix('s').unwrap_or(&unit);
    let seconds = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        // Of seven days each, wherever they begin.
        "week" => return Some(format!("({} / 7)", difference("day")?)),
        "year" => return Some("(date_part('year', $3) - date_part('year', $2))".to_owned()),
        "month" | "quarter" => {
            let per_year = if unit == "month" { 12 } else { 4 };
            return Some(format!(
                "((date_part('year', $3) - date_part('year', $2)) * {per_year} + date_part('{unit}', $3) \
                 - date_part('{unit}', $2))"
            ));
        }
        _ => return None,
    };
    // A day with a change of clocks is a day, too.
    let epoch = |place: &str| format!("date_part('epoch', date_trunc('{unit}', {place}))");
    Some(format!("CAST(round(({} - {}) / {seconds}.0) AS BIGINT)", epoch("$3"), epoch("$2")))
}
