//! A web service with a store inside.
//!
//! ```console
//! $ curl --data '{"kind": "event", ...}' localhost:8080/facts
//! $ curl localhost:8080/crashes?actor=shop:1
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ostracon::{ErrorKind, Fact, QueryOptions, Store};
use serde_json::{Value, json};
use tokio::task::JoinError;

/// The answer to a request that failed: a status, and the reason.
struct Failure(StatusCode, String);

impl From<ostracon::Error> for Failure {
    /// The status tells the client whether to try again.
    fn from(error: ostracon::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidFact | ErrorKind::InvalidArgument | ErrorKind::Query => StatusCode::BAD_REQUEST,
            ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: service PATH")?;
    let store = Arc::new(Store::open(&path)?);
    let service = Router::new()
        .route("/facts", post(record))
        .route("/crashes", get(crashes))
        .with_state(Arc::clone(&store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async {
        // If the signal cannot be waited for, the service stops at once.
        drop(tokio::signal::ctrl_c().await);
    };
    axum::serve(listener, service).with_graceful_shutdown(stop).await?;
    // What is in memory becomes a Parquet file; an error would be lost if the store were only dropped.
    store.close()?;
    Ok(())
}

/// Records the facts in the body, one JSON line each.
async fn record(State(store): State<Arc<Store>>, lines: String) -> Result<Json<Value>, Failure> {
    let facts = lines.lines().map(|line| Fact::from_line(line).map(Fact::into_owned));
    let facts = facts
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| Failure(StatusCode::BAD_REQUEST, why.to_string()))?;
    let recorded = facts.len();
    // Recording may wait for the disk, which must not keep the other requests waiting.
    tokio::task::spawn_blocking(move || store.record_all(facts)).await??;
    Ok(Json(json!({ "recorded": recorded })))
}

/// The last crashes of an actor.
async fn crashes(
    State(store): State<Arc<Store>>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, Failure> {
    let missing = || Failure(StatusCode::BAD_REQUEST, "say which actor: /crashes?actor=shop:1".to_owned());
    let actor = asked.get("actor").ok_or_else(missing)?;
    let options = QueryOptions::new().param("actor", actor.as_str()).timeout(Duration::from_secs(10));
    let sql =
        "SELECT at::text AS at, error FROM crashes WHERE actor_address = $actor ORDER BY at DESC LIMIT 20";
    let rows = store.sql_with(sql, options).await?.rows().await?;
    let rows = rows.iter().map(|row| {
        let (at, error) = (row.get::<String>("at")?, row.get::<Option<String>>("error")?);
        Ok(json!({ "at": at, "error": error }))
    });
    Ok(Json(Value::Array(rows.collect::<ostracon::Result<_>>()?)))
}
