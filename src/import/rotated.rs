//! The files of a rotating backend.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files that a rotating backend has left of a log, oldest first: `path.3`, `path.2`, `path.1`, and
/// `path` itself, which is also there when it alone is, or none is.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let log = folder.path().join("papyra.ndjson");
/// for name in ["papyra.ndjson", "papyra.ndjson.2", "papyra.ndjson.10", "papyra.ndjson.old"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let names: Vec<_> = ostracon::rotated_files(&log)?.iter().map(|file| file.file_name().unwrap().to_owned()).collect();
/// assert_eq!(names, ["papyra.ndjson.10", "papyra.ndjson.2", "papyra.ndjson"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The operating system's, where the folder cannot be listed.
pub fn rotated_files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let attempt = |error| Error::io("list the rotated files in", folder, error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut older: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(attempt)? {
        let entry = entry.map_err(attempt)?.file_name();
        let number = entry.to_str().and_then(|entry| entry.strip_prefix(&*name)?.strip_prefix('.'));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            older.push((number, path.with_file_name(&entry)));
        }
    }
    older.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    let is_alone = older.is_empty();
    let mut files: Vec<PathBuf> = older.into_iter().map(|(_, file)| file).collect();
    if is_alone || path.exists() {
        files.push(path.to_path_buf());
    }
    Ok(files)
}
