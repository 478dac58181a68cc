//! `\plot`: draws the last answer as a picture.

use std::io;

use super::super::super::picture::{Request, Rows};
use super::super::super::sql::show_picture;
use super::super::session::Session;
use super::Next;

pub(super) fn run(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let request = Request::parse(arguments)?;
    let (batches, is_whole) = session.last.rows();
    if session.last.sql.is_empty() {
        anyhow::bail!("there is no answer yet to draw; run a query first");
    }
    if is_whole && batches.iter().all(|batch| batch.num_rows() == 0) {
        anyhow::bail!("the last answer has no rows to draw");
    }
    let rows = if is_whole { Rows::all(&batches) } else { run_again(session, &request)? };
    show_picture(&rows, &request, session.settings.zone.as_jiff(), &mut io::stdout().lock())?;
    Ok(Next::Prompt)
}

/// Runs the query again for a picture of all its rows: if an answer is long, or was not read to its end, only
/// the first rows are kept.
fn run_again(session: &Session, request: &Request) -> anyhow::Result<Rows> {
    super::settings::tell(
        session,
        "only the first rows were kept, so the query runs again, to draw all rows",
    );
    let last = &session.last;
    let running = session.runner.begin(&session.store, last.sql.clone(), last.options.clone())?;
    let mut batches = running.batches(None);
    let zone = session.settings.zone.as_jiff();
    session.runner.wait(async {
        let mut rows = Rows::new();
        while let Some(batch) = batches.next().await? {
            if !rows.add(&batch, request, zone)? {
                break;
            }
        }
        Ok(rows)
    })
}
