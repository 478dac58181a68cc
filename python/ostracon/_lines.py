"""Facts as JSON lines, and back.

A line is what Papyra's JSON backend writes: ``{"kind": "event", ...}``. Whatever a fact holds, a
line can be made of it: what JSON has no form for is reduced, best-effort, and a payload never is a
reason to lose the fact around it.
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
# What tells the kinds apart, where nobody says which it is.
_TELLTALE = {"event_type": EVENT, "total_actors": AUDIT, "message_type": DEAD_LETTER}
# Containers within containers, before the rest is told as text: far below what the encoder, the
# store and Python's own reader can take.
_DEEPEST = 400
_names_of_class: dict[type, tuple[str, ...]] = {}


def _text(value: Any) -> str:
    """The text of any object, whatever its ``__str__`` does."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def _reduced(value: Any) -> Any:
    """What stands for an object that JSON has no form for."""
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
        # Numbers of other libraries than Python's own, NumPy's among them.
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
            return float(value)
    except Exception:
        return _text(value)
    return _text(value)


def field_names(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass."""
    names = _names_of_class.get(cls)
    if names is None:
        names = _names_of_class[cls] = tuple(field.name for field in fields(cls))
    return names


_encode = json.JSONEncoder(default=_reduced).encode


def _plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A copy that can be encoded, of anything: keys are texts, and no cycle goes on."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:  # more digits than Python agrees to write
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
    # As Python's encoder writes them.
    if key is None or isinstance(key, (bool, int, float)):
        try:
            return _encode(key)
        except Exception:
            return _text(key)
    return _text(key)


def address_text(value: Any) -> Any:
    """An address as Papyra gives it: as text, also where it is ``{"system": ..., "actor_id": ...}``."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, Mapping):
        try:
            return f"{value['system']}:{int(value['actor_id'])}"
        except Exception:
            return _text(value)
    return _text(value)


def _record_of(kind: str, fact: Any) -> dict[str, Any]:
    """The fields of a fact, in whatever form it came."""
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
    """What a running system's own event or dead letter has in another form than a persisted one."""
    if kind == EVENT and not hasattr(fact, "event_type") and hasattr(fact, "address"):
        address = fact.address
        system = address.get("system", "") if isinstance(address, Mapping) else getattr(address, "system", "")
        return {"system_id": system, "actor_address": address, "event_type": type(fact).__name__}
    if kind == DEAD_LETTER and not hasattr(fact, "message_type") and hasattr(fact, "message"):
        target = getattr(fact.target, "address", fact.target) if hasattr(fact, "target") else None
        return {"target": target, "message_type": type(fact.message).__name__, "payload": fact.message}
    return {}


def kind_of(fact: Any) -> str:
    """Which kind of fact this is."""
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
    raise ValueError(f"{type(fact).__name__} is neither an event nor an audit nor a dead letter")


def to_line(fact: Any, kind: str | None = None) -> str:
    """A fact as its JSON line. Text is taken for one already."""
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


# The store takes no longer lines.
LONGEST = 16 << 20
_LONGEST_VALUE = 1 << 20


def shortened(line: str) -> str:
    """A fact's line in which each long value is cut: better than no fact at all."""
    record = from_line(line)
    for name, value in record.items():
        if isinstance(value, str) and name != "payload":
            record[name] = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "…"
        elif len(text := _encode(value)) > _LONGEST_VALUE:
            record[name] = {"shortened": text[:_LONGEST_VALUE], "characters": len(text)}
    return _encode(record)


def from_line(line: str) -> dict[str, Any]:
    """The fields of a fact."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("a fact is an object")
    return record
