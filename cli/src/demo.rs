//! `ostracon demo`: a store to look at, without having one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ostracon::{Answer, Import, QueryOptions, SavedQuery, Store};

use super::batches::Batches;
use super::open::{open_to_read, runtime};
use super::output::{AnswerWriter, Format, Target};
use super::print::{grouped, say};

/// Facts that Papyra recorded.
const SAMPLE: &[u8] = include_bytes!("../data/sample.ndjson");
/// What the ledger calls them.
const NAME: &str = "the demo's sample";
/// The questions that are asked of them, and as many columns of the answer as a narrow terminal has room for.
const ASKED: [(&str, &[&str]); 5] = [
    ("system_overview", &["system_id", "facts", "events", "actors", "running", "crashes", "restarts"]),
    ("crash_summary", &["system_id", "crashes", "restarts", "worst_actor", "top_error_type"]),
    ("error_groups", &["error_group", "crashes", "actors"]),
    ("top_crashers", &["actor_address", "crashes", "last_error"]),
    ("dead_letter_hotspots", &["target", "dead_letters", "top_message_type", "top_message_letters"]),
];
/// Rows of each answer.
const ROWS: usize = 5;

/// Make a store of real facts, and ask it five saved queries.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon demo /tmp/demo && ostracon sql /tmp/demo -c \"SELECT * FROM crashes LIMIT 3\""
)]
pub(super) struct Args {
    /// Where to make the store; a folder that is not there yet
    #[arg(default_value = "ostracon-demo")]
    store: PathBuf,
}

/// `program` is what this one was called as.
pub(super) fn run(args: &Args, program: &str) -> anyhow::Result<()> {
    let runtime = runtime()?;
    if args.store.join("ledger").exists() && !runtime.block_on(is_demo(&args.store))? {
        let store = args.store.display();
        anyhow::bail!(
            "{store} is a store already, and the demo's facts would be among its own; name a folder that is not there \
             yet, as in: ostracon demo {store}-demo"
        );
    }
    let store = Store::open(&args.store)?;
    let report = store.import(SAMPLE, Import::named(NAME))?;
    match report.total() {
        0 => say(&format!("{} has the facts already", args.store.display())),
        facts => say(&format!("imported {} facts into {}", grouped(facts), args.store.display())),
    }
    for (name, columns) in ASKED {
        let query = SavedQuery::find(name)?;
        let mut out = io::stdout();
        writeln!(out, "\n{}: {}", query.title, query.question)?;
        runtime.block_on(async {
            let answer = store.saved_query(name, &[], QueryOptions::new()).await?;
            AnswerWriter::new(beginning(answer, columns).await?)
                .styled(super::sql::style())
                .write(Target::Stdout(Format::Table))
                .await
        })?;
    }
    store.close()?;
    let store = args.store.display();
    say(&format!("\nAsk more at the prompt: {program} {store}\nor so: {program} query {store} last_crashes"));
    Ok(())
}

/// These columns of the first rows of an answer.
async fn beginning(answer: Answer, columns: &[&str]) -> anyhow::Result<Batches> {
    let schema = answer.schema();
    let places = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let mut room = ROWS;
    let mut batches = Vec::new();
    for batch in answer.collect().await? {
        let rows = batch.num_rows().min(room);
        room -= rows;
        batches.push(batch.slice(0, rows).project(&places)?);
    }
    let schema =
        batches.first().map_or_else(|| schema.project(&places).map(Arc::new), |batch| Ok(batch.schema()))?;
    Ok(Batches::kept(schema, batches))
}

/// Whether a store has nothing but what the demo has brought.
async fn is_demo(path: &Path) -> anyhow::Result<bool> {
    let store = open_to_read(path)?;
    let sql = "SELECT (SELECT count(*) FROM store.commits WHERE rows_added > 0 AND action <> 'compact' AND imported_from IS DISTINCT FROM $1) \
               + (SELECT coalesce(sum(unflushed), 0) FROM store.streams)";
    let options = QueryOptions::new().param("1", NAME);
    let rows = store.sql_with(sql, options).await?.rows().await?;
    let others: i64 = rows.first().context("a count has a row")?.get(0)?;
    Ok(others == 0 && store.summary()?.facts() > 0)
}
