"""Records facts in the order in which they are given, also while the buffer is full.

An event loop must not wait for room in the buffer. So a fact without room waits in a queue, and so does each
fact after it. A thread records the facts of the queue, oldest first.
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

# The largest size of the facts that wait, in bytes.
_MOST_BYTES = 64 << 20
# After a fact was refused because there was no room, each of the next facts waits only for one of this number
# of parts of the time that the settings allow.
_PARTS = 40


class _Waiting:
    """A fact that waits, and the result of recording it."""

    __slots__ = ("done", "error", "failed", "line", "outcome")

    def __init__(self, line: str, failed: Callable[[Exception], None] | None) -> None:
        self.line = line
        self.failed = failed
        self.done: Callable[[], None] | None = None
        self.outcome: tuple[_native.Store, _native.Position] | None = None
        self.error: Exception | None = None


class InOrder:
    """Records the facts of event loops."""

    def __init__(self, handles: Handles) -> None:
        # A weak reference avoids a cycle, so that unused handles are freed at once.
        self._of = weakref.ref(handles)
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        # Whether the store is being closed. Then facts do not wait for room after the buffer was full once.
        self._closing = False

    @property
    def _handles(self) -> Handles:
        handles = self._of()
        assert handles is not None, "a recorder holds the handles"
        return handles

    async def record(
        self, line: str, failed: Callable[[Exception], None] | None = None
    ) -> _native.Position | None:
        """Appends a fact, or adds it to the queue. Both happen before the first suspension of this coroutine.

        Then it waits, outside the event loop, until the fact is as safe as the store's durability promises.
        If the caller is cancelled, the fact is recorded all the same. An error is passed to ``failed``, also
        if the caller was cancelled. Without ``failed`` it is raised.
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
        # The durability may also come from the store's own settings.
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
        """Appends a fact. Returns ``None`` if there is no room."""
        try:
            return _by_writer(self._handles, lambda writer: writer.append(line))
        except _native.OverloadedError:
            return None

    def _enqueue(self, line: str, failed: Callable[[Exception], None] | None) -> _Waiting:
        waiting = _Waiting(line, failed)
        with self._lock:
            if self._bytes >= _MOST_BYTES:
                raise _native.OverloadedError(
                    f"failed to record a fact: {self._bytes} bytes of facts wait for room in the buffer, and "
                    f"the limit is {_MOST_BYTES}; try again later, or record fewer facts"
                )
            self._queue.append(waiting)
            self._bytes += len(line)
            if self._thread is None:
                thread = threading.Thread(target=self._work, args=(self._handles,), name="ostracon-record")
                try:
                    thread.start()
                except RuntimeError:
                    # The interpreter exits. The fact is not recorded, and its task gets the error.
                    self._queue.pop()
                    self._bytes -= len(line)
                    raise
                self._thread = thread
        return waiting

    def _work(self, handles: Handles) -> None:
        parts = 1
        # Whether the store is being closed and had no room. Closing must not wait for hours, so facts that
        # are refused from here on are counted as errors.
        hopeless = False
        while True:
            with self._lock:
                if not self._queue:
                    # All facts are recorded, so the next facts are appended directly again.
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
                self._report(waiting, error)
            if done is not None:
                done()

    def _report(self, waiting: _Waiting, error: Exception) -> None:
        if waiting.failed is not None:
            waiting.failed(error)
        if isinstance(error, _native.PoisonedError):
            self._handles.renew()

    def drain(self) -> None:
        """Waits until the queue is empty.

        After the first fact without room, the others do not wait for room.
        """
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
        # The writer may have been given up just now, and another one may be open.
        renewed = handles.writer()
        if renewed is writer:
            raise
        return renewed, append(renewed)


def _appended(writer: _native.Store, line: str, parts: int) -> _native.Position:
    """Appends a fact.

    Waits for room for ``1 / parts`` of the allowed time, or not at all if ``parts`` is 0.
    """
    return writer.append_within(line, parts) if parts else writer.append(line)


__all__: list[Any] = ["InOrder"]
