"""Runs work that may wait in threads outside the event loop, for asyncio and trio."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, ParamSpec, TypeVar

from . import _native

P = ParamSpec("P")
T = TypeVar("T")

try:
    from anyio import CancelScope
except ImportError:  # pragma: no cover - anyio comes with Papyra
    CancelScope = None  # type: ignore[assignment, misc]

# The number of threads. anyio uses this number, too.
_THREADS = 40
_pool: ThreadPoolExecutor | None = None


async def off_loop(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs the work in a thread. If the task is cancelled, it waits until the work is done."""
    return await _do(functools.partial(work, *args, **kwargs), None)


async def stoppable(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs work that changes nothing in a thread.

    If the task is cancelled, it stops the work, and waits for its end.
    """
    cancel = _native.Cancel()
    call = functools.partial(work, *args, **kwargs)
    return await _do(functools.partial(_native.cancellable, cancel, call), cancel)


async def _do(call: Callable[[], T], cancel: _native.Cancel | None) -> T:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return await _in_trio(call, cancel)
    return await _in_asyncio(loop, call, cancel)


async def _in_asyncio(
    loop: asyncio.AbstractEventLoop, call: Callable[[], T], cancel: _native.Cancel | None
) -> T:
    context = contextvars.copy_context()
    future: asyncio.Future[T] = loop.run_in_executor(_threads(), lambda: context.run(call))
    cancelled: asyncio.CancelledError | None = None
    # A scope of anyio cancels repeatedly until the task reacts. asyncio itself cancels once.
    with _shield() if cancel is None else nullcontext():
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
                if cancel is not None:
                    cancel.set()
    if cancelled is not None:
        if not future.cancelled():
            # Without this call, asyncio logs that the exception was never retrieved.
            future.exception()
        raise cancelled
    return future.result()


def _shield() -> AbstractContextManager[Any]:
    return nullcontext() if CancelScope is None else CancelScope(shield=True)


async def _in_trio(call: Callable[[], T], cancel: _native.Cancel | None) -> T:
    import trio

    context = contextvars.copy_context()

    def context_call() -> T:
        return context.run(call)

    if cancel is None:
        with trio.CancelScope(shield=True):
            result = await trio.to_thread.run_sync(context_call)
        return result
    done = threading.Event()

    def work() -> T:
        try:
            return context_call()
        finally:
            done.set()

    async with trio.to_thread.current_default_thread_limiter():
        # A task that is cancelled before this line has not started the work. After it, the thread starts.
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            return await trio.to_thread.run_sync(
                work, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )
        except trio.Cancelled:
            cancel.set()
            with trio.CancelScope(shield=True):
                while not done.is_set():
                    await trio.sleep(0.005)
            raise


async def sleep(seconds: float) -> None:
    """Sleeps in an asyncio or trio event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import trio

        await trio.sleep(seconds)
    else:
        await asyncio.sleep(seconds)


def signal() -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    """Returns a function that waits, shielded from cancellation, and a function that ends the wait."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _signal_of_trio()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    async def wait() -> None:
        with _shield():
            await future

    return wait, functools.partial(_wake, loop.call_soon_threadsafe, wake)


def _signal_of_trio() -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    import trio

    event = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def wait() -> None:
        with trio.CancelScope(shield=True):
            await event.wait()

    return wait, functools.partial(_wake, token.run_sync_soon, event.set)


def _wake(soon: Callable[[Callable[[], None]], Any], wake: Callable[[], None]) -> None:
    # A RuntimeError says that the event loop has ended, and its tasks with it.
    with suppress(RuntimeError):
        soon(wake)


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_THREADS, "ostracon")
    return _pool


def _after_fork() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
