//! Bad input, and what it gets: a clear refusal, and nothing else.
//!
//! A bad line is counted, numbered and told why, and the rest goes on. A bad place or setting is told
//! before anything is touched. Bad SQL fails alone: the process and its store live on.

mod lines;
mod places;
mod questions;
mod values;
