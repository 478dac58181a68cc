//! Retention: which facts the rules keep.

mod selection;

pub(crate) use selection::{RuleId, Selection, Verdict};
