//! `ostracon scan`: checks whether a store is whole.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use ostracon::{Affected, Anomaly, ScanDepth, ScanOptions, ScanReport, scan};
use serde::Serialize;

use super::arguments::StoreArg;
use super::print::grouped;
use super::sanitize::{visible, write_result};

/// The exit code if a check found anomalies.
pub(super) const ANOMALIES: u8 = 2;
/// The number of fact ranges that are listed for one anomaly.
const MOST_SPANS: usize = 3;

/// Check whether a store is whole, and report what is wrong.
///
/// A quick scan reads every commit and every journal in full, and the size and the footer of each segment. A
/// deep scan reads every byte and decodes every row. A scan changes nothing, and may run while writers work.
/// The report lists harmless leftovers of crashes separately.
///
/// The exit code is 0 for a whole store, 2 for a store with anomalies, and 1 if the scan failed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon scan facts/ --deep")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Read every byte, and decode every row
    #[arg(long)]
    deep: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ScanJson<'a> {
    clean: bool,
    #[serde(flatten)]
    report: &'a ScanReport,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let depth = if args.deep { ScanDepth::Deep } else { ScanDepth::Quick };
    let progress = progress(args.deep);
    let options = ScanOptions::new(depth).on_progress(|now| {
        progress.set_length(now.of);
        progress.set_position(now.bytes);
    });
    let result = scan(&args.store.store, options);
    progress.finish_and_clear();
    let report = result?;
    let text = if args.json {
        let json = ScanJson { clean: report.is_clean(), report: &report };
        serde_json::to_string_pretty(&json)? + "\n"
    } else {
        text(&report, args.deep)
    };
    write_result(&text)?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(ANOMALIES) })
}

fn progress(deep: bool) -> ProgressBar {
    if !deep || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A report for people.
pub(super) fn text(report: &ScanReport, deep: bool) -> String {
    let mut out = String::new();
    for anomaly in &report.anomalies {
        out += &anomaly_text(anomaly);
        out.push('\n');
    }
    if !report.debris.is_empty() {
        out += "harmless:\n";
        for debris in &report.debris {
            let (path, what) = (visible(&debris.path), visible(&debris.what));
            out += &format!("  {path}: {what} ({} bytes)\n", grouped(debris.bytes));
        }
        out.push('\n');
    }
    if !report.notes.is_empty() {
        out += "worth knowing:\n";
        for note in &report.notes {
            out += &format!("  {}: {}\n", visible(&note.path), visible(&note.what));
        }
        out.push('\n');
    }
    out += &match report.anomalies.len() {
        0 => "no anomalies".to_owned(),
        1 => "1 anomaly".to_owned(),
        n => format!("{} anomalies", grouped(n as u64)),
    };
    out += &format!(
        " in {}, {} and {}; {} scan, {} bytes read in {:.1} s\n",
        counted(report.commits, "commit"),
        counted(report.segments, "segment"),
        counted(report.journals, "journal file"),
        if deep { "deep" } else { "quick" },
        grouped(report.bytes),
        report.elapsed.as_secs_f64()
    );
    out
}

/// `1 commit`, `2 commits`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// An anomaly: its kind and path, what was expected and found, which facts it concerns, and what `recover`
/// would do.
pub(super) fn anomaly_text(anomaly: &Anomaly) -> String {
    let mut out = format!("{} {}\n", anomaly.kind, visible(&anomaly.path));
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            out += &format!("  {name:<9} {}\n", visible(text));
        }
    };
    line("expected", &anomaly.expected);
    line("found", &anomaly.found);
    line("facts", &facts(&anomaly.affected));
    line("recover", &anomaly.remedy);
    out
}

/// The end of a list for people that leaves ranges out.
pub(super) fn more_ranges(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", and 1 more range (--json lists all)".to_owned(),
        more => format!(", and {more} more ranges (--json lists all)"),
    }
}

fn facts(affected: &Affected) -> String {
    let mut parts = Vec::new();
    let kind = affected.kind.map_or("facts", |kind| kind.table()).replace('_', " ");
    match affected.facts {
        Some(facts) => parts.push(format!("{} {kind}", grouped(facts))),
        None if !affected.spans.is_empty() => parts.push(format!("some {kind}")),
        None => {}
    }
    let spans: Vec<_> = affected.spans.iter().take(MOST_SPANS).map(ToString::to_string).collect();
    if !spans.is_empty() {
        let more = affected.spans.len() - spans.len();
        let more = more_ranges(more);
        parts.push(format!("among {}{more}", spans.join(", ")));
    }
    if let Some((first, last)) = affected.recorded_at {
        parts.push(format!("recorded from {first} to {last}"));
    }
    parts.join(", ")
}
