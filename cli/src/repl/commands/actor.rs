//! `\actor`: shows the whole story of an actor.

use arrow::array::RecordBatch;
use ostracon::{QueryOptions, nearest};

use super::super::super::sanitize::visible;
use super::super::super::table::Expanded;
use super::super::known_names::texts;
use super::super::session::Session;
use super::{Next, unquoted};

const LIFE: &str = "SELECT system_id, state, first_seen, last_seen, starts, stops, restarts, crashes, last_error \
    FROM actors WHERE actor_address = $address";
const STORY: &str = "SELECT at, event_type, what FROM (
        SELECT at, event_type, coalesce(error, payload) AS what, recorded_at, stream, seq FROM events
        WHERE actor_address = $address ORDER BY at DESC, recorded_at DESC, stream DESC, seq DESC LIMIT 50
    ) ORDER BY at, recorded_at, stream, seq";
const ERRORS: &str = "SELECT error_group(error) AS error, count(*) AS crashes, min(at) AS first, max(at) AS last \
    FROM crashes WHERE actor_address = $address GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10";
const LOST: &str = "SELECT message_type, count(*) AS lost, min(at) AS first, max(at) AS last \
    FROM dead_letters WHERE target = $address GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10";
/// The crashes of which the facts around are shown.
const CRASHES: &str = "SELECT at, error, system_id, stream, seq, \
    CAST(arrow_cast(at, 'Timestamp(ns)') AS BIGINT) AS nanos \
    FROM crashes WHERE actor_address = $address ORDER BY at DESC, recorded_at DESC, stream DESC, seq DESC LIMIT 3";
/// The crash itself, and the facts of its system in the five seconds before and after it. Many facts may have
/// the same time; then their order in the store decides which are nearest.
const AROUND: &str = "WITH nearby AS (
        SELECT *, at < to_timestamp_nanos($crash) OR at = to_timestamp_nanos($crash)
            AND (stream < $stream OR stream = $stream AND seq < $seq) AS is_before FROM (
            SELECT at, actor_address AS who, event_type AS what, coalesce(error, payload) AS more,
                stream, seq FROM events WHERE system_id = $system
            UNION ALL SELECT at, target, concat('lost ', message_type), payload,
                stream, seq FROM dead_letters WHERE system_id = $system
        ) WHERE at >= to_timestamp_nanos($crash - 5000000000) AND at <= to_timestamp_nanos($crash + 5000000000)
    )
    SELECT CASE WHEN stream = $stream AND seq = $seq THEN '>' ELSE '' END AS \"*\", at, who, what, more FROM (
        (SELECT * FROM nearby WHERE is_before ORDER BY at DESC, stream DESC, seq DESC LIMIT 10)
        UNION ALL (SELECT * FROM nearby WHERE NOT is_before ORDER BY at, stream, seq LIMIT 11)
    ) ORDER BY at, stream, seq";

pub(super) fn run(session: &mut Session, address: &str) -> anyhow::Result<Next> {
    session.as_one(|session| story(session, address))
}

fn story(session: &mut Session, address: &str) -> anyhow::Result<Next> {
    let address = unquoted(address);
    let address = address.as_ref();
    if address.is_empty() {
        anyhow::bail!("no actor was given; name one, for example: \\actor shop:2");
    }
    let options = session.options()?.param("address", address);
    let life = rows(session, LIFE, &options)?;
    if life.1.iter().all(|batch| batch.num_rows() == 0) {
        let known = session.names.known();
        let actors = known.values.get("actor_address").into_iter().flatten().map(String::as_str);
        let suggestion = nearest(address, actors)
            .map(|name| format!("; did you mean {}?", visible(name)))
            .unwrap_or_default();
        anyhow::bail!("there are no events of an actor {address:?}{suggestion}");
    }
    // A row with many columns is shown as a block.
    let expanded = std::mem::replace(&mut session.settings.expanded, Expanded::On);
    let shown = part(session, "Life", life);
    session.settings.expanded = expanded;
    shown?;
    for (title, sql) in
        [("The last 50 events", STORY), ("Errors", ERRORS), ("Lost messages to this actor", LOST)]
    {
        let found = rows(session, sql, &options)?;
        part(session, title, found)?;
    }
    let (_, crashes) = rows(session, CRASHES, &options)?;
    let mut rows_of_crashes = Vec::new();
    for batch in &crashes {
        rows_of_crashes.extend(texts(batch)?.into_iter().zip(session.style().rows(batch)?));
    }
    for (crash, shown) in rows_of_crashes {
        let [_, error, system, stream, seq, nanos] = crash.as_slice() else { continue };
        let at = shown.first().map_or("", String::as_str);
        let options = session
            .options()?
            .param("system", system.as_str())
            .param("stream", stream.parse::<i64>()?)
            .param("seq", seq.parse::<i64>()?)
            .param("crash", nanos.parse::<i64>()?);
        let around = rows(session, AROUND, &options)?;
        let title = format!("Five seconds around the crash at {at} ({})", visible(error));
        part(session, &title, around)?;
    }
    Ok(Next::Prompt)
}

type Rows = (arrow::datatypes::SchemaRef, Vec<RecordBatch>);

fn rows(session: &Session, sql: &str, options: &QueryOptions) -> anyhow::Result<Rows> {
    session.runner.collect(&session.store, sql, options.clone())
}

fn part(session: &mut Session, title: &str, (schema, batches): Rows) -> anyhow::Result<()> {
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return session.title(&format!("{title}: none"));
    }
    session.title(title)?;
    session.present(schema, batches)?;
    Ok(())
}
