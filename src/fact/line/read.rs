//! Reads a fact from a line.

use std::borrow::Cow;

use super::super::json::{self, RawKey, RawValue};
use super::super::{Audit, DeadLetter, Event, Fact, Json, Kind, Timestamp};
use super::nearest::{self, Nearest};
use super::{BYTE_ORDER_MARK, LineError, MAX_LINE_BYTES};
use crate::error::{Error, ErrorKind, Result};

impl<'a> Fact<'a> {
    /// Reads a fact from its JSON line, without the line break.
    ///
    /// ```
    /// use ostracon::{Fact, Kind};
    /// let line = r#"{"kind": "dead_letter", "system_id": "shop", "target": null, "message_type": "Order", "payload": [1, NaN], "timestamp": 12.5}"#;
    /// let fact = Fact::from_line(line)?;
    /// assert_eq!(fact.kind(), Kind::DeadLetter);
    /// assert_eq!(fact.to_line(), line);
    /// # Ok::<(), ostracon::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFact`], with a [`LineError`] as its source.
    pub fn from_line(line: &'a str) -> Result<Self> {
        Self::from_json(line.as_bytes())
    }

    /// Works as [`Fact::from_line`], for bytes that may not be UTF-8.
    ///
    /// # Errors
    /// Those of [`Fact::from_line`].
    pub fn from_json(line: &'a [u8]) -> Result<Self> {
        LineParser::default()
            .parse(line)
            .map_err(|why| Error::with_source(ErrorKind::InvalidFact, "this line is not a fact", why))
    }
}

/// The line without a byte-order mark. Some editors put one before a text, so it is also inside a file
/// that joins such texts.
fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Whether a line has only whitespace.
pub fn is_blank(line: &[u8]) -> bool {
    unmarked(line).trim_ascii().is_empty()
}

/// Reads facts from the lines of one text, and reuses its scratch space between them.
#[derive(Default)]
pub(crate) struct LineParser<'a> {
    members: Vec<(RawKey<'a>, RawValue<'a>)>,
}

impl<'a> LineParser<'a> {
    /// Reads the fact in this line.
    pub(crate) fn parse(&mut self, line: &'a [u8]) -> Result<Fact<'a>, LineError> {
        let line = unmarked(line);
        if line.len() > MAX_LINE_BYTES {
            return Err(LineError::TooLong);
        }
        let line = std::str::from_utf8(line).map_err(|e| LineError::NotUtf8(e.valid_up_to()))?;
        json::scan_object(line, &mut self.members)?;
        let kind = self
            .members
            .iter()
            .rev()
            .find(|(key, _)| key.is("kind"))
            .map(|(_, value)| *value)
            .ok_or(LineError::Missing("kind"))?;
        let kind = match kind.as_str().as_ref().map(|kind| kind.text.as_ref()) {
            Some("event") => Kind::Event,
            Some("dead_letter") => Kind::DeadLetter,
            Some("audit") => Kind::Audit,
            _ => return Err(LineError::UnknownKind(excerpt(kind.text()))),
        };
        let mut fields = Fields { members: &mut self.members, kept: String::new() };
        let fact = match kind {
            Kind::Event => Fact::Event(Event {
                system_id: fields.text("system_id")?,
                actor_address: fields.text("actor_address")?,
                event_type: fields.text("event_type")?,
                payload: fields.json("payload")?,
                timestamp: fields.timestamp()?,
                extra: fields.extra(),
            }),
            Kind::Audit => Fact::Audit(Audit {
                system_id: fields.text("system_id")?,
                timestamp: fields.timestamp()?,
                total_actors: fields.counter("total_actors")?,
                alive_actors: fields.counter("alive_actors")?,
                stopping_actors: fields.counter("stopping_actors")?,
                restarting_actors: fields.counter("restarting_actors")?,
                registry_size: fields.counter("registry_size")?,
                registry_orphans: fields.list("registry_orphans")?,
                registry_dead: fields.list("registry_dead")?,
                dead_letters_count: fields.counter("dead_letters_count")?,
                extra: fields.extra(),
            }),
            Kind::DeadLetter => Fact::DeadLetter(DeadLetter {
                system_id: fields.text("system_id")?,
                target: fields.optional_text("target")?,
                message_type: fields.text("message_type")?,
                payload: fields.json("payload")?,
                timestamp: fields.timestamp()?,
                extra: fields.extra(),
            }),
        };
        Ok(fact)
    }
}

/// The members of a line that were not taken out yet.
struct Fields<'m, 'a> {
    members: &'m mut Vec<(RawKey<'a>, RawValue<'a>)>,
    /// Members for `extra` that the known columns could not hold: `"key": value, …`.
    kept: String,
}

impl<'a> Fields<'_, 'a> {
    /// Takes a field out. Of several with one name the last counts, as in Python.
    fn take(&mut self, field: &'static str) -> Result<RawValue<'a>, LineError> {
        let mut found = None;
        let mut count = 0;
        for (at, (key, value)) in self.members.iter().enumerate() {
            if key.is(field) {
                found = Some((at, *value));
                count += 1;
            }
        }
        if count > 1 {
            self.members.retain(|(key, _)| !key.is(field));
        } else if let Some((at, _)) = found {
            self.members.remove(at);
        }
        found.map(|(_, value)| value).ok_or(LineError::Missing(field))
    }

    fn keep(&mut self, write_key: impl FnOnce(&mut String), value: RawValue<'a>) {
        self.kept.push_str(if self.kept.is_empty() { "{" } else { ", " });
        write_key(&mut self.kept);
        self.kept.push_str(": ");
        self.kept.push_str(value.text());
    }

    /// Keeps the exact value of a field whose column holds another value.
    fn keep_original(&mut self, field: &'static str, value: RawValue<'a>) {
        self.keep(|out| json::write_str(out, field), value);
    }

    fn text(&mut self, field: &'static str) -> Result<Cow<'a, str>, LineError> {
        let value = self.take(field)?;
        let Nearest { value: text, exact } = nearest::text(value);
        if !exact {
            self.keep_original(field, value);
        }
        Ok(text)
    }

    fn optional_text(&mut self, field: &'static str) -> Result<Option<Cow<'a, str>>, LineError> {
        let value = self.take(field)?;
        if value.is_null() {
            return Ok(None);
        }
        let Nearest { value: text, exact } = nearest::text(value);
        if !exact {
            self.keep_original(field, value);
        }
        Ok(Some(text))
    }

    fn json(&mut self, field: &'static str) -> Result<Json<'a>, LineError> {
        self.take(field).map(|value| Json::trusted(Cow::Borrowed(value.text())))
    }

    fn timestamp(&mut self) -> Result<Timestamp, LineError> {
        let value = self.take("timestamp")?;
        let Nearest { value: seconds, exact } = nearest::float(value);
        if !exact {
            self.keep_original("timestamp", value);
        }
        Ok(Timestamp::from_seconds(seconds))
    }

    fn counter(&mut self, field: &'static str) -> Result<i64, LineError> {
        let value = self.take(field)?;
        let Nearest { value: counter, exact } = nearest::integer(value);
        if !exact {
            self.keep_original(field, value);
        }
        Ok(counter)
    }

    fn list(&mut self, field: &'static str) -> Result<Vec<Cow<'a, str>>, LineError> {
        let value = self.take(field)?;
        let Nearest { value: list, exact } = nearest::list(value);
        if !exact {
            self.keep_original(field, value);
        }
        Ok(list)
    }

    /// All members that are left over.
    fn extra(&mut self) -> Option<Json<'a>> {
        let mut members = std::mem::take(self.members);
        for (key, value) in members.drain(..) {
            if !key.is("kind") {
                self.keep(
                    |out| {
                        out.push('"');
                        out.push_str(key.raw());
                        out.push('"');
                    },
                    value,
                );
            }
        }
        *self.members = members;
        if self.kept.is_empty() {
            return None;
        }
        self.kept.push('}');
        Some(Json::trusted(Cow::Owned(std::mem::take(&mut self.kept))))
    }
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
