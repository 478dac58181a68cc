//! `\explain`: shows the steps that answer a statement, and the time of each step.

use ostracon::Step;

use super::super::super::print::grouped;
use super::super::super::sanitize::visible;
use super::super::super::table::cut;
use super::super::session::{BoundStatement, Session, screen};
use super::Next;

pub(super) fn run(session: &mut Session, sql: &str) -> anyhow::Result<Next> {
    let asked = if sql.is_empty() { session.current.clone() } else { BoundStatement::typed(sql) };
    if asked.sql.is_empty() {
        anyhow::bail!("no statement was given; for example: \\explain SELECT …");
    }
    let begun = std::time::Instant::now();
    let running = session.runner.begin(&session.store, asked.sql.clone(), session.options_of(&asked)?)?;
    let planned = begun.elapsed();
    let monitor = running.monitor.clone();
    let mut batches = running.batches(None);
    let rows = session.runner.wait(async {
        let mut rows = 0;
        while let Some(batch) = batches.next().await? {
            rows += batch.num_rows();
        }
        Ok(rows as u64)
    })?;
    let took = begun.elapsed();
    let mut text = format!("{:>12} {:>10}  step\n", "rows", "time");
    let width = screen().filter(|_| session.settings.interactive).map_or(usize::MAX, |(width, _)| width);
    for step in monitor.steps() {
        text += &cut(&line(&step), width);
        text.push('\n');
    }
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

/// A step; it stands below the step that takes its rows.
fn line(step: &Step) -> String {
    let rows = step.rows.map_or_else(String::new, grouped);
    let time = step.busy.map_or_else(String::new, |time| format!("{:.2} ms", time.as_secs_f64() * 1e3));
    format!("{rows:>12} {time:>10}  {}{}", "  ".repeat(step.depth), visible(&step.description))
}
