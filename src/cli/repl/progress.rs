//! How far a long query has come: rows that its scans have read.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use indicatif::{ProgressBar, ProgressStyle};

/// What is quicker needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(100);

/// A bar on stderr, until it is dropped.
pub(super) struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows how far this plan has come, if it takes long.
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let plan = Arc::clone(plan);
        let (end, ended) = channel::<()>();
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let over = |time| !matches!(ended.recv_timeout(time), Err(RecvTimeoutError::Timeout));
            if over(PATIENCE) {
                return;
            }
            let bar = bar(expected(&plan));
            while !over(STEP) {
                bar.set_position(scanned(&plan));
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

fn leaves<'p>(plan: &'p Arc<dyn ExecutionPlan>, visit: &mut impl FnMut(&'p Arc<dyn ExecutionPlan>)) {
    if plan.children().is_empty() {
        visit(plan);
    }
    for child in plan.children() {
        leaves(child, visit);
    }
}

fn scanned(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let mut rows = 0;
    leaves(plan, &mut |leaf| {
        rows += leaf.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or_default() as u64;
    });
    rows
}

/// All rows of all scans, as far as that is known.
fn expected(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let mut rows = Some(0_u64);
    leaves(plan, &mut |leaf| {
        let known = StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok();
        let known = known.and_then(|known| known.num_rows.get_value().copied());
        rows = rows.zip(known).map(|(rows, known)| rows + known as u64);
    });
    rows.filter(|rows| *rows > 0)
}
