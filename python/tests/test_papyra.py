"""The backend as Papyra uses it, behaviour by behaviour."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from papyra import Actor, ActorSystem
from papyra.persistence.backends.retention import RetentionPolicy
from papyra.persistence.contract import backend_capabilities, safe_metrics_snapshot
from papyra.persistence.models import (
    PersistedAudit,
    PersistedDeadLetter,
    PersistedEvent,
    PersistenceAnomalyType,
    PersistenceRecoveryConfig,
    PersistenceRecoveryMode,
)
from papyra.persistence.startup import PersistenceStartupConfig, PersistenceStartupMode

import ostracon
from ostracon._lines import EVENT, to_line
from ostracon.papyra import OstraconPersistence

pytestmark = pytest.mark.anyio

TEN = {
    "records_written",
    "bytes_written",
    "scans",
    "anomalies_detected",
    "recoveries",
    "compactions",
    "write_errors",
    "scan_errors",
    "recovery_errors",
    "compaction_errors",
}


def event(n: float, payload: Any = None) -> PersistedEvent:
    return PersistedEvent("shop", f"shop:{n}", "ActorStarted", payload or {}, float(n))


def audit(n: int) -> PersistedAudit:
    return PersistedAudit("shop", float(n), 3, 2, 1, 0, 4, ("a", "b"), ("c",), 5)


def letter(n: int, target: str | None = "shop:1") -> PersistedDeadLetter:
    return PersistedDeadLetter("shop", target, "Order", {"id": n}, float(n))


async def test_making_one_touches_nothing_and_it_is_true(path: Path) -> None:
    backend = OstraconPersistence(path)
    assert not path.exists() and bool(backend) and not backend.closed
    assert await backend.list_events() == () and await backend.list_audits(limit=1) == ()
    assert not (await backend.scan()).has_anomalies
    assert (await backend.recover()).scan.anomalies == ()
    assert (await backend.compact()).before_records == 0
    await backend.aclose()
    assert not path.exists() and backend.closed


async def test_facts_come_back_as_papyras_own(path: Path) -> None:
    backend = OstraconPersistence(path)
    events = [event(n, {"b": n, "a": [1.5, None]}) for n in range(5)]
    for fact in events:
        await backend.record_event(fact)
    await backend.record_audit(audit(1))
    await backend.record_dead_letter(letter(1, None))
    await backend.record_dead_letter(letter(2, "None"))
    for _ in ("buffered", "flushed", "closed"):
        assert await backend.list_events() == tuple(events)
        assert await backend.list_audits() == (audit(1),)
        assert await backend.list_dead_letters() == (letter(1, None), letter(2, "None"))
        ostracon.open(path, "read")
        if not backend.closed:
            backend._handles.writer().flush()
        await backend.aclose()


async def test_since_counts_first_then_the_newest(path: Path) -> None:
    backend = OstraconPersistence(path)
    for n in (5, 1, 3, 2, 4):
        await backend.record_event(event(n))

    async def listed(**asked: Any) -> list[float]:
        return [fact.timestamp for fact in await backend.list_events(**asked)]

    assert await listed() == [5, 1, 3, 2, 4]
    assert await listed(limit=2) == [2, 4]
    assert await listed(since=3.0) == [5, 3, 4]
    assert await listed(since=3.0, limit=2) == [3, 4]
    assert await listed(limit=0) == [] and await listed(limit=-1) == [] and await listed(since=9.0) == []


async def test_timestamps_are_floats_to_the_bit(path: Path) -> None:
    backend = OstraconPersistence(path)
    times = [0.0, -0.0, -5.5, 1e300, 5e-324, 0.1 + 0.2, 1795404290.123456789, 2.0**53 + 2]
    for when in times:
        await backend.record_event(PersistedEvent("shop", "shop:1", "X", {}, when))
    back = [fact.timestamp for fact in await backend.list_events()]
    assert [when.hex() for when in back] == [when.hex() for when in times]
    await backend.record_event(PersistedEvent("shop", "shop:1", "X", {}, math.nan))
    kept = await backend.list_events()
    if len(kept) > len(times):
        assert math.isnan(kept[-1].timestamp)
    else:
        assert backend.metrics.write_errors == 1


async def test_recording_never_raises(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Awful:
        def __str__(self) -> str:
            raise SystemError("no")

        __repr__ = __str__

    backend = OstraconPersistence(path)
    for payload in ({(1, 2): Awful()}, Awful(), {"\ud800": "\udfff"}, [[]], 10**5000):
        await backend.record_event(event(1, payload))
    assert len(await backend.list_events()) == 5
    with caplog.at_level(logging.ERROR, "ostracon"):
        await backend.record_event(object())
        await backend.record_event(PersistedEvent("shop", "shop:1", "X", {}, 1.0))
        await backend.record_event(object())
    assert backend.metrics.write_errors == 2 and backend.metrics.records_written == 6
    assert len(caplog.records) == 1, "the log of an actor system is not flooded"
    (path.parent / "file").write_text("x")
    nowhere = OstraconPersistence(path.parent / "file")
    await nowhere.record_event(event(1))
    assert nowhere.metrics.write_errors == 1


async def test_a_cancelled_task_has_appended(path: Path) -> None:
    for durability in ("buffered", "journaled", "synced"):
        backend = OstraconPersistence(path / durability, durability=durability)
        await backend.record_event(event(0))
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with anyio.create_task_group() as group:
                for n in range(1, 20):
                    group.start_soon(backend.record_event, event(n))
        assert len(await backend.list_events()) == 20, durability
        await backend.aclose()


async def test_a_cancelled_task_is_not_refused_for_want_of_room(path: Path) -> None:
    backend = OstraconPersistence(path, flush_bytes=20_000, max_buffer_bytes=60_000, max_wait=20.0)
    await backend.record_event(event(0))
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with anyio.create_task_group() as group:
            for n in range(1, 100):
                group.start_soon(backend.record_event, event(n, {"text": "x" * 5000}))
    assert backend.metrics.refused > 0, "the buffer was at its bound"
    assert (len(await backend.list_events()), backend.metrics.write_errors) == (100, 0)
    await backend.aclose()


async def test_the_stores_own_settings_ask_for_a_sync_too(path: Path) -> None:
    ostracon.open(path).close()
    (path / "ostracon.toml").write_text('durability = "synced"\n')
    backend = OstraconPersistence(path)
    for n in range(3):
        await backend.record_event(event(n))
        assert backend.metrics.syncs == n + 1
    await backend.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {"durability": "sync"},
        {"age_by": "now"},
        {"max_wait": -1.0},
        {"flush_age": math.nan},
        {"flush_rows": -1},
        {"retention_policy": RetentionPolicy(max_age_seconds=math.nan)},
    ],
)
def test_a_setting_that_cannot_be_meant_is_told_at_once(path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        OstraconPersistence(path, **wrong)
    assert not path.exists()


async def test_a_fact_that_python_cannot_read_is_skipped_and_counted(path: Path, tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    line = (
        '{"kind": "event", "system_id": "s", "actor_address": "a", "event_type": "X", '
        '"payload": %s, "timestamp": 1.0}'
    )
    (tmp_path / "facts.json").write_text(f"{line % deep}\n{line % '{}'}\n")
    backend = OstraconPersistence(path)
    assert (await backend.import_from(tmp_path / "facts.json")).facts == 2
    assert [fact.payload for fact in await backend.list_events()] == [{}]
    assert backend.metrics.rows_skipped == 1
    assert backend.store.sql("SELECT count(*) FROM events").one() == 2


async def test_after_close_facts_are_dropped_and_reading_goes_on(path: Path) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    await backend.aclose()
    await backend.aclose()
    await backend.record_event(event(2))
    assert backend.closed and [fact.timestamp for fact in await backend.list_events()] == [1.0]
    counters = backend.metrics.snapshot()
    assert (counters["records_written"], counters["write_errors"]) == (1, 0)
    again = OstraconPersistence(path)
    await again.record_event(event(3))
    assert len(await backend.list_events()) == 2


async def test_the_counters(path: Path) -> None:
    backend = OstraconPersistence(path)
    assert set(backend.metrics.snapshot()) >= TEN and set(backend.metrics.snapshot().values()) == {0}
    await backend.record_event(event(1))
    await backend.scan()
    await backend.recover(None)
    await backend.compact()
    with pytest.raises(ValueError, match="no mode"):
        await backend.recover(SimpleNamespace(mode="magic"))
    counters = safe_metrics_snapshot(backend)
    assert counters["records_written"] == 1 and counters["bytes_written"] > 0
    assert (counters["scans"], counters["recoveries"], counters["compactions"]) == (3, 2, 1)
    assert counters["recovery_errors"] == 1 and counters["flushes"] == 1
    assert backend.metrics.records_written == 1 and backend_capabilities(backend).supports_metrics
    backend.metrics.reset()
    assert {backend.metrics.snapshot()[name] for name in TEN} == {0}


async def test_retention_hides_and_compaction_drops(path: Path) -> None:
    policy = RetentionPolicy(max_records=3)
    backend = OstraconPersistence(path, retention_policy=policy)
    assert backend.retention is policy
    for n in range(5):
        await backend.record_event(event(n))
    await backend.record_dead_letter(letter(1))
    # Over the three kinds together, as Papyra's files.
    assert [fact.timestamp for fact in await backend.list_events()] == [3, 4]
    report = await backend.compact()
    assert (report.backend, report.before_records, report.after_records) == ("ostracon", 6, 3)
    assert report.removed_records == 3 and report.before_bytes and report.after_bytes
    assert len(await OstraconPersistence(path).list_events()) == 2


async def test_age_is_by_the_facts_clock_unless_it_is_to_be_ours(path: Path) -> None:
    now = time.time()
    for age_by, left in (("timestamp", 1), ("recorded_at", 2)):
        policy = RetentionPolicy(max_age_seconds=60.0)
        backend = OstraconPersistence(path / age_by, retention_policy=policy, age_by=age_by)
        await backend.record_event(event(now - 3600))
        await backend.record_event(event(now))
        assert len(await backend.list_events()) == left, age_by


async def test_damage_is_found_and_recovered_in_papyras_words(path: Path, tmp_path: Path) -> None:
    backend = OstraconPersistence(path)
    for n in range(10):
        await backend.record_event(event(n))
    await backend.aclose()
    (path / "events" / "stranger.txt").write_text("hello")
    # Beside the store's own folders it is somebody's, and no damage.
    (path / "README.txt").write_text("whose facts these are")
    segment = next(path.glob("events/*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-9])
    backend = OstraconPersistence(path)
    found = await backend.scan()
    kinds = {anomaly.type for anomaly in found.anomalies}
    assert found.has_anomalies and PersistenceAnomalyType.UNEXPECTED_FILE in kinds
    assert PersistenceAnomalyType.TRUNCATED_LINE in kinds
    assert all(os.path.exists(anomaly.path) and anomaly.detail for anomaly in found.anomalies)
    assert (await backend.recover()).scan.has_anomalies and (await backend.scan()).has_anomalies
    aside = tmp_path / "aside"
    config = PersistenceRecoveryConfig(PersistenceRecoveryMode.QUARANTINE, quarantine_dir=str(aside))
    report = await backend.recover(config)
    assert report.scan.has_anomalies and report.quarantined_files and report.repaired_files
    assert all(os.path.exists(file) for file in report.quarantined_files)
    assert not (await backend.scan()).has_anomalies
    assert (path / "README.txt").read_text() == "whose facts these are"
    (tmp_path / "other").write_text("x")
    other = await OstraconPersistence(tmp_path / "other").scan()
    assert other.anomalies[0].type is PersistenceAnomalyType.UNEXPECTED_FILE


async def test_one_damaged_ledger_file_costs_nothing_and_is_repaired(path: Path) -> None:
    backend = OstraconPersistence(path)
    for n in range(3):
        await backend.record_event(event(n))
    await backend.aclose()
    for number, damage in enumerate([lambda file: file.write_bytes(b""), lambda file: file.unlink()]):
        damage(path / "ledger" / f"{number:020}.json")
    backend = OstraconPersistence(path)
    assert len(await backend.list_events()) == 3
    await backend.record_event(event(3))
    assert (await backend.scan()).has_anomalies
    repair = PersistenceRecoveryConfig(PersistenceRecoveryMode.REPAIR)
    assert (await backend.recover(repair)).repaired_files
    assert not (await backend.scan()).has_anomalies
    await backend.aclose()
    # Both files of a commit: facts are journaled all the same, and lists give the rest.
    for folder in ("ledger", "ledger-copy"):
        (path / folder / f"{0:020}.json").write_bytes(b"{")
    backend = OstraconPersistence(path)
    await backend.record_event(event(4))
    assert [fact.timestamp for fact in await backend.list_events()] == [0, 1, 2, 3, 4]
    await backend.aclose()
    rebuild = PersistenceRecoveryConfig(PersistenceRecoveryMode.REBUILD)
    assert (await OstraconPersistence(path).recover(rebuild)).scan.has_anomalies
    assert sorted(fact.timestamp for fact in await OstraconPersistence(path).list_events()) == [0, 1, 2, 3, 4]


async def test_it_is_used_from_threads_and_loops_in_turn(path: Path) -> None:
    backend = OstraconPersistence(path)

    def in_a_thread(first: int) -> None:
        async def record() -> None:
            for n in range(first, first + 50):
                await backend.record_event(event(n))
            await backend.list_events(limit=1)

        anyio.run(record, backend="trio" if first % 100 else "asyncio")

    threads = [threading.Thread(target=in_a_thread, args=(first,)) for first in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    await backend.record_event(event(1000))
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert sorted(fact.timestamp for fact in await backend.list_events()) == [*range(400), 1000]
    await backend.aclose()


async def test_a_full_buffer_is_waited_for_off_the_loop(path: Path) -> None:
    backend = OstraconPersistence(path, flush_bytes=20_000, max_buffer_bytes=60_000, max_wait=20.0)
    held = 0.0

    async def watch() -> None:
        nonlocal held
        while not backend.closed:
            before = time.perf_counter()
            await anyio.sleep(0.001)
            held = max(held, time.perf_counter() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        async with anyio.create_task_group() as recorders:
            for n in range(400):
                recorders.start_soon(backend.record_event, event(n, {"text": "x" * 5000}))
        await backend.aclose()
    assert len(await backend.list_events()) == 400 and backend.metrics.write_errors == 0
    assert held < 10.0


async def test_counters_only_rise_when_the_store_is_opened_anew(path: Path) -> None:
    backend = OstraconPersistence(path)
    for n in range(3):
        await backend.record_event(event(n))
    backend._handles.renew()
    assert backend.metrics.records_written == 3
    await backend.record_event(event(3))
    assert backend.metrics.records_written == 4
    backend.metrics.reset()
    assert backend.metrics.records_written == 0
    await backend.aclose()


async def test_a_fact_that_waited_while_the_store_was_opened_anew_is_kept(path: Path) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    given_up = backend._handles.opened_writer
    assert given_up is not None
    given_up.close()
    writers = iter([given_up])
    own = backend._handles.writer
    backend._handles.opened_writer = None
    backend._handles.writer = lambda: next(writers, None) or own()  # type: ignore[method-assign]
    line = to_line(event(2), EVENT)
    waiting = backend._handles.in_order._enqueue(line, backend._failed)
    backend._handles.in_order.drain()
    assert waiting.error is None and len(await backend.list_events()) == 2
    await backend.aclose()


class Full:
    """A writer that never finds room."""

    is_synced = False

    def __init__(self) -> None:
        self.waited = 0

    def append(self, line: str) -> ostracon.Position:
        raise ostracon.OverloadedError("no room")

    def append_within(self, line: str, parts: int) -> ostracon.Position:
        self.waited += 1
        time.sleep(0.2)
        raise ostracon.OverloadedError("no room")

    def metrics(self) -> list[tuple[str, int]]:
        return []

    def close(self) -> None:
        pass


async def test_closing_does_not_wait_for_each_fact_that_finds_no_room(path: Path) -> None:
    backend, full = OstraconPersistence(path), Full()
    backend._handles.opened_writer = full  # type: ignore[assignment]
    async with anyio.create_task_group() as group:
        for n in range(100):
            group.start_soon(backend.record_event, event(n))
        await anyio.sleep(0.1)
        await backend.aclose()
    assert full.waited <= 3 and backend.metrics.write_errors == 100


async def test_a_compaction_that_waits_for_another_can_be_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))

    def busy(*args: Any, **kwargs: Any) -> None:
        raise ostracon.ContendedError("another process maintains the store")

    monkeypatch.setattr(ostracon.Store, "compact", busy)
    begun = time.monotonic()
    with anyio.move_on_after(0.5) as scope:
        await backend.compact()
    assert scope.cancelled_caught and time.monotonic() - begun < 10
    await backend.aclose()


async def test_papyras_files_move_in(path: Path, tmp_path: Path) -> None:
    from papyra.persistence.backends.rotating import RotatingFilePersistence
    from papyra.persistence.json import JsonFilePersistence

    plain = JsonFilePersistence(tmp_path / "plain.json")
    rotating = RotatingFilePersistence(tmp_path / "rotating[1].log", max_bytes=2000, max_files=50)
    for backend in (plain, rotating):
        for n in range(60):
            await backend.record_event(event(n))
        await backend.record_audit(audit(1))
    with (tmp_path / "plain.json").open("a") as file:
        file.write(
            '{"kind": "event", "system_id": "shop", "actor_address": {"system": "shop", "actor_id": 9},'
        )
    assert (tmp_path / "rotating[1].log.2").exists()

    moved = OstraconPersistence(path)
    report = await moved.import_from(tmp_path / "plain.json")
    assert (report.facts, report.rejected) == (61, 1) and "plain.json" in report.reasons[0][1]
    assert await moved.list_events() == await plain.list_events()
    # Of Papyra's own the names come back as lists.
    assert await moved.list_audits() == (audit(1),) != await plain.list_audits()
    report = await moved.import_from(tmp_path / "rotating[1].log")
    assert (report.facts, report.rejected) == (61, 0)
    assert (await moved.list_events())[60:] == await rotating.list_events()
    assert (await moved.import_from(tmp_path / "rotating[1].log")).facts == 0


class Till(Actor):
    """Crashes whenever it is told to."""

    async def receive(self, message: Any) -> Any:
        if message == "crash":
            raise KeyError("sku-1")
        return message


async def test_an_actor_system_tells_its_life(path: Path) -> None:
    backend = OstraconPersistence(path)
    startup = PersistenceStartupConfig(mode=PersistenceStartupMode.FAIL_ON_ANOMALY)
    async with ActorSystem(persistence=backend, persistence_startup=startup, time_fn=time.time) as system:
        till = system.spawn(Till)
        assert await till.ask("hello") == "hello"
        await till.tell("crash")
        for _ in range(200):
            if await backend.list_events(limit=1) and any(
                fact.event_type == "ActorCrashed" for fact in await backend.list_events()
            ):
                break
            await anyio.sleep(0.01)
        system.audit()
        await anyio.sleep(0.05)
    assert backend.closed
    crashes = backend.store.sql("SELECT error FROM crashes").rows()
    assert crashes == [("KeyError: 'sku-1'",)]
    kinds = [fact.event_type for fact in await backend.list_events()]
    assert kinds[0] == "ActorStarted" and "ActorCrashed" in kinds
    assert backend.metrics.write_errors == 0
