//! Draws strokes: text, rectangles and paths, in the units in which the picture is shown.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, IntoTextStyle, RGBColor, TextStyle};

use crate::picture::text;

/// The name by which our font is known. A viewer finds its own font by it, too.
pub(super) const FAMILY: &str = "sans-serif";

pub(super) const INK: RGBColor = RGBColor(31, 41, 55);
pub(super) const GREY: RGBColor = RGBColor(156, 163, 175);
pub(super) const GRID: RGBColor = RGBColor(229, 231, 235);

/// Colours that most people can distinguish, also people who see fewer colours.
const COLOURS: [RGBColor; 8] = [
    RGBColor(66, 105, 208),
    RGBColor(239, 177, 24),
    RGBColor(255, 114, 92),
    RGBColor(108, 197, 176),
    RGBColor(60, 169, 81),
    RGBColor(255, 138, 183),
    RGBColor(164, 99, 242),
    RGBColor(151, 187, 245),
];

pub(super) const fn colour(series: usize) -> RGBColor {
    COLOURS[series % COLOURS.len()]
}

/// A rectangle of the picture, from its upper left.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Frame {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// The differences of text between SVG and PNG.
#[derive(Clone, Copy)]
pub(super) struct Face {
    /// The middle of a text in the backend is too high by this part of the size of the text.
    pub(super) sink: f64,
    /// The text may be this many times as wide as in our font.
    pub(super) breadth: f64,
}

pub(super) struct Pen<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    scale: f64,
    face: Face,
}

impl<'a, B: DrawingBackend> Pen<'a, B> {
    pub(super) fn new(area: &'a DrawingArea<B, Shift>, scale: f64, face: Face) -> Self {
        Self { area, scale, face }
    }

    /// The whole picture.
    pub(super) fn frame(&self) -> Frame {
        let (width, height) = self.area.dim_in_pixel();
        let of = |length: u32| f64::from(length) / self.scale;
        Frame { left: 0.0, top: 0.0, right: of(width), bottom: of(height) }
    }

    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn font(&self, size: f64) -> FontDesc<'static> {
        FontDesc::new(FontFamily::Name(FAMILY), size * self.scale, FontStyle::Normal)
    }

    /// The width of a text.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        self.font(size)
            .box_size(text)
            .map_or(0.0, |(width, _)| f64::from(width) / self.scale * self.face.breadth)
    }

    /// A text cut to a width.
    pub(super) fn fitted(&self, text: &str, size: f64, width: f64) -> String {
        // Our font has no symbols of control characters.
        let text = &text.replace(|c| ('\u{2400}'..='\u{2421}').contains(&c), "·");
        let fits = |columns: usize| self.width(&text::shortened(text, columns), size) <= width;
        let whole = text::width(text);
        if fits(whole) {
            return text.clone();
        }
        let columns: Vec<usize> = (1..whole).collect();
        text::shortened(text, columns.partition_point(|columns| fits(*columns))).into_owned()
    }

    pub(super) fn text(
        &self,
        (x, y): (f64, f64),
        text: &str,
        size: f64,
        ink: RGBColor,
        anchor: HPos,
    ) -> anyhow::Result<()> {
        let style: TextStyle<'_> = self.font(size).into_text_style(self.area);
        let y = y + size * self.face.sink;
        let style = style.pos(Pos::new(anchor, VPos::Center)).color(&ink);
        self.area.draw(&Text::new(text.to_owned(), self.at(x, y), style)).map_err(|error| anyhow!("{error}"))
    }

    pub(super) fn fill(&self, frame: Frame, ink: RGBColor) -> anyhow::Result<()> {
        let corners = [self.at(frame.left, frame.top), self.at(frame.right, frame.bottom)];
        self.area.draw(&Rectangle::new(corners, ink.filled())).map_err(|error| anyhow!("{error}"))
    }

    pub(super) fn path(&self, points: &[(f64, f64)], width: f64, ink: RGBColor) -> anyhow::Result<()> {
        let points: Vec<_> = points.iter().map(|(x, y)| self.at(*x, *y)).collect();
        let style = ink.stroke_width((width * self.scale).round().max(1.0) as u32);
        self.area.draw(&PathElement::new(points, style)).map_err(|error| anyhow!("{error}"))
    }

    pub(super) fn dot(&self, (x, y): (f64, f64), radius: f64, ink: RGBColor) -> anyhow::Result<()> {
        let circle = Circle::new(self.at(x, y), (radius * self.scale).round() as i32, ink.filled());
        self.area.draw(&circle).map_err(|error| anyhow!("{error}"))
    }
}
