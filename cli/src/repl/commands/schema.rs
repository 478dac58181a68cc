//! Shows help: commands, tables, functions.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use ostracon::{QueryOptions, nearest};

use super::super::super::print::chain;
use super::super::known_names::texts;
use super::super::session::Session;
use super::column_meanings::{TABLES, meaning};
use super::{ALL, Next};

pub(super) fn help(session: &mut Session, _: &str) -> anyhow::Result<Next> {
    let mut text = String::from(
        "SQL ends with ; and may have several lines. SELECT …; | COMMAND sends the answer to another \
         program.\n\n",
    );
    let called = |command: &super::Command| {
        let name = command.names.first().copied().unwrap_or_default();
        format!("\\{name} {}", command.arguments).trim_end().to_owned()
    };
    for command in ALL {
        text += &format!("  {:<28} {}\n", called(command), command.help);
    }
    text += "\nFor example:\n";
    for command in ALL.iter().filter(|command| !command.arguments.is_empty()) {
        text += &format!("  {}\n", command.example);
    }
    let names: Vec<_> = TABLES.iter().map(|(name, _)| *name).collect();
    text += &format!("\nTables (\\d TABLE shows their columns):\n  {}\n", names.join(", "));
    text += "\nTab completes, Ctrl-R searches the history, Ctrl-C stops a query or clears the line, Ctrl-D leaves.\n";
    super::page(session, &text)
}

pub(super) fn function(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if name.is_empty() {
        let (_, batches) = session.runner.collect(
            &session.store,
            "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1",
            QueryOptions::new(),
        )?;
        let mut names = Vec::new();
        for batch in &batches {
            names.extend(texts(batch)?.into_iter().flatten());
        }
        let text = format!(
            "SELECT columns FROM table WHERE condition GROUP BY columns ORDER BY columns LIMIT n;\n\\d lists \
             the tables. payload->>'key' is a value of a payload, $name a parameter (\\set).\n\nFunctions \
             (\\h NAME explains one):\n{}\n",
            names.join(", ")
        );
        return super::page(session, &text);
    }
    let name = name.trim_end_matches("()").to_lowercase();
    let sql = "SELECT DISTINCT coalesce(syntax_example, routine_name), coalesce(description, '') \
               FROM information_schema.routines WHERE routine_name = $name";
    let (_, batches) =
        session.runner.collect(&session.store, sql, QueryOptions::new().param("name", name.as_str()))?;
    let mut text = String::new();
    for batch in &batches {
        for row in texts(batch)? {
            let [syntax, description] = row.as_slice() else { continue };
            let ours = OURS.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning);
            text += &format!("{syntax}\n    {}\n", ours.unwrap_or(description.trim()));
        }
    }
    if text.is_empty() {
        let known = session.names.known();
        let suggestion = nearest(&name, known.functions.iter().map(String::as_str));
        let suggestion = suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        anyhow::bail!("there is no function {name:?}{suggestion}");
    }
    super::page(session, &text)
}

/// Our own functions.
const OURS: [(&str, &str); 1] =
    [("error_group", "error_group(text): the error without its numbers and names, for grouping")];

/// The number of rows in which the example of a column is searched.
const NEWEST: usize = 200;

pub(super) fn describe(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if name.is_empty() {
        let (names, meanings) = TABLES.iter().map(|(name, meaning)| (Some(*name), Some(*meaning))).unzip();
        return present(session, vec![("table", names), ("meaning of a row", meanings)]);
    }
    if !name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '.')) {
        anyhow::bail!("{name:?} is not the name of a table");
    }
    let sql = match name {
        "events" | "audits" | "dead_letters" | "crashes" | "restarts" => {
            format!("SELECT * FROM {name} ORDER BY recorded_at DESC, stream DESC, seq DESC LIMIT {NEWEST}")
        }
        "actors" => format!("SELECT * FROM actors ORDER BY last_seen DESC, actor_address LIMIT {NEWEST}"),
        // A hold or a drop may be an old commit.
        "store.commits" => "SELECT * FROM store.commits ORDER BY number DESC".to_owned(),
        _ => format!("SELECT * FROM {name} LIMIT {NEWEST}"),
    };
    let answered = session.runner.collect(&session.store, &sql, session.options()?);
    let (schema, batches) = answered.map_err(|error| match chain(&error).split_once("\nDid you mean ") {
        Some((_, suggestion)) => anyhow::anyhow!("there is no table {name:?}; did you mean {suggestion}"),
        None => error,
    })?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(session.style().rows(batch)?);
    }
    // The newest value that is not NULL: NULL is an empty text here.
    let example = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(String::as_str).find(|cell| !cell.is_empty())
    };
    let fields = || schema.fields().iter();
    let columns = fields().map(|field| Some(field.name().as_str())).collect();
    let types: Vec<_> = fields().map(|field| plain(field.data_type())).collect();
    let meanings = fields().map(|field| Some(meaning(name, field.name()))).collect();
    let examples = (0..schema.fields().len()).map(|at| example(at).or(Some(""))).collect();
    present(
        session,
        vec![
            ("column", columns),
            ("type", types.iter().map(|name| Some(name.as_str())).collect()),
            ("meaning", meanings),
            ("example", examples),
        ],
    )
}

/// The SQL name of a type.
fn plain(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::List(of) => format!("{}[]", plain(of.data_type())),
        other => other.to_string(),
    }
}

fn present(session: &mut Session, columns: Vec<(&str, Vec<Option<&str>>)>) -> anyhow::Result<Next> {
    let arrays =
        columns.into_iter().map(|(name, cells)| (name, Arc::new(StringArray::from(cells)) as ArrayRef, true));
    let batch = RecordBatch::try_from_iter_with_nullable(arrays)?;
    let schema: Arc<Schema> = batch.schema();
    session.present(schema, vec![batch])?;
    Ok(Next::Prompt)
}
