"""An answer to SQL, as Python values, as text, and for other libraries."""

from __future__ import annotations

import html
import sys
import threading
import unicodedata
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from . import _native

_SHOWN = 20
_WIDEST = 60
_BEGUN = "some rows of this batch were fetched already; use fetchone, fetchmany or fetchall for the rest"


class Answer:
    """Rows with named columns.

    It has the Arrow PyCapsule interface: ``pyarrow.table(answer)``, ``polars.DataFrame(answer)`` and
    ``duckdb.sql("SELECT * FROM answer")`` read it without a copy. :meth:`to_polars` and :meth:`to_pandas`
    also convert the types that Polars or pandas do not support.
    """

    def __init__(self, native: _native.Answer) -> None:
        self._native = native
        # The number of rows that any thread has fetched.
        self._read = 0
        self._fetching = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _answer_of, (self._native.to_bytes(),)

    def __copy__(self) -> Answer:
        return Answer(self._native)

    def __deepcopy__(self, memo: object) -> Answer:
        return Answer(self._native)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._native.columns

    @property
    def types(self) -> list[str]:
        """The Arrow types of the columns."""
        return self._native.types

    def __len__(self) -> int:
        return len(self._native)

    def __bool__(self) -> bool:
        """Returns ``True``, also for an answer without rows."""
        return True

    def rows(self, limit: int | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows as tuples of Python values.

        An instant is an aware ``datetime`` in UTC, and a timestamp without a zone a naive one. Both are
        rounded down to microseconds. Dates, times, durations, decimals and bytes have Python's classes. A
        value that Python's classes cannot hold, such as the year 10000 or an interval of months, is text.
        """
        return self._native.rows(len(self) if limit is None else max(0, limit))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Returns the rows as dictionaries. If two columns have one name, the second is ``name_2``."""
        keys = self._native.keys
        return [dict(zip(keys, row, strict=True)) for row in self.rows()]

    def one(self) -> Any:
        """Returns the only value of an answer with one row and one column."""
        if len(self) != 1 or len(self.columns) != 1:
            raise ValueError(
                f"the answer must have one row and one column, and it has {len(self)} rows and "
                f"{len(self.columns)} columns"
            )
        return self.rows()[0][0]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows())

    def fetchone(self) -> tuple[Any, ...] | None:
        """Returns the next row, or ``None`` after the last."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 1000) -> list[tuple[Any, ...]]:
        """Returns up to ``size`` rows that were not fetched yet."""
        with self._fetching:
            rows = self._native.rows(max(0, size), self._read)
            self._read += len(rows)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns all rows that were not fetched yet."""
        return self.fetchmany(len(self))

    def batches(self) -> Iterator[Answer]:
        """Returns the rows in parts. Each part is an answer."""
        return map(Answer, self._native.batches())

    def reader(self) -> Any:
        """Returns the rows as a ``pyarrow.RecordBatchReader``."""
        return _reader(self)

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        native = self._native.adapted("polars") if _is_for_polars() else self._native
        return native.__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> Any:
        """Returns the rows as a ``pyarrow.Table``."""
        import pyarrow

        return pyarrow.table(self)

    def to_polars(self) -> Any:
        """Returns the rows as a ``polars.DataFrame``.

        Polars has no intervals: a column of intervals without months becomes durations, and any other becomes
        text. Decimals of more than 38 digits become text. If two columns have one name, the second is
        ``name_2``.
        """
        import polars

        return polars.DataFrame(self)

    def to_pandas(self) -> Any:
        """Returns the rows as a ``pandas.DataFrame``. Times of day are rounded down to microseconds."""
        return Answer(self._native.adapted("pandas")).to_arrow().to_pandas()

    def __repr__(self) -> str:
        columns = self.columns
        if not columns:
            return f"{len(self)} rows without columns"
        shown = [[_shown(value) for value in row] for row in self.rows(_SHOWN)]
        widths = [max(map(_width, cells)) for cells in zip(columns, *shown, strict=True)]
        right = [_is_number(kind) for kind in self.types]
        lines = [_line(columns, widths, right), "  ".join("─" * width for width in widths)]
        lines += [_line(row, widths, right) for row in shown]
        return "\n".join([*lines, self._count()])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_shown(value))}</td>" for value in row) + "</tr>"
            for row in self.rows(_SHOWN)
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{self._count()}</p>"

    def _count(self) -> str:
        count = f"{len(self):,} row{'' if len(self) == 1 else 's'}"
        return count if len(self) <= _SHOWN else f"{count}, the first {_SHOWN} shown"


def _is_for_polars() -> bool:
    """Whether the caller is Polars, which panics on a type that it does not support."""
    return str(sys._getframe(2).f_globals.get("__name__")).partition(".")[0] == "polars"


def _answer_of(data: bytes) -> Answer:
    return Answer(_native.Answer.from_bytes(data))


def _reader(rows: object) -> Any:
    import pyarrow

    return pyarrow.RecordBatchReader.from_stream(rows)


class Stream:
    """An answer that is computed while it is read. It is never complete in memory.

    It can be read once: by rows (:meth:`fetchone`, :meth:`fetchmany`, or in a loop), by :meth:`batches`, or
    by another library as an Arrow stream. The store keeps the files that the stream reads until the stream is
    read to its end or closed.
    """

    def __init__(self, native: _native.Stream) -> None:
        self._native = native
        # The rows that were not returned yet, and the batch that follows them. A call that is stopped, by
        # Ctrl-C or by a cancelled task, leaves its rows here for the next call.
        self._rows: deque[tuple[Any, ...]] = deque()
        self._batch: Answer | None = None
        # Several threads may fetch rows. Each row goes to one of them.
        self._fetching = threading.Lock()

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._native.columns

    @property
    def types(self) -> list[str]:
        """The Arrow types of the columns."""
        return self._native.types

    def _next(self) -> Answer | None:
        batch = self._native.next()
        return None if batch is None else Answer(batch)

    def _ready(self) -> tuple[Any, ...] | None:
        """Returns the next row, if it is available without waiting."""
        try:
            return self._rows.popleft()
        except IndexError:
            return None

    def _fill(self, size: int) -> bool:
        """Makes up to this number of rows ready. Returns whether the answer ends with them."""
        with self._fetching:
            return self._filled(size)

    def _filled(self, size: int) -> bool:
        while len(self._rows) < size:
            if self._batch is None:
                self._batch = self._next()
                if self._batch is None:
                    return True
            self._rows.extend(self._batch.rows())
            self._batch = None
        return False

    def _take(self, size: int) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        while len(rows) < size and (row := self._ready()) is not None:
            rows.append(row)
        return rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """Returns the next row, or ``None`` after the last."""
        row = self._ready()
        if row is None:
            rows = self.fetchmany(1)
            return rows[0] if rows else None
        return row

    def fetchmany(self, size: int = 1000) -> list[tuple[Any, ...]]:
        """Returns ``size`` rows, or fewer at the end.

        A call that is stopped while it waits loses no rows: the next call returns them. If the query fails,
        each call fails after the rows before the failure were fetched.
        """
        with self._fetching:
            self._filled(size)
            return self._take(size)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns all rows that were not fetched yet."""
        return self.fetchmany(sys.maxsize)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        # An exception does not end this kind of iterator.
        return iter(self.fetchone, None)

    def batches(self) -> Iterator[Answer]:
        """Returns the rows in parts, as they are computed. Each part is an answer."""
        return iter(self._whole_batch, None)

    def _whole_batch(self) -> Answer | None:
        with self._fetching:
            self._filled_batch()
            return self._take_batch()

    def _fill_batch(self) -> None:
        """Makes the next batch ready, if there is one."""
        with self._fetching:
            self._filled_batch()

    def _filled_batch(self) -> None:
        if self._rows:
            raise ValueError(_BEGUN)
        if self._batch is None:
            self._batch = self._next()

    def _take_batch(self) -> Answer | None:
        batch, self._batch = self._batch, None
        return batch

    def reader(self) -> Any:
        """Returns the rows as a ``pyarrow.RecordBatchReader``."""
        return _reader(self)

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        if self._rows or self._batch is not None:
            raise ValueError(_BEGUN)
        if _is_for_polars():
            # Polars collects the rows in any case, and the types for it depend on all rows.
            whole = _native.Answer.joined(self._native, [batch._native for batch in self.batches()])
            return whole.adapted("polars").__arrow_c_stream__(requested_schema)
        return self._native.__arrow_c_stream__(requested_schema)

    def close(self) -> None:
        """Stops the computation."""
        self._batch = None
        self._rows.clear()
        self._native.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ostracon.Stream of {', '.join(self.columns)}>"


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        text = value.isoformat(" ")
        if value.tzinfo is timezone.utc:
            text = text.removesuffix("+00:00") + "Z"
    elif isinstance(value, float):
        text = repr(value)
    else:
        text = str(value)
    # Control characters are escaped, because a terminal would execute them.
    text = "".join(symbol if symbol.isprintable() else ascii(symbol)[1:-1] for symbol in text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(symbol) in "WF" else 1 for symbol in text)


def _is_number(kind: str) -> bool:
    return kind.startswith(("Int", "UInt", "Float", "Decimal"))


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = (
        " " * (width - _width(cell)) + cell if numeric else cell + " " * (width - _width(cell))
        for cell, width, numeric in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()
