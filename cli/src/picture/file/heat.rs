//! Heat maps in files.

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::paint::LABEL;
use super::pen::{Frame, INK, Pen};
use crate::picture::heat::Heat;
use crate::picture::text;

/// Nine steps from yellow over green to blue, by Cynthia Brewer. They are made for people who see fewer
/// colours, and for printing.
const RAMP: [(u8, u8, u8); 9] = [
    (255, 255, 217),
    (237, 248, 177),
    (199, 233, 180),
    (127, 205, 187),
    (65, 182, 196),
    (29, 145, 192),
    (34, 94, 168),
    (37, 52, 148),
    (8, 29, 88),
];

fn shade(share: f64) -> RGBColor {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let (from, to) = (RAMP[place.floor() as usize], RAMP[place.ceil() as usize]);
    let between = |from: u8, to: u8| {
        (f64::from(from) + (f64::from(to) - f64::from(from)) * place.fract()).round() as u8
    };
    RGBColor(between(from.0, to.0), between(from.1, to.1), between(from.2, to.2))
}

impl<B: DrawingBackend> Pen<'_, B> {
    pub(super) fn heat(&self, heat: &Heat, frame: Frame) -> anyhow::Result<()> {
        let labels: Vec<_> =
            heat.y.labels.iter().map(|label| self.fitted(label, LABEL, frame.width() / 4.0)).collect();
        let widest = labels.iter().map(|label| self.width(label, LABEL)).fold(0.0, f64::max);
        let plot = Frame { left: frame.left + widest + 10.0, bottom: frame.bottom - 76.0, ..frame };
        let wide = plot.width() / heat.x.labels.len().max(1) as f64;
        let high = plot.height() / heat.y.labels.len().max(1) as f64;
        // White lines between cells, unless the cells are too small for them.
        let gap = if wide.min(high) >= 8.0 { 1.0 } else { 0.0 };
        let mut free = f64::NEG_INFINITY;
        for (nth, (label, cells)) in labels.iter().zip(&heat.cells).enumerate() {
            let top = plot.top + nth as f64 * high;
            if top + high / 2.0 >= free {
                self.text((plot.left - 8.0, top + high / 2.0), label, LABEL, INK, HPos::Right)?;
                free = top + high / 2.0 + LABEL;
            }
            for (nth, value) in cells.iter().enumerate() {
                let Some(value) = value else { continue };
                let left = plot.left + nth as f64 * wide;
                let cell = Frame { left, top, right: left + wide - gap, bottom: top + high - gap };
                let share = heat.z.share(*value);
                self.fill(cell, shade(share))?;
                let number = text::number(*value);
                if self.width(&number, LABEL) + 6.0 <= wide && high >= LABEL {
                    let ink = if share > 0.5 { RGBColor(255, 255, 255) } else { INK };
                    let middle = (left + wide / 2.0, top + high / 2.0);
                    self.text(middle, &number, LABEL, ink, HPos::Center)?;
                }
            }
        }
        let mut free = plot.left - 20.0;
        for (nth, label) in heat.x.marks((plot.width() / 70.0) as usize) {
            let label = self.fitted(&label, LABEL, wide.max(90.0));
            let (x, half) = (plot.left + (nth as f64 + 0.5) * wide, self.width(&label, LABEL) / 2.0);
            if x - half >= free && x + half <= self.frame().right {
                self.text((x, plot.bottom + 14.0), &label, LABEL, INK, HPos::Center)?;
                free = x + half + 10.0;
            }
        }
        let middle = f64::midpoint(plot.left, plot.right);
        let title = self.fitted(&heat.x.title, LABEL, plot.width());
        self.text((middle, plot.bottom + 36.0), &title, LABEL, INK, HPos::Center)?;
        self.key(heat, plot)
    }

    /// Draws the key of the shades.
    fn key(&self, heat: &Heat, plot: Frame) -> anyhow::Result<()> {
        let y = plot.bottom + 62.0;
        let name = self.fitted(&heat.z.name, LABEL, plot.width() / 3.0);
        let (low, high) = (text::number(heat.z.low), text::number(heat.z.high));
        let mut x = plot.left;
        self.text((x, y), &name, LABEL, INK, HPos::Left)?;
        x += self.width(&name, LABEL) + 14.0;
        self.text((x, y), &low, LABEL, INK, HPos::Left)?;
        x += self.width(&low, LABEL) + 8.0;
        for nth in 0..40u32 {
            let left = x + f64::from(nth) * 4.0;
            let step = Frame { left, top: y - 6.0, right: left + 4.0, bottom: y + 6.0 };
            self.fill(step, shade(f64::from(nth) / 39.0))?;
        }
        self.text((x + 168.0, y), &high, LABEL, INK, HPos::Left)
    }
}
