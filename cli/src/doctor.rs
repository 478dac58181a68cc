//! `ostracon doctor` and `ostracon startup-check`: whether a store is fit to be used.

use std::collections::BTreeSet;
use std::process::ExitCode;

use ostracon::{RecoveryConfig, RecoveryMode};

use super::arguments::StoreArg;
use super::print::{grouped, say};
use super::recover::{How, Mode as Recovery, found, text};
use super::sanitize::write_result;

/// Tell whether a store is healthy, and recover it if that is asked for.
///
/// Every byte is looked at. The exit code is 0 if the store is healthy, or was recovered; 1 if
/// something is wrong and --mode is `fail_on_anomaly`; 2 if something is still wrong after
/// recovering.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon doctor facts/ --mode recover --recovery-mode repair")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    check: Check,
    /// Look at sizes, footers and numbers, but not at every byte
    #[arg(long)]
    quick: bool,
}

/// Tell whether a store may be opened by a system that starts, as its startup mode would.
///
/// Sizes, footers and numbers are looked at. The exit code is 0 if the store may be opened; 1 if
/// something is wrong and --mode is `fail_on_anomaly`; 2 if recovering did not help.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon startup-check facts/ --mode fail_on_anomaly")]
pub(super) struct StartupCheckArgs {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    check: Check,
    /// Look at every byte
    #[arg(long)]
    deep: bool,
}

#[derive(clap::Args)]
struct Check {
    /// What to do when something is wrong
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// How far recovering goes, in mode recover; quarantine if not given, into the store's own
    /// quarantine folder unless --quarantine-dir names another
    #[arg(long, value_enum)]
    recovery_mode: Option<Recovery>,
    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Tell, and take it for well
    #[value(name = "ignore")]
    Ignore,
    /// The same
    #[value(name = "scan_only", alias = "scan-only")]
    ScanOnly,
    /// Recover
    #[value(name = "recover")]
    Recover,
    /// Tell, and fail
    #[default]
    #[value(name = "fail_on_anomaly", alias = "fail-on-anomaly")]
    FailOnAnomaly,
}

pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    run(&args.store, &args.check, args.quick)
}

pub(super) fn startup_check(args: &StartupCheckArgs) -> anyhow::Result<ExitCode> {
    run(&args.store, &args.check, !args.deep)
}

fn run(store: &StoreArg, check: &Check, quick: bool) -> anyhow::Result<ExitCode> {
    let config = match check.mode {
        Mode::Recover => match check.recovery_mode {
            Some(mode) => check.how.config(mode, quick),
            None => check.how.gentle(&store.store, quick),
        },
        _ => RecoveryConfig::new(RecoveryMode::Ignore).quick(quick),
    };
    let report = ostracon::recover(&store.store, config)?;
    let text = if check.mode == Mode::Recover && !report.scan.is_clean() {
        text(&report, check.how.verbose)
    } else if quick && report.scan.is_clean() {
        "nothing is wrong by a quick look, of sizes, footers and numbers\n".to_owned()
    } else {
        found("found", &report.scan, check.how.verbose)
    };
    write_result(&text)?;
    // Nothing is damaged by what the notes tell of, and all facts are kept.
    for note in &report.after.notes {
        say(&format!("{}: {}", note.path, note.what));
    }
    if quick && report.is_clean() {
        // A quick scan asks no rule of facts.
        let doubts = super::open::open_to_read(&store.store).and_then(|store| Ok(store.retention_doubts()?));
        doubts.unwrap_or_default().iter().for_each(|doubt| say(&doubt.to_string()));
    }
    if report.facts_lost() > 0 {
        let aside: BTreeSet<_> = report.quarantined_files.iter().filter_map(|path| path.parent()).collect();
        let aside: Vec<_> = aside.iter().map(|folder| folder.display().to_string()).collect();
        let aside = if aside.is_empty() { String::new() } else { format!("; see {}", aside.join(", ")) };
        let one = report.facts_lost() == 1;
        let facts = if one { "fact is" } else { "facts are" };
        say(&format!("{} {facts} lost{aside}", grouped(report.facts_lost())));
    }
    Ok(match check.mode {
        _ if report.is_clean() => ExitCode::SUCCESS,
        Mode::Ignore | Mode::ScanOnly => {
            say("what is wrong was ignored, as the mode says");
            ExitCode::SUCCESS
        }
        Mode::FailOnAnomaly => ExitCode::FAILURE,
        Mode::Recover => ExitCode::from(2),
    })
}
