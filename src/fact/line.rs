//! A fact as one line of JSON, in the form in which Papyra's JSON backend writes it: `{"kind": "event",
//! "system_id": "shop", …}`.
//!
//! Data beyond the columns is not dropped: unknown fields, text with a lone surrogate (which UTF-8 cannot
//! hold), an address in the old object form, a counter beyond 64 bits, a timestamp that is not a number.
//! They go into `extra`, a JSON object of field → original value, and return from there to the line. The
//! column holds the nearest value that it can ([`nearest`]).

mod nearest;
mod read;
mod write;

use std::fmt;

pub(crate) use read::LineParser;
pub use read::is_blank;

use super::json::JsonError;

/// The byte-order mark that some editors and spreadsheets put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The most bytes of a line: 16 MiB. A longer line is refused.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// Why a line is not a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// The line is longer than 16 MiB.
    TooLong,
    /// The line is not UTF-8; the number is the first wrong byte.
    NotUtf8(usize),
    /// The line is not one JSON object; the text says where and why.
    NotJson(String),
    /// The named field is missing.
    Missing(&'static str),
    /// The `kind` is not one of the three.
    UnknownKind(String),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {} MiB", MAX_LINE_BYTES >> 20),
            Self::NotUtf8(at) => write!(f, "not UTF-8 at byte {at}"),
            Self::NotJson(why) => write!(f, "not a JSON object: {why}"),
            Self::Missing(field) => write!(f, "field \"{field}\" is missing"),
            Self::UnknownKind(kind) => {
                write!(f, "kind {kind} is not one of \"event\", \"audit\", \"dead_letter\"")
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

#[cfg(test)]
mod tests {
    use super::super::codec::tests::any_fact;
    use super::super::{Fact, Json};
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"kind": "event", "system_id": "shop", "actor_address": "shop:5", "event_type": "ActorCrashed", "payload": {"error": "KeyError: 'a'", "reason": "x"}, "timestamp": 1795404290.4002798}"#;

    fn refusal(line: &str) -> String {
        LineParser::default().parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn papyras_lines_come_back_byte_for_byte() {
        let sample = include_str!("../../cli/data/sample.ndjson");
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
    fn a_fact_is_not_refused_for_a_value_that_no_column_holds() {
        let audit = r#"{"kind": "audit", "system_id": "s", "timestamp": 1.0, "total_actors": 3, "alive_actors": 2, "stopping_actors": 0, "restarting_actors": 0, "registry_size": 4, "registry_orphans": [], "registry_dead": ["x"], "dead_letters_count": 5}"#;
        for (line, from, to, more) in [
            (audit, "\"total_actors\": 3", "\"total_actors\": 36893488147419103232", true),
            (audit, "\"dead_letters_count\": 5", "\"dead_letters_count\": 2.5", true),
            (audit, "\"registry_size\": 4", "\"registry_size\": null", true),
            (audit, "\"registry_dead\": [\"x\"]", "\"registry_dead\": \"x\"", true),
            (audit, "\"registry_dead\": [\"x\"]", "\"registry_dead\": [7]", false),
            (EVENT, "1795404290.4002798", "\"soon\"", true),
            (EVENT, "1795404290.4002798", "1e999", true),
            (EVENT, "1795404290.4002798", "null", true),
            (EVENT, "\"shop:5\"", "7", true),
            (EVENT, "\"shop:5\"", "null", true),
            (EVENT, "\"shop:5\"", r#"{"system": "shop", "actor_id": 5}"#, false),
            (EVENT, "\"ActorCrashed\"", "[\"Actor\", 7]", true),
            (EVENT, "\"system_id\": \"shop\"", "\"system_id\": false", true),
        ] {
            assert!(line.contains(from));
            let line = line.replace(from, to);
            let fact = Fact::from_line(&line).unwrap();
            assert_eq!(fact.to_line(), line, "the exact value comes back");
            assert_eq!(fact.line_len(), line.len() as u64);
            assert_eq!(fact.inexact_fields().len(), usize::from(more), "{line}");
            assert!(Json::parse(fact.extra().unwrap().as_str()).is_ok());
        }
        assert!(Fact::from_line(EVENT).unwrap().inexact_fields().is_empty());
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
            r#"kind "evnt" is not one of "event", "audit", "dead_letter""#
        );
        assert_eq!(refusal(r#"{"a": 1}"#), r#"field "kind" is missing"#);
        assert_eq!(refusal(&EVENT.replace("timestamp", "time")), r#"field "timestamp" is missing"#);
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
