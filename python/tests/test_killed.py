"""A real actor system that is killed, interrupted or cancelled: what it had recorded is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from papyra import Actor, ActorSystem
from papyra.persistence.models import PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence

ROUNDS = 100
AT_ONCE = 4

# Every order is a fact of its own, and told when it is recorded; every tenth crashes the actor.
APPLICATION = """
import itertools, sys, time
import anyio
from papyra import Actor, ActorSystem, Strategy, SupervisionPolicy
from papyra.persistence.models import PersistedEvent
from ostracon.papyra import OstraconPersistence

path, loop, name, durability = sys.argv[1:]
backend = OstraconPersistence(path, durability=durability, flush_rows=40)

class Till(Actor):
    async def receive(self, n):
        address = str(self.context.self_ref.address)
        await backend.record_event(PersistedEvent(name, address, "Sold", {"n": n}, float(n)))
        print(n, flush=True)
        if n % 10 == 9:
            raise KeyError(n)

async def main():
    policy = SupervisionPolicy(strategy=Strategy.RESTART, max_restarts=1_000_000)
    async with ActorSystem(system_id=name, persistence=backend, time_fn=time.time) as system:
        till = system.spawn(Till, policy=policy)
        for n in itertools.count():
            try:
                await till.ask(n)
            except Exception:
                pass

anyio.run(main, backend=loop)
"""


def application(path: Path, loop: str, name: str, durability: str = "journaled") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPLICATION, str(path), loop, name, durability]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str], most: int) -> int:
    """How many facts a process has told of, after so many or at its end."""
    assert process.stdout is not None
    count = 0
    while count < most and process.stdout.readline().endswith("\n"):
        count += 1
    return count


def test_nothing_acknowledged_is_lost_or_doubled_by_a_hundred_kills(path: Path) -> None:
    chance = random.Random(20261125)
    acknowledged: dict[str, int] = {}
    for first in range(0, ROUNDS, AT_ONCE):
        # Some at once in one store, as workers are.
        running = {
            f"r{n}": application(path, ("asyncio", "trio")[n % 2], f"r{n}")
            for n in range(first, first + AT_ONCE)
        }
        for name, process in running.items():
            acknowledged[name] = told(process, chance.randrange(150))
            process.kill()
        for name, process in running.items():
            acknowledged[name] += told(process, sys.maxsize)
            assert process.wait() == -signal.SIGKILL, process.communicate()[1]
            process.communicate()

    # The next to open the store takes over what the dead ones left.
    ostracon.open(path).close()
    backend = OstraconPersistence(path)

    async def listed() -> tuple[PersistedEvent, ...]:
        assert not (await backend.scan()).has_anomalies
        return await backend.list_events()

    sold: dict[str, list[int]] = {name: [] for name in acknowledged}
    others: Counter[tuple[str, str]] = Counter()
    for fact in anyio.run(listed):
        if fact.event_type == "Sold":
            sold[fact.system_id].append(fact.payload["n"])
        else:
            others[fact.system_id, fact.event_type] += 1
    for name, count in acknowledged.items():
        # In order, each once, and at most the one beyond that was recorded and not yet told.
        assert sold[name] == list(range(len(sold[name]))), name
        assert count <= len(sold[name]) <= count + 1, name
        # Of what the actor system itself recorded nothing is there twice either.
        crashes, restarts = others[name, "ActorCrashed"], others[name, "ActorRestarted"]
        assert others[name, "ActorStarted"] <= 1 + restarts and restarts <= crashes + 1, name
        assert crashes <= -(-len(sold[name]) // 10), name
    assert len(acknowledged) == ROUNDS and sum(acknowledged.values()) > ROUNDS * 20
    store = ostracon.open(path, "read")
    assert store.scan(deep=True).is_clean
    sheet = store.verify()
    assert sheet.kinds[0].live == sum(map(len, sold.values())) + sum(others.values())


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("durability", ["buffered", "journaled", "synced"])
def test_ctrl_c_loses_nothing(path: Path, loop: str, durability: str) -> None:
    process = application(path, loop, "shop", durability)
    count = told(process, 100)
    process.send_signal(signal.SIGINT)
    count += told(process, sys.maxsize)
    _, said = process.communicate()
    assert process.returncode != 0 and "KeyboardInterrupt" in said
    store = ostracon.open(path, "read")
    sold = [fact["payload"]["n"] for fact in store.list("events") if fact["event_type"] == "Sold"]
    assert sold == list(range(len(sold))) and count <= len(sold) <= count + 1
    assert store.scan(deep=True).is_clean


class Till(Actor):
    async def receive(self, message: object) -> None:
        raise KeyError(message)


class Watched(OstraconPersistence):
    """Remembers what it was given, before anything is waited for."""

    given: list[PersistedEvent]

    async def record_event(self, event: PersistedEvent | Any) -> None:
        self.given.append(event)
        await super().record_event(event)


@pytest.mark.anyio
@pytest.mark.parametrize("durability", ["buffered", "journaled", "synced"])
async def test_a_cancelled_scope_around_an_actor_system_loses_nothing(path: Path, durability: str) -> None:
    backend = Watched(path, durability=durability)
    backend.given = []
    with anyio.CancelScope() as scope:
        async with ActorSystem(persistence=backend) as system:
            for _ in range(50):
                await system.spawn(Till).tell("sku")
            while sum(type(event).__name__ == "ActorCrashed" for event in system.events()) < 50:
                await anyio.lowlevel.checkpoint()
            # The tasks that record the last of it are about to begin.
            scope.cancel()
            await anyio.sleep_forever()
    counted = Counter(event.event_type for event in backend.given)
    assert scope.cancelled_caught and counted["ActorStarted"] == counted["ActorCrashed"] == 50
    assert await backend.list_events() == tuple(backend.given) and backend.metrics.write_errors == 0
    # And the same for whoever opens the store next.
    await backend.aclose()
    assert await OstraconPersistence(path).list_events() == tuple(backend.given)
    assert not (await backend.scan()).has_anomalies
