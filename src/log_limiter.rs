//! Limits the log: a repeated event is logged once a minute, with the number of repetitions.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_mins(1);

/// Decides when a repeated event gets a line in the log.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    logged: Option<Instant>,
    times: u64,
}

impl LogLimiter {
    /// Counts the event. Returns how often it happened since the last line, if a line is due.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.times += 1;
        if counted.logged.is_some_and(|logged| now.saturating_duration_since(logged) < PAUSE) {
            return None;
        }
        counted.logged = Some(now);
        Some(std::mem::take(&mut counted.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_logged_and_the_others_are_counted() {
        let (seldom, start) = (LogLimiter::default(), Instant::now());
        assert_eq!(seldom.due_at(start), Some(1));
        for second in 1..60 {
            assert_eq!(seldom.due_at(start + Duration::from_secs(second)), None);
        }
        assert_eq!(seldom.due_at(start + PAUSE), Some(60));
        assert_eq!(seldom.due_at(start + PAUSE), None);
    }
}
