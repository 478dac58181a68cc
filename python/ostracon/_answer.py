"""An answer to SQL, for people and for other libraries."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import Answer as _Native

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SHOWN = 20
_WIDEST = 60


def _instant(nanos: Any) -> Any:
    """An instant to the microsecond; where Python's calendar ends, its nanoseconds."""
    if nanos is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=nanos // 1000)
    except OverflowError:
        return nanos


class Answer:
    """Rows with named columns.

    It speaks the Arrow PyCapsule interface: ``pyarrow.table(answer)``, ``polars.DataFrame(answer)``
    and ``duckdb.sql("SELECT * FROM answer")`` take it as it is, without a copy.
    """

    def __init__(self, native: _Native) -> None:
        self._native = native
        self._instants = [kind.startswith("Timestamp") for kind in native.types]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._native.columns

    @property
    def types(self) -> list[str]:
        """The types of the columns, as Arrow calls them."""
        return self._native.types

    def __len__(self) -> int:
        return len(self._native)

    def __bool__(self) -> bool:
        """An answer is true, also without rows."""
        return True

    def rows(self, limit: int | None = None) -> list[tuple[Any, ...]]:
        """The rows as tuples, instants as ``datetime`` in UTC."""
        rows = self._native.rows(len(self) if limit is None else max(0, limit))
        if not any(self._instants):
            return rows
        return [
            tuple(_instant(value) if at else value for value, at in zip(row, self._instants)) for row in rows
        ]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        columns = self.columns
        return [dict(zip(columns, row)) for row in self.rows()]

    def one(self) -> Any:
        """The only value of an answer of one row and one column."""
        if len(self) != 1 or len(self.columns) != 1:
            raise ValueError(
                f"the answer has {len(self)} rows and {len(self.columns)} columns, not one of each"
            )
        return self.rows()[0][0]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows())

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._native.__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table``."""
        import pyarrow

        return pyarrow.table(self)

    def to_polars(self) -> Any:
        """A ``polars.DataFrame``."""
        import polars

        return polars.DataFrame(self)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``."""
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        columns = self.columns
        if not columns:
            return f"{len(self)} rows without columns"
        shown = [[_shown(value) for value in row] for row in self.rows(_SHOWN)]
        widths = [max(map(_width, cells)) for cells in zip(columns, *shown)]
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


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        text = value.isoformat(" ").removesuffix("+00:00") + "Z"
    elif isinstance(value, float):
        text = repr(value)
    else:
        text = str(value)
    # What a terminal would obey is written out.
    text = "".join(symbol if symbol.isprintable() else ascii(symbol)[1:-1] for symbol in text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(symbol) in "WF" else 1 for symbol in text)


def _is_number(kind: str) -> bool:
    return kind.startswith(("Int", "UInt", "Float", "Decimal"))


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = (
        " " * (width - _width(cell)) + cell if numeric else cell + " " * (width - _width(cell))
        for cell, width, numeric in zip(cells, widths, right)
    )
    return "  ".join(padded).rstrip()
