//! The request for a picture, in a line of text: `line x=day y=crashes out.svg`.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

/// The end of every error about the form of a request.
const ALLOWED: &str = "a picture may have a kind (bar, line, histogram or heat), columns (x=, y=, z= and \
                       by=), and a file that ends in .svg or .png; for example: line x=day y=crashes";

/// The request for a picture. Missing parts are chosen when the columns are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(super) kind: Option<Kind>,
    pub(super) x: Option<String>,
    pub(super) y: Option<String>,
    pub(super) z: Option<String>,
    pub(super) by: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bar,
    Line,
    Histogram,
    Heat,
}

/// The format of a picture in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Svg,
    Png,
}

impl FileKind {
    /// The format that the ending of a path names.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?;
        if ending.eq_ignore_ascii_case("svg") {
            Some(Self::Svg)
        } else if ending.eq_ignore_ascii_case("png") {
            Some(Self::Png)
        } else {
            None
        }
    }
}

impl Request {
    /// Parses words in any order. Quotes hold names and paths with spaces together.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut request = Self::default();
        for word in words(text)? {
            request.add(&word)?;
        }
        Ok(request)
    }

    /// The file to write, if the picture is not for the terminal.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn add(&mut self, word: &str) -> anyhow::Result<()> {
        let kind = match word.to_ascii_lowercase().as_str() {
            "bar" | "bars" => Some(Kind::Bar),
            "line" | "lines" => Some(Kind::Line),
            "histogram" | "hist" => Some(Kind::Histogram),
            "heat" | "heatmap" => Some(Kind::Heat),
            _ => None,
        };
        if let Some(kind) = kind {
            ensure!(self.kind.is_none(), "two kinds of picture in one request: {ALLOWED}");
            self.kind = Some(kind);
            return Ok(());
        }
        if let Some((key, column)) = word.split_once('=') {
            let place = match key.to_ascii_lowercase().as_str() {
                "x" => Some(&mut self.x),
                "y" => Some(&mut self.y),
                "z" => Some(&mut self.z),
                "by" => Some(&mut self.by),
                _ => None,
            };
            if let Some(place) = place {
                ensure!(!column.is_empty(), "{key}= has no column: {ALLOWED}");
                ensure!(place.is_none(), "{key}= is given twice: {ALLOWED}");
                *place = Some(column.to_owned());
                return Ok(());
            }
        }
        if FileKind::of(Path::new(word)).is_some() {
            ensure!(self.path.is_none(), "two files in one request: {ALLOWED}");
            self.path = Some(PathBuf::from(word));
            return Ok(());
        }
        bail!("cannot use {word:?} in a picture: {ALLOWED}")
    }
}

/// Splits a text at spaces that are not within quotes.
fn words(text: &str) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    ensure!(quote.is_none(), "a quote is not closed: {ALLOWED}");
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_request_for_whatever_fits() {
        assert_eq!(Request::parse("  ").unwrap(), Request::default());
    }

    #[test]
    fn words_come_in_any_order() {
        let request = Request::parse("out.PNG y=lag x='a day' Heatmap z=n by=\"système\"").unwrap();
        assert_eq!(request.kind, Some(Kind::Heat));
        assert_eq!(
            [&request.x, &request.y, &request.z, &request.by].map(|name| name.as_deref().unwrap()),
            ["a day", "lag", "n", "système"]
        );
        assert_eq!(request.path(), Some(Path::new("out.PNG")));
        assert_eq!(FileKind::of(Path::new("out.PNG")), Some(FileKind::Png));
    }

    #[test]
    fn a_path_may_have_blanks_and_an_equals_sign() {
        let request = Request::parse("bar 'my pictures/a=b.svg'").unwrap();
        assert_eq!(request.path(), Some(Path::new("my pictures/a=b.svg")));
    }

    #[test]
    fn errors_say_what_is_allowed() {
        for (text, start) in [
            ("pie", "cannot use \"pie\" in a picture"),
            ("bar line", "two kinds of picture"),
            ("x=", "x= has no column"),
            ("x=a x=b", "x= is given twice"),
            ("a.svg b.png", "two files"),
            ("out.jpeg", "cannot use \"out.jpeg\" in a picture"),
            ("x='a", "a quote is not closed"),
        ] {
            let error = Request::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(start), "{error}");
            assert!(error.ends_with("for example: line x=day y=crashes"), "{error}");
        }
    }
}
