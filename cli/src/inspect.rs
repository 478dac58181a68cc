//! `ostracon inspect`: shows facts in the form of Papyra's own `inspect`.

use std::io::{BufWriter, Write};

use ostracon::{Audit, DeadLetter, ErrorKind, Event, Fact, Kind, Recorded, Store};

use super::arguments::StoreArg;
use super::open::{open_to_read, runtime};
use super::print::say;
use super::sanitize::visible;

/// Show facts in the form of Papyra's `inspect`.
///
/// The oldest fact comes first. If a part of the store is damaged, the command shows the readable facts, and
/// reports the damage on stderr.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon inspect facts/ events --event-type ActorCrashed --limit 20 --reverse"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The facts to show
    #[arg(value_enum)]
    what: What,
    /// Show only this number of facts: the newest ones
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Show only facts from this timestamp on, in seconds of the actor system's clock
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    since: Option<f64>,
    /// Show only events of this type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Show only dead letters for this target
    #[arg(long, value_name = "ADDRESS")]
    target: Option<String>,
    /// Show the newest fact first
    #[arg(long)]
    reverse: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    /// The events of actors, such as starts and crashes
    Events,
    /// Snapshots of the counters of a system
    Audits,
    /// Messages that reached no actor
    #[value(alias = "dead_letters")]
    DeadLetters,
    /// The latest counters, and the number of dead letters
    Summary,
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not a number of seconds of the actor system's clock; for a date or an hour, run \
             `ostracon sql STORE -c \"SELECT * FROM events WHERE at >= '2026-11-23 10:00'\"`"
        )
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if args.event_type.is_some() && !matches!(args.what, What::Events) {
        anyhow::bail!("--event-type applies only to events: leave it out, or inspect events");
    }
    if args.target.is_some() && !matches!(args.what, What::DeadLetters) {
        anyhow::bail!("--target applies only to dead letters: leave it out, or inspect dead-letters");
    }
    let store = open_to_read(&args.store.store)?;
    let mut out = BufWriter::new(super::sanitize::stdout());
    let kind = match args.what {
        What::Events => Kind::Event,
        What::Audits => Kind::Audit,
        What::DeadLetters => Kind::DeadLetter,
        What::Summary => {
            summary(&store, &mut out)?;
            return Ok(out.flush()?);
        }
    };
    let mut facts = newest(&store, kind, args)?;
    if facts.is_empty() {
        say(&format!("no {} to show", kind.table().replace('_', " ")));
    }
    if args.reverse {
        facts.reverse();
    }
    for found in facts {
        writeln!(out, "{}", visible(&line(&found.fact)))?;
    }
    Ok(out.flush()?)
}

/// The newest facts that match the options. The filters apply before the limit.
fn newest(store: &Store, kind: Kind, args: &Args) -> anyhow::Result<Vec<Recorded<Fact<'static>>>> {
    let wanted = |fact: &Fact<'_>| match fact {
        Fact::Event(event) => args.event_type.as_ref().is_none_or(|wanted| event.event_type == *wanted),
        Fact::DeadLetter(letter) => {
            args.target.as_ref().is_none_or(|wanted| letter.target.as_deref() == Some(wanted))
        }
        _ => true,
    };
    let filters = match kind {
        Kind::Event => args.event_type.is_some(),
        Kind::DeadLetter => args.target.is_some(),
        _ => false,
    };
    let Some(limit) = args.limit.filter(|_| filters) else {
        let mut facts = list(store, kind, args.limit, args.since)?;
        facts.retain(|found| wanted(&found.fact));
        return Ok(facts);
    };
    // Read further back until enough facts match the filters.
    let mut reach = limit.saturating_mul(8).max(1024);
    loop {
        let mut facts = list(store, kind, Some(reach), args.since)?;
        let all = facts.len() < reach;
        facts.retain(|found| wanted(&found.fact));
        if all || facts.len() >= limit {
            let surplus = facts.len().saturating_sub(limit);
            facts.drain(..surplus);
            return Ok(facts);
        }
        reach = reach.saturating_mul(8);
    }
}

/// The newest readable facts. Damage is reported on stderr.
fn list(
    store: &Store,
    kind: Kind,
    limit: Option<usize>,
    since: Option<f64>,
) -> anyhow::Result<Vec<Recorded<Fact<'static>>>> {
    let listed = store.list_readable(kind, limit, since)?;
    for damage in &listed.damage {
        say(&format!("some {kind} may be missing, because a part of the store cannot be read: {damage}"));
    }
    if !listed.damage.is_empty() {
        say(
            "`ostracon scan --deep STORE` shows the damage, and `ostracon recover STORE --mode repair` saves what can be saved",
        );
    }
    Ok(listed.facts)
}

fn line(fact: &Fact<'_>) -> String {
    match fact {
        Fact::Event(Event { timestamp, event_type, actor_address, .. }) => {
            format!("[{:.3}] {event_type} {actor_address}", timestamp.seconds())
        }
        Fact::Audit(audit) => {
            let dead_letters = audit.given("dead_letters_count", audit.dead_letters_count);
            format!("[{:.3}] {} dead_letters={dead_letters}", audit.timestamp.seconds(), actors(audit))
        }
        Fact::DeadLetter(DeadLetter { timestamp, target, message_type, payload, .. }) => format!(
            "[{:.3}] target={} type={message_type} payload={}",
            timestamp.seconds(),
            target.as_deref().unwrap_or("None"),
            payload.as_str()
        ),
        other => other.to_line(),
    }
}

/// The numbers of actors in an audit: `total=5 alive=4 stopping=0 restarting=1`.
fn actors(audit: &Audit<'_>) -> String {
    let counters = [
        ("total", "total_actors", audit.total_actors),
        ("alive", "alive_actors", audit.alive_actors),
        ("stopping", "stopping_actors", audit.stopping_actors),
        ("restarting", "restarting_actors", audit.restarting_actors),
    ];
    let counters = counters.map(|(name, counter, column)| format!("{name}={}", audit.given(counter, column)));
    counters.join(" ")
}

fn summary(store: &Store, out: &mut impl Write) -> anyhow::Result<()> {
    let audits = list(store, Kind::Audit, Some(1), None)?;
    if let Some(Fact::Audit(audit)) = audits.last().map(|found| &found.fact) {
        writeln!(out, "Actors: {}", actors(audit))?;
    } else {
        writeln!(out, "Actors: no audit recorded")?;
    }
    writeln!(out, "Dead letters: {}", dead_letters(store)?)?;
    Ok(())
}

/// The number of dead letters that retention keeps.
fn dead_letters(store: &Store) -> anyhow::Result<u64> {
    let summary = match store.summary() {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            return Ok(list(store, Kind::DeadLetter, None, None)?.len() as u64);
        }
        summary => summary?,
    };
    if store.retention_rules().is_empty() {
        return Ok(summary.of(Kind::DeadLetter).facts);
    }
    let count = "SELECT count(*) FROM dead_letters";
    let rows = runtime()?.block_on(async { store.sql(count).await?.rows().await })?;
    Ok(rows.first().map(|row| row.get(0)).transpose()?.unwrap_or_default())
}
