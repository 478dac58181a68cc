//! `\explain`: what was done to answer a statement, and how long each step took.

use std::sync::Arc;

use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use futures::StreamExt;

use super::super::super::harmless::visible;
use super::super::super::print::grouped;
use super::super::super::table::cut;
use super::super::session::{Asked, Session, screen};
use super::Next;

pub(super) fn run(session: &mut Session, sql: &str) -> anyhow::Result<Next> {
    let asked = if sql.is_empty() { session.current.clone() } else { Asked::typed(sql) };
    if asked.sql.is_empty() {
        anyhow::bail!("which statement? \\explain SELECT …");
    }
    let begun = std::time::Instant::now();
    let running = session.runner.begin(&session.store, asked.sql.clone(), session.options_of(&asked)?)?;
    let planned = begun.elapsed();
    let plan = Arc::clone(&running.plan);
    let mut stream = running.stream(None);
    let rows = session.runner.wait(async {
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            rows += batch.map_err(crate::query_error)?.num_rows();
        }
        Ok(rows as u64)
    })?;
    let took = begun.elapsed();
    let mut text = format!("{:>12} {:>10}  step\n", "rows", "time");
    let width = screen().filter(|_| session.settings.interactive).map_or(usize::MAX, |(width, _)| width);
    steps(&plan, 0, width, &mut text);
    let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    text += &format!(
        "{} {} in {:.1} ms, {:.1} ms of it for planning. Steps run at the same time, on all cores: their times overlap.\n",
        grouped(rows),
        if rows == 1 { "row" } else { "rows" },
        milliseconds(took),
        milliseconds(planned)
    );
    super::page(session, &text)
}

/// A step and those that it has its rows from.
fn steps(plan: &Arc<dyn ExecutionPlan>, depth: usize, width: usize, out: &mut String) {
    // It watches the whole, and does nothing to the rows.
    if let ("WatchExec", [watched]) = (plan.name(), plan.children().as_slice()) {
        return steps(watched, depth, width, out);
    }
    let metrics = plan.metrics();
    let rows = metrics.as_ref().and_then(MetricsSet::output_rows);
    let time = metrics.as_ref().and_then(MetricsSet::elapsed_compute);
    let rows = rows.map_or_else(String::new, |rows| grouped(rows as u64));
    let time = time.map_or_else(String::new, |nanos| format!("{:.2} ms", nanos as f64 / 1e6));
    let told = Told(plan.as_ref()).to_string();
    let line = format!("{rows:>12} {time:>10}  {}{}", "  ".repeat(depth), visible(&told));
    out.push_str(&cut(&line, width));
    out.push('\n');
    for child in plan.children() {
        steps(child, depth + 1, width, out);
    }
}

struct Told<'p>(&'p dyn ExecutionPlan);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt_as(DisplayFormatType::Default, f)
    }
}
