//! Group commit: recorders that wait for the disk at the same time share one `fdatasync`.
//!
//! The first recorder to arrive is the leader: it notes what was appended so far, syncs, and wakes every
//! recorder whose fact is covered. Recorders that append in the meantime wait for the next round, which
//! one of them leads.
//!
//! Woken recorders usually return at once with their next fact. If the next leader synced immediately, it
//! would sync one fact, and all others would wait for two syncs. So a leader first waits as long as facts
//! keep coming, at most a quarter of the time of the last sync, and never longer than two milliseconds.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::fact::Seq;

/// The state of the waiting recorders.
#[derive(Default)]
pub(crate) struct GroupCommit {
    round: Mutex<Round>,
    over: Condvar,
}

#[derive(Default)]
struct Round {
    /// All facts up to this one are on the disk.
    synced: Seq,
    led: bool,
    last_sync: Duration,
    /// The reason why no further sync is tried.
    failed: Option<(ErrorKind, String)>,
}

impl GroupCommit {
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that every fact up to `seq` is on the disk: its recorders need not wait.
    pub(crate) fn complete(&self, seq: Seq) {
        let mut round = self.lock();
        round.synced = round.synced.max(seq);
        drop(round);
        self.over.notify_all();
    }

    /// Waits until all facts up to `seq` are on the disk. `appended` returns the last fact that was
    /// appended so far; `sync` makes facts durable and returns the last durable one.
    pub(crate) fn wait(
        &self,
        seq: Seq,
        appended: impl Fn() -> Seq,
        sync: impl FnOnce() -> Result<Seq>,
    ) -> Result<()> {
        let mut round = self.lock();
        loop {
            match &round.failed {
                // No sync has failed: the error is returned as it is.
                Some((kind @ (ErrorKind::Moved | ErrorKind::Poisoned | ErrorKind::Contended), why)) => {
                    return Err(Error::new(*kind, why.clone()));
                }
                Some((_, why)) => return Err(poisoned(why)),
                None => {}
            }
            if round.synced >= seq {
                return Ok(());
            }
            if !round.led {
                break;
            }
            round = self.over.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        round.led = true;
        let patience = (round.last_sync / 4).min(Duration::from_millis(2));
        drop(round);

        give_way(patience, appended);
        let begun = Instant::now();
        let result = sync();

        let mut round = self.lock();
        round.led = false;
        round.last_sync = begun.elapsed();
        let result = match result {
            Ok(synced) => {
                round.synced = round.synced.max(synced);
                Ok(())
            }
            Err(error) => {
                round.failed = Some((error.kind(), error.to_string()));
                Err(error)
            }
        };
        drop(round);
        self.over.notify_all();
        result
    }
}

/// Lets other recorders append first, while facts keep coming.
fn give_way(patience: Duration, appended: impl Fn() -> Seq) {
    let begun = Instant::now();
    let mut before = appended();
    let mut quiet = 0;
    while quiet < 3 && begun.elapsed() < patience {
        std::thread::yield_now();
        let now = appended();
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
}

/// The error of every recorder after a sync has failed.
pub(crate) fn poisoned(why: &str) -> Error {
    Error::new(
        ErrorKind::Poisoned,
        format!("the journal cannot be trusted, because a sync failed ({why}); open the store again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_hears_what_the_leader_heard() {
        for kind in [ErrorKind::Moved, ErrorKind::Poisoned] {
            let group = GroupCommit::default();
            let lead = || Err(Error::new(kind, "the store is elsewhere"));
            group.wait(Seq(1), || Seq(1), lead).unwrap_err();
            let heard = group.wait(Seq(1), || Seq(1), || Ok(Seq(1))).unwrap_err();
            assert_eq!((heard.kind(), heard.to_string().as_str()), (kind, "the store is elsewhere"));
        }
        let group = GroupCommit::default();
        group.wait(Seq(1), || Seq(1), || Err(Error::new(ErrorKind::Io, "no disk"))).unwrap_err();
        let heard = group.wait(Seq(1), || Seq(1), || Ok(Seq(1))).unwrap_err();
        assert_eq!(heard.kind(), ErrorKind::Poisoned);
        assert!(heard.to_string().contains("a sync failed (no disk)"), "{heard}");
    }
}
