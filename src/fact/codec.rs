//! A fact as bytes: the body of its journal frame.
//!
//! ```text
//! body   = kind u8 | timestamp f64 | system_id text | extra text? | fields
//! event  = actor_address text | event_type text | payload text
//! audit  = 6 × i64 | orphans list | dead list
//! letter = target text? | message_type text | payload text
//! text   = length u32 | UTF-8        text? = length u32, u32::MAX for none | UTF-8
//! list   = count u32 | text …
//! ```
//! All numbers are little-endian. The frame's checksum was verified before this module reads it; still,
//! every length is checked against the remaining bytes.

use std::borrow::Cow;

use super::{Audit, DeadLetter, Event, Fact, Json, Kind, Timestamp};

const NONE: u32 = u32::MAX;

const fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Event => 1,
        Kind::Audit => 2,
        Kind::DeadLetter => 3,
    }
}

/// The kind of the fact that begins with these bytes.
pub(crate) fn kind_of(body: &[u8]) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| body.first() == Some(&code(*kind)))
}

/// Appends the fact's bytes to `out`.
pub(crate) fn encode(fact: &Fact<'_>, out: &mut Vec<u8>) {
    let mut head = |kind, timestamp: Timestamp, system_id: &str, extra: &Option<Json<'_>>| {
        out.push(code(kind));
        out.extend_from_slice(&timestamp.seconds().to_bits().to_le_bytes());
        put_text(out, system_id);
        put_optional(out, extra.as_ref().map(Json::as_str));
    };
    match fact {
        Fact::Event(event) => {
            head(Kind::Event, event.timestamp, &event.system_id, &event.extra);
            put_text(out, &event.actor_address);
            put_text(out, &event.event_type);
            put_text(out, event.payload.as_str());
        }
        Fact::Audit(audit) => {
            head(Kind::Audit, audit.timestamp, &audit.system_id, &audit.extra);
            for counter in [
                audit.total_actors,
                audit.alive_actors,
                audit.stopping_actors,
                audit.restarting_actors,
                audit.registry_size,
                audit.dead_letters_count,
            ] {
                out.extend_from_slice(&counter.to_le_bytes());
            }
            put_list(out, &audit.registry_orphans);
            put_list(out, &audit.registry_dead);
        }
        Fact::DeadLetter(letter) => {
            head(Kind::DeadLetter, letter.timestamp, &letter.system_id, &letter.extra);
            put_optional(out, letter.target.as_deref());
            put_text(out, &letter.message_type);
            put_text(out, letter.payload.as_str());
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.extend_from_slice(&NONE.to_le_bytes()),
    }
}

fn put_list(out: &mut Vec<u8>, list: &[Cow<'_, str>]) {
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    for text in list {
        put_text(out, text);
    }
}

/// Decodes a fact; `None` if the bytes are not a fact.
pub(crate) fn decode(body: &[u8]) -> Option<Fact<'_>> {
    let kind = kind_of(body)?;
    let mut rest = Reader(body.get(1..)?);
    let timestamp = Timestamp::from_seconds(f64::from_bits(u64::from_le_bytes(rest.array()?)));
    let system_id = rest.text()?;
    let extra = rest.optional()?.map(Json::trusted);
    let fact = match kind {
        Kind::Event => Fact::Event(Event {
            system_id,
            timestamp,
            extra,
            actor_address: rest.text()?,
            event_type: rest.text()?,
            payload: Json::trusted(rest.text()?),
        }),
        Kind::Audit => Fact::Audit(Audit {
            system_id,
            timestamp,
            extra,
            total_actors: rest.counter()?,
            alive_actors: rest.counter()?,
            stopping_actors: rest.counter()?,
            restarting_actors: rest.counter()?,
            registry_size: rest.counter()?,
            dead_letters_count: rest.counter()?,
            registry_orphans: rest.list()?,
            registry_dead: rest.list()?,
        }),
        Kind::DeadLetter => Fact::DeadLetter(DeadLetter {
            system_id,
            timestamp,
            extra,
            target: rest.optional()?,
            message_type: rest.text()?,
            payload: Json::trusted(rest.text()?),
        }),
    };
    rest.0.is_empty().then_some(fact)
}

/// The remaining bytes to decode.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn counter(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn text_of(&mut self, length: u32) -> Option<Cow<'a, str>> {
        let bytes = self.take(length as usize)?;
        std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let length = self.length()?;
        self.text_of(length)
    }

    fn optional(&mut self) -> Option<Option<Cow<'a, str>>> {
        match self.length()? {
            NONE => Some(None),
            length => self.text_of(length).map(Some),
        }
    }

    fn list(&mut self) -> Option<Vec<Cow<'a, str>>> {
        // Not `with_capacity(count)`: the count is trusted only as far as texts follow.
        (0..self.length()?).map(|_| self.text()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Facts of every kind, with any text and any floats.
    pub(crate) fn any_fact() -> impl Strategy<Value = Fact<'static>> {
        let text = || "(\\PC|\n|\"|\\\\|\u{0}){0,12}".prop_map(Cow::<'static, str>::Owned);
        let payload = || {
            prop_oneof![
                Just("{}".to_owned()),
                Just(r#"{"error": "KeyError: 'x'", "reason": null}"#.to_owned()),
                Just(r#"{"big": 123456789012345678901234567890, "f": NaN, "s": "\ud800"}"#.to_owned()),
                Just("null".to_owned()),
                "[a-z ]{0,9}".prop_map(|s| format!("{s:?}")),
            ]
            .prop_map(|text| Json::trusted(Cow::Owned(text)))
        };
        let stamp = || any::<u64>().prop_map(|bits| Timestamp::from_seconds(f64::from_bits(bits)));
        let extra = || {
            prop_oneof![
                4 => Just(None),
                1 => Just(Some(Json::trusted(Cow::Borrowed(r#"{"node": "n1", "v": [1, 2]}"#)))),
            ]
        };
        prop_oneof![
            (text(), text(), text(), payload(), stamp(), extra()).prop_map(|(s, a, t, p, at, extra)| {
                Fact::Event(Event { extra, ..Event::new(s, a, t, p, at) })
            }),
            (text(), any::<[i64; 6]>(), prop::collection::vec(text(), 0..3), stamp(), extra()).prop_map(
                |(s, n, list, at, extra)| {
                    let [total_actors, alive_actors, stopping_actors, restarting_actors, registry_size, dead] = n;
                    Fact::Audit(Audit {
                        total_actors,
                        alive_actors,
                        stopping_actors,
                        restarting_actors,
                        registry_size,
                        dead_letters_count: dead,
                        registry_dead: list.iter().rev().cloned().collect(),
                        registry_orphans: list,
                        extra,
                        ..Audit::new(s, at)
                    })
                }
            ),
            (text(), prop::option::of(text()), text(), payload(), stamp(), extra()).prop_map(
                |(s, target, t, p, at, extra)| {
                    Fact::DeadLetter(DeadLetter { extra, ..DeadLetter::new(s, target, t, p, at) })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_fact_comes_back_from_its_bytes(fact in any_fact()) {
            let mut bytes = Vec::new();
            encode(&fact, &mut bytes);
            prop_assert_eq!(kind_of(&bytes), Some(fact.kind()));
            prop_assert_eq!(decode(&bytes), Some(fact));
        }

        #[test]
        fn cut_or_lengthened_bytes_are_no_fact(fact in any_fact(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&fact, &mut bytes);
            prop_assert_eq!(decode(bytes.get(..cut.index(bytes.len())).unwrap_or_default()), None);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
