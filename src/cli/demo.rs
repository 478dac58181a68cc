//! `ostracon demo`: a store to look at, without having one.

use std::io::{self, Write};
use std::path::PathBuf;

use ostracon::{Import, SavedQuery, Store};

use super::output::{Answer, Format, Target};
use super::{grouped, runtime, say};

/// Facts that Papyra recorded.
const SAMPLE: &[u8] = include_bytes!("../../tests/data/sample.ndjson");
/// The questions that are asked of them.
const ASKED: [&str; 5] =
    ["system_overview", "crash_summary", "error_groups", "top_crashers", "dead_letter_hotspots"];

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

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let store = Store::open(&args.store)?;
    let report = store.import(SAMPLE, Import::named("the demo's sample"))?;
    match report.total() {
        0 => say(&format!("{} has the facts already", args.store.display())),
        facts => say(&format!("imported {} facts into {}", grouped(facts), args.store.display())),
    }
    let runtime = runtime()?;
    for name in ASKED {
        let query = SavedQuery::find(name)?;
        let mut out = io::stdout();
        writeln!(out, "\n{}: {}", query.title, query.question)?;
        runtime.block_on(async {
            let frame = store.saved_query(name, &[], ostracon::QueryOptions::new()).await?;
            let stream = frame.execute_stream().await.map_err(ostracon::query_error)?;
            Answer::new(stream).styled(super::ask::style()).write(Target::Stdout(Format::Table)).await
        })?;
    }
    store.close()?;
    say(&format!("\nAsk more: ostracon sql {} -c \"SELECT * FROM crashes LIMIT 3\"", args.store.display()));
    Ok(())
}
