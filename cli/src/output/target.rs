//! The place of an answer: standard output, or a file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::format::{FileKind, Format};

/// Where an answer goes.
pub(crate) enum Target {
    Stdout(Format),
    File { path: PathBuf, kind: FileKind },
}

impl Target {
    /// A file whose kind the ending of its name says, or else this format.
    pub(crate) fn file(path: &Path, format: Option<Format>) -> anyhow::Result<Self> {
        let ending = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let named = FileKind::of_ending(ending);
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
