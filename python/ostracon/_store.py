"""A store of facts, for scripts, notebooks and event loops."""

from __future__ import annotations

import functools
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


# The types of an instant. A text is written as `2026-11-23`, or as `2026-11-23T08:00:00+01:00`.
Instant: TypeAlias = "datetime | date | str | float | None"


class Store:
    """A store of facts.

    :func:`ostracon.open` opens it. It may be open in any number of processes at the same time, and it may be
    used from any thread.
    """

    def __init__(self, handles: Handles, mode: str, *, closed: bool = False) -> None:
        self._handles = handles
        self._mode = mode
        self._closed = closed
        if mode == "write" and not closed:
            handles.use(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store at the same path when it first needs it.
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
            raise _native.ClosedError(f"failed to record: {self.path} is open for reading only")
        if self._closed:
            raise _native.ClosedError(f"failed to record: {self.path} was closed")

    def _check_maintains(self) -> None:
        if self._mode == "read":
            raise _native.ClosedError(
                f'failed to change {self.path}: it is open for reading only; open it with mode "maintain"'
            )

    def flush(self) -> None:
        """Writes all facts recorded so far into segments."""
        self._writer().flush()

    # Queries

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
        """Answers a SQL query over all facts recorded until now, flushed or not. Ctrl-C stops it.

        ``params`` gives the values of the placeholders ``$name``: ``None``, bool, int, float, str, bytes,
        ``datetime``, ``date``, ``time``, ``timedelta``, ``Decimal``, ``UUID``, and lists of values of one
        type, for ``column = ANY($names)`` or ``array_has($names, column)``. Values are converted exactly: an
        int beyond 64 bits becomes a decimal, an aware datetime an instant, and a naive one a timestamp
        without a zone.

        ``since`` and ``until`` restrict every table of facts to a window in time. ``as_of`` restricts them to
        the facts that were recorded until that instant. An instant is an aware ``datetime``, a ``date`` (its
        beginning in UTC), a text such as "2026-11-23", or a number of seconds since 1970.

        The complete answer is in memory, and counts against the store's ``query.memory_bytes``. Use
        :meth:`stream` for an answer of any size.
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
        """Answers a SQL query.

        The rows are computed while they are read; see :class:`Stream` and :meth:`sql`.
        """
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
        """Answers a saved query, with some of its parameters set; see :func:`ostracon.queries`.

        Parameters are given by name, or in ``params``. If the query has its own parameter ``since`` or
        ``until``, the argument sets that parameter. Otherwise it restricts all tables, as in :meth:`sql`.
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
        """Returns the newest facts of a kind (events, audits or dead_letters), oldest first."""
        if limit is not None and limit <= 0:
            return []
        listed = self._native_of_mode().list(kind, limit, since)
        return [from_line(line) for lines in iter(lambda: listed.take(_LISTED), []) for line in lines]

    def tail(self, after: str = "", *, follow: bool = False) -> Iterator[Fact]:
        """Yields every fact after a cursor, in the store's order. With ``follow`` it waits for more facts
        forever.

        Each fact has the cursor after it. A reader that stores the cursor of the last fact that it has
        processed, and continues from there, gets every fact at least once.
        """
        while True:
            facts = self._native_of_mode().after(after)
            for taken in iter(functools.partial(facts.take, _AT_ONCE), []):
                for line, cursor in taken:
                    after = cursor
                    yield Fact(from_line(line), cursor)
            if not follow:
                return
            time.sleep(_LOOKS)

    def consumer_group(self, kind: str, name: str) -> ConsumerGroup:
        """Returns the consumer group with this name for events, audits or dead_letters. It may not exist yet.

        This changes nothing. Methods of the group that change it are refused if the store is open for reading
        only.
        """
        return ConsumerGroup(self._handles, kind, name, self._check_maintains)

    def consumer_groups(self) -> Sequence[ConsumerGroup]:
        """Returns all consumer groups."""
        groups = self._native_of_mode().consumer_groups()
        return [ConsumerGroup(self._handles, kind, name, self._check_maintains) for kind, name in groups]

    # Maintenance

    def scan(self, *, deep: bool = False) -> ScanReport:
        """Checks the store for damage. It changes nothing."""
        self._handles.listen()
        return ScanReport.read(_native.scan(self.path, deep=deep))

    def recover(self, mode: str, quarantine_dir: str | os.PathLike[str] | None = None) -> RecoveryReport:
        """Recovers a damaged store. The mode is ignore, repair, quarantine or rebuild.

        Damaged files are moved to ``quarantine_dir``, or to the folder ``quarantine`` in the store. Ctrl-C
        ends only the wait: the recovery continues until it is done, unless the process ends.
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
        """Merges segments, and drops the facts that retention does not keep."""
        if not dry_run:
            self._check_maintains()
        native = self._handles.maintainer()
        return Report.read(
            native.compact(dry_run=dry_run, kind_=kind, target_bytes=target_bytes, insist=insist)
        )

    def verify(self, against: str | None = None) -> Report:
        """Returns the balance sheet, which checks that every fact since the first commit is accounted for."""
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
        """Makes a backup: a second store at ``target`` with all facts recorded so far. Recording continues.

        With ``incremental``, it adds to the existing backup. Segments are hard-linked if possible, unless
        ``copy`` is set. With ``at_commit``, the backup has the state of the store after that commit. With
        ``verify``, it also reads the files that are in the backup already, and replaces damaged ones.
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
        """Returns the counters of this process for the store."""
        native = self._native_of_mode()
        is_writer = native is self._handles.opened_writer
        return self._handles.counts() if is_writer else dict(native.metrics())

    def import_file(
        self, path: str | os.PathLike[str], *, epoch: Instant = None, again: bool = False
    ) -> ImportReport:
        """Imports a file of JSON lines in the form of Papyra's JSON backend.

        Lines of this content that were imported before are not imported twice. Ctrl-C stops the import. Facts
        that were committed stay, and importing the file again continues after them.
        """
        return ImportReport(*self._writer().import_file(os.fspath(path), epoch=nanos(epoch), again=again))

    def close(self) -> None:
        """Flushes the store, and closes it for recording.

        Reading is still possible, and copies still record.
        """
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
    """Returns the names of a saved query's own parameters."""
    name = query.replace("-", "_")
    for known, _, _, given in _native.saved_queries():
        if known == name:
            return frozenset(parameter[0] for parameter in given)
    return frozenset()


def _instant_text(instant: Instant) -> object:
    """Returns an instant for a parameter that is text. A number of seconds becomes a datetime."""
    if isinstance(instant, (int, float)):
        return datetime.fromtimestamp(instant, timezone.utc)
    return instant


class AsyncStore:
    """A :class:`Store` with asynchronous methods, which run in threads outside the event loop.

    Cancelling a task stops its query, list, scan, compaction or import, and returns when the work has ended.
    If the disk is slow, it returns after some seconds, and the work ends later. A ``verify``, which only
    reads, continues in its thread. Recording, a flush, a backup or a recovery is not stopped: the task waits
    for its end.
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
        """:meth:`Store.record`, without blocking the event loop.

        The fact is appended before the first suspension. So the facts of several tasks are recorded in the
        order in which the tasks began, also while the buffer is full.
        """
        line = to_line(fact, kind)
        self._store._check_records()
        position = await self._store._handles.in_order.record(line)
        assert position is not None
        return position

    async def flush(self) -> None:
        """:meth:`Store.flush`."""
        await off_loop(self._store.flush)

    async def sql(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        since: Instant = None,
        until: Instant = None,
        as_of: Instant = None,
    ) -> Answer:
        """:meth:`Store.sql`."""
        return await stoppable(
            self._store.sql, query, params, timeout=timeout, since=since, until=until, as_of=as_of
        )

    async def stream(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        since: Instant = None,
        until: Instant = None,
        as_of: Instant = None,
    ) -> AsyncStream:
        """:meth:`Store.stream`."""
        return AsyncStream(
            await stoppable(
                self._store.stream, query, params, timeout=timeout, since=since, until=until, as_of=as_of
            )
        )

    async def query(
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
        """:meth:`Store.query`."""
        return await stoppable(
            self._store.query, name, params, timeout=timeout, since=since, until=until, as_of=as_of, **set
        )

    async def list(
        self, kind: str, limit: int | None = None, since: float | None = None
    ) -> list[dict[str, Any]]:
        """:meth:`Store.list`."""
        return await stoppable(self._store.list, kind, limit, since)

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

    async def scan(self, *, deep: bool = False) -> ScanReport:
        """:meth:`Store.scan`."""
        return await stoppable(self._store.scan, deep=deep)

    async def recover(
        self, mode: str, quarantine_dir: str | os.PathLike[str] | None = None
    ) -> RecoveryReport:
        """:meth:`Store.recover`."""
        folder = None if quarantine_dir is None else os.path.abspath(quarantine_dir)
        return await off_loop(self._store.recover, mode, folder)

    async def compact(
        self,
        *,
        dry_run: bool = False,
        kind: str | None = None,
        target_bytes: int | None = None,
        insist: bool = False,
    ) -> Report:
        """:meth:`Store.compact`."""
        return await stoppable(
            self._store.compact, dry_run=dry_run, kind=kind, target_bytes=target_bytes, insist=insist
        )

    async def backup(
        self,
        target: str | os.PathLike[str],
        *,
        incremental: bool = False,
        at_commit: int | None = None,
        copy: bool = False,
        verify: bool = False,
    ) -> Report:
        """:meth:`Store.backup`."""
        return await off_loop(
            self._store.backup,
            os.path.abspath(target),
            incremental=incremental,
            at_commit=at_commit,
            copy=copy,
            verify=verify,
        )

    async def verify(self, against: str | None = None) -> Report:
        """:meth:`Store.verify`."""
        return await stoppable(self._store.verify, against)

    async def import_file(
        self, path: str | os.PathLike[str], *, epoch: Instant = None, again: bool = False
    ) -> ImportReport:
        """:meth:`Store.import_file`."""
        return await stoppable(self._store.import_file, os.path.abspath(path), epoch=epoch, again=again)

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
    """A :class:`Stream` with asynchronous methods."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._stream.columns

    async def fetchmany(self, size: int = 1000) -> list[tuple[Any, ...]]:
        """:meth:`Stream.fetchmany`."""
        # The rows are taken here, and not in the thread, so that a cancelled task loses no rows.
        while True:
            ended = await stoppable(self._stream._fill, size)
            rows = self._stream._take(size)
            if ended or len(rows) >= size:
                return rows
            # Another task has taken some of the rows.
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
    """Iterates over the results of a function until ``None``.

    Unlike a generator, it continues after cancellation.
    """

    def __init__(self, give: Callable[[], Awaitable[T | None]]) -> None:
        self._give = give

    async def __anext__(self) -> T:
        value = await self._give()
        if value is None:
            raise StopAsyncIteration
        return value


class Fact(dict[str, Any]):
    """The fields of a fact, with `stream`, `seq` and `recorded_at`, and the cursor after the fact."""

    __slots__ = ("cursor",)

    def __init__(self, record: dict[str, Any], cursor: str) -> None:
        super().__init__(record)
        self.cursor = cursor

    @property
    def kind(self) -> str:
        """The kind of the fact: event, audit or dead_letter."""
        return kind_of(self)


class ImportReport:
    """The result of an import: the numbers of `facts`, of `rejected` lines, and of skipped lines that were
    `imported_before`, and the first `reasons` for rejections with their line numbers."""

    def __init__(
        self, facts: int, rejected: int, imported_before: int, reasons: list[tuple[int, str]]
    ) -> None:
        self.facts = facts
        self.rejected = rejected
        self.imported_before = imported_before
        self.reasons = reasons

    def __repr__(self) -> str:
        return (
            f"ImportReport(facts={self.facts}, rejected={self.rejected}, "
            f"imported_before={self.imported_before})"
        )


def _within(timeout: float | None, since: Instant, until: Instant, as_of: Instant) -> dict[str, Any]:
    """Returns the limits of a query as arguments of the native store."""
    return {"timeout": timeout, "since": nanos(since), "until": nanos(until), "as_of": nanos(as_of)}
