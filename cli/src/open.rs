//! How commands that only read open a store.

use std::path::Path;

use anyhow::Context;
use ostracon::{Error, Store};

/// Opens an existing store for reading. Nothing is written to it.
pub(crate) fn open_to_read(path: &Path) -> anyhow::Result<Store> {
    Ok(Store::builder().access(ostracon::Access::Read).open(path)?)
}

/// The runtime that waits for queries. Queries are computed on threads of their own.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use tokio::runtime::Builder;
    // Tokio panics if it gets no thread. Where the system gives few threads, one is enough.
    let with = |threads| {
        std::panic::catch_unwind(|| Builder::new_multi_thread().worker_threads(threads).enable_all().build())
    };
    let made = with(2).ok().and_then(Result::ok).map_or_else(|| with(1), |made| Ok(Ok(made)));
    let made = made.map_err(|panic| Error::from_panic(panic.as_ref()))?;
    made.context("cannot start the threads that wait for queries")
}
