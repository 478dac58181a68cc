"""What Papyra's own backends get wrong, each as the scenario in which somebody would lose by it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from papyra import Actor, ActorSystem
from papyra.exceptions import ActorStopped
from papyra.persistence.backends.rotating import RotatingFilePersistence
from papyra.persistence.json import JsonFilePersistence
from papyra.persistence.models import (
    PersistedAudit,
    PersistedDeadLetter,
    PersistedEvent,
    PersistenceRecoveryConfig,
    PersistenceRecoveryMode,
)
from papyra.persistence.startup import PersistenceStartupConfig, PersistenceStartupMode

import ostracon
from ostracon.papyra import OstraconPersistence

pytestmark = pytest.mark.anyio

FAIL_ON_ANOMALY = PersistenceStartupConfig(mode=PersistenceStartupMode.FAIL_ON_ANOMALY)
LINE = {
    "kind": "event",
    "system_id": "shop",
    "actor_address": "shop:1",
    "event_type": "ActorStarted",
    "payload": {},
    "timestamp": 1.0,
}


def event(n: int, payload: Any = None) -> PersistedEvent:
    return PersistedEvent("shop", f"shop:{n}", "ActorStarted", payload or {"n": n}, float(n))


async def recorded(backend: OstraconPersistence) -> list[int]:
    """The numbers of the events, in the order of the store."""
    return [fact.payload["n"] for fact in await backend.list_events()]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(30):
        while not await condition():
            await anyio.sleep(0.005)


# Recording


class Till(Actor):
    async def receive(self, message: Any) -> Any:
        return message


async def test_no_payload_brings_the_actor_system_down(path: Path) -> None:
    """Papyra's JSON backend raises for these, and a raising backend cancels every actor."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

        __str__ = __repr__

    cycle: list[Any] = []
    cycle.append(cycle)
    messages: list[Any] = [
        {("a", 1): 2},
        cycle,
        "\ud800",
        Shy(),
        10**5000,
        {"deep": cycle},
        b"\xff",
        {1: {2}},
    ]
    backend = OstraconPersistence(path)
    async with ActorSystem(persistence=backend) as system:
        alive, gone = system.spawn(Till), system.spawn(Till)
        await system.stop(gone)
        for message in messages:
            with pytest.raises(ActorStopped):
                await gone.tell(message)
        assert await alive.ask("still there?") == "still there?"

        async def all_told() -> bool:
            return len(await backend.list_dead_letters()) == len(messages)

        await until(all_told)
    letters = await backend.list_dead_letters()
    payloads = [letter.payload for letter in letters]
    assert "\ud800" in payloads and {"('a', 1)": 2} in payloads
    assert backend.metrics.write_errors == 0


async def test_synced_means_synced_and_works(path: Path) -> None:
    """Papyra's rotating backend raises on every record with `fsync=True`; the others sync nothing."""
    backend = OstraconPersistence(path, durability="synced")
    for n in range(5):
        await backend.record_event(event(n))
    counters = backend.metrics.snapshot()
    assert (counters["records_written"], counters["write_errors"], counters["syncs"]) == (5, 0, 5)
    async with anyio.create_task_group() as group:
        for n in range(5, 105):
            group.start_soon(backend.record_event, event(n))
    counters = backend.metrics.snapshot()
    assert counters["records_written"] == 105 and counters["write_errors"] == 0
    assert 5 < counters["syncs"] < 105, "what waits at the same time shares a sync"
    assert sorted(await recorded(backend)) == list(range(105))


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_the_operating_system_sees_the_sync(path: Path, tmp_path: Path) -> None:
    code = (
        "import sys, anyio\n"
        "from test_weaknesses import OstraconPersistence, event\n"
        "async def main():\n"
        "    backend = OstraconPersistence(sys.argv[1], durability=sys.argv[2])\n"
        "    for n in range(10):\n        await backend.record_event(event(n))\n"
        "    sys.stdout.flush(); import os; os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    syncs = {}
    for durability in ("journaled", "synced"):
        trace = tmp_path / durability
        command = [
            "strace",
            "-f",
            "-y",
            "-e",
            "trace=fdatasync,fsync",
            "-o",
            str(trace),
            sys.executable,
            "-c",
        ]
        done = subprocess.run(
            [*command, code, str(path / durability), durability],
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
        )
        if b"ptrace" in done.stderr:
            pytest.skip("nothing may be traced here")
        # A journal file keeps the name in the trace under which it was begun.
        begun = re.compile(r"/journal/1/[^/>]+>")
        syncs[durability] = sum(bool(begun.search(line)) for line in trace.read_text().splitlines())
    assert syncs["synced"] >= 10 > syncs["journaled"]


def killed_while_recording(path: Path, facts: int) -> Path:
    """A store of a process that was killed, and its journal."""
    code = (
        "import sys, anyio\n"
        "from test_weaknesses import OstraconPersistence, event\n"
        "async def main():\n"
        "    backend = OstraconPersistence(sys.argv[1])\n"
        f"    for n in range({facts}):\n        await backend.record_event(event(n))\n"
        "    import os; os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parent)
    assert done.returncode == -signal.SIGKILL
    (journal,) = path.glob("journal/*/*.journal")
    return journal


async def test_after_a_torn_tail_the_next_fact_is_kept(path: Path, tmp_path: Path) -> None:
    """In Papyra's file the next fact is glued to the torn line, and both are lost."""
    journal = killed_while_recording(path, 10)
    whole = journal.read_bytes()
    for cut in (1, 5, 40):
        torn = tmp_path / f"torn-{cut}"
        shutil.copytree(path, torn)
        (torn / journal.relative_to(path)).write_bytes(whole[:-cut])
        backend = OstraconPersistence(torn)
        for n in (100, 101):
            await backend.record_event(event(n))
        await backend.aclose()
        # Of a fact that was cut nothing comes back; all before and all after do.
        assert await recorded(OstraconPersistence(torn)) == [*range(9), 100, 101], cut
        assert not (await backend.scan()).has_anomalies and backend.store.scan(deep=True).is_clean
    half = tmp_path / "half"
    shutil.copytree(path, half)
    (half / journal.relative_to(path)).write_bytes(whole + whole[-60:-20])
    backend = OstraconPersistence(half)
    await backend.record_event(event(100))
    assert await recorded(backend) == [*range(10), 100]


# Reading


async def test_a_limit_of_zero_is_none(path: Path) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    await backend.record_audit(PersistedAudit("shop", 1.0, 3, 2, 1, 0, 4, (), (), 5))
    await backend.record_dead_letter(PersistedDeadLetter("shop", None, "Order", {}, 1.0))
    for listed in (backend.list_events, backend.list_audits, backend.list_dead_letters):
        assert await listed(limit=0) == () == await listed(limit=-5) and len(await listed(limit=1)) == 1


async def test_the_newest_are_found_without_reading_everything(path: Path) -> None:
    """Papyra's file backends read the whole file for every list."""
    store = ostracon.open(path)
    for n in range(30_000):
        store.record(json.dumps({**LINE, "payload": {"n": n}}))
        if n % 10_000 == 9_999:
            store.flush()
    backend = OstraconPersistence(path)

    async def took(limit: int | None) -> float:
        begun = time.perf_counter()
        listed = await backend.list_events(limit=limit)
        assert len(listed) == (limit or 30_000) and listed[-1].payload == {"n": 29_999}
        return time.perf_counter() - begun

    # The best of some, for the machine may be busy with something else.
    few = min([await took(10) for _ in range(5)])
    assert few < await took(None) / 4


async def test_one_bad_row_does_not_take_the_others_along(path: Path, tmp_path: Path) -> None:
    """In Papyra's file one row with a missing field makes every list raise, for ever."""
    file = tmp_path / "events.json"
    missing = {name: value for name, value in LINE.items() if name != "system_id"}
    nothing = {name: value for name, value in LINE.items() if name not in ("event_type", "timestamp")}
    rows = [LINE, missing, {**LINE, "kind": "novel"}, nothing, [1, 2], {**LINE, "timestamp": "soon"}, LINE]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\nnot json\n" + json.dumps(LINE) + "\n")
    with pytest.raises(TypeError, match="missing"):
        await RotatingFilePersistence(file).list_events()

    backend = OstraconPersistence(path)
    report = await backend.import_from(file)
    rejected = {line: reason for line, reason in report.reasons}
    listed = await backend.list_events()
    assert report.facts == len(listed) == len(rows) + 3 - 1 - report.rejected, (
        "every line is one or the other"
    )
    # A timestamp that is no number is no reason to refuse a fact.
    assert {4, 5, 9} <= set(rejected) and not {1, 6, 7, 10} & set(rejected)
    assert listed[1].timestamp == "soon"
    assert len(rejected) == report.rejected and all(str(file) in reason for reason in rejected.values())
    assert await backend.list_audits() == () and not (await backend.scan()).has_anomalies


async def test_invalid_utf_8_is_one_lines_misfortune(path: Path, tmp_path: Path) -> None:
    """One such byte, and nothing of Papyra's works on the file, its scan and recovery neither."""
    file = tmp_path / "events.json"
    good = json.dumps(LINE).encode()
    file.write_bytes(good + b"\n" + good.replace(b"shop:1", b"sh\xff\xfep") + b"\n" + good + b"\n")
    with pytest.raises(UnicodeDecodeError):
        await JsonFilePersistence(file).list_events()
    backend = OstraconPersistence(path)
    report = await backend.import_from(file)
    assert report.facts + report.rejected == 3 and report.facts >= 2
    assert len(await backend.list_events()) == report.facts
    assert [line for line, _ in report.reasons] == [2][: report.rejected]
    assert not (await backend.scan()).has_anomalies and not (await backend.recover()).scan.has_anomalies


# Maintenance


async def test_a_recovery_does_not_double_facts(path: Path, tmp_path: Path) -> None:
    journal = killed_while_recording(path, 50)
    held = journal.read_bytes()
    backend = OstraconPersistence(path)
    for n in range(50, 100):
        await backend.record_event(event(n))
    await backend.aclose()
    # The process died after the flush and before it could remove the journal.
    assert not journal.exists()
    journal.parent.mkdir(exist_ok=True)
    journal.write_bytes(held)
    (path / "events" / "stranger.txt").write_text("x")
    aside = tmp_path / "aside"
    for mode in PersistenceRecoveryMode:
        for _ in range(2):
            again = OstraconPersistence(path)
            await again.recover(PersistenceRecoveryConfig(mode, quarantine_dir=str(aside)))
            assert sorted(await recorded(again)) == list(range(100)), mode
    assert not (await OstraconPersistence(path).scan()).has_anomalies
    # And so it is if the ledger itself has gone.
    shutil.rmtree(path / "ledger")
    again = OstraconPersistence(path)
    await again.recover(PersistenceRecoveryConfig(PersistenceRecoveryMode.REBUILD))
    assert sorted(await recorded(again)) == list(range(100))


async def test_compaction_beside_a_recorder_loses_nothing(path: Path) -> None:
    """Papyra's compaction rewrites the file and drops what was recorded meanwhile."""
    backend, n, done = OstraconPersistence(path, flush_rows=50), 0, False

    async def record() -> None:
        nonlocal n
        while not done:
            await backend.record_event(event(n))
            n += 1
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(record)
        # From within, and from another process.
        for compact in (backend.compact, OstraconPersistence(path).compact) * 3:
            told = n

            async def grown(to: int = told + 120) -> bool:
                return n >= to

            await until(grown)
            report = await compact()
            assert report.before_records == report.after_records, "nothing expires here"
        command = [sys.executable, "-m", "ostracon", "compact", str(path)]
        assert (await anyio.run_process(command)).returncode == 0
        done = True
    assert await recorded(backend) == list(range(n)) and n > 700
    await backend.aclose()
    assert await recorded(OstraconPersistence(path)) == list(range(n))
    assert backend.store.scan(deep=True).is_clean and backend.metrics.compaction_errors == 0


async def test_flipped_bits_are_found_by_a_deep_scan_and_put_right(path: Path) -> None:
    """Papyra's files have no checksums: a flipped bit in a digit is another fact, for ever."""
    backend = OstraconPersistence(path)
    events = tuple(event(n, {"n": n, "text": f"sku-{n * 7919}"}) for n in range(200))
    for fact in events:
        await backend.record_event(fact)
    await backend.aclose()
    segment = next(path.glob("events/*.parquet"))
    whole = segment.read_bytes()
    store = ostracon.open(path, "read")
    for position in [*range(0, len(whole), len(whole) // 60), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        segment.write_bytes(flipped)
        found = store.scan(deep=True)
        assert not found.is_clean, f"bit 4 of byte {position} of {len(whole)}"
        assert all(segment.name in anomaly.path for anomaly in found.anomalies)
    segment.write_bytes(whole)
    assert store.scan(deep=True).is_clean

    # Reading and a quick scan look at no digest: until a deep scan, this one is served.
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    segment.write_bytes(flipped)
    await OstraconPersistence(path).recover(PersistenceRecoveryConfig(PersistenceRecoveryMode.REPAIR))
    assert store.scan(deep=True).is_clean
    assert await OstraconPersistence(path).list_events() == events, "one bit is put right, with proof"


async def test_reset_clears_all_ten(path: Path, tmp_path: Path) -> None:
    """Papyra's `reset` forgets the errors."""
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    await backend.record_event(object())
    await backend.compact()
    (path / "events" / "stranger.txt").write_text("x")
    await backend.scan()
    await backend.recover()
    with pytest.raises(ValueError, match="no mode"):
        await backend.recover(SimpleNamespace(mode="magic"))
    names = [name for name in backend.metrics.snapshot() if name in backend.metrics._PAPYRAS]
    # What makes a scan and a compaction fail takes a broken machine.
    for name in ("scan_errors", "compaction_errors"):
        backend.metrics.add(name, 1)
    counters = backend.metrics.snapshot()
    assert len(names) == 10 and all(counters[name] > 0 for name in names), counters
    backend.metrics.reset()
    counters = backend.metrics.snapshot()
    assert not any(counters[name] for name in names), counters
    await backend.record_event(event(2))
    assert backend.metrics.records_written == 1


# Beginning


async def test_a_store_that_is_being_made_is_no_anomaly(path: Path, tmp_path: Path) -> None:
    """Else the second of two workers that start together, and check first, finds one and gives up."""
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    await backend.aclose()
    made = [file for file in path.rglob("*") if file.is_dir() or file.name == "ostracon.toml"]
    half = tmp_path / "half"

    async def nothing_is_wrong() -> None:
        beside = OstraconPersistence(half)
        assert not (await beside.scan()).has_anomalies and await beside.list_events() == ()
        repair = PersistenceRecoveryConfig(PersistenceRecoveryMode.REPAIR)
        assert not (await beside.recover(repair)).scan.has_anomalies
        assert (await beside.compact()).before_records == 0
        async with ActorSystem(persistence=beside, persistence_startup=FAIL_ON_ANOMALY):
            pass

    half.mkdir()
    await nothing_is_wrong()
    for file in sorted(made):
        if file.relative_to(path).parts[0] != "journal" or file.parent == path:
            at = half / file.relative_to(path)
            at.mkdir() if file.is_dir() else shutil.copy(file, at)
            await nothing_is_wrong()
    (half / "ledger" / ".00000000000000000000.json.tmp").write_text("{")
    await nothing_is_wrong()

    # A store that has lost its ledger, or that is somebody else's folder, is another matter.
    segment = next(path.glob("events/*.parquet"))
    shutil.copy(segment, half / "events")
    assert (await OstraconPersistence(half).scan()).has_anomalies
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1").mkdir()
    assert (await OstraconPersistence(tmp_path / "thesis").scan()).has_anomalies


# A full disk

FULL = """
import os, resource, signal, subprocess, sys
import anyio
from test_weaknesses import OstraconPersistence, event

how, folder, durability = sys.argv[1:]

async def main():
    if how == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
        with open(f"{folder}/ballast", "wb") as ballast:
            ballast.write(bytes(600_000))
    else:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    backend = OstraconPersistence(f"{folder}/facts", durability=durability)
    kept, n = [], 0

    async def record():
        nonlocal n
        errors = backend.metrics.write_errors
        await backend.record_event(event(n, {"n": n, "text": os.urandom(400).hex()}))
        n += 1
        if backend.metrics.write_errors == errors:
            kept.append(n - 1)
        return backend.metrics.write_errors == errors

    while await record():
        assert n < 5_000, "the disk is never full"
    for _ in range(5):
        await record()
    assert backend.metrics.write_errors >= 1
    listed = [fact.payload["n"] for fact in await backend.list_events()]
    assert listed == kept, "those that have room are kept"
    if how == "tmpfs":
        os.remove(f"{folder}/ballast")
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with anyio.fail_after(20):
        while not await record():
            await anyio.sleep(0.01)
    errors = backend.metrics.write_errors
    for _ in range(100):
        await record()
    assert backend.metrics.write_errors == errors, "there is room again"
    assert [fact.payload["n"] for fact in await backend.list_events()] == kept
    await backend.aclose()
    assert [fact.payload["n"] for fact in await OstraconPersistence(f"{folder}/facts").list_events()] == kept
    assert backend.store.scan(deep=True).is_clean
    print(len(kept), "kept,", errors, "counted")

anyio.run(main)
"""


@pytest.mark.parametrize("durability", ["journaled", "synced"])
@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_a_full_disk_is_counted_and_recording_resumes(tmp_path: Path, how: str, durability: str) -> None:
    command = [sys.executable, "-c", FULL, how, str(tmp_path), durability]
    if how == "tmpfs":
        # Mounted where nobody else sees it, it goes with the process.
        alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        mount = ["mount", "-t", "tmpfs", "none", str(tmp_path)]
        if (
            shutil.which("unshare") is None
            or subprocess.run([*alone, *mount], capture_output=True).returncode
        ):
            pytest.skip("nothing may be mounted here")
        command = [*alone, *command]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept, counted = (int(word) for word in done.stdout.split() if word.isdigit())
    assert kept > 200 and counted >= 1
    assert done.stderr.count("failed to record a fact") == 1, "one line tells it"


@pytest.mark.anyio
async def test_a_damaged_segment_does_not_take_the_others_with_it(path: Path) -> None:
    backend = OstraconPersistence(path, flush_rows=1000)
    for n in range(6):
        await backend.record_event(event(n))
        if n % 2 == 1:
            backend._handles.writer().flush()
    segments = sorted((path / "events").glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    os.truncate(segments[1], 100)
    assert [fact.timestamp for fact in await backend.list_events()] == [0.0, 1.0, 4.0, 5.0]
    assert [fact.timestamp for fact in await backend.list_events(limit=1)] == [5.0]
    assert backend.metrics.rows_skipped == 2
    # SQL, and lists for scripts, would rather say so.
    with pytest.raises(ostracon.DamagedError):
        backend.store.list("events")
    assert len((await backend.scan()).anomalies) == 1
    await backend.aclose()


class Poisoned:
    """A writer of which a sync has failed."""

    is_synced = False

    def __init__(self) -> None:
        self.closed = False

    def append(self, line: str) -> ostracon.Position:
        error = ostracon.ClosedError if self.closed else ostracon.PoisonedError
        raise error("a sync has failed")

    def close(self) -> None:
        self.closed = True
        raise ostracon.PoisonedError("a sync has failed")

    def metrics(self) -> list[tuple[str, int]]:
        return []


@pytest.mark.anyio
async def test_after_a_failed_sync_the_store_is_opened_anew(path: Path) -> None:
    backend = OstraconPersistence(path)
    await backend.record_event(event(1))
    sound = backend._handles.opened_writer
    assert sound is not None
    sound.close()
    backend._handles.opened_writer = Poisoned()  # type: ignore[assignment]
    await backend.record_event(event(2))
    assert backend.metrics.write_errors == 1
    await backend.record_event(event(3))
    assert [fact.timestamp for fact in await backend.list_events()] == [1.0, 3.0]
    # Of a disk that keeps failing it is not tried for every fact.
    broken = Poisoned()
    backend._handles.opened_writer = broken  # type: ignore[assignment]
    await backend.record_event(event(4))
    assert not broken.closed and backend.metrics.write_errors == 2
    # Whoever meets a writer that has just been given up takes the next one.
    broken.closed = True
    backend._handles._renewed = -10.0
    writers = iter([broken])
    own = backend._handles.writer
    backend._handles.opened_writer = None
    backend._handles.writer = lambda: next(writers, None) or own()  # type: ignore[method-assign]
    await backend.record_event(event(5))
    assert [fact.timestamp for fact in await backend.list_events()] == [1.0, 3.0, 5.0]
    await backend.aclose()
