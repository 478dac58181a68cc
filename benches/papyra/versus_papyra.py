#!/usr/bin/env python3
"""Record, list, scan and compact the same facts with Ostracon and with Papyra's own backends, in one table of ratios.

    python benches/papyra/versus_papyra.py [--quick] [--facts 100000] [--folder FOLDER]

It needs a Python with `ostracon` (built with `--release`: of a debug build the figures mean nothing) and `papyra`.

What is compared, and how:

- **Backends**: Ostracon as it is by default (journaled: with the operating system when `record_event` returns);
  Papyra's JSON and rotating ones, which are as safe as that; and the in-memory one, which keeps nothing, for scale.
- Every figure comes from a **process of its own** per backend and subject, one after the other, under asyncio. The
  facts are those of a shop: starts, and one crash in ten, of about 180 bytes as JSON.
- **One after another**: `await record_event(...)` in a loop. **100 tasks**: as many such loops at once.
- **list_events(limit=100)**, **scan** and **compact**: at all the facts, in the process that recorded them one after
  another; the median of five, or one of those that take over a second. Papyra's compaction and Ostracon's both rewrite
  (Ostracon's segments are merged); nothing expires.
- **Bytes a fact**: all files after the recording and the closing, by the number of facts.
- **Peak memory**: of the process, the interpreter (its 30 MB or so) included, when it has recorded, and in the end.
- **The loop was held**: a task that does nothing but come back to the event loop measures the longest it was kept
  waiting while another records, and comes back after every fact. Ostracon flushes every eighth of them meanwhile.
  Python's own collection of garbage holds the loop, too, and counts.

A ratio is how many times better Ostracon is: above 1 it is faster, or smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from papyra.persistence.backends.memory import InMemoryPersistence
from papyra.persistence.backends.rotating import RotatingFilePersistence
from papyra.persistence.json import JsonFilePersistence
from papyra.persistence.models import PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence

TASKS = 100
FLUSHES = 8
BACKENDS: dict[str, Callable[..., Any]] = {
    "ostracon": lambda folder, **settings: OstraconPersistence(folder / "facts", **settings),
    "json": lambda folder, **_: JsonFilePersistence(folder / "facts.json"),
    "rotating": lambda folder, **_: RotatingFilePersistence(folder / "facts.log"),
    "memory": lambda folder, **_: InMemoryPersistence(),
}


def fact(n: int) -> PersistedEvent:
    address, when = f"shop:{n % 997}", 1_795_000_000.0 + n / 100
    if n % 10:
        return PersistedEvent("shop", address, "ActorStarted", {}, when)
    payload = {"error": f"KeyError: 'sku-{n % 50}'", "reason": None}
    return PersistedEvent("shop", address, "ActorCrashed", payload, when)


# In the child


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bytes_within(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def seconds(work: Callable[[], Awaitable[Any]]) -> float:
    """The median of five, or once if that takes long."""
    times: list[float] = []
    while len(times) < 5 and not (times and times[0] > 1.0):
        begun = time.perf_counter()
        await work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def sequence(backend: Any, facts: int, folder: Path) -> dict[str, float]:
    """Records one after another, and then asks of it what an operator does."""
    begun = time.perf_counter()
    for n in range(facts):
        await backend.record_event(fact(n))
    figures = {"one after another": facts / (time.perf_counter() - begun)}
    figures["peak memory, recorded"] = peak_bytes()

    async def listed() -> None:
        assert len(await backend.list_events(limit=100)) == min(100, facts)

    figures["list_events(limit=100)"] = await seconds(listed)
    figures["scan"] = await seconds(backend.scan)
    begun = time.perf_counter()
    await backend.compact()
    figures["compact"] = time.perf_counter() - begun
    await listed()
    figures["peak memory, in the end"] = peak_bytes()
    return figures


async def tasks(backend: Any, facts: int, folder: Path) -> dict[str, float]:
    async def some(first: int) -> None:
        for n in range(first, facts, TASKS):
            await backend.record_event(fact(n))

    begun = time.perf_counter()
    await asyncio.gather(*(some(first) for first in range(TASKS)))
    took = time.perf_counter() - begun
    await backend.aclose()
    return {f"{TASKS} tasks": facts / took, "bytes a fact": bytes_within(folder) / facts}


async def held(backend: Any, facts: int, folder: Path) -> dict[str, float]:
    longest, done = 0.0, False

    async def watch() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not done:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    watching = asyncio.create_task(watch())
    for n in range(facts):
        await backend.record_event(fact(n))
        await asyncio.sleep(0)
    done = True
    await watching
    figures = {"the loop was held": longest}
    if isinstance(backend, OstraconPersistence):
        figures["flushes"] = backend.metrics.flushes
    await backend.aclose()
    return figures


SUBJECTS = {"sequence": sequence, "tasks": tasks, "held": held}


def child(backend: str, subject: str, facts: int, folder: Path) -> None:
    settings = {"flush_rows": max(1, facts // FLUSHES)} if subject == "held" else {}
    made = BACKENDS[backend](folder, **settings)
    figures = asyncio.run(SUBJECTS[subject](made, facts, folder))
    print(json.dumps(figures))


# In the parent


def measured(backend: str, subject: str, facts: int, folder: str | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, os.path.abspath(__file__), "--child", backend, subject, str(facts), place]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{backend} failed at {subject}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def per_second(value: float) -> str:
    return f"{value:,.0f}/s"


def duration(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def number(value: float) -> str:
    return f"{value:.1f}"


# Each with how it is shown, and whether more is better.
ROWS: list[tuple[str, Callable[[float], str], bool]] = [
    ("one after another", per_second, True),
    (f"{TASKS} tasks", per_second, True),
    ("list_events(limit=100)", duration, False),
    ("scan", duration, False),
    ("compact", duration, False),
    ("bytes a fact", number, False),
    ("peak memory, recorded", megabytes, False),
    ("peak memory, in the end", megabytes, False),
    ("the loop was held", duration, False),
]


def table(figures: dict[str, dict[str, float]]) -> str:
    others = [name for name in BACKENDS if name != "ostracon"]
    lines = [["", "ostracon", *(cell for name in others for cell in (name, "ratio"))]]
    for row, shown, more_is_better in ROWS:
        ours = figures["ostracon"][row]
        cells = [row, shown(ours)]
        for name in others:
            theirs = figures[name].get(row, 0.0)
            if not theirs or (name == "memory" and row == "bytes a fact"):
                cells += ["-", "-"]
            else:
                ratio = ours / theirs if more_is_better else theirs / ours
                cells += [shown(theirs), f"{ratio:.2g}" if ratio < 100 else f"{ratio:,.0f}"]
        lines.append(cells)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])]) for cells in lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="2,000 facts: shows that it works, and no more")
    parser.add_argument(
        "--folder", help="where the stores are made (by default, the folder for temporary files)"
    )
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        backend, subject, facts, folder = args.child
        return child(backend, subject, int(facts), Path(folder))

    every = 2_000 if args.quick else args.facts
    # Papyra's file backends record some thousands a second: what is not a matter of size is asked of fewer.
    number_of = {
        "sequence": dict.fromkeys(BACKENDS, every),
        "tasks": {"ostracon": every, "json": every // 5, "rotating": every // 5, "memory": every},
        "held": {"ostracon": every * 2, "json": every // 5, "rotating": every // 5, "memory": every * 2},
    }
    figures: dict[str, dict[str, float]] = {name: {} for name in BACKENDS}
    for subject, of in number_of.items():
        for backend, facts in of.items():
            print(f"{backend}: {subject}, {facts:,} facts", file=sys.stderr)
            figures[backend] |= measured(backend, subject, facts, args.folder)

    print(f"ostracon {ostracon.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    print(f"{every:,} facts; a ratio above 1 is better for Ostracon", end="\n\n")
    print(table(figures), end="\n\n")
    print(f"Peak memory, list, scan and compact: at {every:,} facts. Fewer for: ", end="")
    print(f"{TASKS} tasks and bytes a fact (json, rotating: {every // 5:,}),", end=" ")
    print(f"the loop was held (json, rotating: {every // 5:,}; ostracon, memory: {every * 2:,}).")
    print(f"The loop was held: with {figures['ostracon']['flushes']:,.0f} flushes of Ostracon meanwhile.")
    if args.quick:
        print("A quick run: the figures mean nothing.")


if __name__ == "__main__":
    main()
