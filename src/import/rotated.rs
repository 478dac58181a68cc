//! The files of a rotating backend.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Endings of files that were packed after they were rotated. What cannot be unpacked here is listed, too, so that
/// importing it says so.
const PACKED: [&str; 12] = ["gz", "zst", "zstd", "bz2", "xz", "lzma", "lz4", "lz", "sz", "zip", "7z", "Z"];

/// `log.240131` was rotated on that day.
const MOST_DIGITS: usize = 4;

/// The files that a rotating backend has left of a log, oldest first: `path.3`, `path.2`, `path.1`, and
/// `path` itself, which is also there when it alone is, or none is. Those that were packed are among them:
/// `path.2.gz`, `path.3.zst`. A number has up to four digits: more of them are a date, as in `path.260131`.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let log = folder.path().join("papyra.ndjson");
/// for name in ["papyra.ndjson", "papyra.ndjson.2", "papyra.ndjson.10.gz", "papyra.ndjson.old"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let names: Vec<_> = ostracon::input::rotated_files(&log)?.iter().map(|file| file.file_name().unwrap().to_owned()).collect();
/// assert_eq!(names, ["papyra.ndjson.10.gz", "papyra.ndjson.2", "papyra.ndjson"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The operating system's, where the folder cannot be listed.
pub fn rotated_files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let mut older: Vec<_> = beside(path)?
        .into_iter()
        .filter_map(|(ending, file)| Some((std::cmp::Reverse(number(&ending)?), ending.len(), file)))
        .collect();
    // Of one number the file that is not packed comes first: the other may not be finished.
    older.sort_unstable();
    let is_alone = older.is_empty();
    let mut files: Vec<PathBuf> = older.into_iter().map(|(.., file)| file).collect();
    let is_there = || path.try_exists().map_err(|error| Error::io("look at", path, error));
    if is_alone || is_there()? {
        files.push(path.to_path_buf());
    }
    Ok(files)
}

/// Files beside a log whose names say that they are older states of it, and that [`rotated_files`] does not know:
/// in which order they are to be imported, only people know.
///
/// # Errors
/// The operating system's, where the folder cannot be listed.
pub fn unknown_rotated_files(path: &Path) -> Result<Vec<PathBuf>> {
    let is_older = |ending: &str| {
        let name = PACKED.iter().find_map(|packed| ending.strip_suffix(packed)?.strip_suffix('.'));
        let name = name.unwrap_or(ending).trim_start_matches(['.', '-']);
        let is_date = |char: char| char.is_ascii_digit() || matches!(char, '-' | '_' | '.' | ':' | 'T' | 'Z');
        matches!(name, "old" | "bak" | "orig" | "save")
            || name.chars().all(is_date) && name.chars().any(|char| char.is_ascii_digit())
    };
    let mut unknown: Vec<_> = beside(path)?
        .into_iter()
        .filter(|(ending, _)| number(ending).is_none() && is_older(ending))
        .map(|(_, file)| file)
        .collect();
    unknown.sort_unstable();
    Ok(unknown)
}

/// The file that a packed one was made from, by its name; `None` for a name without such an ending.
pub fn without_packing(path: &Path) -> Option<PathBuf> {
    let packed = path.extension()?.to_str()?;
    PACKED.contains(&packed).then(|| path.with_extension(""))
}

/// The number of a rotated file, of what its name has after the log's. A longer one is a date.
fn number(ending: &str) -> Option<u64> {
    let ending = ending.strip_prefix('.')?;
    let (number, packed) =
        ending.split_once('.').map_or((ending, None), |(number, packed)| (number, Some(packed)));
    let is_number = number.len() <= MOST_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number && packed.is_none_or(|packed| PACKED.contains(&packed)))
}

/// The files whose names begin with that of a log and `.` or `-`, each with what its name has after the log's.
fn beside(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let attempt = |error| Error::io("list the rotated files in", folder, error);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(attempt)? {
        let entry = entry.map_err(attempt)?.file_name();
        let rest = entry.to_str().and_then(|entry| entry.strip_prefix(&*name));
        if let Some(ending) = rest.filter(|rest| rest.starts_with(['.', '-'])) {
            files.push((ending.to_owned(), path.with_file_name(&entry)));
        }
    }
    Ok(files)
}
