//! DataFusion sessions: the tables, functions and rules that a query may use.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::{DataFusionError, Result as DfResult, exec_err};
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::TableType;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use super::bounded_functions::bound_functions;
use super::datafusion_corrections::above_aggregates::AboveAggregates;
use super::datafusion_corrections::by_position::ByPosition;
use super::datafusion_corrections::empty_branches::EmptyBranches;
use super::datafusion_corrections::ensure_sorted::EnsureSorted;
use super::datafusion_corrections::hide_equalities::HideEqualities;
use super::datafusion_corrections::known_aggregates::{self, KnownAggregates};
use super::datafusion_corrections::nested_distinct::NestedDistinct;
use super::datafusion_corrections::null_keys::NullKeys;
use super::datafusion_corrections::outer_joins::HideJoinConstants;
use super::datafusion_corrections::union_constants::HideUnionConstants;
use super::datafusion_corrections::window_orders::HideWindowOrders;
use super::deadline::Deadline;
use super::dynamic_filter::DynamicFilters;
use super::in_lists::CombineInLists;
use super::newest_first::NewestFirst;
use super::planning::Planning;
use super::retained_rows::Retained;
use super::system::{self, SystemTable};
use super::table::FactTable;
use super::time::SessionZone;
use super::time_window::Window;
use super::views;
use super::window_memory::CountWindows;
use super::workers::Timeout;
use super::{QueryOptions, answer_names, functions, json, query_error, time, types};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::settings::{LEAST_ROWS_AT_ONCE, QuerySettings};
use crate::snapshot::Snapshot;

/// The URL of the segments in a plan. A query cannot open anything else, under this or any other URL.
const URL: &str = "ostracon://store/";
/// The name of the catalog.
const CATALOG: &str = "ostracon";
/// The schema of the tables and views of facts.
const FACTS: &str = "facts";
/// The schema of the system tables.
const SYSTEM: &str = "store";

/// The parts that all sessions of a store share: functions, rules, and the footers of segments.
pub(crate) struct Engine {
    base: SessionState,
    runtime: Arc<RuntimeEnv>,
    settings: QuerySettings,
}

impl Engine {
    pub(crate) fn new(context: &Context) -> Result<Self> {
        let settings = context.settings.query.clone();
        let store = LocalFileSystem::new_with_prefix(&context.root)
            .map_err(|error| Error::with_source(ErrorKind::Io, "failed to read the store's folder", error))?;
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(OnlyThisStore(Arc::new(store))))
            .build_arc()
            .map_err(query_error)?;

        let mut state = SessionStateBuilder::new()
            .with_config(config())
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_analyzer_rules(types::analyzer_rules())
            .with_query_planner(Arc::new(types::GuardedPlanner))
            .with_optimizer_rules(logical_rules())
            .with_physical_optimizer_rules(physical_rules())
            .build();
        register_functions(&mut state).map_err(query_error)?;
        state.add_analyzer_rule(Arc::new(NestedDistinct));
        Ok(Self { base: state, runtime, settings })
    }

    /// Makes a session over one snapshot.
    pub(super) fn session(
        &self,
        context: &Arc<Context>,
        snapshot: &Arc<Snapshot>,
        options: &QueryOptions,
    ) -> Result<SessionContext> {
        let memory = FairSpillPool::new(self.settings.memory_bytes);
        let most_consumers = NonZeroUsize::MIN.saturating_add(2);
        let spill = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::OsTmpDirectory)
            .with_max_temp_directory_size(self.settings.spill_bytes)
            .build()
            .map_err(query_error)?;
        let runtime = RuntimeEnv {
            memory_pool: Arc::new(TrackConsumersPool::new(memory, most_consumers)),
            disk_manager: Arc::new(spill),
            ..(*self.runtime).clone()
        };
        let retained = Retained::new(Arc::clone(context), Arc::clone(snapshot), context.now());
        let catalog = Catalog {
            facts: Arc::new(Facts {
                context: Arc::clone(context),
                snapshot: Arc::clone(snapshot),
                retained: Arc::new(retained),
                prune: options.prune.unwrap_or(true),
                window: Window::of(options),
            }),
            system: Arc::new(System { context: Arc::clone(context), snapshot: Arc::clone(snapshot) }),
        };
        let timeout = options.timeout.or(self.settings.timeout);
        let watch = Deadline::new(timeout, &context.root, Arc::clone(snapshot));
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone());
        if let Some(config) = state.config() {
            let rows = ConfigNonZeroUsize::try_new(batch_rows(snapshot)).map_err(query_error)?;
            config.options_mut().execution.batch_size = rows;
            config.set_extension(Arc::new(Timeout(timeout)));
        }
        let state = Planning::within(timeout)
            .watch(&self.base, state, &options.without_rules)
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(Arc::new(Catalogs(Arc::new(catalog))))
            .with_physical_optimizer_rule(Arc::new(watch));
        let state = if options.zone.is_utc() {
            state
        } else {
            state.with_analyzer_rule(Arc::new(SessionZone(options.zone.clone())))
        };
        let state = state.build();
        Ok(SessionContext::new_with_state(state))
    }
}

/// Returns the number of rows in a batch. It is smaller for large facts, because operators count rows and not
/// bytes.
fn batch_rows(snapshot: &Snapshot) -> usize {
    const ROWS: u64 = 8192;
    const BYTES: u64 = 16 << 20;
    let segments = snapshot.state.segments.iter().flatten();
    let largest = segments.map(|segment| segment.fact_bytes / segment.rows.max(1)).max().unwrap_or_default();
    (BYTES / largest.max(1)).clamp(LEAST_ROWS_AT_ONCE, ROWS) as usize
}

/// Sets the number of rows in a batch, unless it is smaller already.
pub(super) fn set_batch_rows(context: &SessionContext, rows: usize) -> DfResult<()> {
    let state = context.state_ref();
    let mut state = state.write();
    let execution = &mut state.config_mut().options_mut().execution;
    execution.batch_size = ConfigNonZeroUsize::try_new(rows.min(execution.batch_size.get()))?;
    Ok(())
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Returns the names of the tables and views of a session, as users write them.
pub(super) fn table_names(context: &SessionContext) -> Vec<String> {
    let Some(catalog) = context.catalog(CATALOG) else { return Vec::new() };
    let named = |schema| catalog.schema(schema).map(|schema| schema.table_names()).unwrap_or_default();
    let system = named(SYSTEM).into_iter().map(|name| format!("{SYSTEM}.{name}"));
    named(FACTS).into_iter().chain(system).collect()
}

/// Functions that only this program writes into plans. Users do not call them.
const INTERNAL: [&str; 9] = [
    "canonical_interval",
    "checked_add",
    "checked_multiply",
    "checked_subtract",
    "divided_length",
    "limited_value",
    "named_cast",
    "number_key",
    "number_order",
];

/// Whether a session has a window function of this name.
pub(super) fn is_window_function(context: &SessionContext, name: &str) -> bool {
    context.state().window_functions().contains_key(name)
}

/// Returns the names of all functions of a session that a user may call.
pub(super) fn function_names(context: &SessionContext) -> Vec<String> {
    let state = context.state();
    let scalar = state.scalar_functions().keys().filter(|name| !INTERNAL.contains(&name.as_str()));
    scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys()).cloned().collect()
}

/// Returns the configuration for all SQL.
pub(super) fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, FACTS)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    // In this dialect `payload->>'x' LIKE …` has the usual precedence.
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    // Instants are in UTC, also the results of now() and of `::timestamptz`.
    options.execution.time_zone = Some("UTC".to_owned());
    // This optimization gives wrong rows with `->>` (datafusion #25414).
    options.optimizer.enable_leaf_expression_pushdown = false;
    // This optimization gives wrong results for several `min` and `max` in one query (datafusion #24816,
    // #25147).
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // For `x IS NOT TRUE` in a GROUP BY, the logical and the physical plan disagree about NULL, and the check
    // fails.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.execution.parquet.bloom_filter_on_read = true;
    config
}

/// Registers Ostracon's functions and the operators on JSON.
pub(super) fn register_functions(state: &mut SessionState) -> DfResult<()> {
    state.register_udf(Arc::new(functions::error_group_function()))?;
    state.register_udf(answer_names::named_cast_function())?;
    json::register(state)?;
    types::register(state)?;
    time::register(state)?;
    bound_functions(state)
}

/// Returns DataFusion's logical rules and ours. Each of our rules runs before the rule that it guards.
fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == "simplify_expressions").unwrap_or_default();
    rules.insert(at, Arc::new(CombineInLists));
    let above_aggregates = |rule: Arc<dyn OptimizerRule + Send + Sync>| {
        let pushes = rule.name() == "push_down_filter";
        if pushes { Arc::new(AboveAggregates(rule)) } else { rule }
    };
    let mut rules: Vec<_> =
        rules.into_iter().map(above_aggregates).map(NullKeys::guard).map(EmptyBranches::guard).collect();
    rules.push(Arc::new(HideEqualities));
    rules
}

/// Returns DataFusion's physical rules and ours. Each of our rules runs after the rule that it depends on.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let right = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match rule.name() {
        known_aggregates::REPLACES => Arc::new(KnownAggregates) as _,
        name if name.starts_with("FilterPushdown") => Arc::new(ByPosition(rule)) as _,
        _ => rule,
    };
    let mut rules: Vec<_> = PhysicalOptimizer::default().rules.into_iter().map(right).collect();
    let after = rules.iter().position(|rule| rule.name() == "join_selection").map_or(0, |at| at + 1);
    rules.insert(after, Arc::new(HideJoinConstants));
    rules.insert(after, Arc::new(HideWindowOrders));
    // A filter that is moved into the branches of a union makes columns constants of the branches.
    let after = rules.iter().position(|rule| rule.name() == "FilterPushdown").map_or(after, |at| at + 1);
    rules.insert(after, Arc::new(HideUnionConstants));
    let before = rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(before, Arc::new(EnsureSorted));
    let after = rules.iter().position(|rule| rule.name() == "PushdownSort").map_or(rules.len(), |at| at + 1);
    rules.insert(after, Arc::new(NewestFirst));
    rules.push(Arc::new(CountWindows));
    rules.push(Arc::new(DynamicFilters));
    rules
}

/// A registry that contains one store, and accepts no other.
#[derive(Debug)]
struct OnlyThisStore(Arc<LocalFileSystem>);

impl ObjectStoreRegistry for OnlyThisStore {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        if url.as_str() == URL {
            return Ok(Arc::clone(&self.0) as Arc<dyn ObjectStore>);
        }
        exec_err!("failed to open {url}: a query can only read the store")
    }
}

#[derive(Debug)]
struct Catalogs(Arc<Catalog>);

impl CatalogProviderList for Catalogs {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.0) as Arc<dyn CatalogProvider>)
    }
}

#[derive(Debug)]
struct Catalog {
    facts: Arc<Facts>,
    system: Arc<System>,
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        vec![FACTS.to_owned(), SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            FACTS => Some(Arc::clone(&self.facts) as Arc<dyn SchemaProvider>),
            SYSTEM => Some(Arc::clone(&self.system) as Arc<dyn SchemaProvider>),
            _ => None,
        }
    }
}

/// The schema of the tables and views of facts.
struct Facts {
    context: Arc<Context>,
    snapshot: Arc<Snapshot>,
    retained: Arc<Retained>,
    prune: bool,
    window: Option<Window>,
}

impl Facts {
    fn fact_table(&self, kind: Kind) -> DfResult<Arc<FactTable>> {
        let url = ObjectStoreUrl::parse(URL)?;
        let (snapshot, retained) = (Arc::clone(&self.snapshot), Arc::clone(&self.retained));
        Ok(Arc::new(FactTable::new(kind, snapshot, retained, url, self.prune, self.window)))
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("store", &self.context.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for Facts {
    fn table_names(&self) -> Vec<String> {
        let tables = Kind::ALL.iter().map(|kind| kind.table());
        tables.chain(views::NAMES).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.table() == name) {
            return Ok(Some(self.fact_table(kind)?));
        }
        views::view(name, self.fact_table(Kind::Event)?).await
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        let table = Kind::ALL.iter().any(|kind| kind.table() == name).then_some(TableType::Base);
        Ok(table.or_else(|| views::NAMES.contains(&name).then_some(TableType::View)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

/// The schema of the system tables.
struct System {
    context: Arc<Context>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("store", &self.context.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        system::NAMES.map(str::to_owned).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = SystemTable::find(name, Arc::clone(&self.context), Arc::clone(&self.snapshot));
        Ok(table.map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        system::NAMES.contains(&name)
    }
}

/// Returns the kind of a table of facts; `None` for other tables.
pub(super) fn kind_of(table: &Arc<dyn TableProvider>) -> Option<Kind> {
    let table: &dyn Any = table.as_ref();
    table.downcast_ref::<FactTable>().map(FactTable::kind)
}
