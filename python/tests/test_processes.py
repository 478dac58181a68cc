"""More processes than one: forks, workers, and what is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ostracon

WORKER = """
import sys, ostracon
store = ostracon.open(sys.argv[1], durability=sys.argv[2])
n = 0
while n < int(sys.argv[3]):
    n += 1
    position = store.record({"kind": "event", "system_id": sys.argv[4], "actor_address": f"shop:{n}",
        "event_type": "X", "payload": {"n": n}, "timestamp": float(n)})
    print(n, flush=True)
"""


def fact(n: int) -> dict[str, object]:
    return {
        "kind": "event",
        "system_id": "shop",
        "actor_address": f"shop:{n}",
        "event_type": "X",
        "payload": {},
        "timestamp": float(n),
    }


def worker(path: Path, most: int, name: str, durability: str = "journaled") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, str(path), durability, str(most), name]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_four_workers_record_side_by_side(path: Path) -> None:
    workers = [worker(path, 500, f"w{n}") for n in range(4)]
    for process in workers:
        process.communicate()
        assert process.returncode == 0
    store = ostracon.open(path, "read")
    rows = store.sql(
        "SELECT system_id, count(*), count(DISTINCT timestamp) FROM events GROUP BY 1 ORDER BY 1"
    ).rows()
    assert rows == [(f"w{n}", 500, 500) for n in range(4)]
    assert store.scan(deep=True).is_clean


def test_nothing_that_was_acknowledged_is_lost_by_a_kill(path: Path) -> None:
    chance = random.Random(7)
    acknowledged = {}
    for round_ in range(20):
        name = f"r{round_}"
        process = worker(path, 100_000, name)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 300)):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read()
        lines = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged[name] = int(lines[-1]) if lines else 0
        process.wait()
    ostracon.open(path).close()
    rows = (
        ostracon.open(path, "read")
        .sql("SELECT system_id, count(*), max((payload->>'n')::BIGINT) FROM events GROUP BY 1")
        .rows()
    )
    for name, count, last in rows:
        assert count == last >= acknowledged[name], name
    assert len(rows) == 20 and ostracon.open(path, "read").scan(deep=True).is_clean


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_a_fork_has_a_stream_of_its_own(path: Path) -> None:
    store = ostracon.open(path)
    first = store.record(fact(1))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            other = store.record(fact(2))
            asked = store.sql("SELECT count(*) FROM events").one()
            code = 0 if other.stream != first.stream and asked == 2 else 2
            store.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.record(fact(3)).stream == first.stream
    assert sorted(fact["timestamp"] for fact in store.list("events")) == [1.0, 2.0, 3.0]
    store.close()
    assert store.scan(deep=True).is_clean


def test_one_handle_that_cannot_be_given_up_leaves_no_other_with_its_parents_writer(path: Path) -> None:
    broken = [ostracon.open(path / f"broken-{n}") for n in range(20)]
    for store in broken:
        store._handles.opened_writer = object()  # type: ignore[assignment]
    store = ostracon.open(path / "facts")
    first = store.record(fact(1))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if store.record(fact(2)).stream != first.stream else 2
            store.close()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    for other in broken:
        other._handles.opened_writer = None


def test_a_process_that_ends_without_closing_loses_nothing(path: Path) -> None:
    code = WORKER.replace("print(n, flush=True)", "pass")
    for durability in ("journaled", "buffered"):
        done = subprocess.run([sys.executable, "-c", code, str(path / durability), durability, "10", "w"])
        assert done.returncode == 0
        assert ostracon.open(path / durability, "read").sql("SELECT count(*) FROM events").one() == 10


def test_ctrl_c_stops_a_question(path: Path) -> None:
    ostracon.open(path).close()
    code = (
        "import sys, ostracon\n"
        "store = ostracon.open(sys.argv[1], 'read')\n"
        "print('asking', flush=True)\n"
        "try:\n    store.sql('SELECT count(*) FROM generate_series(1, 100000000000)')\n"
        "except KeyboardInterrupt:\n    print('stopped', store.sql('SELECT 7').one())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "asking\n"
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "stopped 7\n" and time.monotonic() - begun < 10
