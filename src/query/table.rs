//! The table of a kind: its live segments and its unflushed tail.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::facts_union::FactsUnionExec;
use super::operator_chains;
use super::prune::{SegmentStatistics, statistics};
use super::retained_rows::{Retained, RetainedExec, kept};
use super::segment_reader::SegmentReaders;
use super::tail::TailExec;
use super::time_window::Window;
use super::wall_time::{self, AT};
use crate::fact::columns;
use crate::fact::{Kind, PerKind};
use crate::ledger::Segment;
use crate::retention::{Selection, Verdict};
use crate::snapshot::Snapshot;

/// One of `events`, `audits`, `dead_letters`, over one snapshot.
pub(super) struct FactTable {
    kind: Kind,
    snapshot: Arc<Snapshot>,
    retained: Arc<Retained>,
    url: ObjectStoreUrl,
    /// Whether segments are pruned. It is `false` only in a test that compares results.
    prune: bool,
    window: Option<Window>,
}

/// Returns the columns that SQL shows: `at` first, then the contents of a fact, then its position.
pub(super) fn sql_schema(kind: Kind) -> SchemaRef {
    static SCHEMAS: LazyLock<PerKind<SchemaRef>> = LazyLock::new(|| PerKind::from_fn(build_schema));
    Arc::clone(&SCHEMAS[kind])
}

fn build_schema(kind: Kind) -> SchemaRef {
    const PLACE: [&str; 5] = ["recorded_at", "timestamp", "stream", "seq", "extra"];
    const HIDDEN: [&str; 2] = ["timestamp_bits", "wall_time"];
    let stored = columns::schema(kind);
    let mut fields = vec![Arc::new(Field::new(AT, columns::instant_type(), false))];
    let shown = |name: &String| !PLACE.contains(&name.as_str()) && !HIDDEN.contains(&name.as_str());
    fields.extend(stored.fields().iter().filter(|field| shown(field.name())).cloned());
    fields.extend(
        PLACE.iter().filter_map(|name| stored.fields().find(name)).map(|(_, field)| Arc::clone(field)),
    );
    Arc::new(Schema::new(fields))
}

impl FactTable {
    pub(super) const fn new(
        kind: Kind,
        snapshot: Arc<Snapshot>,
        retained: Arc<Retained>,
        url: ObjectStoreUrl,
        prune: bool,
        window: Option<Window>,
    ) -> Self {
        Self { kind, snapshot, retained, url, prune, window }
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the live segments that may have rows for these filters.
    fn matching(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<Arc<Segment>>> {
        let segments = self.snapshot.state.segments(self.kind);
        let Some(filter) = operator_chains::joined(filters.to_vec(), Operator::And).filter(|_| self.prune)
        else {
            return Ok(segments.to_vec());
        };
        let schema = sql_schema(self.kind);
        let filter = unqualified(filter)?;
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let predicate = PruningPredicateBuilder::new().with_file_schema(schema).try_build(filter);
        let Ok(predicate) = predicate else { return Ok(segments.to_vec()) };
        // A condition that fails on a bound may still succeed on rows.
        let Ok(kept) = predicate.prune(&SegmentStatistics(segments)) else { return Ok(segments.to_vec()) };
        Ok(segments
            .iter()
            .zip(kept)
            .filter(|(_, kept)| *kept)
            .map(|(segment, _)| Arc::clone(segment))
            .collect())
    }

    /// Returns scans of the rows of `segments` that retention keeps. They return the given stored columns.
    fn scan_retained(
        &self,
        state: &dyn Session,
        selection: &Arc<Selection>,
        segments: Vec<Arc<Segment>>,
        stored: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let (mut whole, mut mixed) = (Vec::new(), Vec::new());
        for segment in segments {
            match selection.segment(&segment) {
                Verdict::KeepAll => whole.push(segment),
                Verdict::DropAll(_) if self.prune => {}
                _ => mixed.push(segment),
            }
        }
        let mut inputs = Vec::new();
        if !whole.is_empty() {
            inputs.push(self.scan_segments(state, &whole, stored, filters, limit)?);
        }
        if !mixed.is_empty() {
            let mut read = stored.to_vec();
            read.extend(selection.columns(self.kind).iter().filter(|column| !stored.contains(column)));
            // No limit here: it would count rows that are not kept.
            let scan = self.scan_segments(state, &mixed, &read, filters, None)?;
            let kept: Arc<dyn ExecutionPlan> =
                Arc::new(RetainedExec::new(self.kind, Arc::clone(selection), scan));
            let schema = kept.schema();
            let asked = schema.fields().iter().take(stored.len()).enumerate().map(|(at, field)| {
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), at));
                (column, field.name().clone())
            });
            inputs.push(if read.len() == stored.len() {
                kept
            } else {
                Arc::new(ProjectionExec::try_new(asked.collect::<Vec<_>>(), Arc::clone(&kept))?)
            });
        }
        Ok(inputs)
    }

    /// Makes a scan of segments that returns the given stored columns.
    fn scan_segments(
        &self,
        state: &dyn Session,
        segments: &[Arc<Segment>],
        stored: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = columns::schema(self.kind);
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = SegmentReaders::new(self.retained.context(), segments, footers);
        let mut source = ParquetSource::new(Arc::clone(&schema))
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_parquet_file_reader_factory(Arc::new(readers))
            .with_pushdown_filters(self.prune && state.config_options().execution.parquet.pushdown_filters);
        if let Some(filter) = operator_chains::joined(filters.to_vec(), Operator::And).filter(|_| self.prune)
        {
            let filter = wall_time::to_stored(filter)?;
            let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)?;
            source = source.with_predicate(filter);
        }
        let known: Vec<_> = segments.iter().map(|segment| Arc::new(statistics(self.kind, segment))).collect();
        let total = Statistics::try_merge_iter(known.iter().map(Arc::as_ref), &schema)?;
        let files = segments.iter().zip(known).map(|(segment, known)| {
            PartitionedFile::new(segment.path.clone(), segment.bytes).with_statistics(known)
        });
        let groups = FileGroup::new(files.collect()).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(total)
            .with_projection_indices(Some(stored.to_vec()))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Makes a plan for all rows that retention keeps and that may match. It returns the given SQL columns.
    fn scan_columns(
        &self,
        state: &dyn Session,
        asked: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sql = sql_schema(self.kind);
        let schema = columns::schema(self.kind);
        let names: Vec<&str> = asked.iter().map(|column| sql.field(*column).name().as_str()).collect();

        // The stored columns to read: the requested columns, and the columns from which `at` is computed.
        let mut read: Vec<&str> = names.iter().copied().filter(|name| *name != AT).collect();
        let computes_at = names.contains(&AT);
        if computes_at {
            for part in ["wall_time", "timestamp", "recorded_at"] {
                if !read.contains(&part) {
                    read.push(part);
                }
            }
        }
        let stored = read.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;

        let segments = self.matching(state, filters)?;
        let chunks = self.snapshot.tail().map_err(|error| DataFusionError::External(Box::new(error)))?;
        let selection = self.retained.selection()?;
        let tail = chunks.iter().filter_map(|chunk| chunk.rows(self.kind));
        let tail = tail.map(|rows| Ok(kept(&selection, self.kind, &rows.batch)?.project(&stored)?));
        let tail = tail.collect::<Result<Vec<_>>>()?;

        let mut inputs = self.scan_retained(state, &selection, segments, &stored, filters, limit)?;
        let read_schema = Arc::new(schema.project(&stored)?);
        if !tail.is_empty() {
            inputs.push(Arc::new(TailExec::new(Arc::clone(&read_schema), tail)));
        }
        let rows: Arc<dyn ExecutionPlan> = match inputs.len() {
            0 => Arc::new(EmptyExec::new(Arc::clone(&read_schema))),
            1 => inputs.remove(0),
            _ => FactsUnionExec::over(inputs)?,
        };
        if !computes_at {
            return Ok(rows);
        }
        let at = wall_time::over(&read_schema)?;
        let expressions = names.iter().map(|name| {
            let expression: Arc<dyn PhysicalExpr> = if *name == AT {
                Arc::clone(&at)
            } else {
                Arc::new(Column::new_with_schema(name, &read_schema)?)
            };
            Ok((expression, (*name).to_owned()))
        });
        Ok(Arc::new(ProjectionExec::try_new(expressions.collect::<Result<Vec<_>>>()?, rows)?))
    }
}

/// Removes the relation from all columns of an expression.
fn unqualified(expr: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let expr = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(datafusion::common::Column::from_name(column.name)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(expr.data)
}

impl fmt::Debug for FactTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactTable").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for FactTable {
    fn schema(&self) -> SchemaRef {
        sql_schema(self.kind)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Statistics only leave out segments that cannot match. The filter itself stays in the plan.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sql = sql_schema(self.kind);
        let mut columns: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..sql.fields().len()).collect());
        let Some(window) = self.window else { return self.scan_columns(state, &columns, filters, limit) };
        let asked = columns.len();
        for name in window.columns() {
            let column = sql.index_of(name)?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let filters: Vec<Expr> = filters.iter().cloned().chain(window.conditions()).collect();
        // No limit here: it would count rows outside the window.
        let rows = self.scan_columns(state, &columns, &filters, None)?;
        window.over(state, rows, asked)
    }
}
