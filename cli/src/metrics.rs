//! `ostracon metrics`: the numbers of a store.

use std::io::{self, Write};

use ostracon::{Kind, Summary};

use super::arguments::StoreArg;
use super::open::open_to_read;
use super::print::grouped;

/// Show the numbers of a store: facts, segments, bytes, streams and commits.
///
/// The numbers cover the whole store, over all processes and all time. The numbers of one process are in the
/// SQL table store.metrics, and in the library's `Store::metrics`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon metrics facts/ --prometheus")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Print the numbers as one JSON object
    #[arg(long, conflicts_with = "prometheus")]
    json: bool,
    /// Print the numbers in the text format of Prometheus
    #[arg(long)]
    prometheus: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let summary = open_to_read(&args.store.store)?.summary()?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json(&summary))?;
    } else if args.prometheus {
        prometheus(&summary, &mut out)?;
    } else {
        for (name, _, value) in figures(&summary) {
            writeln!(out, "{name:<28} {:>20}", grouped(value))?;
        }
    }
    Ok(())
}

/// Name, meaning and value of each figure.
fn figures(summary: &Summary) -> Vec<(String, String, u64)> {
    let mut figures = Vec::new();
    for kind in Kind::ALL {
        let (table, of) = (kind.table(), summary.of(kind));
        figures.push((table.to_owned(), format!("Facts in {table}."), of.facts));
        figures.push((format!("{table}_segments"), format!("Segments of {table}."), of.segments));
        figures.push((
            format!("{table}_segment_bytes"),
            format!("Bytes of the segments of {table}."),
            of.segment_bytes,
        ));
        figures.push((
            format!("{table}_fact_bytes"),
            format!("Bytes that the flushed {table} would have as JSON lines."),
            of.fact_bytes,
        ));
    }
    for (name, meaning, value) in [
        ("facts", "Facts of all kinds.", summary.facts()),
        ("unflushed", "Facts that are in no segment yet.", summary.unflushed),
        ("streams", "Streams that ever had a fact.", summary.streams),
        ("commits", "Commits in the ledger.", summary.commits),
    ] {
        figures.push((name.to_owned(), meaning.to_owned(), value));
    }
    // A number that could not be determined is left out.
    let hidden = "Facts that rules of retention hide until a compaction drops them.";
    figures.extend(summary.hidden().map(|facts| ("hidden".to_owned(), hidden.to_owned(), facts)));
    figures
}

fn json(summary: &Summary) -> String {
    let members: Vec<String> =
        figures(summary).into_iter().map(|(name, _, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

fn prometheus(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    for (name, meaning, value) in figures(summary) {
        writeln!(out, "# HELP ostracon_{name} {meaning}")?;
        writeln!(out, "# TYPE ostracon_{name} gauge")?;
        writeln!(out, "ostracon_{name} {value}")?;
    }
    Ok(())
}
