"""Work that may wait, off the event loop: asyncio's, trio's, or whichever anyio knows."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

try:
    from anyio import to_thread
except ImportError:  # pragma: no cover - anyio comes with Papyra
    to_thread = None  # type: ignore[assignment]


async def off_loop(work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Does the work in a thread. Cancelling waits for it: what was begun is known to be done."""
    call = functools.partial(work, *args, **kwargs)
    if to_thread is None:
        return await asyncio.shield(asyncio.to_thread(call))
    return await to_thread.run_sync(call)
