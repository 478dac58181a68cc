//! A panic as an error.

use std::path::Path;

/// What is said of a panic.
pub(in crate::cli) fn mistake(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    if let Some(refused) = crate::environment::named_in_panic(panic) {
        let hint = crate::environment::advice(&refused, Path::new(""));
        return crate::Error::with_source(crate::ErrorKind::Io, "the system has stopped it", refused)
            .hinting(hint)
            .into();
    }
    anyhow::anyhow!(
        "a mistake within ostracon stopped it; with RUST_LOG=debug it says where, please report it"
    )
}
