//! The persistence backend's contract: what an actor system may rely on, without SQL.

use std::sync::Arc;

use ostracon::{
    Audit, DeadLetter, ErrorKind, Event, Json, PersistenceBackend, QueryOptions, RecoveryConfig,
    RecoveryMode, Store,
};
use proptest::prelude::*;

use super::run;

fn event(n: u64) -> Event<'static> {
    Event::new("shop", format!("shop:{n}"), "ActorStarted", Json::empty_object(), n as f64)
}

fn letter(n: u64) -> DeadLetter<'static> {
    DeadLetter::new("shop", None::<&str>, format!("Order{n}"), Json::null(), n as f64)
}

fn audit(n: u64) -> Audit<'static> {
    let mut audit = Audit::new("shop", n as f64);
    audit.total_actors = n as i64;
    audit
}

fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("facts")).unwrap();
    (folder, store)
}

/// Asks as an actor system does: through the trait alone.
async fn addresses(
    backend: &impl PersistenceBackend,
    limit: Option<usize>,
    since: Option<f64>,
) -> Vec<String> {
    let events = backend.list_events(limit, since).await.unwrap();
    events.into_iter().map(|found| found.fact.actor_address.into_owned()).collect()
}

#[test]
fn every_kind_comes_back_in_the_order_of_recording() {
    let (_folder, store) = open();
    let backend = Arc::new(store);
    run(async {
        for n in 1..=9 {
            backend.record_event(event(n)).await;
            backend.record_audit(audit(n)).await;
            backend.record_dead_letter(letter(n)).await;
            if n == 4 {
                backend.flush().unwrap();
            }
        }
        let events = backend.list_events(None, None).await.unwrap();
        assert_eq!(
            events.iter().map(|found| found.fact.clone()).collect::<Vec<_>>(),
            (1..=9).map(event).collect::<Vec<_>>()
        );
        assert_eq!(
            events.iter().map(|found| found.position.seq.get()).collect::<Vec<_>>(),
            [1, 4, 7, 10, 13, 16, 19, 22, 25]
        );
        let audits = backend.list_audits(Some(2), None).await.unwrap();
        assert_eq!(audits.into_iter().map(|found| found.fact).collect::<Vec<_>>(), [audit(8), audit(9)]);
        let letters = backend.list_dead_letters(None, Some(7.0)).await.unwrap();
        assert_eq!(
            letters.into_iter().map(|found| found.fact).collect::<Vec<_>>(),
            [letter(7), letter(8), letter(9)]
        );
    });
}

#[test]
fn a_limit_keeps_the_newest_and_since_counts_first() {
    let (_folder, store) = open();
    run(async {
        // A clock that begins again, as the event loop's does with every run.
        for seconds in [5.0, 6.0, 7.0, 1.0, 2.0, f64::NAN, 6.5, 3.0] {
            store.record_event(Event::new("s", format!("{seconds}"), "t", Json::null(), seconds)).await;
            if seconds == 1.0 {
                store.flush().unwrap();
            }
        }
        assert_eq!(addresses(&store, None, None).await, ["5", "6", "7", "1", "2", "NaN", "6.5", "3"]);
        assert_eq!(addresses(&store, Some(3), None).await, ["NaN", "6.5", "3"]);
        assert_eq!(addresses(&store, None, Some(6.0)).await, ["6", "7", "6.5"]);
        assert_eq!(addresses(&store, Some(2), Some(6.0)).await, ["7", "6.5"]);
        assert_eq!(addresses(&store, Some(0), None).await, [""; 0]);
        assert_eq!(addresses(&store, Some(0), Some(0.0)).await, [""; 0]);
        assert_eq!(addresses(&store, Some(usize::MAX), Some(f64::NEG_INFINITY)).await.len(), 7);
        assert_eq!(addresses(&store, None, Some(f64::NAN)).await, [""; 0]);
        assert_eq!(addresses(&store, None, Some(1e300)).await, [""; 0]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn lists_agree_with_a_plain_vector(
        recorded in prop::collection::vec((prop_oneof![0.0..20.0_f64, Just(f64::NAN), Just(1e300), Just(-3.0)], 0..6_u8), 0..60),
        asked in prop::collection::vec((prop::option::of(0..30_usize), prop::option::of(-1.0..21.0_f64)), 6),
    ) {
        let (_folder, store) = open();
        let mut model = Vec::new();
        for (n, (seconds, what)) in recorded.into_iter().enumerate() {
            if what == 0 {
                store.flush().unwrap();
            } else if what == 1 {
                store.record(letter(n as u64)).unwrap();
            } else {
                store.record(Event::new("s", n.to_string(), "t", Json::null(), seconds)).unwrap();
                model.push((n.to_string(), seconds));
            }
        }
        for (limit, since) in asked {
            let matching: Vec<_> =
                model.iter().filter(|(_, seconds)| since.is_none_or(|since| *seconds >= since)).map(|(name, _)| name.clone()).collect();
            let newest = matching[matching.len().saturating_sub(limit.unwrap_or(usize::MAX))..].to_vec();
            prop_assert_eq!(run(addresses(&store, limit, since)), newest);
        }
    }
}

#[test]
fn recording_never_fails_and_counts_what_was_lost() {
    let (_folder, store) = open();
    run(async {
        store.record_event(event(1)).await;
        let written = store.metrics();
        assert_eq!((written.records_written, written.write_errors), (1, 0));
        assert!(written.bytes_written > 0);
        // Larger than any fact may be.
        let huge = Json::string(&"x".repeat(18 << 20));
        store.record_event(Event::new("s", "a", "t", huge, 1.0)).await;
        assert_eq!((store.metrics().records_written, store.metrics().write_errors), (1, 1));

        PersistenceBackend::close(&store).await.unwrap();
        PersistenceBackend::close(&store).await.unwrap();
        store.record_event(event(2)).await;
        store.record_audit(audit(2)).await;
        store.record_dead_letter(letter(2)).await;
        let after = store.metrics();
        assert_eq!((after.records_written, after.write_errors), (1, 4));
        assert_eq!(after.bytes_written, written.bytes_written);
        // Reading goes on.
        assert_eq!(addresses(&store, None, None).await, ["shop:1"]);
        assert!(store.list_audits(None, None).await.unwrap().is_empty());
    });
}

/// An actor system may never poll what it started a second time.
#[test]
fn a_fact_is_appended_before_the_first_await() {
    let (folder, store) = open();
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    {
        let mut recording = std::pin::pin!(store.record_event(event(1)));
        let _ = recording.as_mut().poll(&mut context);
    }
    assert_eq!(crate::support::lines_at(&folder.path().join("facts")).len(), 1);
}

#[test]
fn a_store_for_reading_refuses_and_counts() {
    let (folder, store) = open();
    run(async {
        store.record_event(event(1)).await;
        let reader =
            Store::builder().access(ostracon::Access::Read).open(folder.path().join("facts")).unwrap();
        reader.record_event(event(2)).await;
        assert_eq!((reader.metrics().records_written, reader.metrics().write_errors), (0, 1));
        assert_eq!(addresses(&reader, None, None).await, ["shop:1"]);
        PersistenceBackend::close(&reader).await.unwrap();
        assert_eq!(addresses(&reader, None, None).await, ["shop:1"]);
    });
}

#[test]
fn a_reset_clears_every_counter() {
    let (_folder, store) = open();
    run(async {
        store.record_event(event(1)).await;
        let huge = Json::string(&"x".repeat(18 << 20));
        store.record_event(Event::new("s", "a", "t", huge, 1.0)).await;
        store.flush().unwrap();
        assert!(store.metrics().counters().iter().filter(|(.., value)| *value > 0).count() >= 4);
        PersistenceBackend::reset_metrics(&store);
        assert!(store.metrics().counters().iter().all(|(.., value)| *value == 0), "{:?}", store.metrics());
        store.record_event(event(2)).await;
        assert_eq!(PersistenceBackend::metrics(&store).records_written, 1);
    });
    let names: Vec<_> = store.metrics().counters().iter().map(|(name, ..)| *name).collect();
    let contract = "records_written bytes_written scans anomalies_detected recoveries compactions write_errors scan_errors recovery_errors compaction_errors";
    assert_eq!(names[..10], contract.split(' ').collect::<Vec<_>>());
}

#[test]
fn several_systems_share_a_backend_and_the_first_to_close_closes_it() {
    let (_folder, store) = open();
    let backend = Arc::new(store);
    run(async {
        let systems = (0..4).map(|system| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move {
                for n in 0..50 {
                    backend
                        .record_event(Event::new(
                            format!("s{system}"),
                            format!("{n}"),
                            "t",
                            Json::null(),
                            1.0,
                        ))
                        .await;
                }
            })
        });
        futures::future::join_all(systems).await;
        PersistenceBackend::close(&backend).await.unwrap();
        backend.record_event(event(1)).await;
        let events = backend.list_events(None, None).await.unwrap();
        assert_eq!(events.len(), 200);
        for system in 0..4 {
            let of_system = events.iter().filter(|found| found.fact.system_id == format!("s{system}"));
            let order: Vec<_> =
                of_system.map(|found| found.fact.actor_address.clone().into_owned()).collect();
            assert_eq!(order, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
        }
        assert_eq!(backend.metrics().write_errors, 1);
    });
}

#[test]
fn quarantine_without_a_folder_uses_the_stores_own() {
    let (folder, store) = open();
    let root = folder.path().join("facts");
    run(async {
        store.record_event(event(1)).await;
        store.flush().unwrap();
        std::fs::write(root.join("stranger.txt"), "hello").unwrap();
        let config = RecoveryConfig::new(RecoveryMode::Quarantine);
        assert!(store.recover(config.clone()).is_err(), "the library's own call wants it named");
        let report = PersistenceBackend::recover(&store, Some(config)).await.unwrap();
        assert!(report.is_clean());
    });
}

#[test]
fn settings_that_do_not_fit_are_found_without_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("facts");
    let wrong = Store::builder().max_buffer_bytes(1);
    assert_eq!(wrong.check(&root).unwrap_err().kind(), ErrorKind::Settings);
    Store::builder().check(&root).unwrap();
    assert!(!root.exists());
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("ostracon.toml"), "[flush]\nrowz = 1\n").unwrap();
    assert_eq!(Store::builder().check(&root).unwrap_err().kind(), ErrorKind::Settings);
}

#[test]
fn a_parameter_without_a_placeholder_is_refused() {
    let (_folder, store) = open();
    run(async {
        let options = QueryOptions::new().param("limit", 1_i64).param("lim", 2_i64);
        let error = store.sql_with("SELECT 1 LIMIT $limit", options).await.unwrap_err();
        assert_eq!(error.to_string(), "the SQL has no parameter $lim; its parameters: $limit");
        let nested = "SELECT (SELECT max(seq) FROM events WHERE seq < $1) WHERE EXISTS (SELECT 1 LIMIT $2)";
        let options = QueryOptions::new().param("1", 1_i64).param("2", 2_i64);
        store.sql_with(nested, options).await.unwrap().collect().await.unwrap();
    });
}

#[test]
fn an_append_waits_for_room_only_as_long_as_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::builder()
        .flush_bytes(2_000)
        .max_buffer_bytes(2_000)
        .max_wait(std::time::Duration::from_secs(60))
        .open(folder.path().join("facts"))
        .unwrap();
    assert_eq!(store.max_wait(), std::time::Duration::from_secs(60));
    for n in 1..=500 {
        store.append_within(event(n), store.max_wait()).unwrap();
    }
    assert_eq!(store.metrics().write_errors, 0);
}
