"""A store, for scripts and notebooks."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from . import _native
from ._answer import Answer
from ._consumers import AsyncConsumerGroup, ConsumerGroup
from ._handles import Handles
from ._lines import from_line, kind_of, to_line
from ._off_loop import off_loop
from ._report import RecoveryReport, Report, ScanReport

_AT_ONCE = 256
_LOOKS = 0.2


def _nanos(instant: datetime | float | int | None) -> int | None:
    """An instant as nanoseconds since 1970; a number is in seconds."""
    if instant is None:
        return None
    if isinstance(instant, datetime):
        if instant.tzinfo is None:
            raise ValueError(f"{instant!r} has no time zone, and might be any of many instants")
        since = instant - datetime(1970, 1, 1, tzinfo=timezone.utc)
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
    return round(instant * 1_000_000_000)


class Store:
    """A store of facts.

    Opened by :func:`ostracon.open`. It may be open in any number of processes at the same time, and
    it may be used from any thread.
    """

    def __init__(self, handles: Handles, mode: str) -> None:
        self._handles = handles
        self._mode = mode

    def _native_of_mode(self) -> _native.Store:
        return self._handles.writer() if self._mode == "write" else self._handles.reader()

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
        if self._mode != "write":
            raise _native.ClosedError(f"{self.path} is open for reading only; nothing was recorded")
        return self._handles.writer()

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
        params: Mapping[str, bool | int | float | str] | None = None,
        *,
        timeout: float | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        as_of: datetime | float | None = None,
    ) -> Answer:
        """Answers a question in SQL, over the facts that are there now, flushed or not.

        ``params`` gives the placeholders ``$name`` their values. ``since`` and ``until`` narrow every
        table of facts to a window in time, ``as_of`` to what had been recorded by then; a number is in
        seconds since 1970. Ctrl-C stops it.
        """
        return Answer(
            self._native_of_mode().sql(
                query,
                None if params is None else dict(params),
                timeout=timeout,
                since=_nanos(since),
                until=_nanos(until),
                as_of=_nanos(as_of),
            )
        )

    def query(
        self,
        name: str,
        *,
        timeout: float | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        as_of: datetime | float | None = None,
        **parameters: object,
    ) -> Answer:
        """Answers a saved query, with some of its parameters set: see :func:`ostracon.queries`."""
        texts = [(key, str(value)) for key, value in parameters.items()]
        return Answer(
            self._native_of_mode().query(
                name, texts, timeout=timeout, since=_nanos(since), until=_nanos(until), as_of=_nanos(as_of)
            )
        )

    def list(self, kind: str, limit: int | None = None, since: float | None = None) -> list[dict[str, Any]]:
        """The newest facts of a kind (events, audits or dead_letters), oldest first."""
        if limit is not None and limit <= 0:
            return []
        return [from_line(line) for line in self._native_of_mode().list(kind, limit, since)]

    def tail(self, after: str = "", *, follow: bool = False) -> Iterator[Fact]:
        """Every fact behind a cursor, in the store's order; for ever, if it follows.

        Each has the cursor with which to go on behind it: whoever keeps that of what it has dealt with
        gets every fact at least once.
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
        return ScanReport.read(_native.scan(self.path, deep=deep))

    def recover(self, mode: str, quarantine_dir: str | os.PathLike[str] | None = None) -> RecoveryReport:
        """Makes a damaged store whole again: mode ignore, repair, quarantine or rebuild."""
        self._check_maintains()
        folder = None if quarantine_dir is None else os.fspath(quarantine_dir)
        writer = self._handles.opened_writer
        if writer is not None:
            return RecoveryReport.read(writer.recover(mode, folder))
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
        return Report.read(_native.verify(self.path, against))

    def metrics(self) -> dict[str, int]:
        """What this process did with the store, counted."""
        return dict(self._native_of_mode().metrics())

    def import_file(
        self, path: str | os.PathLike[str], *, epoch: datetime | float | None = None, again: bool = False
    ) -> ImportReport:
        """Imports a file of JSON lines, as Papyra's JSON backend writes them.

        What was imported of the same content before is not imported twice.
        """
        return ImportReport(*self._writer().import_file(os.fspath(path), epoch=_nanos(epoch), again=again))

    def close(self) -> None:
        """Flushes, and takes no more facts. Reading goes on."""
        if self._mode == "write":
            self._handles.writer().close()

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


class AsyncStore:
    """A :class:`Store` whose methods are awaited, and work in threads off the event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def path(self) -> str:
        """The store's folder."""
        return self._store.path

    async def record(self, fact: Any, *, kind: str | None = None) -> _native.Position:
        """:meth:`Store.record`; the fact is made a line of before this first waits."""
        line = to_line(fact, kind)
        return await off_loop(self._store.record, line)

    async def flush(self) -> None:
        """:meth:`Store.flush`."""
        await off_loop(self._store.flush)

    async def sql(self, *args: Any, **kwargs: Any) -> Answer:
        """:meth:`Store.sql`."""
        return await off_loop(self._store.sql, *args, **kwargs)

    async def query(self, *args: Any, **kwargs: Any) -> Answer:
        """:meth:`Store.query`."""
        return await off_loop(self._store.query, *args, **kwargs)

    async def list(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        """:meth:`Store.list`."""
        return await off_loop(self._store.list, *args, **kwargs)

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
            await off_loop(time.sleep, _LOOKS)

    def consumer_group(self, kind: str, name: str) -> AsyncConsumerGroup:
        """:meth:`Store.consumer_group`."""
        return AsyncConsumerGroup(self._store.consumer_group(kind, name))

    async def scan(self, **kwargs: Any) -> ScanReport:
        """:meth:`Store.scan`."""
        return await off_loop(self._store.scan, **kwargs)

    async def recover(self, *args: Any, **kwargs: Any) -> RecoveryReport:
        """:meth:`Store.recover`."""
        return await off_loop(self._store.recover, *args, **kwargs)

    async def compact(self, **kwargs: Any) -> Report:
        """:meth:`Store.compact`."""
        return await off_loop(self._store.compact, **kwargs)

    async def verify(self, against: str | None = None) -> Report:
        """:meth:`Store.verify`."""
        return await off_loop(self._store.verify, against)

    async def import_file(self, *args: Any, **kwargs: Any) -> ImportReport:
        """:meth:`Store.import_file`."""
        return await off_loop(self._store.import_file, *args, **kwargs)

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


class Fact(dict[str, Any]):
    """A fact's fields, with `stream`, `seq` and `recorded_at`, and the cursor behind it."""

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
