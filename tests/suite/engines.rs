//! The same SQL over the same facts, answered by Ostracon, DuckDB and SQLite.
//!
//! A question that three engines understand has one answer. Which questions people ask nobody can list, so
//! they are made up ([`grow`]): joins, subqueries, NULLs, windows, unions, over a few facts with many NULLs
//! and equal values ([`facts`]). DuckDB and SQLite answer in a process of their own ([`peers`]). What
//! differs is cut down until nothing can be left out any more ([`shrink`]). Faults that were found so, or by
//! users, have a name in [`named`]; and of each kind of plan one is stopped while it works, in [`stopped`].
//!
//! `make compare QUERIES=200000` asks more than the tests do; `SEED=` asks others.

mod borrowed;
mod compare;
mod facts;
mod grow;
mod named;
mod peers;
mod shrink;
mod stopped;
