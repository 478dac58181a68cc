"""Ostracon as Papyra's persistence backend.

.. code-block:: python

    from ostracon.papyra import OstraconPersistence

    persistence = OstraconPersistence("facts/")
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from papyra.persistence.backends.retention import RetentionPolicy
from papyra.persistence.base import PersistenceBackend
from papyra.persistence.models import (
    CompactionReport,
    PersistedAudit,
    PersistedDeadLetter,
    PersistedEvent,
    PersistenceAnomaly,
    PersistenceAnomalyType,
    PersistenceRecoveryReport,
    PersistenceScanReport,
)

from . import _native
from ._handles import Handles
from ._lines import (
    AUDIT,
    DEAD_LETTER,
    EVENT,
    LONGEST,
    address_text,
    field_names,
    from_line,
    shortened,
    to_line,
)
from ._off_loop import off_loop, stoppable
from ._parameters import nanos
from ._report import RecoveryReport, ScanReport
from ._shipping import Shipping
from ._store import ImportReport, Instant, Store

T = TypeVar("T")

_NAME = "ostracon"
_log = logging.getLogger("ostracon")
# Facts that are listed at once: in between, other threads have their turn.
_LISTED = 1_000
# Seconds between two lines in the log about what happens again and again.
_PAUSE = 60.0
# Seconds to wait for another process that maintains the store.
_OTHERS = 60.0


class OstraconPersistence(Shipping, PersistenceBackend):
    """Keeps what an actor system tells of itself in an Ostracon store.

    Making one touches no file: the store at ``path`` is made, or opened, by the first fact. Any
    number of processes may record into one store, and read and maintain it meanwhile.

    ``durability`` says how safe a fact is when ``record_*`` returns: "journaled" (against a crash of
    the process, the default), "synced" (against a crash of the machine), or "buffered". Whatever it is,
    the fact is appended before ``record_*`` first gives up control, and nothing else is waited for on the
    event loop. It syncs there only with the first fact, which opens the store and begins its journal, and
    where the disk kept the flush from beginning the journal's next file beforehand.

    Settings that do not fit together, here or in the store's ``ostracon.toml``, are refused at once.

    A sync that fails is never tried again: the facts that waited for it count as write errors, and the store is
    opened anew for those to come.

    ``retention_policy`` is applied as Papyra does: age, then count, then bytes, over the three kinds
    together; without one, what the store's ``ostracon.toml`` says. Age is measured by the facts' own
    timestamps. Papyra's default clock counts from the machine's start, so that those are no dates and
    an age limit drops everything: give the system ``time_fn=time.time``, or ``age_by="recorded_at"`` here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retention_policy: RetentionPolicy | None = None,
        durability: str | None = None,
        age_by: str | None = None,
        flush_rows: int | None = None,
        flush_bytes: int | None = None,
        flush_age: float | None = None,
        max_buffer_bytes: int | None = None,
        max_wait: float | None = None,
    ) -> None:
        super().__init__(retention_policy=retention_policy)
        limits = None
        if retention_policy is not None:
            policy = retention_policy
            limits = (policy.max_age_seconds, _whole(policy.max_records), _whole(policy.max_total_bytes))
        self._begin(
            Handles(
                path,
                durability=durability,
                retention=limits,
                age_by=age_by,
                flush_rows=flush_rows,
                flush_bytes=flush_bytes,
                flush_age=flush_age,
                max_buffer_bytes=max_buffer_bytes,
                max_wait=max_wait,
            )
        )
        self._handles.settings.check(self._handles.path)

    def _begin(self, handles: Handles, closed: bool = False) -> None:
        if not closed:
            handles.use(self)
        self._handles = handles
        self._closed = closed
        self._counters = OstraconMetrics(handles)
        self._failures = _Repeated("a fact could not be recorded, and was counted as a write error")
        self._dropped = _Repeated(
            "a fact was dropped, for this backend was closed; what is to be recorded after that, such as in an "
            "application's second lifespan, needs an OstraconPersistence of its own"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store at the same path, when it first needs it.
        # What a subclass has added goes along.
        others = {name: value for name, value in vars(self).items() if name not in _MADE_ANEW}
        return _backend_of, (type(self), self._handles, self._closed, others)

    def __copy__(self) -> OstraconPersistence:
        make, parts = self.__reduce__()
        copied: OstraconPersistence = make(*parts)
        return copied

    def __deepcopy__(self, memo: object) -> OstraconPersistence:
        return self.__copy__()

    @property
    def path(self) -> Path:
        """The store's folder."""
        return Path(self._handles.path)

    @property
    def closed(self) -> bool:
        """Whether it takes no more facts."""
        return self._closed

    @property
    def metrics(self) -> OstraconMetrics:  # type: ignore[override]
        """The counters."""
        return self._counters

    @property
    def store(self) -> Store:
        """The same store for questions: ``persistence.store.sql("SELECT ...")``."""
        return Store(self._handles, "read")

    # Recording

    async def record_event(self, event: PersistedEvent | Any) -> None:
        """Records an event. Never fails: what could not be recorded is counted, and logged."""
        await self._record(EVENT, event)

    async def record_audit(self, report: PersistedAudit | Any) -> None:
        """Records an audit, as :meth:`record_event` does."""
        await self._record(AUDIT, report)

    async def record_dead_letter(self, dead_letter: PersistedDeadLetter | Any) -> None:
        """Records a dead letter, as :meth:`record_event` does."""
        await self._record(DEAD_LETTER, dead_letter)

    async def _record(self, kind: str, fact: Any) -> None:
        if self._closed:
            self._dropped.log()
            return
        try:
            line = to_line(fact, kind)
            if len(line) > LONGEST:
                _log.warning("a fact of %d bytes is longer than a fact may be, and was shortened", len(line))
                line = shortened(line)
        except Exception as error:
            self._failed(error)
            return
        await self._handles.in_order.record(line, self._failed)

    def _failed(self, error: Exception) -> None:
        if self._closed and isinstance(error, _native.ClosedError):
            # It was closed this very moment.
            self._dropped.log()
            return
        self._counters.add("write_errors", 1)
        self._failures.log(error)

    async def aclose(self) -> None:
        """Flushes, and takes no more facts. Reading goes on; to close again does nothing.

        A copy of it records on.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await off_loop(self._handles.let_go, self)
        except Exception as error:
            # They are in the journal, from which the next to open the store takes them.
            _log.error("closing %s could not flush the last facts: %s", self.path, error)

    # Reading

    async def list_events(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedEvent, ...]:
        """The newest events, in the order of recording; `since` counts first, then `limit`."""
        return await stoppable(self._list, EVENT, PersistedEvent, limit, since)

    async def list_audits(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedAudit, ...]:
        """The newest audits, as :meth:`list_events`."""
        return await stoppable(self._list, AUDIT, PersistedAudit, limit, since)

    async def list_dead_letters(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedDeadLetter, ...]:
        """The newest dead letters, as :meth:`list_events`."""
        return await stoppable(self._list, DEAD_LETTER, PersistedDeadLetter, limit, since)

    def _list(self, kind: str, cls: type[T], limit: int | None, since: float | None) -> tuple[T, ...]:
        if limit is not None and limit <= 0:
            return ()
        if not self._handles.exists():
            return ()
        listed, passed_over, damage = self._handles.reader().list_readable(kind, limit, since)
        if damage:
            # Papyra's lists never fail for what is bad. A scan tells it, and recover mends it.
            self._counters.add("rows_skipped", passed_over)
            _log.error("up to %d facts are missing from a list: %s", passed_over, "; ".join(damage))
        facts = []
        for lines in iter(lambda: listed.take(_LISTED), []):
            for line in lines:
                try:
                    facts.append(_made(cls, from_line(line)))
                except Exception as error:
                    # Nested deeper than Python reads, say. SQL and the other facts are not its hostages.
                    self._counters.add("rows_skipped", 1)
                    _log.warning("a fact was left out of a list, for Python cannot read it: %s", error)
        return tuple(facts)

    # Looking after it

    async def scan(self) -> PersistenceScanReport:
        """Looks whether the store is whole; changes nothing."""
        self._counters.add("scans", 1)
        try:
            report = await stoppable(self._scan)
        except Exception:
            self._counters.add("scan_errors", 1)
            raise
        self._counters.add("anomalies_detected", len(report.anomalies))
        return report

    def _scan(self) -> PersistenceScanReport:
        if not self._handles.exists():
            return PersistenceScanReport(backend=_NAME, anomalies=())
        try:
            self._handles.listen()
            report = ScanReport.read(_native.scan(self._handles.path))
        except _native.NotAStoreError as error:
            anomaly = PersistenceAnomaly(
                type=PersistenceAnomalyType.UNEXPECTED_FILE, path=self._handles.path, detail=str(error)
            )
            return PersistenceScanReport(backend=_NAME, anomalies=(anomaly,))
        return self._as_papyras(report.to_dict())

    def _as_papyras(self, scan: Mapping[str, Any]) -> PersistenceScanReport:
        anomalies = tuple(
            PersistenceAnomaly(
                type=PersistenceAnomalyType[anomaly["papyra"]],
                path=os.path.join(self._handles.path, anomaly["path"]),
                detail=f"{anomaly['kind']}: expected {anomaly['expected']}, found {anomaly['found']}",
            )
            for anomaly in scan["anomalies"]
        )
        return PersistenceScanReport(backend=_NAME, anomalies=anomalies)

    async def recover(self, config: Any | None = None) -> PersistenceRecoveryReport:
        """Makes a damaged store whole again, as far as the configuration allows.

        Quarantine moves damaged files to the folder that the configuration names, and without one to the
        store's own ``quarantine``.
        """
        self._counters.add("recoveries", 1)
        self._counters.add("scans", 1)
        try:
            report = await off_loop(self._recover, config)
        except Exception:
            self._counters.add("recovery_errors", 1)
            raise
        self._counters.add("anomalies_detected", len(report.scan.anomalies))
        return report

    def _recover(self, config: Any | None) -> PersistenceRecoveryReport:
        mode = getattr(config, "mode", None)
        name = str(getattr(mode, "value", mode) or "ignore").lower()
        if not self._handles.exists():
            scan = PersistenceScanReport(backend=_NAME, anomalies=())
            return PersistenceRecoveryReport(backend=_NAME, scan=scan)
        if name == "ignore":
            return PersistenceRecoveryReport(backend=_NAME, scan=self._scan())
        folder = getattr(config, "quarantine_dir", None)
        store = Store(self._handles, "maintain")
        try:
            report: RecoveryReport = _when_free(lambda: store.recover(name, folder))
        except _native.NotAStoreError:
            # Of what is no store nothing can be recovered, which the scan tells.
            return PersistenceRecoveryReport(backend=_NAME, scan=self._scan())
        parts = report.to_dict()
        return PersistenceRecoveryReport(
            backend=_NAME,
            scan=self._as_papyras(parts["scan"]),
            repaired_files=tuple(os.path.join(self._handles.path, path) for path in parts["repaired_files"]),
            quarantined_files=tuple(parts["quarantined_files"]),
        )

    async def compact(self) -> CompactionReport:
        """Drops for good what retention does not keep, and merges what is left.

        While another process maintains the store it waits for that, up to a minute; then it leaves the work
        to the other, and reports that nothing changed.
        """
        self._counters.add("compactions", 1)
        try:
            return await stoppable(self._compact)
        except Exception:
            self._counters.add("compaction_errors", 1)
            raise

    def _compact(self) -> CompactionReport:
        if not self._handles.exists():
            return CompactionReport(
                backend=_NAME, before_records=0, after_records=0, before_bytes=0, after_bytes=0
            )
        writer = self._handles.opened_writer
        if writer is not None and not self._closed:
            # What was recorded here counts, too.
            writer.flush()
        store = Store(self._handles, "maintain")
        try:
            report = _when_free(store.compact).to_dict()
        except _native.ContendedError as error:
            _log.warning("nothing was compacted: %s", error)
            report = store.compact(dry_run=True).to_dict()
            report["after"] = report["before"]
        before, after = report["before"], report["after"]
        return CompactionReport(
            backend=_NAME,
            before_records=before["facts"],
            after_records=after["facts"],
            before_bytes=before["bytes"],
            after_bytes=after["bytes"],
        )

    # Moving in

    async def import_from(
        self,
        path: str | os.PathLike[str],
        *,
        epoch: Instant = None,
        prefix: str = "papyra",
        system: str | None = None,
    ) -> ImportReport:
        """Imports what Papyra's own backends have: a file of the JSON or the rotating one as it lies on the
        disk, or what the Redis one has put at an address such as ``redis://localhost:6379/0``.

        Rotated files (``path.1``, ``path.2`` and so on) come oldest first. Of Redis, the streams of all systems
        under the prefix are read, or those of one system, and nothing is changed. What was imported before is
        not imported twice, and what is no fact is counted and told. Give an ``epoch`` if the system's
        clock started then.
        """
        place = os.fspath(path)
        if place.startswith(("redis://", "rediss://", "redis+unix://", "unix://")):
            return await off_loop(self._import_redis, place, prefix, system, nanos(epoch))
        return await stoppable(self._import_files, os.path.abspath(place), nanos(epoch))

    def _import_redis(self, url: str, prefix: str, system: str | None, epoch: int | None) -> ImportReport:
        return ImportReport(*self._handles.writer().import_redis(url, prefix, system, epoch=epoch))

    def _import_files(self, path: str, epoch: int | None) -> ImportReport:
        writer = self._handles.writer()
        facts = rejected = before = 0
        reasons: list[tuple[int, str]] = []
        for file in _native.rotated_files(path):
            of_file = writer.import_file(os.fspath(file), epoch=epoch)
            facts, rejected, before = facts + of_file[0], rejected + of_file[1], before + of_file[2]
            reasons += [(line, f"{file}: {reason}") for line, reason in of_file[3]]
        return ImportReport(facts, rejected, before, reasons)

    def __repr__(self) -> str:
        return f"OstraconPersistence({self._handles.path!r})"


class OstraconMetrics:
    """The ten counters of Papyra, and Ostracon's own."""

    _PAPYRAS = (
        "records_written",
        "bytes_written",
        "scans",
        "anomalies_detected",
        "recoveries",
        "compactions",
        "write_errors",
        "scan_errors",
        "recovery_errors",
        "compaction_errors",
    )
    _COUNTED = (*_PAPYRAS, "rows_skipped")
    # Of these a writer knows; the others are counted here, for they need no writer.
    _OF_WRITER = ("records_written", "bytes_written")

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._counted = dict.fromkeys(self._COUNTED, 0)

    def add(self, name: str, number: int) -> None:
        """Raises a counter."""
        with self._handles.counting:
            self._counted[name] = self._counted.get(name, 0) + number

    def snapshot(self) -> dict[str, int]:
        """All counters. Never fails."""
        counters = dict(self._counted)
        try:
            for name, value in self._handles.counts().items():
                if name in self._OF_WRITER or name not in self._COUNTED:
                    # What was counted here is what the user has added.
                    counters[name] = counters.get(name, 0) + value
        except Exception:
            _log.debug("the writer's counters could not be read", exc_info=True)
        return counters

    def reset(self) -> None:
        """Sets all counters to zero."""
        with self._handles.counting:
            self._counted = dict.fromkeys(self._COUNTED, 0)
        self._handles.reset_counts()

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.snapshot()[name]
        except KeyError:
            raise AttributeError(f"there is no counter {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets a counter, as in ``metrics.scans += 1``."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self.add(name, value - getattr(self, name))

    def __repr__(self) -> str:
        return f"OstraconMetrics({self.snapshot()})"


def _whole(number: int | None) -> int | None:
    return None if number is None else max(0, int(number))


# What belongs to one backend, and not to its copies.
_MADE_ANEW = {"_handles", "_closed", "_counters", "_failures", "_dropped", "_metrics", "_metrics_lock"}


def _backend_of(
    cls: type[OstraconPersistence], handles: Handles, closed: bool, others: dict[str, Any]
) -> OstraconPersistence:
    """Another of the same store, made without the constructor, which a subclass may have changed."""
    backend = cls.__new__(cls)
    PersistenceBackend.__init__(backend)
    vars(backend).update(others)
    backend._begin(handles, closed)
    return backend


def _when_free(work: Callable[[], T]) -> T:
    """Does the work of a maintainer as soon as no other is at work."""
    end = time.monotonic() + _OTHERS
    pause = 0.05
    while True:
        try:
            return work()
        except _native.ContendedError:
            if time.monotonic() + pause > end:
                raise
            _sleep(pause)
            pause = min(2 * pause, 1.0)


def _sleep(seconds: float) -> None:
    """Sleeps, unless this work is stopped."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
        _native.check_stopped()


class _Repeated:
    """Logs what happens again and again: the first time at once, then each minute, with how often."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._next = 0.0
        self._times = 0

    def log(self, error: Exception | None = None) -> None:
        now = time.monotonic()
        with self._lock:
            self._times += 1
            if now < self._next:
                return
            times, self._times, self._next = self._times, 0, now + _PAUSE
        what = self._what if times == 1 else f"{self._what} ({times} times since the last such line)"
        _log.error("%s: %s", what, error) if error is not None else _log.error("%s", what)


def _made(cls: type[T], record: dict[str, Any]) -> T:
    """A fact as one of Papyra's own dataclasses."""
    values = {name: record[name] for name in field_names(cls)}
    for name in ("registry_orphans", "registry_dead"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    for name in ("actor_address", "target"):
        if isinstance(values.get(name), Mapping):
            values[name] = address_text(values[name])
    return cls(**values)


__all__ = ["OstraconMetrics", "OstraconPersistence"]
