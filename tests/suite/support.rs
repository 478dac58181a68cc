//! What several scenarios need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[cfg(feature = "cli")]
use std::process::Command;

use ostracon::{
    Audit, Cursor, DeadLetter, Event, Fact, Json, Kind, RecoveryConfig, RecoveryMode, RecoveryReport, Store,
    recover,
};

/// A crash of actor `n`, distinguishable from every other.
pub(crate) fn crash(n: u64) -> Fact<'static> {
    let payload =
        Json::parse(format!(r#"{{"error": "KeyError: missing field sku-{n}", "reason": "n={n}"}}"#)).unwrap();
    Event::new("shop", format!("shop:{}", n % 7), "ActorCrashed", payload, 1_795_404_290.0 + n as f64).into()
}

/// Fact `n` of a sequence in which all kinds take turns; no two are alike.
pub(crate) fn any_fact(n: u64) -> Fact<'static> {
    match n % 4 {
        0 | 2 => crash(n),
        1 => {
            let mut audit = Audit::new("shop", 1_795_404_290.0 + n as f64);
            audit.total_actors = n as i64;
            audit.registry_dead = vec![format!("shop:{n}").into()];
            audit.into()
        }
        _ => {
            let message = Json::parse(format!(r#"{{"n": {n}}}"#)).unwrap();
            DeadLetter::new("shop", Some("shop:5"), "Order", message, 1_795_404_290.0 + n as f64).into()
        }
    }
}

/// A folder that goes away with its value; in memory where the system has such a place, since
/// thousands of stores are made and none has to outlive a power failure.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a file with the time at which it was modified, as a careful copy does.
pub(crate) fn copy_file(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    let modified = std::fs::metadata(from).unwrap().modified().unwrap();
    std::fs::File::options().append(true).open(to).unwrap().set_modified(modified).unwrap();
}

/// Copies everything below a folder into a new one; files keep the times at which they were modified.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            copy_file(&entry.path(), &to);
        }
    }
}

/// Every file below a folder, by its path from there, with its content.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                tree.insert(path.strip_prefix(root).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    tree
}

/// Recovers a store in the mode repair, after which it must be clean.
#[track_caller]
pub(crate) fn repair(root: &Path) -> RecoveryReport {
    let report = recover(root, RecoveryConfig::new(RecoveryMode::Repair)).unwrap();
    assert!(report.is_clean(), "{report:#?}");
    report
}

/// Says that nothing was done to a journal file since it was begun.
pub(crate) fn never_used(path: &Path) {
    let begun = std::time::UNIX_EPOCH + std::time::Duration::from_secs(946_684_800);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(begun).unwrap();
}

/// Does something while the segments of imports are elsewhere. So their numbers are given to others, as an
/// older program did that did not look at segments which no commit names.
pub(crate) fn without_imports<T>(root: &Path, work: impl FnOnce() -> T) -> T {
    let mut hidden = Vec::new();
    for folder in Kind::ALL.map(|kind| root.join(kind.table())) {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("import-") {
                let aside = root.with_extension(format!("{}.hidden", hidden.len()));
                std::fs::rename(entry.path(), &aside).unwrap();
                hidden.push((entry.path(), aside));
            }
        }
    }
    let done = work();
    hidden.into_iter().for_each(|(path, aside)| std::fs::rename(aside, path).unwrap());
    done
}

/// Every fact of a store as a JSON line, in the store's order.
pub(crate) fn lines(store: &Store) -> Vec<String> {
    store.after(&Cursor::start()).unwrap().map(|fact| fact.unwrap().fact.to_line()).collect()
}

/// Every fact of the store at this path, read as another process would.
pub(crate) fn lines_at(path: &Path) -> Vec<String> {
    lines(&Store::builder().access(ostracon::Access::Read).open(path).unwrap())
}

/// Both files of a commit: the ledger's own, and its copy.
pub(crate) fn both_files(root: &Path, number: u64) -> [PathBuf; 2] {
    ["ledger", "ledger-copy"].map(|folder| root.join(format!("{folder}/{number:020}.json")))
}

/// A commit is gone, and its copy, too.
pub(crate) fn lose_commit(root: &Path, number: u64) {
    both_files(root, number).iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

/// The ledger is gone, and its copy, too.
pub(crate) fn lose_ledger(root: &Path) {
    for folder in ["ledger", "ledger-copy"] {
        std::fs::remove_dir_all(root.join(folder)).unwrap();
    }
}

/// The command, as a process.
#[cfg(feature = "cli")]
pub(crate) fn ostracon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ostracon"))
}

/// The one number that a query answers.
#[cfg(feature = "cli")]
pub(crate) fn number(store: &Store, sql: &str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let batches = runtime.block_on(async { store.sql(sql).await.unwrap().collect().await.unwrap() });
    let column = batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).clone();
    let column = arrow::compute::cast(&column, &arrow::datatypes::DataType::Int64).unwrap();
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&column).value(0)
}

/// How many facts of all kinds a store has.
pub(crate) fn count(store: &Store) -> u64 {
    Kind::ALL.into_iter().map(|kind| store.summary().unwrap().of(kind).facts).sum()
}
