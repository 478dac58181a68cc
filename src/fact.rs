//! Facts: the observable data of an actor system, and the forms they take.
//!
//! A fact is an [`Event`], an [`Audit`] or a [`DeadLetter`]. It arrives as text (`line`: one JSON object
//! as Papyra writes it), is bytes in the journal ([`codec`]) and a row in a segment ([`columns`]). Each
//! form returns exactly the fact that went in.
//!
//! Strings are borrowed where possible (`Cow`), so that recording copies a fact only once: into its
//! journal frame.

pub(crate) mod codec;
pub(crate) mod columns;
pub(crate) mod json;
mod line;
mod per_kind;
mod position;
mod timestamp;

use std::borrow::Cow;
use std::fmt;

pub use line::LineError;
pub(crate) use line::LineParser;
pub use line::{MAX_LINE_BYTES, is_blank};
pub(crate) use per_kind::PerKind;
pub use position::{FactId, Position, Recorded, Seq, StreamId};
pub(crate) use timestamp::{FIRST_EPOCH_NANOS, wall_time};
pub use timestamp::{Timestamp, UnixNanos};

use crate::error::{Error, ErrorKind, Result};

/// The kind of a fact. Each kind is one SQL table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// An event of an actor: it started, crashed, restarted or stopped.
    Event,
    /// A snapshot of the whole actor system's counters.
    Audit,
    /// A message that no actor received.
    DeadLetter,
}

impl Kind {
    /// All kinds, in the order in which they are always listed.
    pub const ALL: [Self; 3] = [Self::Event, Self::Audit, Self::DeadLetter];

    /// The kind's SQL table: `events`, `audits`, `dead_letters`.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Audit => "audits",
            Self::DeadLetter => "dead_letters",
        }
    }

    /// The folder of the kind's segments, below the root of the store.
    pub(crate) const fn folder(self) -> &'static str {
        self.table()
    }

    /// The kind of the segments in the folder of this path, which is relative to the root of the store.
    pub(crate) fn of_segment(path: &str) -> Option<Self> {
        let (folder, _) = path.split_once('/')?;
        Self::ALL.into_iter().find(|kind| kind.folder() == folder)
    }

    /// The `kind` of a JSON line: `event`, `audit`, `dead_letter`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Audit => "audit",
            Self::DeadLetter => "dead_letter",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table())
    }
}

/// Well-formed JSON text, kept unchanged: key order, digits of numbers, escapes.
///
/// This is JSON as Python reads and writes it: `NaN` and `Infinity` are values, integers have any size,
/// `"\ud800"` is a string.
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
    /// [`ErrorKind::InvalidFact`], with the first byte that is not JSON.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self> {
        let text = text.into();
        match json::RawValue::parse(&text) {
            Ok(value) if value.text().len() == text.len() => Ok(Self(text)),
            Ok(value) => Ok(Self(Cow::Owned(value.text().to_owned()))),
            Err(error) => Err(Error::with_source(ErrorKind::InvalidFact, "this is not JSON", error)),
        }
    }

    /// Makes a JSON string of this text.
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

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Wraps text that was checked before it was stored.
    pub(crate) const fn trusted(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    /// The value of a key as SQL's `->>` returns it: a string's text, any other value's JSON text,
    /// nothing for `null` or a missing key. The last of equal keys counts, as in Python.
    pub(crate) fn text_of(&self, key: &str) -> Option<Cow<'_, str>> {
        json::RawValue::trusted(&self.0).get(key)?.to_text()
    }

    fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

/// An event of an actor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The actor system that reported the event.
    pub system_id: Cow<'a, str>,
    /// The actor of the event; by custom `"system:5"`, but any text is an address.
    pub actor_address: Cow<'a, str>,
    /// The event's type: `ActorStarted`, `ActorCrashed`, …; other types are allowed.
    pub event_type: Cow<'a, str>,
    /// Details of the event, `{}` if there are none.
    pub payload: Json<'a>,
    /// When the event happened, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Fields of the fact's JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> Event<'a> {
    /// Makes an event without extra fields.
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
    /// The actor system that reported the audit.
    pub system_id: Cow<'a, str>,
    /// When the audit was taken, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Actors that the system knew at the audit.
    pub total_actors: i64,
    /// Actors that were alive at the audit.
    pub alive_actors: i64,
    /// Actors that were stopping at the audit.
    pub stopping_actors: i64,
    /// Actors that were restarting at the audit.
    pub restarting_actors: i64,
    /// Entries in the registry of names.
    pub registry_size: i64,
    /// Names in the registry whose actor is unknown.
    pub registry_orphans: Vec<Cow<'a, str>>,
    /// Names in the registry whose actor is dead.
    pub registry_dead: Vec<Cow<'a, str>>,
    /// Dead letters that the system counted up to the audit.
    pub dead_letters_count: i64,
    /// Fields of the fact's JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> Audit<'a> {
    /// Makes an audit with every counter zero, to be filled in.
    pub fn new(system_id: impl Into<Cow<'a, str>>, timestamp: impl Into<Timestamp>) -> Self {
        Self { system_id: system_id.into(), timestamp: timestamp.into(), ..Self::default() }
    }
}

/// A message that no actor received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadLetter<'a> {
    /// The actor system that reported the dead letter.
    pub system_id: Cow<'a, str>,
    /// The intended receiver of the message, if it is known.
    pub target: Option<Cow<'a, str>>,
    /// The message's type.
    pub message_type: Cow<'a, str>,
    /// The content of the message.
    pub payload: Json<'a>,
    /// When delivery was given up, by the actor system's clock.
    pub timestamp: Timestamp,
    /// Fields of the fact's JSON line that no column holds exactly, as a JSON object.
    pub extra: Option<Json<'a>>,
}

impl<'a> DeadLetter<'a> {
    /// Makes a dead letter without extra fields.
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
    /// The fact's kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Event(_) => Kind::Event,
            Self::Audit(_) => Kind::Audit,
            Self::DeadLetter(_) => Kind::DeadLetter,
        }
    }

    /// When the fact happened, by the actor system's clock.
    pub const fn timestamp(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.timestamp,
            Self::Audit(audit) => audit.timestamp,
            Self::DeadLetter(letter) => letter.timestamp,
        }
    }

    /// Fields of the fact's JSON line that no column holds exactly.
    pub const fn extra(&self) -> Option<&Json<'_>> {
        match self {
            Self::Event(event) => event.extra.as_ref(),
            Self::Audit(audit) => audit.extra.as_ref(),
            Self::DeadLetter(letter) => letter.extra.as_ref(),
        }
    }

    /// Turns the fact into one that owns its text.
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
