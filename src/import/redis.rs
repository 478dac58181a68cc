//! Imports the streams of Papyra's Redis backend.
//!
//! The streams are read, not changed. Each has the facts of its entries in the field `data`, as lines of
//! Papyra's JSON backend.
//!
//! A stream is trimmed at its beginning, so its content cannot identify it, as for a file. Entries are
//! read in batches. Each batch is one commit, whose mark names the batch's last entry: the next run reads
//! only newer entries.

use std::time::Duration;

use redis::{Connection, FromRedisValue, IntoConnectionInfo};

use super::{Entries, Import, ImportReport, parts};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fact::{Kind, LineError, MAX_LINE_BYTES};
use crate::ledger::{EntryId, EntryRange};

/// The most bytes of a batch. A batch is one commit, so its text is less than a part of an import.
const BATCH_BYTES: usize = 32 << 20;
/// The most entries of a batch.
const BATCH_ENTRIES: usize = 100_000;
/// The most entries of one request.
const AT_ONCE: usize = 250;
/// The approximate bytes of one answer.
const ANSWER_BYTES: usize = 4 << 20;
/// The longest time to wait for an answer of Redis.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The place of the streams of Papyra's Redis backend.
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisStreams {
    url: String,
    prefix: String,
    system: Option<String>,
}

impl RedisStreams {
    /// The streams on this server (`redis://localhost:6379/0`), with Papyra's own prefix, of all systems.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: "papyra".to_owned(), system: None }
    }

    /// Sets another prefix of the keys.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Limits the import to one system.
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.system = Some(system.into());
        self
    }
}

/// An entry of a stream.
struct Entry {
    id: EntryId,
    /// The content of its field `data`, if it has one.
    data: Option<Vec<u8>>,
}

/// Imports the facts of Papyra's Redis backend into a store that is open for writing.
pub(crate) fn import_redis(
    context: &Context,
    streams: &RedisStreams,
    import: Import<'_>,
) -> Result<ImportReport> {
    let mut server = Server::connect(&streams.url)?;
    let keys = server.keys(streams)?;
    if keys.is_empty() {
        let system = streams.system.as_deref().unwrap_or("*");
        let why = format!(
            "no streams {}:{system}:events, audits or dead_letters are at {}; give the prefix and the system \
             of Papyra's configuration",
            streams.prefix, server.address
        );
        return Err(Error::new(ErrorKind::Refused, why));
    }
    let everything = import.again;
    // A source is recognised by its entries' names, not by its content.
    let mut import = Import { again: true, ..import };
    let mut call = import.on_progress.take();
    let mut sum = ImportReport::default();
    for key in keys {
        import.name = format!("{} {key}", server.address);
        let known = context.ledger.refresh()?.imported_entry(&import.name);
        server.check_goes_on(&key, known.filter(|_| !everything))?;
        let again = everything && known.is_some();
        let mut committed = known.filter(|_| !again);
        let mut read = committed;
        loop {
            let batch = server.entries(&key, read)?;
            let Some(last) = batch.last().map(|entry| entry.id) else { break };
            let range = EntryRange { after: committed, last };
            let text = lines(&batch, range, again, &mut import, &mut sum)?;
            let report = parts::run(context, text.as_slice(), &mut import)?;
            sum.lines += report.lines;
            sum.bytes += report.bytes;
            sum.rejected += report.rejected;
            for (sum, facts) in sum.facts.iter_mut().zip(report.facts) {
                *sum += facts;
            }
            read = Some(last);
            // A batch without any fact makes no commit.
            if report.total() > 0 {
                committed = read;
            }
            if let Some(call) = &mut call {
                call(&sum);
            }
        }
    }
    Ok(sum)
}

/// Makes the lines of a batch. Entries that cannot become a line are rejected here.
fn lines(
    batch: &[Entry],
    range: EntryRange,
    again: bool,
    import: &mut Import<'_>,
    sum: &mut ImportReport,
) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let before = sum.lines;
    let entries = |names| Entries { range, again, names, before };
    let mut names = Vec::with_capacity(batch.len());
    for Entry { id, data } in batch {
        let reason = match data {
            Some(data) if data.len() < MAX_LINE_BYTES => {
                // Between the values of JSON a line break counts as a space, and within them there is
                // none.
                text.extend(data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
                text.push(b'\n');
                names.push(*id);
                continue;
            }
            Some(_) => LineError::TooLong.to_string(),
            None => "it has no field \"data\"".to_owned(),
        };
        import.entries = Some(entries(vec![*id]));
        import.reject(1, &reason, data.as_deref().unwrap_or_default())?;
        sum.lines += 1;
        sum.rejected += 1;
    }
    import.flush_rejects()?;
    import.entries = Some(entries(names));
    Ok(text)
}

/// A Redis server, and its name in the ledger.
struct Server {
    connection: Connection,
    /// The address without user name and password.
    address: String,
}

impl Server {
    fn connect(url: &str) -> Result<Self> {
        let info = url.into_connection_info().map_err(|error| {
            Error::with_source(
                ErrorKind::Refused,
                "this is not the address of a Redis server; write one such as redis://localhost:6379/0",
                error,
            )
        })?;
        let address = format!("redis://{}/{}", info.addr(), info.redis_settings().db());
        let failed = |error| failed(&address, error);
        let client = redis::Client::open(info).map_err(failed)?;
        let connection = client.get_connection_with_timeout(TIMEOUT).map_err(failed)?;
        connection.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        Ok(Self { connection, address })
    }

    fn ask<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T> {
        command.query(&mut self.connection).map_err(|error| failed(&self.address, error))
    }

    /// The keys of the streams, by system and kind.
    fn keys(&mut self, streams: &RedisStreams) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for kind in Kind::ALL {
            let suffix = kind.table();
            let named = match &streams.system {
                Some(system) => vec![format!("{}:{system}:{suffix}", streams.prefix)],
                None => self.scan(&format!("{}:*:{suffix}", escaped(&streams.prefix)))?,
            };
            for key in named {
                if self.ask::<String>(redis::cmd("TYPE").arg(&key))? == "stream" {
                    keys.push(key);
                }
            }
        }
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    fn scan(&mut self, pattern: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let command =
                redis::cmd("SCAN").arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(AT_ONCE).clone();
            let (next, keys): (String, Vec<String>) = self.ask(&command)?;
            found.extend(keys);
            if next == "0" {
                return Ok(found);
            }
            cursor = next;
        }
    }

    /// Refuses a stream that ends before the last entry that was imported: it is another stream.
    fn check_goes_on(&mut self, key: &str, known: Option<EntryId>) -> Result<()> {
        let Some(known) = known else { return Ok(()) };
        let command = redis::cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1).clone();
        let newest: Vec<(String, Vec<Vec<u8>>)> = self.ask(&command)?;
        let newest = newest.first().map(|(id, _)| self.entry_id(id)).transpose()?;
        if newest.is_some_and(|newest| newest < known) {
            let why = format!(
                "{key} at {} ends before entry {known}, which was imported from there: it is another stream \
                 now; --again imports all of it",
                self.address
            );
            return Err(Error::new(ErrorKind::Refused, why));
        }
        Ok(())
    }

    fn entry_id(&self, text: &str) -> Result<EntryId> {
        text.parse().map_err(|why| {
            let why = format!("{} returned an entry {text:?}: {why}", self.address);
            Error::new(ErrorKind::Io, why)
        })
    }

    /// Reads the next entries of a stream: one batch.
    fn entries(&mut self, key: &str, after: Option<EntryId>) -> Result<Vec<Entry>> {
        let mut batch = Vec::new();
        let (mut bytes, mut last, mut at_once) = (0, after, AT_ONCE);
        while batch.len() < BATCH_ENTRIES {
            let from = match last.map(EntryId::next) {
                None => "-".to_owned(),
                Some(Some(next)) => next.to_string(),
                Some(None) => break,
            };
            let command = redis::cmd("XRANGE").arg(key).arg(from).arg("+").arg("COUNT").arg(at_once).clone();
            let found: Vec<(String, Vec<Vec<u8>>)> = self.ask(&command)?;
            if found.is_empty() {
                break;
            }
            // If entries are large, fewer are in memory at once.
            let answer: usize = found.iter().flat_map(|(_, fields)| fields).map(Vec::len).sum();
            at_once = (at_once * ANSWER_BYTES / answer.max(1)).clamp(1, AT_ONCE);
            for (id, fields) in found {
                let id = self.entry_id(&id)?;
                if last.is_some_and(|last| id <= last) {
                    let why = format!(
                        "{} returned entry {id} of {key}, but a later one was requested",
                        self.address
                    );
                    return Err(Error::new(ErrorKind::Io, why));
                }
                let mut fields = fields.into_iter();
                let mut data = None;
                while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                    if name == b"data" {
                        data = Some(value);
                    }
                }
                bytes += data.as_ref().map_or(0, Vec::len);
                if bytes > BATCH_BYTES && !batch.is_empty() {
                    return Ok(batch);
                }
                last = Some(id);
                batch.push(Entry { id, data });
            }
        }
        Ok(batch)
    }
}

/// Escapes the beginning of a key, as a pattern that matches exactly that.
fn escaped(prefix: &str) -> String {
    let mut out = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn failed(address: &str, error: redis::RedisError) -> Error {
    Error::with_source(ErrorKind::Io, format!("cannot read the streams of Redis at {address}"), error)
}
