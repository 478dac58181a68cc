//! Arguments that several commands have.

use std::path::PathBuf;

use crate::Kind;

/// The positional argument that every command has.
#[derive(clap::Args)]
pub(in crate::cli) struct StoreArg {
    /// The store's folder
    pub(in crate::cli) store: PathBuf,
}

/// A kind, as an option names it.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(in crate::cli) enum KindArg {
    Events,
    Audits,
    #[value(alias = "dead_letters")]
    DeadLetters,
}

impl KindArg {
    pub(in crate::cli) const fn kind(self) -> Kind {
        match self {
            Self::Events => Kind::Event,
            Self::Audits => Kind::Audit,
            Self::DeadLetters => Kind::DeadLetter,
        }
    }
}
