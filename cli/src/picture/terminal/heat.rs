//! Heat maps: a darker or brighter cell has a larger value.

use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Style};

use super::Sheet;
use crate::picture::axis::Axis;
use crate::picture::heat::Heat;
use crate::picture::text;

/// Shades where there are no colours; the first is for zero.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
/// From dark violet over blue and green to yellow: legible also for people who cannot distinguish red and
/// green.
const RAMP: [u8; 12] = [53, 54, 61, 25, 31, 30, 36, 71, 113, 149, 185, 227];

impl Sheet {
    pub(super) fn heat(&mut self, heat: &Heat, area: Rect) -> u16 {
        let labels = heat.y.labels.iter().map(|label| text::width(label)).max().unwrap_or(0) as u16;
        let left = labels.min(area.width / 4) + 1;
        let columns = heat.x.labels.len().max(1) as u16;
        let wide = (area.width.saturating_sub(left) / columns).clamp(1, 16);
        let mut y = area.y;
        for (label, cells) in heat.y.labels.iter().zip(&heat.cells) {
            self.text_before(left - 1, y, &text::shortened(label, usize::from(left - 1)), Style::new());
            for (nth, value) in cells.iter().enumerate() {
                if let Some(value) = value {
                    self.cell(left + nth as u16 * wide, y, wide, *value, &heat.z);
                }
            }
            y += 1;
        }
        self.columns(heat, left, y, wide);
        self.text(left, y + 1, &heat.x.title, usize::from(area.width - left), Style::new());
        self.key(heat, left, y + 2);
        y + 3
    }

    fn cell(&mut self, x: u16, y: u16, wide: u16, value: f64, z: &Axis) {
        let share = z.share(value);
        let (sign, style) = self.shade(share, value == 0.0);
        self.text(x, y, &sign.to_string().repeat(usize::from(wide)), usize::from(wide), style);
        // With colours there is room for the number itself.
        let number = text::number(value);
        let long = text::width(&number) as u16;
        if self.colour && long + 2 <= wide {
            self.text(x + (wide - long) / 2, y, &number, usize::from(long), style);
        }
    }

    fn shade(&self, share: f64, is_zero: bool) -> (char, Style) {
        if self.colour {
            let nth = (share * (RAMP.len() - 1) as f64).round() as usize;
            let ink = if share > 0.5 { 16 } else { 231 };
            return (
                ' ',
                Style::new().bg(Color::Indexed(RAMP[nth.min(RAMP.len() - 1)])).fg(Color::Indexed(ink)),
            );
        }
        let nth = if is_zero { 0 } else { ((share * 4.0).ceil() as usize).clamp(1, 4) };
        (SHADES[nth], Style::new())
    }

    /// Labels below the columns, where there is room for them.
    fn columns(&mut self, heat: &Heat, left: u16, y: u16, wide: u16) {
        let mut free = left;
        let columns = usize::from(wide) * heat.x.labels.len();
        for (nth, label) in heat.x.marks(columns / 8) {
            let x = left + nth as u16 * wide;
            let room = self.buffer.area.width.saturating_sub(x);
            let long = text::width(&label) as u16;
            // A text may be cut to its cell; a cut time would be another time.
            let long = if heat.x.is_cut() { long.min(wide.saturating_sub(1).max(6)) } else { long };
            if x >= free && long <= room {
                self.text(x, y, &label, usize::from(long), Style::new());
                free = x + long + 1;
            }
        }
    }

    /// Draws the key of the shades.
    fn key(&mut self, heat: &Heat, left: u16, y: u16) {
        let name = format!("{} ", heat.z.name);
        let mut x = self.text(left, y, &name, usize::from(self.buffer.area.width) / 3, Style::new());
        x = self.text(x, y, &format!("{} ", text::number(heat.z.low)), 12, Style::new());
        let steps = if self.colour { RAMP.len() } else { 4 };
        for nth in 0..steps {
            let share =
                if self.colour { nth as f64 / (steps - 1) as f64 } else { (nth + 1) as f64 / steps as f64 };
            let (sign, style) = self.shade(share, false);
            if x + 2 > self.buffer.area.width {
                break;
            }
            x = self.text(x, y, &sign.to_string().repeat(2), 2, style);
        }
        self.text(x + 1, y, &text::number(heat.z.high), 12, Style::new());
    }
}
