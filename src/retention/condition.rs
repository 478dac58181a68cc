//! Conditions of rules and holds on facts.
//!
//! This layer does not know the syntax of conditions: the query engine, a layer above, parses conditions
//! in SQL. A store is opened with a [`ConditionParser`].

use std::fmt;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};

use crate::error::{Error, Result};
use crate::fact::Kind;
use crate::ledger::Segment;

/// A condition on the facts of one kind. Its result for a fact never changes, now or in ten years, and
/// does not depend on other facts in the store.
pub(crate) trait Condition: fmt::Debug + Send + Sync {
    /// The stored columns that the condition reads.
    fn columns(&self) -> Vec<&str>;

    /// Whether it can fail on some fact, as `CAST('n/a' AS BIGINT) > 5` does.
    fn may_fail(&self) -> bool;

    /// Evaluates it on each row of a batch with (at least) its columns. A row on which it fails is
    /// doubtful, and the other rows are evaluated all the same.
    fn evaluate(&self, batch: &RecordBatch) -> Result<Matches>;

    /// For each segment, whether some of its rows may match, according to the ledger's numbers.
    fn may_match(&self, segments: &[Arc<Segment>]) -> Vec<bool>;

    /// Refuses a condition that fails on every fact, such as an invalid regular expression. Only new
    /// holds call this: a rule or hold in force may fail on every fact, and then keeps every fact.
    fn check_computable(&self) -> Result<()>;
}

/// The result of a condition for the rows of a batch.
pub(crate) struct Matches {
    /// The rows for which it is true. `NULL` is not true.
    pub(crate) matching: BooleanArray,
    /// The rows on which it fails, in their order; they are not matching.
    pub(crate) doubtful: Vec<usize>,
    /// The reason why it failed on the first doubtful row.
    pub(crate) why: Option<Error>,
}

/// Parses the text of a condition on the facts of a kind.
pub(crate) type ConditionParser = fn(Kind, &str) -> Result<Box<dyn Condition>>;
