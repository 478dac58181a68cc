//! Asks questions of a store, while other processes may be writing to it.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::time::Duration;

use futures::TryStreamExt;
use ostracon::{Access, QueryOptions, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: ask PATH")?;
    let store = Store::builder().access(Access::Read).open(&path)?;

    // Rows, with Rust types.
    let answer =
        store.sql("SELECT event_type, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1").await?;
    for row in answer.rows().await? {
        println!("{:>5} {}", row.get::<i64>("n")?, row.get::<String>("event_type")?);
    }

    // Values go into parameters, not into the text. A question that takes too long ends with an error.
    let options = QueryOptions::new().param("actor", "shop:1").timeout(Duration::from_secs(30));
    let last = store
        .sql_with(
            "SELECT at, error FROM crashes WHERE actor_address = $actor ORDER BY at DESC LIMIT 1",
            options,
        )
        .await?;
    for row in last.rows().await? {
        println!("the last crash of shop:1: {}", row.get::<String>("error")?);
    }

    // A large answer is read as a stream of Arrow batches, and is never whole in memory.
    let mut batches = store.sql("SELECT * FROM events ORDER BY at").await?.stream().await?;
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows();
    }
    println!("{rows} events in all");
    Ok(())
}
