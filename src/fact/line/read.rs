//! From a line to a fact.

use std::borrow::Cow;

use super::super::json::{self, RawKey, RawValue, Shape};
use super::super::{Audit, DeadLetter, Event, Fact, Json, Kind, Timestamp};
use super::{LineError, MAX_LINE_BYTES};
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

    /// [`Fact::from_line`] for bytes that may not be UTF-8.
    ///
    /// # Errors
    /// Those of [`Fact::from_line`].
    pub fn from_json(line: &'a [u8]) -> Result<Self> {
        LineParser::default()
            .parse(line)
            .map_err(|why| Error::with_source(ErrorKind::InvalidFact, "this line is not a fact", why))
    }
}

/// Reads facts from the lines of one piece of text, keeping its scratch space between them.
#[derive(Default)]
pub(crate) struct LineParser<'a> {
    members: Vec<(RawKey<'a>, RawValue<'a>)>,
}

impl<'a> LineParser<'a> {
    /// The fact that this line is.
    pub(crate) fn parse(&mut self, line: &'a [u8]) -> Result<Fact<'a>, LineError> {
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
                actor_address: fields.address("actor_address")?,
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
                target: fields.optional_address("target")?,
                message_type: fields.text("message_type")?,
                payload: fields.json("payload")?,
                timestamp: fields.timestamp()?,
                extra: fields.extra(),
            }),
        };
        Ok(fact)
    }
}

/// The members of a line that were not asked for yet.
struct Fields<'m, 'a> {
    members: &'m mut Vec<(RawKey<'a>, RawValue<'a>)>,
    /// Members for `extra`, as far as known columns could not hold them: `"key": value, …`.
    kept: String,
}

impl<'a> Fields<'_, 'a> {
    /// Takes a field out; of several of one name the last counts, as in Python.
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

    fn text(&mut self, field: &'static str) -> Result<Cow<'a, str>, LineError> {
        let value = self.take(field)?;
        let text = value.as_str().ok_or_else(|| wrong(field, "a string", value))?;
        if text.lossy {
            self.keep(|out| json::write_str(out, field), value);
        }
        Ok(text.text)
    }

    fn address(&mut self, field: &'static str) -> Result<Cow<'a, str>, LineError> {
        self.optional_address(field)?.ok_or_else(|| LineError::Wrong {
            field,
            expected: "an address",
            found: "null".to_owned(),
        })
    }

    fn optional_address(&mut self, field: &'static str) -> Result<Option<Cow<'a, str>>, LineError> {
        let value = self.take(field)?;
        if value.is_null() {
            return Ok(None);
        }
        let address = value.as_str();
        let lossy = address.as_ref().is_none_or(|text| text.lossy);
        let address = match address {
            Some(text) => text.text,
            None => old_address(value)
                .map(Cow::Owned)
                .ok_or_else(|| wrong(field, "an address (text, or {\"system\", \"actor_id\"})", value))?,
        };
        if lossy {
            self.keep(|out| json::write_str(out, field), value);
        }
        Ok(Some(address))
    }

    fn json(&mut self, field: &'static str) -> Result<Json<'a>, LineError> {
        self.take(field).map(|value| Json::trusted(Cow::Borrowed(value.text())))
    }

    fn timestamp(&mut self) -> Result<Timestamp, LineError> {
        let value = self.take("timestamp")?;
        let seconds =
            value.as_f64().ok_or_else(|| wrong("timestamp", "a number that a float holds", value))?;
        Ok(Timestamp::from_seconds(seconds))
    }

    fn counter(&mut self, field: &'static str) -> Result<i64, LineError> {
        let value = self.take(field)?;
        value.as_i64().ok_or_else(|| wrong(field, "an integer of 64 bits", value))
    }

    fn list(&mut self, field: &'static str) -> Result<Vec<Cow<'a, str>>, LineError> {
        let value = self.take(field)?;
        if value.shape() != Shape::Array {
            return Err(wrong(field, "a list of strings", value));
        }
        let mut lossy = false;
        let list = value
            .elements()
            .map(|element| {
                if let Some(text) = element.as_str() {
                    lossy |= text.lossy;
                    text.text
                } else {
                    lossy = true;
                    old_address(element).map_or(Cow::Borrowed(element.text()), Cow::Owned)
                }
            })
            .collect();
        if lossy {
            self.keep(|out| json::write_str(out, field), value);
        }
        Ok(list)
    }

    /// All that is left over.
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

/// `{"system": "shop", "actor_id": 5}` of old files, as `shop:5`. Actor ids have any size.
fn old_address(value: RawValue<'_>) -> Option<String> {
    let id = value.get("actor_id")?;
    let system = value.get("system")?.as_str()?;
    let digits = id.text().strip_prefix('-').unwrap_or(id.text());
    let integer = digits.bytes().all(|b| b.is_ascii_digit());
    integer.then(|| format!("{}:{}", system.text, id.text()))
}

fn wrong(field: &'static str, expected: &'static str, value: RawValue<'_>) -> LineError {
    LineError::Wrong { field, expected, found: excerpt(value.text()) }
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
