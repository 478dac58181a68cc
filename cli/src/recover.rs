//! `ostracon recover`: repairs a damaged store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ostracon::{Anomaly, AnomalyKind, RecoveryConfig, RecoveryMode, RecoveryReport, ScanReport, Span};

use super::arguments::StoreArg;
use super::print::{grouped, say};
use super::sanitize::write_result;

/// Repair a damaged store, and report what is lost.
///
/// The command scans the store, repairs what the scan found, and scans again. The ledger notes facts that can
/// no longer be read as lost. It notes facts as unverified if they come from a damaged file and may not be
/// what was recorded. To restore the facts of a lost segment, put its file back where it was, and recover
/// again. The exit code is 0, or 2 if something is still wrong.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon recover facts/ --mode quarantine --quarantine-dir facts/quarantine"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    recovery: RecoveryArgs,
    /// How far recovery goes; without a mode, nothing is changed
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Scan sizes, footers and numbers, but do not read every byte
    #[arg(long)]
    quick: bool,
    /// Print the report as one JSON object, with every finding, file and range
    #[arg(long)]
    json: bool,
}

/// The options of every command that recovers a store.
#[derive(clap::Args)]
pub(super) struct RecoveryArgs {
    /// The folder for damaged and unknown files. Without it, unknown files go to the quarantine folder of the
    /// store; mode quarantine requires it
    #[arg(long, value_name = "DIR")]
    quarantine_dir: Option<PathBuf>,
    /// Give up facts that may not be what was recorded, instead of keeping them with a note
    #[arg(long)]
    lose_unverified: bool,
    /// List every finding, file and range, not only the first of each kind
    #[arg(long)]
    pub(super) verbose: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum Mode {
    /// Report what is wrong, and change nothing
    #[default]
    Ignore,
    /// Save what can be read, and give up damaged bytes
    Repair,
    /// Repair, but first move every damaged file into the folder that --quarantine-dir names
    Quarantine,
    /// Repair, and begin a new ledger if the old one cannot be repaired
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

impl RecoveryArgs {
    /// The configuration if the user chose no recovery mode: no damaged byte is deleted.
    pub(super) fn default_config(&self, store: &Path, quick: bool) -> RecoveryConfig {
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
    let report = ostracon::recover(
        &args.store.store,
        args.recovery.config(args.mode.unwrap_or_default(), args.quick),
    )?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        text(&report, args.recovery.verbose)
    };
    write_result(&text)?;
    if args.mode.is_none() && !report.is_clean() {
        say(
            "nothing was changed, because no --mode was given; --mode repair, quarantine or rebuild recovers \
             the store",
        );
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// The report for people: all of it if `verbose`, else a summary.
pub(super) fn text(report: &RecoveryReport, verbose: bool) -> String {
    let most = ListLimits::of(verbose);
    let mut text = findings("before", &report.scan, verbose);
    let mut line = |what: &str, rest: &str| text.push_str(&format!("{what:<11} {rest}\n"));
    if !report.repaired_files.is_empty() {
        line("repaired", &most.names(report.repaired_files.iter().map(String::as_str)));
    }
    let quarantined: Vec<_> =
        report.quarantined_files.iter().map(|path| path.display().to_string()).collect();
    if !quarantined.is_empty() {
        line("quarantined", &most.names(quarantined.iter().map(String::as_str)));
    }
    for lost in report.lost.iter().take(most.lines) {
        let kind = lost.kind.map_or("facts", ostracon::Kind::table);
        line(
            "lost",
            &format!("{} {kind} of {}: {}", grouped(lost.facts), lost.path, most.spans(&lost.spans)),
        );
    }
    if report.lost.len() > most.lines {
        line(
            "lost",
            &format!("{} facts in total, from {} files", grouped(report.facts_lost()), report.lost.len()),
        );
    }
    for doubt in report.unverified.iter().take(most.lines) {
        let spans = most.spans(&doubt.spans);
        line("unverified", &format!("{} {} of {}: {spans}", grouped(doubt.facts), doubt.kind, doubt.path));
    }
    if report.unverified.len() > most.lines {
        let all = grouped(report.facts_unverified());
        line("unverified", &format!("{all} facts in total, from {} files", report.unverified.len()));
    }
    for note in report.notes.iter().take(most.lines) {
        line("note", note);
    }
    if report.notes.len() > most.lines {
        line("note", &format!("and {} more notes; --verbose lists all", report.notes.len() - most.lines));
    }
    if !report.is_clean() && report.after.anomalies == report.scan.anomalies {
        line("after", "the same anomalies as before");
        return text;
    }
    text + &findings("after", &report.after, verbose)
}

/// The findings of a scan, for people: all of them if `verbose`, else the first of each kind, and how many
/// more there are.
pub(super) fn findings(when: &str, scan: &ScanReport, verbose: bool) -> String {
    if scan.is_clean() {
        return format!("{when:<11} nothing is wrong\n");
    }
    let most = ListLimits::of(verbose);
    let mut kinds: BTreeMap<AnomalyKind, Vec<&Anomaly>> = BTreeMap::new();
    for anomaly in &scan.anomalies {
        kinds.entry(anomaly.kind).or_default().push(anomaly);
    }
    let mut out = String::new();
    for (kind, anomalies) in kinds {
        for Anomaly { path, expected, found, .. } in anomalies.iter().take(most.lines) {
            out += &format!("{when:<11} {kind}: {path}: expected {expected}, found {found}\n");
        }
        if anomalies.len() > most.lines {
            let more = grouped((anomalies.len() - most.lines) as u64);
            out += &format!("{when:<11} {kind}: and {more} more; --verbose lists all\n");
        }
    }
    out
}

/// How many entries a list for people shows.
#[derive(Clone, Copy)]
struct ListLimits {
    lines: usize,
    spans: usize,
}

impl ListLimits {
    const fn of(verbose: bool) -> Self {
        if verbose { Self { lines: usize::MAX, spans: usize::MAX } } else { Self { lines: 3, spans: 3 } }
    }

    fn names<'a>(self, names: impl ExactSizeIterator<Item = &'a str>) -> String {
        let all = names.len();
        let shown: Vec<_> = names.take(self.lines).collect();
        match all.saturating_sub(self.lines) {
            0 => shown.join(", "),
            more => format!("{} and {} more; --verbose lists all", shown.join(", "), grouped(more as u64)),
        }
    }

    /// `1:4-6, 2:9`: facts 4 to 6 of stream 1, and fact 9 of stream 2.
    fn spans(self, spans: &[Span]) -> String {
        let one = |span: &Span| {
            let last = if span.first == span.last { String::new() } else { format!("-{}", span.last) };
            format!("{}:{}{last}", span.stream, span.first)
        };
        let shown: Vec<_> = spans.iter().take(self.spans).map(one).collect();
        match spans.len().saturating_sub(self.spans) {
            0 => shown.join(", "),
            more => {
                format!("{} and {} more ranges; --verbose lists all", shown.join(", "), grouped(more as u64))
            }
        }
    }
}
