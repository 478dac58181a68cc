//! `ostracon retention`: the rules in force, and what they keep.

use std::io::Write;

use ostracon::{Explanation, Fact, Fate, Recorded, RetentionDoubt, RuleInForce, Store};
use serde_json::json;

use super::arguments::{KindArg, StoreArg};
use super::open::open_to_read;
use super::print::{grouped, say};

/// The number of characters after which a fact in a table is cut.
const MOST_CHARS: usize = 160;

/// Show the rules of retention in force, and what they keep.
///
/// The rules are in the store's ostracon.toml. Facts that they do not keep are hidden from every query, and
/// dropped for good when the store is compacted.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon retention explain facts/ --kind events --where \"event_type = 'ActorCrashed'\""
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the rules in force, and where each of them is written
    Show(ShowArgs),
    /// Count the facts that each rule keeps and would drop, and give examples
    Explain(ExplainArgs),
}

#[derive(clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    store: StoreArg,
    /// Print the rules as one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ExplainArgs {
    #[command(flatten)]
    store: StoreArg,
    /// Count only facts of this kind
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Count only facts for which this condition is true, in SQL over the columns of the kind
    #[arg(long = "where", value_name = "SQL")]
    predicate: Option<String>,
    /// Print the counts as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Show(args) => show(&open_to_read(&args.store.store)?, args),
        Command::Explain(args) => explain(&open_to_read(&args.store.store)?, args),
    }
}

fn show(store: &Store, args: &ShowArgs) -> anyhow::Result<()> {
    let rules = store.retention_rules();
    let doubts = store.retention_doubts()?;
    let of_rule =
        |name: &str| doubts.iter().filter(|doubt| !doubt.is_hold && doubt.name == name).collect::<Vec<_>>();
    let mut out = super::sanitize::stdout();
    if args.json {
        let rules: Vec<_> = rules.iter().map(|rule| rule_as_json(rule, &of_rule(&rule.name))).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rules)?)?;
        return Ok(());
    }
    if rules.is_empty() {
        say("there are no rules: everything is kept");
    }
    for rule in &rules {
        let kind = rule.kind.map_or("all kinds", ostracon::Kind::table);
        writeln!(out, "{}", rule.name)?;
        match &rule.predicate {
            Some(sql) => writeln!(out, "  covers  {kind} where {sql}")?,
            None => writeln!(out, "  covers  {kind}")?,
        }
        writeln!(out, "  keeps   {}", rule.limits)?;
        writeln!(out, "  from    {}", rule.origin)?;
        for doubt in of_rule(&rule.name) {
            writeln!(out, "  doubt   {doubt}")?;
        }
    }
    for held in store.holds()? {
        let kind = held.hold.kind.map_or("everything", ostracon::Kind::table);
        let condition = held.hold.predicate.map(|sql| format!(" where {sql}")).unwrap_or_default();
        writeln!(out, "hold {}\n  covers  {kind}{condition}", held.name)?;
        for doubt in doubts.iter().filter(|doubt| doubt.is_hold && doubt.name == held.name) {
            writeln!(out, "  doubt   {doubt}")?;
        }
    }
    Ok(())
}

fn rule_as_json(rule: &RuleInForce, doubts: &[&RetentionDoubt]) -> serde_json::Value {
    let limits = &rule.limits;
    json!({
        "name": rule.name,
        "kind": rule.kind.map(ostracon::Kind::table),
        "where": rule.predicate,
        "max_age_seconds": limits.max_age.map(|age| age.as_secs()),
        "age_by": match limits.age_by {
            ostracon::AgeBy::RecordedAt => "recorded_at",
            _ => "timestamp",
        },
        "max_records": limits.max_records,
        "max_bytes": limits.max_bytes,
        "keep_at_least": limits.keep_at_least,
        "from": rule.origin,
        "undecided_facts": doubts.iter().map(|doubt| doubt.facts).sum::<u64>(),
        "doubts": doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn explain(store: &Store, args: &ExplainArgs) -> anyhow::Result<()> {
    let explanation = store.explain_retention(args.kind.map(KindArg::kind), args.predicate.as_deref())?;
    let mut out = super::sanitize::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&as_json(&explanation))?)?;
        return Ok(());
    }
    writeln!(out, "{:<20} {:<12} {:>16}", "rule", "fate", "facts")?;
    for fate in &explanation.fates {
        let rule = fate.rule.as_deref().unwrap_or("(no rule)");
        writeln!(out, "{rule:<20} {:<12} {:>16}", fate.outcome, grouped(fate.facts))?;
        for example in &fate.examples {
            writeln!(out, "    {}", line(example))?;
        }
    }
    let (kept, hidden) = explanation.totals();
    let until = if hidden == 0 { "" } else { ": the next compaction drops them" };
    writeln!(out, "{} kept, {} hidden{until}", grouped(kept), grouped(hidden))?;
    Ok(())
}

fn line(example: &Recorded<Fact<'_>>) -> String {
    let position = example.position;
    let fact = example.fact.to_line();
    let mut line = format!("{}:{} recorded {}  ", position.stream, position.seq, position.recorded_at);
    line.extend(fact.chars().take(MOST_CHARS));
    if fact.chars().nth(MOST_CHARS).is_some() {
        line.push('…');
    }
    line
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    let (kept, hidden) = explanation.totals();
    let fate = |fate: &Fate| {
        let examples: Vec<_> = fate
            .examples
            .iter()
            .map(|example| {
                json!({
                    "stream": example.position.stream.get(),
                    "seq": example.position.seq.get(),
                    "recorded_at": example.position.recorded_at.to_string(),
                    "line": example.fact.to_line(),
                })
            })
            .collect();
        json!({
            "rule": fate.rule,
            "fate": fate.outcome.to_string(),
            "kept": fate.outcome.is_kept(),
            "facts": fate.facts,
            "examples": examples,
        })
    };
    json!({
        "now": explanation.now.to_string(),
        "kept": kept,
        "hidden": hidden,
        "fates": explanation.fates.iter().map(fate).collect::<Vec<_>>(),
    })
}
