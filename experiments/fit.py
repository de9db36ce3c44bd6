"""Train a classifier: ``python experiments/fit.py --config experiments/configs/vri.yaml --seed 1``.

The options are those of ``vri-pyro fit``.
"""

import sys

from vri_pyro.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
