//! The prompt: at a terminal of its own ([`typing`], [`answers`], [`live`]), and in scripts
//! ([`scripts`], [`commands`]).

mod answers;
mod commands;
mod live;
mod scripts;
mod terminal;
mod typing;
