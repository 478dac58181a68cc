//! The last answer as a picture.

use std::io;

use super::super::super::ask::{show_picture, tell_cut};
use super::super::super::picture::Request;
use super::super::session::Session;
use super::Next;

pub(super) fn run(session: &mut Session, arguments: &str) -> anyhow::Result<Next> {
    let request = Request::parse(arguments)?;
    let (batches, is_cut) = session.last.rows();
    if batches.is_empty() {
        anyhow::bail!("there is no answer yet to draw; ask something first");
    }
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        anyhow::bail!("the last answer has no rows to draw");
    }
    show_picture(&batches, &request, &session.settings.zone, &mut io::stdout().lock())?;
    if is_cut {
        tell_cut(batches.iter().map(|batch| batch.num_rows() as u64).sum());
    }
    Ok(Next::Prompt)
}
