"""What maintenance reports, as an object whose parts have names."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Report:
    """A report of the store: its parts are attributes, and `to_dict` gives them all."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(json.loads(text))

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made has no parts yet.
        parts = self.__dict__.get("_parts", {})
        if name.startswith("_") or name not in parts:
            raise AttributeError(f"the report has no {name!r}; it has: {', '.join(parts)}")
        return _named(parts[name])

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parts]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Report) and self._parts == other._parts

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """All parts, as plain dictionaries and lists."""
        return deepcopy(self._parts)

    def __repr__(self) -> str:
        return f"Report({json.dumps(self._parts, indent=2)})"


class ScanReport(Report):
    """What a scan found."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self._parts["anomalies"]


class RecoveryReport(Report):
    """What a recovery found, did, and could not do."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong now."""
        return not self._parts["after"]["anomalies"]


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return Report(value)
    if isinstance(value, list):
        return [_named(part) for part in value]
    return value
