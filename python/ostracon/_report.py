"""The reports of maintenance, as objects with attributes."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Report:
    """A report about the store. Its parts are attributes, and `to_dict` returns all of them."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self._parts = parts

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(json.loads(text))

    def __getattr__(self, name: str) -> Any:
        # While an object is copied, it has no parts yet.
        parts = self.__dict__.get("_parts", {})
        if name.startswith("_") or name not in parts:
            raise AttributeError(f"the report has no part {name!r}; its parts: {', '.join(parts)}")
        return _named(parts[name])

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parts]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Report) and self._parts == other._parts

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """Returns all parts as dictionaries and lists."""
        return deepcopy(self._parts)

    def __repr__(self) -> str:
        return f"Report({json.dumps(self._parts, indent=2)})"


class ScanReport(Report):
    """The report of a scan."""

    @property
    def is_clean(self) -> bool:
        """Whether the scan found no anomalies."""
        return not self._parts["anomalies"]


class RecoveryReport(Report):
    """The report of a recovery: the anomalies before it, its actions, and the anomalies after it."""

    @property
    def is_clean(self) -> bool:
        """Whether there are no anomalies after the recovery."""
        return not self._parts["after"]["anomalies"]


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return Report(value)
    if isinstance(value, list):
        return [_named(part) for part in value]
    return value
