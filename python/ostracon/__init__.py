"""Ostracon: an embedded columnar store for the facts of an actor system, with SQL over them.

>>> import ostracon, tempfile
>>> store = ostracon.open(tempfile.mkdtemp() + "/facts")
>>> position = store.record({"kind": "event", "system_id": "shop", "actor_address": "shop:5",
...     "event_type": "ActorCrashed", "payload": {"error": "KeyError: 'sku'"}, "timestamp": 1795404290.4})
>>> store.sql("SELECT actor_address, error FROM crashes").rows()
[('shop:5', "KeyError: 'sku'")]
>>> store.close()

``ostracon.papyra.OstraconPersistence`` records the facts of a Papyra system.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from . import _native
from ._answer import Answer, Stream
from ._consumers import AsyncConsumerGroup, ConsumerGroup, Delivered, GroupSummary
from ._handles import Handles
from ._native import (
    CancelledError,
    ClosedError,
    ContendedError,
    DamagedError,
    InternalError,
    InvalidFactError,
    MovedError,
    NewerFormatError,
    NoSpaceError,
    NotAStoreError,
    OstraconError,
    OverloadedError,
    PoisonedError,
    Position,
    QueryError,
    QueryMemoryError,
    QueryTimeoutError,
    RefusedError,
    SettingsError,
    StoreIOError,
    __version__,
)
from ._report import RecoveryReport, Report, ScanReport
from ._store import AsyncStore, AsyncStream, Fact, ImportReport, Store


def open(  # It has the name of a builtin function, as `gzip.open` has.
    path: str | os.PathLike[str],
    mode: str = "write",
    *,
    durability: str | None = None,
    flush_rows: int | None = None,
    flush_bytes: int | None = None,
    flush_age: float | None = None,
    max_buffer_bytes: int | None = None,
    max_wait: float | None = None,
) -> Store:
    """Opens the store at this path, and creates it if there is none.

    Mode "read" creates, locks, flushes and changes nothing. Mode "maintain" records nothing, but allows
    compaction, recovery and consumer groups. The settings override the store's ``ostracon.toml``. Times are
    in seconds. The durability is "buffered", "journaled" or "synced".
    """
    if mode not in ("write", "read", "maintain"):
        raise ValueError(f"the mode must be write, read or maintain, and not {mode!r}")
    handles = Handles(
        path,
        durability=durability,
        flush_rows=flush_rows,
        flush_bytes=flush_bytes,
        flush_age=flush_age,
        max_buffer_bytes=max_buffer_bytes,
        max_wait=max_wait,
    )
    if mode == "write":
        handles.writer()
    else:
        handles.reader()
    return Store(handles, mode)


async def open_async(
    path: str | os.PathLike[str],
    mode: str = "write",
    *,
    durability: str | None = None,
    flush_rows: int | None = None,
    flush_bytes: int | None = None,
    flush_age: float | None = None,
    max_buffer_bytes: int | None = None,
    max_wait: float | None = None,
) -> AsyncStore:
    """:func:`open` for an event loop, asyncio's or trio's."""
    from ._off_loop import off_loop

    store = await off_loop(
        open,
        os.path.abspath(path),
        mode,
        durability=durability,
        flush_rows=flush_rows,
        flush_bytes=flush_bytes,
        flush_age=flush_age,
        max_buffer_bytes=max_buffer_bytes,
        max_wait=max_wait,
    )
    return AsyncStore(store)


class Parameter(NamedTuple):
    """A parameter of a saved query."""

    name: str
    default: str
    meaning: str


class SavedQuery(NamedTuple):
    """A query with a name."""

    name: str
    title: str
    question: str
    parameters: list[Parameter]


def queries() -> list[SavedQuery]:
    """Returns the saved queries, which :meth:`Store.query` answers."""
    return [
        SavedQuery(name, title, question, [Parameter(*parameter) for parameter in parameters])
        for name, title, question, parameters in _native.saved_queries()
    ]


__all__ = [
    "Answer",
    "AsyncConsumerGroup",
    "AsyncStore",
    "AsyncStream",
    "CancelledError",
    "ClosedError",
    "ConsumerGroup",
    "ContendedError",
    "DamagedError",
    "Delivered",
    "Fact",
    "GroupSummary",
    "ImportReport",
    "InternalError",
    "InvalidFactError",
    "MovedError",
    "NewerFormatError",
    "NoSpaceError",
    "NotAStoreError",
    "OstraconError",
    "OverloadedError",
    "Parameter",
    "PoisonedError",
    "Position",
    "QueryError",
    "QueryMemoryError",
    "QueryTimeoutError",
    "RecoveryReport",
    "RefusedError",
    "Report",
    "SavedQuery",
    "ScanReport",
    "SettingsError",
    "Store",
    "StoreIOError",
    "Stream",
    "__version__",
    "open",
    "open_async",
    "queries",
]
