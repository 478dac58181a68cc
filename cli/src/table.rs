//! Tables for people: aligned, cut to a width, and harmless to a terminal whatever the cells hold.

use std::borrow::Cow;
use std::io::{self, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampNanosecondType};
use ostracon::{UnixNanos, Zone};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::output::Cells;
use super::sanitize::visible;

/// The text for NULL, unless the user sets another text.
pub(super) const NULL: &str = "NULL";
/// Texts are not cut shorter than this.
const LEAST_WIDTH: usize = 10;
/// No column is padded to more than this width: otherwise one long cell would make every row as long.
const MOST_PADDED: usize = 500;

/// How a table is drawn.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// The width of the terminal in columns; `None` if there is no terminal, and nothing is cut.
    pub(super) width: Option<usize>,
    /// Whether another program reads the table first, such as grep. Then a row is always one line, and a row
    /// that would not fit even if it were cut is not cut.
    pub(super) piped: bool,
    pub(super) colour: bool,
    /// The zone in which times are shown.
    pub(super) zone: Zone,
    pub(super) expanded: Expanded,
    /// The text for NULL.
    pub(super) null: String,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: None,
            piped: false,
            colour: false,
            zone: Zone::UTC,
            expanded: Expanded::Off,
            null: NULL.to_owned(),
        }
    }
}

/// Whether each row is drawn as a block of its own, with one line for each column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expanded {
    /// Only if the table would be too wide even if it were cut.
    #[default]
    Off,
    On,
    /// If the table would have to be cut.
    Auto,
}

struct Column {
    name: String,
    right: bool,
    /// Whether cells must not be cut: a cut number or time reads as another value.
    whole: bool,
    width: usize,
    cells: Vec<Option<String>>,
}

impl Style {
    /// Whether the table goes directly to a terminal.
    pub(super) const fn is_on_terminal(&self) -> bool {
        self.width.is_some() && !self.piped
    }

    /// Draws these rows.
    pub(super) fn draw(
        &self,
        schema: &Schema,
        batches: &[RecordBatch],
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut columns = self.columns(schema, batches)?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let fits = |columns: &[Column]| self.width.is_none_or(|width| table_width(columns) <= width);
        let mut in_blocks =
            self.expanded == Expanded::On || self.expanded == Expanded::Auto && !fits(&columns);
        if let Some(width) = self.width.filter(|_| !in_blocks) {
            let whole: Vec<_> = columns.iter().map(|column| column.width).collect();
            narrow(&mut columns, width);
            in_blocks = !fits(&columns) && !self.piped;
            if !fits(&columns) && self.piped {
                columns.iter_mut().zip(whole).for_each(|(column, width)| column.width = width);
            }
        }
        if in_blocks {
            self.blocks(&columns, rows, out)?;
        } else {
            self.table(&columns, rows, out)?;
        }
        Ok(())
    }

    fn columns(&self, schema: &Schema, batches: &[RecordBatch]) -> anyhow::Result<Vec<Column>> {
        let mut columns = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = visible(field.name()).into_owned();
            let mut cells = Vec::new();
            for batch in batches {
                self.texts(batch.column(at).as_ref(), &mut cells)?;
            }
            let widths = cells.iter().map(|cell| cell.as_deref().unwrap_or(&self.null).width());
            let width = widths.max().unwrap_or_default().max(name.width());
            let width = if self.width.is_none() { width.min(MOST_PADDED) } else { width };
            let kind = field.data_type();
            let right = kind.is_numeric();
            columns.push(Column { name, right, whole: right || kind.is_temporal(), width, cells });
        }
        Ok(columns)
    }

    /// The text of a time.
    pub(super) fn time(&self, at: UnixNanos) -> String {
        let local = if self.zone.is_utc() { None } else { self.zone.text(at) };
        local.unwrap_or_else(|| at.to_string())
    }

    /// The texts of the cells of a batch, row by row; NULL is empty.
    pub(super) fn rows(&self, batch: &RecordBatch) -> anyhow::Result<Vec<Vec<String>>> {
        let mut rows = vec![Vec::new(); batch.num_rows()];
        for column in batch.columns() {
            let mut cells = Vec::new();
            self.texts(column.as_ref(), &mut cells)?;
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell.unwrap_or_default()));
        }
        Ok(rows)
    }

    fn texts(&self, column: &dyn Array, into: &mut Vec<Option<String>>) -> anyhow::Result<()> {
        let zoned = matches!(column.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, Some(_)));
        if let Some(times) = column.as_primitive_opt::<TimestampNanosecondType>()
            && zoned
            && !self.zone.is_utc()
        {
            for nanos in times {
                into.push(nanos.and_then(|nanos| self.zone.text(UnixNanos::new(nanos))));
            }
            return Ok(());
        }
        let cells = Cells::new(column)?;
        for row in 0..column.len() {
            into.push(cells.text(row)?.map(|text| visible(&text).into_owned()));
        }
        Ok(())
    }

    fn table(&self, columns: &[Column], rows: usize, out: &mut impl Write) -> io::Result<()> {
        if columns.is_empty() {
            return Ok(());
        }
        let rules: Vec<_> = columns.iter().map(|column| "-".repeat(column.width + 2)).collect();
        let rule = format!("+{}+\n", rules.join("+"));
        let mut line = rule.clone();
        for column in columns {
            line += "| ";
            let name = self.fitting(&column.name, column);
            pad(&mut line, &self.painted(&name, BOLD), name.width(), column);
            line.push(' ');
        }
        line += "|\n";
        line += &rule;
        out.write_all(line.as_bytes())?;
        for row in 0..rows {
            line.clear();
            for column in columns {
                line += "| ";
                if let Some(Some(text)) = column.cells.get(row) {
                    let text = self.fitting(text, column);
                    pad(&mut line, &text, text.width(), column);
                } else {
                    let null = self.fitting(&self.null, column);
                    pad(&mut line, &self.painted(&null, DIM), null.width(), column);
                }
                line.push(' ');
            }
            line += "|\n";
            out.write_all(line.as_bytes())?;
        }
        out.write_all(rule.as_bytes())
    }

    /// A text, cut to the width of its column. Nothing is cut if there is no terminal.
    fn fitting<'t>(&self, text: &'t str, column: &Column) -> Cow<'t, str> {
        if self.width.is_some() { cut(text, column.width) } else { Cow::Borrowed(text) }
    }

    fn blocks(&self, columns: &[Column], rows: usize, out: &mut impl Write) -> io::Result<()> {
        let names = columns.iter().map(|column| column.name.width()).max().unwrap_or_default();
        for row in 0..rows {
            let title = format!("-[ row {} ]", row + 1);
            writeln!(out, "{title}{}", "-".repeat((names + 12).saturating_sub(title.len())))?;
            for column in columns {
                let name = self.painted(&column.name, BOLD);
                let space = " ".repeat(names - column.name.width());
                let cell = column.cells.get(row).and_then(Option::as_deref);
                let text = cell.map_or_else(|| self.painted(&self.null, DIM), Cow::Borrowed);
                writeln!(out, "{name}{space} | {text}")?;
            }
        }
        Ok(())
    }

    fn painted<'t>(&self, text: &'t str, style: anstyle::Style) -> Cow<'t, str> {
        if self.colour { Cow::Owned(format!("{style}{text}{style:#}")) } else { Cow::Borrowed(text) }
    }
}

const BOLD: anstyle::Style = anstyle::Style::new().bold();
const DIM: anstyle::Style = anstyle::Style::new().dimmed();

fn table_width(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width + 3).sum::<usize>() + 1
}

/// Narrows the widest text columns until the table fits, or no column can be narrowed any more.
fn narrow(columns: &mut [Column], width: usize) {
    let mut excess = table_width(columns).saturating_sub(width);
    while excess > 0 {
        let can_shrink = |column: &&mut Column| !column.whole && column.width > LEAST_WIDTH;
        let mut shrinkable: Vec<_> = columns.iter_mut().filter(can_shrink).collect();
        let Some(widest) = shrinkable.iter().map(|column| column.width).max() else { return };
        let next = shrinkable.iter().map(|column| column.width).filter(|width| *width < widest).max();
        shrinkable.retain(|column| column.width == widest);
        let most = widest - next.unwrap_or(LEAST_WIDTH).max(LEAST_WIDTH);
        let each = most.min(excess.div_ceil(shrinkable.len()));
        for column in shrinkable {
            let given = each.min(excess);
            column.width -= given;
            excess -= given;
        }
    }
}

fn pad(out: &mut String, text: &str, width: usize, column: &Column) {
    let space = " ".repeat(column.width.saturating_sub(width));
    if column.right {
        out.push_str(&space);
    }
    out.push_str(text);
    if !column.right {
        out.push_str(&space);
    }
}

/// The text, or as much of it as fits, with an ellipsis at its end.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut room = width.saturating_sub(1);
    for grapheme in text.graphemes(true) {
        let Some(left) = room.checked_sub(grapheme.width()) else { break };
        room = left;
        out.push_str(grapheme);
    }
    out.push('…');
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn sample() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec!["a long text for a narrow place", "日本\t\x1b[2J"]));
        RecordBatch::try_from_iter([("n", numbers), ("text", texts)]).unwrap()
    }

    #[test]
    fn a_row_stays_a_line_where_a_program_reads_it() {
        for (width, shown) in [(30, "a long text for a … |"), (20, "a long text for a narrow place |")] {
            let style = Style { width: Some(width), piped: true, ..Style::default() };
            let mut out = Vec::new();
            style.draw(&sample().schema(), &[sample()], &mut out).unwrap();
            let drawn = String::from_utf8(out).unwrap();
            assert!(drawn.starts_with('+') && drawn.contains(shown), "{drawn}");
        }
    }

    fn draw(width: Option<usize>, expanded: Expanded) -> String {
        let style = Style { width, expanded, ..Style::default() };
        let mut out = Vec::new();
        style.draw(&sample().schema(), &[sample()], &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_cut_to_the_width_and_numbers_are_not() {
        let drawn = draw(Some(30), Expanded::Off);
        assert!(drawn.lines().all(|line| line.width() == 30), "{drawn}");
        assert!(drawn.contains("|    7 | a long text for a … |"), "{drawn}");
        assert!(drawn.contains("| NULL | 日本\\t\\x1b[2J"), "{drawn}");
    }

    #[test]
    fn rows_become_blocks_where_the_table_would_be_cut() {
        assert!(draw(Some(30), Expanded::Auto).starts_with("-[ row 1 ]"));
        assert!(draw(Some(80), Expanded::Auto).starts_with("+--"));
        assert!(draw(None, Expanded::On).contains("n    | 7\n"));
    }

    #[test]
    fn a_text_of_ones_own_stands_for_null() {
        let style = Style { null: "(none at all)".to_owned(), width: Some(44), ..Style::default() };
        let mut out = Vec::new();
        style.draw(&sample().schema(), &[sample()], &mut out).unwrap();
        let drawn = String::from_utf8(out).unwrap();
        assert!(drawn.contains("| (none at all) | 日本"), "{drawn}");
        assert!(drawn.lines().all(|line| line.width() == 44), "{drawn}");
    }

    #[test]
    fn a_width_that_is_too_small_for_everything_is_no_harm() {
        for width in 0..60 {
            assert!(draw(Some(width), Expanded::Off).contains('7'));
        }
        assert!(draw(Some(20), Expanded::Off).starts_with("-[ row 1 ]"), "not even cut it would fit");
    }

    #[test]
    fn times_are_told_in_a_zone() {
        let style = Style { zone: Zone::named("Etc/GMT-2").unwrap(), ..Style::default() };
        assert_eq!(style.time(UnixNanos::new(1_500_000_000)), "1970-01-01T02:00:01.5+02:00");
    }

    #[test]
    fn one_long_cell_does_not_make_every_row_as_long() {
        let long = "x".repeat(1_000_000);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "short"]));
        let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        let mut out = Vec::new();
        Style::default().draw(&batch.schema(), &[batch], &mut out).unwrap();
        let drawn = String::from_utf8(out).unwrap();
        assert!(drawn.contains(&long), "nothing is cut where nothing has to fit");
        assert!(drawn.lines().filter(|line| !line.contains(&long)).all(|line| line.len() < 600));
    }
}
