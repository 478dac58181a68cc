//! DataFusion sessions: what a query may see and use.

use std::any::Any;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, exec_err};
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::TableType;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use super::bounded::bound_functions;
use super::learned::Learned;
use super::newest_first::NewestFirst;
use super::planning::Planning;
use super::retained::Retained;
use super::system::{self, SystemTable};
use super::table::FactTable;
use super::views;
use super::watch::{Breathe, Watch};
use super::window::Window;
use super::{QueryOptions, functions, query_error};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::settings::QuerySettings;
use crate::snapshot::Snapshot;
use crate::store::{Shared, Store};

/// Where a plan says that segments are. Nothing else can be opened under this or any other name.
const URL: &str = "ostracon://store/";
/// The catalog, and its schemas: the facts' tables, and what the store says about itself.
const CATALOG: &str = "ostracon";
const FACTS: &str = "facts";
const SYSTEM: &str = "store";

/// What all sessions of a store share: functions, rules, and the footers of segments.
pub(crate) struct Engine {
    base: SessionState,
    runtime: Arc<RuntimeEnv>,
    settings: QuerySettings,
}

impl Store {
    /// The store's query engine, made when it is first needed.
    pub(super) fn engine(&self) -> Result<&Engine> {
        let engine =
            self.shared().engine.get_or_init(|| Engine::new(self.shared()).map_err(|e| e.to_string()));
        engine
            .as_ref()
            .map_err(|why| Error::new(ErrorKind::Query, format!("cannot prepare for queries: {why}")))
    }
}

impl Engine {
    fn new(shared: &Shared) -> Result<Self> {
        let settings = shared.settings.query.clone();
        let store = LocalFileSystem::new_with_prefix(&shared.root)
            .map_err(|error| Error::with_source(ErrorKind::Io, "cannot read the store's folder", error))?;
        let runtime = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(OnlyThisStore(Arc::new(store))))
            .build_arc()
            .map_err(query_error)?;

        let mut state = SessionStateBuilder::new()
            .with_config(config())
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_physical_optimizer_rules(optimizer_rules())
            .build();
        register_functions(&mut state).map_err(query_error)?;
        Ok(Self { base: state, runtime, settings })
    }

    /// A session over one snapshot.
    pub(super) fn session(
        &self,
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        options: &QueryOptions,
    ) -> Result<SessionContext> {
        let memory = FairSpillPool::new(self.settings.memory_bytes);
        let most_told = NonZeroUsize::MIN.saturating_add(2);
        let spill = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::OsTmpDirectory)
            .with_max_temp_directory_size(self.settings.spill_bytes)
            .build()
            .map_err(query_error)?;
        let runtime = RuntimeEnv {
            memory_pool: Arc::new(TrackConsumersPool::new(memory, most_told)),
            disk_manager: Arc::new(spill),
            ..(*self.runtime).clone()
        };
        let retained = Retained::new(Arc::clone(shared), Arc::clone(snapshot), shared.now());
        let catalog = Catalog {
            facts: Arc::new(Facts {
                shared: Arc::clone(shared),
                snapshot: Arc::clone(snapshot),
                retained: Arc::new(retained),
                prune: options.prune.unwrap_or(true),
                window: Window::of(options),
            }),
            system: Arc::new(System { shared: Arc::clone(shared), snapshot: Arc::clone(snapshot) }),
        };
        let timeout = options.timeout.or(self.settings.timeout);
        let watch = Watch::new(timeout, Arc::clone(snapshot));
        let state = SessionStateBuilder::new_from_existing(self.base.clone());
        let state = Planning::within(timeout)
            .watch(&self.base, state)
            .with_runtime_env(Arc::new(runtime))
            .with_catalog_list(Arc::new(Catalogs(Arc::new(catalog))))
            .with_physical_optimizer_rule(Arc::new(Breathe))
            .with_physical_optimizer_rule(Arc::new(watch))
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The tables and views of a session, as people name them.
pub(super) fn table_names(context: &SessionContext) -> Vec<String> {
    let Some(catalog) = context.catalog(CATALOG) else { return Vec::new() };
    let named = |schema| catalog.schema(schema).map(|schema| schema.table_names()).unwrap_or_default();
    let system = named(SYSTEM).into_iter().map(|name| format!("{SYSTEM}.{name}"));
    named(FACTS).into_iter().chain(system).collect()
}

/// What is set for all SQL.
pub(super) fn config() -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, FACTS)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let options = config.options_mut();
    // The dialect in which `payload->>'x' LIKE …` means what people mean.
    options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    // Gives wrong rows with `->>` (datafusion #25414).
    options.optimizer.enable_leaf_expression_pushdown = false;
    // Gives wrong extremes where several are asked for at once (datafusion #24816, #25147).
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.execution.parquet.bloom_filter_on_read = true;
    config
}

/// Our functions, the JSON library's, and what `->>` means.
pub(super) fn register_functions(state: &mut SessionState) -> DfResult<()> {
    let json_text = Arc::new(functions::json_text_function());
    state.register_udf(Arc::new(functions::error_group_function()))?;
    state.register_udf(Arc::clone(&json_text))?;
    // The first planner that knows an operator has it.
    state.register_expr_planner(Arc::new(functions::JsonTextPlanner(json_text)))?;
    bound_functions(state)?;
    datafusion_functions_json::register_all(state)
}

/// DataFusion's rules, and ours behind those that they go on from.
fn optimizer_rules() -> Vec<Arc<dyn datafusion::physical_optimizer::PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::default().rules;
    let behind = rules.iter().position(|rule| rule.name() == "PushdownSort").map_or(rules.len(), |at| at + 1);
    rules.insert(behind, Arc::new(NewestFirst));
    rules.push(Arc::new(Learned));
    rules
}

/// A registry that knows one store and takes no other.
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
        exec_err!("a query reads nothing but the store, and {url} is outside")
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
    shared: Arc<Shared>,
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
        f.debug_struct("Facts").field("store", &self.shared.root).finish_non_exhaustive()
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
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("store", &self.shared.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        system::NAMES.map(str::to_owned).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = SystemTable::find(name, Arc::clone(&self.shared), Arc::clone(&self.snapshot));
        Ok(table.map(|table| Arc::new(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        system::NAMES.contains(&name)
    }
}

/// Whether a table is one of facts, and of which kind.
pub(super) fn kind_of(table: &Arc<dyn TableProvider>) -> Option<Kind> {
    let table: &dyn Any = table.as_ref();
    table.downcast_ref::<FactTable>().map(FactTable::kind)
}
