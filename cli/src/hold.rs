//! `ostracon hold`: protect facts from the rules of retention.

use std::io::Write;

use anyhow::Context;
use ostracon::{Hold, HoldInForce, Store};
use serde_json::json;

use super::arguments::{KindArg, StoreArg};
use super::open::open_to_read;
use super::print::say;
use super::scan::counted;

/// Keep facts that rules of retention would hide or drop.
///
/// A commit in the store's ledger adds or releases a hold, and says who did it, when and why. A hold does not
/// bring back facts that a compaction has dropped.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon hold add facts/ case-4711 --reason 'claim 4711' \\\n    --kind events --where \"actor_address = 'shop:5'\""
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Add(AddArgs),
    Release(ReleaseArgs),
    List(ListArgs),
}

/// Add a hold
#[derive(clap::Args)]
struct AddArgs {
    #[command(flatten)]
    store: StoreArg,
    /// The name of the hold
    name: String,
    /// Hold only facts of this kind
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Hold only facts for which this condition is true, in SQL over the columns of the kind
    #[arg(long = "where", value_name = "SQL")]
    predicate: Option<String>,
    /// The reason for the hold
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The person who adds the hold; the default is the current user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Release a hold
#[derive(clap::Args)]
struct ReleaseArgs {
    #[command(flatten)]
    store: StoreArg,
    /// The name of the hold
    name: String,
    /// The reason for the release
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The person who releases the hold; the default is the current user
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// List the holds in force
#[derive(clap::Args)]
struct ListArgs {
    #[command(flatten)]
    store: StoreArg,
    /// Print the list as one JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Add(args) => add(args),
        Command::Release(args) => release(args),
        Command::List(args) => list(args),
    }
}

fn add(args: &AddArgs) -> anyhow::Result<()> {
    let store = Store::builder().access(ostracon::Access::Maintain).open(&args.store.store)?;
    let mut hold = Hold::new(&args.reason).by(user_name(args.by.as_deref())?);
    hold.kind = args.kind.map(KindArg::kind);
    hold.predicate.clone_from(&args.predicate);
    let (kind, predicate) = (hold.kind, hold.predicate.clone());
    store.hold(&args.name, hold)?;
    let name = &args.name;
    // The hold is in force even if the facts cannot be counted.
    say(&match store.explain_retention(kind, predicate.as_deref()) {
        Ok(explanation) => {
            let (kept, dropped) = explanation.totals();
            let covered = kept + dropped;
            format!("hold {name:?} is in force; it now covers {}", counted(covered, "fact"))
        }
        Err(error) => {
            format!("hold {name:?} is in force; the facts that it covers cannot be counted: {error}")
        }
    });
    Ok(())
}

fn release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let store = Store::builder().access(ostracon::Access::Maintain).open(&args.store.store)?;
    store.release(&args.name, &user_name(args.by.as_deref())?, &args.reason)?;
    say(&format!("hold {:?} is released", args.name));
    Ok(())
}

/// The user who acts: the given name, or the name that the system knows. The ledger keeps the name for ever,
/// so it is never made up.
fn user_name(given: Option<&str>) -> anyhow::Result<String> {
    let named = |name: &&str| std::env::var(name).ok().filter(|user| !user.trim().is_empty());
    let user = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(named);
    let known = given.map(str::to_owned).or_else(user).or_else(owner_of_this_process);
    known
        .filter(|who| !who.trim().is_empty())
        .context("the name of the current user is unknown; name the person with --by")
}

/// The owner of this process: the user name, or the uid if the user has no name, which is common for a
/// service in a container.
#[cfg(unix)]
fn owner_of_this_process() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == uid).then(|| name.to_owned())
    });
    name.or(Some(format!("uid {uid}")))
}

#[cfg(not(unix))]
fn owner_of_this_process() -> Option<String> {
    None
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let holds = open_to_read(&args.store.store)?.holds()?;
    let mut out = super::sanitize::stdout();
    if args.json {
        let holds: Vec<_> = holds.iter().map(as_json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&holds)?)?;
        return Ok(());
    }
    if holds.is_empty() {
        say("there are no holds");
    }
    for HoldInForce { name, hold, since, .. } in holds {
        let kind = hold.kind.map_or("everything", ostracon::Kind::table);
        let since = since.map_or("unknown".to_owned(), |since| since.to_string());
        writeln!(out, "{name}")?;
        match &hold.predicate {
            Some(sql) => writeln!(out, "  covers  {kind} where {sql}")?,
            None => writeln!(out, "  covers  {kind}")?,
        }
        writeln!(out, "  reason  {}", hold.reason)?;
        writeln!(out, "  by      {}", hold.by)?;
        writeln!(out, "  since   {since}")?;
    }
    Ok(())
}

fn as_json(held: &HoldInForce) -> serde_json::Value {
    json!({
        "name": held.name,
        "kind": held.hold.kind.map(ostracon::Kind::table),
        "where": held.hold.predicate,
        "reason": held.hold.reason,
        "by": held.hold.by,
        "since": held.since.map(|since| since.to_string()),
    })
}
