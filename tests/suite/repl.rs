//! The prompt: at a terminal of its own ([`typing`], [`answers`], [`live`], [`zone`]), and in scripts
//! ([`scripts`], [`commands`], [`investigation`]).

mod answers;
mod commands;
mod investigation;
mod live;
mod scripts;
mod terminal;
mod typing;
mod zone;
