"""Facts in the order in which they are given, also while the buffer is at its bound.

An event loop must not wait for room. So a fact for which there is none waits in a queue, and so does each
fact that comes after it, until a thread has recorded all of them, oldest first.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _native
from ._off_loop import off_loop, signal

if TYPE_CHECKING:
    from ._handles import Handles

# Bytes of facts that may wait.
_MOST_BYTES = 64 << 20
# Once a fact was refused for want of room, each of the next waits for this part of what the settings allow.
_PARTS = 40


class _Waiting:
    """A fact that waits, and what came of it."""

    __slots__ = ("line", "failed", "done", "outcome", "error")

    def __init__(self, line: str, failed: Callable[[Exception], None] | None) -> None:
        self.line = line
        self.failed = failed
        self.done: Callable[[], None] | None = None
        self.outcome: tuple[_native.Store, _native.Position] | None = None
        self.error: Exception | None = None


class InOrder:
    """Records the facts of event loops."""

    def __init__(self, handles: Handles) -> None:
        # No reference cycle: unused handles are freed at once.
        self._of = weakref.ref(handles)
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        # The store is being closed: after the buffer was full once, no fact waits for room.
        self._closing = False

    @property
    def _handles(self) -> Handles:
        handles = self._of()
        assert handles is not None, "a recorder holds the handles"
        return handles

    async def record(
        self, line: str, failed: Callable[[Exception], None] | None = None
    ) -> _native.Position | None:
        """Appends a fact before this first waits, or puts it in the queue.

        Then it waits, off the loop, until the fact is recorded as safely as the store's durability says. Who is
        cancelled meanwhile has recorded its fact all the same. What fails is given to ``failed``, if there is
        such a function, even if its caller was cancelled; otherwise it is raised.
        """
        try:
            appended = None if self._thread is not None else self._append(line)
            if appended is None:
                waiting = self._enqueue(line, failed)
        except Exception as error:
            if failed is None:
                raise
            failed(error)
            if isinstance(error, _native.PoisonedError):
                await off_loop(self._handles.renew)
            return None
        if appended is None:
            wait, waiting.done = signal()
            with self._lock:
                is_done = waiting.outcome is not None or waiting.error is not None
            if not is_done:
                await wait()
            if waiting.error is not None:
                if failed is None:
                    raise waiting.error
                return None
            assert waiting.outcome is not None
            appended = waiting.outcome
        writer, position = appended
        # As the store's own settings may ask, too.
        if writer.is_synced:
            try:
                await off_loop(writer.wait, position)
            except Exception as error:
                if failed is None:
                    raise
                failed(error)
                if isinstance(error, _native.PoisonedError):
                    await off_loop(self._handles.renew)
                return None
        return position

    def _append(self, line: str) -> tuple[_native.Store, _native.Position] | None:
        """``None`` where there is no room."""
        try:
            return _by_writer(self._handles, lambda writer: writer.append(line))
        except _native.OverloadedError:
            return None

    def _enqueue(self, line: str, failed: Callable[[Exception], None] | None) -> _Waiting:
        waiting = _Waiting(line, failed)
        with self._lock:
            if self._bytes >= _MOST_BYTES:
                raise _native.OverloadedError(
                    f"{self._bytes} bytes of facts wait for room in the buffer, and {_MOST_BYTES} are the bound; "
                    "the fact was not recorded"
                )
            self._queue.append(waiting)
            self._bytes += len(line)
            if self._thread is None:
                thread = threading.Thread(target=self._work, args=(self._handles,), name="ostracon-record")
                try:
                    thread.start()
                except RuntimeError:
                    # The interpreter ends. The fact is not recorded, and its task learns of it.
                    self._queue.pop()
                    self._bytes -= len(line)
                    raise
                self._thread = thread
        return waiting

    def _work(self, handles: Handles) -> None:
        parts = 1
        # The store is being closed and has found no room: nobody can wait for hours until it is. What is refused
        # from here on is counted.
        hopeless = False
        while True:
            with self._lock:
                if not self._queue:
                    # From here on facts are appended at once again: all before them are recorded.
                    self._thread = None
                    return
                waiting = self._queue[0]
            error: Exception | None = None
            outcome = None
            append = functools.partial(_appended, line=waiting.line, parts=0 if hopeless else parts)
            try:
                outcome = _by_writer(handles, append)
                parts, hopeless = 1, False
            except Exception as refused:
                error = refused
                is_full = isinstance(error, _native.OverloadedError)
                parts, hopeless = _PARTS if is_full else 1, is_full and self._closing
            with self._lock:
                self._queue.popleft()
                self._bytes -= len(waiting.line)
                waiting.outcome, waiting.error = outcome, error
                done = waiting.done
            if error is not None:
                self._tell(waiting, error)
            if done is not None:
                done()

    def _tell(self, waiting: _Waiting, error: Exception) -> None:
        if waiting.failed is not None:
            waiting.failed(error)
        if isinstance(error, _native.PoisonedError):
            self._handles.renew()

    def drain(self) -> None:
        """Waits until no fact waits for room: after the first for which there is none, the others do not wait."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._closing = True
            thread.join()
            self._closing = False


def _by_writer(
    handles: Handles, append: Callable[[_native.Store], _native.Position]
) -> tuple[_native.Store, _native.Position]:
    writer = handles.writer()
    try:
        return writer, append(writer)
    except _native.ClosedError:
        # It may have been given up this very moment, and not closed for good.
        renewed = handles.writer()
        if renewed is writer:
            raise
        return renewed, append(renewed)


def _appended(writer: _native.Store, line: str, parts: int) -> _native.Position:
    """Waits for room for a part of what the settings allow; with no parts it does not wait."""
    return writer.append_within(line, parts) if parts else writer.append(line)


__all__: list[Any] = ["InOrder"]
