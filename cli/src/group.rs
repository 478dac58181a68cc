//! `ostracon group`: consumer groups, and how far they have come.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use super::arguments::{KindArg, StoreArg};
use super::open::open_to_read;
use super::print::say;
use super::scan::counted;
use ostracon::{FactId, GroupSummary, StartAt, Store};

/// Manage consumer groups: list, create, acknowledge, remove.
///
/// `ostracon consume` delivers facts to a group. The store remembers how far each group has come, and which
/// delivered facts are still pending.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon group list facts/\n  ostracon group ack facts/ shippers 1:120 1:121"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(ListArgs),
    Create(CreateArgs),
    Ack(AckArgs),
    Remove(RemoveArgs),
}

/// List the groups and their pending facts
#[derive(clap::Args)]
struct ListArgs {
    #[command(flatten)]
    store: StoreArg,
    /// Print the list as one JSON array
    #[arg(long)]
    json: bool,
}

/// A group of a store.
#[derive(clap::Args)]
struct GroupArg {
    #[command(flatten)]
    store: StoreArg,
    /// The name of the group
    group: String,
    /// The kind of facts that the group consumes
    #[arg(long, value_enum, default_value = "events")]
    kind: KindArg,
}

/// Create a group if it does not exist
#[derive(clap::Args)]
struct CreateArgs {
    #[command(flatten)]
    group: GroupArg,
    /// Where the group begins: 0 (at the first fact), $ (at the next new fact), or after a cursor, for
    /// example 1:120,2:77
    #[arg(long, value_name = "PLACE", default_value = "0")]
    start: StartAt,
}

/// Acknowledge facts that were delivered to a consumer
#[derive(clap::Args)]
struct AckArgs {
    #[command(flatten)]
    group: GroupArg,
    /// The facts to acknowledge, each as stream:seq
    #[arg(required = true)]
    facts: Vec<FactId>,
}

/// Remove a group, and forget how far it has come
#[derive(clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    group: GroupArg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Create(CreateArgs { group, start }) => {
            let store = open(group)?;
            let made = store.consumer_group(group.kind.kind(), &group.group)?.create(start.clone())?;
            let is = if made { "is created" } else { "exists already" };
            say(&format!("the group {:?} {is}", group.group));
            Ok(())
        }
        Command::Ack(AckArgs { group, facts }) => {
            let store = open(group)?;
            let of = store.consumer_group(group.kind.kind(), &group.group)?;
            let acknowledged = of.acknowledge(facts.iter().copied())?;
            let others = facts.len() as u64 - acknowledged.min(facts.len() as u64);
            if acknowledged == 0 {
                anyhow::bail!(
                    "no fact was acknowledged: none of these facts is pending in the group {:?}",
                    group.group
                );
            }
            say(&format!("{} acknowledged", counted(acknowledged, "fact")));
            if others > 0 {
                say(&format!("{} not pending", counted(others, "fact")));
            }
            Ok(())
        }
        Command::Remove(RemoveArgs { group }) => {
            let store = open(group)?;
            let removed = store.consumer_group(group.kind.kind(), &group.group)?.remove()?;
            let why = || {
                format!(
                    "cannot remove the group {:?} of {}: there is no such group",
                    group.group,
                    group.kind.kind()
                )
            };
            removed.then_some(()).with_context(why)?;
            say(&format!("the group {:?} is removed", group.group));
            Ok(())
        }
    }
}

fn open(group: &GroupArg) -> ostracon::Result<Store> {
    Store::builder().access(ostracon::Access::Maintain).open(&group.store.store)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let store = open_to_read(&args.store.store)?;
    let summaries = store.consumer_summaries()?;
    let mut out = super::sanitize::stdout();
    if args.json {
        let all: Vec<_> = summaries.iter().map(as_json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    if summaries.is_empty() {
        say("there are no consumer groups");
    }
    for GroupSummary { kind, group, delivered, pending, consumers, .. } in summaries {
        let delivered = delivered.to_string();
        let place = if delivered.is_empty() { "the beginning" } else { &delivered };
        writeln!(out, "{group} ({kind})")?;
        writeln!(out, "  place      {place}")?;
        writeln!(out, "  pending    {}", counted(pending, "fact"))?;
        for consumer in consumers {
            let (pending, idle) = (counted(consumer.pending, "fact"), duration_text(consumer.longest_idle));
            writeln!(out, "    {pending} of {}, delivered up to {idle} ago", consumer.consumer)?;
        }
    }
    Ok(())
}

/// A length of time, to the second.
fn duration_text(idle: Duration) -> String {
    let seconds = i64::try_from(idle.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

fn as_json(summary: &GroupSummary) -> serde_json::Value {
    let consumers = summary.consumers.iter().map(|consumer| {
        json!({
            "consumer": consumer.consumer,
            "pending": consumer.pending,
            "longest_idle_seconds": consumer.longest_idle.as_secs_f64(),
        })
    });
    json!({
        "kind": summary.kind.table(),
        "group": summary.group,
        "delivered": summary.delivered.to_string(),
        "pending": summary.pending,
        "first_pending": summary.pending_range.map(|(first, _)| first.to_string()),
        "last_pending": summary.pending_range.map(|(_, last)| last.to_string()),
        "consumers": consumers.collect::<Vec<_>>(),
    })
}
