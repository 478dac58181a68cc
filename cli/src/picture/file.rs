//! Pictures in files: SVG, and PNG, from the same strokes.
//!
//! Both are drawn four times as large as they are shown. So an SVG has coordinates finer than a pixel. A PNG
//! is scaled down by half, which smooths its edges, and fits screens with two pixels to a point.
//!
//! The font is a part of the program, because a server has no fonts. An SVG is shown in the sans-serif font
//! of the viewer, which also has characters that our font lacks.

mod heat;
mod paint;
mod pen;

use std::sync::OnceLock;

use anyhow::{anyhow, ensure};
use plotters::prelude::{BitMapBackend, DrawingBackend, IntoDrawingArea, SVGBackend, WHITE};
use plotters::style::{FontStyle, register_font};

use self::pen::{Face, Pen};
use super::compose::{Picture, Room, Shape};
use super::request::FileKind;

/// The number of parts that a picture in a file has room for.
pub(super) const ROOM: Room = Room { columns: 96, rows: 40, bins: 60 };

/// The number of bars in a picture in a file.
const MOST_BARS: usize = 60;

/// Strokes are drawn at this multiple of the size at which they are shown.
const FINE: u32 = 4;

/// The picture as the bytes of a file.
pub(super) fn bytes(picture: &Picture, kind: FileKind) -> anyhow::Result<Vec<u8>> {
    static FONT: OnceLock<bool> = OnceLock::new();
    let is_there = FONT.get_or_init(|| {
        register_font(pen::FAMILY, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok()
    });
    ensure!(*is_there, "the font for pictures cannot be read");
    let (width, height) = size(picture);
    match kind {
        FileKind::Svg => svg(picture, width, height),
        FileKind::Png => png(picture, width, height),
    }
}

/// The width of a page, and the height that the picture needs.
fn size(picture: &Picture) -> (u32, u32) {
    let height = match &picture.shape {
        Shape::Bars(bars) => 104 + 26 * bars.rows.len().min(MOST_BARS) as u32,
        Shape::Heat(heat) => (150 + 30 * heat.y.labels.len() as u32).clamp(260, 900),
        Shape::Lines(_) | Shape::Histogram(_) => 540,
    };
    (960, height + 18 * picture.notes.len().min(3) as u32)
}

fn svg(picture: &Picture, width: u32, height: u32) -> anyhow::Result<Vec<u8>> {
    let mut text = String::new();
    on_white(
        picture,
        SVGBackend::with_string(&mut text, (width * FINE, height * FINE)),
        Face { sink: 0.05, breadth: 1.15 },
    )?;
    // Change only the size at which it is shown; the coordinates stay.
    let drawn = format!("width=\"{}\" height=\"{}\"", width * FINE, height * FINE);
    Ok(text.replacen(&drawn, &format!("width=\"{width}\" height=\"{height}\""), 1).into_bytes())
}

fn png(picture: &Picture, width: u32, height: u32) -> anyhow::Result<Vec<u8>> {
    let (columns, rows) = (width * FINE, height * FINE);
    let mut pixels = vec![0; columns as usize * rows as usize * 3];
    on_white(
        picture,
        BitMapBackend::with_buffer(&mut pixels, (columns, rows)),
        Face { sink: 0.18, breadth: 1.0 },
    )?;
    let halved = halved(&pixels, columns as usize * 3);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns / 2, rows / 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&halved)?;
    writer.finish()?;
    Ok(bytes)
}

/// Halves the width and the height: each pixel is the mean of four.
fn halved(pixels: &[u8], row: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(2 * row) {
        let (above, below) = rows.split_at(row);
        for (above, below) in above.chunks_exact(6).zip(below.chunks_exact(6)) {
            for colour in 0..3 {
                let sum: u16 = [above[colour], above[colour + 3], below[colour], below[colour + 3]]
                    .into_iter()
                    .map(u16::from)
                    .sum();
                out.push((sum / 4) as u8);
            }
        }
    }
    out
}

fn on_white<B: DrawingBackend>(picture: &Picture, backend: B, face: Face) -> anyhow::Result<()> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    Pen::new(&area, f64::from(FINE), face).picture(picture)?;
    area.present().map_err(|error| anyhow!("{error}"))
}
