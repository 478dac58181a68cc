//! Pictures in characters. Shapes are drawn into a grid of cells. The grid is then written line by line, with
//! or without colours. Without colours, letters and patterns distinguish series.

mod bars;
mod heat;
mod plane;

use std::fmt::Write;

use ratatui_core::buffer::{Buffer, CellWidth};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

use super::compose::{Picture, Room, Shape};
use super::text;

/// Colours of the theme of the terminal, which are legible on its background.
const COLOURS: [u8; 8] = [6, 3, 5, 2, 4, 1, 14, 11];

/// The size of a terminal. It is at least large enough to draw something, and at most so large that drawing
/// stays cheap.
#[derive(Clone, Copy)]
pub(super) struct Size {
    width: u16,
    height: u16,
}

impl Size {
    pub(super) fn of(width: u16, height: u16) -> Self {
        Self { width: width.clamp(20, 1000), height: height.clamp(8, 300) }
    }

    /// The number of parts that a picture of this size has room for.
    pub(super) fn room(self) -> Room {
        let columns = usize::from(self.width);
        Room {
            columns: columns * 3 / 4 - 6,
            rows: usize::from(self.height) - 5,
            bins: (columns - 12).div_ceil(2),
        }
    }
}

/// The grid, and whether it is written with colours.
struct Sheet {
    buffer: Buffer,
    colour: bool,
}

pub(super) fn draw(picture: &Picture, size: Size, colour: bool) -> String {
    // Notes about rows that are not drawn stand below, on lines of their own.
    let notes = picture.notes.len().min(3) as u16;
    let height = size.height.saturating_sub(notes).max(8);
    let mut sheet = Sheet { buffer: Buffer::empty(Rect::new(0, 0, size.width, height + 3)), colour };
    sheet.text(0, 0, &picture.title, usize::from(size.width), Style::new().add_modifier(Modifier::BOLD));
    let area = Rect::new(0, 1, size.width, height - 1);
    let mut end = match &picture.shape {
        Shape::Bars(bars) => sheet.bars(bars, area),
        Shape::Lines(lines) => sheet.lines(lines, area),
        Shape::Histogram(histogram) => sheet.histogram(histogram, area),
        Shape::Heat(heat) => sheet.heat(heat, area),
    };
    for note in picture.notes.iter().take(usize::from(notes)) {
        sheet.text(0, end, note, usize::from(size.width), Style::new());
        end += 1;
    }
    sheet.written(end)
}

impl Sheet {
    /// Writes a text into a line, cut to this number of columns, and returns its end.
    fn text(&mut self, x: u16, y: u16, text: &str, columns: usize, style: Style) -> u16 {
        let area = self.buffer.area;
        if x >= area.width || y >= area.height {
            return x;
        }
        let columns = columns.min(usize::from(area.width - x));
        self.buffer.set_stringn(x, y, text::shortened(text, columns), columns, style).0
    }

    /// Writes a text that ends before a column.
    fn text_before(&mut self, end: u16, y: u16, text: &str, style: Style) {
        let x = end.saturating_sub(text::width(text) as u16);
        self.text(x, y, text, usize::from(end - x), style);
    }

    fn style(&self, series: usize) -> Style {
        let colour = COLOURS[series % COLOURS.len()];
        if self.colour { Style::new().fg(Color::Indexed(colour)) } else { Style::new() }
    }

    /// Writes the names of series with their signs, as many as fit into the line.
    fn legend(&mut self, y: u16, entries: impl Iterator<Item = (char, String)>) {
        let mut x = 0;
        for (nth, (sign, name)) in entries.enumerate() {
            let room = usize::from(self.buffer.area.width.saturating_sub(x));
            if room < 8 {
                self.text(x, y, "…", 1, Style::new());
                break;
            }
            let style = self.style(nth);
            x = self.text(x, y, &sign.to_string(), 1, style);
            x = self.text(x + 1, y, &name, (room - 4).min(30), Style::new()) + 3;
        }
    }

    /// The first lines of the grid, without spaces at their ends.
    fn written(&self, lines: u16) -> String {
        let mut out = String::new();
        for y in 0..lines.min(self.buffer.area.height) {
            let mut line = String::new();
            let mut now = Style::new();
            let (mut x, mut blanks) = (0, 0);
            while let Some(cell) = self.buffer.cell((x, y)) {
                let style = if self.colour { cell.style() } else { Style::new() };
                if cell.symbol() == " " && !has_background(style) {
                    // Written only if text follows.
                    blanks += 1;
                } else {
                    if style != now {
                        line.push_str(&between(now, Style::new()));
                        line.extend(std::iter::repeat_n(' ', std::mem::take(&mut blanks)));
                        line.push_str(&between(Style::new(), style));
                        now = style;
                    }
                    line.extend(std::iter::repeat_n(' ', std::mem::take(&mut blanks)));
                    line.push_str(cell.symbol());
                }
                x += cell.symbol().cell_width().max(1);
            }
            line.push_str(&between(now, Style::new()));
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

fn has_background(style: Style) -> bool {
    matches!(style.bg, Some(Color::Indexed(_)))
}

/// The escape sequence that changes one style to another. One of the two is plain.
fn between(from: Style, to: Style) -> String {
    let mut out = String::new();
    let is_plain = |style: Style| {
        !matches!(style.fg, Some(Color::Indexed(_)))
            && !has_background(style)
            && style.add_modifier.is_empty()
    };
    if !is_plain(from) && is_plain(to) {
        out.push_str("\x1b[0m");
    }
    if to.add_modifier.contains(Modifier::BOLD) {
        out.push_str("\x1b[1m");
    }
    if let Some(Color::Indexed(colour)) = to.fg {
        let _ = write!(out, "\x1b[38;5;{colour}m");
    }
    if let Some(Color::Indexed(colour)) = to.bg {
        let _ = write!(out, "\x1b[48;5;{colour}m");
    }
    out
}
