//! `ostracon import`: facts from NDJSON files.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::{Import, ImportReport, Kind, Store, UnixNanos};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::scan::counted;
use super::{StoreArg, grouped, say};

/// How many malformed lines are told one by one.
const MOST_TOLD: u64 = 20;

/// Import facts from a file of JSON lines, as Papyra's JSON backend writes them.
///
/// The store is created if there is none. Lines that are no facts are counted and named by their
/// number; --rejects keeps them aside. Where no line is a fact, that is a failure. An import that was cut short leaves a prefix of the file
/// in the store; importing the file again goes on behind it, recognising the file by its content.
/// So a file that has grown is completed, and one that was imported is not doubled.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon import facts/ events.ndjson --rejects bad.ndjson\n  zcat old.ndjson.gz | ostracon import facts/ -"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The file to import; - for standard input
    file: PathBuf,
    /// Add the lines that are no facts to this file, byte for byte
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// When the clock of the file's timestamps started, as 2026-11-23T08:00:00Z
    #[arg(long, value_name = "INSTANT")]
    epoch: Option<jiff::Timestamp>,
    /// Import everything, also what was imported before
    #[arg(long)]
    again: bool,
    /// Fail if any line is no fact; the others are imported all the same
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    let standard_input = args.file.as_os_str() == "-";
    let (input, size): (Box<dyn Read + Send>, Option<u64>) = if standard_input {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
        let metadata = file.metadata()?;
        anyhow::ensure!(
            !metadata.is_dir(),
            "{} is a folder; import its files one by one",
            args.file.display()
        );
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    if let Some(rejects) = &args.rejects {
        let same = std::fs::canonicalize(rejects)
            .is_ok_and(|rejects| Some(rejects) == std::fs::canonicalize(&args.file).ok());
        anyhow::ensure!(
            !same,
            "{} is the file to import; keep its malformed lines in another",
            rejects.display()
        );
    }
    let store = Store::open(&args.store.store)?;
    let mut rejects = args.rejects.as_deref().map(open_rejects).transpose()?;
    let progress = progress(size);
    let told = Rc::new(RefCell::new(0_u64));
    let name = if standard_input { "-".to_owned() } else { args.file.display().to_string() };
    let mut import = Import::named(name.clone())
        .again(args.again)
        .on_progress(|report| progress.set_position(report.bytes))
        .on_reject({
            let told = Rc::clone(&told);
            let (progress, name) = (progress.clone(), name.clone());
            move |reject| {
                let mut told = told.borrow_mut();
                *told += 1;
                if *told <= MOST_TOLD {
                    progress.suspend(|| say(&format!("{name}:{}: {}", reject.line, reject.reason)));
                }
            }
        });
    if let Some(epoch) = args.epoch {
        let nanos = i64::try_from(epoch.as_nanosecond()).context("the epoch is beyond the year 2262")?;
        import = import.epoch(UnixNanos::new(nanos));
    }
    if let Some(rejects) = &mut rejects {
        import = import.rejects(rejects);
    }
    let result = store.import(input, import);
    progress.finish_and_clear();
    let report = result?;
    store.close()?;
    let more = told.borrow().saturating_sub(MOST_TOLD);
    if more > 0 {
        say(&format!("… and {} that are no facts", counted(more, "more line")));
    }
    say(&summary(&report, begun));
    // The rest of a file that has grown may be a line that is still being written.
    let none = report.total() == 0 && report.resumed_after == 0;
    refuse(report.rejected, report.rejected + report.total(), none || args.strict)
}

/// Fails because lines were refused, if that is a failure.
pub(super) fn refuse(refused: u64, of: u64, is_failure: bool) -> anyhow::Result<()> {
    if refused == 0 || !is_failure {
        return Ok(());
    }
    let were = if refused == 1 { "was" } else { "were" };
    let all = if refused == of { "all of ".to_owned() } else { format!("{} of ", grouped(refused)) };
    anyhow::bail!("{all}{} {were} refused", counted(of, "line"))
}

/// What an earlier run has kept aside stays: an import that goes on does not meet those lines again.
fn open_rejects(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::options().create(true).append(true).open(path);
    Ok(BufWriter::new(file.with_context(|| format!("cannot keep malformed lines in {}", path.display()))?))
}

fn progress(size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, style) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn summary(report: &ImportReport, begun: Instant) -> String {
    let seconds = begun.elapsed().as_secs_f64();
    let kinds: Vec<String> = Kind::ALL
        .into_iter()
        .map(|kind| format!("{} {}", grouped(report.of(kind)), kind.table().replace('_', " ")))
        .collect();
    let mut text =
        format!("imported {} ({}) in {seconds:.1} s", counted(report.total(), "fact"), kinds.join(", "));
    text += &match report.resumed_after {
        0 => String::new(),
        1 => "; the first line was imported before".to_owned(),
        lines => format!("; the first {} lines were imported before", grouped(lines)),
    };
    text += &match report.rejected {
        0 => String::new(),
        1 => "; 1 line is no fact".to_owned(),
        lines => format!("; {} lines are no facts", grouped(lines)),
    };
    text
}
