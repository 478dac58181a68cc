//! `ostracon tail`: facts in the store's order, for people and for shippers.

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

/// How often a followed store is looked at again.
const POLL: Duration = Duration::from_millis(200);
/// After so many facts the cursor is kept.
const KEEP_EVERY: u64 = 1000;

/// Print facts as JSON lines, in the store's order.
///
/// Each line is Papyra's, with `stream`, `seq` and `recorded_at` added. The cursor, a position in every
/// stream, says how far it got, and of which store it is: it is told on stderr at the end, also where a signal
/// ends it, or kept in a file. Going on from it gives every fact at least once, whatever was killed.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon tail facts/ --follow --cursor shipped.cursor | ship-to-somewhere"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Only facts of this kind
    #[arg(long, value_enum)]
    kind: Vec<KindArg>,
    /// Only what comes after this cursor, as 1:120,2:77 or as an earlier tail told it
    #[arg(long, value_name = "CURSOR", conflicts_with = "cursor")]
    after: Option<Cursor>,
    /// Go on from the cursor in this file, and keep it there
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
    let kinds: Vec<Kind> = args.kind.iter().map(|kind| kind.kind()).collect();
    let mut out = BufWriter::new(super::sanitize::stdout());
    loop {
        let mut since_kept = 0;
        let facts = store.after(&cursor)?;
        if let Some(file) = &args.cursor
            && !cursor.is_signed()
            && !cursor.is_start()
        {
            say(&format!(
                "{} does not say of which store it is: an older ostracon wrote it. It is taken for this store's; the \
                 cursor that follows it will say so",
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
            since_kept += 1;
            if since_kept == KEEP_EVERY {
                keep(args.cursor.as_deref(), &cursor, &mut out)?;
                since_kept = 0;
            }
        }
        if since_kept > 0 {
            keep(args.cursor.as_deref(), &cursor, &mut out)?;
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
        Ok(text) => text.parse().with_context(|| format!("cannot go on from {}", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor::start()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Keeps the cursor only after everything before it has left this process.
fn keep(file: Option<&Path>, cursor: &Cursor, out: &mut impl Write) -> anyhow::Result<()> {
    out.flush()?;
    let Some(file) = file else { return Ok(()) };
    let attempt = || format!("cannot keep the cursor in {}", file.display());
    let mut temp = file.as_os_str().to_owned();
    temp.push(".tmp");
    let temp = PathBuf::from(temp);
    let mut written = fs::File::create(&temp).with_context(attempt)?;
    writeln!(written, "{cursor}").with_context(attempt)?;
    written.sync_data().with_context(attempt)?;
    fs::rename(&temp, file).with_context(attempt)
}
