"""Consumer groups: each fact to one of the group, at least once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from papyra.persistence.backends.redis import RedisConsumerGroupConfig, RedisStreamEntry
from papyra.persistence.models import PersistedDeadLetter, PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence

pytestmark = pytest.mark.anyio


def event(n: int) -> PersistedEvent:
    return PersistedEvent(
        system_id="shop",
        actor_address=f"shop:{n}",
        event_type="ActorCrashed",
        payload={"n": n, "error": f"KeyError: {n}"},
        timestamp=float(n),
    )


def config(consumer: str, **more: Any) -> RedisConsumerGroupConfig:
    return RedisConsumerGroupConfig(group="shippers", consumer=consumer, **{"block_ms": 0, **more})


def numbers(entries: Any) -> list[int]:
    return [entry.data["payload"]["n"] for entry in entries]


async def test_entries_mean_what_they_do_in_papyras_redis_backend(path: Path) -> None:
    persistence = OstraconPersistence(path)
    for n in range(5):
        await persistence.record_event(event(n))
    await persistence.record_dead_letter(
        PersistedDeadLetter(system_id="shop", target=None, message_type="Order", payload=None, timestamp=1.0)
    )
    first = await persistence.consume(kind="events", cfg=config("a", count=2))
    assert all(isinstance(entry, RedisStreamEntry) for entry in first)
    assert first[0].data == {
        "kind": "event",
        "system_id": "shop",
        "actor_address": "shop:0",
        "event_type": "ActorCrashed",
        "payload": {"n": 0, "error": "KeyError: 0"},
        "timestamp": 0.0,
    }
    rest = await persistence.consume(kind="events", cfg=config("b"))
    assert (numbers(first), numbers(rest)) == ([0, 1], [2, 3, 4])
    assert await persistence.consume(kind="events", cfg=config("a")) == ()

    ids = [entry.id for entry in first]
    assert await persistence.consume(kind="events", cfg=config("a"), read_id="0") == first
    assert await persistence.consume(kind="events", cfg=config("a"), read_id=ids[0]) == first[1:]
    summary = await persistence.pending_summary(kind="events", group="shippers")
    assert summary == {
        "raw": {
            "pending": 5,
            "min": ids[0],
            "max": rest[-1].id,
            "consumers": [{"name": "a", "pending": 2}, {"name": "b", "pending": 3}],
        }
    }
    assert await persistence.ack(kind="events", group="shippers", ids=ids[:1]) == 1
    assert await persistence.ack(kind="events", group="shippers", ids=(ids[0], "9:9")) == 0
    assert await persistence.ack(kind="events", group="nobody", ids=ids) == 0
    assert await persistence.ack(kind="events", group="shippers", ids=[]) == 0

    claim = persistence.claim
    all_ids = [*ids, *(entry.id for entry in rest)]
    assert await claim("events", group="shippers", consumer="c", min_idle_ms=60_000, entry_ids=all_ids) == []
    claimed = await claim("events", group="shippers", consumer="c", min_idle_ms=0, entry_ids=all_ids)
    assert numbers(claimed) == [1, 2, 3, 4]
    assert await claim("events", group="shippers", consumer="c", min_idle_ms=0, entry_ids=[]) == []

    await persistence.ensure_consumer_group(kind="dead_letters", group="shippers")
    letters = await persistence.consume(kind="dead_letters", cfg=config("a"))
    assert [(entry.data["kind"], entry.data["target"]) for entry in letters] == [("dead_letter", None)]
    with pytest.raises(ostracon.RefusedError, match="no consumer group"):
        await persistence.pending_summary(kind="audits", group="shippers")
    with pytest.raises(ostracon.RefusedError, match="create it"):
        await persistence.consume(kind="audits", cfg=config("a", ensure_group=False))
    with pytest.raises(ValueError, match="no kind"):
        await persistence.consume(kind="facts", cfg=config("a"))
    await persistence.aclose()
    assert numbers(await persistence.consume(kind="events", cfg=config("c"), read_id="0")) == [1, 2, 3, 4]


async def test_a_group_may_come_before_the_store_and_begin_with_what_is_new(path: Path) -> None:
    persistence = OstraconPersistence(path)
    await persistence.ensure_consumer_group(kind="events", group="all")
    await persistence.record_event(event(1))
    await persistence.ensure_consumer_group(kind="events", group="shippers", start_id="$")
    await persistence.ensure_consumer_group(kind="events", group="shippers", start_id="0")
    await persistence.record_event(event(2))
    assert numbers(await persistence.consume(kind="events", cfg=config("a"))) == [2]
    everything = RedisConsumerGroupConfig(group="all", consumer="a", block_ms=0)
    assert numbers(await persistence.consume(kind="events", cfg=everything)) == [1, 2]
    await persistence.aclose()


async def test_a_consumer_waits_for_news_off_the_loop_and_can_be_cancelled(path: Path) -> None:
    persistence = OstraconPersistence(path)
    begun = time.monotonic()
    assert await persistence.consume(kind="events", cfg=config("a", block_ms=200)) == ()
    assert 0.15 < time.monotonic() - begun < 5
    got: list[int] = []

    async def consume(block_ms: int | None) -> None:
        got.extend(numbers(await persistence.consume(kind="events", cfg=config("a", block_ms=block_ms))))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume, None)
        await anyio.sleep(0.1)
        await persistence.record_event(event(7))
    assert got == [7]
    with anyio.move_on_after(0.2) as scope:
        await consume(None)
    assert scope.cancelled_caught
    await persistence.record_event(event(8))
    assert numbers(await persistence.consume(kind="events", cfg=config("a"))) == [8]
    await persistence.aclose()


async def test_the_same_for_scripts(path: Path) -> None:
    store = ostracon.open(path)
    for n in range(6):
        store.record(event(n))
    group = store.consumer_group("events", "scripts")
    assert group.create() and not group.create("$")
    got = group.consume("a", 4)
    assert [fact.fact["payload"]["n"] for fact in got] == [0, 1, 2, 3]
    assert group.acknowledge(got[:3]) == 3
    assert [again.id for again in group.pending("a")] == [got[3].id]
    assert group.pending("a", after=got[3].id) == []
    assert [taken.id for taken in group.claim_idle("b", min_idle=0)] == [got[3].id]
    assert [taken.id for taken in group.claim("c", [got[3].id])] == [got[3].id]
    summary = group.summary()
    assert (summary.pending, summary.first, summary.consumers) == (1, got[3].id, {"c": 1})
    assert [(one.kind, one.name) for one in store.consumer_groups()] == [("events", "scripts")]
    reading = ostracon.open(path, "read").consumer_group("events", "scripts")
    with pytest.raises(ostracon.ClosedError, match="maintain"):
        reading.consume("a")
    assert reading.summary()[:-1] == summary[:-1]
    aside = (await ostracon.open_async(path, "maintain")).consumer_group("events", "scripts")
    assert len(await aside.consume("a", wait=0.1)) == 2
    assert await aside.consume("a", wait=0.1) == []
    assert (await aside.summary()).pending == 3
    report = store.compact().to_dict()
    assert report["unacknowledged"] == []
    assert group.remove() and not group.remove()
    store.close()


WORKER = """
import sys, anyio
from ostracon.papyra import OstraconPersistence
from papyra.persistence.backends.redis import RedisConsumerGroupConfig

async def main():
    persistence = OstraconPersistence(sys.argv[1])
    cfg = RedisConsumerGroupConfig(group="shippers", consumer=sys.argv[2], count=7, block_ms=2000)
    read_id = "0"
    while True:
        entries = await persistence.consume(kind="events", cfg=cfg, read_id=read_id)
        if not entries and read_id == ">":
            return
        if not entries:
            read_id = ">"
            continue
        for entry in entries:
            print(entry.data["payload"]["n"], flush=True)
        await persistence.ack(kind="events", group="shippers", ids=[entry.id for entry in entries])

anyio.run(main)
"""


async def test_whatever_is_killed_every_fact_is_consumed(path: Path) -> None:
    store = ostracon.open(path)
    for n in range(400):
        store.record(event(n))
    store.flush()

    def worker(name: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", WORKER, os.fspath(path), name]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    workers = [worker("a")]
    assert workers[0].stdout is not None
    seen = [int(workers[0].stdout.readline()) for _ in range(20)]
    workers += [worker("b"), worker("c")]
    workers[0].kill()
    seen += [int(line) for line in workers[0].stdout.read().splitlines()]
    workers[0].wait()
    # It comes back by its name, and finds what it left.
    workers[0] = worker("a")
    for process in workers:
        seen += [int(line) for line in process.communicate()[0].splitlines()]
    assert set(seen) == set(range(400))
    assert len(seen) <= 400 + 7
    assert store.consumer_group("events", "shippers").summary().pending == 0
    assert store.scan().is_clean
    store.close()
