//! Writes a fact as a line, or counts the line's bytes.

use std::borrow::Cow;

use super::super::json::{self, RawValue};
use super::super::{Fact, Json, Kind, Position, Recorded, Timestamp};
use super::nearest;

impl Fact<'_> {
    /// The fact as the JSON line that Papyra's JSON backend writes, without the line break.
    ///
    /// A line that Papyra wrote comes back byte for byte.
    pub fn to_line(&self) -> String {
        let mut line = String::with_capacity(200);
        self.put_line(&mut line);
        line
    }

    /// The size of the fact: the length of its JSON line in bytes.
    pub(crate) fn line_len(&self) -> u64 {
        let mut length = Length(0);
        self.put_line(&mut length);
        length.0 as u64
    }

    /// Fields whose column holds another value than the fact: a counter beyond 64 bits, or a timestamp
    /// that is not a number. The exact value is in `extra`, and in [`Fact::to_line`].
    ///
    /// ```
    /// use ostracon::Fact;
    /// let line = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:5", "event_type": "ActorStarted", "payload": {}, "timestamp": "soon"}"#;
    /// let fact = Fact::from_line(line)?;
    /// assert_eq!(fact.inexact_fields(), ["timestamp"]);
    /// assert_eq!(fact.to_line(), line);
    /// # Ok::<(), ostracon::Error>(())
    /// ```
    pub fn inexact_fields(&self) -> Vec<&'static str> {
        let Some(extra) = self.extra() else { return Vec::new() };
        let mut fields = Vec::new();
        for (key, value) in RawValue::trusted(extra.as_str()).members() {
            let column = columns(self.kind()).iter().copied().find(|column| key.is(column));
            fields.extend(column.filter(|column| nearest::says_more(column, value)));
        }
        fields
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
                line.finish(self.kind());
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
                line.finish(self.kind());
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
                line.finish(self.kind());
            }
        }
    }
}

impl super::super::Audit<'_> {
    /// The exact value of a counter: `column` holds the nearest value that fits an integer.
    ///
    /// Facts are never refused for a number that does not fit its column; `extra` holds it.
    pub fn given(&self, counter: &str, column: i64) -> String {
        let given = self.extra.as_ref().and_then(|extra| RawValue::trusted(extra.as_str()).get(counter));
        given.map_or_else(|| column.to_string(), |value| value.text().to_owned())
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

/// The output of a line: a string, or only a count of its bytes.
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

/// The fields that columns hold. If `extra` has such a field, it is the exact original.
const fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Event => &["system_id", "actor_address", "event_type", "payload", "timestamp"],
        Kind::Audit => &[
            "system_id",
            "timestamp",
            "total_actors",
            "alive_actors",
            "stopping_actors",
            "restarting_actors",
            "registry_size",
            "registry_orphans",
            "registry_dead",
            "dead_letters_count",
        ],
        Kind::DeadLetter => &["system_id", "target", "message_type", "payload", "timestamp"],
    }
}

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
        if !self.original(field) {
            self.raw(field, &value.to_string());
        }
    }

    fn timestamp(&mut self, timestamp: Timestamp) {
        if !self.original("timestamp") {
            self.key("timestamp");
            self.out.put_float(timestamp.seconds());
        }
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

    fn finish(self, kind: Kind) {
        if let Some(extra) = self.extra {
            for (key, value) in RawValue::trusted(extra.as_str()).members() {
                if !columns(kind).iter().any(|column| key.is(column)) {
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
