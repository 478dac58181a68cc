//! `ostracon recover`: making a damaged store whole again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::{Anomaly, RecoveryConfig, RecoveryMode, RecoveryReport, ScanReport, Span};

use super::{StoreArg, grouped, say};

/// Make a damaged store whole again, and tell what is lost.
///
/// The store is scanned, what the scan names is seen to, and the store is scanned again. Facts
/// that cannot be read any more are noted in the ledger as lost; facts that come from a damaged
/// file, and may not be what was recorded, as unverified. The exit code is 0, or 2 if something is
/// still wrong.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon recover facts/ --mode quarantine --quarantine-dir facts/quarantine"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    how: How,
    /// How far to go; without it nothing is done
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Scan sizes, footers and numbers, but not every byte
    #[arg(long)]
    quick: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// What every command that recovers can be told.
#[derive(clap::Args)]
pub(super) struct How {
    /// Where damaged and strange files are moved to. If none is given, strange files go to the
    /// store's own quarantine folder; mode quarantine needs it named
    #[arg(long, value_name = "DIR")]
    quarantine_dir: Option<PathBuf>,
    /// Give facts up that may not be what was recorded, instead of keeping them with a note
    #[arg(long)]
    lose_unverified: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum Mode {
    /// Look, and change nothing
    #[default]
    Ignore,
    /// Save what can be read, and let damaged bytes go
    Repair,
    /// The same, but move every damaged file aside first, to the folder that --quarantine-dir names
    Quarantine,
    /// The same, and begin a ledger again that is beyond help
    Rebuild,
}

impl From<Mode> for RecoveryMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Ignore => Self::Ignore,
            Mode::Repair => Self::Repair,
            Mode::Quarantine => Self::Quarantine,
            Mode::Rebuild => Self::Rebuild,
        }
    }
}

impl How {
    /// As a command recovers of which nobody has said how far it goes: no damaged byte is deleted.
    pub(super) fn gentle(&self, store: &Path, quick: bool) -> RecoveryConfig {
        let config = self.config(Mode::Quarantine, quick);
        match &self.quarantine_dir {
            Some(_) => config,
            None => config.quarantine_dir(store.join("quarantine")),
        }
    }

    pub(super) fn config(&self, mode: Mode, quick: bool) -> RecoveryConfig {
        let config = RecoveryConfig::new(mode.into()).lose_unverified(self.lose_unverified).quick(quick);
        match &self.quarantine_dir {
            Some(folder) => config.quarantine_dir(folder),
            None => config,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report =
        crate::recover(&args.store.store, args.how.config(args.mode.unwrap_or_default(), args.quick))?;
    let mut out = super::harmless::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    if args.mode.is_none() && !report.is_clean() {
        say(
            "nothing was done: without a mode it is only looked; --mode repair, quarantine or rebuild recovers",
        );
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// A report for people.
pub(super) fn text(report: &RecoveryReport) -> String {
    let mut text = found("before", &report.scan);
    let mut line = |what: &str, rest: &str| text.push_str(&format!("{what:<11} {rest}\n"));
    for path in &report.repaired_files {
        line("repaired", path);
    }
    for path in &report.quarantined_files {
        line("aside", &path.display().to_string());
    }
    for lost in &report.lost {
        let kind = lost.kind.map_or("facts", crate::Kind::table);
        let rest = format!("{} {kind} of {}: {}", grouped(lost.facts), lost.path, spans(&lost.spans));
        line("lost", &rest);
    }
    for doubt in &report.unverified {
        let rest =
            format!("{} {} of {}: {}", grouped(doubt.facts), doubt.kind, doubt.path, spans(&doubt.spans));
        line("unverified", &rest);
    }
    for note in &report.notes {
        line("note", note);
    }
    text + &found("after", &report.after)
}

/// What a scan found, for people.
pub(super) fn found(when: &str, scan: &ScanReport) -> String {
    if scan.is_clean() {
        return format!("{when:<11} nothing is wrong\n");
    }
    let mut out = String::new();
    for Anomaly { kind, path, expected, found, .. } in &scan.anomalies {
        out += &format!("{when:<11} {kind}: {path}: expected {expected}, found {found}\n");
    }
    out
}

/// `1:4-6, 2:9`: facts 4 to 6 of stream 1, and fact 9 of stream 2. All of them: a recovery cannot be
/// asked for its report again.
fn spans(spans: &[Span]) -> String {
    let parts: Vec<String> = spans
        .iter()
        .map(|span| {
            if span.first == span.last {
                format!("{}:{}", span.stream, span.first)
            } else {
                format!("{}:{}-{}", span.stream, span.first, span.last)
            }
        })
        .collect();
    parts.join(", ")
}
