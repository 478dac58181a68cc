"""One damaged ledger file: lists, recording, compaction and recovery go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from papyra import ActorSystem
from papyra.persistence.models import (
    PersistedEvent,
    PersistenceRecoveryConfig,
    PersistenceRecoveryMode,
)
from papyra.persistence.startup import PersistenceStartupConfig, PersistenceStartupMode

import ostracon
from ostracon.papyra import OstraconPersistence

pytestmark = pytest.mark.anyio


def event(n: int) -> PersistedEvent:
    return PersistedEvent("shop", "shop:1", "X", {}, float(n))


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x01
    file.write_bytes(data)


DAMAGES: list[Callable[[Path], None]] = [torn, emptied, flipped]


def damaged(path: Path, which: int, damage: Callable[[Path], None]) -> None:
    with ostracon.open(path) as store:
        for n in range(30):
            store.record(
                {
                    "kind": "event",
                    "system_id": "shop",
                    "actor_address": "shop:1",
                    "event_type": "X",
                    "payload": {},
                    "timestamp": float(n),
                }
            )
            if n % 10 == 9:
                store.flush()
    files = sorted((path / "ledger").glob("*.json"))
    assert len(files) >= 4
    damage(files[which])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [0, 1, -1])
async def test_papyra_goes_on(path: Path, which: int, damage: Callable[[Path], None]) -> None:
    damaged(path, which, damage)
    backend = OstraconPersistence(path)
    assert [fact.timestamp for fact in await backend.list_events()] == [float(n) for n in range(30)]
    assert await backend.list_audits() == ()
    await backend.record_event(event(30))
    assert backend.metrics.write_errors == 0
    assert len(await backend.list_events()) == 31
    report = await backend.compact()
    assert (report.before_records, report.after_records) == (31, 31)
    await backend.aclose()
    assert len(await OstraconPersistence(path).list_events()) == 31


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("mode", [PersistenceRecoveryMode.REPAIR, PersistenceRecoveryMode.QUARANTINE])
async def test_a_start_in_mode_recover_works(
    path: Path, mode: Any, which: int, damage: Callable[[Path], None]
) -> None:
    damaged(path, which, damage)
    config = PersistenceStartupConfig(
        mode=PersistenceStartupMode.RECOVER, recovery=PersistenceRecoveryConfig(mode)
    )
    backend = OstraconPersistence(path)
    async with ActorSystem(persistence=backend, persistence_startup=config):
        assert len(await backend.list_events()) >= 30
    assert not (await OstraconPersistence(path).scan()).has_anomalies
