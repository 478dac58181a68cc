//! One mutated store: every reader, then recover, then what must hold.

use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ostracon::{
    CompactOptions, Cursor, Kind, RecoveryConfig, RecoveryMode, ScanDepth, ScanOptions, Store, recover, scan,
    verify,
};

use super::mutate::{Random, mutate};
use super::store::{Sound, facts};
use crate::support;

const QUESTIONS: &[&str] = &[
    "SELECT count(*) FROM events",
    "SELECT * FROM events",
    "SELECT seq, payload FROM events WHERE actor_address = 'shop:3' ORDER BY at DESC LIMIT 5",
    "SELECT event_type, count(error), max(recorded_at) FROM events WHERE seq > 30 GROUP BY 1",
    "SELECT * FROM audits WHERE stream = 1 AND seq BETWEEN 20 AND 60",
    "SELECT registry_dead, payload FROM audits, dead_letters WHERE audits.seq < dead_letters.seq LIMIT 9",
    "SELECT * FROM dead_letters WHERE target = 'shop:5' ORDER BY seq",
    "SELECT * FROM store.segments",
];

/// Runs these seeds, and says of each that it begins.
pub(super) fn seeds(seeds: Range<u64>) {
    let sound = Sound::new();
    for seed in seeds {
        let mut out = std::io::stdout().lock();
        writeln!(out, "seed {seed}").unwrap();
        out.flush().unwrap();
        drop(out);
        seed_of(&sound, seed);
    }
}

fn seed_of(sound: &Sound, seed: u64) {
    let mut random = Random::new(seed);
    let (_folder, root) = sound.copy();
    let (touched, told) = mutate(&root, &mut random);
    // Said when it fails, or when the process ends of it.
    eprintln!("seed {seed}: {told:#?}");
    read_everything(&root);
    let mode = *random.of(&[
        RecoveryMode::Repair,
        RecoveryMode::Quarantine,
        RecoveryMode::Rebuild,
        RecoveryMode::Rebuild,
    ]);
    let aside = root.with_file_name("aside");
    let config = RecoveryConfig::new(mode);
    let config = if mode == RecoveryMode::Quarantine { config.quarantine_dir(aside) } else { config };
    let report = survives("recover", || recover(&root, config));
    let report = match report {
        Ok(report) => report,
        Err(error) => panic!("recover in mode {mode} failed: {error}"),
    };
    let of_ledger = touched.iter().any(|path| path.starts_with("ledger"));
    if !report.is_clean() {
        // A ledger that does not hold together needs the other mode.
        assert!(of_ledger && mode != RecoveryMode::Rebuild, "not clean after {mode}: {:#?}", report.after);
        let report =
            survives("recover", || recover(&root, RecoveryConfig::new(RecoveryMode::Rebuild))).unwrap();
        assert!(report.is_clean(), "not clean after a rebuild: {:#?}", report.after);
    }
    let kept = facts(&root).unwrap();
    for (place, line) in &sound.facts {
        let home = &sound.homes[place];
        if touched.contains(home) {
            continue;
        }
        assert_eq!(kept.get(place), Some(line), "fact {place:?} of {}, which nobody touched", home.display());
    }
    for (place, line) in &kept {
        let is_altered = sound.facts.get(place) != Some(line);
        let touched = sound.homes.get(place).is_none_or(|home| touched.contains(home));
        assert!(!is_altered || touched, "fact {place:?} is not what was recorded: {line}");
    }
    goes_on(&root);
}

/// Asks everything that can be asked of a store. Errors are fine.
fn read_everything(root: &Path) {
    for depth in [ScanDepth::Quick, ScanDepth::Deep] {
        let _ = survives("scan", || scan(root, ScanOptions::new(depth).threads(1)));
    }
    let _ = survives("verify", || verify(root, None));
    let Ok(store) = survives("open", || Store::builder().access(ostracon::Access::Read).open(root)) else {
        return;
    };
    let _ = survives("summary", || store.summary());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for question in QUESTIONS {
        let _ = survives(question, || {
            runtime.block_on(async { store.sql(question).await.ok()?.collect().await.ok() })
        });
    }
    for kind in Kind::ALL {
        let _ = survives("list", || store.list(kind, Some(30), None));
        let _ = survives("list what can be read", || store.list_readable(kind, None, Some(0.0)));
        let _ = survives("the consumers", || {
            store
                .consumer_groups()
                .map(|groups| groups.iter().filter(|group| group.summary().is_ok()).count())
        });
    }
    let _ = survives("all facts", || {
        store.after(&Cursor::start()).map(|facts| facts.take_while(Result::is_ok).count())
    });
}

/// The store takes facts, merges them, and is sound.
fn goes_on(root: &Path) {
    let before = facts(root).unwrap().len();
    let store = survives("open to write", || Store::open(root)).unwrap();
    store.record(support::crash(77_777)).unwrap();
    store.flush().unwrap();
    survives("compact", || store.compact(CompactOptions::new())).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(facts(root).unwrap().len(), before + 1);
    let report = scan(root, ScanOptions::new(ScanDepth::Deep).threads(1)).unwrap();
    assert!(report.is_clean(), "not clean in the end: {:#?}", report.anomalies);
}

/// What is asked does not panic.
fn survives<T>(what: &str, ask: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| panic!("{what}: it panicked"))
}
