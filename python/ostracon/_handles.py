"""The native stores at a path: opened when they are first needed, and never a parent's."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from typing import Any

from . import _forward, _native
from ._in_order import InOrder

_log = logging.getLogger("ostracon")
# Seconds between two attempts to go on after a failed sync.
_RENEWALS = 1.0
_all: weakref.WeakSet[Handles] = weakref.WeakSet()
_FOLDERS = {"ledger", "ledger-copy", "journal", "events", "audits", "dead_letters", "quarantine", "consumers"}
# The process in which handles are closed at the end.
_closes_in: int | None = None


class Handles:
    """The writer and the reader of one store in one process.

    Making it touches no file. The writer is opened by the first fact, the reader by the first
    question. A child of a fork has neither: it gets its own, and with its own writer a stream of
    its own. Pickled, it is the path and the settings; another process opens its own.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        # Bound now: the working directory may change before the store is opened.
        self.path = os.path.abspath(os.fsdecode(path))
        self.options = options
        self.settings = _native.Settings(**options)
        self._begin()
        _all.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self.path, self.options)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        # For who counts beside them: locks of a parent's threads may be held for ever.
        self.counting = threading.Lock()
        self.in_order = InOrder(self)
        self.opened_writer: _native.Store | None = None
        self._reader: _native.Store | None = None
        self._consumer: _native.Store | None = None
        self._renewed = -_RENEWALS
        # What writers that were given up had counted, and the one that is being given up.
        self._gone: tuple[dict[str, int], _native.Store | None] = ({}, None)
        self._users: weakref.WeakSet[object] = weakref.WeakSet()

    def writer(self) -> _native.Store:
        """Opens the store for writing, and makes it if there is none."""
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
        """Forwards what the library says to ``logging`` from now on, up to the end of the interpreter."""
        _forward.start()
        _close_at_exit()

    def renew(self) -> None:
        """Gives up a writer whose sync has failed: the next fact opens the store anew, which replays what
        the disk has. Of a disk that keeps failing this is tried once a second only.
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
                _log.debug("a writer was given up: %s", error)
            counted = dict(before)
            _add(counted, writer)
            with self.counting:
                self._gone = (counted, None)

    def counts(self) -> dict[str, int]:
        """The writer's counters, with what was counted by writers that were given up."""
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
        """Handles that share one writer. The writer is closed when the last of them is closed."""
        with self._lock:
            self._users.add(user)

    def let_go(self, user: object) -> None:
        """Closes the writer, unless another still records through it."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
        self.close()

    def close(self) -> None:
        """Closes the writer, after the facts that wait for room."""
        self.in_order.drain()
        writer = self.opened_writer
        if writer is not None:
            writer.close()

    def reader(self) -> _native.Store:
        """The writer if there is one, else the store opened for reading."""
        if self.opened_writer is not None:
            return self.opened_writer
        if self._reader is None:
            with self._lock:
                if self._reader is None:
                    self._reader = self._open("read")
        return self._reader

    def maintainer(self) -> _native.Store:
        """The writer if there is one, else the store opened to be looked after."""
        if self.opened_writer is not None:
            return self.opened_writer
        return self._open("maintain")

    def consumer(self) -> _native.Store:
        """Where consumer groups are changed: no stream is claimed for it, unless there is no store yet."""
        if self.opened_writer is not None:
            return self.opened_writer
        with self._lock:
            if self._consumer is None:
                if not self.exists():
                    return self.writer()
                self._consumer = self.maintainer()
        return self._consumer

    def exists(self) -> bool:
        """Whether there is more at the path than the place where a store will be made."""
        is_open = self.opened_writer is not None or self._reader is not None
        return is_open or not _is_bare(self.path)

    def after_fork(self) -> None:
        inherited = (self.opened_writer, self._reader, self._consumer)
        users = self._users
        # First of all: what fails below must not leave the parent's writer in the child's hands.
        self._begin()
        self._users = users
        for handle in inherited:
            if handle is not None:
                handle.forget()


def _add(counted: dict[str, int], store: _native.Store) -> None:
    for name, value in store.metrics():
        counted[name] = counted.get(name, 0) + value


def _made_again(path: str, options: dict[str, Any]) -> Handles:
    return Handles(path, **options)


def _is_bare(path: str) -> bool:
    """Whether there is nothing, an empty folder, or a store whose making was cut short, or goes on."""
    unread: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unread.append):
        if folder == path and not _FOLDERS.issuperset(name for name in folders if name[0] != "."):
            return False
        if folder in (os.path.join(path, "ledger"), os.path.join(path, "ledger-copy")):
            # Until the first commit there is no store.
            files = [name for name in files if name.endswith(".json")]
        if any(not name.startswith((".", "ostracon.toml")) for name in files):
            return False
    # What may not be looked into might be a store.
    if not all(isinstance(error, FileNotFoundError) for error in unread):
        return False
    return os.path.isdir(path) or not os.path.lexists(path)


def _close_all() -> None:
    """Before the interpreter ends: a thread, or a cycle, may keep a store from being collected."""
    for handles in list(_all):
        try:
            handles.close()
        except Exception as error:
            # They are in the journal, as far as they were promised to be.
            _log.error("closing %s at the end could not flush the last facts: %s", handles.path, error)
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
        # A worker of multiprocessing ends without what `atexit` was given.
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
