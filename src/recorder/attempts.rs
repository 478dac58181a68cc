//! The commits that flushes of this process have attempted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Sealed;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Seq, StreamId};
use crate::ledger::State;

/// The results of earlier flushes of this process.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// Streams with a failed commit that may have been published all the same, each with the last fact of
    /// the commit.
    pub(crate) unknown: BTreeMap<StreamId, BTreeSet<Seq>>,
    /// Streams that another process owns, too.
    pub(crate) two_owners: BTreeSet<StreamId>,
}

impl Attempts {
    /// Fails if another process has committed facts of the stream with the numbers of the sealed facts.
    pub(crate) fn check_owned(
        &mut self,
        state: &State,
        stream: StreamId,
        sealed: &[Arc<Sealed>],
    ) -> Result<()> {
        let committed = state.committed(stream);
        let first = sealed.iter().flat_map(|sealed| &sealed.chunks).map(|chunk| chunk.first).next();
        let is_own = first.is_none_or(|first| first > committed)
            || self.unknown.get(&stream).is_some_and(|ends| ends.contains(&committed));
        if is_own { Ok(()) } else { Err(self.two_owners(stream)) }
    }

    pub(crate) fn two_owners(&mut self, stream: StreamId) -> Error {
        self.two_owners.insert(stream);
        Error::new(
            ErrorKind::Contended,
            format!(
                "another process has flushed stream {stream}, although this process holds its lock: the lock \
                 file was removed, or the locks of the file system do not work; the unflushed facts of this \
                 process are kept in quarantine/"
            ),
        )
    }

    /// Notes the result of a commit. A commit that lost against others was not published.
    pub(crate) fn note(&mut self, stream: StreamId, end: Seq, result: &Result<()>) {
        match result {
            Ok(()) => drop(self.unknown.remove(&stream)),
            Err(error) if error.kind() == ErrorKind::Contended => {
                if let Some(ends) = self.unknown.get_mut(&stream) {
                    ends.remove(&end);
                }
            }
            Err(_) => {}
        }
    }
}
