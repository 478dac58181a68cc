//! The command line: what it prints where, and how it ends.
//!
//! Results are on stdout, talk is on stderr, and the exit code is 0, or 1 with an error. Texts that
//! people or programs depend on are here word for word.

mod answers;
mod formats;
mod help;
mod listings;
mod manners;
mod packed;
mod recording;
mod signals;
