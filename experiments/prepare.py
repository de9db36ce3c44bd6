"""Write the .npz files of the studies from torchvision's copies of the data sets.

    python experiments/prepare.py fashion_mnist cifar10 [--root data] [--download] [--output data]

The script writes <output>/<name>.npz with the arrays x_train, y_train, x_test, y_test and classes (names).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from vri_pyro.data import CIFAR10, CIFAR80, CIFAR100, MNIST, FashionMNIST
from vri_pyro.data.npz import write_npz
from vri_pyro.utils.errors import UserError

SOURCES = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10, "cifar100": CIFAR100, "cifar80": CIFAR80}


def main() -> int:
    """Write the files of the named data sets; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(SOURCES), metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of torchvision's copies")
    parser.add_argument("--download", action="store_true", help="download missing data sets to --root")
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder of the .npz files")
    options = parser.parse_args()
    try:
        for name in options.names:
            arrays = SOURCES[name](options.root, options.download).load()
            options.output.mkdir(parents=True, exist_ok=True)
            kept = {part: getattr(arrays, part) for part in ("x_train", "y_train", "x_test", "y_test")}
            write_npz(options.output / f"{name}.npz", kept | {"classes": np.array(arrays.classes)})
            print(options.output / f"{name}.npz")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
