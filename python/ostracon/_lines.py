"""Converts facts into JSON lines, and back.

A line has the form of Papyra's JSON backend: ``{"kind": "event", ...}``. Every fact can be converted into a
line: a value that JSON does not support is replaced by a similar value or by its text. So a fact is never
lost because of its payload.
"""

from __future__ import annotations

import json
import numbers
import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

EVENT = "event"
AUDIT = "audit"
DEAD_LETTER = "dead_letter"

_FIELDS = {
    EVENT: ("system_id", "actor_address", "event_type", "payload", "timestamp"),
    AUDIT: (
        "system_id",
        "timestamp",
        "total_actors",
        "alive_actors",
        "stopping_actors",
        "restarting_actors",
        "registry_size",
        "registry_orphans",
        "registry_dead",
        "dead_letters_count",
    ),
    DEAD_LETTER: ("system_id", "target", "message_type", "payload", "timestamp"),
}
# The fields that identify the kind of a fact without a ``kind``.
_TELLTALE = {"event_type": EVENT, "total_actors": AUDIT, "message_type": DEAD_LETTER}
# The largest depth of nested containers. Deeper containers become text. The limits of the encoder, the store
# and Python's own reader are much larger.
_DEEPEST = 400
_names_of_class: dict[type, tuple[str, ...]] = {}


def _text(value: Any) -> str:
    """Returns the text of any object, even if its ``__str__`` fails."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def _reduced(value: Any) -> Any:
    """Returns a replacement for an object that JSON does not support."""
    if is_dataclass(value) and not isinstance(value, type):
        try:
            return {name: getattr(value, name) for name in field_names(type(value))}
        except Exception:
            return _text(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {_text(value)}"
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    try:
        # Numbers of other libraries, such as NumPy.
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
            return float(value)
    except Exception:
        return _text(value)
    return _text(value)


def field_names(cls: type) -> tuple[str, ...]:
    """Returns the names of the fields of a dataclass."""
    names = _names_of_class.get(cls)
    if names is None:
        names = _names_of_class[cls] = tuple(field.name for field in fields(cls))
    return names


_encode = json.JSONEncoder(default=_reduced).encode


def _plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Returns a copy of any value that can be encoded: keys become text, and cycles are cut."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # more digits than Python converts into text
            return hex(value)
        return value
    if id(value) in above:
        return "<cycle>"
    if len(above) >= _DEEPEST:
        return _text(type(value))
    within = (*above, id(value))
    try:
        if isinstance(value, Mapping):
            return {_key(key): _plain(item, within) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(item, within) for item in value]
        return _plain(_reduced(value), within)
    except Exception:
        return _text(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    # These keys are converted as Python's encoder does.
    if key is None or isinstance(key, (bool, int, float)):
        try:
            return _encode(key)
        except Exception:
            return _text(key)
    return _text(key)


def address_text(value: Any) -> Any:
    """Returns an address of Papyra as text, also for ``{"system": ..., "actor_id": ...}``."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, Mapping):
        try:
            return f"{value['system']}:{int(value['actor_id'])}"
        except Exception:
            return _text(value)
    return _text(value)


def _record_of(kind: str, fact: Any) -> dict[str, Any]:
    """Returns the fields of a fact in any form."""
    record: dict[str, Any]
    if isinstance(fact, Mapping):
        record = {**fact, "kind": kind}
    elif is_dataclass(fact) and hasattr(fact, "timestamp"):
        record = {"kind": kind, **{name: getattr(fact, name) for name in field_names(type(fact))}}
    else:
        given = {name: getattr(fact, name) for name in _FIELDS[kind] if hasattr(fact, name)}
        record = {"kind": kind, **given, **_of_runtime(kind, fact)}
    if "system_id" not in record:
        record["system_id"] = ""
    if "timestamp" not in record:
        record["timestamp"] = time.time()
    return record


def _of_runtime(kind: str, fact: Any) -> dict[str, Any]:
    """Returns the fields of a running system's event or dead letter, which differ from the persisted ones."""
    if kind == EVENT and not hasattr(fact, "event_type") and hasattr(fact, "address"):
        address = fact.address
        system = address.get("system", "") if isinstance(address, Mapping) else getattr(address, "system", "")
        return {"system_id": system, "actor_address": address, "event_type": type(fact).__name__}
    if kind == DEAD_LETTER and not hasattr(fact, "message_type") and hasattr(fact, "message"):
        target = getattr(fact.target, "address", fact.target) if hasattr(fact, "target") else None
        return {"target": target, "message_type": type(fact.message).__name__, "payload": fact.message}
    return {}


def kind_of(fact: Any) -> str:
    """Returns the kind of a fact."""
    if isinstance(fact, Mapping):
        kind = fact.get("kind")
        if kind in _FIELDS:
            return str(kind)
        for name, kind in _TELLTALE.items():
            if name in fact:
                return kind
    else:
        for name, kind in _TELLTALE.items():
            if hasattr(fact, name):
                return kind
        if hasattr(fact, "message") and hasattr(fact, "target"):
            return DEAD_LETTER
        if hasattr(fact, "address") and hasattr(fact, "payload"):
            return EVENT
    raise ValueError(f"a {type(fact).__name__} is not an event, an audit or a dead letter")


def to_line(fact: Any, kind: str | None = None) -> str:
    """Returns the JSON line of a fact. A text must be a JSON line already."""
    if isinstance(fact, str):
        return fact
    kind = kind or kind_of(fact)
    record = _record_of(kind, fact)
    for name in ("actor_address", "target"):
        if name in record and type(record[name]) is not str:
            record[name] = address_text(record[name])
    for name in ("system_id", "event_type", "message_type"):
        if name in record and type(record[name]) is not str:
            record[name] = _text(record[name])
    try:
        return _encode(record)
    except Exception:
        return _encode(_plain(record))


# The largest length of a line that the store accepts.
LONGEST = 16 << 20
_LONGEST_VALUE = 1 << 20


def shortened(line: str) -> str:
    """Cuts each long value in a fact's line, so that the fact is not lost."""
    record = from_line(line)
    for name, value in record.items():
        if isinstance(value, str) and name != "payload":
            record[name] = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "…"
        elif len(text := _encode(value)) > _LONGEST_VALUE:
            record[name] = {"shortened": text[:_LONGEST_VALUE], "characters": len(text)}
    return _encode(record)


def from_line(line: str) -> dict[str, Any]:
    """Returns the fields of a fact from its JSON line."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"a fact must be a JSON object, and not a {type(record).__name__}")
    return record
