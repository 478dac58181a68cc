//! Help: commands, tables, functions.

use std::sync::Arc;

use crate::QueryOptions;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};

use super::super::names::{meant, nearest, texts};
use super::super::session::Session;
use super::{ALL, Next};

pub(super) fn help(session: &mut Session, _: &str) -> anyhow::Result<Next> {
    let mut text = String::from(
        "SQL ends with ; and may go over lines. SELECT …; | COMMAND gives the answer to another program.\n\n",
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
            "SELECT columns FROM table WHERE condition GROUP BY columns ORDER BY columns LIMIT n;\n\\d lists the tables. payload->>'key' is a value of a payload, $name a parameter (\\set).\n\nFunctions (\\h NAME tells more):\n{}\n",
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
        let meant = nearest(&name, known.functions.iter().map(String::as_str));
        let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        anyhow::bail!("there is no function {name:?}{meant}");
    }
    super::page(session, &text)
}

/// Functions of our own.
const OURS: [(&str, &str); 2] = [
    ("error_group", "error_group(text): an error without its numbers and names, to group by"),
    ("json_text", "json_text(json, key): the text of a member, which is json->>'key'"),
];

const TABLES: [(&str, &str); 11] = [
    ("events", "what happened to actors"),
    ("audits", "snapshots of a system's counters"),
    ("dead_letters", "messages that reached nobody"),
    ("crashes", "events that are crashes"),
    ("restarts", "events that are restarts"),
    ("actors", "one row for each actor: its state, its counts, its last error"),
    ("store.segments", "the files that facts are in"),
    ("store.commits", "what was done to the store, and by whom"),
    ("store.streams", "the writers, and how far each has come"),
    ("store.unverified", "facts that may not be what was recorded"),
    ("store.metrics", "counters of this process"),
];

const COLUMNS: [(&str, &str); 32] = [
    ("at", "the wall time that people mean"),
    ("system_id", "which actor system"),
    ("actor_address", "which actor"),
    ("event_type", "what happened"),
    ("error", "the error's text, of a crash"),
    ("error_type", "the error's class"),
    ("reason", "why, as the payload says"),
    ("payload", "JSON, as it was recorded"),
    ("recorded_at", "when the store recorded it"),
    ("timestamp", "what the actor system's clock said"),
    ("stream", "which writer recorded it"),
    ("seq", "its number in the stream"),
    ("extra", "JSON of what a line said beyond the columns"),
    ("target", "the actor that was meant"),
    ("message_type", "the message's class"),
    ("total_actors", "actors in all"),
    ("alive_actors", "actors that run"),
    ("stopping_actors", "actors that are stopping"),
    ("restarting_actors", "actors that are restarting"),
    ("registry_size", "names in the registry"),
    ("registry_orphans", "registered actors that nobody owns"),
    ("registry_dead", "registered actors that are dead"),
    ("dead_letters_count", "dead letters so far"),
    ("first_seen", "at of its first event"),
    ("last_seen", "at of its last event"),
    ("starts", "how often it started"),
    ("stops", "how often it stopped"),
    ("restarts", "how often it was restarted"),
    ("crashes", "how often it crashed"),
    ("last_event", "what happened to it last"),
    ("last_error", "the error of its last crash"),
    ("state", "running, crashed, stopped or unknown"),
];

pub(super) fn describe(session: &mut Session, name: &str) -> anyhow::Result<Next> {
    if name.is_empty() {
        let (names, meanings) = TABLES.iter().map(|(name, meaning)| (Some(*name), Some(*meaning))).unzip();
        return present(session, vec![("table", names), ("what a row is", meanings)]);
    }
    if !name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '.')) {
        anyhow::bail!("{name:?} is no table");
    }
    let order = match name {
        "events" | "audits" | "dead_letters" | "crashes" | "restarts" => {
            " ORDER BY recorded_at DESC, stream DESC, seq DESC"
        }
        "actors" => " ORDER BY last_seen DESC, actor_address",
        _ => "",
    };
    let sql = format!("SELECT * FROM {name}{order} LIMIT 1");
    let answered = session.runner.collect(&session.store, &sql, session.options()?);
    let (schema, batches) =
        answered.map_err(|error| match meant(&format!("{error:#}"), &session.names.known()) {
            Some(meant) => anyhow::anyhow!("there is no table {name:?}; did you mean {meant}?"),
            None => error,
        })?;
    let mut example = Vec::new();
    for batch in &batches {
        example.extend(texts(batch)?);
    }
    let example = example.first();
    let fields = || schema.fields().iter();
    let columns = fields().map(|field| Some(field.name().as_str())).collect();
    let types: Vec<_> = fields().map(|field| plain(field.data_type())).collect();
    let meanings = fields().map(|field| Some(meaning(field.name()))).collect();
    let examples = (0..schema.fields().len())
        .map(|at| example.and_then(|row| row.get(at)).map(String::as_str))
        .collect();
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

fn meaning(column: &str) -> &'static str {
    COLUMNS.iter().find(|(name, _)| *name == column).map_or("", |(_, meaning)| *meaning)
}

/// A type as SQL calls it.
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
