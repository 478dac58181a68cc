"""The native stores at a path.

They are opened when they are first needed, and a forked child opens its own.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, TypedDict

from . import _forward, _native
from ._in_order import InOrder

if TYPE_CHECKING:
    from typing_extensions import Unpack

_log = logging.getLogger("ostracon")
# Seconds between two attempts to open the store again after a failed sync.
_RENEWALS = 1.0
_all: weakref.WeakSet[Handles] = weakref.WeakSet()
_FOLDERS = {"ledger", "ledger-copy", "journal", "events", "audits", "dead_letters", "quarantine", "consumers"}
# The id of the process that closes its handles at exit.
_closes_in: int | None = None


class Options(TypedDict, total=False):
    """The arguments of :class:`_native.Settings`."""

    durability: str | None
    flush_rows: int | None
    flush_bytes: int | None
    flush_age: float | None
    max_buffer_bytes: int | None
    max_wait: float | None
    retention: tuple[float | None, int | None, int | None] | None
    age_by: str | None


class Handles:
    """The writer and the reader of one store in one process.

    Creating the object touches no file. The first fact opens the writer, and the first query opens the
    reader. A forked child does not inherit them. It opens its own, and its writer has a separate stream. A
    pickled object has the path and the settings, and another process opens its own writer and reader.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Unpack[Options]) -> None:
        # The path is made absolute now, because the working directory may change before the store is opened.
        self.path = os.path.abspath(os.fsdecode(path))
        self.options = options
        self.settings = _native.Settings(**options)
        self._begin()
        _all.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self.path, self.options)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        # The lock for all counters of this store. A forked child needs a new one, because a thread of its
        # parent may hold the old one forever.
        self.counting = threading.Lock()
        self.in_order = InOrder(self)
        self.opened_writer: _native.Store | None = None
        self._reader: _native.Store | None = None
        self._consumer: _native.Store | None = None
        self._renewed = -_RENEWALS
        # The counters of writers that were given up, and the writer that is being given up.
        self._gone: tuple[dict[str, int], _native.Store | None] = ({}, None)
        self._users: weakref.WeakSet[object] = weakref.WeakSet()

    def writer(self) -> _native.Store:
        """Returns the writer. Opens the store for writing, and creates it if there is none."""
        if self.opened_writer is None:
            with self._lock:
                if self.opened_writer is None:
                    os.makedirs(os.path.dirname(self.path), exist_ok=True)
                    self.opened_writer = self._open("write")
        return self.opened_writer

    def _open(self, mode: str) -> _native.Store:
        store = _native.Store(self.path, mode, self.settings)
        self.listen()
        return store

    def listen(self) -> None:
        """Forwards the library's messages to ``logging`` from now on, until the interpreter exits."""
        _forward.start()
        _close_at_exit()

    def renew(self) -> None:
        """Gives up a writer whose sync has failed.

        The next fact opens the store again, which replays the journal on the disk. If the disk keeps failing,
        this is tried only once a second.
        """
        with self._lock:
            now = time.monotonic()
            writer = self.opened_writer
            if writer is None or now < self._renewed + _RENEWALS:
                return
            self._renewed = now
            with self.counting:
                before, _ = self._gone
                self._gone = (before, writer)
                self.opened_writer = None
            try:
                writer.close()
            except _native.OstraconError as error:
                _log.debug("failed to close a writer that was given up after a failed sync: %s", error)
            counted = dict(before)
            _add(counted, writer)
            with self.counting:
                self._gone = (counted, None)

    def counts(self) -> dict[str, int]:
        """Returns the counters of the writer, and of the writers that were given up."""
        with self.counting:
            (before, leaving), writer = self._gone, self.opened_writer
        counted = dict(before)
        for store in (leaving, writer):
            if store is not None:
                _add(counted, store)
        return counted

    def reset_counts(self) -> None:
        """Sets the writer's counters to zero."""
        with self.counting:
            self._gone = ({}, self._gone[1])
            stores = (self._gone[1], self.opened_writer)
        for store in stores:
            if store is not None:
                store.reset_metrics()

    def use(self, user: object) -> None:
        """Adds a user of the writer. The writer is closed when its last user is closed."""
        with self._lock:
            self._users.add(user)

    def let_go(self, user: object) -> None:
        """Removes a user of the writer, and closes the writer if it has no other user."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
        self.close()

    def close(self) -> None:
        """Closes the writer, after the facts that wait for room are recorded."""
        self.in_order.drain()
        writer = self.opened_writer
        if writer is not None:
            writer.close()

    def reader(self) -> _native.Store:
        """Returns the writer if there is one, or else the store opened for reading."""
        if self.opened_writer is not None:
            return self.opened_writer
        if self._reader is None:
            with self._lock:
                if self._reader is None:
                    self._reader = self._open("read")
        return self._reader

    def maintainer(self) -> _native.Store:
        """Returns the writer if there is one, or else the store opened for maintenance."""
        if self.opened_writer is not None:
            return self.opened_writer
        return self._open("maintain")

    def consumer(self) -> _native.Store:
        """Returns the store for changes of consumer groups.

        It opens a writer only if there is no store yet.
        """
        if self.opened_writer is not None:
            return self.opened_writer
        with self._lock:
            if self._consumer is None:
                if not self.exists():
                    return self.writer()
                self._consumer = self.maintainer()
        return self._consumer

    def exists(self) -> bool:
        """Whether there is something at the path, other than an empty place for a new store."""
        is_open = self.opened_writer is not None or self._reader is not None
        return is_open or not _is_bare(self.path)

    def after_fork(self) -> None:
        inherited = (self.opened_writer, self._reader, self._consumer)
        users = self._users
        # This comes first: if a later step fails, the child must not keep the parent's writer.
        self._begin()
        self._users = users
        for handle in inherited:
            if handle is not None:
                handle.forget()


def _add(counted: dict[str, int], store: _native.Store) -> None:
    for name, value in store.metrics():
        counted[name] = counted.get(name, 0) + value


def _made_again(path: str, options: Options) -> Handles:
    return Handles(path, **options)


def _is_bare(path: str) -> bool:
    """Whether there is nothing, an empty folder, or a store whose creation was interrupted or still runs."""
    unread: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unread.append):
        if folder == path and not _FOLDERS.issuperset(name for name in folders if name[0] != "."):
            return False
        if folder in (os.path.join(path, "ledger"), os.path.join(path, "ledger-copy")):
            # A store exists only after its first commit.
            files = [name for name in files if name.endswith(".json")]
        if any(not name.startswith((".", "ostracon.toml")) for name in files):
            return False
    # A folder that cannot be read may be a store.
    if not all(isinstance(error, FileNotFoundError) for error in unread):
        return False
    return os.path.isdir(path) or not os.path.lexists(path)


def _close_all() -> None:
    """Closes all handles before the interpreter exits, because a thread or a cycle may keep them alive."""
    for handles in list(_all):
        try:
            handles.close()
        except Exception as error:
            # The facts are in the journal, if their durability promised it.
            _log.error("failed to flush the last facts when closing %s at exit: %s", handles.path, error)
    _forward.stop()


def _close_at_exit() -> None:
    global _closes_in
    if _closes_in == os.getpid():
        return
    _closes_in = os.getpid()
    atexit.unregister(_close_all)
    atexit.register(_close_all)
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        # A worker of multiprocessing exits without running the functions of `atexit`.
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=0)


def _after_fork() -> None:
    failed: Exception | None = None
    for handles in list(_all):
        try:
            handles.after_fork()
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
