"""The command line: ``python -m ostracon``, and the script ``ostracon``."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> None:
    # The command handles Ctrl-C, and not the interpreter.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.cli(["ostracon", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
