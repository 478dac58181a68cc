//! The layout of a picture in a file: the title above, notes below, axes at the sides.

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;

use super::MOST_BARS;
use super::pen::{Frame, GREY, GRID, INK, Pen, colour};
use crate::picture::axis::{Axis, Tick};
use crate::picture::compose::{Bars, Histogram, Picture, Shape};
use crate::picture::lines::Lines;
use crate::picture::text;

/// Sizes of text.
pub(super) const TITLE: f64 = 22.0;
pub(super) const LABEL: f64 = 16.0;

/// The white margin of the picture.
pub(super) const MARGIN: f64 = 24.0;

impl<B: DrawingBackend> Pen<'_, B> {
    pub(super) fn picture(&self, picture: &Picture) -> anyhow::Result<()> {
        let all = self.frame();
        let title = self.fitted(&picture.title, TITLE, all.width() - 2.0 * MARGIN);
        self.text((MARGIN, 30.0), &title, TITLE, INK, HPos::Left)?;
        let notes = &picture.notes[..picture.notes.len().min(3)];
        let mut bottom = all.bottom - 12.0;
        for note in notes.iter().rev() {
            let note = self.fitted(note, LABEL, all.width() - 2.0 * MARGIN);
            self.text((MARGIN, bottom), &note, LABEL, GREY, HPos::Left)?;
            bottom -= 18.0;
        }
        let frame = Frame { left: MARGIN, top: 54.0, right: all.right - MARGIN, bottom };
        match &picture.shape {
            Shape::Bars(bars) => self.bars(bars, frame),
            Shape::Lines(lines) => self.lines(lines, frame),
            Shape::Histogram(histogram) => self.histogram(histogram, frame),
            Shape::Heat(heat) => self.heat(heat, frame),
        }
    }

    /// Draws the names of series beside their colours, as many as fit into the line. Returns the frame below.
    fn legend<'n>(
        &self,
        names: impl ExactSizeIterator<Item = &'n String>,
        frame: Frame,
    ) -> anyhow::Result<Frame> {
        if names.len() < 2 {
            return Ok(frame);
        }
        let (mut x, y) = (frame.left, frame.top + 8.0);
        for (nth, name) in names.enumerate() {
            let name = self.fitted(name, LABEL, 180.0);
            let next = x + 18.0 + self.width(&name, LABEL) + 22.0;
            if next > frame.right {
                self.text((x, y), "…", LABEL, INK, HPos::Left)?;
                break;
            }
            self.fill(Frame { left: x, top: y - 6.0, right: x + 12.0, bottom: y + 6.0 }, colour(nth))?;
            self.text((x + 18.0, y), &name, LABEL, INK, HPos::Left)?;
            x = next;
        }
        Ok(Frame { top: frame.top + 28.0, ..frame })
    }

    fn bars(&self, bars: &Bars, frame: Frame) -> anyhow::Result<()> {
        let frame = self.legend(bars.series.iter(), frame)?;
        let rows = &bars.rows[..bars.rows.len().min(MOST_BARS)];
        let most = frame.width() * 0.4;
        let labels: Vec<_> = rows.iter().map(|bar| self.fitted(&bar.label, LABEL, most)).collect();
        let widest = |texts: &mut dyn Iterator<Item = f64>| texts.fold(0.0, f64::max);
        let label_width = widest(&mut labels.iter().map(|label| self.width(label, LABEL)));
        let value_width = widest(&mut rows.iter().map(|bar| self.width(&bar.value(), LABEL)));
        let left = frame.left + label_width + 12.0;
        let columns = frame.right - value_width - 8.0 - left;
        let zero = left + bars.axis.share(0.0) * columns;
        let has_series = bars.series.len() > 1;
        // The last line is for the number of missing bars.
        let high = ((frame.height() - 24.0) / rows.len().max(1) as f64).min(26.0);
        let mut y = frame.top + high / 2.0;
        for (nth, bar) in rows.iter().enumerate() {
            if !(has_series && nth > 0 && rows[nth - 1].label == bar.label) {
                self.text((frame.left + label_width, y), &labels[nth], LABEL, INK, HPos::Right)?;
            }
            let end = bar.value.map_or(zero, |value| left + bars.axis.share(value) * columns);
            let half = high * 0.38;
            let body = Frame { left: zero.min(end), top: y - half, right: zero.max(end), bottom: y + half };
            self.fill(body, colour(bar.series))?;
            self.text((zero.max(end) + 8.0, y), &bar.value(), LABEL, INK, HPos::Left)?;
            y += high;
        }
        let bottom = frame.top + high * rows.len() as f64;
        self.path(&[(zero, frame.top), (zero, bottom)], 1.0, GREY)?;
        if bars.all > rows.len() {
            let more = format!("… {} more", text::number((bars.all - rows.len()) as f64));
            self.text((frame.left, bottom + 14.0), &more, LABEL, GREY, HPos::Left)?;
        }
        Ok(())
    }

    fn lines(&self, lines: &Lines, frame: Frame) -> anyhow::Result<()> {
        let frame = self.legend(lines.series.iter().map(|series| &series.name), frame)?;
        let y_axis = lines.y.clone().rounded(6);
        let plot = self.axes(&lines.x, &y_axis, frame)?;
        for (nth, series) in lines.series.iter().enumerate() {
            let at = |(x, y): &(f64, f64)| {
                (plot.left + lines.x.share(*x) * plot.width(), plot.bottom - y_axis.share(*y) * plot.height())
            };
            let points: Vec<_> = series.points.iter().map(at).collect();
            if points.len() > 1 {
                self.path(&points, 2.0, colour(nth))?;
            }
            if points.len() <= 60 {
                for point in points {
                    self.dot(point, 3.5, colour(nth))?;
                }
            }
        }
        Ok(())
    }

    fn histogram(&self, histogram: &Histogram, frame: Frame) -> anyhow::Result<()> {
        let y_axis = histogram.y.clone().rounded(6);
        let plot = self.axes(&histogram.x, &y_axis, frame)?;
        let wide = plot.width() / histogram.bins.len().max(1) as f64;
        for (nth, count) in histogram.bins.iter().enumerate() {
            let left = plot.left + nth as f64 * wide;
            let top = plot.bottom - y_axis.share(*count as f64) * plot.height();
            if *count > 0 {
                self.fill(Frame { left, top, right: left + wide - 1.0, bottom: plot.bottom }, colour(0))?;
            }
        }
        Ok(())
    }

    /// Draws both axes with a grid, and returns the frame between them.
    fn axes(&self, x_axis: &Axis, y_axis: &Axis, frame: Frame) -> anyhow::Result<Frame> {
        let ticks = y_axis.ticks(6);
        let widest = ticks.iter().map(|tick| self.width(&tick.text, LABEL)).fold(0.0, f64::max);
        let plot = Frame {
            left: frame.left + widest + 10.0,
            top: frame.top + 8.0,
            right: frame.right - 8.0,
            bottom: frame.bottom - 50.0,
        };
        for Tick { at, text } in ticks {
            let y = plot.bottom - y_axis.share(at) * plot.height();
            self.path(&[(plot.left, y), (plot.right, y)], 1.0, GRID)?;
            self.text((plot.left - 8.0, y), &text, LABEL, INK, HPos::Right)?;
        }
        self.path(&[(plot.left, plot.bottom), (plot.right, plot.bottom)], 1.0, GREY)?;
        let mut free = 0.0;
        for Tick { at, text } in x_axis.ticks((plot.width() / 100.0) as usize) {
            let x = plot.left + x_axis.share(at) * plot.width();
            let half = self.width(&text, LABEL) / 2.0;
            if x - half < free || x + half > self.frame().right {
                continue;
            }
            self.path(&[(x, plot.bottom), (x, plot.bottom + 5.0)], 1.0, GREY)?;
            self.text((x, plot.bottom + 16.0), &text, LABEL, INK, HPos::Center)?;
            free = x + half + 10.0;
        }
        let title = self.fitted(&x_axis.title(), LABEL, plot.width());
        self.text(
            (f64::midpoint(plot.left, plot.right), plot.bottom + 38.0),
            &title,
            LABEL,
            INK,
            HPos::Center,
        )?;
        Ok(plot)
    }
}
