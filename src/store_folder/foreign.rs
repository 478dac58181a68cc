//! Names that operating systems and other programs leave in every folder. They are not part of a store,
//! and not damage.

/// Such names that do not begin with a dot, in lower case.
const NAMES: [&str; 21] = [
    // A fresh volume, and quotas on it.
    "lost+found",
    "aquota.user",
    "aquota.group",
    "quota.user",
    "quota.group",
    // Windows.
    "desktop.ini",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "found.000",
    // macOS.
    "icon\r",
    "__macosx",
    "network trash folder",
    "temporary items",
    // Network storage.
    "@eadir",
    "@recycle",
    "#recycle",
    "#snapshot",
];

/// Whether this is a name that an operating system or another program leaves anywhere.
pub(crate) fn is_foreign(name: &str) -> bool {
    name.starts_with('.') || NAMES.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn names_of_other_programs_in_any_case() {
        for name in
            [".DS_Store", "lost+found", "@eaDir", "Desktop.ini", "Thumbs.db", "$RECYCLE.BIN", "Icon\r"]
        {
            assert!(is_foreign(name), "{name:?}");
        }
        for name in ["events", "ostracon.toml", "README.txt", "1-1-8-0a0b0c0d.parquet", "desktop.ini.parquet"]
        {
            assert!(!is_foreign(name), "{name:?}");
        }
    }
}
