//! Prints every fact once, also those that other processes record later, until Ctrl-C.
//!
//! The cursor is kept in a file. A program that is started again continues after the last fact that it handled.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use ostracon::{Access, Cursor, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tail PATH")?;
    let store = Store::builder().access(Access::Read).open(&path)?;
    let kept = format!("{}.cursor", path.trim_end_matches('/'));
    let next = format!("{kept}.tmp");
    let mut cursor: Cursor = match fs::read_to_string(&kept) {
        Ok(text) => text.trim().parse()?,
        Err(error) if error.kind() == ErrorKind::NotFound => Cursor::start(),
        Err(error) => return Err(error.into()),
    };
    loop {
        let facts = store.after(&cursor)?;
        // The store's identity is part of the cursor: another store refuses it, so that no fact is skipped.
        facts.sign(&mut cursor);
        for fact in facts {
            let fact = fact?;
            println!("{}", fact.to_line());
            cursor.advance(&fact);
        }
        // After the facts were handled: if the program is killed before this, they are printed again.
        // A program that is killed while it writes leaves the cursor of before.
        fs::write(&next, cursor.to_string())?;
        fs::rename(&next, &kept)?;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
        }
    }
}
