//! `ostracon demo`: a sample store to look at.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use ostracon::{Answer, Import, QueryOptions, SavedQuery, Store};

use super::answer_batches::Batches;
use super::open::{open_to_read, runtime};
use super::output::{AnswerWriter, Format, Target};
use super::print::{grouped, say};

/// Facts that Papyra recorded.
const SAMPLE: &[u8] = include_bytes!("../data/sample.ndjson");
/// The name of this input in the ledger.
const NAME: &str = "the demo's sample";
/// The saved queries of the demo, each with the columns of its answer that fit a narrow terminal.
const QUERIES: [(&str, &[&str]); 5] = [
    ("system_overview", &["system_id", "facts", "events", "actors", "running", "crashes", "restarts"]),
    ("crash_summary", &["system_id", "crashes", "restarts", "worst_actor", "top_error_type"]),
    ("error_groups", &["error_group", "crashes", "actors"]),
    ("top_crashers", &["actor_address", "crashes", "last_error"]),
    ("dead_letter_hotspots", &["target", "dead_letters", "top_message_type", "top_message_letters"]),
];
/// Rows of each answer.
const ROWS: usize = 5;

/// Create a store with real facts, and run five saved queries on it.
///
/// The facts are a sample that Papyra recorded. If the store has them already, only the queries run.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon demo /tmp/demo && ostracon sql /tmp/demo -c \"SELECT * FROM crashes LIMIT 3\""
)]
pub(super) struct Args {
    /// The folder to create the store in
    #[arg(default_value = "ostracon-demo")]
    store: PathBuf,
}

/// Runs the demo. `program` is the name by which this program was called.
pub(super) fn run(args: &Args, program: &str) -> anyhow::Result<()> {
    let runtime = runtime()?;
    if args.store.join("ledger").exists() && !runtime.block_on(is_demo(&args.store))? {
        let store = args.store.display();
        anyhow::bail!(
            "cannot make the demo in {store}: it is already a store with other facts; name a new folder, for \
             example: ostracon demo {store}-demo"
        );
    }
    let store = Store::open(&args.store)?;
    let report = store.import(SAMPLE, Import::named(NAME))?;
    match report.total() {
        0 => say(&format!("{} already has the facts of the demo", args.store.display())),
        facts => say(&format!("imported {} facts into {}", grouped(facts), args.store.display())),
    }
    for (name, columns) in QUERIES {
        let query = SavedQuery::find(name)?;
        let mut out = io::stdout();
        writeln!(out, "\n{}: {}", query.title, query.question)?;
        runtime.block_on(async {
            let answer = store.saved_query(name, &[], QueryOptions::new()).await?;
            AnswerWriter::new(first_rows(answer, columns).await?)
                .styled(super::sql::style())
                .write(Target::Stdout(Format::Table))
                .await
        })?;
    }
    store.close()?;
    let store = args.store.display();
    say(&format!(
        "\nAsk more at the prompt: {program} {store}\nor on the command line: {program} query {store} \
         last_crashes"
    ));
    Ok(())
}

/// The first rows of an answer, with these columns only.
async fn first_rows(answer: Answer, columns: &[&str]) -> anyhow::Result<Batches> {
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
    Ok(Batches::from_memory(schema, batches))
}

/// Whether all facts of a store come from the demo.
async fn is_demo(path: &Path) -> anyhow::Result<bool> {
    let store = open_to_read(path)?;
    let sql = "SELECT (SELECT count(*) FROM store.commits WHERE rows_added > 0 AND action <> 'compact' AND imported_from IS DISTINCT FROM $1) \
               + (SELECT coalesce(sum(unflushed), 0) FROM store.streams)";
    let options = QueryOptions::new().param("1", NAME);
    let rows = store.sql_with(sql, options).await?.rows().await?;
    let others: i64 = rows.first().context("a count has a row")?.get(0)?;
    Ok(others == 0 && store.summary()?.facts() > 0)
}
