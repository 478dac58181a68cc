"""Papyra's own command line over an Ostracon store, as an operator runs it: every command, as a process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from papyra.persistence.models import PersistedAudit, PersistedDeadLetter, PersistedEvent

import ostracon
from ostracon.papyra import OstraconPersistence

PAPYRA = shutil.which("papyra", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(PAPYRA is None, reason="papyra's script is not beside this interpreter")

SETTINGS = """
from papyra.conf.global_settings import Settings
from ostracon.papyra import OstraconPersistence

class ShopSettings(Settings):
    persistence = OstraconPersistence({path!r})
"""

# Records until its input ends, and tells of every fact that is recorded; every hundred make a segment.
APPLICATION = """
import select, sys, anyio
from papyra.persistence.models import PersistedEvent
from ostracon.papyra import OstraconPersistence

async def main():
    backend = OstraconPersistence(sys.argv[1], flush_rows=100)
    n = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        await backend.record_event(PersistedEvent("shop", "shop:1", "ActorStarted", {"n": n}, float(n)))
        n += 1
        print(n, flush=True)
        await anyio.sleep(0)
    await backend.aclose()
    assert backend.metrics.write_errors == 0, backend.metrics

anyio.run(main)
"""

Papyra = Callable[..., tuple[int, str]]


@pytest.fixture
def papyra(path: Path, tmp_path: Path) -> Papyra:
    """Runs a command in a process of its own: its exit code, and what it says."""
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "shop_settings.py").write_text(SETTINGS.format(path=str(path)))
    environment = {
        **os.environ,
        "PAPYRA_SETTINGS_MODULE": "shop_settings.ShopSettings",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        # Lines are told whole.
        "COLUMNS": "1000",
        "NO_COLOR": "1",
    }

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(PAPYRA), *command],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=60,
        )
        # A sign before every line says what kind of message it is.
        lines = [line.lstrip("ℹ✔✖ ").rstrip() for line in done.stdout.splitlines()]
        return done.returncode, "\n".join(lines)

    return run


def record_a_day(path: Path) -> None:
    async def record() -> None:
        backend = OstraconPersistence(path)
        for n, kind in enumerate(["ActorStarted", "ActorCrashed", "ActorRestarted", "ActorStarted"]):
            payload = {"error": "KeyError: 'sku'"} if kind == "ActorCrashed" else {}
            await backend.record_event(
                PersistedEvent("shop", f"shop:{n + 1}", kind, payload, 1_700_000_000.123 + n)
            )
        for n in (1, 2):
            await backend.record_audit(PersistedAudit("shop", 10.0 + n, 3 + n, 2, 1, 0, 4, ("till",), (), 5))
        await backend.record_dead_letter(PersistedDeadLetter("shop", None, "Order", {"id": 1}, 20.0))
        await backend.record_dead_letter(PersistedDeadLetter("shop", "shop:9", "Refund", "é日本", 21.5))
        await backend.aclose()

    anyio.run(record)


@pytest.fixture
def sound(path: Path) -> Path:
    record_a_day(path)
    return path


@pytest.fixture
def damaged(sound: Path) -> Path:
    """A store whose events lost the second half of their segment."""
    segment = next(sound.glob("events/*.parquet"))
    os.truncate(segment, segment.stat().st_size // 2)
    return sound


def digests(folder: Path) -> dict[str, str]:
    """Every file of the store, and what is in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


# A sound store


def test_inspect_prints_papyras_own_lines(sound: Path, papyra: Papyra) -> None:
    started, crashed, restarted, last = (
        "[1700000000.123] ActorStarted shop:1",
        "[1700000001.123] ActorCrashed shop:2",
        "[1700000002.123] ActorRestarted shop:3",
        "[1700000003.123] ActorStarted shop:4",
    )

    def events(*options: str) -> list[str]:
        code, said = papyra("inspect", "events", *options)
        assert code == 0, said
        return said.splitlines()

    assert events() == [started, crashed, restarted, last]
    assert events("--limit", "2") == [restarted, last]
    assert events("--limit", "0") == ["No events recorded."]
    assert events("--since", "1700000001.123", "--reverse") == [last, restarted, crashed]
    assert events("--event-type", "ActorCrashed") == [crashed]
    # Papyra filters after the limit: of the newest two none crashed. Ostracon's own command does not.
    assert events("--event-type", "ActorCrashed", "--limit", "2") == ["No events recorded."]
    ours = [
        sys.executable, "-m", "ostracon", "inspect", str(sound), "events",
        "--event-type", "ActorCrashed", "--limit", "2",
    ]  # fmt: skip
    assert subprocess.run(ours, capture_output=True, text=True).stdout.splitlines() == [crashed]

    counted = "alive=2 stopping=1 restarting=0"
    assert papyra("inspect", "audits", "--since", "12") == (0, f"[12.000] total=5 {counted} dead_letters=5")
    assert papyra("inspect", "audits", "--limit", "5")[1].splitlines() == [
        f"[11.000] total=4 {counted} dead_letters=5",
        f"[12.000] total=5 {counted} dead_letters=5",
    ]
    assert papyra("inspect", "summary") == (0, f"Actors: total=5 {counted}\nDead letters: 5")

    order = "[20.000] target=None type=Order payload={'id': 1}"
    refund = "[21.500] target=shop:9 type=Refund payload='é日本'"
    assert papyra("inspect", "dead-letters") == (0, f"{order}\n{refund}")
    assert papyra("inspect", "dead-letters", "--reverse") == (0, f"{refund}\n{order}")
    assert papyra("inspect", "dead-letters", "--target", "shop:9") == (0, refund)
    assert papyra("inspect", "dead-letters", "--limit", "1", "--since", "3") == (0, refund)


def test_a_sound_store_is_healthy_and_stays_as_it_is(sound: Path, papyra: Papyra) -> None:
    before = digests(sound)
    assert papyra("persistence", "scan") == (0, "Persistence is healthy.")
    assert papyra("doctor", "run") == (0, "Persistence is healthy")
    assert papyra("doctor", "run", "--mode", "recover") == (0, "Persistence is healthy")
    assert papyra("persistence", "startup-check") == (0, "Persistence is healthy")
    assert papyra("persistence", "recover", "--mode", "ignore") == (0, "Recovery completed")
    assert digests(sound) == before, "nothing of this changes a byte"
    assert papyra("persistence", "recover") == (0, "Recovery completed")
    assert papyra("persistence", "compact") == (0, "Compaction completed")
    code, said = papyra("persistence", "inspect", "--show-metrics")
    assert code == 0 and "backend: OstraconPersistence" in said
    for line in ("events_sampled: 4", "audits_sampled: 2", "dead_letters_sampled: 2", "records_written: 0"):
        assert line in said.splitlines()
    assert "events_sampled: 3 (capped)" in papyra("persistence", "inspect", "--limit", "3")[1]
    assert len(ostracon.open(sound, "read").list("events")) == 4


def test_metrics_are_told_and_reset(sound: Path, papyra: Papyra) -> None:
    code, said = papyra("metrics", "persistence", "--json")
    # They count what this process did, which is nothing.
    assert code == 0 and len(json.loads(said)) >= 10 and set(json.loads(said).values()) == {0}
    code, said = papyra("metrics", "persistence")
    assert code == 0 and "records_written" in said and "compaction_errors" in said
    assert papyra("metrics", "reset") == (0, "Metrics reset")


# Nothing there yet


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_where_nothing_was_recorded_yet_all_is_well(path: Path, papyra: Papyra, there: str) -> None:
    if there == "an empty folder":  # such as one that is made, or mounted, for the store
        path.mkdir()
    assert papyra("persistence", "scan") == (0, "Persistence is healthy.")
    assert papyra("doctor", "run") == (0, "Persistence is healthy")
    assert papyra("persistence", "startup-check") == (0, "Persistence is healthy")
    assert papyra("persistence", "recover") == (0, "Recovery completed")
    assert papyra("persistence", "compact") == (0, "Compaction completed")
    assert "events_sampled: 0" in papyra("persistence", "inspect")[1]
    assert papyra("inspect", "events") == (0, "No events recorded.")
    # Papyra says nothing at all here: to it a reversed nothing is not empty.
    assert papyra("inspect", "events", "--reverse") == (0, "")
    assert papyra("inspect", "audits") == (0, "No audit reports recorded.")
    assert papyra("inspect", "dead-letters") == (0, "No dead letters recorded.")
    assert papyra("inspect", "summary") == (0, "No audit data available.")
    assert papyra("metrics", "reset") == (0, "Metrics reset")
    assert not path.exists() or not list(path.iterdir()), "looking makes no store"


def test_what_is_no_store_is_told_and_left_alone(path: Path, papyra: Papyra) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    code, said = papyra("persistence", "scan")
    assert code == 2 and "UNEXPECTED_FILE" in said and "is not an Ostracon store" in said
    assert papyra("doctor", "run", "--mode", "recover")[0] == 2
    for command in (["persistence", "compact"], ["inspect", "events"]):
        code, said = papyra(*command)
        assert code == 1 and "such as thesis.txt" in said.splitlines()[-1]
    assert [file.read_text() for file in path.iterdir()] == ["years of work"]


# A damaged store


def test_damage_is_told_by_exit_codes_and_looking_changes_nothing(damaged: Path, papyra: Papyra) -> None:
    before = digests(damaged)
    code, said = papyra("persistence", "scan")
    assert code == 2 and said.startswith("Found 1 persistence anomalies:")
    assert f"- TRUNCATED_LINE: {damaged}/events/" in said and "segment_size: expected" in said
    for command in (["doctor", "run"], ["persistence", "startup-check"]):
        code, said = papyra(*command)
        assert code == 1 and "Persistence anomalies detected" in said, command
    code, said = papyra("doctor", "run", "--mode", "ignore")
    assert code == 0 and "(ignored)" in said
    for mode in ("ignore", "scan_only"):
        assert papyra("persistence", "startup-check", "--mode", mode) == (0, "")
    assert papyra("persistence", "recover", "--mode", "ignore") == (0, "Recovery completed")
    assert digests(damaged) == before


def test_what_is_whole_can_be_read_beside_the_damage(damaged: Path, papyra: Papyra) -> None:
    code, said = papyra("inspect", "events")
    # What is left out is said, on stderr.
    assert code == 0 and "failed to list up to" in said and "is damaged" in said
    assert papyra("inspect", "summary")[0] == 0 and papyra("inspect", "dead-letters")[0] == 0
    assert papyra("persistence", "inspect")[0] == 0 and papyra("metrics", "persistence")[0] == 0
    # Compaction does not touch what it cannot read.
    segment = next(damaged.glob("events/*.parquet"))
    held = segment.read_bytes()
    assert papyra("persistence", "compact") == (0, "Compaction completed")
    assert segment.read_bytes() == held and papyra("persistence", "scan")[0] == 2


def test_misuse_is_refused_with_a_reason(damaged: Path, papyra: Papyra) -> None:
    before = digests(damaged)
    for command, reason in (
        ("persistence recover --mode quarantine", "quarantine mode requires --quarantine-dir"),
        ("persistence recover --mode magic", "Invalid recovery mode: magic"),
        ("persistence startup-check --mode magic", "Invalid startup mode: magic"),
        ("persistence startup-check --mode recover --recovery-mode magic", "Invalid recovery mode: magic"),
        ("doctor run --mode magic", "Invalid mode: magic"),
        ("doctor run --mode recover --recovery-mode magic", "Invalid recovery mode: magic"),
        (
            "doctor run --mode recover --recovery-mode quarantine",
            "quarantine recovery requires --quarantine-dir",
        ),
    ):
        assert papyra(*command.split()) == (1, reason), command
    assert digests(damaged) == before
    # `startup-check` has no option for the folder: the backend has one of its own.
    code, said = papyra("persistence", "startup-check", "--mode", "recover", "--recovery-mode", "quarantine")
    assert code == 0, said
    assert list((damaged / "quarantine").rglob("*.*"))


@pytest.mark.parametrize(
    "command",
    [
        "persistence recover",
        "persistence recover --mode quarantine --quarantine-dir ASIDE",
        "persistence recover --mode rebuild",
        "persistence startup-check --mode recover --recovery-mode repair",
        "doctor run --mode recover",
        "doctor run --mode recover --recovery-mode quarantine --quarantine-dir ASIDE",
    ],
)
def test_a_damaged_store_is_recovered(damaged: Path, tmp_path: Path, papyra: Papyra, command: str) -> None:
    aside = tmp_path / "aside"
    code, said = papyra(*command.replace("ASIDE", str(aside)).split())
    assert code == 0 and ("Recovery completed" in said or "Recovery successful" in said), said
    if command.startswith("persistence recover"):
        assert f"repaired {damaged}/events/" in said
    if "quarantine" in command:
        assert list(aside.rglob("*.parquet")), "what was damaged is kept"
    assert papyra("persistence", "scan") == (0, "Persistence is healthy.")
    # The facts were before the cut, what was cut off is the index.
    assert len(papyra("inspect", "events")[1].splitlines()) == 4
    assert ostracon.open(damaged, "read").scan(deep=True).is_clean


def test_a_startup_check_without_a_recovery_mode_recovers_nothing(damaged: Path, papyra: Papyra) -> None:
    # Papyra passes on no mode, which is to ignore, does not look again, and says it was successful.
    # Of `doctor --mode scan_only` it makes a recovery, which its own backends suffer, too. Neither is
    # ours to mend, and if a later Papyra does, this tells us.
    assert papyra("persistence", "startup-check", "--mode", "recover") == (0, "Recovery successful")
    assert papyra("persistence", "scan")[0] == 2
    assert papyra("doctor", "run", "--mode", "scan_only") == (0, "Recovery successful")
    assert papyra("persistence", "scan")[0] == 0


def test_a_recovery_that_cannot_help_is_told(damaged: Path, tmp_path: Path, papyra: Papyra) -> None:
    (tmp_path / "aside").write_text("a file is in the way of the folder")
    command = "doctor run --mode recover --recovery-mode quarantine --quarantine-dir"
    code, said = papyra(*command.split(), str(tmp_path / "aside"))
    assert code != 0 and "aside" in said.splitlines()[-1]
    assert papyra("persistence", "scan")[0] == 2


# Beside an application that records


@pytest.fixture
def application(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(APPLICATION), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_every_command_works_beside_an_application_that_records(
    path: Path, papyra: Papyra, application: subprocess.Popen[str]
) -> None:
    assert application.stdout is not None
    recorded = 0

    def goes_on() -> int:
        """Reads on until the application has made segments since the last command."""
        nonlocal recorded
        assert application.stdout is not None
        wanted = recorded + 120
        while recorded < wanted:
            line = application.stdout.readline()
            assert line, "the application ended"
            recorded = int(line)
        return recorded

    for command in (
        "persistence scan",
        "doctor run",
        "persistence startup-check",
        "persistence compact",
        "persistence recover",
        "persistence recover --mode rebuild",
        "persistence inspect",
        "inspect audits",
        "inspect dead-letters",
        "inspect summary",
        "metrics persistence",
        "metrics reset",
        "persistence compact",
        "doctor run --mode recover",
    ):
        goes_on()
        code, said = papyra(*command.split())
        assert code == 0, (command, said)
    told = goes_on()
    code, said = papyra("inspect", "events")
    numbers = [int(float(line[1 : line.index("]")])) for line in said.splitlines()]
    assert code == 0 and numbers == list(range(len(numbers))) and len(numbers) >= told
    assert papyra("inspect", "events", "--limit", "1")[1].count("\n") == 0

    rest, _ = application.communicate("stop")
    assert application.returncode == 0
    total = int(rest.split()[-1])
    store = ostracon.open(path, "read")
    assert [fact["payload"]["n"] for fact in store.list("events")] == list(range(total))
    assert store.scan(deep=True).is_clean
