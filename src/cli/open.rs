//! What commands that read a store begin with.

use std::path::Path;

use crate::Store;

/// Opens a store that must be there, without writing to it.
pub(in crate::cli) fn open_to_read(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::builder().read_only(true).open(path)?)
}

/// The runtime on which queries are waited for; they are computed on threads of their own.
pub(in crate::cli) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(crate::query::runtime(2, |_| {})?)
}
