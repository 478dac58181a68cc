"""The corners of Papyra's contract: values, counters, settings, order, and the end of a lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from papyra import Actor, ActorSystem
from papyra.persistence.models import (
    PersistedAudit,
    PersistedDeadLetter,
    PersistedEvent,
    PersistenceRecoveryConfig,
    PersistenceRecoveryMode,
)
from papyra.persistence.startup import PersistenceStartupConfig, PersistenceStartupMode

import ostracon
from ostracon import _forward, _in_order
from ostracon import papyra as module
from ostracon.papyra import OstraconPersistence


def event(n: float, payload: Any = None, **fields: Any) -> PersistedEvent:
    values = {
        "system_id": "shop",
        "actor_address": "shop:1",
        "event_type": "X",
        "timestamp": float(n),
        **fields,
    }
    return PersistedEvent(payload=payload or {}, **values)


def audit(**fields: Any) -> PersistedAudit:
    names = ("total_actors", "alive_actors", "stopping_actors", "restarting_actors", "registry_size")
    values: dict[str, Any] = dict.fromkeys(names, 1) | {"dead_letters_count": 0, "timestamp": 1.0}
    values |= {"system_id": "shop", "registry_orphans": ("a",), "registry_dead": ()}
    return PersistedAudit(**{**values, **fields})


@pytest.mark.anyio
async def test_no_fact_is_refused_for_its_content(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = OstraconPersistence(path)
    audits = [
        audit(total_actors=2**64),
        audit(dead_letters_count=-(10**40)),
        audit(registry_size=3.5),
        audit(alive_actors=None),
        audit(registry_dead=None),
        audit(timestamp=10**400),
        audit(timestamp="soon"),
    ]
    for fact in audits:
        await backend.record_audit(fact)
    numpy = pytest.importorskip("numpy")
    await backend.record_audit(audit(total_actors=numpy.int64(7), alive_actors=numpy.uint8(3)))
    events = [event(1, event_type=7), event(1, actor_address=None), event(1)]
    for fact in events:
        await backend.record_event(fact)
    for _ in ("buffered", "flushed"):
        listed = await backend.list_audits()
        assert list(listed[:-1]) == audits
        assert (listed[-1].total_actors, listed[-1].alive_actors) == (7, 3)
        assert len(await backend.list_events()) == 3
        exact = backend.store.sql(
            "SELECT extra->>'total_actors' FROM audits WHERE total_actors = $most", {"most": 2**63 - 1}
        )
        assert exact.rows() == [(str(2**64),)]
        backend._handles.writer().flush()
    assert backend.metrics.write_errors == 0 and backend.metrics.inexact >= 7
    _forward.now()
    assert any("no column holds" in record.message for record in caplog.records)


@pytest.mark.anyio
async def test_a_fact_that_is_too_long_is_shortened(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1, {"text": "x" * (20 << 20), "error": "KeyError: 1"}))
    await backend.record_event(event(2, actor_address="a" * (20 << 20)))
    await backend.record_event(event(3, {"text": "x" * (15 << 20)}))
    long, named, fits = await backend.list_events()
    assert long.payload["characters"] > 20 << 20 and long.payload["shortened"].startswith('{"text": "xxx')
    assert len(named.actor_address) == (1 << 20) + 1 and len(fits.payload["text"]) == 15 << 20
    assert backend.metrics.write_errors == 0 and "was shortened" in caplog.text


@pytest.mark.anyio
async def test_addresses_come_back_as_papyras_text(path: Path, tmp_path: Path) -> None:
    backend = OstraconPersistence(path)
    given: list[tuple[Any, str]] = [
        ({"system": "shop", "actor_id": 5}, "shop:5"),
        ({"system": "shop", "actor_id": "5"}, "shop:5"),
        ({"system": "shop", "actor_id": 2**70}, f"shop:{2**70}"),
        ({"system": "shop"}, "{'system': 'shop'}"),
        ({"system": "shop", "actor_id": "x"}, "{'system': 'shop', 'actor_id': 'x'}"),
        ("shop://5", "shop://5"),
    ]
    for address, text in given:
        assert ActorSystem._persisted_address(address) == text
        await backend.record_event(event(1, actor_address=address))
        await backend.record_dead_letter(PersistedDeadLetter("shop", address, "M", {}, 1.0))
    lines = tmp_path / "old.json"
    lines.write_text(
        '{"kind": "event", "system_id": "shop", "actor_address": {"system": "shop", "actor_id": 9},'
        ' "event_type": "X", "payload": {}, "timestamp": 1.0}\n'
    )
    await backend.import_from(lines)
    texts = [text for _, text in given]
    assert [fact.actor_address for fact in await backend.list_events()] == [*texts, "shop:9"]
    assert [fact.target for fact in await backend.list_dead_letters()] == texts


@pytest.mark.anyio
async def test_counters_may_be_raised(path: Path) -> None:
    backend = OstraconPersistence(path)
    backend.metrics.scans += 1
    backend.metrics.records_written += 5
    await backend.record_event(event(1))
    await backend._metrics_on_write_ok(bytes_written=7)
    await backend._metrics_on_write_error()
    await backend._metrics_on_scan_anomalies(3)
    backend.metrics.flushes += 2
    counters = backend.metrics.snapshot()
    assert counters["scans"] == 1 and counters["write_errors"] == 1 and counters["anomalies_detected"] == 3
    assert backend.metrics.records_written == 7 and backend.metrics.flushes == 2
    backend.metrics.scans = 10
    assert backend.metrics.scans == 10
    backend.metrics.reset()
    assert set(backend.metrics.snapshot().values()) == {0}
    with pytest.raises(AttributeError):
        backend.metrics.nonsense += 1


@pytest.mark.anyio
async def test_quarantine_needs_no_folder(path: Path) -> None:
    backend = OstraconPersistence(path)
    for n in range(10):
        await backend.record_event(event(n))
    await backend.aclose()
    segment = next(path.glob("events/*.parquet"))
    data = bytearray(segment.read_bytes())
    data[100] ^= 0xFF
    segment.write_bytes(data)
    mode = PersistenceRecoveryMode.QUARANTINE
    report = await OstraconPersistence(path).recover(PersistenceRecoveryConfig(mode))
    assert report.quarantined_files
    assert all(Path(file).is_relative_to(path / "quarantine") for file in report.quarantined_files)
    assert not (await backend.scan()).has_anomalies
    (path / "stranger.txt").write_text("x")
    with ostracon.open(path, "maintain") as store:
        assert store.recover("quarantine").is_clean


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_buffer_bytes": 20_000},
        {"flush_rows": 0},
        {"flush_bytes": 0},
        {"flush_bytes": 1 << 40},
        {"flush_age": 0.0},
    ],
)
def test_settings_that_do_not_fit_are_found_at_once(path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ostracon.SettingsError):
        OstraconPersistence(path, **wrong)
    assert not path.exists()


def test_the_stores_own_settings_are_looked_at_too(path: Path) -> None:
    ostracon.open(path).close()
    for text in ("[flush]\nrowz = 1\n", 'durability = "sync"\n', "[[["):
        (path / "ostracon.toml").write_text(text)
        with pytest.raises(ostracon.SettingsError, match=r"ostracon\.toml"):
            OstraconPersistence(path)
    (path / "ostracon.toml").write_text("[flush]\nbytes = 1_000_000\n")
    with pytest.raises(ostracon.SettingsError):
        OstraconPersistence(path, max_buffer_bytes=500_000)


@pytest.mark.anyio
async def test_what_fails_again_and_again_is_told_each_minute(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("no store")
    backend = OstraconPersistence(path)

    def told() -> list[str]:
        return [record.message for record in caplog.records if record.module == "papyra"]

    for _ in range(100):
        await backend.record_event(event(1))
    assert len(told()) == 1 and backend.metrics.write_errors == 100
    backend._failures._next = 0.0
    await backend.record_event(event(1))
    assert len(told()) == 2 and "100 times" in told()[1]


def _tells_of(message: str, *parts: object) -> bool:
    return all(str(part) in message for part in parts)


@pytest.mark.anyio
async def test_a_flush_that_fails_in_the_background_is_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = OstraconPersistence(path, flush_age=1.0)
    await backend.record_event(event(1))
    (path / "events").rmdir()
    (path / "events").write_text("in the way")
    with anyio.fail_after(20):
        while not any(
            _tells_of(record.message, path, "flush failed", "failures: ") for record in caplog.records
        ):
            await anyio.sleep(0.1)
    (path / "events").unlink()
    (path / "events").mkdir()
    await backend.aclose()
    assert len(await backend.list_events()) == 1


@pytest.mark.anyio
async def test_facts_of_tasks_keep_their_order_at_the_buffers_bound(path: Path) -> None:
    backend = OstraconPersistence(path, flush_bytes=20_000, max_buffer_bytes=60_000, max_wait=20.0)
    async with anyio.create_task_group() as group:
        for n in range(2_000):
            group.start_soon(backend.record_event, event(n, {"text": "x" * 500}))
    assert backend.metrics.refused > 0, "the buffer was at its bound"
    assert backend.metrics.write_errors == 0
    listed = [fact.timestamp for fact in await backend.list_events()]
    # Trio starts tasks in an order of its own.
    if _is_asyncio():
        assert listed == [float(n) for n in range(2_000)]
    assert sorted(listed) == [float(n) for n in range(2_000)]
    await backend.aclose()


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.mark.anyio
async def test_the_same_of_a_store_for_event_loops(path: Path) -> None:
    store = await ostracon.open_async(path, flush_bytes=20_000, max_buffer_bytes=60_000, max_wait=20.0)
    begun: list[int] = []
    positions: dict[int, int] = {}

    async def record(n: int) -> None:
        begun.append(n)
        fact = {"kind": "event", "system_id": "s", "actor_address": "a", "event_type": "X"}
        position = await store.record({**fact, "payload": {"text": "x" * 500}, "timestamp": float(n)})
        positions[n] = position.seq

    async with anyio.create_task_group() as group:
        for n in range(1_000):
            group.start_soon(record, n)
    assert [positions[n] for n in begun] == list(range(1, 1001))
    await store.aclose()
    with pytest.raises(ostracon.ClosedError):
        await record(1)


@pytest.mark.anyio
async def test_a_stalled_flush_refuses_and_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_in_order, "_MOST_BYTES", 100_000)
    backend = OstraconPersistence(path, flush_bytes=20_000, max_buffer_bytes=60_000, max_wait=0.05)
    await backend.record_event(event(0))
    (path / "events").rmdir()
    (path / "events").write_text("in the way")
    held = time.monotonic()
    async with anyio.create_task_group() as group:
        for n in range(1, 1_001):
            group.start_soon(backend.record_event, event(n, {"text": "x" * 500}))
    assert time.monotonic() - held < 20
    refused = backend.metrics.write_errors
    assert 0 < refused < 1_000
    (path / "events").unlink()
    (path / "events").mkdir()
    assert len(await backend.list_events()) == 1_001 - refused
    await backend.aclose()


@pytest.mark.anyio
async def test_facts_after_the_end_are_told_loudly(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Quiet(Actor):
        async def receive(self, message: Any) -> Any:
            return message

    backend = OstraconPersistence(path)

    async def lifespan() -> None:
        async with ActorSystem(persistence=backend) as system:
            system.spawn(Quiet)
            await anyio.sleep(0.05)

    def told() -> list[logging.LogRecord]:
        # Other stores' threads may speak, too.
        return [record for record in caplog.records if record.module == "papyra"]

    await lifespan()
    assert told() == [], "an ordinary end is quiet"
    before = len(await backend.list_events())
    await lifespan()
    assert len(await backend.list_events()) == before
    assert [record.levelno for record in told()] == [logging.ERROR]
    assert "second lifespan" in told()[0].message and backend.metrics.write_errors == 0


@pytest.mark.anyio
async def test_two_compactions_at_once_both_end_well(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ostracon.open(path, flush_rows=10) as store:
        for n in range(50):
            store.record(
                {
                    "kind": "event",
                    "system_id": "s",
                    "actor_address": "a",
                    "event_type": "X",
                    "payload": {},
                    "timestamp": 1.0,
                }
            )
            if n % 10 == 9:
                store.flush()
    reports: list[Any] = []
    backends = [OstraconPersistence(path) for _ in range(4)]

    async def compact(backend: OstraconPersistence) -> None:
        reports.append(await backend.compact())

    async with anyio.create_task_group() as group:
        for backend in backends:
            group.start_soon(compact, backend)
    assert [report.after_records for report in reports] == [50] * 4
    # Another process is at it for longer than anybody waits.
    monkeypatch.setattr(module, "_OTHERS", 0.0)
    compact_it = ostracon.Store.compact

    def contended(store: ostracon.Store, *, dry_run: bool = False) -> ostracon.Report:
        if not dry_run:
            raise ostracon.ContendedError("another process maintains the store")
        return compact_it(store, dry_run=True)

    monkeypatch.setattr(ostracon.Store, "compact", contended)
    report = await OstraconPersistence(path).compact()
    assert (report.before_records, report.after_records) == (50, 50)


@pytest.mark.anyio
async def test_consumers_need_no_anyio_and_cancelling_waits(path: Path) -> None:
    code = """
        import asyncio, sys, time
        sys.modules["anyio"] = None
        import ostracon

        async def main():
            async with await ostracon.open_async(sys.argv[1]) as store:
                await store.record({"kind": "event", "system_id": "s", "actor_address": "a",
                                    "event_type": "X", "payload": {}, "timestamp": 1.0})
                group = store.consumer_group("events", "g")
                await group.create()
                assert len(await group.consume("c", wait=1)) == 1
                assert await group.consume("c", wait=0.05) == []
                waiting = asyncio.create_task(group.consume("c", wait=None))
                await asyncio.sleep(0.1)
                waiting.cancel()
                begun = time.monotonic()
                endless = "SELECT count(*) FROM generate_series(1, 100000000000)"
                asked = asyncio.create_task(store.sql(endless))
                await asyncio.sleep(0.3)
                asked.cancel()
                for task in (waiting, asked):
                    try:
                        await task
                    except asyncio.CancelledError:
                        pass
                    else:
                        raise AssertionError("it was cancelled")
                assert time.monotonic() - begun < 10
                slow = asyncio.create_task(ostracon._off_loop.off_loop(time.sleep, 0.5))
                await asyncio.sleep(0.1)
                slow.cancel()
                begun = time.monotonic()
                await asyncio.wait([slow])
                assert slow.cancelled() and time.monotonic() - begun > 0.3, "what was begun is done"
                print("done")

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "done\n", done.stderr


@pytest.mark.anyio
async def test_cancelling_a_task_stops_its_question(path: Path) -> None:
    async with await ostracon.open_async(path) as store:
        begun = time.monotonic()
        with anyio.move_on_after(0.3) as scope:
            await store.sql("SELECT count(*) FROM generate_series(1, 100000000000)")
        assert scope.cancelled_caught and time.monotonic() - begun < 10
        async with await store.stream("SELECT value FROM generate_series(1, 20000)") as rows:
            assert len(await rows.fetchmany(10)) == 10
            assert len([row async for row in rows]) == 19_990
    # No thread of a question goes on.
    assert not [thread for thread in threading.enumerate() if thread.name == "ostracon-record"]


@pytest.mark.anyio
async def test_a_cancelled_fetch_is_no_end(path: Path) -> None:
    async with await ostracon.open_async(path) as store:
        for how in ("fetchmany", "loop"):
            slow = "SELECT count(*) FROM generate_series(1, 200000000)"
            async with await store.stream(f"SELECT 1 UNION ALL {slow}") as rows:
                each = aiter(rows)
                cancelled, got = 0, []
                while len(got) < 2:
                    with anyio.move_on_after(0.3) as scope:
                        got += await rows.fetchmany(2) if how == "fetchmany" else [await anext(each)]
                    cancelled += scope.cancelled_caught
                assert cancelled > 0 and sorted(got) == [(1,), (200_000_000,)]
                assert await rows.fetchone() is None


@pytest.mark.anyio
async def test_a_cancelled_scan_has_ended(path: Path) -> None:
    async with await ostracon.open_async(path) as store:
        for n in range(20):
            await store.record(
                {"kind": "event", "system_id": "s", "actor_address": "a", "event_type": "X", "payload": {},
                 "timestamp": float(n)}
            )
            await store.flush()
        before = threading.active_count()
        for work in (lambda: store.scan(deep=True), lambda: store.list("events")):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await work()
            assert scope.cancelled_caught and threading.active_count() <= before + 2
        assert (await store.scan(deep=True)).is_clean and len(await store.list("events")) == 20


LONG = {
    "rows": (
        "[len(store.sql('SELECT value, value::text AS t, now() AS at FROM generate_series(1, 1000000)')"
        ".rows()) for _ in range(1000)]"
    ),
    "sql": "store.sql('SELECT count(*) FROM generate_series(1, 100000000000)')",
    "stream": "store.stream('SELECT count(*) FROM generate_series(1, 100000000000)').fetchall()",
    "list": "[store.list('events') for _ in range(1000000)]",
    "scan": "[store.scan(deep=True) for _ in range(1000000)]",
    "flush": "[store.flush() for _ in range(100000000)]",
    "recover": "[store.recover('repair') for _ in range(1000000)]",
    "import": "store.import_file(sys.argv[2])",
    "compact": "[store.compact() for _ in range(1000000)]",
}


@pytest.mark.parametrize("what", LONG)
def test_ctrl_c_is_heard(path: Path, tmp_path: Path, what: str) -> None:
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)
    code = f"""
        import sys, ostracon
        store = ostracon.open(sys.argv[1])
        for n in range(2000):
            store.record({{"kind": "event", "system_id": "s", "actor_address": "a", "event_type": "X",
                           "payload": {{}}, "timestamp": 1.0}})
        print("begun", flush=True)
        try:
            {LONG[what]}
        except KeyboardInterrupt:
            print("heard", flush=True)
        assert store.sql("SELECT count(*) FROM events").one() >= 2000
        print("works", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path), str(fifo)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        feeder = os.open(fifo, os.O_RDWR) if what == "import" else None
        if feeder is not None:
            os.write(feeder, b"not a fact\n" * 10)
            # The import reads on when more comes, and then learns that it was stopped.
            threading.Timer(2.0, os.write, (feeder, b"no fact either\n" * 100)).start()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()
        out, err = process.communicate(timeout=60)
        assert out == "heard\nworks\n", err
        if feeder is not None:
            os.close(feeder)


def test_other_threads_run_while_rows_are_made(path: Path) -> None:
    store = ostracon.open(path)
    answer = store.sql("SELECT value, value::text AS t, now() AS at FROM generate_series(1, 300000)")
    longest, ends = 0.0, threading.Event()

    def watch() -> None:
        nonlocal longest
        while not ends.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            longest = max(longest, time.perf_counter() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    assert len(answer.rows()) == 300_000
    took = time.perf_counter() - begun
    ends.set()
    watcher.join()
    # A turn comes each 10 ms; the rest is what a busy machine adds.
    assert longest < max(took / 3, 0.2), (longest, took)


@pytest.mark.anyio
async def test_startup_recovers_in_several_workers(path: Path) -> None:
    ostracon.open(path).close()
    (path / "stranger.bin").write_text("x")
    config = PersistenceStartupConfig(
        mode=PersistenceStartupMode.RECOVER,
        recovery=PersistenceRecoveryConfig(PersistenceRecoveryMode.QUARANTINE),
    )

    async def start() -> None:
        async with ActorSystem(persistence=OstraconPersistence(path), persistence_startup=config):
            pass

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(start)
