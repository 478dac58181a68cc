//! `ostracon import`: facts from NDJSON files.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::{Import, ImportReport, Kind, RedisStreams, Store, UnixNanos};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use super::scan::counted;
use super::{StoreArg, grouped, say};

/// How many malformed lines are told one by one.
const MOST_TOLD: u64 = 20;

/// Import facts from files of JSON lines, as Papyra's JSON backend writes them, or from its Redis.
///
/// The store is created if there is none. Lines that are no facts are counted and named by their
/// number; --rejects keeps them aside. Where no line is a fact, that is a failure. An import that was cut short leaves a prefix of the file
/// in the store; importing the file again goes on behind it, recognising the file by its content.
/// So a file that has grown is completed, and one that was imported is not doubled. Of Redis, what has
/// come since the last import is taken, known by the server's address and the entries' names.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon import facts/ events.ndjson --rejects bad.ndjson\n  zcat old.ndjson.gz | ostracon import facts/ -\n  ostracon import facts/ --rotated papyra.ndjson\n  ostracon import facts/ redis://localhost:6379/0"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[arg(
        required = true,
        value_name = "FILE",
        help = "The files to import; - for standard input; redis://localhost:6379/0 for what Papyra's Redis backend \
                has there"
    )]
    files: Vec<PathBuf>,
    /// First what the rotating backend has left beside each file: FILE.2, FILE.1, oldest first
    #[arg(long)]
    rotated: bool,
    /// Of Redis, the prefix of the keys
    #[arg(long, value_name = "TEXT", default_value = "papyra")]
    prefix: String,
    /// Of Redis, this actor system only
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// Add the lines that are no facts to this file, byte for byte
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// When the clock of the timestamps started, those that are no dates, as 2026-11-23T08:00:00Z
    #[arg(long, value_name = "INSTANT")]
    epoch: Option<jiff::Timestamp>,
    /// Import everything, also what was imported before
    #[arg(long)]
    again: bool,
    /// Fail if any line is no fact; the others are imported all the same
    #[arg(long)]
    strict: bool,
}

/// How every file that gzip made begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut inputs = Vec::new();
    for file in &args.files {
        match file.to_str().filter(|url| is_redis(url)) {
            Some(url) => inputs.push(Input::Redis(url.to_owned())),
            None if args.rotated => inputs.extend(crate::rotated_files(file)?.into_iter().map(Input::File)),
            None => {
                if let Some(older) =
                    crate::rotated_files(file).ok().and_then(|files| files.into_iter().next())
                    && older != *file
                {
                    say(&format!(
                        "{} lies beside it; --rotated imports what was rotated, too",
                        older.display()
                    ));
                }
                inputs.push(Input::File(file.clone()));
            }
        }
    }
    for input in &inputs {
        input.check(args.rejects.as_deref())?;
    }
    let store = Store::open(&args.store.store)?;
    let (mut refused, mut facts, mut resumed) = (0, 0, 0);
    for input in &inputs {
        let report = input.import(&store, args)?;
        refused += report.rejected;
        facts += report.total();
        resumed += report.resumed_after;
    }
    store.close()?;
    // The rest of a file that has grown may be a line that is still being written.
    let none = facts == 0 && resumed == 0;
    refuse(refused, refused + facts, none || args.strict)
}

fn is_redis(url: &str) -> bool {
    ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| url.starts_with(scheme))
}

/// Something to import.
enum Input {
    File(PathBuf),
    Redis(String),
}

impl Input {
    /// For people; what may be secret in an address is left out.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Redis(url) => {
                let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
                place.split('?').next().unwrap_or_default().to_owned()
            }
        }
    }

    /// Refuses what cannot be imported, before anything is.
    fn check(&self, rejects: Option<&Path>) -> anyhow::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        if path.as_os_str() == "-" {
            return Ok(());
        }
        let attempt = || format!("cannot open {}", path.display());
        let metadata = std::fs::metadata(path).with_context(attempt)?;
        // A pipe is opened once only.
        if metadata.is_file() {
            let mut begin = [0; GZIP.len()];
            let is_gzip =
                File::open(path).with_context(attempt)?.read_exact(&mut begin).is_ok() && begin == GZIP;
            anyhow::ensure!(
                !is_gzip,
                "cannot import {path}: this is gzip; import what is in it: zcat {path} | ostracon import STORE -",
                path = path.display()
            );
        }
        anyhow::ensure!(!metadata.is_dir(), "{} is a folder; import its files one by one", path.display());
        let Some(rejects) = rejects else { return Ok(()) };
        let same = std::fs::canonicalize(rejects)
            .is_ok_and(|rejects| Some(rejects) == std::fs::canonicalize(path).ok());
        anyhow::ensure!(
            !same,
            "{} is the file to import; keep its malformed lines in another",
            rejects.display()
        );
        Ok(())
    }

    fn import(&self, store: &Store, args: &Args) -> anyhow::Result<ImportReport> {
        let begun = Instant::now();
        let (reader, size): (Box<dyn Read + Send>, Option<u64>) = match self {
            Self::File(path) if path.as_os_str() == "-" => (Box::new(io::stdin()), None),
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                let size = file.metadata()?;
                (Box::new(file), size.is_file().then_some(size.len()))
            }
            Self::Redis(_) => (Box::new(io::empty()), None),
        };
        let mut rejects = args.rejects.as_deref().map(open_rejects).transpose()?;
        let progress = progress(size);
        let told = Rc::new(RefCell::new(0_u64));
        let name = self.name();
        let mut import = Import::named(name.clone())
            .again(args.again)
            .on_progress(|report| progress.set_position(report.bytes))
            .on_reject({
                let told = Rc::clone(&told);
                let (progress, is_file) = (progress.clone(), matches!(self, Self::File(_)));
                move |reject| {
                    let mut told = told.borrow_mut();
                    *told += 1;
                    if *told <= MOST_TOLD {
                        let place = if is_file { format!("{name}:{}: ", reject.line) } else { String::new() };
                        progress.suspend(|| say(&format!("{place}{}", reject.reason)));
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
        let result = match self {
            Self::File(_) => store.import(reader, import),
            Self::Redis(url) => {
                let mut streams = RedisStreams::at(url).prefix(&args.prefix);
                if let Some(system) = &args.system {
                    streams = streams.system(system);
                }
                store.import_redis(&streams, import)
            }
        };
        progress.finish_and_clear();
        let report = result?;
        let more = told.borrow().saturating_sub(MOST_TOLD);
        if more > 0 {
            say(&format!("… and {} that are no facts", counted(more, "more line")));
        }
        let of =
            if args.files.len() > 1 || args.rotated { format!("{}: ", self.name()) } else { String::new() };
        say(&format!("{of}{}", summary(&report, begun)));
        Ok(report)
    }
}

/// Fails because lines were refused, if that is a failure.
pub(super) fn refuse(refused: u64, of: u64, is_failure: bool) -> anyhow::Result<()> {
    if refused == 0 || !is_failure {
        return Ok(());
    }
    let were = if refused == 1 { "was" } else { "were" };
    let all = if refused == of { "all of ".to_owned() } else { format!("{} of ", grouped(refused)) };
    if of == 1 {
        anyhow::bail!("the only line was refused");
    }
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
