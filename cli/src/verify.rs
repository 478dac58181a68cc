//! `ostracon verify` and `ostracon head`: account for every fact, and prove that the history was not changed.

use std::io::{self, Write};
use std::process::ExitCode;

use ostracon::{Against, BalanceSheet, Changes, Kind, KindBalance, LedgerHead, ScanDepth, verify_at};
use serde::Serialize;

use super::arguments::StoreArg;
use super::open::open_to_read;
use super::print::grouped;
use super::sanitize::write_result;
use super::scan::{ANOMALIES, anomaly_text, counted, more_ranges};

/// Account for every fact, and check the ledger from its first commit on.
///
/// Every recorded fact is kept, hidden by a rule until a compaction drops it, dropped by a named rule, or
/// lost. Every number that was given out belongs to a recorded fact or to a fact that was lost from a journal
/// before its kind was known, or it is unaccounted for since the ledger was rebuilt. The numbers must add up.
/// The rules in ostracon.toml decide which facts are hidden. The contents of segments are read only with
/// --deep.
///
/// With --against, the ledger must also contain the head that you kept elsewhere. A store that was rolled
/// back or rewritten does not contain it. The report then also says what happened to facts after that head.
///
/// The exit code is 0 if all of this holds, and 2 if it does not. It is 3 if all of this holds, but facts
/// were dropped by rules, lost, or read from damaged files after the head of --against. It is 1 if the check
/// could not be completed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon verify facts/ --against \"$(cat head-of-last-month)\"")]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Check that the ledger contains this head, which `ostracon head` printed earlier
    #[arg(long, value_name = "HEAD")]
    against: Option<LedgerHead>,
    /// Also read the contents of all segments, as `ostracon scan --deep` does
    #[arg(long)]
    deep: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Print the number and the digest of the newest commit, to keep elsewhere.
///
/// Later, `ostracon verify --against` checks whether the store still has the history up to this commit.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  ostracon head facts/ > head-of-this-month")]
pub(super) struct HeadArgs {
    #[command(flatten)]
    store: StoreArg,
}

pub(super) fn head(args: &HeadArgs) -> anyhow::Result<()> {
    let head = open_to_read(&args.store.store)?.head()?;
    writeln!(io::stdout().lock(), "{head}")?;
    Ok(())
}

/// The exit code if the history holds, but facts were dropped, lost or read from damaged files after the kept
/// head.
const FACTS_REMOVED: u8 = 3;

#[derive(Serialize)]
struct VerifyJson<'a> {
    sound: bool,
    /// Facts were dropped or lost after the kept head, or may have been changed.
    took_facts: bool,
    #[serde(flatten)]
    sheet: &'a BalanceSheet,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let depth = if args.deep { ScanDepth::Deep } else { ScanDepth::Quick };
    let sheet = verify_at(&args.store.store, args.against.as_ref(), depth)?;
    let text = if args.json {
        serde_json::to_string_pretty(&VerifyJson {
            sound: sheet.is_sound(),
            took_facts: sheet.took_facts(),
            sheet: &sheet,
        })? + "\n"
    } else {
        text(&sheet, args.against.as_ref())
    };
    write_result(&text)?;
    Ok(match (sheet.is_sound(), sheet.took_facts()) {
        (true, false) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(FACTS_REMOVED),
        (false, _) => ExitCode::from(ANOMALIES),
    })
}

fn text(sheet: &BalanceSheet, kept: Option<&LedgerHead>) -> String {
    let mut out = String::new();
    for anomaly in &sheet.anomalies {
        out += &anomaly_text(anomaly);
        out.push('\n');
    }
    out += &table(sheet);
    out.push('\n');
    for unverified in &sheet.unverified {
        let kind = unverified.kind.map_or("facts", Kind::table);
        let facts = unverified.facts.map_or_else(String::new, grouped);
        let spans: Vec<_> = unverified.spans.iter().take(4).map(ToString::to_string).collect();
        let more = more_ranges(unverified.spans.len() - spans.len());
        out += &format!(
            "{facts} {kind} come from a file that is damaged or that no commit names, and may not be what \
             was recorded: {}{more}\n",
            spans.join(", ")
        );
    }
    if let Some(unknown) = &sheet.rebuilt {
        out += &format!("the ledger was rebuilt: it begins with commit {}\n", sheet.root);
        for unknown in unknown {
            out += &format!("  unknown: {unknown}\n");
        }
    }
    for note in &sheet.notes {
        out += &format!("{}\n", note.what);
    }
    match &sheet.head {
        Some(head) => {
            let at = sheet.at.map_or_else(String::new, |at| format!(", made {at}"));
            out += &format!("head {head}{at}\n");
        }
        None => out += "no commit can be read\n",
    }
    if let Some((kept, against)) = kept.zip(sheet.against.as_ref()) {
        out += &verdict(kept, against);
    }
    if let Some(changes) = &sheet.changes {
        out += &since(changes);
    }
    let commits = counted(sheet.commits, "commit");
    out += &match (sheet.is_sound(), sheet.anomalies.len()) {
        (true, _) => {
            let lost =
                sheet.kinds.iter().fold(sheet.lost_from_journals, |sum, of| sum.saturating_add(of.lost));
            let lost = match lost {
                0 => String::new(),
                1 => "; 1 fact is lost".to_owned(),
                lost => format!("; {} facts are lost", grouped(lost)),
            };
            let but = match (sheet.took_facts(), kept) {
                (true, Some(kept)) => format!(
                    "; but facts were dropped, lost or read from damaged files since commit {}",
                    kept.commit
                ),
                _ => String::new(),
            };
            format!(
                "sound: {commits}, each following from the one before, and the numbers add up{lost}{but}\n"
            )
        }
        (false, 0) => "not sound: the store does not have the history of the kept head\n".to_owned(),
        (false, 1) => format!("not sound: 1 anomaly in {commits}\n"),
        (false, n) => format!("not sound: {n} anomalies in {commits}\n"),
    };
    out += if sheet.contents_read {
        "the contents of all segments were read\n"
    } else {
        "the contents of segments were not read; --deep reads them\n"
    };
    out
}

/// What happened to facts after the kept head.
fn since(changes: &Changes) -> String {
    let mut out = String::new();
    let mut line = |facts: u64, what: &str| {
        if facts > 0 {
            out += &format!("  since then: {} {what}\n", counted(facts, "fact"));
        }
    };
    line(changes.recorded(), "recorded");
    for of in &changes.kinds {
        let kind = of.kind.table().replace('_', " ");
        for (rule, facts) in &of.dropped {
            line(*facts, &format!("of {kind} dropped by the rule {rule}"));
        }
        line(of.lost, &format!("of {kind} lost: they could not be read any more"));
        line(of.found, &format!("of {kind} restored, which an earlier repair had lost"));
    }
    line(changes.lost_from_journals, "lost from journals");
    line(changes.unverified, "read from damaged files; they may not be what was recorded");
    for (names, what) in [(&changes.held, "added"), (&changes.released, "released")] {
        for name in names {
            out += &format!("  since then: hold {name:?} {what}\n");
        }
    }
    if out.is_empty() { "  since then: no fact was recorded, dropped or lost\n".to_owned() } else { out }
}

/// The balance sheet: a row for each state of facts, and a column for each kind. Indented rows add up to the
/// row above them.
fn table(sheet: &BalanceSheet) -> String {
    type Numbers = Vec<Option<u64>>;
    let mut rules: Vec<&str> =
        sheet.kinds.iter().flat_map(|of| of.dropped.keys().map(String::as_str)).collect();
    rules.sort_unstable();
    rules.dedup();
    let numbers = |of: fn(&KindBalance) -> Option<u64>| sheet.kinds.iter().map(of).collect::<Numbers>();
    let recorded = numbers(|of| Some(of.recorded));
    let all_recorded = sum(&recorded);
    let mut rows = vec![
        ("recorded".to_owned(), recorded),
        ("  kept".to_owned(), numbers(|of| of.kept)),
        ("  hidden by rules".to_owned(), numbers(|of| of.hidden)),
    ];
    if sheet.kinds.iter().any(|of| of.kept.is_none()) {
        rows.truncate(1);
        rows.push(("  kept, or hidden by rules".to_owned(), numbers(|of| Some(of.live))));
    }
    for rule in rules {
        let dropped = sheet.kinds.iter().map(|of| Some(of.dropped.get(rule).copied().unwrap_or_default()));
        rows.push((format!("  dropped by {rule}"), dropped.collect()));
    }
    rows.push(("  lost".to_owned(), numbers(|of| Some(of.lost))));
    rows.push(("not yet flushed".to_owned(), numbers(|of| Some(of.unflushed))));
    // The kinds of the facts with these numbers are not known.
    let of_any_kind = [
        ("numbers given out", sheet.numbers),
        ("  recorded", all_recorded.unwrap_or_default()),
        ("  lost from journals", sheet.lost_from_journals),
        ("  unaccounted for", sheet.unaccounted),
    ];

    let names = rows.iter().map(|(name, _)| name.as_str()).chain(of_any_kind.iter().map(|(name, _)| *name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
    let mut out = " ".repeat(width);
    sheet.kinds.iter().for_each(|of| out += &format!(" {:>15}", of.kind.table().replace('_', " ")));
    out += &format!(" {:>15}\n", "all");
    for (name, numbers) in rows {
        out += &format!("{name:<width$}");
        let all = sum(&numbers);
        for number in numbers.into_iter().chain([all]) {
            out += &format!(" {:>15}", number.map_or_else(|| "?".to_owned(), grouped));
        }
        out.push('\n');
    }
    let before = width + 16 * sheet.kinds.len();
    for (name, number) in of_any_kind {
        out += &format!("{name:<before$} {:>15}\n", grouped(number));
    }
    out
}

fn sum(numbers: &[Option<u64>]) -> Option<u64> {
    numbers.iter().copied().sum()
}

fn verdict(kept: &LedgerHead, against: &Against) -> String {
    let commit = kept.commit;
    match against {
        Against::Contained { since } => {
            format!("commit {commit} is the kept head; {} since\n", counted(*since, "commit"))
        }
        Against::RolledBack { newest } => {
            format!("rolled back: the kept head is commit {commit}, and the newest commit is {newest}\n")
        }
        Against::Rewritten { found } => format!(
            "rewritten: commit {commit} has digest {found}, and the kept head has {}; or this is another \
             store\n",
            kept.blake3
        ),
        _ => format!("commit {commit}, the kept head, cannot be read here\n"),
    }
}
