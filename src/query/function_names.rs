//! Functions that users know from DuckDB, Timescale, Snowflake and `ClickHouse`.
//!
//! A call of one of them is written as an expression of functions that are here, with the meaning that the function
//! has where it comes from. If no expression has that meaning, the error says what the user can write instead
//! ([`instead_of`]).

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

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

/// Replaces a call of a function of another database by an expression that is known here.
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
    if let Some(text) = expression(&name, function)
        && let Some(written) = parsed(&text)
    {
        *expr = Expr::Nested(Box::new(written));
    }
}

fn parsed(text: &str) -> Option<Expr> {
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?;
    parser.parse_expr().ok()
}

/// Writes an expression with the meaning of a call. `None` for other functions, and for forms of a call that are not
/// known.
fn expression(name: &str, function: &Function) -> Option<String> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_plain = list.clauses.is_empty()
        && list.duplicate_treatment.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none();
    if !is_plain {
        return None;
    }
    let arguments: Vec<&Expr> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let filter = |condition: String| match &function.filter {
        Some(filter) => format!("FILTER (WHERE ({filter}) AND ({condition}))"),
        None => format!("FILTER (WHERE {condition})"),
    };
    // Aggregates keep their filter.
    match (name, arguments.as_slice()) {
        ("arg_max" | "argmax" | "max_by", [value, by]) => {
            let there = filter(format!("({value}) IS NOT NULL AND ({by}) IS NOT NULL"));
            return Some(format!("first_value({value} ORDER BY {by} DESC) {there}"));
        }
        ("arg_min" | "argmin" | "min_by", [value, by]) => {
            let there = filter(format!("({value}) IS NOT NULL AND ({by}) IS NOT NULL"));
            return Some(format!("first_value({value} ORDER BY {by}) {there}"));
        }
        ("count_if" | "countif", [condition]) => {
            return Some(format!("count(*) {}", filter(condition.to_string())));
        }
        ("uniq" | "uniqexact", [value]) => {
            let filter = function.filter.as_ref().map(|filter| format!(" FILTER (WHERE {filter})"));
            return Some(format!("count(DISTINCT {value}){}", filter.unwrap_or_default()));
        }
        ("quantile_cont", [value, part]) => {
            let filter = function.filter.as_ref().map(|filter| format!(" FILTER (WHERE {filter})"));
            let filter = filter.unwrap_or_default();
            return Some(format!("percentile_cont({part}) WITHIN GROUP (ORDER BY {value}){filter}"));
        }
        _ => {}
    }
    if function.filter.is_some() {
        return None;
    }
    Some(match (name, arguments.as_slice()) {
        ("weekday" | "dayofweek", [at]) => format!("date_part('dow', {at})"),
        ("dayofyear", [at]) => format!("date_part('doy', {at})"),
        ("weekofyear", [at]) => format!("date_part('week', {at})"),
        ("dayofmonth", [at]) => format!("date_part('day', {at})"),
        (part, [at]) if PARTS.contains(&part) => format!("date_part('{part}', {at})"),
        ("strftime", [pattern, at]) if text_of(pattern).is_some() => format!("to_char({at}, {pattern})"),
        ("strftime", [at, pattern]) => format!("to_char({at}, {pattern})"),
        ("todate", [at]) => format!("CAST({at} AS DATE)"),
        ("tostartofminute", [at]) => format!("date_trunc('minute', {at})"),
        ("tostartofhour", [at]) => format!("date_trunc('hour', {at})"),
        ("tostartofday", [at]) => format!("date_trunc('day', {at})"),
        ("tostartofmonth", [at]) => format!("date_trunc('month', {at})"),
        ("tostartofquarter", [at]) => format!("date_trunc('quarter', {at})"),
        ("tostartofyear", [at]) => format!("date_trunc('year', {at})"),
        ("time_bucket", [width, at]) => format!("date_bin({width}, {at}, {})", origin(width)),
        ("time_bucket", [width, at, origin]) => format!("date_bin({width}, {at}, {origin})"),
        ("date_diff" | "datediff", [unit, from, to]) => difference(&text_of(unit)?, from, to)?,
        ("json_extract", [json, path]) => format!("({json} -> {path})"),
        ("json_extract_string", [json, path]) => format!("({json} ->> {path})"),
        ("regexp_extract", [text, pattern]) => extracted(text, &text_of(pattern)?, 0),
        ("regexp_extract", [text, pattern, group]) => {
            extracted(text, &text_of(pattern)?, group.to_string().parse().ok()?)
        }
        _ => return None,
    })
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

/// Writes an expression that counts the units which begin after one time, up to another time, as in DuckDB.
fn difference(unit: &str, from: &Expr, to: &Expr) -> Option<String> {
    let unit = unit.to_lowercase();
    let unit = unit.strip_suffix('s').unwrap_or(&unit);
    let seconds = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        // Of seven days each, wherever they begin.
        "week" => return Some(format!("({} / 7)", difference("day", from, to)?)),
        "month" | "quarter" | "year" => {
            let (per_year, part) = match unit {
                "month" => (12, "month"),
                "quarter" => (4, "quarter"),
                _ => return Some(format!("(date_part('year', {to}) - date_part('year', {from}))")),
            };
            return Some(format!(
                "((date_part('year', {to}) - date_part('year', {from})) * {per_year} + date_part('{part}', {to}) \
                 - date_part('{part}', {from}))"
            ));
        }
        _ => return None,
    };
    // A day with a change of clocks is a day, too.
    let epoch = |at: &Expr| format!("date_part('epoch', date_trunc('{unit}', {at}))");
    Some(format!("CAST(round(({} - {}) / {seconds}.0) AS BIGINT)", epoch(to), epoch(from)))
}

/// Writes an expression for the text that a group of a pattern matches, or the whole pattern for group 0. The text is
/// empty if there is no match.
fn extracted(text: &Expr, pattern: &str, group: u32) -> String {
    let pattern = format!("({pattern})").replace('\'', "''");
    format!(
        "CASE WHEN {text} IS NULL THEN NULL ELSE coalesce((regexp_match({text}, '{pattern}'))[{}], '') END",
        group + 1
    )
}
