//! `ostracon doctor` and `ostracon startup-check`: check a store before it is used.

use std::collections::BTreeSet;
use std::process::ExitCode;

use ostracon::{RecoveryConfig, RecoveryMode};

use super::arguments::StoreArg;
use super::print::{grouped, say};
use super::recover::{Mode as Recovery, RecoveryArgs, findings, text};
use super::sanitize::write_result;

/// Check whether a store is healthy, and recover it on request.
///
/// The check reads every byte, unless --quick is given. The exit code is 0 if the store is healthy or was
/// recovered, or if --mode ignores what is wrong. It is 1 if something is wrong and --mode is
/// `fail_on_anomaly`, and 2 if something is still wrong after recovery.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon doctor facts/ --mode recover --recovery-mode repair")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    check: Check,
    /// Check sizes, footers and numbers, but do not read every byte
    #[arg(long)]
    quick: bool,
}

/// Check whether an actor system that starts may open a store.
///
/// The modes are the startup modes of the actor system. The check reads sizes, footers and numbers; with
/// --deep it reads every byte. The exit code is 0 if the store may be opened. It is 1 if something is wrong
/// and --mode is `fail_on_anomaly`, and 2 if something is still wrong after recovery.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon startup-check facts/ --mode fail_on_anomaly")]
pub(super) struct StartupCheckArgs {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    check: Check,
    /// Read every byte of the store
    #[arg(long)]
    deep: bool,
}

#[derive(clap::Args)]
struct Check {
    /// The action if something is wrong
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// How far recovery goes with --mode recover. The default is quarantine, into the quarantine folder of
    /// the store unless --quarantine-dir names another
    #[arg(long, value_enum)]
    recovery_mode: Option<Recovery>,
    #[command(flatten)]
    recovery: RecoveryArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Report what is wrong, and succeed
    #[value(name = "ignore")]
    Ignore,
    /// Report what is wrong, and succeed, as `ignore` does
    #[value(name = "scan_only", alias = "scan-only")]
    ScanOnly,
    /// Recover the store
    #[value(name = "recover")]
    Recover,
    /// Report what is wrong, and fail
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
            Some(mode) => check.recovery.config(mode, quick),
            None => check.recovery.default_config(&store.store, quick),
        },
        _ => RecoveryConfig::new(RecoveryMode::Ignore).quick(quick),
    };
    let report = ostracon::recover(&store.store, config)?;
    let text = if check.mode == Mode::Recover && !report.scan.is_clean() {
        text(&report, check.recovery.verbose)
    } else if quick && report.scan.is_clean() {
        "a quick check of sizes, footers and numbers found nothing wrong\n".to_owned()
    } else {
        findings("found", &report.scan, check.recovery.verbose)
    };
    write_result(&text)?;
    // The notes are about harmless findings: nothing is damaged, and all facts are kept.
    for note in &report.after.notes {
        say(&format!("{}: {}", note.path, note.what));
    }
    if quick && report.is_clean() {
        // A quick scan does not apply the rules of retention to facts.
        let doubts = super::open::open_to_read(&store.store).and_then(|store| Ok(store.retention_doubts()?));
        doubts.unwrap_or_default().iter().for_each(|doubt| say(&doubt.to_string()));
    }
    if report.facts_lost() > 0 {
        let folders: BTreeSet<_> = report.quarantined_files.iter().filter_map(|path| path.parent()).collect();
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let folders =
            if folders.is_empty() { String::new() } else { format!("; see {}", folders.join(", ")) };
        let one = report.facts_lost() == 1;
        let facts = if one { "fact is" } else { "facts are" };
        say(&format!("{} {facts} lost{folders}", grouped(report.facts_lost())));
    }
    Ok(match check.mode {
        _ if report.is_clean() => ExitCode::SUCCESS,
        Mode::Ignore | Mode::ScanOnly => {
            say("the anomalies are ignored, as --mode requests");
            ExitCode::SUCCESS
        }
        Mode::FailOnAnomaly => ExitCode::FAILURE,
        Mode::Recover => ExitCode::from(2),
    })
}
