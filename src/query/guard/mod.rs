//! What is turned away before it is planned.
//!
//! A parser that recurses has a limit of its own; what it builds by iteration has not: a hundred
//! thousand `OR`s make a tree so deep that merely dropping it overflows the stack. Such texts are
//! recognised by their tokens, which takes no recursion. Planning and evaluating what is left recurse, too, so
//! chains and paths are short.

mod growth;
mod plan;
mod text;

pub(super) use plan::{check_plan, subquery_of};
pub(crate) use text::check_text;
