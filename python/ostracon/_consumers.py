"""Consumer groups: several consumers share the facts of one kind, and acknowledge each fact."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from . import _native
from ._handles import Handles
from ._lines import from_line
from ._off_loop import off_loop, sleep

_log = logging.getLogger("ostracon")
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.2


class Delivered(NamedTuple):
    """A fact that was delivered, and the id with which it is acknowledged."""

    id: str
    fact: dict[str, Any]


class GroupSummary(NamedTuple):
    """The state of a group: the cursor after the delivered facts, and the pending facts."""

    delivered: str
    pending: int
    first: str | None
    last: str | None
    consumers: dict[str, int]
    # The longest time in seconds that a fact of each consumer has been pending.
    longest_idle: dict[str, float]


def _facts(delivered: list[tuple[str, str]]) -> list[Delivered]:
    facts = []
    for name, line in delivered:
        try:
            facts.append(Delivered(name, from_line(line)))
        except Exception as error:
            # It may be nested deeper than Python can read. The other facts are delivered.
            _log.warning("failed to read fact %s: %s; it was left out, and stays pending", name, error)
    return facts


Names: TypeAlias = Iterable["str | Delivered"]


def _names(facts: Names) -> list[str]:
    return [fact if isinstance(fact, str) else fact.id for fact in facts]


class Looks:
    """The pauses between checks for new facts in a store."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._pause = _FIRST_LOOK

    def pause(self) -> float | None:
        """Returns the time until the next check in seconds, or ``None`` if the time to wait has passed."""
        left = _LONGEST_LOOK if self._end is None else self._end - time.monotonic()
        if left <= 0:
            return None
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_LOOK)
        return min(pause, left)


class ConsumerGroup:
    """Consumers that share the facts of one kind, in any number of processes.

    A delivered fact is pending until it is acknowledged. If a consumer dies before that, :meth:`pending` or
    :meth:`claim_idle` return the fact again. So each fact is delivered at least once.
    """

    def __init__(
        self, handles: Handles, kind: str, name: str, check: Callable[[], None] | None = None
    ) -> None:
        self._handles = handles
        self._check = check
        self.kind = kind
        self.name = name

    def _native(self) -> _native.ConsumerGroup:
        if self._check is not None:
            self._check()
        return self._handles.consumer().consumer_group(self.kind, self.name)

    def create(self, start: str = "0") -> bool:
        """Creates the group, unless it exists. Returns whether it was created.

        The group begins with the first fact ("0"), with facts recorded from now on ("$"), or after a cursor.
        """
        return self._native().create(start)

    def consume(self, consumer: str, count: int = 100, *, wait: float | None = 0) -> list[Delivered]:
        """Returns up to ``count`` facts that were not delivered to any consumer of the group.

        If there are none, it waits up to ``wait`` seconds for new facts, or forever if ``wait`` is ``None``.
        """
        looks = Looks(wait)
        while not (delivered := self._native().consume(consumer, count)):
            pause = looks.pause()
            if pause is None:
                break
            time.sleep(pause)
        return _facts(delivered)

    def pending(self, consumer: str, count: int = 100, *, after: str | None = None) -> list[Delivered]:
        """Returns facts that were delivered to this consumer and are not acknowledged."""
        return _facts(self._native().pending(consumer, after, count))

    def claim(self, consumer: str, facts: Names, *, min_idle: float = 0) -> list[Delivered]:
        """Takes over the given facts that have been pending for at least ``min_idle`` seconds."""
        return _facts(self._native().claim(consumer, min_idle, _names(facts)))

    def claim_idle(self, consumer: str, count: int = 100, *, min_idle: float) -> list[Delivered]:
        """Takes over facts that have been pending for at least ``min_idle`` seconds, the oldest first."""
        return _facts(self._native().claim_idle(consumer, min_idle, count))

    def acknowledge(self, facts: Names) -> int:
        """Acknowledges facts that were processed. Returns how many of them were pending."""
        return self._native().acknowledge(_names(facts))

    def summary(self) -> GroupSummary:
        """Returns the state of the group: the delivered facts, and the pending facts of each consumer."""
        group = self._handles.reader().consumer_group(self.kind, self.name)
        pending, ends, consumers, delivered = group.summary()
        first, last = ends or (None, None)
        having = {name: n for name, n, _ in consumers}
        idle = {name: seconds for name, _, seconds in consumers}
        return GroupSummary(delivered, pending, first, last, having, idle)

    def remove(self) -> bool:
        """Removes the group. Returns whether it existed."""
        return self._native().remove()

    def __reduce__(self) -> tuple[Any, ...]:
        return ConsumerGroup, (self._handles, self.kind, self.name, self._check)

    def __copy__(self) -> ConsumerGroup:
        return ConsumerGroup(self._handles, self.kind, self.name, self._check)

    def __repr__(self) -> str:
        return f"<ostracon.ConsumerGroup {self.name!r} of {self.kind}>"


class AsyncConsumerGroup:
    """A :class:`ConsumerGroup` with asynchronous methods, which run in threads outside the event loop."""

    def __init__(self, group: ConsumerGroup) -> None:
        self._group = group
        self.kind = group.kind
        self.name = group.name

    async def create(self, start: str = "0") -> bool:
        """:meth:`ConsumerGroup.create`."""
        return await off_loop(self._group.create, start)

    async def consume(self, consumer: str, count: int = 100, *, wait: float | None = 0) -> list[Delivered]:
        """:meth:`ConsumerGroup.consume`. If the task is cancelled, facts may be delivered and pending."""
        looks = Looks(wait)
        while not (delivered := await off_loop(self._group.consume, consumer, count)):
            pause = looks.pause()
            if pause is None:
                break
            await sleep(pause)
        return delivered

    async def pending(self, consumer: str, count: int = 100, *, after: str | None = None) -> list[Delivered]:
        """:meth:`ConsumerGroup.pending`."""
        return await off_loop(self._group.pending, consumer, count, after=after)

    async def claim(self, consumer: str, facts: Names, *, min_idle: float = 0) -> list[Delivered]:
        """:meth:`ConsumerGroup.claim`."""
        return await off_loop(self._group.claim, consumer, facts, min_idle=min_idle)

    async def claim_idle(self, consumer: str, count: int = 100, *, min_idle: float) -> list[Delivered]:
        """:meth:`ConsumerGroup.claim_idle`."""
        return await off_loop(self._group.claim_idle, consumer, count, min_idle=min_idle)

    async def acknowledge(self, facts: Names) -> int:
        """:meth:`ConsumerGroup.acknowledge`."""
        return await off_loop(self._group.acknowledge, facts)

    async def summary(self) -> GroupSummary:
        """:meth:`ConsumerGroup.summary`."""
        return await off_loop(self._group.summary)

    async def remove(self) -> bool:
        """:meth:`ConsumerGroup.remove`."""
        return await off_loop(self._group.remove)
