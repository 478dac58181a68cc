//! Refuses statements before they are planned.
//!
//! A recursive parser limits its depth. But it builds chains of operators by iteration, and without a limit:
//! a hundred thousand `OR`s make a tree so deep that dropping it overflows the stack. Such texts are
//! recognized by their tokens, which takes no recursion. Planning and evaluation recurse as well, so the
//! limits for chains and paths are low.

mod growth;
mod plan;
mod text;

pub(super) use plan::{check_plan, subquery_of};
pub(crate) use text::check_text;
