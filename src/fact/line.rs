//! A fact as one line of JSON, in the very form in which Papyra's JSON backend writes it:
//! `{"kind": "event", "system_id": "shop", …}`.
//!
//! What a line says beyond the columns is not dropped: unknown fields, text with a lone
//! surrogate (which no UTF-8 holds), an address in the old object form. They go into `extra`, a
//! JSON object of field → original value, and come back from there.

use std::borrow::Cow;
use std::fmt;

use super::json::{self, JsonError, RawKey, RawValue, Shape};
use super::{Audit, DeadLetter, Event, Fact, Json, Kind, Position, Recorded, Timestamp};
use crate::error::{Error, ErrorKind, Result};

/// A longer line is refused: 16 MiB.
pub(crate) const MAX_LINE_BYTES: usize = 16 << 20;

/// Why a line is not a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It is longer than 16 MiB.
    TooLong,
    /// It is not UTF-8 from this byte on.
    NotUtf8(usize),
    /// It is not one JSON object; the text says where and why.
    NotJson(String),
    /// A field is missing.
    Missing(&'static str),
    /// Its `kind` is none of the three.
    UnknownKind(String),
    /// A field holds something else than belongs there.
    Wrong {
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {} MiB", MAX_LINE_BYTES >> 20),
            Self::NotUtf8(at) => write!(f, "not UTF-8 at byte {at}"),
            Self::NotJson(why) => write!(f, "not a JSON object: {why}"),
            Self::Missing(field) => write!(f, "field \"{field}\" is missing"),
            Self::UnknownKind(kind) => {
                write!(f, "kind {kind} is none of \"event\", \"audit\", \"dead_letter\"")
            }
            Self::Wrong { field, expected, found } => {
                write!(f, "field \"{field}\" must be {expected}, not {found}")
            }
        }
    }
}

impl std::error::Error for LineError {}

impl From<JsonError> for LineError {
    fn from(error: JsonError) -> Self {
        Self::NotJson(error.to_string())
    }
}

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
        for (key, value) in std::mem::take(self.members) {
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

impl Fact<'_> {
    /// The fact as the JSON line that Papyra's JSON backend writes, without the line break.
    ///
    /// A line that Papyra wrote comes back byte for byte.
    pub fn to_line(&self) -> String {
        let mut line = String::with_capacity(200);
        self.put_line(&mut line);
        line
    }

    /// The length of the JSON line in bytes: what is meant by a fact's size.
    pub(crate) fn line_len(&self) -> u64 {
        let mut length = Length(0);
        self.put_line(&mut length);
        length.0 as u64
    }

    fn put_line<O: Out>(&self, out: &mut O) {
        out.put("{\"kind\": \"");
        out.put(self.kind().tag());
        out.put("\"");
        match self {
            Self::Event(event) => {
                let mut line = Writer { out, extra: event.extra.as_ref() };
                line.text("system_id", &event.system_id);
                line.text("actor_address", &event.actor_address);
                line.text("event_type", &event.event_type);
                line.raw("payload", event.payload.as_str());
                line.timestamp(event.timestamp);
                line.finish();
            }
            Self::Audit(audit) => {
                let mut line = Writer { out, extra: audit.extra.as_ref() };
                line.text("system_id", &audit.system_id);
                line.timestamp(audit.timestamp);
                line.counter("total_actors", audit.total_actors);
                line.counter("alive_actors", audit.alive_actors);
                line.counter("stopping_actors", audit.stopping_actors);
                line.counter("restarting_actors", audit.restarting_actors);
                line.counter("registry_size", audit.registry_size);
                line.list("registry_orphans", &audit.registry_orphans);
                line.list("registry_dead", &audit.registry_dead);
                line.counter("dead_letters_count", audit.dead_letters_count);
                line.finish();
            }
            Self::DeadLetter(letter) => {
                let mut line = Writer { out, extra: letter.extra.as_ref() };
                line.text("system_id", &letter.system_id);
                match &letter.target {
                    Some(target) => line.text("target", target),
                    None => line.raw("target", "null"),
                }
                line.text("message_type", &letter.message_type);
                line.raw("payload", letter.payload.as_str());
                line.timestamp(letter.timestamp);
                line.finish();
            }
        }
    }
}

impl Recorded<Fact<'_>> {
    /// The fact's line with its place in the store added: `"stream": 1, "seq": 5, "recorded_at": "…"`.
    pub fn to_line(&self) -> String {
        let mut line = self.fact.to_line();
        line.pop();
        let Position { stream, seq, recorded_at } = self.position;
        line.push_str(&format!(
            ", \"stream\": {stream}, \"seq\": {seq}, \"recorded_at\": \"{recorded_at}\"}}"
        ));
        line
    }
}

/// Where a line goes: into a string, or only into a count of its bytes.
trait Out {
    fn put(&mut self, text: &str);
    fn put_string(&mut self, text: &str);
    fn put_float(&mut self, value: f64);
}

impl Out for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }

    fn put_string(&mut self, text: &str) {
        json::write_str(self, text);
    }

    fn put_float(&mut self, value: f64) {
        json::write_f64(self, value);
    }
}

struct Length(usize);

impl Out for Length {
    fn put(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn put_string(&mut self, text: &str) {
        self.0 += json::str_len(text);
    }

    fn put_float(&mut self, value: f64) {
        self.0 += json::f64_len(value);
    }
}

struct Writer<'o, 'e, O> {
    out: &'o mut O,
    extra: Option<&'e Json<'e>>,
}

/// The fields that columns hold: where `extra` has one of these, it is the exact original.
const COLUMNS: [&str; 15] = [
    "system_id",
    "actor_address",
    "event_type",
    "payload",
    "timestamp",
    "total_actors",
    "alive_actors",
    "stopping_actors",
    "restarting_actors",
    "registry_size",
    "registry_orphans",
    "registry_dead",
    "dead_letters_count",
    "target",
    "message_type",
];

impl<O: Out> Writer<'_, '_, O> {
    fn key(&mut self, field: &str) {
        self.out.put(", \"");
        self.out.put(field);
        self.out.put("\": ");
    }

    /// Writes the exact original of this field, if `extra` has it.
    fn original(&mut self, field: &str) -> bool {
        let original = self.extra.and_then(|extra| RawValue::trusted(extra.as_str()).get(field));
        if let Some(value) = original {
            self.raw(field, value.text());
        }
        original.is_some()
    }

    fn text(&mut self, field: &str, text: &str) {
        if !self.original(field) {
            self.key(field);
            self.out.put_string(text);
        }
    }

    fn raw(&mut self, field: &str, json: &str) {
        self.key(field);
        self.out.put(json);
    }

    fn counter(&mut self, field: &str, value: i64) {
        self.raw(field, &value.to_string());
    }

    fn timestamp(&mut self, timestamp: Timestamp) {
        self.key("timestamp");
        self.out.put_float(timestamp.seconds());
    }

    fn list(&mut self, field: &str, list: &[Cow<'_, str>]) {
        if self.original(field) {
            return;
        }
        self.key(field);
        self.out.put("[");
        for (at, text) in list.iter().enumerate() {
            if at > 0 {
                self.out.put(", ");
            }
            self.out.put_string(text);
        }
        self.out.put("]");
    }

    fn finish(self) {
        if let Some(extra) = self.extra {
            for (key, value) in RawValue::trusted(extra.as_str()).members() {
                if !COLUMNS.iter().any(|column| key.is(column)) {
                    self.out.put(", \"");
                    self.out.put(key.raw());
                    self.out.put("\": ");
                    self.out.put(value.text());
                }
            }
        }
        self.out.put("}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::tests::any_fact;
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:5", "event_type": "ActorCrashed", "payload": {"error": "KeyError: 'a'", "reason": "x"}, "timestamp": 1795404290.4002798}"#;

    fn refusal(line: &str) -> String {
        LineParser::default().parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn papyras_lines_come_back_byte_for_byte() {
        let sample = include_str!("../../tests/data/sample.ndjson");
        let mut parser = LineParser::default();
        for line in sample.lines() {
            let fact = parser.parse(line.as_bytes()).unwrap();
            assert_eq!(fact.to_line(), line);
            assert_eq!(fact.line_len(), line.len() as u64);
        }
    }

    #[test]
    fn what_no_column_holds_is_kept_and_comes_back() {
        for line in [
            // Unknown fields.
            &EVENT.replace("\"timestamp\"", "\"node\": {\"a\": [1]}, \"timestamp\""),
            // A lone surrogate in an address.
            &EVENT.replace("shop:5", r"shop:\ud800"),
            // An address of an old file; its id exceeds 64 bits.
            &EVENT.replace("\"shop:5\"", r#"{"system": "shop", "actor_id": 99999999999999999999999}"#),
        ] {
            let fact = Fact::from_line(line).unwrap();
            let back = Fact::from_line(&fact.to_line()).unwrap().into_owned();
            assert_eq!(back, fact);
        }
        let Fact::Event(old) =
            Fact::from_line(&EVENT.replace("\"shop:5\"", r#"{"system": "s", "actor_id": 7}"#))
                .unwrap()
                .into_owned()
        else {
            panic!("an event");
        };
        assert_eq!(old.actor_address, "s:7");
        assert_eq!(old.extra.unwrap().as_str(), r#"{"actor_address": {"system": "s", "actor_id": 7}}"#);
    }

    #[test]
    fn a_null_target_is_neither_none_nor_empty() {
        let letter = |target: &str| {
            format!(
                r#"{{"kind": "dead_letter", "system_id": "s", "target": {target}, "message_type": "m", "payload": 1, "timestamp": 1.0}}"#
            )
        };
        for (text, expected) in [("null", None), ("\"None\"", Some("None")), ("\"\"", Some(""))] {
            let line = letter(text);
            let Fact::DeadLetter(fact) = Fact::from_line(&line).unwrap() else { panic!("a dead letter") };
            assert_eq!(fact.target.as_deref(), expected);
            assert_eq!(Fact::DeadLetter(fact).to_line(), line);
        }
    }

    #[test]
    fn refusals_say_what_and_why() {
        assert_eq!(refusal("[1]"), "not a JSON object: not an object at byte 0");
        assert_eq!(
            refusal(r#"{"kind": "evnt"}"#),
            r#"kind "evnt" is none of "event", "audit", "dead_letter""#
        );
        assert_eq!(refusal(r#"{"a": 1}"#), r#"field "kind" is missing"#);
        assert_eq!(refusal(&EVENT.replace("timestamp", "time")), r#"field "timestamp" is missing"#);
        assert_eq!(
            refusal(&EVENT.replace("1795404290.4002798", "\"soon\"")),
            r#"field "timestamp" must be a number that a float holds, not "soon""#
        );
        assert_eq!(
            refusal(&EVENT.replace("\"shop:5\"", "7")),
            r#"field "actor_address" must be an address (text, or {"system", "actor_id"}), not 7"#
        );
        assert!(refusal(&EVENT[..EVENT.len() - 9]).starts_with("not a JSON object: "));
        let long = format!("{{\"kind\": \"{}\"}}", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(refusal(&long), "longer than 16 MiB");
        assert_eq!(LineParser::default().parse(b"{\"k\xff"), Err(LineError::NotUtf8(3)));
    }

    #[test]
    fn unusual_floats_are_kept() {
        for seconds in ["NaN", "Infinity", "-Infinity", "1e+300", "-0.0", "5e-324"] {
            let line = EVENT.replace("1795404290.4002798", seconds);
            assert_eq!(Fact::from_line(&line).unwrap().to_line(), line);
        }
    }

    proptest! {
        #[test]
        fn a_fact_comes_back_from_its_line(fact in any_fact()) {
            let line = fact.to_line();
            prop_assert_eq!(line.len() as u64, fact.line_len());
            let back = Fact::from_line(&line).unwrap();
            // A line has one NaN only.
            if !fact.timestamp().seconds().is_nan() {
                prop_assert_eq!(back, fact);
            }
        }

        #[test]
        fn arbitrary_lines_never_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = LineParser::default().parse(&line);
        }
    }
}
