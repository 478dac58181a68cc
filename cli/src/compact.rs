//! `ostracon compact`: merges small segments, and drops facts that are not kept.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use ostracon::{CompactOptions, CompactReport, Kind, Store};

use super::arguments::StoreArg;
use super::print::grouped;

/// Merge small segments into large ones, and drop for good the facts that retention does not keep.
///
/// Other processes can record and read facts at the same time. One commit changes the store, at the end.
/// Before that commit, Ctrl-C leaves the store as it was. The next compaction removes the files of the
/// unfinished work, and the files that a query is still reading now.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon compact facts/ --dry-run\n  ostracon compact facts/ --kind events --target-size 256M"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Report what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Compact only this kind: events, audits or dead-letters
    #[arg(long, value_parser = kind)]
    kind: Option<Kind>,
    /// The size that segments should reach: a number of bytes, or a number with K, M or G
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "128M")]
    target_size: u64,
    /// Drop facts even if the clock seems to have jumped ahead
    #[arg(long)]
    insist: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    let named = |kind: &Kind| kind.table() == text.replace('-', "_") || kind.tag() == text.replace('-', "_");
    let found = Kind::ALL.into_iter().find(named);
    found.ok_or_else(|| "use events, audits or dead-letters".to_owned())
}

/// `134217728`, `128M`, `128MiB`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err("a size is a number of bytes, or a number followed by K, M or G".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "a size is a whole number, at least 1 byte and less than 2^64 bytes".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let builder = if args.dry_run {
        Store::builder().access(ostracon::Access::Read)
    } else {
        Store::builder().access(ostracon::Access::Maintain)
    };
    let store = builder.open(&args.store.store)?;
    let bar = progress();
    let mut options = CompactOptions::new()
        .target_bytes(args.target_size)
        .dry_run(args.dry_run)
        .insist(args.insist)
        .on_progress(|progress| {
            bar.set_length(progress.all);
            bar.set_position(progress.done);
        });
    if let Some(kind) = args.kind {
        options = options.kind(kind);
    }
    let report = store.compact(options);
    bar.finish_and_clear();
    let report = report?;
    let mut out = super::sanitize::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{}", report_text(&report))?;
    }
    Ok(())
}

fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} facts {per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The report for people.
fn report_text(report: &CompactReport) -> String {
    let seconds = report.elapsed.as_secs_f64();
    let mut text = match (report.dry_run, report.commit) {
        (true, _) => format!(
            "nothing was changed; after {seconds:.1} s, this is the result that a compaction would have\n"
        ),
        (false, Some(commit)) => format!("compacted in {seconds:.1} s, by commit {commit}\n"),
        (false, None) => format!("nothing to merge and nothing to drop, in {seconds:.1} s\n"),
    };
    let (before, after) = (&report.before, &report.after);
    for (name, before, after) in [
        ("segments", before.segments, after.segments),
        ("facts", before.facts, after.facts),
        ("bytes", before.bytes, after.bytes),
    ] {
        let about = if report.dry_run && name != "facts" { "about " } else { "" };
        text += &format!("{name:<10} {:>16} -> {about}{}\n", grouped(before), grouped(after));
    }
    for dropped in &report.dropped {
        text += &format!(
            "dropped    {:>16} {} ({} bytes) by {}\n",
            grouped(dropped.facts),
            dropped.kind.table().replace('_', " "),
            grouped(dropped.bytes),
            dropped.rule
        );
    }
    for gone in &report.unacknowledged {
        let would_be = if report.dry_run { "would be" } else { "were" };
        text += &format!(
            "warning    {:>16} {} {would_be} dropped before the consumer group {:?} acknowledged them\n",
            grouped(gone.facts),
            gone.kind.table().replace('_', " "),
            gone.group
        );
    }
    if report.files_removed > 0 {
        text += &format!(
            "removed    {:>16} {}, {} bytes\n",
            grouped(report.files_removed),
            files(report.files_removed),
            grouped(report.bytes_freed)
        );
    }
    if report.files_waiting > 0 {
        text += &format!(
            "waiting    {:>16} {}, {} bytes, for queries that may still be reading; the next compaction \
             removes the files that no query reads any more\n",
            grouped(report.files_waiting),
            files(report.files_waiting),
            grouped(report.bytes_waiting)
        );
    }
    text
}

const fn files(number: u64) -> &'static str {
    if number == 1 { "file" } else { "files" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("1", 1), ("64K", 64 << 10), ("128M", 128 << 20), ("2GiB", 2 << 30), ("7 B", 7)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "0", "K", "-1", "1.5M", "1T", "99999999999999999999", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_have_two_names_and_either_dash() {
        for text in ["dead-letters", "dead_letters", "dead_letter", "dead-letter"] {
            assert_eq!(kind(text), Ok(Kind::DeadLetter));
        }
        assert!(kind("facts").is_err());
    }
}
