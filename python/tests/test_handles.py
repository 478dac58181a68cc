"""Handles of a store: bound to a path, copied, sent to other processes, and closed in the end."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from papyra.persistence.backends.retention import RetentionPolicy
from papyra.persistence.models import PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence


def fact(n: int) -> dict[str, Any]:
    return {
        "kind": "event",
        "system_id": "shop",
        "actor_address": f"shop:{n}",
        "event_type": "ActorStarted",
        "payload": {},
        "timestamp": float(n),
    }


def count(path: Path) -> int:
    n: int = ostracon.open(path, "read").sql("SELECT count(*) FROM events").one()
    return n


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


RECORDS = """
    import sys, threading, ostracon
    store = ostracon.open(sys.argv[1], durability="buffered")
    for n in range(100):
        store.record({"kind": "event", "system_id": "s", "actor_address": "a", "event_type": "X",
                      "payload": {}, "timestamp": 1.0})
"""


@pytest.mark.parametrize(
    "keeps",
    [
        "threading.Thread(target=threading.Event().wait, args=(), daemon=True).start(); "
        "keep = [store]; keep.append(keep)",
        "threading.Thread(target=lambda s: threading.Event().wait(), args=(store,), daemon=True).start()",
        "store.me = store; import gc; gc.disable(); del store",
        "sys.modules['kept'] = store; del store",
        "raise SystemExit(3)",
        "1 / 0",
    ],
)
def test_buffered_facts_outlive_an_ordinary_exit(path: Path, keeps: str) -> None:
    run(textwrap.dedent(RECORDS) + keeps, path)
    assert count(path) == 100


def _works(store: ostracon.Store, first: int) -> None:
    for n in range(first, first + 10):
        store.record(fact(n))


async def _records(backend: OstraconPersistence) -> None:
    await backend.record_event(PersistedEvent("shop", "shop:1", "X", {}, 1.0))


def _works_with(backend: OstraconPersistence) -> None:
    import anyio

    anyio.run(_records, backend)


@pytest.mark.parametrize("how", ["spawn", "fork", "forkserver"])
def test_workers_are_given_handles(path: Path, how: str) -> None:
    context = multiprocessing.get_context(how)
    with ostracon.open(path, durability="buffered", flush_rows=7) as store:
        store.record(fact(0))
        backend = OstraconPersistence(path, retention_policy=RetentionPolicy(max_records=1000))
        workers = [context.Process(target=_works, args=(store, 10 * n)) for n in range(2)]
        workers.append(context.Process(target=_works_with, args=(backend,)))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert store.sql("SELECT count(*) FROM events").one() == 22
        assert store.sql("SELECT count(DISTINCT stream) FROM events").one() >= 2


def test_handles_are_pickled_as_their_path(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ostracon.open("facts", flush_rows=5) as store:
        store.record(fact(1))
        monkeypatch.chdir("/")
        for again in (pickle.loads(pickle.dumps(store)), copy.copy(store), copy.deepcopy(store)):
            assert again.path == str(path) and again.sql("SELECT count(*) FROM events").one() >= 1
            again.record(fact(2))
            again.close()
            with pytest.raises(ostracon.ClosedError):
                again.record(fact(3))
            again = pickle.loads(pickle.dumps(again))
            with pytest.raises(ostracon.ClosedError):
                again.record(fact(3))
            store.record(fact(4))
        group = store.consumer_group("events", "g")
        assert pickle.loads(pickle.dumps(group)).create() and group.summary().pending == 0
        position = store.record(fact(5))
        assert pickle.loads(pickle.dumps(position)) == position == copy.deepcopy(position)
        answer = store.sql("SELECT seq, at FROM events")
        assert pickle.loads(pickle.dumps(answer)).rows() == answer.rows() == copy.copy(answer).rows()
        report = store.scan()
        for again in (pickle.loads(pickle.dumps(report)), copy.copy(report), copy.deepcopy(report)):
            assert again == report and again.is_clean and type(again) is type(report)
        for error in (ostracon.QueryError("x"), ostracon.ClosedError("y")):
            assert repr(pickle.loads(pickle.dumps(error))) == repr(error)
    assert count(path) == 8


@pytest.mark.anyio
async def test_a_backends_copy_is_closed_alone(path: Path) -> None:
    event = PersistedEvent("shop", "shop:1", "X", {}, 1.0)
    backend = OstraconPersistence(path, retention_policy=RetentionPolicy(max_records=3))
    for other in (copy.copy(backend), pickle.loads(pickle.dumps(backend))):
        await other.record_event(event)
        await other.aclose()
        await backend.record_event(event)
        assert other.closed and not backend.closed and other.retention == backend.retention
    assert (len(await backend.list_events()), backend.metrics.write_errors) == (3, 0)
    await backend.aclose()
    assert pickle.loads(pickle.dumps(backend)).closed
    assert backend.store.sql("SELECT count(*) FROM store.segments").one() > 0


@pytest.mark.anyio
async def test_a_path_is_bound_when_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    backend = OstraconPersistence("facts")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    await backend.record_event(PersistedEvent("shop", "shop:1", "X", {}, 1.0))
    await backend.aclose()
    assert (tmp_path / "facts" / "ledger").is_dir() and not os.listdir(tmp_path / "elsewhere")
    assert backend.path == tmp_path / "facts" and not (await backend.scan()).has_anomalies


def test_the_last_copy_closes(path: Path) -> None:
    store = ostracon.open(path)
    other = copy.copy(store)
    store.record(fact(1))
    del store
    gc.collect()
    other.close()
    assert ostracon.open(path, "read").sql("SELECT count(*) FROM store.segments").one() == 1


def test_a_forgotten_store_is_closed(path: Path) -> None:
    store = ostracon.open(path, durability="buffered")
    store.record(fact(1))
    gc.disable()
    try:
        del store
        assert count(path) == 1
        assert ostracon.open(path, "read").sql("SELECT count(*) FROM store.segments").one() == 1
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "does",
    [
        "ostracon.open(path, 'read').sql('SELECT 1')",
        "ostracon.open(path, 'maintain').compact()",
        "ostracon.open(path, 'maintain').consumer_group('events', 'g').create()",
        "ostracon.open(path, 'maintain').recover('repair')",
    ],
)
def test_warnings_are_heard_also_where_nothing_is_recorded(path: Path, does: str) -> None:
    with ostracon.open(path) as store:
        for n in range(3):
            store.record(fact(n))
            store.flush()
    commits = sorted((path / "ledger").glob("*.json"))
    commits[-1].write_bytes(b"")
    done = run(f"import logging, sys, ostracon; logging.basicConfig(); path = sys.argv[1]; {does}", path)
    assert done.returncode == 0 and "WARNING:ostracon" in done.stderr, done.stderr
