"""Whatever a fact holds, a line is made of it, and what JSON can say comes back as it was."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import pytest
from papyra._envelope import DeadLetter
from papyra.address import ActorAddress
from papyra.audit import AuditReport
from papyra.events import ActorCrashed, ActorStarted
from papyra.persistence.models import PersistedDeadLetter, PersistedEvent

from ostracon._lines import from_line, kind_of, to_line


def event(payload: Any) -> PersistedEvent:
    return PersistedEvent("shop", "shop:5", "ActorCrashed", payload, 1795404290.4)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        None,
        [1, 2.5, "x", None, True],
        {"b": 1, "a": 2},
        {"n": 10**40, "f": 1e300, "tiny": 5e-324},
        {"text": "\ud800 \x00 \u2028 é日本"},
        "x" * 1_000_000,
    ],
)
def test_json_comes_back_as_it_was(payload: Any) -> None:
    back = from_line(to_line(event(payload)))
    assert back["payload"] == payload
    if isinstance(payload, dict):
        assert list(back["payload"]) == list(payload)


def test_numbers_that_are_none_are_kept() -> None:
    back = from_line(to_line(event([math.nan, math.inf, -math.inf])))["payload"]
    assert math.isnan(back[0]) and back[1:] == [math.inf, -math.inf]


def test_what_is_not_json_is_reduced() -> None:
    @dataclass
    class Order:
        sku: str
        paid: Any

    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no")

    class Colour(Enum):
        RED = 1

    cycle: list[Any] = []
    cycle.append(cycle)
    deep: Any = "bottom"
    for _ in range(5_000):
        deep = [deep]
    for payload, reduced in [
        (Order("a", PurePosixPath("/x")), {"sku": "a", "paid": "/x"}),
        (KeyError("sku"), "KeyError: 'sku'"),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        ({"s": {4}}, {"s": [4]}),
        (Shy, None),
        ({"shy": Shy()}, None),
        (Colour.RED, "Colour.RED"),
        (cycle, ["<cycle>"]),
        ({(): cycle}, {"()": ["<cycle>"]}),
        (10**10_000, None),
        (b"\xff", "b'\\xff'"),
        (deep, None),
    ]:
        back = from_line(to_line(event(payload)))
        assert back["system_id"] == "shop" and back["timestamp"] == 1795404290.4
        if reduced is not None:
            assert back["payload"] == reduced


def test_facts_come_in_many_forms() -> None:
    as_dict = {"system_id": "s", "actor_address": "s:1", "event_type": "X", "payload": {}, "timestamp": 1.0}
    assert kind_of(as_dict) == "event"
    assert from_line(to_line(as_dict)) == {**as_dict, "kind": "event"}
    line = json.dumps({**as_dict, "kind": "event"})
    assert to_line(line) is line

    class Duck:
        system_id, target, message_type, payload, timestamp = "s", None, "M", [1], 2.0

    duck = from_line(to_line(Duck()))
    assert duck["kind"] == "dead_letter" and duck["target"] is None and duck["payload"] == [1]


def test_addresses_are_text() -> None:
    for address, text in [
        (ActorAddress("shop", 2**70), f"shop:{2**70}"),
        ({"system": "shop", "actor_id": 5}, "shop:5"),
        ("shop://5", "shop://5"),
        ("", ""),
    ]:
        fact = PersistedEvent("shop", address, "X", {}, 1.0)  # type: ignore[arg-type]
        assert from_line(to_line(fact))["actor_address"] == text
    for target in (None, "None", ""):
        letter = PersistedDeadLetter("shop", target, "M", {}, 1.0)
        assert from_line(to_line(letter))["target"] == target


def test_a_running_systems_own_objects_are_facts() -> None:
    started = from_line(to_line(ActorStarted({"system": "shop", "actor_id": 5})))
    assert started["event_type"] == "ActorStarted" and started["system_id"] == "shop"
    assert started["actor_address"] == "shop:5" and started["timestamp"] > 1.7e9
    crashed = from_line(to_line(ActorCrashed({"system": "shop", "actor_id": 5}, KeyError("sku"), "x")))
    assert crashed["payload"] == {"error": "KeyError: 'sku'", "reason": "x"}
    letter = from_line(to_line(DeadLetter(target=None, message={"id": 1}, expects_reply=False)))
    assert letter["message_type"] == "dict" and letter["payload"] == {"id": 1} and letter["target"] is None
    names = [field for field in AuditReport.__dataclass_fields__ if field not in ("actors",)]
    report = AuditReport(
        **{name: () if "registry_" in name and "size" not in name else 1 for name in names}, actors=()
    )
    audit = from_line(to_line(report))
    assert audit["kind"] == "audit" and audit["total_actors"] == 1 and "actors" not in audit


def test_what_is_no_fact_is_told() -> None:
    with pytest.raises(ValueError, match="is not an event, an audit or a dead letter"):
        to_line(object())
