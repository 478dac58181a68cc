from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A script in whose background the tests run has Ctrl-C ignored, and programs that the tests begin would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "facts"
