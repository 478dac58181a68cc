//! System tables, which show the state of the store itself. They are in the schema `store`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::consume::{self, ConsumerSummary, GroupSummary};
use crate::context::Context;
use crate::fact::columns::instant_type;
use crate::fact::{Kind, Seq, UnixNanos};
use crate::ledger::{Action, Commit, CommitNumber, Segment, StreamRange, commit_path, read_commit};
use crate::snapshot::Snapshot;

/// The names of the system tables.
pub(super) const NAMES: [&str; 6] = ["segments", "commits", "streams", "consumers", "unverified", "metrics"];

/// One system table. Its rows are computed when it is scanned.
pub(super) struct SystemTable {
    which: Which,
    schema: SchemaRef,
    context: Arc<Context>,
    snapshot: Arc<Snapshot>,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Segments,
    Commits,
    Streams,
    Consumers,
    Unverified,
    Metrics,
}

impl SystemTable {
    pub(super) fn find(name: &str, context: Arc<Context>, snapshot: Arc<Snapshot>) -> Option<Self> {
        let which = match name {
            "segments" => Which::Segments,
            "commits" => Which::Commits,
            "streams" => Which::Streams,
            "consumers" => Which::Consumers,
            "unverified" => Which::Unverified,
            "metrics" => Which::Metrics,
            _ => return None,
        };
        Some(Self { which, schema: which.schema(), context, snapshot })
    }

    fn columns(&self) -> crate::error::Result<Vec<ArrayRef>> {
        match self.which {
            Which::Segments => Ok(segments(&self.snapshot)),
            Which::Commits => commits(&self.context, &self.snapshot),
            Which::Streams => streams(&self.snapshot),
            Which::Consumers => consumers(&self.context),
            Which::Unverified => Ok(unverified(&self.snapshot)),
            Which::Metrics => Ok(metrics(&self.context)),
        }
    }
}

impl Which {
    fn schema(self) -> SchemaRef {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let number = |name| Field::new(name, DataType::Int64, true);
        let stream = || Field::new("stream", DataType::Int32, true);
        let instant = |name| Field::new(name, instant_type(), true);
        let fields = match self {
            Self::Segments => vec![
                text("path"),
                text("kind"),
                number("rows"),
                number("bytes"),
                number("fact_bytes"),
                stream(),
                number("first_seq"),
                number("last_seq"),
                instant("first_recorded_at"),
                instant("last_recorded_at"),
                instant("first_at"),
                instant("last_at"),
                text("blake3"),
            ],
            Self::Commits => vec![
                number("number"),
                instant("at"),
                text("action"),
                text("by"),
                stream(),
                number("first_seq"),
                number("last_seq"),
                number("segments_added"),
                number("rows_added"),
                number("bytes_added"),
                text("imported_from"),
                text("hold"),
                text("who"),
                text("why"),
                number("rows_dropped"),
                text("dropped_by_rule"),
                text("parent"),
            ],
            Self::Streams => vec![
                stream(),
                number("committed_seq"),
                number("last_seq"),
                number("unflushed"),
                instant("last_recorded_at"),
                Field::new("ended", DataType::Boolean, false),
            ],
            Self::Consumers => vec![
                text("kind"),
                text("group_name"),
                text("delivered"),
                text("consumer"),
                number("pending"),
                instant("waiting_since"),
            ],
            Self::Unverified => vec![text("kind"), stream(), number("first_seq"), number("last_seq")],
            Self::Metrics => vec![text("name"), number("value"), text("meaning")],
        };
        Arc::new(Schema::new(fields))
    }
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(|value| value as i64).collect::<Int64Array>())
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn instants(values: impl Iterator<Item = UnixNanos>) -> ArrayRef {
    Arc::new(values.map(|nanos| Some(nanos.get())).collect::<TimestampNanosecondArray>().with_timezone("UTC"))
}

fn segments(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let all: Vec<_> = Kind::ALL.iter().flat_map(|kind| snapshot.state.segments(*kind)).collect();
    let each = || all.iter().copied();
    let single = |pick: fn(&StreamRange) -> u64| {
        // A segment of several streams has no single range.
        Arc::new(
            each()
                .map(|segment| match segment.streams.as_slice() {
                    [only] => Some(pick(only) as i64),
                    _ => None,
                })
                .collect::<Int64Array>(),
        ) as ArrayRef
    };
    let stream: Int32Array = each()
        .map(|segment| match segment.streams.as_slice() {
            [only] => Some(only.stream.get() as i32),
            _ => None,
        })
        .collect();
    vec![
        texts(each().map(|segment| segment.path.clone())),
        texts(each().map(|segment| segment.kind.table().to_owned())),
        numbers(each().map(|segment| segment.rows)),
        numbers(each().map(|segment| segment.bytes)),
        numbers(each().map(|segment| segment.fact_bytes)),
        Arc::new(stream),
        single(|range| range.first_seq.get()),
        single(|range| range.last_seq.get()),
        instants(each().map(|segment| segment.recorded_at.min)),
        instants(each().map(|segment| segment.recorded_at.max)),
        instants(each().map(|segment| segment.at.min)),
        instants(each().map(|segment| segment.at.max)),
        texts(each().map(|segment| segment.blake3.clone())),
    ]
}

fn commits(context: &Context, snapshot: &Snapshot) -> crate::error::Result<Vec<ArrayRef>> {
    let mut all: Vec<Commit> = Vec::new();
    for number in snapshot.state.root.0..=snapshot.state.head.number.0 {
        let (folder, number) = (context.ledger.folder(), CommitNumber(number));
        match read_commit(folder, number)? {
            Some((commit, _)) => all.push(commit),
            None => {
                return Err(crate::error::Error::damaged(
                    &commit_path(folder, number),
                    "the commit is missing",
                ));
            }
        }
    }
    let actions = || all.iter().map(|commit| &commit.action);
    let of_range = |pick: fn(&StreamRange) -> u64| {
        let values = actions().map(|action| action.range().map(|range| pick(range) as i64));
        Arc::new(values.collect::<Int64Array>()) as ArrayRef
    };
    let added = |pick: fn(&[Segment]) -> u64| {
        // The first commit of a store cannot add facts.
        let values = actions().map(|action| (*action != Action::Create).then(|| pick(action.added()) as i64));
        Arc::new(values.collect::<Int64Array>()) as ArrayRef
    };
    let imported = actions().map(|action| match action {
        Action::Flush { import, .. } => import.as_ref().map(|mark| &mark.name),
        _ => None,
    });
    Ok(vec![
        numbers(all.iter().map(|commit| commit.number.0)),
        instants(all.iter().map(|commit| commit.at)),
        texts(actions().map(|action| action.name().to_owned())),
        texts(all.iter().map(|commit| commit.by.clone())),
        Arc::new(
            actions()
                .map(|action| action.range().map(|range| range.stream.get() as i32))
                .collect::<Int32Array>(),
        ),
        of_range(|range| range.first_seq.get()),
        of_range(|range| range.last_seq.get()),
        added(|add| add.len() as u64),
        added(|add| add.iter().map(|segment| segment.rows).sum()),
        added(|add| add.iter().map(|segment| segment.bytes).sum()),
        Arc::new(imported.collect::<StringArray>()),
        optional(actions().map(|action| held(action).map(|(name, ..)| name))),
        optional(actions().map(|action| held(action).map(|(_, who, _)| who))),
        optional(actions().map(|action| held(action).map(|(.., why)| why))),
        Arc::new(actions().map(|action| dropped(action).map(|(rows, _)| rows)).collect::<Int64Array>()),
        Arc::new(actions().map(|action| dropped(action).map(|(_, rules)| rules)).collect::<StringArray>()),
        texts(all.iter().map(|commit| commit.parent.clone())),
    ])
}

/// Returns the name of a hold that an action added or released, the person who did it, and the reason.
fn held(action: &Action) -> Option<(&str, &str, &str)> {
    match action {
        Action::Hold { name, hold } => Some((name, &hold.by, &hold.reason)),
        Action::Release { name, by, reason } => Some((name, by, reason)),
        _ => None,
    }
}

/// Returns the number of facts that a compaction has dropped, and as JSON the number for each rule.
fn dropped(action: &Action) -> Option<(i64, String)> {
    let Action::Compact { dropped, .. } = action else { return None };
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for dropped in dropped {
        *rules.entry(&dropped.rule).or_default() += dropped.total.facts;
    }
    let rows = rules.values().fold(0, |sum: u64, rows| sum.saturating_add(*rows));
    Some((rows as i64, serde_json::to_string(&rules).ok()?))
}

fn optional<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn streams(snapshot: &Snapshot) -> crate::error::Result<Vec<ArrayRef>> {
    let tail = snapshot.tail()?;
    let newest = snapshot.newest()?;
    let known = |stream| snapshot.state.streams.get(stream);
    let committed = |stream| snapshot.state.committed(stream);
    let last_recorded = newest.iter().map(|(stream, _)| {
        let unflushed =
            tail.iter().rfind(|chunk| chunk.stream == *stream).map(|chunk| chunk.last_recorded_at());
        unflushed.or_else(|| known(stream).map(|known| known.last_recorded_at)).unwrap_or_default()
    });
    let unflushed = |stream, last: Seq| last.get().saturating_sub(committed(stream).get());
    Ok(vec![
        Arc::new(newest.iter().map(|(stream, _)| Some(stream.get() as i32)).collect::<Int32Array>()),
        numbers(newest.iter().map(|(stream, _)| committed(*stream).get())),
        numbers(newest.iter().map(|(_, last)| last.get())),
        numbers(newest.iter().map(|(stream, last)| unflushed(*stream, *last))),
        instants(last_recorded),
        Arc::new(
            newest
                .iter()
                .map(|(stream, _)| Some(known(stream).is_some_and(|known| known.ended)))
                .collect::<BooleanArray>(),
        ),
    ])
}

/// Returns a row for each consumer with pending facts, and a row for each group without pending facts.
fn consumers(context: &Context) -> crate::error::Result<Vec<ArrayRef>> {
    let (groups, now) = (consume::summaries(context)?, context.now());
    let rows: Vec<(&GroupSummary, Option<&ConsumerSummary>)> = groups
        .iter()
        .flat_map(|group| {
            let none = group.consumers.is_empty().then_some((group, None));
            none.into_iter().chain(group.consumers.iter().map(move |consumer| (group, Some(consumer))))
        })
        .collect();
    let since = |consumer: &ConsumerSummary| {
        let idle = i64::try_from(consumer.longest_idle.as_nanos()).unwrap_or(i64::MAX);
        now.get().saturating_sub(idle)
    };
    let waiting: TimestampNanosecondArray = rows.iter().map(|(_, consumer)| consumer.map(since)).collect();
    Ok(vec![
        texts(rows.iter().map(|(group, _)| group.kind.table().to_owned())),
        texts(rows.iter().map(|(group, _)| group.group.clone())),
        texts(rows.iter().map(|(group, _)| group.delivered.to_string())),
        optional(rows.iter().map(|(_, consumer)| consumer.map(|consumer| consumer.consumer.as_str()))),
        numbers(rows.iter().map(|(_, consumer)| consumer.map_or(0, |consumer| consumer.pending))),
        Arc::new(waiting.with_timezone("UTC")),
    ])
}

/// Returns the ranges of facts that may differ from the recorded facts.
fn unverified(snapshot: &Snapshot) -> Vec<ArrayRef> {
    let all = &snapshot.state.unverified;
    let each = || all.iter().flat_map(|of| of.within.iter().map(|range| (of.kind, *range)));
    vec![
        texts(each().map(|(kind, _)| kind.table().to_owned())),
        Arc::new(each().map(|(_, range)| Some(range.stream.get() as i32)).collect::<Int32Array>()),
        numbers(each().map(|(_, range)| range.first_seq.get())),
        numbers(each().map(|(_, range)| range.last_seq.get())),
    ]
}

fn metrics(context: &Context) -> Vec<ArrayRef> {
    let counters = context.metrics.snapshot().counters();
    vec![
        texts(counters.iter().map(|(name, ..)| (*name).to_owned())),
        numbers(counters.iter().map(|(.., value)| *value)),
        texts(counters.iter().map(|(_, meaning, _)| (*meaning).to_owned())),
    ]
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTable").field("which", &self.which).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.columns().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let batch = RecordBatch::try_new(self.schema(), columns)?;
        let rows = MemTable::try_new(self.schema(), vec![vec![batch]])?;
        rows.scan(state, projection, filters, limit).await
    }
}
