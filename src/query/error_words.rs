//! Says the commonest mistakes in plain words, with what to write instead.

use super::suggest::last_part;

/// The names of DataFusion's and Arrow's kinds of errors, which they write before the reason.
const KINDS: [&str; 9] = [
    "Error during planning: ",
    "Execution error: ",
    "Resources exhausted: ",
    "Schema error: ",
    "External error: ",
    "Arrow error: ",
    "Compute error: ",
    "Cast error: ",
    "Parser error: ",
];

/// The reason of an error, without the names of its kinds.
pub(super) fn reason(text: &str) -> String {
    let mut rest = text;
    while let Some(shorter) = KINDS.iter().find_map(|kind| rest.strip_prefix(kind)) {
        rest = shorter;
    }
    rest.strip_prefix("This feature is not implemented: ")
        .map_or_else(|| rest.to_owned(), |what| format!("not supported: {what}"))
}

/// The planner's error about a statement, in other words, and what to write instead.
pub(super) fn explained(error: &str, sql: &str) -> Option<(String, String)> {
    let between = |begin: &str, end: &str| error.split_once(begin)?.1.split_once(end).map(|(name, _)| name);
    if error.contains("must appear in the GROUP BY clause") {
        let column = last_part(between("column \"", "\" must appear")?);
        return Some((
            format!("{column} is neither in GROUP BY nor in an aggregate"),
            format!("write GROUP BY {column}, or an aggregate such as max({column})"),
        ));
    }
    if let Some(name) = between("No field named \"", "\"")
        && !error.contains("Did you mean")
        && sql.contains(&format!("\"{name}\""))
    {
        return Some((
            format!("there is no column \"{name}\""),
            format!("a text has single quotes: '{name}'"),
        ));
    }
    let is_time = |side: &str| ["Timestamp(", "Date32"].iter().any(|of| side.contains(of));
    if let Some((_, types)) = error.split_once("Cannot infer common argument type for comparison operation ")
        && is_time(types)
    {
        let why = "a time is compared with a value that is no time";
        return Some((
            why.to_owned(),
            "write the time in quotes, '2026-11-23 10:00', or to_timestamp(1795404290) for seconds since 1970"
                .to_owned(),
        ));
    }
    if error.contains("Cannot access field at argument 1: type Utf8") {
        return Some((
            "a text has no fields".to_owned(),
            "payload is JSON text: write payload->>'error'".to_owned(),
        ));
    }
    None
}

/// An error of the engine, in other words, and what to do instead.
pub(super) fn of_engine(error: &str) -> Option<(String, String)> {
    let both = |what: &str, instead: &str| Some((what.to_owned(), instead.to_owned()));
    if error.contains("satisfy a call to 'cardinality'")
        || error.contains("satisfy a call to 'array_position'")
    {
        return both("ANY and ALL need a list or a subquery", "write a list as ARRAY['a', 'b'] or '{a,b}'");
    }
    // A function of ours says itself what it takes.
    if let Some((_, rest)) = error.split_once("user-defined coercion failed with: Error during planning: ")
        && let Some((why, _)) = rest.split_once(" No function matches the given name")
    {
        return both(why.trim_end_matches('.'), "cast an argument, for example x::text or x::bigint");
    }
    if let Some((_, rest)) = error.split_once("No function matches the given name and argument types '")
        && let Some((call, _)) = rest.split_once("'. You might")
        && let Some((name, types)) = call.split_once('(')
    {
        let types = types.strip_suffix(')').unwrap_or(types);
        return Some(no_such_call(name, types));
    }
    if let Some((_, rest)) = error.split_once("Function '")
        && let Some((name, _)) = rest.split_once("' failed to match any signature")
    {
        return Some(no_such_call(name, ""));
    }
    if let Some((_, types)) = error.split_once("Cannot coerce arithmetic expression ")
        && let Some((types, _)) = types.split_once(" to valid types")
        && let Some((left, op, right)) = operands(types)
    {
        if [left, right].iter().any(|side| matches!(type_name(side), "timestamp" | "date")) {
            return both(
                "a number or a text cannot be added to a time or subtracted from it",
                "write an interval: now() - INTERVAL '1 hour'",
            );
        }
        return Some((
            format!("{op} cannot be computed of a {} and a {}", type_name(left), type_name(right)),
            "cast one of them, for example x::bigint, or join texts by ||".to_owned(),
        ));
    }
    if error.contains("does not support logical expression WindowFunction") {
        return both(
            "a window function cannot be in WHERE, GROUP BY or HAVING",
            "write QUALIFY row_number() OVER (…) = 1, or filter the rows of a subquery",
        );
    }
    if error.contains("`retract_batch` is not implemented") {
        return both(
            "this aggregate cannot be computed over a window frame whose beginning moves",
            "begin the frame at UNBOUNDED PRECEDING",
        );
    }
    if error.contains("There is only support Literal types for field") {
        return both(
            "the offset and the default of lag, lead and nth_value must be constants",
            "write a number, such as lag(seq, 2)",
        );
    }
    if error.ends_with("Divide by zero error") {
        return both("a number is divided by zero", "write x / NULLIF(y, 0), which gives NULL there");
    }
    if let Some((_, rest)) = error.split_once("Placeholder '")
        && let Some((name, _)) = rest.split_once("' was not provided a value")
    {
        return Some((
            format!("the parameter {name} has no value"),
            format!(
                "at the prompt, `\\set {} VALUE` sets it; a program passes it with the query",
                name.trim_start_matches('$')
            ),
        ));
    }
    None
}

/// The error for a function with arguments of wrong types.
fn no_such_call(name: &str, types: &str) -> (String, String) {
    let types: Vec<_> = split_types(types).into_iter().map(type_name).collect();
    let with =
        if types.is_empty() { "these arguments".to_owned() } else { format!("({})", types.join(", ")) };
    (
        format!("{name}() cannot be called with {with}"),
        "cast an argument, for example x::text or x::bigint".to_owned(),
    )
}

/// Splits the names of types at the commas that are in no parentheses.
fn split_types(types: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let parts = types.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The operands and the operator of `Int64 + Utf8`.
fn operands(types: &str) -> Option<(&str, &str, &str)> {
    [" + ", " - ", " * ", " / ", " % "].into_iter().find_map(|op| {
        let (left, right) = types.split_once(op)?;
        Some((left, op.trim(), right))
    })
}

/// The name in SQL of a type of the engine.
fn type_name(of: &str) -> &str {
    match of.split('(').next().unwrap_or(of) {
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" => "bigint",
        "Float16" | "Float32" | "Float64" => "double",
        "Decimal128" | "Decimal256" => "decimal",
        "Boolean" => "boolean",
        "Timestamp" => "timestamp",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time",
        "Interval" => "interval",
        "Duration" => "duration",
        "List" | "LargeList" | "FixedSizeList" => "list",
        "Struct" => "struct",
        "Null" => "NULL",
        _ => of,
    }
}

/// The error of a query that needs more than its memory, in other words.
pub(super) fn out_of_memory(error: &str) -> Option<String> {
    let (_, rest) = error.split_once("Failed to allocate additional ")?;
    let (more, rest) = rest.split_once(" for ")?;
    let (consumer, rest) = rest.split_once(" with ")?;
    let (has, rest) = rest.split_once(" already allocated")?;
    let all = rest.split_once("pool_size: ").and_then(|(_, rest)| rest.split_once(')')).map(|(all, _)| all);
    let parts = [
        ("Sort", "a sort"),
        ("TopK", "a sort"),
        ("Join", "a join"),
        ("Aggregate", "GROUP BY or an aggregate"),
    ];
    let part = parts.iter().find(|(name, _)| consumer.contains(name)).map_or(consumer, |(_, part)| part);
    let memory = all.map(|all| format!(" of {all}")).unwrap_or_default();
    Some(format!("the query needs more than its memory{memory}: {part} has {has} and needs {more} more"))
}

/// The panic of Arrow for an array of texts that is larger than its offsets can say, in other words.
pub(super) fn too_long(panic: &str) -> Option<&'static str> {
    panic.contains("offset overflow").then_some(
        "the texts of one batch of rows are larger than 2 GB; shorten them, for example by left(error, 1000)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_engine_name_no_types_of_its_own() {
        let said = |error: &str| of_engine(error).map(|(what, _)| what);
        let call = "Failed to coerce … No function matches the given name and argument types 'to_char(Timestamp(ns, \"UTC\"), \
                    Int64)'. You might need to add explicit type casts.";
        let plain = "to_char() cannot be called with (timestamp, bigint)";
        assert_eq!(said(call).as_deref(), Some(plain));
        let added = "Cannot coerce arithmetic expression Int64 + Utf8View to valid types";
        assert_eq!(said(added).as_deref(), Some("+ cannot be computed of a bigint and a text"));
        assert_eq!(
            said("Placeholder '$a' was not provided a value").as_deref(),
            Some("the parameter $a has no value")
        );
        assert_eq!(said("there is no table x"), None);
    }

    #[test]
    fn a_query_without_memory_says_which_part_needs_it() {
        let pool = "Resources exhausted: Additional allocation failed for a window with top memory consumers (across reservations) as:\n  \
                    a window#2(can spill: false) consumed 2046.3 MB, peak 2046.3 MB.\nError: Failed to allocate additional 2.0 MB for \
                    a window with 2046.3 MB already allocated for this reservation - 1767.0 KB remain available for the total \
                    memory pool: fair(pool_size: 2.0 GB)";
        let plain =
            "the query needs more than its memory of 2.0 GB: a window has 2046.3 MB and needs 2.0 MB more";
        assert_eq!(out_of_memory(pool).as_deref(), Some(plain));
        let join = pool.replace("for a window with 2046.3", "for NestedLoopJoinLoad[0] with 2046.3");
        assert!(out_of_memory(&join).unwrap().contains(": a join has 2046.3 MB"));
        assert_eq!(out_of_memory("values of 300 MB would be repeated"), None);
    }

    #[test]
    fn the_names_of_kinds_are_left_out() {
        assert_eq!(reason("Arrow error: Compute error: Divide by zero"), "Divide by zero");
        assert_eq!(reason("This feature is not implemented: x"), "not supported: x");
        assert_eq!(reason("there is no table"), "there is no table");
    }

    #[test]
    fn mistakes_are_said_with_what_to_write_instead() {
        let grouped = "Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column \
                       \"events.seq\" must appear in the GROUP BY clause or must be part of an aggregate function";
        let (what, instead) = explained(grouped, "SELECT seq, count(*) FROM events").unwrap();
        assert_eq!(what, "seq is neither in GROUP BY nor in an aggregate");
        assert_eq!(instead, "write GROUP BY seq, or an aggregate such as max(seq)");
        let quoted = "No field named \"ActorCrashed\". Valid fields are events.at";
        let sql = "SELECT 1 FROM events WHERE event_type = \"ActorCrashed\"";
        assert_eq!(explained(quoted, sql).unwrap().1, "a text has single quotes: 'ActorCrashed'");
        assert_eq!(explained(quoted, "SELECT ActorCrashed FROM events"), None);
        let time =
            "Cannot infer common argument type for comparison operation Timestamp(ns, \"UTC\") > Int64";
        assert!(explained(time, "").unwrap().1.contains("to_timestamp"));
        assert_eq!(
            explained("Cannot infer common argument type for comparison operation Utf8 > Int64", ""),
            None
        );
    }
}
