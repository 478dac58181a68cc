//! Imports facts in bulk.

use std::io::Read;

use super::Store;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "redis")]
use crate::import::RedisStreams;
use crate::import::{self, Import, ImportReport};

impl Store {
    /// Imports facts from lines of JSON, one fact a line, as Papyra's JSON backend writes them. The text
    /// may be compressed with gzip or zstd.
    ///
    /// Content that an earlier import committed, complete or cut short, is not imported twice. When this
    /// method returns, every fact is in a committed segment.
    ///
    /// ```
    /// # use ostracon::{Import, Store};
    /// # let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path().join("facts"))?;
    /// let lines = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:1", "event_type": "ActorStarted", "payload": {}, "timestamp": 4093.2}
    /// not a fact
    /// "#;
    /// let report = store.import(lines.as_bytes(), Import::named("example"))?;
    /// assert_eq!((report.total(), report.rejected), (1, 1));
    /// let report = store.import(lines.as_bytes(), Import::named("example"))?;
    /// assert_eq!((report.total(), report.resumed_after), (0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Errors of writing to the store, and of reading the input. If the input is torn off, the whole
    /// lines before its end are imported all the same. [`ErrorKind::Refused`] for input that is not UTF-8
    /// text and has no packing that is supported.
    pub fn import(&self, input: impl Read + Send, import: Import<'_>) -> Result<ImportReport> {
        self.check_imports()?;
        import::import(self.context(), input, import)
    }

    #[cfg(feature = "redis")]
    /// Imports the facts of Papyra's Redis backend. Redis is not changed.
    ///
    /// The store remembers the last entry that it imported of each stream, by the server's address as
    /// given here. The next import takes only newer entries, even if Redis has trimmed older ones. An
    /// import that is cut short has taken whole batches of entries.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if there is no such stream, [`ErrorKind::Io`] if Redis does not answer, and
    /// those of [`Store::import`].
    pub fn import_redis(&self, streams: &RedisStreams, import: Import<'_>) -> Result<ImportReport> {
        self.check_imports()?;
        import::import_redis(self.context(), streams, import)
    }

    fn check_imports(&self) -> Result<()> {
        if self.context().recorder.is_none() {
            let why = "the store is open for reading only; nothing was imported";
            return Err(Error::new(ErrorKind::Closed, why));
        }
        Ok(())
    }

    /// The number of lost facts of this store, including facts that are known only by their numbers.
    pub fn lost_facts(&self) -> u64 {
        let state = self.context().ledger.known();
        state.lost.iter().fold(state.unaccounted, |sum, lost| sum.saturating_add(lost.facts))
    }
}
