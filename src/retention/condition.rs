//! Conditions of rules and holds on facts.
//!
//! This layer does not know how conditions are written: the query engine, a layer above, reads conditions in SQL. A store
//! is opened with a [`ConditionParser`].

use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};

use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::ledger::Segment;

/// A condition on the facts of one kind. It gives the same answer for a fact today and in ten years, whatever else
/// the store holds.
pub(crate) trait Condition: fmt::Debug + Send + Sync {
    /// The stored columns that it looks at.
    fn columns(&self) -> Vec<&str>;

    /// Whether there may be a fact on which it fails, as `CAST('n/a' AS BIGINT) > 5` does.
    fn may_fail(&self) -> bool;

    /// Evaluates it on each row of a batch with (at least) its columns. A row on which it fails is doubtful, and the
    /// others are evaluated all the same.
    fn evaluate(&self, batch: &RecordBatch) -> Result<Matches>;

    /// For each segment, whether rows of it may match, as far as the ledger's numbers tell.
    fn may_match(&self, segments: &[Arc<Segment>]) -> Vec<bool>;

    /// Refuses a condition that fails on every fact, such as an invalid regular expression. Only new holds call this:
    /// a rule or hold in force may fail on every fact, and then keeps every fact.
    fn check_computable(&self) -> Result<()>;
}

/// What a condition says of the rows of a batch.
pub(crate) struct Matches {
    /// The rows of which it is true. Where it is `NULL`, it is not.
    pub(crate) matching: BooleanArray,
    /// The rows on which it fails, in their order; they are not among the matching.
    pub(crate) doubtful: Vec<usize>,
    /// Why it failed on the first doubtful row.
    pub(crate) why: Option<Error>,
}

/// Reads the text of a condition on the facts of a kind.
pub(crate) type ConditionParser = fn(Kind, &str) -> Result<Box<dyn Condition>>;
