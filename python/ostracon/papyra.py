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
# The number of facts that are listed at a time. Between two parts, other threads can run.
_LISTED = 1_000
# Seconds between two log messages about one repeated problem.
_PAUSE = 60.0
# Seconds to wait for another process that maintains the store.
_OTHERS = 60.0


class OstraconPersistence(Shipping, PersistenceBackend):
    """Stores the facts of an actor system in an Ostracon store.

    Creating the object touches no file. The first fact opens the store at ``path``, or creates it. Any number
    of processes may record into one store, and read and maintain it at the same time.

    ``durability`` is the safety of a fact when ``record_*`` returns: "journaled" (safe if the process
    crashes, the default), "synced" (safe if the machine crashes), or "buffered". In each case the fact is
    appended before ``record_*`` first gives up control, and nothing else blocks the event loop. A sync blocks
    the event loop in two cases only: when the first fact opens the store, and when the journal needs its next
    file and the disk did not allow it to be created in advance.

    Settings that do not fit together, here or in the store's ``ostracon.toml``, are refused immediately.

    A failed sync is never repeated. The facts that waited for it count as write errors, and the store is
    opened again for the next facts.

    ``retention_policy`` is applied as in Papyra: age, then count, then bytes, over all three kinds together.
    Without it, the store's ``ostracon.toml`` applies. The age of a fact is measured by its own timestamp.
    Papyra's default clock counts from the start of the machine. Its timestamps are not dates, and an age
    limit drops all facts. To avoid this, give the system ``time_fn=time.time``, or use
    ``age_by="recorded_at"`` here.
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
        self._failures = _Repeated("failed to record a fact")
        self._dropped = _Repeated(
            "failed to record a fact, because this backend is closed; to record more facts, such as in an "
            "application's second lifespan, create a new OstraconPersistence"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store at the same path when it first needs it.
        # Attributes that a subclass has added are copied.
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
        """Whether this backend is closed, and records no more facts."""
        return self._closed

    @property
    def metrics(self) -> OstraconMetrics:  # type: ignore[override]
        """The counters of Papyra and Ostracon."""
        return self._counters

    @property
    def store(self) -> Store:
        """The store, opened for queries: ``persistence.store.sql("SELECT ...")``."""
        return Store(self._handles, "read")

    # Recording

    async def record_event(self, event: PersistedEvent | Any) -> None:
        """Records an event. This never raises an error: failures are counted and logged."""
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
                _log.warning("a fact of %d bytes was shortened, because the limit is %d", len(line), LONGEST)
                line = shortened(line)
        except Exception as error:
            self._failed(error)
            return
        await self._handles.in_order.record(line, self._failed)

    def _failed(self, error: Exception) -> None:
        if self._closed and isinstance(error, _native.ClosedError):
            # The backend was closed after the check in `_record`.
            self._dropped.log()
            return
        self._counters.add("write_errors", 1)
        self._failures.log(error)

    async def aclose(self) -> None:
        """Flushes the store, and closes this backend for recording.

        Reading is still possible, and copies of this backend still record. Closing it again does nothing.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await off_loop(self._handles.let_go, self)
        except Exception as error:
            # The facts are in the journal. The next process that opens the store reads them from there.
            _log.error("failed to flush the last facts when closing %s: %s", self.path, error)

    # Reading

    async def list_events(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedEvent, ...]:
        """Returns the newest events, in the order of recording. `since` is applied first, then `limit`."""
        return await stoppable(self._list, EVENT, PersistedEvent, limit, since)

    async def list_audits(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedAudit, ...]:
        """Returns the newest audits, as :meth:`list_events` does."""
        return await stoppable(self._list, AUDIT, PersistedAudit, limit, since)

    async def list_dead_letters(
        self, *, limit: int | None = None, since: float | None = None
    ) -> tuple[PersistedDeadLetter, ...]:
        """Returns the newest dead letters, as :meth:`list_events` does."""
        return await stoppable(self._list, DEAD_LETTER, PersistedDeadLetter, limit, since)

    def _list(self, kind: str, cls: type[T], limit: int | None, since: float | None) -> tuple[T, ...]:
        if limit is not None and limit <= 0:
            return ()
        if not self._handles.exists():
            return ()
        listed, passed_over, damage = self._handles.reader().list_readable(kind, limit, since)
        if damage:
            # Papyra's lists never fail because of damage. A scan reports the damage, and recover repairs it.
            self._counters.add("rows_skipped", passed_over)
            _log.error(
                "failed to list up to %d facts, because the store is damaged: %s",
                passed_over,
                "; ".join(damage),
            )
        facts = []
        for lines in iter(lambda: listed.take(_LISTED), []):
            for line in lines:
                try:
                    facts.append(_made(cls, from_line(line)))
                except Exception as error:
                    # It may be nested deeper than Python can read. SQL and the other facts are not affected.
                    self._counters.add("rows_skipped", 1)
                    _log.warning("failed to read a fact for a list: %s; it was left out", error)
        return tuple(facts)

    # Looking after it

    async def scan(self) -> PersistenceScanReport:
        """Checks the store for damage. It changes nothing."""
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
        """Recovers a damaged store, as far as the configuration allows.

        Mode quarantine moves damaged files to the folder in the configuration, or to the folder
        ``quarantine`` in the store.
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
            # Nothing can be recovered without a store, and the scan reports this.
            return PersistenceRecoveryReport(backend=_NAME, scan=self._scan())
        parts = report.to_dict()
        return PersistenceRecoveryReport(
            backend=_NAME,
            scan=self._as_papyras(parts["scan"]),
            repaired_files=tuple(os.path.join(self._handles.path, path) for path in parts["repaired_files"]),
            quarantined_files=tuple(parts["quarantined_files"]),
        )

    async def compact(self) -> CompactionReport:
        """Drops the facts that retention does not keep, and merges the remaining segments.

        If another process maintains the store, it waits for that process up to a minute. After that it does
        nothing, and reports that nothing changed.
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
            # Facts of this process are compacted, too.
            writer.flush()
        store = Store(self._handles, "maintain")
        try:
            report = _when_free(store.compact).to_dict()
        except _native.ContendedError as error:
            _log.warning("failed to compact the store, and nothing was changed: %s", error)
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

    # Importing

    async def import_from(
        self,
        path: str | os.PathLike[str],
        *,
        epoch: Instant = None,
        prefix: str = "papyra",
        system: str | None = None,
    ) -> ImportReport:
        """Imports the facts of another backend of Papyra: a file of the JSON or the rotating backend, or the
        streams of the Redis backend at an address such as ``redis://localhost:6379/0``.

        Rotated files (``path.1``, ``path.2`` and so on) are imported oldest first. From Redis it reads the
        streams of all systems under the prefix, or of one system, and changes nothing. Facts that were
        imported before are not imported twice. Lines that are not facts are counted and reported. If the
        timestamps count from the start of the system's clock, give that start as ``epoch``.
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
    """The ten counters of Papyra, and Ostracon's own counters."""

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
    # The counters of the writer. The other counters are kept here, because they need no writer.
    _OF_WRITER = ("records_written", "bytes_written")

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._counted = dict.fromkeys(self._COUNTED, 0)

    def add(self, name: str, number: int) -> None:
        """Adds a number to a counter."""
        with self._handles.counting:
            self._counted[name] = self._counted.get(name, 0) + number

    def snapshot(self) -> dict[str, int]:
        """Returns all counters. This never raises an error."""
        counters = dict(self._counted)
        try:
            for name, value in self._handles.counts().items():
                if name in self._OF_WRITER or name not in self._COUNTED:
                    # The counters in this object are the numbers that the user has added.
                    counters[name] = counters.get(name, 0) + value
        except Exception:
            _log.debug("failed to read the writer's counters", exc_info=True)
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


# The attributes of one backend that its copies do not get.
_MADE_ANEW = {"_handles", "_closed", "_counters", "_failures", "_dropped", "_metrics", "_metrics_lock"}


def _backend_of(
    cls: type[OstraconPersistence], handles: Handles, closed: bool, others: dict[str, Any]
) -> OstraconPersistence:
    """Makes another backend of a store, without the constructor, which a subclass may have changed."""
    backend = cls.__new__(cls)
    PersistenceBackend.__init__(backend)
    vars(backend).update(others)
    backend._begin(handles, closed)
    return backend


def _when_free(work: Callable[[], T]) -> T:
    """Runs maintenance work as soon as no other process maintains the store."""
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
    """Sleeps. Fails if this work is stopped."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
        _native.check_stopped()


class _Repeated:
    """Logs a repeated problem: the first time immediately, and later at most once a minute."""

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
        what = self._what if times == 1 else f"{self._what} ({times} times since the last message)"
        note = "further failures are counted, and logged at most once a minute"
        _log.error("%s: %s: %s", what, error, note) if error is not None else _log.error("%s", what)


def _made(cls: type[T], record: dict[str, Any]) -> T:
    """Converts a fact into one of Papyra's dataclasses."""
    values = {name: record[name] for name in field_names(cls)}
    for name in ("registry_orphans", "registry_dead"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    for name in ("actor_address", "target"):
        if isinstance(values.get(name), Mapping):
            values[name] = address_text(values[name])
    return cls(**values)


__all__ = ["OstraconMetrics", "OstraconPersistence"]
