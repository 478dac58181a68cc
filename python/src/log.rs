//! Passes the library's warnings and errors to Python's `logging`.
//!
//! The library logs in threads that must not wait for the interpreter. So its warnings are stored in a queue,
//! and a Python thread fetches them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Mutex, Once};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The warnings that Python has not fetched.
static WAITING: Mutex<VecDeque<(bool, String)>> = Mutex::new(VecDeque::new());
/// The largest number of warnings in the queue.
const MOST: usize = 1_000;
/// The number of attempts to lock the queue.
const TRIES: usize = 1_000;

/// Receives the library's warnings from now on, unless another subscriber does.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The command line may have set a subscriber.
        let _ = tracing::subscriber::set_global_default(ToPython);
    });
}

/// Takes the warnings since the last call: whether each is an error, and its text.
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
        let warning = (*event.metadata().level() == Level::ERROR, line.message + &line.fields);
        // It must not wait: in a forked child, the lock may be held forever.
        for _ in 0..TRIES {
            if let Ok(mut waiting) = WAITING.try_lock() {
                if waiting.len() < MOST {
                    waiting.push_back(warning);
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
