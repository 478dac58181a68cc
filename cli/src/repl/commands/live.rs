//! Commands that run until Ctrl-C.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use ostracon::QueryOptions;

use super::super::super::print::say;
use super::super::super::table::cut;
use super::super::known_names::texts;
use super::super::run::Stopped;
use super::super::session::{Session, screen};
use super::Next;

const POLL: Duration = Duration::from_millis(200);

pub(super) fn watch(session: &mut Session, seconds: &str) -> anyhow::Result<Next> {
    let seconds: f64 = if seconds.is_empty() { 2.0 } else { seconds.parse().unwrap_or(f64::NAN) };
    let Ok(pause) = Duration::try_from_secs_f64(if seconds >= 0.0 { seconds.max(0.1) } else { -1.0 }) else {
        anyhow::bail!("\\watch takes a number of seconds, such as 2 or 0.5");
    };
    let asked = session.current.clone();
    if asked.sql.is_empty() {
        anyhow::bail!("there is no statement to watch yet");
    }
    let pager = session.settings.pager.take();
    let watched = until_stopped(|| {
        if session.settings.interactive {
            let now = jiff::Timestamp::now().to_zoned_datetime(session.settings.zone.as_jiff().clone());
            say(&format!("{} (every {seconds} s, until Ctrl-C)", now.strftime("%H:%M:%S")));
        }
        session.ask(asked.clone(), None)?;
        session.runner.sleep(pause)
    });
    session.settings.pager = pager;
    watched
}

/// Repeats the work. Ctrl-C is the normal end.
fn until_stopped(mut again: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Next> {
    loop {
        match again() {
            Err(error) if error.is::<Stopped>() => return Ok(Next::Prompt),
            other => other?,
        }
    }
}

/// The columns that show the facts of each kind as lines: time, actor, event, and details.
const LINES: [(&str, &str); 3] = [
    ("events", "actor_address, event_type, coalesce(error, payload)"),
    (
        "audits",
        "system_id, 'audit', concat('alive ', alive_actors, ' of ', total_actors, ', dead letters ', dead_letters_count)",
    ),
    ("dead_letters", "coalesce(target, '?'), concat('lost ', message_type), payload"),
];

pub(super) fn tail(session: &mut Session, condition: &str) -> anyhow::Result<Next> {
    let condition = if condition.is_empty() { "true" } else { condition };
    let mut tables = Vec::new();
    let mut first_error = None;
    for (table, columns) in LINES {
        let sql = format!("SELECT * FROM {table} WHERE ({condition}\n) LIMIT 0");
        match session.runner.collect(&session.store, &sql, session.options()?) {
            Ok(_) => tables.push((table, columns)),
            Err(error) if error.is::<Stopped>() => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    if let Some(error) = first_error.filter(|_| tables.is_empty()) {
        return Err(error);
    }
    let mut seen = newest(session)?;
    if session.settings.interactive {
        say("facts as they are recorded, until Ctrl-C:");
    }
    until_stopped(|| {
        session.runner.sleep(POLL)?;
        let now = newest(session)?;
        if now == seen {
            return Ok(());
        }
        // The facts after those that were shown, up to those that are known now. Each fact is shown once,
        // even if others are recorded meanwhile.
        let news = now
            .iter()
            .map(|(stream, last)| {
                let first = seen.get(stream).copied().unwrap_or_default();
                format!("stream = {stream} AND seq > {first} AND seq <= {last}")
            })
            .collect::<Vec<_>>()
            .join(" OR ");
        let parts = tables.iter().map(|(table, columns)| {
            format!(
                "SELECT recorded_at, stream, seq, at, {columns} FROM {table} WHERE ({news}) AND ({condition}\n)"
            )
        });
        let sql = format!("{} ORDER BY 1, 2, 3", parts.collect::<Vec<_>>().join(" UNION ALL "));
        let (_, batches) = session.runner.collect(&session.store, &sql, session.options()?)?;
        let style = session.style();
        let width = screen().map_or(usize::MAX, |(width, _)| width);
        let mut out = std::io::stdout().lock();
        for batch in &batches {
            for row in style.rows(batch)? {
                let line = row.get(3..).unwrap_or_default().join("  ");
                writeln!(out, "{}", cut(&line, width))?;
            }
        }
        out.flush()?;
        seen = now;
        Ok(())
    })
}

/// The newest fact of each stream.
fn newest(session: &Session) -> anyhow::Result<BTreeMap<i64, i64>> {
    let sql = "SELECT stream, last_seq FROM store.streams";
    let (_, batches) = session.runner.collect(&session.store, sql, QueryOptions::new())?;
    let mut newest = BTreeMap::new();
    for batch in &batches {
        for row in texts(batch)? {
            if let [stream, last] = row.as_slice() {
                newest.insert(stream.parse()?, last.parse()?);
            }
        }
    }
    Ok(newest)
}
