//! Records some facts of a small shop.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use ostracon::{Audit, DeadLetter, Durability, Event, Fact, Json, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: record PATH")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();

    // `Synced`: when `record` returns, the fact is on the disk, and survives a power failure. The default,
    // `Journaled`, is faster, and survives a crash of this process.
    let store = Store::builder().durability(Durability::Synced).open(&path)?;

    store.record(Event::new("shop", "shop:1", "ActorStarted", Json::empty_object(), now))?;
    let crash = Json::parse(r#"{"error": "KeyError: 'sku'", "reason": "KeyError: 'sku'"}"#)?;
    let position = store.record(Event::new("shop", "shop:1", "ActorCrashed", crash, now + 0.1))?;
    println!("the crash is fact {} of stream {}", position.seq, position.stream);

    // Several facts with one write and one sync: all of them are recorded, or none.
    let order = Json::parse(r#"{"sku": "apple", "count": 3}"#)?;
    let facts: [Fact<'_>; 2] = [
        DeadLetter::new("shop", Some("shop:1"), "Order", order, now + 0.2).into(),
        Audit::new("shop", now + 0.3).into(),
    ];
    store.record_all(facts)?;

    // Writes what is still in memory into Parquet files. Without this, the next process that opens the store
    // reads it from the journal.
    store.close()?;
    println!("recorded four facts into {path}");
    Ok(())
}
