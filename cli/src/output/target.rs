//! Where an answer goes, and in which form.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Columns drawn for people
    #[default]
    #[value(alias = "aligned")]
    Table,
    /// Comma-separated, with a header: NULL is nothing, an empty text is ""
    Csv,
    /// Tab-separated, with a header: NULL is \N, and \t, \n, \\ are as in C
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    Ndjson,
    /// A table for a text in Markdown
    Markdown,
}

/// Where an answer goes.
pub(crate) enum Target {
    Stdout(Format),
    File { path: PathBuf, kind: FileKind },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Parquet,
    Arrow,
    Text(Format),
}

impl Target {
    /// A file of the kind that its ending says, or else of this format.
    pub(crate) fn file(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let ending = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let named = match ending.to_ascii_lowercase().as_str() {
            "parquet" => Some(FileKind::Parquet),
            "arrow" => Some(FileKind::Arrow),
            "csv" => Some(FileKind::Text(Format::Csv)),
            "tsv" => Some(FileKind::Text(Format::Tsv)),
            "json" => Some(FileKind::Text(Format::Json)),
            "ndjson" | "jsonl" => Some(FileKind::Text(Format::Ndjson)),
            "md" => Some(FileKind::Text(Format::Markdown)),
            _ => None,
        };
        let asked = format.map(FileKind::Text);
        let file = path.display();
        let kind = match (named, asked, format) {
            (Some(named), Some(asked), Some(format)) if named != asked => {
                let name = format.to_possible_value();
                let name = name.as_ref().map_or("", |name| name.get_name());
                anyhow::bail!(
                    "{file} ends in .{ending}, and --format asks for {name}: name the file otherwise, or leave one out"
                )
            }
            (Some(kind), ..) | (None, Some(kind), _) => kind,
            (None, None, _) => anyhow::bail!(
                "{file} should end in .parquet, .csv, .tsv, .json, .ndjson, .md or .arrow, to say what to write"
            ),
        };
        Ok(Self::File { path: path.to_path_buf(), kind })
    }
}
