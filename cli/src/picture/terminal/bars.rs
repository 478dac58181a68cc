//! Bars from left to right, one on each line: label, value, bar.

use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::Sheet;
use crate::picture::compose::Bars;
use crate::picture::text;

/// Fillings that distinguish series where there are no colours.
const FILLINGS: [char; 4] = ['█', '▒', '▓', '░'];
/// Parts of a cell, from one eighth on.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

impl Sheet {
    /// Draws the bars, and returns the line below them.
    pub(super) fn bars(&mut self, bars: &Bars, area: Rect) -> u16 {
        let mut y = area.y;
        let has_series = bars.series.len() > 1;
        if has_series {
            let entries: Vec<_> =
                bars.series.iter().enumerate().map(|(nth, name)| (self.filling(nth), name.clone())).collect();
            self.legend(y, entries.into_iter());
            y += 1;
        }
        let room = usize::from(area.bottom() - y);
        // One line is for the number of missing bars.
        let drawn = if bars.all > room { room.saturating_sub(1) } else { room }.min(bars.rows.len());
        let rows = &bars.rows[..drawn];
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as u16;
        let values = widest(&mut rows.iter().map(|bar| text::width(&bar.value()))).min(area.width / 3);
        let labels = widest(&mut rows.iter().map(|bar| text::width(&bar.label)))
            .clamp(1, (area.width - values - 2).saturating_sub(area.width / 3).clamp(4, 60));
        let left = labels + 1 + values + 1;
        let columns = f64::from(area.width.saturating_sub(left).max(1));
        let zero = (bars.axis.share(0.0) * columns).round();
        for (nth, bar) in rows.iter().enumerate() {
            let is_same = nth > 0 && has_series && rows[nth - 1].label == bar.label;
            if !is_same {
                self.text(0, y, &bar.label, usize::from(labels), Style::new());
            }
            self.text_before(labels + 1 + values, y, &bar.value(), Style::new());
            match bar.value.filter(|value| *value != 0.0) {
                Some(value) => {
                    let end = bars.axis.share(value) * columns;
                    // Zero is moved to the edge of a cell. A bar must not change sides for that reason.
                    let end = if value > 0.0 { end.max(zero) } else { end.min(zero) };
                    self.bar(left, y, [zero, end], bar.series, value > 0.0);
                }
                None if bars.axis.low < 0.0 => {
                    self.text(left + zero as u16, y, "│", 1, Style::new());
                }
                None => {}
            }
            y += 1;
        }
        if bars.all > drawn {
            let more = format!("… {} more", text::number((bars.all - drawn) as f64));
            self.text(0, y, &more, usize::from(area.width), Style::new());
            y += 1;
        }
        y
    }

    fn filling(&self, series: usize) -> char {
        if self.colour { FILLINGS[0] } else { FILLINGS[series % FILLINGS.len()] }
    }

    /// A bar from zero, which is at a whole cell, to an end that may be within one.
    fn bar(&mut self, left: u16, y: u16, [zero, end]: [f64; 2], series: usize, is_positive: bool) {
        let style = self.style(series);
        let filling = self.filling(series);
        let put = |sheet: &mut Self, x: f64, sign: char| {
            if let Some(cell) = sheet.buffer.cell_mut((left.saturating_add(x as u16), y)) {
                cell.set_char(sign).set_style(style);
            }
        };
        // Every value that is not zero is visible.
        if is_positive {
            let eighths = (((end - zero) * 8.0).round() as usize).max(1);
            let whole = eighths / 8;
            for x in 0..whole {
                put(self, zero + x as f64, filling);
            }
            let rest = eighths % 8;
            if rest > 0 && filling == FILLINGS[0] {
                put(self, zero + whole as f64, EIGHTHS[rest - 1]);
            } else if rest >= 4 || (rest > 0 && whole == 0) {
                put(self, zero + whole as f64, filling);
            }
        } else {
            let first = end.round().min(zero - 1.0).max(0.0);
            for x in first as usize..zero as usize {
                put(self, x as f64, filling);
            }
        }
    }
}
