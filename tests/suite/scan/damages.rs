//! A table of damages: what the quick and the deep scan say of each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ostracon::{Kind, Store};

use super::{DEPTHS, Scene, flip, kinds, record, tree};
use crate::support;
use crate::support::copy_tree;

type Damage = (&'static str, fn(&Scene));

/// Damages to a store of two flushes, whose owner was killed with facts in the journal.
const DAMAGES: &[Damage] = &[
    ("nothing", |_| {}),
    ("segment: cut by a byte", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    }),
    ("segment: emptied", |scene| fs::write(&scene.segments(Kind::Event)[0], b"").unwrap()),
    ("segment: longer by a byte", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        fs::write(path, [&fs::read(path).unwrap()[..], b"\0"].concat()).unwrap();
    }),
    ("segment: missing", |scene| fs::remove_file(&scene.segments(Kind::Event)[0]).unwrap()),
    ("segment: a folder", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("segment: a link to a sound copy", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        let aside = scene.folder.path().join("aside");
        fs::rename(path, &aside).unwrap();
        symlink(aside, path).unwrap();
    }),
    ("segment: a pipe", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        fs::remove_file(path).unwrap();
        pipe(path);
    }),
    ("segments: two swapped", |scene| {
        let paths = scene.segments(Kind::Event);
        let aside = scene.folder.path().join("aside");
        fs::rename(&paths[0], &aside).unwrap();
        fs::rename(&paths[1], &paths[0]).unwrap();
        fs::rename(aside, &paths[1]).unwrap();
    }),
    ("segment: replaced by another", |scene| {
        let paths = scene.segments(Kind::Event);
        fs::copy(&paths[1], &paths[0]).unwrap();
    }),
    ("segment: replaced by one of another kind", |scene| {
        fs::copy(&scene.segments(Kind::Audit)[0], &scene.segments(Kind::Event)[0]).unwrap();
    }),
    ("segment: replaced by one of another store", |scene| {
        fs::copy(&another_store().segments(Kind::Event)[0], &scene.segments(Kind::Event)[0]).unwrap();
    }),
    ("segment: copied beside itself", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        fs::copy(path, path.with_file_name("copy.parquet")).unwrap();
    }),
    ("segment: one of another store beside", |scene| {
        let other = another_store();
        copy(&other.segments(Kind::Event)[0], &scene.root().join("events/9-1-8-0a0b0c0d.parquet"));
    }),
    ("segment: its footer flipped", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        let bytes = fs::read(path).unwrap();
        let at = memchr::memmem::rfind(&bytes, b"ostracon.kind").unwrap();
        flip(path, at, 0);
    }),
    ("segment: its end flipped", |scene| {
        let path = &scene.segments(Kind::Event)[0];
        flip(path, fs::read(path).unwrap().len() - 1, 0);
    }),
    ("segment: a page flipped", |scene| flip(&scene.segments(Kind::Event)[0], 100, 3)),
    ("segment: its folder missing", |scene| fs::remove_dir_all(scene.root().join("audits")).unwrap()),
    ("commit: flipped", |scene| flip(&scene.commit(1), 300, 0)),
    ("commit: the newest flipped", |scene| flip(&scene.commit(2), 300, 0)),
    ("commit: the first flipped", |scene| flip(&scene.commit(0), 100, 0)),
    ("commit: emptied", |scene| fs::write(scene.commit(1), b"").unwrap()),
    ("commit: missing", |scene| fs::remove_file(scene.commit(1)).unwrap()),
    ("commit: the first missing", |scene| fs::remove_file(scene.commit(0)).unwrap()),
    ("commit: the newest missing", |scene| fs::remove_file(scene.commit(2)).unwrap()),
    ("commit: replaced by another", |scene| copy(&scene.commit(2), &scene.commit(1))),
    ("commit: of another store", |scene| copy(&another_store().commit(1), &scene.commit(1))),
    ("commit: a pipe", |scene| {
        fs::remove_file(scene.commit(1)).unwrap();
        pipe(&scene.commit(1));
    }),
    ("commit: one that nobody made, far ahead", |scene| {
        fs::write(scene.commit(u64::MAX), b"{}").unwrap();
    }),
    ("ledger: missing", |scene| fs::remove_dir_all(scene.root().join("ledger")).unwrap()),
    ("copy: flipped", |scene| flip(&copy_of(scene, 1), 300, 0)),
    ("copy: emptied", |scene| fs::write(copy_of(scene, 2), b"").unwrap()),
    ("copy: missing", |scene| fs::remove_file(copy_of(scene, 1)).unwrap()),
    ("copy: replaced by another", |scene| copy(&copy_of(scene, 2), &copy_of(scene, 1))),
    ("copy: of another store", |scene| copy(&copy_of(&another_store(), 1), &copy_of(scene, 1))),
    ("copy: a pipe", |scene| {
        fs::remove_file(copy_of(scene, 1)).unwrap();
        pipe(&copy_of(scene, 1));
    }),
    ("copies: the folder missing", |scene| fs::remove_dir_all(scene.root().join("ledger-copy")).unwrap()),
    ("commit and copy: flipped", |scene| both(scene, 1, |path| flip(path, 300, 0))),
    ("commit and copy: the newest flipped", |scene| both(scene, 2, |path| flip(path, 300, 0))),
    ("commit and copy: the first flipped", |scene| both(scene, 0, |path| flip(path, 100, 0))),
    ("commit and copy: emptied", |scene| both(scene, 1, |path| fs::write(path, b"").unwrap())),
    ("commit and copy: missing", |scene| support::lose_commit(&scene.root(), 1)),
    ("commit and copy: the first missing", |scene| support::lose_commit(&scene.root(), 0)),
    ("commit and copy: the newest missing", |scene| support::lose_commit(&scene.root(), 2)),
    ("commit and copy: of another store", |scene| {
        both(scene, 1, |path| copy(&another_store().commit(1), path));
    }),
    ("commit and copy: one file each of two", |scene| {
        flip(&scene.commit(1), 300, 0);
        fs::remove_file(copy_of(scene, 2)).unwrap();
        flip(&copy_of(scene, 0), 100, 0);
    }),
    ("ledger and copies: missing", |scene| support::lose_ledger(&scene.root())),
    ("journal: emptied", |scene| fs::write(scene.journal(), b"").unwrap()),
    ("journal: cut within its header", |scene| {
        let bytes = fs::read(scene.journal()).unwrap();
        fs::write(scene.journal(), &bytes[..20]).unwrap();
    }),
    ("journal: a frame flipped", |scene| flip(&scene.journal(), 80, 0)),
    ("journal: its header flipped", |scene| flip(&scene.journal(), 5, 0)),
    ("journal: cut within its last frame", |scene| {
        let bytes = fs::read(scene.journal()).unwrap();
        fs::write(scene.journal(), &bytes[..bytes.len() - 1]).unwrap();
    }),
    ("journal: its first facts cut out", |scene| {
        let bytes = fs::read(scene.journal()).unwrap();
        let first = 36 + 24 + u32::from_le_bytes(bytes[36..40].try_into().unwrap()) as usize;
        fs::write(scene.journal(), [&bytes[..36], &bytes[first..]].concat()).unwrap();
    }),
    ("journal: of another store", |scene| copy(&another_store().journal(), &scene.journal())),
    ("stranger: a file", |scene| fs::write(scene.root().join("notes.txt"), b"?").unwrap()),
    ("stranger: files among segments, commits and journals", |scene| {
        for name in ["events/notes.txt", "ledger/7.json", "journal/1/notes"] {
            fs::write(scene.root().join(name), b"?").unwrap();
        }
    }),
    ("stranger: a file that calls itself a segment", |scene| {
        fs::write(scene.root().join("events/1-1-8-0a0b0c0d.parquet"), b"PAR1 or not").unwrap();
    }),
    ("stranger: a folder", |scene| fs::create_dir(scene.root().join("events/old")).unwrap()),
    ("stranger: a link", |scene| symlink("/etc", scene.root().join("journal/7")).unwrap()),
    ("stranger: a pipe", |scene| pipe(&scene.root().join("journal/1/00000009-aa.journal"))),
    ("harmless: hidden files", |scene| {
        for name in [".DS_Store", "events/.DS_Store", "journal/.nfs001"] {
            fs::write(scene.root().join(name), b"?").unwrap();
        }
    }),
    ("harmless: what operating systems leave", |scene| {
        for folder in ["lost+found", "@eaDir", "events/@eaDir", "journal/lost+found", "ledger/.Trash"] {
            fs::create_dir(scene.root().join(folder)).unwrap();
        }
        for name in ["desktop.ini", "audits/Thumbs.db", "journal/1/desktop.ini", "ledger-copy/Desktop.ini"] {
            fs::write(scene.root().join(name), b"?").unwrap();
        }
    }),
    ("harmless: a folder that was put elsewhere", |scene| {
        let (path, aside) = (scene.root().join("events"), scene.folder.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        symlink(aside, path).unwrap();
    }),
    ("rolled back to an older copy", |scene| {
        for newest in [scene.commit(2), copy_of(scene, 2), scene.journal()] {
            fs::remove_file(newest).unwrap();
        }
        for kind in Kind::ALL {
            fs::remove_file(&scene.segments(kind)[1]).unwrap();
        }
    }),
];

/// Damages to a store with a checkpoint.
const DAMAGES_WITH_A_CHECKPOINT: &[Damage] = &[
    ("nothing", |_| {}),
    ("checkpoint: flipped", |scene| flip(&checkpoint(scene), 5000, 0)),
    ("checkpoint: emptied", |scene| fs::write(checkpoint(scene), b"").unwrap()),
    ("checkpoint: missing", |scene| fs::remove_file(checkpoint(scene)).unwrap()),
    ("checkpoint: sound, and tells of another fact", |scene| {
        let text = fs::read_to_string(checkpoint(scene)).unwrap();
        let json = text.split_once('\n').unwrap().1.trim_end().replacen("\"rows\":1", "\"rows\":2", 1);
        let digest = blake3::hash(json.as_bytes()).to_hex();
        fs::write(checkpoint(scene), format!("{digest}\n{json}\n")).unwrap();
    }),
    ("commit: flipped, before the checkpoint", |scene| flip(&scene.commit(60), 300, 0)),
    ("commit: missing, before the checkpoint", |scene| fs::remove_file(scene.commit(60)).unwrap()),
    ("commits: the newest two missing", |scene| {
        fs::remove_file(scene.commit(129)).unwrap();
        fs::remove_file(scene.commit(128)).unwrap();
    }),
    ("commit and copy: flipped, before the checkpoint", |scene| both(scene, 60, |path| flip(path, 300, 0))),
    ("commit and copy: missing, before the checkpoint", |scene| support::lose_commit(&scene.root(), 60)),
    ("commits and copies: the newest two missing", |scene| {
        support::lose_commit(&scene.root(), 129);
        support::lose_commit(&scene.root(), 128);
    }),
];

fn checkpoint(scene: &Scene) -> std::path::PathBuf {
    scene.root().join("ledger/00000000000000000128.checkpoint")
}

fn copy_of(scene: &Scene, number: u64) -> std::path::PathBuf {
    let [_, copy] = support::both_files(&scene.root(), number);
    copy
}

/// Does the same to both files of a commit.
fn both(scene: &Scene, number: u64, act: impl Fn(&Path)) {
    support::both_files(&scene.root(), number).iter().for_each(|path| act(path));
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn another_store() -> Scene {
    let alive = support::scratch();
    let store = Store::open(alive.path().join("facts")).unwrap();
    (100..108).for_each(|n| record(&store, n));
    store.flush().unwrap();
    store.record(support::any_fact(1)).unwrap();
    let scene = Scene { folder: support::scratch() };
    copy_tree(&alive.path().join("facts"), &scene.root());
    scene
}

fn table(damages: &[Damage], begin: fn() -> Scene) -> String {
    let mut table = format!("{:<54} {:<36} {:<36} {}\n", "damage", "quick", "deep", "harmless");
    for (what, damage) in damages {
        let scene = begin();
        damage(&scene);
        let before = tree(&scene.root());
        let [quick, deep] = DEPTHS.map(|depth| scene.scan(depth));
        assert_eq!(tree(&scene.root()), before, "{what}: a scan has changed something");
        for report in [&quick, &deep] {
            for anomaly in &report.anomalies {
                let texts = [&anomaly.path, &anomaly.expected, &anomaly.found, &anomaly.remedy];
                assert!(texts.iter().all(|text| !text.is_empty()), "{what}: {anomaly:?}");
            }
        }
        // What the quick one finds the deep one finds, too.
        let found = |anomaly| deep.anomalies.contains(anomaly);
        assert!(quick.anomalies.iter().all(found), "{what}: {quick:#?} {deep:#?}");
        table += &format!("{what:<54} {:<36} {:<36} {}\n", kinds(&quick), kinds(&deep), deep.debris.len());
    }
    table
}

#[test]
fn what_is_found_of_each_damage() {
    insta::assert_snapshot!("damages", table(DAMAGES, Scene::left_by_a_killed_process));
}

#[test]
fn what_is_found_of_damages_to_a_store_with_a_checkpoint() {
    insta::assert_snapshot!(
        "damages_with_a_checkpoint",
        table(DAMAGES_WITH_A_CHECKPOINT, Scene::with_a_checkpoint)
    );
}

#[test]
fn an_anomaly_tells_which_facts_it_touches() {
    let scene = Scene::left_by_a_killed_process();
    let path = scene.segments(Kind::Event).remove(1);
    fs::remove_file(&path).unwrap();
    let report = scene.scan(ostracon::ScanDepth::Quick);
    let [missing] = &report.anomalies[..] else { panic!("{report:#?}") };
    assert!(path.ends_with(&missing.path));
    assert_eq!((missing.affected.kind, missing.affected.facts), (Some(Kind::Event), Some(4)));
    let [span] = &missing.affected.spans[..] else { panic!("{missing:#?}") };
    // Facts 9 to 16 were flushed together, and every other one is an event.
    assert_eq!((span.stream.get(), span.first.get(), span.last.get()), (1, 9, 15));
    assert!(missing.affected.recorded_at.is_some());
    assert_eq!(missing.found, "nothing");
}

#[test]
fn what_is_no_store_is_refused() {
    let folder = support::scratch();
    for (name, make) in [
        ("nothing", (|_| {}) as fn(&Path)),
        ("empty", |path| fs::create_dir(path).unwrap()),
        ("file", |path| fs::write(path, b"").unwrap()),
        ("other", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("photo.jpg"), b"").unwrap();
        }),
    ] {
        let path = folder.path().join(name);
        make(&path);
        let error = ostracon::scan(&path, ostracon::ScanDepth::Quick).unwrap_err();
        assert_eq!(error.kind(), ostracon::ErrorKind::NotAStore, "{name}: {error}");
    }
}

#[test]
fn a_store_of_a_newer_format_is_not_judged() {
    let scene = Scene::left_by_a_killed_process();
    fs::write(scene.commit(3), r#"{"format": 1000}"#).unwrap();
    for depth in DEPTHS {
        let error = ostracon::scan(scene.root(), depth).unwrap_err();
        assert_eq!(error.kind(), ostracon::ErrorKind::NewerFormat);
    }
}
