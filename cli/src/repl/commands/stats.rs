//! `\stats`: shows the store in numbers.

use ostracon::Kind;

use super::super::super::print::grouped;
use super::super::super::scan::counted;
use super::super::session::Session;
use super::Next;

const STREAMS: &str =
    "SELECT stream, last_seq AS facts, unflushed, last_recorded_at, ended FROM store.streams ORDER BY 1";

pub(super) fn run(session: &mut Session, _: &str) -> anyhow::Result<Next> {
    let summary = session.store.summary()?;
    let mut text = format!(
        "{:<14}{:>14}{:>15}{:>10}{:>16}{:>18}\n",
        "", "facts", "hidden", "segments", "bytes", "of JSON lines"
    );
    for kind in Kind::ALL {
        let of = summary.of(kind);
        let ratio = if of.fact_bytes == 0 {
            String::new()
        } else {
            format!("{:.1} %", of.segment_bytes as f64 * 100.0 / of.fact_bytes as f64)
        };
        text += &format!(
            "{:<14}{:>14}{:>15}{:>10}{:>16}{ratio:>18}\n",
            kind.table(),
            grouped(of.facts),
            of.hidden.map_or_else(|| "?".to_owned(), grouped),
            grouped(of.segments),
            grouped(of.segment_bytes)
        );
    }
    text += &format!(
        "{} in no segment yet; {}, {}:\n",
        counted(summary.unflushed, "fact"),
        counted(summary.commits, "commit"),
        counted(summary.streams, "stream")
    );
    super::page(session, &text)?;
    let (schema, batches) = session.runner.collect(&session.store, STREAMS, ostracon::QueryOptions::new())?;
    session.present(schema, batches)?;
    Ok(Next::Prompt)
}
