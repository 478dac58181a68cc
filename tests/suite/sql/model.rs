//! A store with everything in it, and what is in it as plain Rust.
//!
//! Facts of two writers and two imports, in a dozen segments and two unflushed tails. Their clocks are all that
//! Papyra's users have: seconds since boot, epoch times, and what no clock should say. The model
//! of a row is made from what was recorded, by the contract's words, not by the query layer's code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ostracon::{
    Audit, Cursor, DeadLetter, Event, Fact, Import, Json, Kind, Position, Store, Timestamp, UnixNanos,
};
use tempfile::TempDir;

pub(super) const SECOND: i64 = 1_000_000_000;
/// 2026-11-23T08:00:00Z.
pub(super) const START: i64 = 1_795_420_800 * SECOND;
/// The epoch given to one of the imports: 2026-11-20T00:00:00Z.
const EPOCH: i64 = 1_795_132_800 * SECOND;
/// 2000-01-01T00:00:00Z.
const FIRST_EPOCH: i64 = 946_684_800 * SECOND;

/// A payload, and by the contract its `error`, that one's class, and its `reason`.
pub(super) type Payload = (&'static str, Option<&'static str>, Option<&'static str>, Option<&'static str>);

pub(super) const PAYLOADS: [Payload; 24] = [
    ("{}", None, None, None),
    (
        r#"{"error": "KeyError: 'sku'", "reason": "boot"}"#,
        Some("KeyError: 'sku'"),
        Some("KeyError"),
        Some("boot"),
    ),
    (
        r#"{"reason": "KeyError: 'sku'", "error": "Boom"}"#,
        Some("Boom"),
        Some("Boom"),
        Some("KeyError: 'sku'"),
    ),
    (r#"{"error": "TimeoutError: 28.8s"}"#, Some("TimeoutError: 28.8s"), Some("TimeoutError"), None),
    (r#"{"error": null, "reason": null}"#, None, None, None),
    (r#"{"error": 1}"#, Some("1"), None, None),
    (r#"{"error": 123456789012345678901234567890}"#, Some("123456789012345678901234567890"), None, None),
    (r#"{"error": true, "reason": 1.50}"#, Some("true"), None, Some("1.50")),
    (r#"{"error": {"a":1}}"#, Some(r#"{"a":1}"#), None, None),
    (r#"{"error": {"error": "inner"}}"#, Some(r#"{"error": "inner"}"#), None, None),
    (r#"{"error": [1, 2], "reason": []}"#, Some("[1, 2]"), None, Some("[]")),
    // Of equal keys the last one counts, as in Python.
    (r#"{"error": "first", "error": "second"}"#, Some("second"), None, None),
    (r#"{"error": "first", "error": null}"#, None, None, None),
    // No objects.
    (r#""error""#, None, None, None),
    ("7", None, None, None),
    (r#"["error", "reason"]"#, None, None, None),
    ("null", None, None, None),
    // What only Python takes for JSON.
    (r#"{"error": NaN, "reason": -Infinity}"#, Some("NaN"), Some("NaN"), Some("-Infinity")),
    (r#"{"load": NaN, "error": "OSError: after it"}"#, Some("OSError: after it"), Some("OSError"), None),
    (r#"{"error": "lone \ud800 one"}"#, Some("lone \u{fffd} one"), None, None),
    (r#"{"text": "\udfff", "error": "OSError: behind"}"#, Some("OSError: behind"), Some("OSError"), None),
    (r#"{"\u0065rror": "escaped\tkey"}"#, Some("escaped\tkey"), None, None),
    (r#"{"error": "", "reason": "100%_\\"}"#, Some(""), None, Some(r"100%_\")),
    (r#"{"deep": {"error": "no"}, "errors": 1, "Error": 2}"#, None, None, None),
];

const SYSTEMS: [&str; 3] = ["shop", "bank", ""];
const TYPES: [&str; 6] =
    ["ActorStarted", "ActorStopped", "ActorRestarted", "ActorCrashed", "ActorCrashed", "Custom"];
const TARGETS: [Option<&str>; 5] = [None, Some("None"), Some(""), Some("shop:1"), Some("shop:2")];

/// A value of a row.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Value {
    Null,
    Instant(i64),
    Int(i64),
    Text(String),
}

/// A row as SQL should see it, by column.
pub(super) type Row = BTreeMap<&'static str, Value>;

pub(super) struct Everything {
    /// Reads it; has a tail of its own, and the journal of another writer beside it.
    pub(super) store: Store,
    rows: [Vec<Row>; 3],
    _other: Store,
    _folder: TempDir,
}

impl Everything {
    pub(super) fn rows(&self, kind: Kind) -> &[Row] {
        let at = Kind::ALL.iter().position(|known| *known == kind).unwrap();
        &self.rows[at]
    }

    pub(super) fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts");
        let now = Arc::new(AtomicI64::new(START));
        let open = || {
            let now = Arc::clone(&now);
            let clock = move || UnixNanos::new(now.load(Ordering::SeqCst));
            Store::builder().clock(clock).open(&path).unwrap()
        };
        let (store, other) = (open(), open());
        let mut dice = Dice(7);
        let mut known = BTreeMap::new();
        for round in 0..7 {
            for n in 0..50 {
                // Several facts have the same `recorded_at`, also in different streams.
                now.fetch_add([0, 0, 1, 40 * SECOND][dice.roll(4)], Ordering::SeqCst);
                let writer = if dice.roll(3) == 0 { &other } else { &store };
                let fact = fact(&mut dice, round, n, now.load(Ordering::SeqCst));
                let position = writer.record(fact.clone()).unwrap();
                known.insert(place(position), (position, fact, None));
            }
            // The last round stays in the tails.
            if round < 6 {
                store.flush().unwrap();
                if round % 2 == 0 {
                    other.flush().unwrap();
                }
            }
            if round == 2 {
                import(&store, &mut dice, &mut known, Some(EPOCH));
            }
            if round == 4 {
                import(&store, &mut dice, &mut known, None);
            }
        }
        let rows = Kind::ALL.map(|kind| {
            let of_kind = known.values().filter(|(_, fact, _)| fact.kind() == kind);
            of_kind.map(|(position, fact, epoch)| row(*position, fact, *epoch)).collect()
        });
        Self { store, rows, _other: other, _folder: folder }
    }
}

type Known = BTreeMap<(u32, u64), (Position, Fact<'static>, Option<i64>)>;

fn place(position: Position) -> (u32, u64) {
    (position.stream.get(), position.seq.get())
}

fn import(store: &Store, dice: &mut Dice, known: &mut Known, epoch: Option<i64>) {
    let lines: Vec<String> = (0..60).map(|n| fact(dice, [0, 3][n % 2], n, START).to_line() + "\n").collect();
    let options = Import::named("old.ndjson").again(true);
    let options = if let Some(epoch) = epoch { options.epoch(UnixNanos::new(epoch)) } else { options };
    assert_eq!(store.import(lines.concat().as_bytes(), options).unwrap().total(), 60);
    for recorded in store.after(&Cursor::start()).unwrap() {
        let recorded = recorded.unwrap();
        known.entry(place(recorded.position)).or_insert((recorded.position, recorded.fact, epoch));
    }
}

/// A fact whose clock is one of a round's.
fn fact(dice: &mut Dice, round: usize, n: usize, now: i64) -> Fact<'static> {
    let since_boot =
        [4_093.207_413_239, 12.5, 175_453.787_440_967_54, 4_093.25][dice.roll(4)] + (n / 5) as f64;
    let odd =
        [f64::NAN, 1e300, -1e300, f64::INFINITY, -5.25, 0.0, -0.0, 946_684_799.75, 946_684_800.0, 9.1e9];
    let seconds = match round {
        // Whole segments of one clock, and mixed ones.
        0 | 5 => since_boot,
        1 => (now / SECOND) as f64 - 100.0 + 0.5 * dice.roll(9) as f64,
        2 => f64::NAN,
        _ => [since_boot, (now / SECOND) as f64 - 86_400.25, odd[dice.roll(odd.len())]][dice.roll(3)],
    };
    let system = SYSTEMS[dice.roll(3)];
    match dice.roll(8) {
        0 => {
            let mut audit = Audit::new(system, seconds);
            audit.total_actors = dice.roll(20) as i64;
            audit.alive_actors = audit.total_actors / 2;
            audit.dead_letters_count = i64::MAX;
            audit.into()
        }
        1 | 2 => {
            let payload = Json::parse(PAYLOADS[dice.roll(PAYLOADS.len())].0).unwrap();
            DeadLetter::new(system, TARGETS[dice.roll(5)], TYPES[dice.roll(6)], payload, seconds).into()
        }
        _ => {
            let payload = Json::parse(PAYLOADS[dice.roll(PAYLOADS.len())].0).unwrap();
            let address = format!("{system}:{}", dice.roll(4));
            Event::new(system, address, TYPES[dice.roll(6)], payload, seconds).into()
        }
    }
}

fn row(position: Position, fact: &Fact<'_>, epoch: Option<i64>) -> Row {
    let recorded_at = position.recorded_at.get();
    let timestamp = fact.timestamp().to_nanos();
    let text = |text: &str| Value::Text(text.to_owned());
    let maybe = |text: Option<&str>| text.map_or(Value::Null, |text| Value::Text(text.to_owned()));
    let mut row = Row::from([
        ("at", Value::Instant(at(fact.timestamp(), recorded_at, epoch))),
        ("recorded_at", Value::Instant(recorded_at)),
        ("timestamp", timestamp.map_or(Value::Null, Value::Instant)),
        ("stream", Value::Int(position.stream.get().into())),
        ("seq", Value::Int(position.seq.get() as i64)),
    ]);
    match fact {
        Fact::Event(event) => {
            let (_, error, class, reason) =
                PAYLOADS.into_iter().find(|payload| payload.0 == event.payload.as_str()).unwrap();
            row.extend([
                ("system_id", text(&event.system_id)),
                ("actor_address", text(&event.actor_address)),
                ("event_type", text(&event.event_type)),
                ("payload", text(event.payload.as_str())),
                ("error", maybe(error)),
                ("error_type", maybe(class)),
                ("reason", maybe(reason)),
                ("payload->>'error'", maybe(error)),
                ("payload->>'reason'", maybe(reason)),
            ]);
        }
        Fact::Audit(audit) => row.extend([
            ("system_id", text(&audit.system_id)),
            ("total_actors", Value::Int(audit.total_actors)),
            ("alive_actors", Value::Int(audit.alive_actors)),
            ("dead_letters_count", Value::Int(audit.dead_letters_count)),
        ]),
        Fact::DeadLetter(letter) => row.extend([
            ("system_id", text(&letter.system_id)),
            ("target", maybe(letter.target.as_deref())),
            ("message_type", text(&letter.message_type)),
            ("payload", text(letter.payload.as_str())),
        ]),
        _ => unreachable!("there are three kinds"),
    }
    row
}

/// The wall time that people mean, by the contract.
fn at(timestamp: Timestamp, recorded_at: i64, epoch: Option<i64>) -> i64 {
    let nanos = timestamp.to_nanos();
    match (epoch, nanos) {
        // What is a date of its own stays one.
        (Some(epoch), Some(nanos)) if nanos < FIRST_EPOCH && epoch.checked_add(nanos).is_some() => {
            epoch + nanos
        }
        (_, Some(nanos)) if nanos >= FIRST_EPOCH => nanos,
        _ => recorded_at,
    }
}

/// The same throws on every machine.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}
