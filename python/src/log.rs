//! What the library has to say, for Python's `logging`.
//!
//! It speaks up in threads that must not wait for the interpreter, and while nobody listens. So its warnings
//! are put down here, and a thread of Python's fetches them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, Once};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Warnings that Python has not fetched, and the largest number that is kept.
static WAITING: Mutex<VecDeque<(bool, String)>> = Mutex::new(VecDeque::new());
const MOST: usize = 1_000;
/// How often it is tried to put one down.
const TRIES: usize = 1_000;

/// Listens to the library from now on, unless another does.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The command line may listen already.
        let _ = tracing::subscriber::set_global_default(ToPython);
    });
}

/// What was said since it was last asked: whether it is an error, and the text.
#[pyfunction]
pub(crate) fn take_log() -> Vec<(bool, String)> {
    WAITING.try_lock().map(|mut waiting| waiting.drain(..).collect()).unwrap_or_default()
}

struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.target().starts_with("ostracon")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let told = (*event.metadata().level() == Level::ERROR, line.message + &line.fields);
        // Never waits: in the child of a fork the lock may be held for ever.
        for _ in 0..TRIES {
            if let Ok(mut waiting) = WAITING.try_lock() {
                if waiting.len() < MOST {
                    waiting.push_back(told);
                }
                return;
            }
            std::thread::yield_now();
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "; {name}: {value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.fields, "; {}: {value}", field.name());
    }
}
