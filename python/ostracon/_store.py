"""A store, for scripts and notebooks."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import date, datetime, timezone
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from . import _native
from ._answer import Answer, Stream
from ._consumers import AsyncConsumerGroup, ConsumerGroup
from ._handles import Handles
from ._lines import from_line, kind_of, to_line
from ._off_loop import off_loop, sleep, stoppable
from ._parameters import nanos, parameters, text
from ._report import RecoveryReport, Report, ScanReport

T = TypeVar("T")

_AT_ONCE = 256
_LISTED = 1_000
_LOOKS = 0.2


# What an instant may be given as; text is `2026-11-23`, or `2026-11-23T08:00:00+01:00`.
Instant: TypeAlias = "datetime | date | str | float | None"


class Store:
    """A store of facts.

    Opened by :func:`ostracon.open`. It may be open in any number of processes at the same time, and
    it may be used from any thread.
    """

    def __init__(self, handles: Handles, mode: str, *, closed: bool = False) -> None:
        self._handles = handles
        self._mode = mode
        self._closed = closed
        if mode == "write" and not closed:
            handles.use(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store at the same path, when it first needs it.
        return _store_of, (self._handles, self._mode, self._closed)

    def __copy__(self) -> Store:
        return _store_of(self._handles, self._mode, self._closed)

    def __deepcopy__(self, memo: object) -> Store:
        return self.__copy__()

    def _native_of_mode(self) -> _native.Store:
        if self._mode == "write" and not self._closed:
            return self._handles.writer()
        return self._handles.reader()

    @property
    def path(self) -> str:
        """The store's folder."""
        return self._handles.path

    # Recording

    def record(self, fact: Any, *, kind: str | None = None) -> _native.Position:
        """Records a fact: a dictionary, a JSON line, or an object with a fact's attributes.

        When this returns, the fact is as safe as the store's durability promises.
        """
        return self._writer().record(to_line(fact, kind))

    def _writer(self) -> _native.Store:
        self._check_records()
        return self._handles.writer()

    def _check_records(self) -> None:
        if self._mode != "write":
            raise _native.ClosedError(f"{self.path} is open for reading only; nothing was recorded")
        if self._closed:
            raise _native.ClosedError(f"{self.path} was closed; nothing was recorded")

    def _check_maintains(self) -> None:
        if self._mode == "read":
            raise _native.ClosedError(
                f'{self.path} is open for reading only, and was left as it is; open it with mode "maintain"'
            )

    def flush(self) -> None:
        """Puts everything recorded so far into segments."""
        self._writer().flush()

    # Asking

    def sql(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        since: Instant = None,
        until: Instant = None,
        as_of: Instant = None,
    ) -> Answer:
        """Answers a question in SQL, over the facts that are there now, flushed or not.

        ``params`` gives the placeholders ``$name`` their values: ``None``, bool, int, float, str, bytes,
        ``datetime``, ``date``, ``time``, ``timedelta``, ``Decimal``, ``UUID``, and lists of one of them, for
        ``column = ANY($names)`` or ``array_has($names, column)``. Each is taken exactly: an int beyond 64 bits
        is a decimal, an aware datetime an instant, a naive one a timestamp without a zone.

        ``since`` and ``until`` narrow every table of facts to a window in time, ``as_of`` to what had been
        recorded by then. An instant is an aware ``datetime``, a ``date`` (from its beginning in UTC), a text such
        as "2026-11-23", or a number of seconds since 1970. Ctrl-C stops it.

        The whole answer is in memory, and counts against the store's ``query.memory_bytes``; :meth:`stream`
        reads one of any size.
        """
        return Answer(
            self._native_of_mode().sql(query, parameters(params), **_within(timeout, since, until, as_of))
        )

    def stream(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        since: Instant = None,
        until: Instant = None,
        as_of: Instant = None,
    ) -> Stream:
        """Answers a question in SQL while the answer is read: see :class:`Stream`, and :meth:`sql`."""
        return Stream(
            self._native_of_mode().stream(query, parameters(params), **_within(timeout, since, until, as_of))
        )

    def query(
        self,
        name: str,
        params: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        since: Instant = None,
        until: Instant = None,
        as_of: Instant = None,
        **set: object,
    ) -> Answer:
        """Answers a saved query, with some of its parameters set: see :func:`ostracon.queries`.

        Parameters are given by name, or in ``params``. Where a query has a ``since`` or an ``until`` of its
        own, that is the one which is set; elsewhere they narrow all tables, as in :meth:`sql`.
        """
        given = {**(params or {}), **set}
        own = _parameters_of(name)
        window: dict[str, Instant] = {"since": since, "until": until}
        for end in [end for end, at in window.items() if end in own and at is not None]:
            given.setdefault(end, _instant_text(window[end]))
            window[end] = None
        return Answer(
            self._native_of_mode().query(
                name,
                [(key, text(value)) for key, value in given.items()],
                **_within(timeout, window["since"], window["until"], as_of),
            )
        )

    def list(self, kind: str, limit: int | None = None, since: float | None = None) -> list[dict[str, Any]]:
        """The newest facts of a kind (events, audits or dead_letters), oldest first."""
        if limit is not None and limit <= 0:
            return []
        listed = self._native_of_mode().list(kind, limit, since)
        return [from_line(line) for lines in iter(lambda: listed.take(_LISTED), []) for line in lines]

    def tail(self, after: str = "", *, follow: bool = False) -> Iterator[Fact]:
        """Every fact after a cursor, in the store's order; for ever, if it follows.

        Each has the cursor with which to go on after it: a reader that keeps the cursor of the last fact that it
        has dealt with gets every fact at least once.
        """
        while True:
            facts = self._native_of_mode().after(after)
            for taken in iter(lambda: facts.take(_AT_ONCE), []):
                for line, cursor in taken:
                    after = cursor
                    yield Fact(from_line(line), cursor)
            if not follow:
                return
            time.sleep(_LOOKS)

    def consumer_group(self, kind: str, name: str) -> ConsumerGroup:
        """The consumer group of this name for events, audits or dead_letters, whether or not it is there.

        It changes nothing before it is asked to, which a store that is open for reading only refuses.
        """
        return ConsumerGroup(self._handles, kind, name, self._check_maintains)

    def consumer_groups(self) -> Sequence[ConsumerGroup]:
        """All consumer groups."""
        groups = self._native_of_mode().consumer_groups()
        return [ConsumerGroup(self._handles, kind, name, self._check_maintains) for kind, name in groups]

    # Looking after it

    def scan(self, *, deep: bool = False) -> ScanReport:
        """Looks whether the store is whole; changes nothing."""
        self._handles.listen()
        return ScanReport.read(_native.scan(self.path, deep=deep))

    def recover(self, mode: str, quarantine_dir: str | os.PathLike[str] | None = None) -> RecoveryReport:
        """Makes a damaged store whole again: mode ignore, repair, quarantine or rebuild.

        Damaged files are moved to the store's own ``quarantine`` folder, unless another is named. It is not
        cut short: after Ctrl-C it goes on until it is done, unless the process ends.
        """
        self._check_maintains()
        folder = None if quarantine_dir is None else os.fspath(quarantine_dir)
        writer = self._handles.opened_writer
        if writer is not None:
            return RecoveryReport.read(writer.recover(mode, folder))
        self._handles.listen()
        return RecoveryReport.read(_native.recover(self.path, mode, folder))

    def compact(
        self,
        *,
        dry_run: bool = False,
        kind: str | None = None,
        target_bytes: int | None = None,
        insist: bool = False,
    ) -> Report:
        """Merges segments, and drops for good what retention does not keep."""
        if not dry_run:
            self._check_maintains()
        native = self._handles.maintainer()
        return Report.read(
            native.compact(dry_run=dry_run, kind_=kind, target_bytes=target_bytes, insist=insist)
        )

    def verify(self, against: str | None = None) -> Report:
        """The balance sheet: whether every fact is accounted for, since the first commit."""
        self._handles.listen()
        return Report.read(_native.verify(self.path, against))

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        incremental: bool = False,
        at_commit: int | None = None,
        copy: bool = False,
        verify: bool = False,
    ) -> Report:
        """Makes a second store at ``target`` with all facts recorded so far, while recording goes on.

        An ``incremental`` one adds to the backup that is there. Segments are linked where they can be, unless
        they are to be copied. ``at_commit`` makes the backup of the store as it was after that commit.
        ``verify`` also reads what is in the backup already, and puts again what is damaged.
        """
        return Report.read(
            self._native_of_mode().backup(
                os.path.abspath(target),
                incremental=incremental,
                at_commit=at_commit,
                copy=copy,
                verify=verify,
            )
        )

    def metrics(self) -> dict[str, int]:
        """What this process did with the store, counted."""
        native = self._native_of_mode()
        is_writer = native is self._handles.opened_writer
        return self._handles.counts() if is_writer else dict(native.metrics())

    def import_file(
        self, path: str | os.PathLike[str], *, epoch: Instant = None, again: bool = False
    ) -> ImportReport:
        """Imports a file of JSON lines, as Papyra's JSON backend writes them.

        What was imported of the same content before is not imported twice. Ctrl-C stops it: what was
        committed until then stays, and importing the file again goes on from there.
        """
        return ImportReport(*self._writer().import_file(os.fspath(path), epoch=nanos(epoch), again=again))

    def close(self) -> None:
        """Flushes, and takes no more facts. Reading goes on, and so do copies of this store."""
        if self._mode == "write" and not self._closed:
            self._closed = True
            self._handles.let_go(self)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ostracon.Store {self.path!r}, to {self._mode}>"


def _store_of(handles: Handles, mode: str, closed: bool) -> Store:
    return Store(handles, mode, closed=closed)


def _parameters_of(query: str) -> frozenset[str]:
    """The names of a saved query's own parameters."""
    name = query.replace("-", "_")
    for known, _, _, given in _native.saved_queries():
        if known == name:
            return frozenset(parameter[0] for parameter in given)
    return frozenset()


def _instant_text(instant: Instant) -> object:
    """An instant for a parameter that is text; one in seconds is made a datetime."""
    if isinstance(instant, (int, float)):
        return datetime.fromtimestamp(instant, timezone.utc)
    return instant


class AsyncStore:
    """A :class:`Store` whose methods are awaited, and work in threads off the event loop.

    Cancelling a task stops its question, list, scan, compaction or import, and returns when that has ended. Where
    the disk is slow it returns after some seconds, and the work ends later. A ``verify``, which only reads, goes on
    in its thread. A recording, flush, backup or recovery that was begun is waited for.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __copy__(self) -> AsyncStore:
        return AsyncStore(copy(self._store))

    @property
    def path(self) -> str:
        """The store's folder."""
        return self._store.path

    async def record(self, fact: Any, *, kind: str | None = None) -> _native.Position:
        """:meth:`Store.record`; the fact is appended before this first waits.

        So facts of tasks are recorded in the order in which the tasks began, also while the buffer is full.
        """
        line = to_line(fact, kind)
        self._store._check_records()
        position = await self._store._handles.in_order.record(line)
        assert position is not None
        return position

    async def flush(self) -> None:
        """:meth:`Store.flush`."""
        await off_loop(self._store.flush)

    async def sql(self, *args: Any, **kwargs: Any) -> Answer:
        """:meth:`Store.sql`."""
        return await stoppable(self._store.sql, *args, **kwargs)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncStream:
        """:meth:`Store.stream`."""
        return AsyncStream(await stoppable(self._store.stream, *args, **kwargs))

    async def query(self, *args: Any, **kwargs: Any) -> Answer:
        """:meth:`Store.query`."""
        return await stoppable(self._store.query, *args, **kwargs)

    async def list(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """:meth:`Store.list`."""
        return await stoppable(self._store.list, *args, **kwargs)

    async def tail(self, after: str = "", *, follow: bool = False) -> AsyncIterator[Fact]:
        """:meth:`Store.tail`."""
        while True:
            facts = await off_loop(self._store._native_of_mode().after, after)
            while taken := await off_loop(facts.take, _AT_ONCE):
                for line, cursor in taken:
                    after = cursor
                    yield Fact(from_line(line), cursor)
            if not follow:
                return
            await sleep(_LOOKS)

    def consumer_group(self, kind: str, name: str) -> AsyncConsumerGroup:
        """:meth:`Store.consumer_group`."""
        return AsyncConsumerGroup(self._store.consumer_group(kind, name))

    async def scan(self, **kwargs: Any) -> ScanReport:
        """:meth:`Store.scan`."""
        return await stoppable(self._store.scan, **kwargs)

    async def recover(
        self, mode: str, quarantine_dir: str | os.PathLike[str] | None = None
    ) -> RecoveryReport:
        """:meth:`Store.recover`."""
        folder = None if quarantine_dir is None else os.path.abspath(quarantine_dir)
        return await off_loop(self._store.recover, mode, folder)

    async def compact(self, **kwargs: Any) -> Report:
        """:meth:`Store.compact`."""
        return await stoppable(self._store.compact, **kwargs)

    async def backup(self, target: str | os.PathLike[str], **kwargs: Any) -> Report:
        """:meth:`Store.backup`."""
        return await off_loop(self._store.backup, os.path.abspath(target), **kwargs)

    async def verify(self, against: str | None = None) -> Report:
        """:meth:`Store.verify`."""
        return await stoppable(self._store.verify, against)

    async def import_file(self, path: str | os.PathLike[str], **kwargs: Any) -> ImportReport:
        """:meth:`Store.import_file`."""
        return await stoppable(self._store.import_file, os.path.abspath(path), **kwargs)

    def metrics(self) -> dict[str, int]:
        """:meth:`Store.metrics`."""
        return self._store.metrics()

    async def aclose(self) -> None:
        """:meth:`Store.close`."""
        await off_loop(self._store.close)

    async def __aenter__(self) -> AsyncStore:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<ostracon.AsyncStore {self.path!r}>"


class AsyncStream:
    """A :class:`Stream` whose methods are awaited."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._stream.columns

    async def fetchmany(self, size: int = 1000) -> list[tuple[Any, ...]]:
        """:meth:`Stream.fetchmany`."""
        # The rows are taken here, and not in the thread: what a task is given that is cancelled meanwhile stays.
        while True:
            ended = await stoppable(self._stream._fill, size)
            rows = self._stream._take(size)
            if ended or len(rows) >= size:
                return rows
            # Another task has taken some of them.
            self._stream._rows.extendleft(reversed(rows))

    async def fetchone(self) -> tuple[Any, ...] | None:
        """:meth:`Stream.fetchone`."""
        row = self._stream._ready()
        if row is None:
            rows = await self.fetchmany(1)
            return rows[0] if rows else None
        return row

    def __aiter__(self) -> AsyncIterator[tuple[Any, ...]]:
        return _Each(self.fetchone)

    def batches(self) -> AsyncIterator[Answer]:
        """:meth:`Stream.batches`."""
        return _Each(self._batch)

    async def _batch(self) -> Answer | None:
        await stoppable(self._stream._fill_batch)
        return self._stream._take_batch()

    async def aclose(self) -> None:
        """:meth:`Stream.close`."""
        await off_loop(self._stream.close)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Each(AsyncIterator[T]):
    """What a function gives, up to ``None``. Unlike a generator it goes on after it was cancelled."""

    def __init__(self, give: Callable[[], Awaitable[T | None]]) -> None:
        self._give = give

    async def __anext__(self) -> T:
        value = await self._give()
        if value is None:
            raise StopAsyncIteration
        return value


class Fact(dict[str, Any]):
    """A fact's fields, with `stream`, `seq` and `recorded_at`, and the cursor after it."""

    __slots__ = ("cursor",)

    def __init__(self, record: dict[str, Any], cursor: str) -> None:
        super().__init__(record)
        self.cursor = cursor

    @property
    def kind(self) -> str:
        """event, audit or dead_letter."""
        return kind_of(self)


class ImportReport:
    """What an import did: `facts` and `rejected` lines, lines passed over as `imported_before`, and the
    first `reasons` for a rejection, each with its line's number."""

    def __init__(
        self, facts: int, rejected: int, imported_before: int, reasons: list[tuple[int, str]]
    ) -> None:
        self.facts = facts
        self.rejected = rejected
        self.imported_before = imported_before
        self.reasons = reasons

    def __repr__(self) -> str:
        return f"ImportReport(facts={self.facts}, rejected={self.rejected}, imported_before={self.imported_before})"


def _within(timeout: float | None, since: Instant, until: Instant, as_of: Instant) -> dict[str, Any]:
    """What bounds a question, as the native store takes it."""
    return {"timeout": timeout, "since": nanos(since), "until": nanos(until), "as_of": nanos(as_of)}
