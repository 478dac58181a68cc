//! Reading a store without SQL.

use std::sync::atomic::AtomicBool;

use super::Store;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::fact::{Fact, Kind, Recorded, StreamId};
use crate::follow::{self, After, Cursor, RetentionFilter, Wanted};
use crate::newest_facts::{self, Listed};
use crate::store_summary::{self, Summary};

/// The flag for a list that cannot be stopped.
static NEVER: AtomicBool = AtomicBool::new(false);

impl Store {
    /// Lists the newest `limit` facts of a kind, or all without a limit, in the order of recording. It
    /// lists only facts that retention keeps and whose timestamp is at least `since` seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn list(
        &self,
        kind: Kind,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Fact<'static>>>> {
        self.list_unless(&NEVER, kind, limit, since)
    }

    /// Works as [`Store::list`], but ends with [`ErrorKind::Cancelled`] once `cancel` is true.
    ///
    /// # Errors
    /// Those of [`Store::list`], and [`ErrorKind::Cancelled`].
    pub fn list_unless(
        &self,
        cancel: &AtomicBool,
        kind: Kind,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Vec<Recorded<Fact<'static>>>> {
        newest_facts::newest(self.context(), cancel, kind, limit, since)
    }

    /// Lists the newest facts as [`Store::list`] does, and skips facts that cannot be read. The result
    /// also lists the damage of segments, journals and the ledger.
    ///
    /// # Errors
    /// The operating system's errors.
    pub fn list_readable(&self, kind: Kind, limit: Option<usize>, since: Option<f64>) -> Result<Listed> {
        self.list_readable_unless(&NEVER, kind, limit, since)
    }

    /// Works as [`Store::list_readable`], but ends with [`ErrorKind::Cancelled`] once `cancel` is true.
    ///
    /// # Errors
    /// The operating system's errors, and [`ErrorKind::Cancelled`].
    pub fn list_readable_unless(
        &self,
        cancel: &AtomicBool,
        kind: Kind,
        limit: Option<usize>,
        since: Option<f64>,
    ) -> Result<Listed> {
        newest_facts::newest_readable(self.context(), cancel, kind, limit, since)
    }

    /// Returns every fact after the cursor, in the store's order. It returns only facts that are there
    /// now and that retention keeps.
    ///
    /// ```
    /// # use ostracon::{Cursor, Event, Json, Store};
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::open(folder.path().join("facts"))?;
    /// # store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), 1.0))?;
    /// let mut cursor = Cursor::start();
    /// let facts = store.after(&cursor)?;
    /// facts.sign(&mut cursor);
    /// for fact in facts {
    ///     let fact = fact?;
    ///     println!("{}", fact.to_line());
    ///     cursor.advance(&fact);
    /// }
    /// assert!(store.after(&cursor)?.next().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] for a cursor that does not fit this store: it names another store, or a
    /// place after the end. [`ErrorKind::Damaged`] and the operating system's errors, from this call or
    /// from the iterator.
    pub fn after(&self, cursor: &Cursor) -> Result<After> {
        follow::facts(self.context(), &Kind::ALL, Wanted::After(cursor.clone()), RetentionFilter::ByRules)
    }

    /// Counts the facts that are there now, from the ledger and the unflushed tail.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] and the operating system's errors.
    pub fn summary(&self) -> Result<Summary> {
        store_summary::summarize(self.context())
    }

    /// Lists the streams that any process has open for writing now, if they have a journal.
    ///
    /// # Errors
    /// The operating system's errors.
    pub fn live_streams(&self) -> Result<Vec<StreamId>> {
        store_summary::live_streams(self.path())
    }
}
