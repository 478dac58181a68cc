"""The examples do what they say."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ostracon

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, store: Path) -> list[str]:
    """The lines that an example prints. Asking for the store twice is harmless to it."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), str(store)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.splitlines()


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def test_every_example_is_tested() -> None:
    names = {file.stem for file in EXAMPLES.glob("*.py")}
    assert names == {"supervised", "workers", "notebook"}


def test_supervised(path: Path) -> None:
    said = example("supervised.py", path)
    what, why = said.index("What crashed?"), said.index("Why?")
    around = said.index("What happened around it? The life of shop:3:")
    (crasher,) = said[what + 3 : said.index("1 row")]
    assert crasher.split()[:3] == ["shop", "shop:3", "4"] and "KeyError: 'sku-4714'" in crasher
    assert said[why + 3].startswith("KeyError: '<s>'") and said[why + 3].split()[2] == "4"
    # The fourth crash within a minute is one too many, and what came then reached nobody.
    life = [line.split()[4] for line in said[around + 3 : -1]]
    assert life == [
        "ActorStarted",
        *["ActorCrashed", "ActorRestarted"] * 3,
        "ActorCrashed",
        "ActorStopped",
        *["DeadLetter"] * 2,
    ]
    assert ostracon.open(path, "read").scan(deep=True).is_clean


@needs("starlette")
def test_workers(path: Path) -> None:
    said = example("workers.py", path)
    assert sorted(said[:2]) == [f"worker-{n}: 18 sold, 2 crashed, healthy" for n in (1, 2)]
    workers = [line.split() for line in said if line.startswith("worker-") and ":" not in line]
    # Started once, and twice crashed and restarted.
    assert workers == [["worker-1", "5", "2"], ["worker-2", "5", "2"]]
    assert any(line.startswith("ValueError: sku-<n> has no price") for line in said) and said[-1] == "whole"


@needs("polars")
def test_notebook(path: Path) -> None:
    for _ in ("makes the facts", "finds them"):
        said = example("notebook.py", path)
        assert "864 rows, the first 20 shown" in said
        assert "864 crashes, columns at, actor_address, error_type, error" in said
        assert "The worst day was Friday, with 288 crashes." in said
        assert any("TimeoutError: the bank is sile" in line for line in said[said.index("") :])


def test_what_the_readme_shows_runs_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "python.md").read_text(encoding="utf-8")
    chapter = text.partition("\n## In Python\n")[2].partition("\n## ")[0]
    backend, settings, scripts, shipping = [
        block.partition("\n```")[0] for block in chapter.split("```python\n")[1:]
    ]
    monkeypatch.chdir(path.parent)
    said: dict[str, object] = {}
    exec(backend, said)
    exec(settings, dict(said))
    with ostracon.open("facts/") as store:
        for n in range(3):
            store.record(
                {
                    "kind": "event",
                    "system_id": "shop",
                    "actor_address": "shop:1",
                    "event_type": "ActorCrashed",
                    "payload": {"error": "KeyError: 1"},
                    "timestamp": 1795404290.0 + n,
                }
            )
    if importlib.util.find_spec("polars") is None:
        scripts = scripts.replace("answer.to_polars()", "answer")
    exec(scripts, said)
    exec(shipping, said)
    answer, shippers = said["answer"], said["shippers"]
    assert isinstance(answer, ostracon.Answer) and answer.rows() == [("KeyError", 3)]
    assert isinstance(shippers, ostracon.ConsumerGroup) and shippers.summary().pending == 0
