"""``vri-pyro`` and ``python -m vri_pyro.cli``."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Run the command line; a stop during the imports, which take seconds, leaves no traceback."""
    previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if "RANK" in os.environ:  # one of several processes
        # PyTorch warns, with a stack of C++ calls, if another one ends first; read at its import.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from vri_pyro.cli.main import main as run

    for number, handler in previous.items():
        signal.signal(number, handler)
    try:
        return run()
    finally:
        for number in previous:
            signal.signal(number, signal.SIG_IGN)  # the rest is the end of the interpreter


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.stderr.write("stopped immediately; nothing was written\n")
    sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
