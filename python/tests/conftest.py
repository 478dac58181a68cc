from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A shell script starts programs in the background with Ctrl-C ignored. If the tests run in this way, the
# programs that they start must not inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "facts"
