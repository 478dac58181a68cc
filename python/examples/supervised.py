"""An actor system that crashes under supervision, and three questions after the crash.

    python supervised.py facts/

The shop has two tills. One of them repeatedly gets an order for something that is not in its catalogue, until
its supervisor stops restarting it. Orders after that cannot be delivered.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass

import anyio
from papyra import Actor, ActorRef, ActorStopped, ActorSystem, Strategy, SupervisionPolicy

from ostracon.papyra import OstraconPersistence

CATALOGUE = {"tea": 4, "cup": 9}


@dataclass
class Order:
    till: int
    sku: str


class Till(Actor):
    """Sells items, and crashes if an item has no price."""

    async def receive(self, message: Order) -> int:
        return CATALOGUE[message.sku]


class Shop(Actor):
    """Passes every order to its till."""

    tills: list[ActorRef]

    async def on_start(self) -> None:
        policy = SupervisionPolicy(strategy=Strategy.RESTART, max_restarts=3, within_seconds=60.0)
        self.tills = [self.context.spawn_child(Till, policy=policy) for _ in range(2)]

    async def receive(self, message: Order) -> None:
        # An order that cannot be delivered is a dead letter. It is recorded, and is no reason to crash.
        with contextlib.suppress(ActorStopped):
            await self.tills[message.till].tell(message)


async def trade(persistence: OstraconPersistence) -> None:
    """Simulates a few minutes of business."""

    # With this clock, the timestamps of facts are dates and times, which queries can use.
    async with ActorSystem(system_id="shop", persistence=persistence, time_fn=time.time) as system:
        shop = system.spawn(Shop, name="shop")

        async def crashed(times: int) -> None:
            with anyio.fail_after(10):
                while sum(type(event).__name__ == "ActorCrashed" for event in system.events()) < times:
                    await anyio.sleep(0.001)

        for n in range(4):
            await shop.tell(Order(0, "tea"))
            await shop.tell(Order(1, f"sku-{4711 + n}"))
            await crashed(n + 1)
        with anyio.fail_after(10):
            while not any(type(event).__name__ == "ActorStopped" for event in system.events()):
                await anyio.sleep(0.001)
        # The second till has stopped, so the orders for it become dead letters.
        for _ in range(2):
            await shop.tell(Order(1, "cup"))
        with anyio.fail_after(10):
            while len(system.dead_letters.messages) < 2:
                await anyio.sleep(0.001)


def main() -> None:
    persistence = OstraconPersistence(sys.argv[1] if len(sys.argv) > 1 else "facts")
    anyio.run(trade, persistence)
    store = persistence.store

    print("What crashed?")
    crashers = store.query("top_crashers")
    print(crashers, end="\n\n")

    print("Why?")
    print(store.query("error_groups"), end="\n\n")

    worst = crashers.to_dicts()[0]["actor_address"]
    print(f"What happened around it? The life of {worst}:")
    print(store.query("actor_history", actor=worst))


if __name__ == "__main__":
    main()
