//! Every damage, in every mode, and what comes of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ostracon::{RecoveryMode, RecoveryReport, Store, recover};

use super::scene::{ALL, Scene, change, flip, places, position};
use crate::support;

const MODES: [RecoveryMode; 3] = [RecoveryMode::Repair, RecoveryMode::Quarantine, RecoveryMode::Rebuild];

/// What can happen to a store, by name.
const DAMAGES: &[(&str, fn(&Scene))] = &[
    ("nothing", |_| {}),
    ("segment: its last byte is gone", |scene| {
        change(&scene.events(0), |bytes| bytes.truncate(bytes.len() - 1))
    }),
    ("segment: the footer is gone", |scene| {
        let end = position(&scene.events(0), b"ostracon.format");
        change(&scene.events(0), |bytes| bytes.truncate(end - 400));
    }),
    ("segment: cut in half", |scene| change(&scene.events(0), |bytes| bytes.truncate(bytes.len() / 2))),
    ("segment: emptied", |scene| change(&scene.events(0), Vec::clear)),
    ("segment: missing", |scene| fs::remove_file(scene.events(0)).unwrap()),
    ("segment: bytes behind its end", |scene| change(&scene.events(0), |bytes| bytes.extend([7; 40]))),
    ("segment: a bit flipped in the body", |scene| flip(&scene.events(0), 40)),
    ("segment: a bit flipped in the footer", |scene| {
        // At its beginning: in the store's ID, some bits make another ID.
        change(&scene.events(0), |bytes| {
            let end = bytes.len() - 8;
            let footer = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
            bytes[end - footer] ^= 0x08;
        });
    }),
    ("segment: a bit flipped in its last four bytes", |scene| flip(&scene.events(0), 999)),
    ("segment: a letter and the footer's end changed", |scene| {
        let at = position(&scene.events(0), b"ActorCrashed");
        change(&scene.events(0), |bytes| {
            bytes[at + 3] = b'0';
            let last = bytes.len() - 1;
            bytes[last] = 0;
        });
    }),
    ("segment: a block of zeros", |scene| change(&scene.events(0), |bytes| bytes[..512].fill(0))),
    ("segment: another file altogether", |scene| fs::write(scene.events(0), "not a segment\n").unwrap()),
    ("segment: two swapped", |scene| {
        let (one, other) = (scene.events(0), scene.events(1));
        let (bytes, others) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
        fs::write(one, others).unwrap();
        fs::write(other, bytes).unwrap();
    }),
    ("segment: renamed", |scene| {
        fs::rename(scene.events(0), scene.root().join("events/1-1-12-0badf00d.parquet")).unwrap();
    }),
    ("segment: duplicated", |scene| {
        fs::copy(scene.events(0), scene.root().join("events/copy.parquet")).unwrap();
    }),
    ("segment: all of them missing", |scene| {
        for folder in ["events", "audits", "dead_letters"] {
            scene.files(folder).iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }),
    ("segment: of another store", |scene| {
        let other = Scene::new();
        fs::copy(other.events(0), scene.events(0)).unwrap();
    }),
    ("journal: a bit flipped in the third frame", |scene| {
        let journal = scene.journal();
        let at = position(&journal, b"sku-26");
        change(&journal, |bytes| bytes[at] ^= 1);
    }),
    ("journal: a bit flipped in its header", |scene| change(&scene.journal(), |bytes| bytes[20] ^= 1)),
    ("journal: a bit flipped in its last frame", |scene| flip(&scene.journal(), 998)),
    ("journal: cut within its last frame", |scene| {
        change(&scene.journal(), |bytes| bytes.truncate(bytes.len() - 9));
    }),
    ("journal: emptied", |scene| change(&scene.journal(), Vec::clear)),
    ("journal: another file altogether", |scene| fs::write(scene.journal(), [b'?'; 500]).unwrap()),
    ("journal: of another store", |scene| {
        let other = Scene::new();
        fs::copy(other.journal(), scene.journal()).unwrap();
    }),
    ("ledger: a bit flipped in the first commit", |scene| flip(&scene.commit(0), 500)),
    ("ledger: a bit flipped in a commit between", |scene| flip(&scene.commit(1), 500)),
    ("ledger: a bit flipped in the newest commit", |scene| flip(&scene.commit(2), 500)),
    ("ledger: the first commit missing", |scene| fs::remove_file(scene.commit(0)).unwrap()),
    ("ledger: a commit between missing", |scene| fs::remove_file(scene.commit(1)).unwrap()),
    ("ledger: the newest commit missing", |scene| fs::remove_file(scene.commit(2)).unwrap()),
    ("ledger: a commit between emptied", |scene| change(&scene.commit(1), Vec::clear)),
    ("ledger: a commit between replaced by another", |scene| {
        fs::copy(scene.commit(2), scene.commit(1)).unwrap();
    }),
    ("ledger: a commit between is a folder", |scene| {
        fs::remove_file(scene.commit(1)).unwrap();
        fs::create_dir(scene.commit(1)).unwrap();
    }),
    ("ledger: emptied", |scene| {
        scene.files("ledger").iter().for_each(|path| fs::remove_file(path).unwrap());
    }),
    ("ledger: the folder missing", |scene| fs::remove_dir_all(scene.root().join("ledger")).unwrap()),
    ("ledger and a segment: a commit and its events missing", |scene| {
        fs::remove_file(scene.events(0)).unwrap();
        fs::remove_file(scene.commit(1)).unwrap();
    }),
    ("copies: a bit flipped in one", |scene| flip(&copy_of(scene, 1), 500)),
    ("copies: the newest emptied", |scene| change(&copy_of(scene, 2), Vec::clear)),
    ("copies: one of another store", |scene| {
        fs::copy(Scene::new().commit(1), copy_of(scene, 1)).unwrap();
    }),
    ("copies: one missing", |scene| fs::remove_file(copy_of(scene, 1)).unwrap()),
    ("copies: the folder missing", |scene| fs::remove_dir_all(scene.root().join("ledger-copy")).unwrap()),
    ("ledger and copies: one file each of all commits", |scene| {
        flip(&scene.commit(0), 500);
        fs::remove_file(copy_of(scene, 1)).unwrap();
        fs::remove_file(scene.commit(2)).unwrap();
    }),
    ("ledger and copies: a bit flipped in the first commit", |scene| both(scene, 0, |path| flip(path, 500))),
    ("ledger and copies: a bit flipped in a commit between", |scene| both(scene, 1, |path| flip(path, 500))),
    ("ledger and copies: a bit flipped in the newest commit", |scene| both(scene, 2, |path| flip(path, 500))),
    ("ledger and copies: the first commit missing", |scene| support::lose_commit(&scene.root(), 0)),
    ("ledger and copies: a commit between missing", |scene| support::lose_commit(&scene.root(), 1)),
    ("ledger and copies: the newest commit missing", |scene| support::lose_commit(&scene.root(), 2)),
    ("ledger and copies: emptied", |scene| {
        for folder in ["ledger", "ledger-copy"] {
            scene.files(folder).iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }),
    ("ledger and copies: the folders missing", |scene| support::lose_ledger(&scene.root())),
    ("ledger, copies and a segment: a commit and its events missing", |scene| {
        fs::remove_file(scene.events(0)).unwrap();
        support::lose_commit(&scene.root(), 1);
    }),
    ("stranger: a file beside the store's folders", |scene| {
        fs::write(scene.root().join("README.txt"), "hello").unwrap();
    }),
    ("stranger: a file", |scene| fs::write(scene.root().join("events/notes.txt"), "hello").unwrap()),
    ("stranger: a folder with files", |scene| {
        let folder = scene.root().join("journal/mine");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), "a").unwrap();
        fs::create_dir(folder.join("b")).unwrap();
        fs::write(folder.join("b/c"), "c").unwrap();
    }),
    ("stranger: a symbolic link", |scene| {
        std::os::unix::fs::symlink("/etc/hostname", scene.root().join("events/1-1-9-ab.parquet")).unwrap();
    }),
    ("stranger: a link in a segment's place", |scene| {
        let aside = scene.folder.path().join("elsewhere.parquet");
        fs::rename(scene.events(0), &aside).unwrap();
        let place = scene.root().join("events").join("1-1-12-00000000.parquet");
        std::os::unix::fs::symlink(aside, place).unwrap();
    }),
    ("stranger: a pipe among the journals", |scene| {
        let path = scene.root().join("journal/1/00000099-abc.journal");
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }),
    ("stranger: a dot file, as other programs leave them", |scene| {
        fs::write(scene.root().join("events/.DS_Store"), "?").unwrap();
    }),
];

fn copy_of(scene: &Scene, number: u64) -> std::path::PathBuf {
    let [_, copy] = support::both_files(&scene.root(), number);
    copy
}

fn both(scene: &Scene, number: u64, act: impl Fn(&Path)) {
    support::both_files(&scene.root(), number).iter().for_each(|path| act(path));
}

#[test]
fn what_comes_of_every_damage_in_every_mode() {
    let sound = Scene::new();
    let mut table = String::new();
    for (damage, act) in DAMAGES {
        table.push_str(&format!("{damage}\n"));
        let mut before = None;
        for mode in MODES {
            let scene = sound.copy();
            act(&scene);
            let outcome = outcome(&scene, mode, damage);
            let (kinds, outcome) = outcome;
            if before.replace(kinds.clone()) != Some(kinds.clone()) {
                table.push_str(&format!("    found       {kinds}\n"));
            }
            table.push_str(&format!("    {:<11} {outcome}\n", mode.name()));
        }
    }
    insta::assert_snapshot!("damages", table);
}

/// Recovers, checks what must hold whatever happened, and tells the rest.
fn outcome(scene: &Scene, mode: RecoveryMode, damage: &str) -> (String, String) {
    let root = scene.root();
    let report =
        recover(&root, scene.config(mode)).unwrap_or_else(|error| panic!("{damage}, {mode}: {error}"));
    let mut kinds: Vec<_> = report.scan.anomalies.iter().map(|a| a.kind.to_string()).collect();
    kinds.dedup();
    let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
    if !report.is_clean() {
        return (kinds, format!("not clean: {}", report.notes.join("; ")));
    }
    let facts = places(&root).unwrap_or_else(|error| panic!("{damage}, {mode}: {error}"));
    let kept = facts.len() as u64;

    // No fact twice, and none that nobody recorded, but for those that are called unverified.
    let distinct: BTreeSet<_> = facts.iter().map(|(stream, seq, _)| (*stream, *seq)).collect();
    assert_eq!(distinct.len() as u64, kept, "{damage}, {mode}: a place names two facts");
    let altered: Vec<_> =
        facts.iter().filter(|(_, seq, line)| scene.lines.get(*seq as usize - 1) != Some(line)).collect();
    assert!(
        altered.len() as u64 <= report.facts_unverified(),
        "{damage}, {mode}: altered facts that are not called unverified: {altered:#?}"
    );
    assert!(kept + report.facts_lost() <= ALL, "{damage}, {mode}: {report:#?}");
    goes_on(&root, kept, damage);

    let mut outcome = format!("kept {kept}");
    if report.facts_lost() > 0 {
        outcome.push_str(&format!(", lost {}", report.facts_lost()));
    }
    if kept + report.facts_lost() < ALL {
        outcome.push_str(&format!(", {} gone without a trace", ALL - kept - report.facts_lost()));
    }
    if report.facts_unverified() > 0 {
        outcome.push_str(&format!(", unverified {} (altered {})", report.facts_unverified(), altered.len()));
    }
    if !report.quarantined_files.is_empty() {
        outcome.push_str(&format!(", aside {}", aside(&report)));
    }
    (kinds, outcome)
}

fn aside(report: &RecoveryReport) -> String {
    for path in &report.quarantined_files {
        assert!(fs::symlink_metadata(path).is_ok(), "{} is not there", path.display());
    }
    let mut kinds: Vec<_> = report
        .quarantined_files
        .iter()
        .map(|path| path.extension().map_or("other".to_owned(), |e| e.to_string_lossy().into_owned()))
        .collect();
    kinds.sort();
    format!("{} ({})", kinds.len(), kinds.join(" "))
}

/// The store is a store: it takes facts, and what it takes is there, once.
fn goes_on(root: &Path, kept: u64, damage: &str) {
    let store = Store::open(root).unwrap();
    store.record(support::crash(1000)).unwrap();
    store.close().unwrap();
    drop(store);
    let facts = places(root).unwrap();
    assert_eq!(facts.len() as u64, kept + 1, "{damage}");
    let distinct: BTreeSet<_> = facts.iter().map(|(stream, seq, _)| (*stream, *seq)).collect();
    assert_eq!(distinct.len(), facts.len(), "{damage}: a place names two facts");
    let again = recover(root, ostracon::RecoveryConfig::default()).unwrap();
    assert!(again.is_clean(), "{damage}: {:#?}", again.after.anomalies);
}
