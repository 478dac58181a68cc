"""Forwards the library's log messages to :mod:`logging`."""

from __future__ import annotations

import logging
import os
import threading

from . import _native

_log = logging.getLogger("ostracon")
# Seconds between two checks for messages.
_LOOKS = 1.0
_thread: threading.Thread | None = None
_ends = threading.Event()


def start() -> None:
    """Starts a thread that forwards messages."""
    global _thread
    if _thread is None or not _thread.is_alive():
        thread = threading.Thread(target=_run, args=(_ends,), name="ostracon-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter ends. The remaining messages are forwarded at its exit.
            return
        _thread = thread


def stop() -> None:
    """Forwards the remaining messages, and stops the thread."""
    _ends.set()
    thread = _thread
    if thread is not None and thread is not threading.current_thread():
        thread.join(5.0)
    now()


def now() -> None:
    """Forwards the messages since the last call."""
    for is_error, text in _native.take_log():
        _log.log(logging.ERROR if is_error else logging.WARNING, "%s", text)


def _run(ends: threading.Event) -> None:
    while not ends.wait(_LOOKS):
        now()


def _after_fork() -> None:
    global _thread, _ends
    _thread, _ends = None, threading.Event()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
