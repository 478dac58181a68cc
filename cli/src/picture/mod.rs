//! Pictures of answers: bars, lines, histograms and heat maps, in a terminal's characters or in a file.
//!
//! From rows to a picture:
//!
//! 1. [`Request::parse`] reads what was asked for; most of it may be left open.
//! 2. [`Rows`] takes up the answer, as much of it as the picture needs.
//! 3. `series::Table` sorts the answer's columns into times, numbers and texts, whatever Arrow calls them.
//! 4. `choose::choose` decides what is open: the kind of picture, and which column goes where.
//! 5. `compose::compose` reads those columns and makes shapes of them: bars, points, bins, cells. From here on
//!    there are at most some thousands of each, however long the answer is.
//! 6. `terminal::draw` makes text of the shapes; `file::write` makes SVG or PNG.

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

/// A picture for the terminal, with times as in this zone, as lines of at most `width` columns and, if that can be, at most `height` of them.
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

/// A picture as a file, of the kind that the path's ending says.
pub(crate) fn write(rows: &Rows, request: &Request, zone: &TimeZone, path: &Path) -> anyhow::Result<()> {
    let kind = FileKind::of(path)
        .with_context(|| format!("{} should end in .svg or .png, to say what to write", path.display()))?;
    let picture = compose(rows, request, zone, file::ROOM)?;
    let bytes = file::bytes(&picture, kind)?;
    super::partial::put(path, &bytes)
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
