//! `ostracon consume`: delivers facts to one consumer of a group.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::arguments::{KindArg, StoreArg};
use super::interrupt;
use super::moment::duration;
use super::print::say;
use ostracon::{ConsumerGroup, Fact, Recorded, StartAt, Store};

/// How long to wait before a followed store is read again.
const POLL: Duration = Duration::from_millis(200);
/// The number of facts that are delivered, and acknowledged, at once.
const BATCH: usize = 1000;

/// Consume facts as a member of a consumer group.
///
/// A consumer group is a place in the facts of one kind; the store remembers it. Each fact goes to one
/// consumer of the group, and is pending until it is acknowledged: with --ack once its line has been written,
/// or later by `ostracon group ack`. First come the facts that this consumer got earlier and that are still
/// pending. So no fact is lost if a process is killed, but a fact may then come twice.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  ostracon consume facts/ shippers --consumer worker-1 --ack --follow | ship-to-somewhere"
)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The name of the group; it is created if it does not exist
    group: String,
    /// The kind of facts to consume
    #[arg(long, value_enum, default_value = "events")]
    kind: KindArg,
    /// The name of this consumer; each consumer of a group needs its own name
    #[arg(long, value_name = "NAME", default_value = "consumer")]
    consumer: String,
    /// Stop after this number of facts
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<usize>,
    /// Acknowledge facts once they have been written
    #[arg(long)]
    ack: bool,
    /// Wait for new facts instead of ending
    #[arg(short, long)]
    follow: bool,
    /// Also take over facts that other consumers have left pending for this time, for example 5m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    claim_idle: Option<Duration>,
    /// Where a new group begins: 0 (at the first fact), $ (at the next new fact), or after a cursor, for
    /// example 1:120,2:77
    #[arg(long, value_name = "PLACE", default_value = "0")]
    start: StartAt,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::ends_well();
    let store = Store::builder().access(ostracon::Access::Maintain).open(&args.store.store)?;
    let group = store.consumer_group(args.kind.kind(), &args.group)?;
    if group.create(args.start.clone())? {
        say(&format!("the group {:?} is created", args.group));
    }
    let mut delivery = Delivery {
        args,
        group: &group,
        left: args.count.unwrap_or(usize::MAX),
        out: BufWriter::new(super::sanitize::stdout()),
    };
    let begun = Instant::now();
    let mut after = None;
    delivery.each(|group, most| {
        let facts = group.pending(&args.consumer, after, most)?;
        after = facts.last().map(|fact| fact.position.id()).or(after);
        Ok(facts)
    })?;
    if let Some(idle) = args.claim_idle {
        // Leave out the facts that this run itself has been given.
        delivery.each(|group, most| {
            let idle = idle.max(begun.elapsed() + Duration::from_millis(1));
            group.claim_idle(&args.consumer, idle, most)
        })?;
    }
    loop {
        delivery.each(|group, most| group.consume(&args.consumer, most))?;
        if let Some(idle) = args.claim_idle.filter(|_| args.follow && args.ack) {
            delivery.each(|group, most| group.claim_idle(&args.consumer, idle, most))?;
        }
        if args.follow && delivery.left > 0 {
            interrupt::sleep(POLL);
        }
        if let Some(code) = interrupt::code() {
            return Ok(ExitCode::from(code));
        }
        if !args.follow || delivery.left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

struct Delivery<'a, W: Write> {
    args: &'a Args,
    group: &'a ConsumerGroup<'a>,
    left: usize,
    out: W,
}

impl<W: Write> Delivery<'_, W> {
    /// Writes the facts of each batch, until a batch is empty.
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
