//! Facts in columns: the Arrow schema of each kind, and the conversion in both directions.
//!
//! Two columns are hidden from SQL: `timestamp_bits` (the bits of a float that its nanosecond does not
//! determine) and `wall_time` (the wall time of a fact, if the start of its clock was given on import).
//! Hot keys of an event's payload have columns of their own: `error`, `error_type` (the exception's
//! class) and `reason`.

mod read;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StringViewBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{Fact, Json, Kind, PerKind, Seq, StreamId, UnixNanos};

pub(crate) use read::{each_fact, facts, ids, positions};

/// The type of all instants.
pub(crate) fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The columns of a segment of this kind, in their order.
pub(crate) fn schema(kind: Kind) -> SchemaRef {
    static SCHEMAS: LazyLock<PerKind<SchemaRef>> = LazyLock::new(|| PerKind::from_fn(build_schema));
    Arc::clone(&SCHEMAS[kind])
}

fn build_schema(kind: Kind) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let maybe = |name: &str| Field::new(name, DataType::Utf8View, true);
    let counter = |name: &str| Field::new(name, DataType::Int64, false);
    let list = |name: &str| {
        Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Utf8, false))), false)
    };
    let mut fields = vec![
        Field::new("recorded_at", instant_type(), false),
        Field::new("stream", DataType::Int32, false),
        Field::new("seq", DataType::Int64, false),
        Field::new("timestamp", instant_type(), true),
        Field::new("timestamp_bits", DataType::Int64, true),
        Field::new("wall_time", instant_type(), true),
        text("system_id"),
    ];
    fields.extend(match kind {
        Kind::Event => vec![
            text("actor_address"),
            text("event_type"),
            maybe("error"),
            maybe("error_type"),
            maybe("reason"),
            text("payload"),
        ],
        Kind::Audit => vec![
            counter("total_actors"),
            counter("alive_actors"),
            counter("stopping_actors"),
            counter("restarting_actors"),
            counter("registry_size"),
            list("registry_orphans"),
            list("registry_dead"),
            counter("dead_letters_count"),
        ],
        Kind::DeadLetter => vec![maybe("target"), text("message_type"), text("payload")],
    });
    fields.push(maybe("extra"));
    Arc::new(Schema::new(fields))
}

/// The columns of events that repeat keys of the payload.
pub(crate) const HOT_KEYS: [&str; 3] = ["error", "error_type", "reason"];

/// The hot keys' columns for events with these payloads.
#[derive(Default)]
struct HotKeys {
    error: StringViewBuilder,
    error_type: StringViewBuilder,
    reason: StringViewBuilder,
}

impl HotKeys {
    fn push(&mut self, payload: &Json<'_>) {
        let error = payload.text_of("error");
        self.error_type.append_option(error.as_deref().and_then(error_type));
        self.error.append_option(error);
        self.reason.append_option(payload.text_of("reason"));
    }

    /// In the order of [`HOT_KEYS`].
    fn finish(self) -> [StringViewBuilder; 3] {
        [self.error, self.error_type, self.reason]
    }
}

/// Adds the hot keys' columns, made from the payloads, to events whose batch lacks them; `None` if the
/// batch lacks other columns.
pub(crate) fn with_hot_keys(batch: &RecordBatch) -> Option<RecordBatch> {
    let payloads = batch.column_by_name("payload")?.as_string_view_opt()?;
    let mut keys = HotKeys::default();
    for payload in payloads {
        keys.push(&Json::trusted(Cow::Borrowed(payload?)));
    }
    let keys = keys.finish().map(|mut key| Arc::new(key.finish()) as ArrayRef);
    let schema = schema(Kind::Event);
    let columns = schema.fields().iter().map(|field| {
        let made = HOT_KEYS.iter().position(|key| key == field.name());
        made.map(|at| &keys[at]).or_else(|| batch.column_by_name(field.name())).cloned()
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Option<_>>()?).ok()
}

/// The exception's class in an error's text: `KeyError` of `KeyError: 'sku'`.
pub(crate) fn error_type(error: &str) -> Option<&str> {
    let (class, bare) = match error.split_once(':') {
        Some((class, rest)) if rest.is_empty() || rest.starts_with(' ') => (class, false),
        Some(_) => return None,
        None => (error, true),
    };
    let mut chars = class.chars();
    let first = chars.next()?;
    let named = if bare { first.is_uppercase() } else { first.is_alphabetic() || first == '_' };
    (named && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '.')).then_some(class)
}

/// Rows of one kind, and the sum of their facts' sizes.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) batch: RecordBatch,
    /// Bytes of the facts' JSON lines.
    pub(crate) fact_bytes: u64,
}

/// Builds the rows of one kind.
pub(crate) struct RowsBuilder {
    kind: Kind,
    recorded_at: Vec<i64>,
    seq: Vec<i64>,
    timestamp: Vec<Option<i64>>,
    timestamp_bits: Int64Builder,
    wall_time: Int64Builder,
    system_id: StringViewBuilder,
    /// `actor_address` or `target`.
    address: StringViewBuilder,
    /// `event_type` or `message_type`.
    class: StringViewBuilder,
    payload: StringViewBuilder,
    hot_keys: HotKeys,
    counters: [Vec<i64>; 6],
    orphans: ListBuilder<StringBuilder>,
    dead: ListBuilder<StringBuilder>,
    extra: StringViewBuilder,
    fact_bytes: u64,
}

impl RowsBuilder {
    pub(crate) fn new(kind: Kind) -> Self {
        let list = || {
            ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, false))
        };
        Self {
            kind,
            recorded_at: Vec::new(),
            seq: Vec::new(),
            timestamp: Vec::new(),
            timestamp_bits: Int64Builder::new(),
            wall_time: Int64Builder::new(),
            system_id: StringViewBuilder::new(),
            address: StringViewBuilder::new(),
            class: StringViewBuilder::new(),
            payload: StringViewBuilder::new(),
            hot_keys: HotKeys::default(),
            counters: Default::default(),
            orphans: list(),
            dead: list(),
            extra: StringViewBuilder::new(),
            fact_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seq.is_empty()
    }

    /// Adds a fact, which must be of the builder's kind. `wall_time` is given only if the start of its
    /// clock is known.
    pub(crate) fn push(
        &mut self,
        seq: Seq,
        recorded_at: UnixNanos,
        fact: &Fact<'_>,
        wall_time: Option<UnixNanos>,
    ) {
        debug_assert_eq!(fact.kind(), self.kind);
        let (nanos, bits) = fact.timestamp().to_columns();
        self.recorded_at.push(recorded_at.0);
        self.seq.push(seq.0 as i64);
        self.timestamp.push(nanos);
        self.timestamp_bits.append_option(bits);
        self.wall_time.append_option(wall_time.map(UnixNanos::get));
        self.fact_bytes += fact.line_len();
        match fact {
            Fact::Event(event) => {
                self.common(&event.system_id, event.extra.as_ref());
                self.address.append_value(&event.actor_address);
                self.class.append_value(&event.event_type);
                self.payload.append_value(event.payload.as_str());
                self.hot_keys.push(&event.payload);
            }
            Fact::Audit(audit) => {
                self.common(&audit.system_id, audit.extra.as_ref());
                let values = [
                    audit.total_actors,
                    audit.alive_actors,
                    audit.stopping_actors,
                    audit.restarting_actors,
                    audit.registry_size,
                    audit.dead_letters_count,
                ];
                for (column, value) in self.counters.iter_mut().zip(values) {
                    column.push(value);
                }
                self.orphans.append_value(audit.registry_orphans.iter().map(Some));
                self.dead.append_value(audit.registry_dead.iter().map(Some));
            }
            Fact::DeadLetter(letter) => {
                self.common(&letter.system_id, letter.extra.as_ref());
                self.address.append_option(letter.target.as_deref());
                self.class.append_value(&letter.message_type);
                self.payload.append_value(letter.payload.as_str());
            }
        }
    }

    fn common(&mut self, system_id: &str, extra: Option<&Json<'_>>) {
        self.system_id.append_value(system_id);
        self.extra.append_option(extra.map(Json::as_str));
    }

    /// Returns the rows as facts of this stream, and empties the builder. `first` is added to every
    /// `seq`, for facts that were numbered before their place was known.
    pub(crate) fn finish(&mut self, stream: StreamId, first: Seq) -> Rows {
        let built = std::mem::replace(self, Self::new(self.kind));
        let rows = built.seq.len();
        let mut seq = built.seq;
        if first.0 != 0 {
            for seq in &mut seq {
                *seq += first.0 as i64;
            }
        }
        let instants = |values: TimestampNanosecondArray| Arc::new(values.with_timezone("UTC")) as ArrayRef;
        let mut wall_time = built.wall_time;
        let mut timestamp_bits = built.timestamp_bits;
        let mut columns: Vec<ArrayRef> = vec![
            instants(built.recorded_at.into()),
            Arc::new(Int32Array::from_value(stream.0 as i32, rows)),
            Arc::new(Int64Array::from(seq)),
            instants(built.timestamp.into()),
            Arc::new(timestamp_bits.finish()),
            instants(wall_time.finish().reinterpret_cast()),
        ];
        let text = |mut builder: StringViewBuilder| Arc::new(builder.finish()) as ArrayRef;
        columns.push(text(built.system_id));
        match built.kind {
            Kind::Event => columns.extend(
                [built.address, built.class]
                    .into_iter()
                    .chain(built.hot_keys.finish())
                    .chain([built.payload])
                    .map(text),
            ),
            Kind::Audit => {
                let [total, alive, stopping, restarting, registry, letters] =
                    built.counters.map(|values| Arc::new(Int64Array::from(values)) as ArrayRef);
                let [orphans, dead] =
                    [built.orphans, built.dead].map(|mut list| Arc::new(list.finish()) as ArrayRef);
                columns.extend([total, alive, stopping, restarting, registry, orphans, dead, letters]);
            }
            Kind::DeadLetter => columns.extend([built.address, built.class, built.payload].map(text)),
        }
        columns.push(text(built.extra));
        #[expect(clippy::expect_used, reason = "the builder and the schema are written to match")]
        let batch = RecordBatch::try_new(schema(built.kind), columns).expect("columns match the schema");
        Rows { batch, fact_bytes: built.fact_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::any_fact;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_class_of_an_exception() {
        for (error, class) in [
            ("KeyError: 'sku'", Some("KeyError")),
            ("ValueError: ", Some("ValueError")),
            ("StopIteration", Some("StopIteration")),
            ("asyncio.TimeoutError: late", Some("asyncio.TimeoutError")),
            ("connection refused", None),
            ("http://host: no", None),
            ("not a class: no", None),
            ("boom", None),
            ("", None),
            (": x", None),
        ] {
            assert_eq!(error_type(error), class, "{error:?}");
        }
    }

    #[test]
    fn hot_keys_are_what_the_json_operator_gives() {
        let payload = |text: &'static str| Json::parse(text).unwrap();
        let hot = |text| payload(text).text_of("error").map(Cow::into_owned);
        assert_eq!(hot(r#"{"error": "a\nb"}"#).as_deref(), Some("a\nb"));
        assert_eq!(hot(r#"{"error": {"code": 1}}"#).as_deref(), Some(r#"{"code": 1}"#));
        assert_eq!(hot(r#"{"error": 1, "error": 2}"#).as_deref(), Some("2"));
        assert_eq!(hot(r#"{"error": null}"#), None);
        assert_eq!(hot(r#""error""#), None);
    }

    proptest! {
        #[test]
        fn facts_come_back_from_their_columns(given in prop::collection::vec(any_fact(), 0..20)) {
            for kind in Kind::ALL {
                let mut rows = RowsBuilder::new(kind);
                let of_kind: Vec<_> = given.iter().filter(|fact| fact.kind() == kind).collect();
                for (at, fact) in of_kind.iter().enumerate() {
                    rows.push(Seq(at as u64), UnixNanos(at as i64 * 3), fact, None);
                }
                let rows = rows.finish(StreamId(7), Seq(100));
                prop_assert_eq!(rows.fact_bytes, of_kind.iter().map(|fact| fact.line_len()).sum::<u64>());
                let back = facts(kind, &rows.batch).unwrap();
                prop_assert_eq!(back.len(), of_kind.len());
                for (at, (back, fact)) in back.iter().zip(&of_kind).enumerate() {
                    prop_assert_eq!(back.position.stream, StreamId(7));
                    prop_assert_eq!(back.position.seq, Seq(100 + at as u64));
                    prop_assert_eq!(&&back.fact, fact);
                }
            }
        }
    }
}
