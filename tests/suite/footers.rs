//! Footers, page indexes and pages that lie about how much they hold: a reader says that the segment
//! is damaged, and no process ends of it.

use std::fs;
use std::path::PathBuf;

use super::command::Folder;

/// `2^31 - 1` as Thrift writes the size of a list after its first byte.
const HUGE: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x07];

/// A lie, and how it is put into the bytes of a segment of events.
type Lie = (&'static str, fn(&mut Vec<u8>));

const LIES: &[Lie] = &[
    ("the list of row groups", |bytes| {
        // A list of one struct, whose first field is a list of fourteen.
        let at = last(bytes, &[0x19, 0x1c, 0x19, 0xec]);
        bytes[at + 1] = 0xfc;
        bytes[at + 2..at + 7].copy_from_slice(&HUGE);
    }),
    ("the list of columns", |bytes| {
        let at = last(bytes, &[0x19, 0x1c, 0x19, 0xec]) + 3;
        bytes[at] = 0xfc;
        bytes[at + 1..at + 6].copy_from_slice(&HUGE);
    }),
    ("the schema", |bytes| {
        let at = footer(bytes);
        assert_eq!(bytes[at + 2..at + 4], [0x19, 0xfc]);
        bytes[at + 4..at + 9].copy_from_slice(&HUGE);
    }),
    ("the footer's length", |bytes| {
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    }),
    ("a list of pages", |bytes| {
        // The last offset index stands before the footer: a list of one struct, with a place in it.
        let end = footer(bytes);
        let at = last(&bytes[..end], &[0x19, 0x1c, 0x16]);
        bytes[at + 1] = 0xfc;
        bytes[at + 2..at + 7].copy_from_slice(&HUGE);
    }),
    ("a compressed page", |bytes| {
        // Its size when it is not compressed: the dictionary of the errors is the first that is.
        let data = bytes.windows(4).position(|window| window == [0x28, 0xb5, 0x2f, 0xfd]).unwrap();
        let at = last(&bytes[..data], &[0x15, 0x04, 0x15]) + 3;
        bytes[at..at + 5].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    }),
];

fn footer(bytes: &[u8]) -> usize {
    let end = bytes.len() - 8;
    end - u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize
}

fn last(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).rposition(|window| window == needle).unwrap()
}

fn events(folder: &Folder) -> PathBuf {
    let mut files = fs::read_dir(folder.path("facts/events")).unwrap();
    files.next().unwrap().unwrap().path()
}

/// The store of the known facts, in whose segment of events this lie was put.
fn lying(lie: &Lie) -> Folder {
    let folder = Folder::with_known_facts();
    let mut bytes = fs::read(events(&folder)).unwrap();
    lie.1(&mut bytes);
    fs::write(events(&folder), bytes).unwrap();
    folder
}

#[test]
fn no_command_ends_of_a_lie_and_those_that_read_it_say_that_the_segment_is_damaged() {
    for lie in LIES {
        let folder = lying(lie);
        let name = events(&folder).file_name().unwrap().to_string_lossy().into_owned();
        let lie = lie.0;
        let run = |args: &[&str]| {
            let said = folder.run(args);
            assert!(said.code.is_some(), "{lie}, {args:?}: {said:#?}");
            assert!(!said.err.contains("panicked"), "{lie}, {args:?}: {said:#?}");
            said
        };
        let said = run(&["sql", "facts", "-c", "SELECT * FROM events"]);
        assert_eq!(said.code, Some(1), "{lie}: {said:#?}");
        assert!(said.err.contains(&name) && said.err.contains("is damaged"), "{lie}: {said:#?}");
        assert_eq!(run(&["scan", "facts", "--deep"]).code, Some(2), "{lie}");
        // These read no more than they need.
        run(&["sql", "facts", "-c", "SELECT count(event_type) FROM events WHERE actor_address = 'shop:1'"]);
        run(&["tail", "facts"]);
        run(&["inspect", "facts", "events"]);
        run(&["doctor", "facts"]);
        run(&["compact", "facts"]);
    }
}

#[test]
fn every_mode_of_recover_brings_the_facts_back() {
    for lie in LIES {
        for mode in ["repair", "rebuild"] {
            let folder = lying(lie);
            let said = folder.run(&["recover", "facts", "--mode", mode]).ok();
            assert!(said.out.contains("repaired    events/"), "{}, {mode}: {said:#?}", lie.0);
            if lie.0 != "a compressed page" {
                assert!(!said.out.contains("lost"), "{}, {mode}: {said:#?}", lie.0);
            }
        }
    }
}

/// Without descriptors a sound store is told to be no other than sound.
#[test]
fn a_process_without_descriptors_is_no_damage() {
    let folder = Folder::with_known_facts();
    let before = fs::read(events(&folder)).unwrap();
    for args in [
        &["sql", "facts", "-c", "SELECT count(payload) FROM events"][..],
        &["inspect", "facts", "events"],
        &["scan", "facts", "--deep"],
        &["recover", "facts", "--mode", "repair"],
        &["compact", "facts"],
    ] {
        for descriptors in 3..14 {
            let said = folder.run_limited(&format!("ulimit -n {descriptors}"), args);
            let told = format!("{}{}", said.out, said.err);
            assert!(!told.contains("damaged") && !told.contains("lost"), "{descriptors}, {args:?}: {told}");
            assert!(!told.contains("panicked"), "{descriptors}, {args:?}: {told}");
        }
    }
    assert_eq!(fs::read(events(&folder)).unwrap(), before);
    folder.run(&["scan", "facts", "--deep"]).ok();
}
