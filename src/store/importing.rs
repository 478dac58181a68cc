//! Facts in bulk.

use std::io::Read;

use super::Store;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "redis")]
use crate::import::RedisStreams;
use crate::import::{self, Import, ImportReport};

impl Store {
    /// Imports facts, one JSON line each, as Papyra's JSON backend writes them. The text may be packed with
    /// gzip or zstd.
    ///
    /// What was committed of the same content by an earlier import, whole or cut short, is not
    /// imported twice. When this returns, every fact is in a committed segment.
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
    /// Those of writing to the store, and of reading the input: the whole lines before the end of an input that was
    /// torn off are imported all the same. [`ErrorKind::Refused`] for what is neither text in UTF-8 nor unpacked here.
    pub fn import(&self, input: impl Read + Send, import: Import<'_>) -> Result<ImportReport> {
        self.check_imports()?;
        import::import(self.context(), input, import)
    }

    #[cfg(feature = "redis")]
    /// Imports the facts of Papyra's Redis backend. Nothing is changed there.
    ///
    /// The store remembers, by the server's address as it is given here, up to which entry it has imported
    /// each stream: to import again takes what has come since, whether or not Redis has trimmed
    /// what was there before. An import that is cut short has taken whole batches of entries.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if there is no such stream, [`ErrorKind::Io`] if Redis cannot be asked,
    /// and those of [`Store::import`].
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

    /// How many facts of this store are lost, also those that are known by their numbers alone.
    pub fn lost_facts(&self) -> u64 {
        let state = self.context().ledger.known();
        state.lost.iter().fold(state.unaccounted, |sum, lost| sum.saturating_add(lost.facts))
    }
}
