//! Lists the files of a log that a backend rotates.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Endings of files that were packed after they were rotated. Formats that cannot be unpacked here are
/// listed, too, so that an import of them gives an error.
const PACKED: [&str; 12] = ["gz", "zst", "zstd", "bz2", "xz", "lzma", "lz4", "lz", "sz", "zip", "7z", "Z"];

/// The most digits of a number: `log.240131` was rotated on that day.
const MOST_DIGITS: usize = 4;

/// Lists the files of a rotated log, oldest first: `path.3`, `path.2`, `path.1`, and `path` itself, which
/// is always in the list. Packed files are in it, too: `path.2.gz`, `path.3.zst`. A number has up to four
/// digits: more digits are a date, as in `path.260131`.
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
/// The operating system's errors, if the folder cannot be listed.
pub fn rotated_files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = path.as_ref();
    let mut older: Vec<_> = beside(path)?
        .into_iter()
        .filter_map(|(ending, file)| Some((std::cmp::Reverse(number(&ending)?), ending.len(), file)))
        .collect();
    // Of two files with one number, the unpacked one comes first: the packed one may be incomplete.
    older.sort_unstable();
    let is_alone = older.is_empty();
    let mut files: Vec<PathBuf> = older.into_iter().map(|(.., file)| file).collect();
    let is_there = || path.try_exists().map_err(|error| Error::io("access", path, error));
    if is_alone || is_there()? {
        files.push(path.to_path_buf());
    }
    Ok(files)
}

/// Lists files beside a log whose names look like older states of it, but that [`rotated_files`] does not
/// know. The user must decide in which order to import them.
///
/// # Errors
/// The operating system's errors, if the folder cannot be listed.
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

/// The number of a rotated file, from the rest of its name after the log's. A longer one is a date.
fn number(ending: &str) -> Option<u64> {
    let ending = ending.strip_prefix('.')?;
    let (number, packed) =
        ending.split_once('.').map_or((ending, None), |(number, packed)| (number, Some(packed)));
    let is_number = number.len() <= MOST_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number && packed.is_none_or(|packed| PACKED.contains(&packed)))
}

/// The files whose names begin with the log's name and `.` or `-`, each with the rest of its name.
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
