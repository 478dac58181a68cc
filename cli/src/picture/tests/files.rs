//! The content of pictures in files.

use super::*;

fn svg(batches: &[RecordBatch], request: &str) -> String {
    let request = Request::parse(request).unwrap();
    let picture = compose(&Rows::all(batches), &request, &TimeZone::UTC, file::ROOM).unwrap();
    String::from_utf8(file::bytes(&picture, FileKind::Svg).unwrap()).unwrap()
}

/// The texts of a picture, in the order in which they are drawn.
fn labels(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|error| panic!("{error}\n{svg}"));
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap().trim().to_owned()).collect()
}

#[test]
fn an_svg_is_xml_with_all_labels() {
    let harmful = table(vec![
        ("<script>&\"", texts(["a</text><b x='1'>", "\u{0}\u{ffff}]]>", "Füße 日本"])),
        ("n", whole([3, 1, 2])),
    ]);
    assert_eq!(
        labels(&svg(&harmful, "")),
        ["n by <script>&\"", "a</text><b x='1'>", "3", "·�]]>", "1", "Füße 日本", "2"]
    );
    let size = roxmltree::Document::parse(&svg(&harmful, "")).map(|document| {
        let root = document.root_element();
        ["width", "height", "viewBox"].map(|name| root.attribute(name).unwrap().to_owned())
    });
    assert_eq!(size.unwrap(), ["960", "182", "0 0 3840 728"]);
}

#[test]
fn every_kind_has_its_axes() {
    let lines = labels(&svg(&two_systems(), ""));
    assert_eq!(lines[..3], ["facts over hour, by system_id", "shop", "billing"]);
    assert_eq!(lines.last().unwrap(), "hour: 2026-03-01 00:00 – 2026-03-02 11:00 UTC");
    assert!(lines.contains(&"Mar 2".to_owned()), "{lines:?}");
    assert_eq!(labels(&svg(&lags(), "")).last().unwrap(), "lag_ms");
    let heat = labels(&svg(&week(), ""));
    assert!(heat.contains(&"Mar 7".to_owned()) && heat.contains(&"23".to_owned()), "{heat:?}");
}

#[test]
fn a_png_is_twice_as_large_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    write(&errors(), &Request::default(), &TimeZone::UTC, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height, info.color_type), (1920, 416, png::ColorType::Rgb));
    let white = pixels.iter().filter(|byte| **byte == 255).count();
    assert!(white > pixels.len() / 2 && white < pixels.len() * 9 / 10, "{white} of {}", pixels.len());
}

#[test]
fn an_unknown_ending_or_a_missing_folder_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        write(&errors(), &Request::default(), &TimeZone::UTC, &folder.path().join("out.gif")).unwrap_err();
    assert!(error.to_string().ends_with("out.gif: its name must end in .svg or .png"));
    let error =
        write(&errors(), &Request::default(), &TimeZone::UTC, &folder.path().join("no/out.svg")).unwrap_err();
    assert!(error.to_string().starts_with("cannot write"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
