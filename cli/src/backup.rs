//! `ostracon backup`: copy a store while it is in use.

use std::io::Write;
use std::path::PathBuf;

use ostracon::{BackupOptions, BackupReport, backup};

use super::arguments::StoreArg;
use super::print::grouped;
use super::scan::counted;

/// Make a second store with identical facts, while writers go on.
///
/// A backup is a store. You can read it directly, or restore it by a backup in the other direction (`ostracon
/// backup BACKUP STORE`). A new backup is complete, or it is not there at all. With --incremental, an
/// existing backup gets the files that it lacks, and keeps the files that its older commits need.
///
/// On one file system, segments are linked. A link takes no space, but it protects only from deletion, not
/// from a broken disk. Facts that another process keeps in memory (durability "buffered") are in the backup
/// once they are in the journal.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon backup facts/ /backup/facts --incremental\n  ostracon backup /backup/facts restored/ --at-commit 42"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The folder of the backup; without --incremental it must be new or empty
    target: PathBuf,
    /// Update the backup if there is one, else make a new one
    #[arg(long, conflicts_with = "at_commit")]
    incremental: bool,
    /// Back up the store as it was after this commit, with the facts that were in segments then; `ostracon
    /// head` prints the newest commit
    #[arg(long, value_name = "NUMBER")]
    at_commit: Option<u64>,
    /// Copy segments even if they could be linked
    #[arg(long)]
    copy: bool,
    /// Also read the files that the backup already has, and replace damaged ones
    #[arg(long)]
    verify: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut options = BackupOptions::new().incremental(args.incremental).copy(args.copy).verify(args.verify);
    if let Some(commit) = args.at_commit {
        options = options.at_commit(commit);
    }
    let report = backup(&args.store.store, &args.target, options)?;
    let text = if args.json { serde_json::to_string_pretty(&report)? } else { text(&report) };
    writeln!(super::sanitize::stdout(), "{text}")?;
    Ok(())
}

fn text(report: &BackupReport) -> String {
    let BackupReport { commit, copied, copied_bytes, linked, kept, unflushed, elapsed, .. } = *report;
    let is_read = if kept == 0 || report.verified { "" } else { " (not read again; --verify reads them)" };
    let mut text = format!(
        "commit {commit}: {} copied ({} bytes), {} linked, {} there already{is_read}; {} in journals; {:.1} s",
        counted(copied, "file"),
        grouped(copied_bytes),
        grouped(linked),
        grouped(kept),
        counted(unflushed, "fact"),
        elapsed.as_secs_f64()
    );
    if report.replaced > 0 {
        let files = counted(report.replaced, "damaged file");
        text += &format!("\n{files} of the backup moved to its quarantine/");
    }
    for path in &report.lost_by_store {
        text += &format!(
            "\nthe backup has facts that the store has lost, in {path}: copy that file into the store, and run `ostracon \
             recover`"
        );
    }
    for path in &report.left_out {
        text +=
            &format!("\nleft out: {path} is damaged in the store; `ostracon recover` moves it to quarantine");
    }
    text
}
