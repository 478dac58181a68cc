//! Consumers: several processes share the work of dealing with a store's facts.
//!
//! A consumer group is a durable cursor over the facts of one kind, and the list of those that were
//! delivered and not acknowledged yet. Whoever consumes is given the next facts that nobody of the
//! group was given; they are *pending* until they are acknowledged. A consumer that dies leaves its
//! pending facts behind: it asks for them when it comes back ([`ConsumerGroup::pending`]), or
//! another takes them over ([`ConsumerGroup::claim`]). So every fact is delivered at least once,
//! whatever is killed. The meaning is that of consumer groups on Redis streams, as Papyra has them.
//!
//! # On disk
//!
//! `consumers/events.shippers.00000000000000000042.json` is the 42nd state of the group `shippers`
//! ([`state`]). Like a commit it is published whole or not at all, and never over another
//! ([`mod@file`]); whoever changes a group holds the lock `events.shippers.lock` meanwhile, which the
//! system takes from who dies. The state before stays, older ones are removed: should the newest be
//! damaged, `recover` moves it aside, and what was acknowledged last is delivered once more.
//!
//! Facts that retention does not keep are not delivered, and passed over; where they are is kept. What
//! a group has not acknowledged is no hold: compaction drops it, and says so in its report, whether the
//! group was given it, had not come to it yet, or has passed over it
//! ([`CompactReport::unacknowledged`](crate::CompactReport)).

mod file;
mod start;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod unacknowledged;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{FactId, Kind};
use crate::follow::{self, Cursor, Found, RetentionFilter, Wanted};
pub(crate) use file::{LOCK, StateName, check as check_state};
use file::{Lock, newest};
pub use start::StartAt;
use state::GroupState;
pub use summary::{ConsumerSummary, GroupSummary};
pub(crate) use unacknowledged::Watch;

/// How long another consumer may hold the group before a change is given up.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Facts that are looked for at once.
const MOST_AT_ONCE: usize = 1000;
/// So many facts of a group may be pending; who consumes has to acknowledge, too.
const MOST_PENDING: usize = 100_000;

/// Consumers that share the facts of one kind. Nothing is there before [`ConsumerGroup::create`].
///
/// ```
/// use ostracon::{Event, Json, Kind, StartAt, Store};
///
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path().join("facts"))?;
/// store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1.0))?;
///
/// let shippers = store.consumer_group(Kind::Event, "shippers")?;
/// shippers.create(StartAt::Beginning)?;
/// for fact in shippers.consume("worker-1", 100)? {
///     println!("{}", fact.to_line());
///     shippers.acknowledge([fact.position.id()])?;
/// }
/// assert_eq!(shippers.summary()?.pending, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConsumerGroup<'s> {
    context: &'s Context,
    kind: Kind,
    name: String,
}

/// All consumer groups of a store, by kind and name.
pub(crate) fn groups(context: &Context) -> Result<Vec<ConsumerGroup<'_>>> {
    let groups: BTreeSet<(Kind, String)> =
        file::list(&context.root)?.into_iter().map(|name| (name.kind, name.group)).collect();
    Ok(groups.into_iter().map(|(kind, name)| ConsumerGroup { context, kind, name }).collect())
}

/// The states of each group that are there, the newest first.
pub(crate) fn states(root: &Path) -> Result<Vec<Vec<StateName>>> {
    let mut groups: BTreeMap<_, Vec<StateName>> = BTreeMap::new();
    for name in file::list(root)? {
        groups.entry((name.kind, name.group.clone())).or_default().push(name);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    for states in &mut groups {
        states.sort_by_key(|name| std::cmp::Reverse(name.number));
    }
    Ok(groups)
}

/// What every group was given, and what is pending.
pub(crate) fn summaries(context: &Context) -> Result<Vec<GroupSummary>> {
    let (store, now) = (context.ledger.known().store, context.now());
    let mut summaries = Vec::new();
    for StateName { kind, group, .. } in newest(file::list(&context.root)?) {
        // One that is removed meanwhile is none.
        let state = file::load(&context.root, store, kind, &group)?;
        summaries.extend(state.map(|state| state.summary(kind, &group, now)));
    }
    Ok(summaries)
}

/// The groups of which these are states, and no other state is left.
pub(crate) fn lost_groups<'p>(
    root: &Path,
    states: impl IntoIterator<Item = &'p Path>,
) -> Result<BTreeSet<(Kind, String)>> {
    let names = states.into_iter().filter_map(|path| StateName::parse(path.file_name()?.to_str()?));
    let mut lost: BTreeSet<_> = names.map(|name| (name.kind, name.group)).collect();
    for name in file::list(root)? {
        lost.remove(&(name.kind, name.group));
    }
    Ok(lost)
}

impl<'s> ConsumerGroup<'s> {
    pub(crate) fn new(context: &'s Context, kind: Kind, name: String) -> Result<Self> {
        file::check_name(&name)?;
        Ok(Self { context, kind, name })
    }

    /// The kind of its facts.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the group, unless it is there. Whether it was made.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a cursor that cannot be of this store, [`ErrorKind::Closed`] in a store that is
    /// open for reading only, [`ErrorKind::Damaged`] if the group's state is, and the operating system's errors.
    pub fn create(&self, start: StartAt) -> Result<bool> {
        self.check_writes()?;
        let delivered = match start {
            StartAt::Beginning => Cursor::start(),
            StartAt::After(cursor) => {
                cursor.check(self.context.ledger.folder(), &self.context.snapshot()?)?;
                // The state says for itself of which store it is.
                cursor.unsigned()
            }
            StartAt::Now => {
                let mut cursor = Cursor::start();
                for (stream, seq) in self.context.snapshot()?.newest()? {
                    cursor.pass(stream, seq);
                }
                cursor
            }
        };
        file::make_folder(&self.context.disk, &self.context.root)?;
        let _lock = self.lock()?;
        if self.load()?.is_some() {
            return Ok(false);
        }
        self.publish(&GroupState::first(delivered)).map(|()| true)
    }

    /// The next facts, at most so many, in the store's order, that nobody of the group was given.
    /// They are pending for this consumer until somebody [acknowledges](Self::acknowledge) them.
    /// None if there is nothing new: this waits for nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the group is not there, [`ErrorKind::Overloaded`] if 100,000 facts
    /// are pending, [`ErrorKind::Closed`] in a store that is open for reading only,
    /// [`ErrorKind::Damaged`], [`ErrorKind::Contended`], and the operating system's errors. Where
    /// it is not known whether a delivery was kept, the facts may be pending all the same.
    pub fn consume(&self, consumer: &str, most: usize) -> Result<Vec<Found>> {
        file::check_name(consumer)?;
        let facts = self.change(|state| {
            let room = MOST_PENDING.saturating_sub(state.pending());
            if room == 0 && most > 0 {
                let why = format!(
                    "{MOST_PENDING} facts that were delivered to the group {:?} are not acknowledged; acknowledge them \
                     before you consume more; pending and claim give them once more",
                    self.name
                );
                return Err(Error::new(ErrorKind::Overloaded, why));
            }
            let wanted = Wanted::After(state.delivered().clone());
            let mut next = follow::facts(self.context, &[self.kind], wanted, RetentionFilter::Noted)?;
            let facts: Vec<Found> = next.by_ref().take(most.min(room)).collect::<Result<_>>()?;
            let ids = facts.iter().map(|fact| fact.position.id());
            let before = state.delivered().clone();
            state.deliver(ids, consumer, self.context.now());
            state.pass_over(&before, &next.into_hidden());
            Ok((facts.is_empty(), facts))
        })?;
        Ok(facts)
    }

    /// What this consumer was given and nobody has acknowledged, at most so many, by the names of
    /// the facts; behind one of them, if it is given. They count as delivered once more, and now.
    /// What retention hides is passed over, and stays pending; what was dropped is pending no more.
    ///
    /// # Errors
    /// Those of [`ConsumerGroup::consume`].
    pub fn pending(&self, consumer: &str, after: Option<FactId>, most: usize) -> Result<Vec<Found>> {
        self.change(|state| {
            let ids: Vec<_> = state.pending_of(consumer, after).collect();
            self.deliver_again(state, &ids, consumer, most)
        })
    }

    /// Takes pending facts over, from whatever consumer, if they were delivered at least so long
    /// ago. Those are returned that were taken over: what is not pending, not idle for long enough,
    /// or hidden by retention is passed over, and what was dropped is pending no more.
    ///
    /// # Errors
    /// Those of [`ConsumerGroup::consume`].
    pub fn claim(
        &self,
        consumer: &str,
        min_idle: Duration,
        ids: impl IntoIterator<Item = FactId>,
    ) -> Result<Vec<Found>> {
        file::check_name(consumer)?;
        // Whoever names a fact twice is given it once.
        let ids: BTreeSet<FactId> = ids.into_iter().collect();
        self.change(|state| {
            let now = self.context.now();
            let idle: Vec<_> = ids.iter().copied().filter(|id| state.is_idle(*id, min_idle, now)).collect();
            self.deliver_again(state, &idle, consumer, usize::MAX)
        })
    }

    /// Takes over, at most so many of, the facts that were delivered to whatever consumer at least
    /// so long ago and are still pending: those that have waited longest first.
    ///
    /// # Errors
    /// Those of [`ConsumerGroup::consume`].
    pub fn claim_idle(&self, consumer: &str, min_idle: Duration, most: usize) -> Result<Vec<Found>> {
        file::check_name(consumer)?;
        self.change(|state| {
            let idle = state.idle(min_idle, self.context.now());
            self.deliver_again(state, &idle, consumer, most)
        })
    }

    /// These facts were dealt with: they are pending no more. How many of them were.
    ///
    /// # Errors
    /// Those of [`ConsumerGroup::consume`].
    pub fn acknowledge(&self, ids: impl IntoIterator<Item = FactId>) -> Result<u64> {
        let ids: Vec<FactId> = ids.into_iter().collect();
        self.change(|state| {
            let acknowledged = state.acknowledge(&ids);
            Ok((acknowledged == 0, acknowledged))
        })
    }

    /// What was delivered, and what is pending.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the group is not there, [`ErrorKind::Damaged`], and the operating
    /// system's errors.
    pub fn summary(&self) -> Result<GroupSummary> {
        let state = self.load()?.ok_or_else(|| self.is_not_there())?;
        Ok(state.summary(self.kind, &self.name, self.context.now()))
    }

    /// Removes the group: nobody knows any more what it was given. Whether it was there.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] in a store that is open for reading only, and the operating system's.
    pub fn remove(&self) -> Result<bool> {
        self.check_writes()?;
        if self.load()?.is_none() {
            self.context.disk.check_place()?;
            return Ok(false);
        }
        let _lock = self.lock()?;
        file::remove(&self.context.disk, &self.context.root, self.kind, &self.name)
    }

    /// Delivers pending facts once more, in this order, at most so many. What is nowhere in the store any
    /// more can be delivered to nobody, and is pending no more.
    fn deliver_again(
        &self,
        state: &mut GroupState,
        ids: &[FactId],
        consumer: &str,
        most: usize,
    ) -> Result<(bool, Vec<Found>)> {
        let mut facts = Vec::new();
        let mut gone = Vec::new();
        for some in ids.chunks(most.clamp(1, MOST_AT_ONCE)) {
            if facts.len() >= most {
                break;
            }
            let mut found = self.these(some, RetentionFilter::ByRules)?;
            let missing: Vec<FactId> = some.iter().copied().filter(|id| !found.contains_key(id)).collect();
            if !missing.is_empty() {
                let hidden = self.these(&missing, RetentionFilter::All)?;
                gone.extend(missing.into_iter().filter(|id| !hidden.contains_key(id)));
            }
            facts.extend(some.iter().filter_map(|id| found.remove(id)));
        }
        facts.truncate(most);
        state.acknowledge(&gone);
        state.deliver(facts.iter().map(|fact| fact.position.id()), consumer, self.context.now());
        Ok((facts.is_empty() && gone.is_empty(), facts))
    }

    /// The facts of these names that are there.
    fn these(&self, ids: &[FactId], kept: RetentionFilter) -> Result<BTreeMap<FactId, Found>> {
        let wanted = Wanted::These(ids.iter().copied().collect());
        let facts = follow::facts(self.context, &[self.kind], wanted, kept)?;
        facts.map(|fact| fact.map(|fact| (fact.position.id(), fact))).collect()
    }

    /// Changes the state of the group: `change` says whether it left it as it is, and what comes of
    /// it.
    fn change<T>(&self, change: impl FnOnce(&mut GroupState) -> Result<(bool, T)>) -> Result<T> {
        self.check_writes()?;
        // Nothing is made for a group that is not there.
        let is_there = || self.load()?.ok_or_else(|| self.is_not_there());
        is_there()?;
        let _lock = self.lock().map_err(|error| self.context.disk.explain(error))?;
        let mut state = is_there()?;
        let explain = |error| self.context.disk.explain(error);
        let (unchanged, result) = change(&mut state).map_err(explain)?;
        if !unchanged {
            self.publish(&state.next()).map_err(explain)?;
        }
        Ok(result)
    }

    /// Keeps other consumers, of whatever process, from changing the group.
    fn lock(&self) -> Result<Lock> {
        let disk = &self.context.disk;
        Lock::take(disk, &self.context.root, self.kind, &self.name, LONGEST_WAIT)
    }

    fn load(&self) -> Result<Option<GroupState>> {
        let store = self.context.ledger.known().store;
        file::load(&self.context.root, store, self.kind, &self.name)
    }

    fn publish(&self, state: &GroupState) -> Result<()> {
        let context = self.context;
        file::publish(
            &context.disk,
            &self.context.root,
            context.ledger.known().store,
            self.kind,
            &self.name,
            state,
        )
    }

    fn check_writes(&self) -> Result<()> {
        self.context.check_commits("change a consumer group")
    }

    fn is_not_there(&self) -> Error {
        let why = format!(
            "there is no consumer group {:?} for {} in {}; create it first",
            self.name,
            self.kind,
            self.context.root.display()
        );
        self.context.disk.explain(Error::new(ErrorKind::Refused, why))
    }
}
