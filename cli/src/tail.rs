//! `ostracon tail`: prints facts in the store's order, for people and for shippers.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use ostracon::{Cursor, Kind};

use super::arguments::{KindArg, StoreArg};
use super::interrupt;
use super::open::open_to_read;
use super::print::say;

/// How long to wait before a followed store is read again.
const POLL: Duration = Duration::from_millis(200);
/// The number of facts after which the cursor is saved.
const SAVE_EVERY: u64 = 1000;

/// Print facts as JSON lines, in the store's order.
///
/// Each line has Papyra's form, with `stream`, `seq` and `recorded_at` added. The cursor is a position in
/// every stream. It says how far the output has come, and which store it belongs to. The command prints the
/// cursor on stderr at its end, also if a signal ends it, or saves it in a file. A tail that continues from a
/// cursor prints every fact at least once, even if a process was killed.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon tail facts/ --follow --cursor shipped.cursor | ship-to-somewhere"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Wait for new facts instead of ending
    #[arg(short, long)]
    follow: bool,
    /// Print only facts of this kind
    #[arg(long, value_enum)]
    kind: Vec<KindArg>,
    /// Print only facts after this cursor, for example 1:120,2:77, or the cursor that an earlier tail printed
    #[arg(long, value_name = "CURSOR", conflicts_with = "cursor")]
    after: Option<Cursor>,
    /// Continue from the cursor in this file, and save the new cursor there
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::ends_well();
    let store = open_to_read(&args.store.store)?;
    let mut cursor = match (&args.after, &args.cursor) {
        (Some(cursor), _) => cursor.clone(),
        (None, Some(file)) => load(file)?,
        (None, None) => Cursor::start(),
    };
    if let Some(file) = &args.cursor {
        check_room(file)?;
    }
    let kinds: Vec<Kind> = args.kind.iter().map(|kind| kind.kind()).collect();
    let mut out = BufWriter::new(super::sanitize::stdout());
    loop {
        let mut since_saved = 0;
        let facts = store.after(&cursor)?;
        if let Some(file) = &args.cursor
            && !cursor.is_signed()
            && !cursor.is_start()
        {
            say(&format!(
                "the cursor in {} does not name its store, because an older ostracon wrote it. It is taken \
                 as a cursor of this store; the next cursor will name the store",
                file.display()
            ));
        }
        facts.sign(&mut cursor);
        for fact in facts {
            if interrupt::code().is_some() {
                break;
            }
            let fact = fact?;
            if kinds.is_empty() || kinds.contains(&fact.fact.kind()) {
                writeln!(out, "{}", fact.to_line())?;
            }
            cursor.advance(&fact);
            since_saved += 1;
            if since_saved == SAVE_EVERY {
                save(args.cursor.as_deref(), &cursor, &mut out)?;
                since_saved = 0;
            }
        }
        if since_saved > 0 {
            save(args.cursor.as_deref(), &cursor, &mut out)?;
        }
        if args.follow {
            interrupt::sleep(POLL);
        }
        if !args.follow || interrupt::code().is_some() {
            break;
        }
    }
    out.flush()?;
    if args.cursor.is_none() {
        say(&format!("cursor: {cursor}"));
    }
    Ok(interrupt::code().map_or(ExitCode::SUCCESS, ExitCode::from))
}

fn load(file: &Path) -> anyhow::Result<Cursor> {
    match fs::read_to_string(file) {
        Ok(text) => text.parse().with_context(|| format!("cannot read a cursor from {}", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor::start()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Fails if the cursor cannot be saved, before any fact is printed.
fn check_room(file: &Path) -> anyhow::Result<()> {
    let temp = temporary(file);
    fs::File::create(&temp)
        .and_then(|_| fs::remove_file(&temp))
        .with_context(|| format!("cannot save the cursor in {}", file.display()))
}

/// The name under which a cursor is written, before it replaces the file.
fn temporary(file: &Path) -> PathBuf {
    let mut temp = file.as_os_str().to_owned();
    temp.push(".tmp");
    PathBuf::from(temp)
}

/// Saves the cursor, but only after all facts before it have left this process.
fn save(file: Option<&Path>, cursor: &Cursor, out: &mut impl Write) -> anyhow::Result<()> {
    out.flush()?;
    let Some(file) = file else { return Ok(()) };
    let attempt = || format!("cannot save the cursor in {}", file.display());
    let temp = temporary(file);
    let mut written = fs::File::create(&temp).with_context(attempt)?;
    writeln!(written, "{cursor}").with_context(attempt)?;
    written.sync_data().with_context(attempt)?;
    fs::rename(&temp, file).with_context(attempt)
}
