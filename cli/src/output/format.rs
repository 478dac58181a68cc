//! The formats of answers, on the screen and in files.

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

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Parquet,
    Arrow,
    Text(Format),
}

impl FileKind {
    /// The format that a file's ending names.
    pub(super) fn of_ending(ending: &str) -> Option<Self> {
        Some(match ending.to_ascii_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "arrow" => Self::Arrow,
            "csv" => Self::Text(Format::Csv),
            "tsv" => Self::Text(Format::Tsv),
            "json" => Self::Text(Format::Json),
            "ndjson" | "jsonl" => Self::Text(Format::Ndjson),
            "md" => Self::Text(Format::Markdown),
            _ => return None,
        })
    }
}
