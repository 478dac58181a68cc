//! `ostracon consume`: facts for one of several who share the work.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::arguments::{KindArg, StoreArg};
use super::interrupt;
use super::print::say;
use super::sql::duration;
use ostracon::{ConsumerGroup, Fact, Recorded, StartAt, Store};

/// How often a store that is followed is looked at again.
const POLL: Duration = Duration::from_millis(200);
/// Facts that are delivered, and acknowledged, at once.
const BATCH: usize = 1000;

/// Consume facts as one of a group, each fact once among all of them.
///
/// A group is a place in the facts of one kind that the store remembers. Each fact goes to one of
/// the group's consumers, and is pending until it is acknowledged: here with --ack, once its line has
/// been written out, or later by `ostracon group ack`. First comes what this consumer was given
/// earlier and nobody acknowledged, so that nothing is lost whatever is killed; a fact may then come twice.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon consume facts/ shippers --consumer worker-1 --ack --follow | ship-to-somewhere"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The group; it is made if it is not there
    group: String,
    /// The kind of facts
    #[arg(long, value_enum, default_value = "events")]
    kind: KindArg,
    /// Who consumes; each of several has a name of its own
    #[arg(long, value_name = "NAME", default_value = "consumer")]
    consumer: String,
    /// At most so many facts
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<usize>,
    /// Acknowledge facts once they have been written out
    #[arg(long)]
    ack: bool,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Also take over what other consumers left pending for so long, as 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    claim_idle: Option<Duration>,
    /// Where a group begins that is made now: 0 (the first fact), $ (with the next one), or behind a
    /// cursor, as 1:120,2:77
    #[arg(long, value_name = "PLACE", default_value = "0")]
    start: StartAt,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::ends_well();
    let store = Store::builder().access(ostracon::Access::Maintain).open(&args.store.store)?;
    let group = store.consumer_group(args.kind.kind(), &args.group)?;
    if group.create(args.start.clone())? {
        say(&format!("the group {:?} is new", args.group));
    }
    let mut consuming = Consuming {
        args,
        group: &group,
        left: args.count.unwrap_or(usize::MAX),
        out: BufWriter::new(super::sanitize::stdout()),
    };
    let begun = Instant::now();
    let mut after = None;
    consuming.each(|group, most| {
        let facts = group.pending(&args.consumer, after, most)?;
        after = facts.last().map(|fact| fact.position.id()).or(after);
        Ok(facts)
    })?;
    if let Some(idle) = args.claim_idle {
        // Not what this very run has been given.
        consuming.each(|group, most| {
            let idle = idle.max(begun.elapsed() + Duration::from_millis(1));
            group.claim_idle(&args.consumer, idle, most)
        })?;
    }
    loop {
        consuming.each(|group, most| group.consume(&args.consumer, most))?;
        if let Some(idle) = args.claim_idle.filter(|_| args.follow && args.ack) {
            consuming.each(|group, most| group.claim_idle(&args.consumer, idle, most))?;
        }
        if args.follow && consuming.left > 0 {
            interrupt::sleep(POLL);
        }
        if let Some(code) = interrupt::code() {
            return Ok(ExitCode::from(code));
        }
        if !args.follow || consuming.left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

struct Consuming<'a, W: Write> {
    args: &'a Args,
    group: &'a ConsumerGroup<'a>,
    left: usize,
    out: W,
}

impl<W: Write> Consuming<'_, W> {
    /// Writes out what comes, batch by batch, until nothing does.
    fn each(
        &mut self,
        mut next: impl FnMut(&ConsumerGroup<'_>, usize) -> ostracon::Result<Vec<Recorded<Fact<'static>>>>,
    ) -> anyhow::Result<()> {
        while self.left > 0 && interrupt::code().is_none() {
            let facts = next(self.group, self.left.min(BATCH))?;
            if facts.is_empty() {
                break;
            }
            for fact in &facts {
                writeln!(self.out, "{}", fact.to_line())?;
            }
            // Acknowledged only after it has left this process.
            self.out.flush()?;
            if self.args.ack {
                self.group.acknowledge(facts.iter().map(|fact| fact.position.id()))?;
            }
            self.left -= facts.len();
        }
        Ok(())
    }
}
