//! Shows the progress of a long query: the number of rows that its scans have read.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ostracon::Monitor;

/// A query that takes less time needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(100);

/// A bar on stderr, until it is dropped.
pub(super) struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows the progress of this query, if it takes long.
    pub(super) fn of(query: Monitor) -> Self {
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let over = |time| !matches!(ended.recv_timeout(time), Err(RecvTimeoutError::Timeout));
            if over(PATIENCE) {
                return;
            }
            let bar = bar(query.rows_to_scan());
            while !over(STEP) {
                bar.set_position(query.rows_scanned());
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Self { end: Some(end), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {human_pos} of {human_len} rows scanned, {elapsed}; Ctrl-C stops",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} rows scanned, {elapsed}; Ctrl-C stops"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
