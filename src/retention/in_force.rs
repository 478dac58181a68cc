//! The rules in force: those in `ostracon.toml` now, not those at the time when the store was opened.
//!
//! Every statement checks whether the file has changed since the statement before, which costs one read
//! of its metadata. So all processes that have a store open use equal rules, and the next compaction uses
//! them, too.
//!
//! A file that cannot be parsed or read changes nothing: a service goes on reading by its current rules,
//! and logs the reason once for each such file.
//! [`Store::retention_problem`](crate::Store::retention_problem) returns the reason, too. Operations that
//! drop facts, or say which facts would be dropped, are refused until the file is corrected: in doubt a
//! fact is kept.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::condition::ConditionParser;
use super::holds;
use super::rules::Rules;
use super::tally::Tallies;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::retention::RetentionPolicy;
use crate::settings::{FILE, Settings};

/// A file that was changed less than this time ago may change again without a change of its metadata.
const UNSETTLED: Duration = Duration::from_secs(2);

/// The retention rules of an open store.
#[derive(Debug)]
pub(crate) struct Retention {
    /// The settings file; `None` if the policy was given in code, which never changes.
    file: Option<PathBuf>,
    current: Mutex<Current>,
    /// Parses the conditions of rules and holds.
    pub(super) parser: ConditionParser,
    /// Holds that were parsed before.
    pub(super) held: Mutex<HashMap<holds::Asked, Arc<holds::HoldCondition>>>,
}

#[derive(Debug)]
struct Current {
    policy: RetentionPolicy,
    in_force: InForce,
    /// The file that the rules were read from; `None` if it must be read again.
    seen: Option<Stamp>,
    problem: Option<(ErrorKind, String)>,
}

/// Rules, and the facts that were counted for them.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) rules: Arc<Rules>,
    pub(super) tallies: Arc<Tallies>,
}

impl InForce {
    fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), tallies: Arc::default() }
    }
}

/// The identity of a version of the file. `None` inside: there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(file: &Path) -> std::io::Result<Self> {
        match std::fs::metadata(file) {
            Ok(metadata) => Ok(Self(Some((metadata.modified()?, metadata.len(), inode(&metadata))))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Whether another change would change the stamp.
    fn is_settled(&self) -> bool {
        self.0.is_none_or(|(modified, ..)| {
            SystemTime::now().duration_since(modified).is_ok_and(|age| age > UNSETTLED)
        })
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.ino()
}

#[cfg(not(unix))]
const fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

impl Retention {
    /// The rules of a policy: the one in the settings of this folder, or, without a folder, one given in
    /// code.
    pub(crate) fn new(
        policy: &RetentionPolicy,
        rules: Rules,
        root: Option<&Path>,
        parser: ConditionParser,
    ) -> Self {
        let in_force = InForce::new(rules);
        let current = Current { policy: policy.clone(), in_force, seen: None, problem: None };
        let file = root.map(|root| root.join(FILE));
        Self { file, current: Mutex::new(current), parser, held: Mutex::default() }
    }

    /// The rules that the file has now.
    pub(super) fn in_force(&self) -> InForce {
        self.current().in_force.clone()
    }

    /// The reason why the rules in force are not those of the file, if they are not.
    pub(crate) fn problem(&self) -> Option<Error> {
        let current = self.current();
        current.problem.as_ref().map(|(kind, why)| Error::new(*kind, why.clone()))
    }

    /// Refuses to use rules that may be outdated, because the file has changed.
    pub(crate) fn check(&self) -> Result<()> {
        self.problem().map_or(Ok(()), Err)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            current.look(file, self.parser);
        }
        current
    }
}

impl Current {
    /// Reads the file, if it has changed.
    fn look(&mut self, file: &Path, parser: ConditionParser) {
        let stamp = match Stamp::of(file) {
            Ok(stamp) if self.seen.as_ref() == Some(&stamp) => return,
            Ok(stamp) => stamp,
            Err(error) => return self.fail(file, &Error::io("access", file, error)),
        };
        self.seen = stamp.is_settled().then_some(stamp);
        match self.read(file, parser) {
            Ok(()) => self.problem = None,
            Err(error) => self.fail(file, &error),
        }
    }

    fn read(&mut self, file: &Path, parser: ConditionParser) -> Result<()> {
        let policy = Settings::load(file.parent().unwrap_or(file))?.retention;
        if policy != self.policy {
            self.in_force = InForce::new(Rules::new(&policy, parser)?);
            self.policy = policy;
            tracing::info!(file = %file.display(), "the retention rules have changed");
        }
        Ok(())
    }

    fn fail(&mut self, file: &Path, error: &Error) {
        let why = format!(
            "cannot use the retention rules in {}: {error}; the earlier rules stay in force, and no fact is \
             dropped until the file is corrected",
            file.display()
        );
        let problem = (error.kind(), why);
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!("{}", problem.1);
            self.problem = Some(problem);
        }
    }
}
