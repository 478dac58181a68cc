//! Files made to break whoever reads them, in a process that may not have much memory: a scan ends
//! soon, and with an exit code.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ostracon::Kind;

use super::Scene;

/// What a scan may have of address space, in KiB.
const MEMORY_KIB: u64 = 3 << 20;

/// The exit code of a deep scan that may not have more memory.
#[track_caller]
fn scan(root: &Path) -> (i32, String) {
    let begun = Instant::now();
    let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" scan --deep \"$1\"");
    let output =
        Command::new("sh").args(["-c", &limited, env!("CARGO_BIN_EXE_ostracon")]).arg(root).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
    (output.status.code().unwrap_or_else(|| panic!("{:?}: {said}", output.status)), said)
}

/// A file of these many bytes that are all zero, and take no room.
fn make_huge(path: &Path, bytes: u64) {
    File::options().write(true).create(true).truncate(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_sound_store_is_scanned_in_little_memory() {
    assert_eq!(scan(&Scene::left_by_a_killed_process().root()).0, 0);
}

#[test]
fn huge_files() {
    for (name, bytes) in [
        ("segment", 100 << 30),
        ("commit", 1 << 29),
        ("commit", 5 << 30),
        ("journal", 6 << 30),
        ("journal", 50 << 30),
    ] {
        let scene = Scene::left_by_a_killed_process();
        match name {
            "segment" => make_huge(&scene.segments(Kind::Event)[0], bytes),
            "commit" => make_huge(&scene.commit(1), bytes),
            _ => make_huge(&scene.journal(), bytes),
        }
        let (code, said) = scan(&scene.root());
        // Memory that it cannot have is an error, and told as one.
        assert!(code == 2 || said.contains("memory"), "{name} of {bytes} bytes: {code} {said}");
    }
    let scene = Scene::with_a_checkpoint();
    make_huge(&scene.root().join("ledger/00000000000000000128.checkpoint"), (4 << 30) - 1);
    assert_eq!(scan(&scene.root()).0, 2);
}

#[test]
fn footers_that_promise_more_than_there_is() {
    let list = |field: u8, element: u8| {
        // A list of 2^31 - 1.
        [&[field << 4 | 9, 0xf0 | element][..], &[0xff, 0xff, 0xff, 0xff, 0x07]].concat()
    };
    let children =
        [&[0x29, 0x1c, 0x48, 1, b'r', 0x15][..], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &[0, 0]].concat();
    let key = [&[0x59, 0x1c, 0x18][..], &[0xff; 9], &[0x01]].concat();
    let nested = vec![0x19; 2000];
    let footers = [list(4, 12), list(2, 12), list(5, 12), list(2, 1), children, key, nested, vec![0xff; 500]];
    for footer in footers {
        let scene = Scene::left_by_a_killed_process();
        let path = &scene.segments(Kind::Event)[0];
        let size = fs::metadata(path).unwrap().len() as usize;
        let mut bytes = b"PAR1".to_vec();
        bytes.resize(size - 8 - footer.len(), 0);
        bytes.extend(&footer);
        bytes.extend((footer.len() as u32).to_le_bytes());
        bytes.extend(b"PAR1");
        fs::write(path, &bytes).unwrap();
        // Beside the segments, too, where there is no size to compare with.
        fs::write(path.with_file_name("1-1-8-0a0b0c0d.parquet"), &bytes).unwrap();
        let (code, said) = scan(&scene.root());
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("segment_damaged") && said.contains("unexpected"), "{footer:?}: {said}");
    }
}

#[test]
fn commits_that_are_no_json_to_be_read() {
    for text in ["[".repeat(3_000_000), "{\"a\":".repeat(1_000_000), "9".repeat(10_000_000), "\0".repeat(100)]
    {
        let scene = Scene::left_by_a_killed_process();
        fs::write(scene.commit(1), text).unwrap();
        let (code, said) = scan(&scene.root());
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("commit_damaged"), "{said}");
    }
}
