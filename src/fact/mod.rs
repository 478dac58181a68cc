//! Facts: what an actor system lets the world observe, and the forms they take.
//!
//! A fact is an [`Event`], an [`Audit`] or a [`DeadLetter`]. It is text when it comes
//! (`line`: one JSON object as Papyra writes it), bytes in the journal ([`codec`]) and a
//! row in a segment ([`columns`]); each form gives back exactly the fact that went in.
//!
//! Strings borrow where they can (`Cow`), so that recording a fact copies it once: into its
//! journal frame.

pub(crate) mod codec;
pub(crate) mod columns;
pub(crate) mod json;
mod line;
mod position;
mod timestamp;

use std::borrow::Cow;
use std::fmt;

pub use line::LineError;
pub(crate) use line::LineParser;
pub use line::{MAX_LINE_BYTES, is_blank};
pub use position::{FactId, Position, Recorded, Seq, StreamId};
pub(crate) use timestamp::{FIRST_EPOCH_NANOS, wall_time};
pub use timestamp::{Timestamp, UnixNanos};

use crate::error::{Error, ErrorKind, Result};

/// Which of the three kinds a fact is of. Each kind is one SQL table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Something happened to an actor: it started, crashed, restarted, stopped.
    Event,
    /// A snapshot of the whole actor system's counters.
    Audit,
    /// A message that reached nobody.
    DeadLetter,
}

impl Kind {
    /// All kinds, in the order in which they are listed everywhere.
    pub const ALL: [Self; 3] = [Self::Event, Self::Audit, Self::DeadLetter];

    /// The kind's SQL table and its folder in the store: `events`, `audits`, `dead_letters`.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Audit => "audits",
            Self::DeadLetter => "dead_letters",
        }
    }

    /// The `kind` of a JSON line: `event`, `audit`, `dead_letter`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Audit => "audit",
            Self::DeadLetter => "dead_letter",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Event => 0,
            Self::Audit => 1,
            Self::DeadLetter => 2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table())
    }
}

/// Well-formed JSON text, kept as it was given: key order, digits of numbers, escapes.
///
/// It is JSON as Python reads and writes it: `NaN` and `Infinity` are values, integers have
/// any size, `"\ud800"` is a string.
///
/// ```
/// use ostracon::Json;
/// let payload = Json::parse(r#"{"error": "KeyError: 'sku'", "tries": 3}"#)?;
/// assert_eq!(payload.as_str(), r#"{"error": "KeyError: 'sku'", "tries": 3}"#);
/// assert!(Json::parse("{'error': 1}").is_err());
/// # Ok::<(), ostracon::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// Checks that `text` is one JSON value, and keeps it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidFact`], naming the byte at which it stops being JSON.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self> {
        let text = text.into();
        match json::RawValue::parse(&text) {
            Ok(value) if value.text().len() == text.len() => Ok(Self(text)),
            Ok(value) => Ok(Self(Cow::Owned(value.text().to_owned()))),
            Err(error) => Err(Error::with_source(ErrorKind::InvalidFact, "this is not JSON", error)),
        }
    }

    /// A JSON string of this text.
    pub fn string(text: &str) -> Self {
        let mut out = String::with_capacity(text.len() + 2);
        json::write_str(&mut out, text);
        Self(Cow::Owned(out))
    }

    /// The JSON value `{}`.
    pub const fn empty_object() -> Self {
        Self(Cow::Borrowed("{}"))
    }

    /// The JSON value `null`.
    pub const fn null() -> Self {
        Self(Cow::Borrowed("null"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Trusts that the text was checked before it was written to where it comes from.
    pub(crate) const fn trusted(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    /// The value of a key as SQL's `->>` gives it: a string's text, any other value's JSON text,
    /// nothing for `null` or a key that is not there. The last of equal keys counts, as in Python.
    pub(crate) fn text_of(&self, key: &str) -> Option<Cow<'_, str>> {
        json::RawValue::trusted(&self.0).get(key)?.to_text()
    }

    fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

/// Something that happened to an actor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The actor system that tells it.
    pub system_id: Cow<'a, str>,
    /// The actor it happened to; `"system:5"` by custom, but any text is an address.
    pub actor_address: Cow<'a, str>,
    /// `ActorStarted`, `ActorCrashed`, …; other types are welcome.
    pub event_type: Cow<'a, str>,
    /// Details, `{}` if there are none.
    pub payload: Json<'a>,
    /// When it happened, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Fields of its JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> Event<'a> {
    /// An event without extra fields.
    pub fn new(
        system_id: impl Into<Cow<'a, str>>,
        actor_address: impl Into<Cow<'a, str>>,
        event_type: impl Into<Cow<'a, str>>,
        payload: Json<'a>,
        timestamp: impl Into<Timestamp>,
    ) -> Self {
        Self {
            system_id: system_id.into(),
            actor_address: actor_address.into(),
            event_type: event_type.into(),
            payload,
            timestamp: timestamp.into(),
            extra: None,
        }
    }
}

/// A snapshot of the counters of a whole actor system.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct Audit<'a> {
    /// The actor system that tells it.
    pub system_id: Cow<'a, str>,
    /// When it was taken, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Actors known.
    pub total_actors: i64,
    /// Of these, alive.
    pub alive_actors: i64,
    /// Of these, stopping.
    pub stopping_actors: i64,
    /// Of these, restarting.
    pub restarting_actors: i64,
    /// Entries in the registry of names.
    pub registry_size: i64,
    /// Names whose actor is unknown.
    pub registry_orphans: Vec<Cow<'a, str>>,
    /// Names whose actor is dead.
    pub registry_dead: Vec<Cow<'a, str>>,
    /// Dead letters so far.
    pub dead_letters_count: i64,
    /// Fields of its JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> Audit<'a> {
    /// An audit with every counter zero, to be filled in.
    pub fn new(system_id: impl Into<Cow<'a, str>>, timestamp: impl Into<Timestamp>) -> Self {
        Self { system_id: system_id.into(), timestamp: timestamp.into(), ..Self::default() }
    }
}

/// A message that reached nobody.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter<'a> {
    /// The actor system that tells it.
    pub system_id: Cow<'a, str>,
    /// Whom it was meant for, if that is known.
    pub target: Option<Cow<'a, str>>,
    /// The message's type.
    pub message_type: Cow<'a, str>,
    /// The message itself.
    pub payload: Json<'a>,
    /// When it was given up, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Fields of its JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> DeadLetter<'a> {
    /// A dead letter without extra fields.
    pub fn new(
        system_id: impl Into<Cow<'a, str>>,
        target: Option<impl Into<Cow<'a, str>>>,
        message_type: impl Into<Cow<'a, str>>,
        payload: Json<'a>,
        timestamp: impl Into<Timestamp>,
    ) -> Self {
        Self {
            system_id: system_id.into(),
            target: target.map(Into::into),
            message_type: message_type.into(),
            payload,
            timestamp: timestamp.into(),
            extra: None,
        }
    }
}

/// One immutable fact of any kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// An event.
    Event(Event<'a>),
    /// An audit.
    Audit(Audit<'a>),
    /// A dead letter.
    DeadLetter(DeadLetter<'a>),
}

impl Fact<'_> {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Event(_) => Kind::Event,
            Self::Audit(_) => Kind::Audit,
            Self::DeadLetter(_) => Kind::DeadLetter,
        }
    }

    /// When it happened, by the actor system's clock.
    pub const fn timestamp(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.timestamp,
            Self::Audit(audit) => audit.timestamp,
            Self::DeadLetter(letter) => letter.timestamp,
        }
    }

    /// Fields of its JSON line that no column holds exactly.
    pub const fn extra(&self) -> Option<&Json<'_>> {
        match self {
            Self::Event(event) => event.extra.as_ref(),
            Self::Audit(audit) => audit.extra.as_ref(),
            Self::DeadLetter(letter) => letter.extra.as_ref(),
        }
    }

    /// The same fact, owning its text.
    pub fn into_owned(self) -> Fact<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Self::Event(e) => Fact::Event(Event {
                system_id: own(e.system_id),
                actor_address: own(e.actor_address),
                event_type: own(e.event_type),
                payload: e.payload.into_owned(),
                timestamp: e.timestamp,
                extra: e.extra.map(Json::into_owned),
            }),
            Self::Audit(a) => Fact::Audit(Audit {
                system_id: own(a.system_id),
                registry_orphans: a.registry_orphans.into_iter().map(own).collect(),
                registry_dead: a.registry_dead.into_iter().map(own).collect(),
                extra: a.extra.map(Json::into_owned),
                ..a
            }),
            Self::DeadLetter(d) => Fact::DeadLetter(DeadLetter {
                system_id: own(d.system_id),
                target: d.target.map(own),
                message_type: own(d.message_type),
                payload: d.payload.into_owned(),
                timestamp: d.timestamp,
                extra: d.extra.map(Json::into_owned),
            }),
        }
    }
}

impl<'a> From<Event<'a>> for Fact<'a> {
    fn from(event: Event<'a>) -> Self {
        Self::Event(event)
    }
}

impl<'a> From<Audit<'a>> for Fact<'a> {
    fn from(audit: Audit<'a>) -> Self {
        Self::Audit(audit)
    }
}

impl<'a> From<DeadLetter<'a>> for Fact<'a> {
    fn from(letter: DeadLetter<'a>) -> Self {
        Self::DeadLetter(letter)
    }
}
