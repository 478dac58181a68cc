"""What Papyra's Redis backend offers to those who ship facts elsewhere, on consumer groups."""

from __future__ import annotations

from typing import Any

from papyra.persistence.backends.redis import RedisConsumerGroupConfig, RedisStreamEntry

from . import _native
from ._consumers import ConsumerGroup, Delivered, Looks
from ._handles import Handles
from ._off_loop import off_loop, sleep


def _entries(delivered: list[Delivered]) -> list[RedisStreamEntry]:
    return [RedisStreamEntry(id=name, data=fact) for name, fact in delivered]


class Shipping:
    """The consumers' side of :class:`~ostracon.papyra.OstraconPersistence`.

    Groups, entries and configurations mean what they do in Papyra's Redis backend; an entry's id is
    the fact's name, ``stream:seq``. Groups are kept in the store. Delivery is at least once.
    """

    _handles: Handles

    def _group(self, kind: str, group: str) -> ConsumerGroup:
        return ConsumerGroup(self._handles, kind, group)

    async def ensure_consumer_group(self, *, kind: str, group: str, start_id: str = "0") -> None:
        """Makes a group, unless it is there: from the first fact on ("0"), or from now on ("$")."""
        await off_loop(self._group(kind, group).create, start_id)

    async def consume(
        self, *, kind: str, cfg: RedisConsumerGroupConfig | Any, read_id: str = ">"
    ) -> tuple[RedisStreamEntry, ...]:
        """The next facts for a consumer of a group, pending until they are acknowledged.

        With a ``read_id`` of "0" it is given again what it has not acknowledged; with the id of an
        entry, what of that comes behind it. ``block_ms`` is how long to wait for news: 0 is not at
        all, ``None`` for ever, as Papyra's configuration says. Whoever is cancelled meanwhile may have been
        given entries all the same: they are pending.
        """
        group = self._group(kind, cfg.group)
        if cfg.ensure_group:
            await off_loop(group.create, cfg.start_id)
        if read_id != ">":
            after = None if read_id in ("0", "0-0", "-") else read_id
            return tuple(_entries(await off_loop(group.pending, cfg.consumer, cfg.count, after=after)))
        looks = Looks(None if cfg.block_ms is None else cfg.block_ms / 1000)
        while not (delivered := await off_loop(group.consume, cfg.consumer, cfg.count)):
            pause = looks.pause()
            if pause is None:
                break
            await sleep(pause)
        return tuple(_entries(delivered))

    async def claim(
        self, kind: str, *, group: str, consumer: str, min_idle_ms: int, entry_ids: list[str]
    ) -> list[RedisStreamEntry]:
        """Takes pending entries over that were delivered at least so long ago."""
        if not entry_ids:
            return []
        of = self._group(kind, group)
        return _entries(await off_loop(of.claim, consumer, entry_ids, min_idle=min_idle_ms / 1000))

    async def ack(self, *, kind: str, group: str, ids: list[str] | tuple[str, ...]) -> int:
        """These entries were dealt with. How many of them were pending; of no group none were."""
        if not ids:
            return 0
        try:
            return await off_loop(self._group(kind, group).acknowledge, ids)
        except _native.RefusedError:
            return 0

    async def pending_summary(self, *, kind: str, group: str) -> dict[str, Any]:
        """How many entries are pending, the first and the last, and with whom, as Redis tells it."""
        summary = await off_loop(self._group(kind, group).summary)
        consumers = [{"name": name, "pending": pending} for name, pending in summary.consumers.items()]
        raw = {"pending": summary.pending, "min": summary.first, "max": summary.last, "consumers": consumers}
        return {"raw": raw}
