//! The files of consumer groups: their names, and how to publish, read and check them.
//!
//! A file holds the BLAKE3 digest of the rest in hex, a line break, and the state as JSON, including its
//! store, kind and group.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::MOST_PENDING;
use super::state::{GroupState, StateInFile};
use crate::disk::{Disk, is_broken_link, is_unreadable, open_regular};
use crate::error::{Error, ErrorKind, Result};
use crate::fact::Kind;
use crate::ledger::{FORMAT, StoreId};
use crate::store_folder::CONSUMERS;

/// The extension of a group's lock file.
pub(crate) const LOCK: &str = "lock";

/// The most bytes of a name, as text and in the name of a file.
const MAX_NAME_BYTES: usize = 180;
/// The most bytes of a state. A longer file is not a state.
const MAX_STATE_BYTES: u64 = 64 << 20;

/// The parts of the name of a state's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateName {
    pub(crate) kind: Kind,
    pub(crate) group: String,
    pub(crate) number: u64,
}

impl StateName {
    /// Parses `events.shippers.00000000000000000042.json`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".json")?.split('.');
        let (kind, group, number) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::ALL.into_iter().find(|known| known.table() == kind)?;
        let digits = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| digits && parts.next().is_none())?;
        let group = decoded(group)?;
        Some(Self { kind, group, number })
    }

    /// The path relative to the store's root.
    pub(crate) fn path(&self) -> String {
        format!("{CONSUMERS}/{}.{}.{:020}.json", self.kind.table(), encoded(&self.group), self.number)
    }
}

/// Encodes a name: letters, digits, `-` and `_` stay, every other byte becomes `%XX`.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    // Each name has exactly one encoding.
    String::from_utf8(bytes).ok().filter(|name| check_name(name).is_ok() && encoded(name) == text)
}

/// Checks whether a group or a consumer may have this name.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || encoded(name).len() > MAX_NAME_BYTES {
        let why = format!(
            "{name:?} cannot be the name of a consumer or a group: a name has at least one letter and at \
             most {MAX_NAME_BYTES} bytes, where all but letters, digits, - and _ count three times"
        );
        return Err(Error::new(ErrorKind::Refused, why));
    }
    Ok(())
}

/// The states of all groups, from the names of their files.
pub(super) fn list(root: &Path) -> Result<Vec<StateName>> {
    let folder = root.join(CONSUMERS);
    let attempt = |error| Error::io("list the consumer groups in", &folder, error);
    let listed = match std::fs::read_dir(&folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(attempt(error)),
    };
    let mut names = Vec::new();
    for entry in listed {
        names.extend(entry.map_err(attempt)?.file_name().to_str().and_then(StateName::parse));
    }
    Ok(names)
}

/// The newest state of every group, with the numbers of the others.
pub(crate) fn newest(names: impl IntoIterator<Item = StateName>) -> Vec<StateName> {
    let mut newest: BTreeMap<(Kind, String), StateName> = BTreeMap::new();
    for name in names {
        let key = (name.kind, name.group.clone());
        if newest.get(&key).is_none_or(|known| known.number < name.number) {
            newest.insert(key, name);
        }
    }
    newest.into_values().collect()
}

/// The numbers of a group's states, in order.
fn numbers(root: &Path, kind: Kind, group: &str) -> Result<Vec<u64>> {
    let names = list(root)?.into_iter().filter(|name| name.kind == kind && name.group == group);
    let mut numbers: Vec<u64> = names.map(|name| name.number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The newest state of a group; `None` if there is no such group.
pub(super) fn load(root: &Path, store: StoreId, kind: Kind, group: &str) -> Result<Option<GroupState>> {
    loop {
        let Some(number) = numbers(root, kind, group)?.pop() else { return Ok(None) };
        let name = StateName { kind, group: group.to_owned(), number };
        // A newer state may have replaced it since it was listed.
        if let Some(state) = read(root, store, &name)? {
            return Ok(Some(state));
        }
    }
}

/// Checks whether a file holds the state in its name; `None` if the file is gone.
pub(crate) fn check(root: &Path, store: Option<StoreId>, name: &StateName) -> Result<Option<()>> {
    read_of(root, store, name).map(|state| state.map(drop))
}

fn read(root: &Path, store: StoreId, name: &StateName) -> Result<Option<GroupState>> {
    read_of(root, Some(store), name).map_err(|error| match error.kind() {
        ErrorKind::Damaged => Error::new(
            ErrorKind::Damaged,
            format!(
                "{error}; `ostracon recover --mode repair` moves it aside, and the group continues from the \
                 state before it, if there is one"
            ),
        ),
        _ => error,
    })
}

fn read_of(root: &Path, store: Option<StoreId>, name: &StateName) -> Result<Option<GroupState>> {
    let path = root.join(name.path());
    let attempt = |error| Error::io("read the consumer group", &path, error);
    let file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if is_unreadable(&error) => return Err(Error::damaged(&path, error)),
        // The name exists: the next listing would have it again.
        Err(_) if is_broken_link(&path) => {
            return Err(Error::damaged(&path, "it is a link that leads to nothing"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(attempt(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_STATE_BYTES + 1).read_to_end(&mut bytes).map_err(attempt)?;
    let unsound = |why: &str| Error::damaged(&path, why);
    if bytes.len() as u64 > MAX_STATE_BYTES {
        return Err(unsound("it is too large"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unsound("it is not text"))?;
    let (digest, json) = text.split_once('\n').ok_or_else(|| unsound("it is cut short"))?;
    if blake3::hash(json.as_bytes()).to_hex().as_str() != digest {
        return Err(unsound("its digest does not match"));
    }
    let version: Version = serde_json::from_str(json).map_err(|_| unsound("it holds no state"))?;
    if version.format > FORMAT {
        let why = format!("{} was written by a newer Ostracon", path.display());
        return Err(Error::new(ErrorKind::NewerFormat, why));
    }
    let body: Body = serde_json::from_str(json).map_err(|_| unsound("it holds no state"))?;
    if store.is_some_and(|store| body.store != store) {
        return Err(unsound("it belongs to another store"));
    }
    let state = body.state.state(MOST_PENDING).ok_or_else(|| unsound("it holds no state"))?;
    let named = body.kind == name.kind && body.group == name.group && state.number() == name.number;
    if named { Ok(Some(state)) } else { Err(unsound("its content does not match its name")) }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Body {
    format: u32,
    store: StoreId,
    kind: Kind,
    group: String,
    #[serde(flatten)]
    state: StateInFile,
}

/// The lock of a group that is being changed.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child process that was forked meanwhile has the file open, too, and would keep it locked.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Waits for the lock for at most this long: its holder may have been stopped.
    pub(super) fn take(disk: &Disk, root: &Path, kind: Kind, group: &str, most: Duration) -> Result<Self> {
        let path = root.join(format!("{CONSUMERS}/{}.{}.{LOCK}", kind.table(), encoded(group)));
        let attempt = |error| Error::io("lock the consumer group", &path, error);
        let file = disk.lock_file_of_anyone(&path).map_err(attempt)?;
        let (begun, mut pause) = (Instant::now(), Duration::from_micros(200));
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::Error(error)) => return Err(attempt(error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() >= most => {
                    let why = format!(
                        "another consumer has held {} for more than {} s; try again, or check whether that \
                         consumer was stopped",
                        path.display(),
                        most.as_secs()
                    );
                    return Err(Error::new(ErrorKind::Contended, why));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Makes the folder of the groups, if it is missing.
pub(super) fn make_folder(disk: &Disk, root: &Path) -> Result<()> {
    let folder = root.join(CONSUMERS);
    let attempt = |error| Error::io("make the folder", &folder, error);
    // The process that made it may have been killed before the name was on the disk.
    disk.create_dir(&folder).and_then(|()| disk.sync_dir(root)).map_err(attempt)
}

/// Publishes a state of a group, and removes all earlier states but one. The caller has the lock, and has
/// read the state before under it.
pub(super) fn publish(
    disk: &Disk,
    root: &Path,
    store: StoreId,
    kind: Kind,
    group: &str,
    state: &GroupState,
) -> Result<()> {
    let body = Body { format: FORMAT, store, kind, group: group.to_owned(), state: state.into() };
    let json = serde_json::to_string(&body)
        .map_err(|error| Error::with_source(ErrorKind::Internal, "cannot write a group as JSON", error))?;
    let bytes = format!("{}\n{json}", blake3::hash(json.as_bytes()).to_hex());
    let of = |number| root.join(StateName { kind, group: group.to_owned(), number }.path());
    let path = of(state.number());
    let temp = root.join(format!("{CONSUMERS}/{}.tmp", uuid::Uuid::new_v4().simple()));
    disk.publish(&temp, &path, bytes.as_bytes())
        .map_err(|error| Error::io("publish the consumer group", &path, error))?;
    // The state is published: an old state that cannot be removed does no harm.
    let old = numbers(root, kind, group).unwrap_or_default().into_iter();
    for number in old.filter(|number| number.saturating_add(1) < state.number()) {
        let _ = disk.remove(&of(number));
    }
    Ok(())
}

/// Removes all states of a group, the newest last. Returns whether there were any.
pub(super) fn remove(disk: &Disk, root: &Path, kind: Kind, group: &str) -> Result<bool> {
    let numbers = numbers(root, kind, group)?;
    let found = !numbers.is_empty();
    for number in numbers {
        let path = root.join(StateName { kind, group: group.to_owned(), number }.path());
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove the consumer group", &path, error));
            }
            _ => {}
        }
    }
    if found {
        let folder: PathBuf = root.join(CONSUMERS);
        disk.sync_dir(&folder).map_err(|error| Error::io("remove the consumer group", &folder, error))?;
    }
    Ok(found)
}
