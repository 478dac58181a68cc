//! Inputs that are packed, torn off, marked, an earlier state, or no text at all.

use std::io::Write;

use super::super::command::{Folder, KNOWN, lines_of};
use super::super::support::lines_at;

fn line(n: usize) -> String {
    format!(
        "{{\"kind\": \"event\", \"system_id\": \"shop\", \"actor_address\": \"shop:{n}\", \"event_type\": \"A\", \"payload\": {{}}, \"timestamp\": {n}.5}}\n"
    )
}

fn text(count: usize) -> String {
    (1..=count).map(line).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::stream::encode_all(text.as_bytes(), 3).unwrap()
}

fn events(folder: &Folder) -> usize {
    lines_at(&folder.path("facts")).len()
}

#[test]
fn gzip_and_zstd_are_unpacked_on_the_way_from_files_and_pipes() {
    for packed in [gzip(&text(5)), zstd(&text(5)), [gzip(&text(5)[..200]), gzip(&text(5)[200..])].concat()] {
        let folder = Folder::new();
        folder.write("f.ndjson", &packed);
        assert!(folder.run(&["import", "facts", "f.ndjson"]).ok().err.starts_with("imported 5 facts"));
        let again = folder.run_with(&["import", "facts", "-"], &packed).ok();
        assert!(again.err.contains("the first 5 lines were imported before"), "{}", again.err);
        // It is the same input, packed or not; and it may have grown.
        folder.write("f.ndjson", text(7));
        assert!(folder.run(&["import", "facts", "f.ndjson"]).ok().err.starts_with("imported 2 facts"));
        assert_eq!(events(&folder), 7);
        let folder = Folder::new();
        let said = folder.run_with(&["record", "facts", "--ack"], &packed).ok();
        assert_eq!(said.out, "1:1\n1:2\n1:3\n1:4\n1:5\n", "record reads them, too");
    }
}

#[test]
fn what_was_rotated_and_packed_is_imported_in_its_order() {
    let folder = Folder::new();
    folder.write("log.3.zst", zstd(&line(1)));
    folder.write("log.2.gz", gzip(&line(2)));
    // gzip was ended while it packed this one.
    folder.write("log.1.gz", &gzip(&line(3))[..20]);
    folder.write("log.1", line(3));
    folder.write("log", line(4));
    // Names with a date from logrotate have no order by number.
    let others =
        ["log-20261123.gz", "log.2026-11-23", "log.old", "log.20261123", "log.261123", "log.261124.gz"];
    for other in others {
        folder.write(other, line(9));
    }
    let said = folder.run(&["import", "facts", "--rotated", "log"]).ok();
    assert!(said.err.contains("log.1.gz is incomplete; log.1 is imported instead"), "{}", said.err);
    for other in others {
        assert!(
            said.err.contains(&format!(
                "{other} is not imported, because its name has no number of a rotated file"
            )),
            "{}",
            said.err
        );
    }
    let sql = "SELECT string_agg(actor_address, ' ' ORDER BY recorded_at, stream, seq) AS told FROM events";
    let told = folder.run(&["sql", "facts", "--format", "tsv", "-c", sql]).ok().out;
    assert_eq!(told, "told\nshop:1 shop:2 shop:3 shop:4\n");
    // Without the file that it was packed from, all that there is of it is needed.
    folder.write("log.5.gz", &gzip(&line(5))[..20]);
    let said = folder.run(&["import", "facts", "--rotated", "log"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("error: cannot read log.5.gz"), "{}", said.err);
    std::fs::remove_file(folder.path("log.5.gz")).unwrap();
    folder.write("log.4.bz2", b"BZh91AY&SY");
    let refused = folder.run(&["import", "facts", "--rotated", "log"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("cannot import log.4.bz2: this is bzip2"), "{refused:?}");
}

#[test]
fn an_archive_that_is_torn_off_gives_its_whole_lines_and_an_error() {
    // More than the first bytes by which an input is known, and less.
    for count in [5, 3000] {
        for packed in [gzip(&text(count)), zstd(&text(count))] {
            let folder = Folder::new();
            folder.write("f.gz", &packed[..packed.len() - 3]);
            let said = folder.run(&["import", "facts", "f.gz"]);
            assert_eq!(said.code, Some(1), "{}", said.err);
            let told = said.err.lines().last().unwrap();
            assert!(told.starts_with("error: cannot read f.gz"), "{told}");
            let kept = if folder.path("facts").exists() { events(&folder) } else { 0 };
            if kept > 0 {
                assert!(
                    told.contains(&format!("after line {kept}; the lines before were imported")),
                    "{told}"
                );
            }
            folder.write("f.gz", &packed);
            folder.run(&["import", "facts", "f.gz"]).ok();
            assert_eq!(events(&folder), count, "no fact is doubled, none is missing");
        }
    }
    let folder = Folder::new();
    let packed = gzip(&text(3000));
    folder.write("f.gz", &packed[..packed.len() / 2]);
    assert_eq!(folder.run(&["import", "facts", "f.gz"]).code, Some(1));
    assert!(events(&folder) > 1000, "what is before the tear is imported");
    let said = folder.run_with(&["record", "others"], &packed[..packed.len() / 2]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot read standard input after line "), "{}", said.err);
}

#[test]
fn an_archive_that_was_changed_gives_no_facts_that_it_may_not_have() {
    let folder = Folder::new();
    let mut packed = gzip(&text(3000));
    let checksum = packed.len() - 6;
    packed[checksum] ^= 1;
    folder.write("f.gz", &packed);
    let said = folder.run(&["import", "facts", "f.gz"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(!folder.path("facts/events").exists() || events(&folder) == 0, "{}", said.err);
}

#[test]
fn an_archive_that_was_made_to_fill_a_disk_is_given_up() {
    let folder = Folder::new();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(line(1).as_bytes()).unwrap();
    let zeros = vec![0; 8 << 20];
    for _ in 0..160 {
        encoder.write_all(&zeros).unwrap();
    }
    folder.write("f.zst", encoder.finish().unwrap());
    let said = folder.run(&["import", "facts", "f.zst"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("cannot unpack f.zst: nothing of it was imported"), "{}", said.err);
    assert_eq!(events(&folder), 0);
}

#[test]
fn of_an_archive_whose_checksum_is_wrong_no_fact_is_imported() {
    let folder = Folder::new();
    let text = text(20_000);
    // Not compressed, so that a changed byte is seen by the checksum at the end alone.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(text.as_bytes()).unwrap();
    let mut packed = encoder.finish().unwrap();
    let at = packed.windows(9).position(|bytes| bytes == b"shop:777\"").unwrap();
    packed[at + 5] = b'9';
    folder.write("f.gz", &packed);
    let said = folder.run(&["import", "facts", "f.gz"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("cannot unpack f.gz: nothing of it was imported"), "{}", said.err);
    assert_eq!(events(&folder), 0);
    // The end of a pipe is seen too late.
    let said = folder.run_with(&["import", "piped", "-"], &packed);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("the lines before were imported, and may be wrong"), "{}", said.err);
    let said = folder.run_with(&["record", "recorded"], &packed);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("the facts that were recorded from it may be wrong"), "{}", said.err);
    // The sound one is imported whole, also where zeros fill up its last block.
    folder.write("f.gz", [gzip(&text), vec![0; 512]].concat());
    folder.run(&["import", "facts", "f.gz"]).ok();
    assert_eq!(events(&folder), 20_000);
}

#[test]
fn what_was_acknowledged_from_memory_is_kept_when_the_input_is_torn_off() {
    let folder = Folder::new();
    let packed = gzip(&text(100));
    let torn = &packed[..packed.len() - 9];
    let said = folder.run_with(&["record", "facts", "--durability", "buffered", "--ack"], torn);
    assert_eq!(said.code, Some(1), "{}", said.err);
    let acks = said.out.lines().count();
    assert!(acks > 50, "{acks} {}", said.err);
    assert_eq!(events(&folder), acks);
}

#[test]
fn an_earlier_state_of_a_file_is_not_imported_twice() {
    let folder = Folder::new();
    let import = |text: &str| {
        folder.write("f.ndjson", text);
        folder.run(&["import", "facts", "f.ndjson"]).ok().talk()
    };
    let of = |count: usize| text(count);
    for (count, new) in [(2, 2), (5, 3), (3, 0), (2, 0), (1, 0), (5, 0), (8, 3), (6, 0)] {
        let said = import(&of(count));
        assert!(said.starts_with(&format!("imported {new} fact")), "{count}: {said}");
        if new == 0 && count > 1 {
            assert!(said.contains(&format!("the first {count} lines were imported before")), "{said}");
        }
    }
    let torn = &of(4)[..of(3).len() + 30];
    assert!(import(torn).contains("imported 0 facts"), "a line that is torn off is no fact");
    assert!(import(of(4).trim_end()).starts_with("imported 0 facts"), "a last line needs no break");
    assert_eq!(events(&folder), 8);
    // Another file that begins alike is another file.
    assert!(import(&(of(1) + &line(100))).starts_with("imported 2 facts"));
    // An explicit request is followed.
    folder.write("f.ndjson", of(2));
    let again = folder.run(&["import", "facts", "f.ndjson", "--again"]).ok().talk();
    assert!(again.starts_with("imported 2 facts"), "{again}");
    // Of a large file, too.
    let folder = Folder::new();
    folder.write("f.ndjson", of(2000));
    folder.run(&["import", "facts", "f.ndjson"]).ok();
    folder.write("f.ndjson", of(200));
    assert!(folder.run(&["import", "facts", "f.ndjson"]).ok().err.starts_with("imported 0 facts"));
    assert_eq!(events(&folder), 2000);
}

#[test]
fn an_earlier_state_of_many_short_lines_is_not_imported_twice() {
    let folder = Folder::new();
    let import = |text: &str| {
        folder.write("f.ndjson", text);
        folder.run(&["import", "facts", "f.ndjson"])
    };
    let compact = |count: usize| text(count).replace(": ", ":").replace(", ", ",").replace("shop", "s");
    assert!(compact(625).len() < 64 << 10);
    import(&compact(625)).ok();
    assert!(import(&compact(610)).ok().err.starts_with("imported 0 facts"));
    assert_eq!(events(&folder), 625);
    // If not every line is known, the state cannot be determined.
    let folder = Folder::new();
    let import = |text: &str| {
        folder.write("f.ndjson", text);
        folder.run(&["import", "facts", "f.ndjson"])
    };
    let mixed = |count: usize| (1..=count).map(|n| line(n) + "INFO\n\n\n\n\n").collect::<String>();
    import(&mixed(200)).ok();
    let told = import(&mixed(190)).failed();
    assert!(told.contains("may be an earlier state of it") && told.contains("--again"), "{told}");
    assert!(import(&mixed(100)).ok().err.starts_with("imported 0 facts"));
    assert!(import(&mixed(210)).ok().err.contains("imported 10 facts"));
    assert_eq!(events(&folder), 210);
}

#[test]
fn two_states_of_a_file_that_are_imported_at_once_are_not_both_taken() {
    use ostracon::{ErrorKind, Import, Store};
    for (first, second) in [(2, 5), (5, 2), (3, 3)] {
        let folder = Folder::new();
        let of = |count: usize| "no fact\n".to_owned() + &text(count);
        let (one, other) =
            (Store::open(folder.path("facts")).unwrap(), Store::open(folder.path("facts")).unwrap());
        // The first one has begun when the second one comes.
        let import = Import::named("f").on_reject(|_| {
            assert_eq!(
                other.import(of(second).as_bytes(), Import::named("f")).unwrap().total(),
                second as u64
            );
        });
        let refused = one.import(of(first).as_bytes(), import).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Contended, "{refused}");
        one.import(of(first).as_bytes(), Import::named("f")).unwrap();
        one.close().unwrap();
        other.close().unwrap();
        assert_eq!(events(&folder), first.max(second), "{first} and {second}");
    }
}

/// Rotation while an import reads.
#[cfg(target_os = "linux")]
#[test]
fn files_that_are_rotated_while_others_are_imported_are_not_passed_over() {
    use std::time::{Duration, Instant};
    let folder = Folder::new();
    assert!(std::process::Command::new("mkfifo").arg(folder.path("gate")).status().unwrap().success());
    folder.write("log.1", line(1));
    folder.write("log", line(2));
    let child = folder.spawn(&["import", "facts", "--rotated", "gate", "log"]);
    let mut gate = std::fs::File::options().write(true).open(folder.path("gate")).unwrap();
    gate.write_all(line(9).as_bytes()).unwrap();
    let has_begun = || folder.path("facts/ledger").exists();
    let begun = Instant::now();
    while !has_begun() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::rename(folder.path("log.1"), folder.path("log.2")).unwrap();
    std::fs::rename(folder.path("log"), folder.path("log.1")).unwrap();
    folder.write("log", line(3));
    drop(gate);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let facts = lines_at(&folder.path("facts")).concat();
    assert!(facts.contains("shop:1\"") && facts.contains("shop:2\""), "{facts}");
    folder.run(&["import", "facts", "--rotated", "log"]).ok();
    assert_eq!(events(&folder), 4);
}

#[test]
fn a_byte_order_mark_costs_no_fact() {
    let folder = Folder::new();
    let marked = format!("\u{feff}{}\u{feff}{}\u{feff}\n", line(1), line(2));
    folder.write("f.ndjson", &marked);
    let said = folder.run(&["import", "facts", "f.ndjson"]).ok();
    assert!(said.err.starts_with("imported 2 facts") && !said.err.contains("no fact"), "{}", said.err);
    let said = folder.run_with(&["record", "facts", "--ack"], marked.as_bytes()).ok();
    assert_eq!(said.out.lines().count(), 2, "{}", said.err);
    let store = ostracon::Store::open(folder.path("facts")).unwrap();
    store.record(ostracon::Fact::from_line(marked.lines().next().unwrap()).unwrap()).unwrap();
}

#[test]
fn what_is_no_text_is_named_and_leaves_nothing() {
    let wide: Vec<u8> = line(1).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (input, what, command) in [
        (b"BZh91AY&SY\0\0".to_vec(), "bzip2", "bzcat"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "xz", "xzcat"),
        (b"PK\x03\x04\x14\0".to_vec(), "zip", "unzip -p"),
        (b"\x04\x22\x4d\x18\x64\x40".to_vec(), "lz4", "lz4cat"),
        ([b"\xff\xfe".to_vec(), wide.clone()].concat(), "UTF-16", "iconv -f UTF-16 -t UTF-8"),
        (wide, "UTF-16", "iconv -f UTF-16LE -t UTF-8"),
        (gzip(&"\0".repeat(600).replacen("\0\0\0", "log", 1)), "", ""),
        (b"\x1f\x8b\x08\0\0\0\0\0\n\n\n".to_vec(), "", ""),
        (gzip("")[..5].to_vec(), "", ""),
    ] {
        let folder = Folder::new();
        folder.write("f", &input);
        for said in [
            folder.run(&["import", "facts", "f"]),
            folder.run_with(&["import", "facts", "-"], &input),
            folder.run_with(&["record", "facts"], &input),
        ] {
            if what.is_empty() {
                assert_eq!(said.code, Some(1), "{said:?}");
                continue;
            }
            let told = said.failed();
            assert_eq!(told.lines().count(), 1, "one line, and no page: {told}");
            assert!(told.contains(&format!("this is {what}, ")) && told.contains(command), "{told}");
        }
        if !what.is_empty() {
            assert_eq!(folder.names(), ["f"], "nothing is left");
        }
    }
}

#[test]
fn record_keeps_aside_what_it_refuses_byte_for_byte() {
    let folder = Folder::new();
    let fact = &lines_of(KNOWN)[0];
    let long = "y".repeat(17 << 20);
    let input = [
        format!("{fact}\nnonsense\r\n\n").into_bytes(),
        b"\xff\xfe\n".to_vec(),
        format!("{long}\n{fact}\n{{}}").into_bytes(),
    ]
    .concat();
    let said = folder.run_with(&["record", "facts", "--ack", "--rejects", "bad"], &input).ok();
    assert_eq!(said.out, "1:1\n-\n-\n-\n1:2\n-\n");
    let aside = [b"nonsense\r\n\xff\xfe\n".to_vec(), format!("{long}\n{{}}\n").into_bytes()].concat();
    assert!(folder.read("bad") == aside);
    // Refused lines of an earlier run stay.
    folder.run_with(&["record", "facts", "--rejects", "bad"], format!("{fact}\nmore\n").as_bytes()).ok();
    assert!(folder.read("bad") == [aside, b"more\n".to_vec()].concat());
    let refused = folder.run_with(&["record", "others", "--rejects", "none/bad"], b"").failed();
    assert!(refused.contains("cannot open none/bad for refused lines"), "{refused}");
    assert!(!folder.path("others").exists());
}
