//! `ostracon backup`: a second store with the same facts, while the first is in use.

use std::io::Write;
use std::path::PathBuf;

use ostracon::{BackupOptions, BackupReport, backup};

use super::arguments::StoreArg;
use super::print::grouped;
use super::scan::counted;

/// Make a second store with the same facts, while writers go on.
///
/// A backup is a store: it can be read as it is, and to restore it is to copy it to where it is wanted
/// (`ostracon backup BACKUP STORE`). A new one is there whole or not at all. With --incremental an
/// existing one gets what it lacks, and keeps what its older commits need.
///
/// Segments are linked where the backup is on the same file system: that takes no space, but protects
/// from deletion only, not from the disk. Facts that only memory was promised for (durability
/// "buffered", in another process) are in it once they are in the journal.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon backup facts/ /backup/facts --incremental\n  ostracon backup /backup/facts restored/ --at-commit 42"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Where the backup is made: nothing, or an empty folder, unless --incremental
    target: PathBuf,
    /// Add to the backup that is there already, if there is one
    #[arg(long, conflicts_with = "at_commit")]
    incremental: bool,
    /// The store as it was after this commit (`ostracon head` tells the newest), with the facts that
    /// were in segments then
    #[arg(long, value_name = "NUMBER")]
    at_commit: Option<u64>,
    /// Copy segments also where they could be linked
    #[arg(long)]
    copy: bool,
    /// Read also what is in the backup already, and put again what is damaged
    #[arg(long)]
    verify: bool,
    /// The report as one JSON object
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
        text += &format!("\nleft out: {path} is damaged in the store; `ostracon recover` moves it aside");
    }
    text
}
