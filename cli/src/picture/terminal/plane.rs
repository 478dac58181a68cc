//! Lines and histograms: pictures with an axis on the left and one below.

use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget;
use ratatui_widgets::barchart::{Bar, BarChart};
use ratatui_widgets::canvas::{Canvas, Line, Points};

use super::{COLOURS, Sheet};
use crate::picture::axis::{Axis, Tick};
use crate::picture::compose::Histogram;
use crate::picture::lines::Lines;
use crate::picture::text;

/// The dots of a cell: two in each row, four in each column.
const DOTS: (u16, u16) = (2, 4);

impl Sheet {
    pub(super) fn lines(&mut self, lines: &Lines, mut area: Rect) -> u16 {
        let has_series = lines.series.len() > 1;
        if has_series {
            let entries =
                lines.series.iter().enumerate().map(|(nth, series)| (letter(nth), series.name.clone()));
            self.legend(area.y, entries);
            area.y += 1;
            area.height -= 1;
        }
        let y_axis = lines.y.clone().rounded(usize::from(area.height.saturating_sub(3) / 3).max(2));
        let plot = self.axes(area, &lines.x, &y_axis, None);
        let canvas = Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([lines.x.low, lines.x.high])
            .y_bounds([y_axis.low, y_axis.high])
            .paint(|context| {
                for (nth, series) in lines.series.iter().enumerate() {
                    let colour = Color::Indexed(COLOURS[nth % COLOURS.len()]);
                    context.draw(&Points { coords: &series.points, color: colour });
                    for pair in series.points.windows(2) {
                        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
                        context.draw(&Line { x1, y1, x2, y2, color: colour });
                    }
                }
            });
        canvas.render(plot, &mut self.buffer);
        for (nth, series) in lines.series.iter().enumerate() {
            let cells = series.points.iter().map(|(x, y)| {
                let x = cell(lines.x.share(*x), plot.width, DOTS.0);
                let y = plot.height - 1 - cell(y_axis.share(*y), plot.height, DOTS.1);
                (plot.x + x, plot.y + y)
            });
            self.marks(nth, has_series, cells, series.points.len(), plot.width);
        }
        self.below(area, &lines.x)
    }

    /// Marks points if there are few of them, and marks several lines with letters.
    fn marks(
        &mut self,
        series: usize,
        has_series: bool,
        cells: impl Iterator<Item = (u16, u16)>,
        points: usize,
        width: u16,
    ) {
        let are_few = points * 4 <= usize::from(width);
        if !has_series && !are_few {
            return;
        }
        let apart = if are_few { 1 } else { (width / 5).max(6) };
        // Lines that overlap have their letters side by side.
        let mut next = if are_few { 0 } else { (series as u16) * 2 };
        for (x, y) in cells {
            if x >= next {
                let style = self.style(series);
                let sign = if has_series { letter(series) } else { '•' };
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.set_char(sign).set_style(style);
                }
                next = x + apart;
            }
        }
    }

    pub(super) fn histogram(&mut self, histogram: &Histogram, area: Rect) -> u16 {
        let y_axis = histogram.y.clone().rounded(usize::from(area.height.saturating_sub(3) / 3).max(2));
        let plot = self.axes(area, &histogram.x, &y_axis, Some(histogram.bins.len() as u16));
        // One bar for each bin, all equally wide.
        let width = (plot.width / histogram.bins.len().max(1) as u16).max(1);
        let style = self.style(0);
        let bars: Vec<_> = histogram
            .bins
            .iter()
            .map(|count| Bar::new(*count).text_value(String::new()).style(style))
            .collect();
        BarChart::vertical(bars)
            .bar_gap(0)
            .bar_width(width)
            .max((y_axis.high as u64).max(1))
            .render(plot, &mut self.buffer);
        // Every bin that is not empty is visible.
        for (nth, count) in histogram.bins.iter().enumerate() {
            for x in plot.x + nth as u16 * width..plot.x + (nth as u16 + 1) * width {
                if let Some(cell) = self.buffer.cell_mut((x, plot.bottom() - 1))
                    && *count > 0
                    && cell.symbol() == " "
                {
                    cell.set_char('▁').set_style(style);
                }
            }
        }
        self.below(area, &histogram.x)
    }

    /// Draws both axes, and returns the area between them. Its width is a multiple of `bins`, if there are
    /// any.
    fn axes(&mut self, area: Rect, x_axis: &Axis, y_axis: &Axis, bins: Option<u16>) -> Rect {
        let height = area.height.saturating_sub(3).max(1);
        let ticks = y_axis.ticks(usize::from(height / 3).max(2));
        let widest = ticks.iter().map(|tick| text::width(&tick.text)).max().unwrap_or(0) as u16;
        let left = widest.min(area.width / 3) + 1;
        let width = area.width.saturating_sub(left + 1).max(1);
        let width = bins.map_or(width, |bins| (width / bins.max(1)).max(1).saturating_mul(bins).min(width));
        let plot = Rect::new(left, area.y, width, height);
        let grey = Style::new();
        for y in plot.y..plot.bottom() {
            self.text(left - 1, y, "│", 1, grey);
        }
        for Tick { at, text } in ticks {
            let y = plot.bottom() - 1 - cell(y_axis.share(at), plot.height, DOTS.1);
            self.text_before(left - 1, y, &text, grey);
            self.text(left - 1, y, "┤", 1, grey);
        }
        let bottom = plot.bottom();
        self.text(
            left - 1,
            bottom,
            &format!("└{}", "─".repeat(usize::from(width))),
            usize::from(width) + 1,
            grey,
        );
        // No text may touch the one before it.
        let mut free = 0;
        for Tick { at, text } in x_axis.ticks((usize::from(width) / 10).max(2)) {
            let x = match bins {
                Some(_) => ((x_axis.share(at) * f64::from(width)).round() as u16).min(width - 1),
                None => cell(x_axis.share(at), width, DOTS.0),
            } + left;
            let long = text::width(&text) as u16;
            let start = x.saturating_sub(long / 2).min(area.width.saturating_sub(long));
            if start < free {
                continue;
            }
            self.text(x, bottom, "┬", 1, grey);
            self.text(start, bottom + 1, &text, usize::from(long), grey);
            free = start + long + 2;
        }
        plot
    }

    /// Writes the title of the lower axis, and returns the line below it.
    fn below(&mut self, area: Rect, axis: &Axis) -> u16 {
        let title = axis.title();
        let y = area.y + area.height.saturating_sub(3).max(1) + 2;
        let x = area.width.saturating_sub(text::width(&title) as u16) / 2;
        self.text(x, y, &title, usize::from(area.width), Style::new());
        y + 1
    }
}

/// The cell of a position, if cells are cut into dots.
fn cell(share: f64, cells: u16, dots: u16) -> u16 {
    let dot = (share * (f64::from(cells) * f64::from(dots) - 1.0)).round();
    ((dot / f64::from(dots)) as u16).min(cells.saturating_sub(1))
}

fn letter(series: usize) -> char {
    char::from(b'a' + (series % 26) as u8)
}
