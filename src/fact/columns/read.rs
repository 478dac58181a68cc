//! Turns rows into facts.

use std::borrow::Cow;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};

use crate::fact::{
    Audit, DeadLetter, Event, Fact, FactId, Json, Kind, Position, Recorded, Seq, StreamId, Timestamp,
    UnixNanos,
};

/// The names of a batch's facts; `None` if it lacks the columns `stream` and `seq`.
pub(crate) fn ids(batch: &RecordBatch) -> Option<impl Iterator<Item = FactId>> {
    let stream = batch.column_by_name("stream")?.as_primitive_opt::<Int32Type>()?;
    let seq = batch.column_by_name("seq")?.as_primitive_opt::<Int64Type>()?;
    Some(
        stream
            .values()
            .iter()
            .zip(seq.values())
            .map(|(stream, seq)| FactId { stream: StreamId(*stream as u32), seq: Seq(*seq as u64) }),
    )
}

/// The positions of a batch's facts; `None` if it lacks one of the columns for them.
pub(crate) fn positions(batch: &RecordBatch) -> Option<impl Iterator<Item = Position>> {
    let recorded_at = batch.column_by_name("recorded_at")?.as_primitive_opt::<TimestampNanosecondType>()?;
    let positions = ids(batch)?.zip(recorded_at.values());
    Some(positions.map(|(FactId { stream, seq }, recorded_at)| Position {
        stream,
        seq,
        recorded_at: UnixNanos(*recorded_at),
    }))
}

/// The facts in a batch; `None` if it lacks columns of [`schema`](super::schema).
pub(crate) fn facts(kind: Kind, batch: &RecordBatch) -> Option<Vec<Recorded<Fact<'_>>>> {
    each_fact(kind, batch).map(Iterator::collect)
}

/// The facts in a batch as an iterator; `None` if it lacks columns of [`schema`](super::schema).
pub(crate) fn each_fact(kind: Kind, batch: &RecordBatch) -> Option<impl Iterator<Item = Recorded<Fact<'_>>>> {
    let text = |name: &str| batch.column_by_name(name)?.as_string_view_opt();
    let instant = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<TimestampNanosecondType>();
    let integer = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let list = |name: &str| batch.column_by_name(name)?.as_list_opt::<i32>();

    let timestamp = instant("timestamp")?;
    let bits = integer("timestamp_bits")?;
    let system_id = text("system_id")?;
    let extra = text("extra")?;

    let positions = positions(batch)?;
    let stamp = move |row: usize| {
        Timestamp::from_columns(
            timestamp.is_valid(row).then(|| timestamp.value(row)),
            bits.is_valid(row).then(|| bits.value(row)),
        )
    };
    let json = |text: &'_ str| -> Json<'static> { Json::trusted(Cow::Owned(text.to_owned())) };
    let extra = move |row: usize| extra.is_valid(row).then(|| json(extra.value(row)));
    let rows: Box<dyn Iterator<Item = Fact<'_>>> = match kind {
        Kind::Event => {
            let (address, class) = (text("actor_address")?, text("event_type")?);
            let payload = text("payload")?;
            Box::new((0..batch.num_rows()).map(move |row| {
                Fact::Event(Event {
                    system_id: Cow::Borrowed(system_id.value(row)),
                    actor_address: Cow::Borrowed(address.value(row)),
                    event_type: Cow::Borrowed(class.value(row)),
                    payload: Json::trusted(Cow::Borrowed(payload.value(row))),
                    timestamp: stamp(row),
                    extra: extra(row),
                })
            }))
        }
        Kind::Audit => {
            let counters = [
                integer("total_actors")?,
                integer("alive_actors")?,
                integer("stopping_actors")?,
                integer("restarting_actors")?,
                integer("registry_size")?,
                integer("dead_letters_count")?,
            ];
            let (orphans, dead) = (list("registry_orphans")?, list("registry_dead")?);
            let names = move |list: &arrow::array::ListArray, row: usize| -> Option<Vec<Cow<'static, str>>> {
                let names = list.value(row);
                let names: &StringArray = names.as_string_opt()?;
                Some(names.iter().flatten().map(|name| Cow::Owned(name.to_owned())).collect())
            };
            Box::new((0..batch.num_rows()).map(move |row| {
                let [total, alive, stopping, restarting, registry, letters] = counters.map(|c| c.value(row));
                Fact::Audit(Audit {
                    system_id: Cow::Borrowed(system_id.value(row)),
                    timestamp: stamp(row),
                    total_actors: total,
                    alive_actors: alive,
                    stopping_actors: stopping,
                    restarting_actors: restarting,
                    registry_size: registry,
                    dead_letters_count: letters,
                    registry_orphans: names(orphans, row).unwrap_or_default(),
                    registry_dead: names(dead, row).unwrap_or_default(),
                    extra: extra(row),
                })
            }))
        }
        Kind::DeadLetter => {
            let (target, class) = (text("target")?, text("message_type")?);
            let payload = text("payload")?;
            Box::new((0..batch.num_rows()).map(move |row| {
                Fact::DeadLetter(DeadLetter {
                    system_id: Cow::Borrowed(system_id.value(row)),
                    target: target.is_valid(row).then(|| Cow::Borrowed(target.value(row))),
                    message_type: Cow::Borrowed(class.value(row)),
                    payload: Json::trusted(Cow::Borrowed(payload.value(row))),
                    timestamp: stamp(row),
                    extra: extra(row),
                })
            }))
        }
    };
    Some(positions.zip(rows).map(|(position, fact)| Recorded { position, fact }))
}
