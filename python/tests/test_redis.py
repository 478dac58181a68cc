"""Moving in from Redis: a real server, with what Papyra's own backend puts there."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from papyra.persistence.backends.redis import RedisStreamsConfig, RedisStreamsPersistence
from papyra.persistence.models import PersistedAudit, PersistedDeadLetter, PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence

pytestmark = pytest.mark.anyio
redis = pytest.importorskip("redis", reason="the package redis is not installed")


@pytest.fixture
def anyio_backend() -> str:
    # Papyra's Redis client knows only this one.
    return "asyncio"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed; Debian's package of that name has it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield f"redis://localhost:{port}/0"
    finally:
        process.kill()
        process.wait()


def event(n: int) -> PersistedEvent:
    return PersistedEvent(
        system_id="local",
        actor_address=f"local:{n}",
        event_type="ActorCrashed",
        payload={"error": f"KeyError: 'sku-{n}'", "text": "Grüße\n\u2028", "big": 10**30},
        timestamp=n / 7,
    )


async def fill(url: str, numbers: range, system: str = "local") -> RedisStreamsPersistence:
    own = RedisStreamsPersistence(RedisStreamsConfig(url=url, system_id=system))
    for n in numbers:
        await own.record_event(event(n))
    return own


async def test_what_papyras_own_backend_has_there_moves_in_once(path: Path, url: str) -> None:
    own = await fill(url, range(1200))
    audit = PersistedAudit("local", 1.5, 3, 2, 1, 0, 1, ("a",), (), 4)
    await own.record_audit(audit)
    letter = PersistedDeadLetter("local", None, "Order", {"n": 1}, 2.5)
    await own.record_dead_letter(letter)
    moved = OstraconPersistence(path)
    report = await moved.import_from(url)
    assert (report.facts, report.rejected) == (1202, 0)
    assert await moved.list_events() == await own.list_events()
    assert await moved.list_audits() == (audit,)
    assert await moved.list_dead_letters() == (letter,)
    # Nothing was changed there, and nothing comes twice.
    assert len(await own.list_events()) == 1200
    assert (await moved.import_from(url)).facts == 0
    # What has come since comes, also when Redis has trimmed what was there before.
    client = redis.Redis.from_url(url)
    await fill(url, range(1200, 1250))
    client.xtrim("papyra:local:events", maxlen=10, approximate=False)
    assert (await moved.import_from(url)).facts == 10
    await fill(url, range(1250, 1260))
    assert (await moved.import_from(url)).facts == 10
    assert (await moved.list_events(limit=1))[0] == event(1259)
    assert (await moved.scan()).anomalies == ()
    await moved.aclose()
    await own.aclose()


async def test_another_stream_at_the_same_address_is_not_taken_for_the_one_that_is_known(
    path: Path, url: str
) -> None:
    await fill(url, range(5))
    moved = OstraconPersistence(path)
    assert (await moved.import_from(url)).facts == 5
    client = redis.Redis.from_url(url)
    client.flushall()
    client.xadd("papyra:local:events", {"data": json.dumps({"kind": "event", **vars_of(event(9))})}, id="5-1")
    with pytest.raises(ostracon.RefusedError, match="--again"):
        await moved.import_from(url)
    await moved.aclose()
    command = [sys.executable, "-m", "ostracon", "import", str(path), url, "--again"]
    for facts in (6, 7):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ostracon.open(path, "read").sql("SELECT count(*) FROM events").one() == facts
    # A file that begins like a batch of Redis is not known by that.
    file = path.parent / "papyra.json"
    file.write_text("".join(json.dumps({"kind": "event", **vars_of(event(n))}) + "\n" for n in range(7)))
    again = OstraconPersistence(path)
    assert (await again.import_from(file)).facts == 7
    await again.aclose()


async def test_two_facts_that_are_alike_are_two_facts(path: Path, url: str) -> None:
    moved = OstraconPersistence(path)
    for _ in range(3):
        await fill(url, range(7, 8))
        assert (await moved.import_from(url)).facts == 1
    assert len(await moved.list_events()) == 3
    await moved.aclose()


async def test_systems_and_prefixes_are_told_apart(path: Path, url: str) -> None:
    await fill(url, range(3), "shop")
    await fill(url, range(4), "till")
    client = redis.Redis.from_url(url)
    client.xadd("papyra:shop:quarantine:papyra_shop_events", {"data": "no"})
    client.set("papyra:text:events", "no stream")
    client.xadd("other*:shop:events", {"data": json.dumps({"kind": "event"})})
    moved = OstraconPersistence(path)
    assert (await moved.import_from(url, system="shop")).facts == 3
    assert (await moved.import_from(url)).facts == 4
    with pytest.raises(ostracon.RefusedError, match="papyra:nobody"):
        await moved.import_from(url, system="nobody")
    report = await moved.import_from(url, prefix="other*")
    assert (report.facts, report.rejected) == (0, 1)
    await moved.aclose()


async def test_entries_that_are_no_facts_are_told_by_their_names(
    path: Path, url: str, tmp_path: Path
) -> None:
    client = redis.Redis.from_url(url)
    bad = [
        client.xadd("papyra:local:events", fields)
        for fields in (
            {"data": "not json"},
            {"other": "field"},
            {"data": b"\xff\xfe"},
            {"data": "x" * (17 << 20)},
        )
    ]
    await fill(url, range(2))
    bad.append(client.xadd("papyra:local:events", {"data": '{"kind": "event"'}))
    # A line break between the values of JSON is no end of a fact.
    client.xadd("papyra:local:events", {"data": json.dumps({"kind": "event", **vars_of(event(3))}, indent=1)})
    rejects = tmp_path / "rejects"
    command = [sys.executable, "-m", "ostracon", "import", str(path), url, "--rejects", str(rejects)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in bad:
        assert f"entry {name.decode()} of redis://localhost:" in done.stderr
    assert "imported 3 facts (3 events" in done.stderr and "5 lines are not facts" in done.stderr
    kept = rejects.read_bytes().splitlines()
    assert len(kept) == 5 and b"not json" in kept and b"\xff\xfe" in kept
    # Only what comes behind the last fact is looked at again, and there nothing is.
    done = subprocess.run(command, capture_output=True, text=True)
    assert "imported 0 facts" in done.stderr and "entry" not in done.stderr


def vars_of(fact: PersistedEvent) -> dict[str, object]:
    return {name: getattr(fact, name) for name in fact.__dataclass_fields__}


async def test_a_server_that_is_not_there_or_no_address_is_an_error(path: Path) -> None:
    moved = OstraconPersistence(path)
    with pytest.raises(ostracon.StoreIOError, match="Redis at redis://localhost:1/0") as told:
        await moved.import_from("redis://me:secret@localhost:1/0")
    assert "secret" not in str(told.value)
    with pytest.raises(ostracon.RefusedError, match="TLS"):
        await moved.import_from("rediss://localhost:1/0")
    with pytest.raises(ostracon.RefusedError, match="such as redis://"):
        await moved.import_from("redis://localhost:port/0")
    await moved.aclose()


async def test_whatever_is_killed_every_entry_moves_in_once(path: Path, url: str) -> None:
    own = await fill(url, range(0))
    line = json.dumps({"kind": "event", **vars_of(event(5)), "payload": {"error": "x" * 2000}})
    pipe = redis.Redis.from_url(url).pipeline(transaction=False)
    for n in range(30_000):
        pipe.xadd("papyra:local:events", {"data": line.replace("local:5", f"local:{n}")})
        if n % 1000 == 999:
            pipe.execute()
    command = [sys.executable, "-m", "ostracon", "import", str(path), url]
    for wait in (0.3, 0.5, 0.7, 0.9, 1.2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        process.kill()
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    store = ostracon.open(path, "read")
    counted = store.sql("SELECT count(*), count(DISTINCT actor_address) FROM events").rows()
    assert counted == [(30_000, 30_000)]
    assert store.scan(deep=True).is_clean
    await own.aclose()
