//! Names of computed columns as the user would write them: `left(error,3)` for DataFusion's
//! `left(events.error,Int64(3))`.

use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

/// Whether DataFusion made the name of a column from an expression.
pub(super) fn is_made(plan: &LogicalPlan, at: usize) -> bool {
    match plan {
        LogicalPlan::Projection(node) => node.expr.get(at).is_some_and(|expr| is_named(expr, &node.input)),
        LogicalPlan::Aggregate(node) => {
            let mut exprs = node.group_expr.iter().chain(&node.aggr_expr);
            exprs.nth(at).is_some_and(|expr| is_named(expr, &node.input))
        }
        LogicalPlan::Window(node) => match at.checked_sub(node.input.schema().fields().len()) {
            Some(at) => node.window_expr.get(at).is_some_and(|expr| is_named(expr, &node.input)),
            None => is_made(&node.input, at),
        },
        LogicalPlan::Distinct(Distinct::On(node)) => {
            node.select_expr.get(at).is_some_and(|expr| is_named(expr, &node.input))
        }
        LogicalPlan::Join(node) => match at.checked_sub(node.left.schema().fields().len()) {
            Some(at) => is_made(&node.right, at),
            None => is_made(&node.left, at),
        },
        LogicalPlan::Distinct(Distinct::All(input)) => is_made(input, at),
        LogicalPlan::Filter(node) => is_made(&node.input, at),
        LogicalPlan::Limit(node) => is_made(&node.input, at),
        LogicalPlan::Sort(node) => is_made(&node.input, at),
        LogicalPlan::Subquery(node) => is_made(&node.subquery, at),
        LogicalPlan::SubqueryAlias(node) => is_made(&node.input, at),
        LogicalPlan::Union(node) => node.inputs.first().is_some_and(|first| is_made(first, at)),
        _ => false,
    }
}

/// Whether DataFusion made the name of an expression over an input.
fn is_named(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        // DataFusion itself gives `count(*)` an alias.
        Expr::Alias(alias) => {
            let counts = alias.expr.schema_name().to_string();
            counts.contains(COUNT) && counts.replacen(COUNT, "count(*)", 1) == alias.name
        }
        Expr::Column(column) => {
            input.schema().maybe_index_of_column(column).is_some_and(|at| is_made(input, at))
        }
        _ => true,
    }
}

/// DataFusion's `count(*)`.
const COUNT: &str = "count(Int64(1))";

/// Returns a name with its constants as in SQL: `3` for `Int64(3)`, `'a'` for `Utf8("a")`.
pub(super) fn with_plain_constants(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let word = word(rest);
        let (text, len) = match rest.get(word.len()..).and_then(|after| constant(word, after)) {
            Some((text, len)) => (text, word.len() + len),
            None if word.is_empty() => (first.to_string(), first.len_utf8()),
            None => (word.to_owned(), word.len()),
        };
        plain.push_str(&text);
        rest = rest.get(len..).unwrap_or_default();
    }
    plain
}

/// The frames that a window has unless the query has another.
const USUAL_FRAMES: [&str; 2] = [
    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
];

/// Returns a name with its windows as in SQL: `max(x) OVER (ORDER BY y)` for
/// `max(x) ORDER BY [y ASC NULLS LAST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`.
pub(super) fn with_plain_windows(name: &str) -> String {
    let mut plain = String::new();
    let mut rest = name;
    while let Some((begin, end)) = frame_in(rest) {
        let (Some(mut before), Some(frame)) = (rest.get(..begin), rest.get(begin..end)) else { break };
        let mut parts = Vec::new();
        if !USUAL_FRAMES.contains(&frame) {
            parts.push(frame.to_owned());
        }
        before = before.trim_end();
        for (words, usual) in [(" ORDER BY [", " ASC NULLS LAST"), (" PARTITION BY [", "")] {
            if let Some((ahead, list)) = before.strip_suffix(']').and_then(|text| text.rsplit_once(words)) {
                let list = list.replace(usual, "").replace(" DESC NULLS FIRST", " DESC");
                parts.push(format!("{}{list}", words.trim_start().trim_end_matches('[')));
                before = ahead;
            }
        }
        parts.reverse();
        plain += &format!("{before} OVER ({})", parts.join(" "));
        rest = rest.get(end..).unwrap_or_default();
    }
    plain + rest
}

/// The place of the first frame of a window in a name.
fn frame_in(name: &str) -> Option<(usize, usize)> {
    let units = ["ROWS BETWEEN ", "RANGE BETWEEN ", "GROUPS BETWEEN "];
    let begin = units.into_iter().filter_map(|unit| name.find(unit)).min()?;
    let (_, after) = name.get(begin..)?.split_once(" AND ")?;
    let ends = ["CURRENT ROW", "PRECEDING", "FOLLOWING"];
    let ends = ends.into_iter().filter_map(|end| after.find(end).map(|at| at + end.len()));
    Some((begin, name.len() - after.len() + ends.min()?))
}

/// Returns a name without its tables: `max(seq)` for `max(events.seq)`.
pub(super) fn without_tables(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        // A text stays as it is.
        let len = match (first, word(rest)) {
            ('\'' | '"', _) => {
                rest.get(1..).and_then(|rest| rest.find(first)).map_or(rest.len(), |end| end + 2)
            }
            (_, "") => first.len_utf8(),
            (_, word) => {
                let is_name =
                    |text: &str| text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '"'));
                let column = rest.get(word.len()..).and_then(|after| after.strip_prefix('.'));
                if is_name(word) && column.is_some_and(is_name) {
                    rest = column.unwrap_or_default();
                    continue;
                }
                word.len()
            }
        };
        let (part, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        short.push_str(part);
        rest = after;
    }
    short
}

/// The letters, digits and underscores at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Returns a constant after the name of its type as in SQL, and its length.
fn constant(of: &str, after: &str) -> Option<(String, usize)> {
    let within = after.strip_prefix('(')?;
    let quoted = || {
        let text = within.strip_prefix('"')?;
        let end = text.find("\")")?;
        Some((text.get(..end)?, end + 4))
    };
    let bare = || {
        let end = within.find(')')?;
        Some((within.get(..end)?, end + 2))
    };
    match of {
        "Boolean" | "Float32" | "Float64" | "Int16" | "Int32" | "Int64" | "Int8" | "UInt16" | "UInt32"
        | "UInt64" | "UInt8" => bare().map(|(text, len)| (text.to_owned(), len)),
        "Date32" | "LargeUtf8" | "Utf8" | "Utf8View" => match quoted() {
            Some((text, len)) => Some((format!("'{}'", text.replace('\'', "''")), len)),
            None => bare().filter(|(text, _)| *text == "NULL").map(|(text, len)| (text.to_owned(), len)),
        },
        "IntervalDayTime" | "IntervalMonthDayNano" | "IntervalYearMonth" => {
            quoted().map(|(text, len)| (format!("INTERVAL '{}'", interval(text)), len))
        }
        _ => None,
    }
}

/// Returns `1 month 2 hours` for `IntervalMonthDayNano { months: 1, days: 0, nanoseconds: 7200000000000 }`.
fn interval(text: &str) -> String {
    let Some((_, fields)) = text.split_once('{') else { return text.to_owned() };
    let mut parts = Vec::new();
    for field in fields.trim_end_matches(['}', ' ']).split(',') {
        let Some((unit, count)) = field.trim().split_once(": ") else { return text.to_owned() };
        let Ok(count) = count.parse::<i64>() else { return text.to_owned() };
        let units = [("hours", 3_600_000_000_000), ("minutes", 60_000_000_000), ("seconds", 1_000_000_000)];
        let larger = units.into_iter().find(|(_, nanos)| unit == "nanoseconds" && count % nanos == 0);
        let (unit, count) = larger.map_or((unit, count), |(unit, nanos)| (unit, count / nanos));
        if count != 0 {
            let unit = if count == 1 { unit.trim_end_matches('s') } else { unit };
            parts.push(format!("{count} {unit}"));
        }
    }
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_the_form_of_sql() {
        for (name, plain) in [
            ("Int64(1)", "1"),
            ("left(events.error,Int64(3))", "left(events.error,3)"),
            ("coalesce(error,Utf8(\"(none)\"))", "coalesce(error,'(none)')"),
            ("Utf8(\"a\") || Utf8(NULL)", "'a' || NULL"),
            ("Float64(1.5) + UInt8(2)", "1.5 + 2"),
            ("Boolean(true)", "true"),
            (
                "IntervalMonthDayNano(\"IntervalMonthDayNano { months: 1, days: 2, nanoseconds: 7200000000000 }\")",
                "INTERVAL '1 month 2 days 2 hours'",
            ),
            ("IntervalYearMonth(\"14\")", "INTERVAL '14'"),
            ("MyInt64(1)", "MyInt64(1)"),
            ("Int64(", "Int64("),
            ("größe(Int64(1))", "größe(1)"),
            ("Utf8(\"ü\")", "'ü'"),
            ("Utf8(\"it's a.b\")", "'it''s a.b'"),
        ] {
            assert_eq!(with_plain_constants(name), plain);
        }
    }

    #[test]
    fn windows_have_the_form_of_sql() {
        for (name, plain) in [
            (
                "max(x) ORDER BY [y ASC NULLS LAST, z DESC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                "max(x) OVER (ORDER BY y, z DESC)",
            ),
            ("sum(x) ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING + 1", "sum(x) OVER () + 1"),
            (
                "sum(x) PARTITION BY [a, b] ORDER BY [y ASC NULLS LAST] ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                "sum(x) OVER (PARTITION BY a, b ORDER BY y ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
            ),
            (
                "string_agg(x,',') ORDER BY [y DESC NULLS FIRST]",
                "string_agg(x,',') ORDER BY [y DESC NULLS FIRST]",
            ),
            ("ROWS BETWEEN ", "ROWS BETWEEN "),
        ] {
            assert_eq!(with_plain_windows(name), plain);
        }
    }

    #[test]
    fn tables_are_left_out_of_expressions() {
        for (name, short) in [
            ("max(events.seq)", "max(seq)"),
            ("a.seq + facts.b.seq", "seq + seq"),
            ("x = 'a.b'", "x = 'a.b'"),
            ("1.5 + e.seq", "1.5 + seq"),
            ("e.\"a.b\"", "\"a.b\""),
            ("x = 'a.b", "x = 'a.b"),
            ("'it''s a.b' || e.x", "'it''s a.b' || x"),
        ] {
            assert_eq!(without_tables(name), short);
        }
    }
}
