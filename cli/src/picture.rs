//! Pictures of answers: bars, lines, histograms and heat maps, in a terminal's characters or in a file.
//!
//! From rows to a picture:
//!
//! 1. [`Request::parse`] reads the request; most of it may be left open.
//! 2. [`Rows`] takes the rows of the answer, as many as the picture needs.
//! 3. `series::Table` sorts the columns of the answer into times, numbers and texts, for every type of Arrow.
//! 4. `choose::choose` decides the open points: the kind of picture, and the place of each column.
//! 5. `compose::compose` reads those columns and makes shapes of them: bars, points, bins, cells. From here
//!    on there are at most some thousands of each, however long the answer is.
//! 6. `terminal::draw` writes the shapes as text; `file::write` writes them as SVG or PNG.

mod axis;
mod choose;
mod compose;
mod file;
mod heat;
mod lines;
mod request;
mod rows;
mod series;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod times;

use std::path::Path;

use anyhow::{Context, ensure};
use jiff::tz::TimeZone;

pub(crate) use self::request::Request;
pub(crate) use self::rows::Rows;

use self::compose::{Picture, Room};
use self::request::FileKind;
use self::series::Table;

/// A picture for the terminal, with the times of this zone. Its lines have at most `width` columns. It has at
/// most `height` lines, if that is possible.
pub(crate) fn draw(
    rows: &Rows,
    request: &Request,
    zone: &TimeZone,
    width: u16,
    height: u16,
    colour: bool,
) -> anyhow::Result<String> {
    let size = terminal::Size::of(width, height);
    let picture = compose(rows, request, zone, size.room())?;
    Ok(terminal::draw(&picture, size, colour))
}

/// Writes a picture to a file, of the kind that the ending of the path says.
pub(crate) fn write(rows: &Rows, request: &Request, zone: &TimeZone, path: &Path) -> anyhow::Result<()> {
    let kind = FileKind::of(path)
        .with_context(|| format!("cannot write {}: its name must end in .svg or .png", path.display()))?;
    let picture = compose(rows, request, zone, file::ROOM)?;
    let bytes = file::bytes(&picture, kind)?;
    super::atomic_file::put(path, &bytes)
}

fn compose(rows: &Rows, request: &Request, zone: &TimeZone, room: Room) -> anyhow::Result<Picture> {
    let table = Table::new(rows.batches(), zone);
    ensure!(table.rows > 0, "there is nothing to draw: the answer has no rows");
    let mut picture = match rows.plan() {
        Some(plan) => compose::compose(&table, plan, room)?,
        None => compose::compose(&table, &choose::choose(&table, request)?, room)?,
    };
    if let Some(drawn) = rows.cut() {
        let drawn = super::print::grouped(drawn as u64);
        picture.notes.insert(0, format!("Only the first {drawn} rows are drawn; there are more."));
    }
    Ok(picture)
}
