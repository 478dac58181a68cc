"""Parameters of queries: converts values of other libraries into Python values, and reads instants."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NANOS = 1_000_000_000


# The number of nanoseconds in each of NumPy's units. Years and months have no fixed length, and smaller units
# are less than a nanosecond.
_UNITS = {
    "W": 604_800 * _NANOS,
    "D": 86_400 * _NANOS,
    "h": 3_600 * _NANOS,
    "m": 60 * _NANOS,
    "s": _NANOS,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}


class Nanoseconds:
    """A timestamp without a zone (counted from 1970), or a duration, in nanoseconds.

    Python's own classes have only microseconds.
    """

    __slots__ = ("count", "is_length")

    def __init__(self, count: int, is_length: bool) -> None:
        self.count = count
        self.is_length = is_length


def plain(value: Any) -> Any:
    """Converts a value of another library into one of Python's own classes."""
    kind = type(value)
    if kind.__name__ in ("NaTType", "NAType"):
        return None
    if kind.__module__ == "numpy":
        return _of_numpy(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if kind.__module__.startswith("pandas") and hasattr(value, "to_list"):
        return [plain(item) for item in value.to_list()]
    return value


def _of_numpy(value: Any) -> Any:
    if hasattr(value, "ndim") and value.ndim > 0:
        return [plain(item) for item in value]
    if value.dtype.kind in "mM":
        return None if value != value else _nanoseconds(value)
    return value.item()


def _nanoseconds(value: Any) -> Nanoseconds:
    is_length = value.dtype.kind == "m"
    if not is_length and value.dtype.str.endswith(("[Y]", "[M]")):
        value = value.astype("M8[D]")
    # A type such as `<m8[25s]` has steps of several units.
    step = value.dtype.str.partition("[")[2].rstrip("]")
    unit = step.lstrip("0123456789")
    if unit not in _UNITS:
        raise ValueError(f"{value!r} is not a whole number of nanoseconds; use another unit, such as ns")
    times = int(step.removesuffix(unit) or 1)
    return Nanoseconds(int(value.astype("i8")) * times * _UNITS[unit], is_length)


def parameters(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Converts the values of placeholders into Python's own classes."""
    return None if values is None else {name: plain(value) for name, value in values.items()}


def _of_text(text: str) -> datetime:
    try:
        # Before version 3.11, Python did not accept the Z.
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an instant; write it as 2026-11-23, or as 2026-11-23T08:00:00+01:00"
        ) from None
    return when if when.tzinfo is not None else when.replace(tzinfo=timezone.utc)


def nanos(instant: datetime | date | str | float | None) -> int | None:
    """Converts an instant into nanoseconds since 1970.

    A number is in seconds. A date, and a text without a zone, are in UTC.
    """
    if type(instant).__module__ == "numpy":
        given = plain(instant)
        if isinstance(given, Nanoseconds):
            raise ValueError(f"{instant!r} has no time zone, and so is not an instant; add a time zone")
        instant = given
    if instant is None:
        return None
    if isinstance(instant, str):
        instant = _of_text(instant)
    if isinstance(instant, datetime):
        if instant.tzinfo is None:
            raise ValueError(f"{instant!r} has no time zone, and so is not an instant; add a time zone")
        since = instant - _EPOCH
        # Timestamps of pandas have nanoseconds, too.
        below = getattr(instant, "nanosecond", 0)
        return (since.days * 86_400 + since.seconds) * _NANOS + since.microseconds * 1000 + below
    if isinstance(instant, date):
        return nanos(datetime.combine(instant, time(), timezone.utc))
    if isinstance(instant, int):
        return instant * _NANOS
    return round(instant * _NANOS)


def text(value: Any) -> str:
    """Converts the value of a saved query's parameter into text. Instants are in UTC."""
    value = plain(value)
    if isinstance(value, Nanoseconds):
        return _text_of(value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(timezone.utc).replace(tzinfo=None)
        return str(value.isoformat())
    return str(value)


def _text_of(value: Nanoseconds) -> str:
    if value.is_length:
        sign, length = ("-", -value.count) if value.count < 0 else ("", value.count)
        return f"{sign}{length // _NANOS}{_fraction(length % _NANOS)} seconds"
    seconds, below = divmod(value.count, _NANOS)
    whole = _EPOCH.replace(tzinfo=None) + timedelta(seconds=seconds)
    return whole.isoformat() + _fraction(below)


def _fraction(nanos: int) -> str:
    return f".{nanos:09}".rstrip("0") if nanos else ""
