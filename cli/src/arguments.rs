//! Arguments that several commands have.

use std::path::PathBuf;

use ostracon::Kind;

/// The positional argument that every command has.
#[derive(clap::Args)]
pub(crate) struct StoreArg {
    /// The store's folder
    pub(crate) store: PathBuf,
}

/// A kind, as an option names it.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum KindArg {
    Events,
    Audits,
    #[value(alias = "dead_letters")]
    DeadLetters,
}

impl KindArg {
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Events => Kind::Event,
            Self::Audits => Kind::Audit,
            Self::DeadLetters => Kind::DeadLetter,
        }
    }
}
