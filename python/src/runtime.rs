//! The runtime on which queries run.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;
use tokio::runtime::Runtime;

use crate::error::raise;
use crate::guard::{SIGNALS, caught, check};

/// The threads that compute a store's answers. They are started by the first query.
#[derive(Clone, Default)]
pub(crate) struct Queries(Arc<Threads>);

#[derive(Default)]
struct Threads(OnceLock<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        // Python's garbage collector must not wait for running tasks.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Queries {
    fn runtime(&self) -> std::io::Result<&Runtime> {
        if let Some(runtime) = self.0.0.get() {
            return Ok(runtime);
        }
        let made = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(self.0.0.get_or_init(|| made))
    }

    /// Waits without checking for signals. It is used in threads of other libraries.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> std::io::Result<T> {
        Ok(self.runtime()?.block_on(work))
    }

    /// Waits for an answer. Ctrl-C, or the cancellation of the calling task, stops the query.
    pub(crate) fn wait<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Future<Output = ostracon::Result<T>> + Send,
    ) -> PyResult<T> {
        let runtime = self.runtime()?;
        let mut asked = Box::pin(work);
        loop {
            let waited = caught(|| {
                py.detach(|| runtime.block_on(async { tokio::time::timeout(SIGNALS, &mut asked).await }))
            })?;
            match waited {
                Ok(answer) => return answer.map_err(raise),
                Err(_) => check(py)?,
            }
        }
    }
}
