//! `ostracon recover`: making a damaged store whole again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ostracon::{Anomaly, AnomalyKind, RecoveryConfig, RecoveryMode, RecoveryReport, ScanReport, Span};

use super::arguments::StoreArg;
use super::print::{grouped, say};
use super::sanitize::write_result;

/// Make a damaged store whole again, and tell what is lost.
///
/// The store is scanned, what the scan names is seen to, and the store is scanned again. Facts
/// that cannot be read any more are noted in the ledger as lost; facts that come from a damaged
/// file, and may not be what was recorded, as unverified. To restore the facts of a lost segment,
/// put its file back where it was, and recover again. The exit code is 0, or 2 if something is
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
    /// As one JSON object, with every finding, file and range
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
    /// Tell every finding, file and range, not only the first of each sort
    #[arg(long)]
    pub(super) verbose: bool,
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
        ostracon::recover(&args.store.store, args.how.config(args.mode.unwrap_or_default(), args.quick))?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        text(&report, args.how.verbose)
    };
    write_result(&text)?;
    if args.mode.is_none() && !report.is_clean() {
        say(
            "nothing was done: without a mode it is only looked; --mode repair, quarantine or rebuild recovers",
        );
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// A report for people: all of it if that is asked for, else what it comes to.
pub(super) fn text(report: &RecoveryReport, verbose: bool) -> String {
    let most = Most::of(verbose);
    let mut text = found("before", &report.scan, verbose);
    let mut line = |what: &str, rest: &str| text.push_str(&format!("{what:<11} {rest}\n"));
    if !report.repaired_files.is_empty() {
        line("repaired", &most.names(report.repaired_files.iter().map(String::as_str)));
    }
    let aside: Vec<_> = report.quarantined_files.iter().map(|path| path.display().to_string()).collect();
    if !aside.is_empty() {
        line("aside", &most.names(aside.iter().map(String::as_str)));
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
            &format!("{} facts in all, of {} files", grouped(report.facts_lost()), report.lost.len()),
        );
    }
    for doubt in report.unverified.iter().take(most.lines) {
        let spans = most.spans(&doubt.spans);
        line("unverified", &format!("{} {} of {}: {spans}", grouped(doubt.facts), doubt.kind, doubt.path));
    }
    if report.unverified.len() > most.lines {
        let all = grouped(report.facts_unverified());
        line("unverified", &format!("{all} facts in all, of {} files", report.unverified.len()));
    }
    for note in report.notes.iter().take(most.lines) {
        line("note", note);
    }
    if report.notes.len() > most.lines {
        line("note", &format!("and {} more notes; --verbose has all", report.notes.len() - most.lines));
    }
    if !report.is_clean() && report.after.anomalies == report.scan.anomalies {
        line("after", "the same");
        return text;
    }
    text + &found("after", &report.after, verbose)
}

/// What a scan found, for people: every finding, or of each sort how many there are and the first ones.
pub(super) fn found(when: &str, scan: &ScanReport, verbose: bool) -> String {
    if scan.is_clean() {
        return format!("{when:<11} nothing is wrong\n");
    }
    let most = Most::of(verbose);
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
            out += &format!("{when:<11} {kind}: and {more} more; --verbose has all\n");
        }
    }
    out
}

/// How much a list for people has.
#[derive(Clone, Copy)]
struct Most {
    lines: usize,
    spans: usize,
}

impl Most {
    const fn of(verbose: bool) -> Self {
        if verbose { Self { lines: usize::MAX, spans: usize::MAX } } else { Self { lines: 3, spans: 3 } }
    }

    fn names<'a>(self, names: impl ExactSizeIterator<Item = &'a str>) -> String {
        let all = names.len();
        let told: Vec<_> = names.take(self.lines).collect();
        match all.saturating_sub(self.lines) {
            0 => told.join(", "),
            more => format!("{} and {} more; --verbose has all", told.join(", "), grouped(more as u64)),
        }
    }

    /// `1:4-6, 2:9`: facts 4 to 6 of stream 1, and fact 9 of stream 2.
    fn spans(self, spans: &[Span]) -> String {
        let one = |span: &Span| {
            let last = if span.first == span.last { String::new() } else { format!("-{}", span.last) };
            format!("{}:{}{last}", span.stream, span.first)
        };
        let told: Vec<_> = spans.iter().take(self.spans).map(one).collect();
        match spans.len().saturating_sub(self.spans) {
            0 => told.join(", "),
            more => {
                format!("{} and {} more ranges; --verbose has all", told.join(", "), grouped(more as u64))
            }
        }
    }
}
