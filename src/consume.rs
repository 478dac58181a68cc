//! Consumers: several processes share the work of handling a store's facts.
//!
//! A consumer group is a durable cursor over the facts of one kind, and the list of facts that were
//! delivered and are not acknowledged yet. A consumer gets the next facts that no consumer of the group
//! was given; they are *pending* until they are acknowledged. If a consumer dies, its pending facts stay:
//! it asks for them when it comes back ([`ConsumerGroup::pending`]), or another one takes them over
//! ([`ConsumerGroup::claim`]). So every fact is delivered at least once, whichever process is killed. The
//! semantics are those of consumer groups on Redis streams, as Papyra has them.
//!
//! # On disk
//!
//! `consumers/events.shippers.00000000000000000042.json` is the 42nd state of the group `shippers`
//! ([`state`]). Like a commit it is published whole or not at all, and never over another ([`mod@file`]).
//! A process that changes a group holds the lock `events.shippers.lock` meanwhile; the system releases
//! the lock of a process that dies. The state before is kept, older ones are removed. If the newest state
//! is damaged, `recover` moves it aside, and the facts that were acknowledged last are delivered once
//! more.
//!
//! Facts that retention does not keep are skipped, not delivered, and the group's state notes their
//! ranges. Facts that a group has not acknowledged are not held: a compaction drops them, and says so in
//! its report, whether they were delivered, not delivered yet, or skipped
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

/// How long a change waits for another consumer that has locked the group.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The most facts that are looked up at once.
const MOST_AT_ONCE: usize = 1000;
/// The most pending facts of a group: consumers must acknowledge facts, too.
const MOST_PENDING: usize = 100_000;

/// Consumers that share the facts of one kind. The group does not exist until [`ConsumerGroup::create`].
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

/// Lists all consumer groups of a store, by kind and name.
pub(crate) fn groups(context: &Context) -> Result<Vec<ConsumerGroup<'_>>> {
    let groups: BTreeSet<(Kind, String)> =
        file::list(&context.root)?.into_iter().map(|name| (name.kind, name.group)).collect();
    Ok(groups.into_iter().map(|(kind, name)| ConsumerGroup { context, kind, name }).collect())
}

/// Lists the states of each group, the newest first.
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

/// Summarizes every group: delivered and pending facts.
pub(crate) fn summaries(context: &Context) -> Result<Vec<GroupSummary>> {
    let (store, now) = (context.ledger.known().store, context.now());
    let mut summaries = Vec::new();
    for StateName { kind, group, .. } in newest(file::list(&context.root)?) {
        // A group that is removed meanwhile is left out.
        let state = file::load(&context.root, store, kind, &group)?;
        summaries.extend(state.map(|state| state.summary(kind, &group, now)));
    }
    Ok(summaries)
}

/// The groups without any state other than the given ones.
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

    /// The kind of the group's facts.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates the group, unless it exists. Returns whether it was created.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a cursor that does not fit this store, [`ErrorKind::Closed`] in a store
    /// that is open for reading only, [`ErrorKind::Damaged`] if the group's state is damaged, and the
    /// operating system's errors.
    pub fn create(&self, start: StartAt) -> Result<bool> {
        self.check_writes()?;
        let delivered = match start {
            StartAt::Beginning => Cursor::start(),
            StartAt::After(cursor) => {
                cursor.check(self.context.ledger.folder(), &self.context.snapshot()?)?;
                // The state itself names its store.
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

    /// Returns up to `most` of the next facts, in the store's order, that no consumer of the group was
    /// given. They are pending for this consumer until they are [acknowledged](Self::acknowledge). The
    /// list is empty if there is no new fact: this method does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the group does not exist, [`ErrorKind::Overloaded`] if 100,000 facts are
    /// pending, [`ErrorKind::Closed`] in a store that is open for reading only, [`ErrorKind::Damaged`],
    /// [`ErrorKind::Contended`], and the operating system's errors. If the error leaves open whether the
    /// delivery was stored, the facts may be pending all the same.
    pub fn consume(&self, consumer: &str, most: usize) -> Result<Vec<Found>> {
        file::check_name(consumer)?;
        let facts = self.change(|state| {
            let room = MOST_PENDING.saturating_sub(state.pending());
            if room == 0 && most > 0 {
                let why = format!(
                    "{MOST_PENDING} facts that were delivered to the group {:?} are not acknowledged; \
                     acknowledge them before you consume more; pending and claim deliver them again",
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

    /// Returns up to `most` facts that are pending for this consumer, by the names of the facts; only
    /// those after the fact `after`, if it is given. They count as delivered once more, and now. Facts
    /// that retention hides are skipped, and stay pending. Facts that were dropped are no longer pending.
    ///
    /// # Errors
    /// Those of [`ConsumerGroup::consume`].
    pub fn pending(&self, consumer: &str, after: Option<FactId>, most: usize) -> Result<Vec<Found>> {
        self.change(|state| {
            let ids: Vec<_> = state.pending_of(consumer, after).collect();
            self.deliver_again(state, &ids, consumer, most)
        })
    }

    /// Takes over these pending facts from other consumers, if they were delivered at least `min_idle`
    /// ago, and returns them. Facts that are not pending, not idle for long enough, or hidden by
    /// retention are skipped. Facts that were dropped are no longer pending.
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
        // A fact that is named twice is returned once.
        let ids: BTreeSet<FactId> = ids.into_iter().collect();
        self.change(|state| {
            let now = self.context.now();
            let idle: Vec<_> = ids.iter().copied().filter(|id| state.is_idle(*id, min_idle, now)).collect();
            self.deliver_again(state, &idle, consumer, usize::MAX)
        })
    }

    /// Takes over up to `most` pending facts from other consumers that were delivered at least `min_idle`
    /// ago, and returns them: those that have waited longest first.
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

    /// Marks these facts as handled: they are no longer pending. Returns how many of them were pending.
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

    /// Summarizes the group: delivered and pending facts.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if the group does not exist, [`ErrorKind::Damaged`], and the operating
    /// system's errors.
    pub fn summary(&self) -> Result<GroupSummary> {
        let state = self.load()?.ok_or_else(|| self.is_not_there())?;
        Ok(state.summary(self.kind, &self.name, self.context.now()))
    }

    /// Removes the group, with its cursor and its pending facts. Returns whether it existed.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] in a store that is open for reading only, and the operating system's errors.
    pub fn remove(&self) -> Result<bool> {
        self.check_writes()?;
        if self.load()?.is_none() {
            self.context.disk.check_place()?;
            return Ok(false);
        }
        let _lock = self.lock()?;
        file::remove(&self.context.disk, &self.context.root, self.kind, &self.name)
    }

    /// Delivers up to `most` pending facts once more, in this order. A fact that is no longer in the
    /// store cannot be delivered, and is no longer pending.
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
            let mut found = self.find_facts(some, RetentionFilter::ByRules)?;
            let missing: Vec<FactId> = some.iter().copied().filter(|id| !found.contains_key(id)).collect();
            if !missing.is_empty() {
                let hidden = self.find_facts(&missing, RetentionFilter::All)?;
                gone.extend(missing.into_iter().filter(|id| !hidden.contains_key(id)));
            }
            facts.extend(some.iter().filter_map(|id| found.remove(id)));
        }
        facts.truncate(most);
        state.acknowledge(&gone);
        state.deliver(facts.iter().map(|fact| fact.position.id()), consumer, self.context.now());
        Ok((facts.is_empty() && gone.is_empty(), facts))
    }

    /// Finds the facts with these names that are in the store.
    fn find_facts(&self, ids: &[FactId], kept: RetentionFilter) -> Result<BTreeMap<FactId, Found>> {
        let wanted = Wanted::These(ids.iter().copied().collect());
        let facts = follow::facts(self.context, &[self.kind], wanted, kept)?;
        facts.map(|fact| fact.map(|fact| (fact.position.id(), fact))).collect()
    }

    /// Changes the state of the group. `change` returns whether it left the state unchanged, and its
    /// result.
    fn change<T>(&self, change: impl FnOnce(&mut GroupState) -> Result<(bool, T)>) -> Result<T> {
        self.check_writes()?;
        // No file is made for a group that does not exist.
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

    /// Locks the group against other consumers, of any process.
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
            "no consumer group {:?} for {} exists in {}; create it first",
            self.name,
            self.kind,
            self.context.root.display()
        );
        self.context.disk.explain(Error::new(ErrorKind::Refused, why))
    }
}
