//! Views for frequent queries.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::table::FactTable;

const VIEWS: [(&str, &str); 3] = [
    ("crashes", include_str!("views/crashes.sql")),
    ("restarts", include_str!("views/restarts.sql")),
    ("actors", include_str!("views/actors.sql")),
];

/// The names of the views.
pub(super) const NAMES: [&str; 3] = [VIEWS[0].0, VIEWS[1].0, VIEWS[2].0];

/// Makes the view with this name over a table of events.
pub(super) async fn view(name: &str, events: Arc<FactTable>) -> Result<Option<Arc<dyn TableProvider>>> {
    let Some((_, sql)) = VIEWS.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
    let context = SessionContext::new_with_config(config);
    context.register_table("events", events)?;
    let plan = context.state().create_logical_plan(sql).await?;
    Ok(Some(Arc::new(ViewTable::new(plan, Some((*sql).to_owned())))))
}
