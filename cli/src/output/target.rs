//! Where an answer goes, and in which format.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// The format of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// A table for people
    #[default]
    #[value(alias = "aligned")]
    Table,
    /// Comma-separated values with a header; NULL is nothing, an empty text is ""
    Csv,
    /// Tab-separated values with a header; NULL is \N, and \t, \n, \\ are as in C
    Tsv,
    /// One array of objects
    Json,
    /// One object on each line
    Ndjson,
    /// A table in Markdown
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
    /// A file whose kind the ending of its name says, or else this format.
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
                    "cannot write {name} to {file}: the name ends in .{ending}; rename the file, or leave \
                     --format out"
                )
            }
            (Some(kind), ..) | (None, Some(kind), _) => kind,
            (None, None, _) => anyhow::bail!(
                "cannot write {file}: its name must end in .parquet, .csv, .tsv, .json, .ndjson, .md or \
                 .arrow"
            ),
        };
        Ok(Self::File { path: path.to_path_buf(), kind })
    }
}
