"""The native stores behind a path: opened when they are first needed, and never a parent's."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref

from . import _native

_log = logging.getLogger("ostracon")
# Seconds between two attempts to go on after a failed sync.
_RENEWALS = 1.0
_all: weakref.WeakSet[Handles] = weakref.WeakSet()
_FOLDERS = {"ledger", "journal", "events", "audits", "dead_letters", "quarantine", "consumers"}


class Handles:
    """The writer and the reader of one store in one process.

    Making it touches no file. The writer is opened by the first fact, the reader by the first
    question. A child of a fork has neither: it gets its own, and with its own writer a stream of
    its own.
    """

    def __init__(self, path: str | os.PathLike[str], settings: _native.Settings) -> None:
        self.path = os.fspath(path)
        self._settings = settings
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        # For who counts beside them: locks of a parent's threads may be held for ever.
        self.counting = threading.Lock()
        self.opened_writer: _native.Store | None = None
        self._reader: _native.Store | None = None
        self._consumer: _native.Store | None = None
        self._renewed = -_RENEWALS

    def writer(self) -> _native.Store:
        """Opens the store for writing, and makes it if there is none."""
        if self.opened_writer is None:
            with self._lock:
                if self.opened_writer is None:
                    os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
                    self.opened_writer = _native.Store(self.path, "write", self._settings)
        return self.opened_writer

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
            self.opened_writer = None
            try:
                writer.close()
            except _native.OstraconError as error:
                _log.debug("a writer was given up: %s", error)

    def reader(self) -> _native.Store:
        """The writer if there is one, else the store opened for reading."""
        if self.opened_writer is not None:
            return self.opened_writer
        if self._reader is None:
            with self._lock:
                if self._reader is None:
                    self._reader = _native.Store(self.path, "read", self._settings)
        return self._reader

    def maintainer(self) -> _native.Store:
        """The writer if there is one, else the store opened to be looked after."""
        if self.opened_writer is not None:
            return self.opened_writer
        return _native.Store(self.path, "maintain", self._settings)

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
        for handle in (self.opened_writer, self._reader, self._consumer):
            if handle is not None:
                handle.forget()
        self._begin()


def _is_bare(path: str) -> bool:
    """Whether there is nothing, an empty folder, or a store whose making was cut short, or goes on."""
    unread: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unread.append):
        if folder == path and not _FOLDERS.issuperset(name for name in folders if name[0] != "."):
            return False
        if folder == os.path.join(path, "ledger"):
            # Until the first commit there is no store.
            files = [name for name in files if name.endswith(".json")]
        if any(not name.startswith((".", "ostracon.toml")) for name in files):
            return False
    # What may not be looked into might be a store.
    if not all(isinstance(error, FileNotFoundError) for error in unread):
        return False
    return os.path.isdir(path) or not os.path.lexists(path)


def _after_fork() -> None:
    for handles in list(_all):
        handles.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
