"""The methods of Papyra's Redis backend with which facts are shipped elsewhere, on consumer groups."""

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
    """The methods for consumers of :class:`~ostracon.papyra.OstraconPersistence`.

    Groups, entries and configurations have the meaning that they have in Papyra's Redis backend. The id of an
    entry is the id of the fact, ``stream:seq``. The store keeps the groups. Each entry is delivered at least
    once.
    """

    _handles: Handles

    def _group(self, kind: str, group: str) -> ConsumerGroup:
        return ConsumerGroup(self._handles, kind, group)

    async def ensure_consumer_group(self, *, kind: str, group: str, start_id: str = "0") -> None:
        """Creates a group, unless it exists.

        It begins with the first fact ("0"), or with the next one ("$").
        """
        await off_loop(self._group(kind, group).create, start_id)

    async def consume(
        self, *, kind: str, cfg: RedisConsumerGroupConfig | Any, read_id: str = ">"
    ) -> tuple[RedisStreamEntry, ...]:
        """Returns the next entries for a consumer of a group. They are pending until they are acknowledged.

        With ``read_id`` "0", it returns the entries that the consumer has not acknowledged. With the id of an
        entry, it returns the pending entries after that entry. ``block_ms`` is the time to wait for new
        entries: 0 does not wait, and ``None`` waits forever, as in Papyra's configuration. If the task is
        cancelled, entries may have been delivered, and are pending then.
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
        """Takes over the given entries that have been pending for at least ``min_idle_ms`` milliseconds."""
        if not entry_ids:
            return []
        of = self._group(kind, group)
        return _entries(await off_loop(of.claim, consumer, entry_ids, min_idle=min_idle_ms / 1000))

    async def ack(self, *, kind: str, group: str, ids: list[str] | tuple[str, ...]) -> int:
        """Acknowledges entries.

        Returns how many of them were pending, which is 0 if the group does not exist.
        """
        if not ids:
            return 0
        try:
            return await off_loop(self._group(kind, group).acknowledge, ids)
        except _native.RefusedError:
            return 0

    async def pending_summary(self, *, kind: str, group: str) -> dict[str, Any]:
        """Returns a summary in Redis's form: how many entries are pending, and how many for each consumer."""
        summary = await off_loop(self._group(kind, group).summary)
        consumers = [{"name": name, "pending": pending} for name, pending in summary.consumers.items()]
        raw = {"pending": summary.pending, "min": summary.first, "max": summary.last, "consumers": consumers}
        return {"raw": raw}
