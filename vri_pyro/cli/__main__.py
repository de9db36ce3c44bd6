"""``python -m vri_pyro.cli``."""

import sys

from vri_pyro.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
