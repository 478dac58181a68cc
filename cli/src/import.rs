//! `ostracon import`: imports facts from NDJSON files and from Redis.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use ostracon::{Import, ImportReport, Kind, RedisStreams, Store, UnixNanos, input};

use super::arguments::StoreArg;
use super::print::{grouped, say};
use super::rejects::{ensure_not_input, open_rejects, stdin_metadata};
use super::scan::counted;

/// The text of an input.
type Text = Box<dyn Read + Send>;

/// The number of refused lines that are reported one by one.
const MOST_REPORTED: u64 = 20;

/// Import facts from files of JSON lines, as Papyra's JSON backend writes them, or from Papyra's Redis.
///
/// The store is created if there is none. Input that is packed with gzip or zstd is unpacked. Lines that are
/// not facts are counted, and reported with their number; --rejects keeps them in a file. If no line is a
/// fact, the command fails.
///
/// An interrupted import leaves the first part of the file in the store. Import the file again, and the
/// import continues after that part: it recognises a file by its content. So a file that has grown is
/// completed. A file that was imported, or an earlier state of it, is not imported twice. From Redis, the
/// command imports the entries that arrived after the last import. It recognises them by the address of the
/// server and the names of the entries.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon import facts/ events.ndjson --rejects bad.ndjson\n  ostracon import facts/ old.ndjson.gz\n  ostracon import facts/ --rotated papyra.ndjson\n  ostracon import facts/ redis://localhost:6379/0"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[arg(
        required = true,
        value_name = "FILE",
        help = "The files to import; - is standard input; redis://localhost:6379/0 is the server of Papyra's \
                Redis backend"
    )]
    files: Vec<PathBuf>,
    /// Also import the rotated files of each file, oldest first: FILE.2.gz, FILE.1, FILE
    #[arg(long)]
    rotated: bool,
    /// The prefix of the keys in Redis
    #[arg(long, value_name = "TEXT", default_value = "papyra")]
    prefix: String,
    /// Import only this actor system from Redis
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// Append each line that is not a fact to this file, unchanged
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The instant from which the timestamps count their seconds, if they are not dates; for example
    /// 2026-11-23T08:00:00Z
    #[arg(long, value_name = "INSTANT")]
    epoch: Option<jiff::Timestamp>,
    /// Import every line, also lines that were imported before
    #[arg(long)]
    again: bool,
    /// Fail if any line is not a fact; the other lines are still imported
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let inputs = inputs(args)?;
    let rejects = args.rejects.as_deref();
    let mut held = 0;
    let opened: Vec<OpenedInput> =
        inputs.iter().map(|input| input.check(rejects, &mut held)).collect::<anyhow::Result<_>>()?;
    if args.rotated {
        ensure_settled(args, &inputs, &opened)?;
    }
    let store = Store::open(&args.store.store)?;
    let (mut refused, mut facts, mut resumed) = (0, 0, 0);
    for (input, opened) in inputs.iter().zip(opened) {
        let Some(report) = input.import(&store, opened, args)? else { continue };
        refused += report.rejected;
        facts += report.total();
        resumed += report.resumed_after;
    }
    store.close()?;
    // The new part of a file that has grown may be a line that is still being written.
    let none = facts == 0 && resumed == 0;
    refuse(refused, refused + facts, none || args.strict)
}

/// The inputs that the arguments name, in the order in which they are imported.
fn inputs(args: &Args) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for file in &args.files {
        match file.to_str().filter(|url| is_redis(url)) {
            Some(url) => inputs.push(Input::Redis(url.to_owned())),
            None if args.rotated => {
                inputs.extend(ostracon::input::rotated_files(file)?.into_iter().map(Input::file));
                for unknown in ostracon::input::unknown_rotated_files(file)? {
                    say(&format!(
                        "{} is not imported, because its name has no number of a rotated file; to import it, \
                         name it before the newer files",
                        unknown.display()
                    ));
                }
            }
            None => {
                if let Some(older) =
                    ostracon::input::rotated_files(file).ok().and_then(|files| files.into_iter().next())
                    && older != *file
                {
                    say(&format!(
                        "{} is not imported: it is a rotated file of {}; --rotated imports it, too",
                        older.display(),
                        file.display()
                    ));
                }
                inputs.push(Input::file(file.clone()));
            }
        }
    }
    note_unpacked(&mut inputs);
    Ok(inputs)
}

/// Refuses files that were rotated while they were listed and opened: the import could miss one of them.
fn ensure_settled(args: &Args, inputs: &[Input], opened: &[OpenedInput]) -> anyhow::Result<()> {
    let is_there = |path: &PathBuf| inputs.iter().any(|input| input.path() == Some(path));
    let is_same = |(input, opened): (&Input, &OpenedInput)| {
        let now = || Some(Identity::of(&std::fs::metadata(input.path()?).ok()?));
        opened.identity().is_none_or(|identity| now() == Some(identity))
    };
    let mut is_settled = inputs.iter().zip(opened).all(is_same);
    for file in args.files.iter().filter(|file| !file.to_str().is_some_and(is_redis)) {
        is_settled = is_settled && ostracon::input::rotated_files(file)?.iter().all(is_there);
    }
    anyhow::ensure!(
        is_settled,
        "files were rotated while they were opened, so nothing was imported; run the import again"
    );
    Ok(())
}

/// Notes for each packed file whether its unpacked file is imported, too.
fn note_unpacked(inputs: &mut [Input]) {
    let paths: BTreeSet<PathBuf> = inputs.iter().filter_map(Input::path).cloned().collect();
    for input in inputs {
        if let Input::File { path, unpacked } = input {
            *unpacked = ostracon::input::without_packing(path).filter(|plain| paths.contains(plain));
        }
    }
}

fn is_redis(url: &str) -> bool {
    ["redis://", "rediss://", "redis+unix://", "unix://"].iter().any(|scheme| url.starts_with(scheme))
}

/// An input of an import.
enum Input {
    File {
        path: PathBuf,
        /// The file that this one was packed from, if that is imported, too: the packed file may be
        /// incomplete.
        unpacked: Option<PathBuf>,
    },
    Redis(String),
}

/// An input that can be imported.
enum OpenedInput {
    /// An input that can be opened only once, such as a pipe.
    Text(Text),
    /// A regular file. Even if it is renamed meanwhile, this is the file that the user named.
    File(File),
    /// A regular file that is opened later, because the number of open files is limited. It must still be the
    /// file with this identity.
    Named(Identity),
    Redis,
    /// A packed file that is incomplete, and is not needed.
    Incomplete,
}

impl OpenedInput {
    /// The identity of the file, where it is known.
    fn identity(&self) -> Option<Identity> {
        match self {
            Self::File(file) => file.metadata().ok().as_ref().map(Identity::of),
            Self::Named(identity) => Some(*identity),
            Self::Text(_) | Self::Redis | Self::Incomplete => None,
        }
    }
}

/// The number of files that are held open: a process may open some hundreds.
const MOST_HELD: usize = 64;

impl Input {
    const fn file(path: PathBuf) -> Self {
        Self::File { path, unpacked: None }
    }

    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File { path, .. } => Some(path),
            Self::Redis(_) => None,
        }
    }

    /// The name for messages. It leaves out the part of an address that may be secret.
    fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Redis(url) => {
                let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
                place.split('?').next().unwrap_or_default().to_owned()
            }
        }
    }

    /// Refuses an input that cannot be imported, before anything is imported. Files stay open, because log
    /// files may be renamed at any time.
    fn check(&self, rejects: Option<&Path>, held: &mut usize) -> anyhow::Result<OpenedInput> {
        let Self::File { path, .. } = self else { return Ok(OpenedInput::Redis) };
        let name = self.name();
        if path.as_os_str() == "-" {
            if let Some(rejects) = rejects {
                ensure_not_input(rejects, stdin_metadata().as_ref())?;
            }
            return Ok(OpenedInput::Text(input::text(io::stdin(), &name)?));
        }
        let attempt = || format!("cannot open {}", path.display());
        let metadata = std::fs::metadata(path).with_context(attempt)?;
        anyhow::ensure!(
            !path.join("ledger").is_dir(),
            "cannot import {}: it is a store; the store comes first: ostracon import STORE FILE",
            path.display()
        );
        anyhow::ensure!(
            !metadata.is_dir(),
            "cannot import {}: it is a folder; import its files one by one",
            path.display()
        );
        if let Some(rejects) = rejects {
            ensure_not_input(rejects, Some(&metadata))?;
        }
        let mut file = File::open(path).with_context(attempt)?;
        let metadata = file.metadata().with_context(attempt)?;
        if !metadata.is_file() {
            return Ok(OpenedInput::Text(input::text(file, &name)?));
        }
        match input::text(&file, &name).map(drop).map_err(anyhow::Error::new) {
            Err(error) if self.is_incomplete(&error) => return Ok(OpenedInput::Incomplete),
            checked => checked?,
        }
        if *held >= MOST_HELD {
            return Ok(OpenedInput::Named(Identity::of(&metadata)));
        }
        *held += 1;
        file.rewind().with_context(attempt)?;
        Ok(OpenedInput::File(file))
    }

    /// Whether this error means that the file ends too early and is not needed.
    fn is_incomplete(&self, error: &anyhow::Error) -> bool {
        let Self::File { unpacked: Some(unpacked), .. } = self else { return false };
        // Files of the store may end too early as well.
        let is_of_input = error.to_string().starts_with(&format!("cannot read {}", self.name()));
        let is_incomplete = is_of_input
            && error.downcast_ref::<ostracon::Error>().and_then(ostracon::Error::io_kind)
                == Some(io::ErrorKind::UnexpectedEof);
        if is_incomplete {
            say(&format!("{} is incomplete; {} is imported instead", self.name(), unpacked.display()));
        }
        is_incomplete
    }

    /// Opens a file that was checked before and closed again.
    fn open_again(&self, identity: Identity) -> anyhow::Result<File> {
        let Self::File { path, .. } = self else { anyhow::bail!("{} is not a file", self.name()) };
        let name = path.display();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let is_same = identity == Identity::of(&file.metadata()?);
        anyhow::ensure!(
            is_same,
            "cannot import {name}: it was rotated after this import began; run the import again, and it \
             continues where it stopped"
        );
        Ok(file)
    }

    /// Imports this input. `None` if it is not needed.
    fn import(
        &self,
        store: &Store,
        opened: OpenedInput,
        args: &Args,
    ) -> anyhow::Result<Option<ImportReport>> {
        let (bar, reader): (ProgressBar, Text) = match opened {
            OpenedInput::Incomplete => return Ok(None),
            OpenedInput::Redis => (progress(None), Box::new(io::empty())),
            OpenedInput::Text(text) => {
                let bar = progress(None);
                (bar.clone(), Box::new(bar.wrap_read(text)))
            }
            OpenedInput::File(file) => self.verified(file)?,
            OpenedInput::Named(identity) => self.verified(self.open_again(identity)?)?,
        };
        match self.import_from(store, reader, &bar, args) {
            Err(error) if self.is_incomplete(&error) => Ok(None),
            result => result.map(Some),
        }
    }

    /// A file whose content is correct: the checksum at the end of a packed file may say that its facts are
    /// wrong, so the file is read once before the import.
    fn verified(&self, mut file: File) -> anyhow::Result<(ProgressBar, Text)> {
        let size = file.metadata()?.len();
        let bar = progress(Some(size));
        input::confirm(bar.wrap_read(&file), &self.name())?;
        bar.finish_and_clear();
        file.rewind()?;
        // For a packed file, the bar counts packed bytes.
        let bar = progress(Some(size));
        Ok((bar.clone(), Box::new(bar.wrap_read(file))))
    }

    fn import_from(
        &self,
        store: &Store,
        reader: Text,
        progress: &ProgressBar,
        args: &Args,
    ) -> anyhow::Result<ImportReport> {
        let begun = Instant::now();
        let mut rejects = args.rejects.as_deref().map(open_rejects).transpose()?;
        let reported = Rc::new(RefCell::new(0_u64));
        let name = self.name();
        let mut import = Import::named(name.clone())
            .again(args.again)
            .on_progress(|report| {
                if matches!(self, Self::Redis(_)) {
                    progress.set_position(report.bytes);
                }
            })
            .on_reject({
                let reported = Rc::clone(&reported);
                let (progress, is_file) = (progress.clone(), matches!(self, Self::File { .. }));
                move |reject| {
                    let mut reported = reported.borrow_mut();
                    *reported += 1;
                    if *reported <= MOST_REPORTED {
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
            Self::File { .. } => store.import(reader, import),
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
        let more = reported.borrow().saturating_sub(MOST_REPORTED);
        if more > 0 {
            say(&format!("… and {} that are not facts", counted(more, "more line")));
        }
        let of =
            if args.files.len() > 1 || args.rotated { format!("{}: ", self.name()) } else { String::new() };
        say(&format!("{of}{}", summary(&report, begun, store.lost_facts())));
        Ok(report)
    }
}

/// Fails because lines were refused, if that counts as a failure.
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

/// The identity of a file for the system, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(found: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: found.dev(), inode: found.ino() }
    }

    /// Where files have no numbers, an existing file counts as the right one.
    #[cfg(not(unix))]
    const fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
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

/// A summary of an import, for people. The store has lost this number of facts.
fn summary(report: &ImportReport, begun: Instant, lost: u64) -> String {
    let seconds = begun.elapsed().as_secs_f64();
    let kinds: Vec<String> =
        Kind::ALL.into_iter().map(|kind| counted(report.of(kind), &kind.tag().replace('_', " "))).collect();
    let mut text =
        format!("imported {} ({}) in {seconds:.1} s", counted(report.total(), "fact"), kinds.join(", "));
    text += &match report.resumed_after {
        0 => String::new(),
        1 => "; the first line was imported before".to_owned(),
        lines => format!("; the first {} lines were imported before", grouped(lines)),
    };
    if report.resumed_after > 0 && lost > 0 {
        text += &format!(
            "; this store has lost {} so far: if they came from this input, --again imports every line once \
             more",
            counted(lost, "fact")
        );
    }
    text += &match report.rejected {
        0 => String::new(),
        1 => "; 1 line is not a fact".to_owned(),
        lines => format!("; {} lines are not facts", grouped(lines)),
    };
    text
}
