"""Write the files of the bench: features of images by EfficientNet-Lite0, and open-set images.

    python -m bench.prepare --data DIR          (in experiments/; about 20 minutes of one core)

DIR holds fashion_mnist.npz, cifar10.npz, mnist_ood.npz and tinyimagenet32_ood.npz. The script adds files of features
for each of them, of at most 12,000 training and 4,000 test images, and ``foreign_tinyimagenet32.npz``,
whose images belong to no class of CIFAR-10. Repeat the command if it is interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from study.benches import CIFAR10

from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.data import FeatureFolder
from vri_pyro.data.npz import read_npz, write_npz

PARTS = {"train": 12000, "test": 4000}
FOREIGN = {"foreign_mnist": "mnist_ood", "foreign_tinyimagenet32": "tinyimagenet32_ood"}


def images(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Return a sample of the images of a data set, with labels, as in an .npz file of the package."""
    generator = np.random.default_rng(0)
    found = {}
    if name in FOREIGN:
        x = read_npz(folder / f"{name}.npz", ("x",))["x"]
        x = x[np.sort(generator.permutation(len(x))[:4000])]
        # Labels have no meaning here; the command to embed wants two classes.
        return {"x_train": x, "y_train": np.arange(len(x)) % 2}
    arrays = read_npz(folder / f"{name}.npz", ("x_train", "y_train", "x_test", "y_test"))
    for part, most in PARTS.items():
        chosen = np.sort(generator.permutation(len(arrays[f"y_{part}"]))[:most])
        found |= {f"{letter}_{part}": arrays[f"{letter}_{part}"][chosen] for letter in "xy"}
    return found


def foreign(folder: Path) -> None:
    """Write the open-set images."""
    mnist = read_npz(folder / "mnist_ood.npz", ("x",))
    write_npz(folder / "foreign_mnist.npz", mnist)
    tiny = read_npz(folder / "tinyimagenet32_ood.npz", ("x", "y", "names"))
    like = [any(word.lower() in str(name).lower() for word in CIFAR10.exclude) for name in tiny["names"]]
    write_npz(folder / "foreign_tinyimagenet32.npz", {"x": tiny["x"][~np.array(like)[tiny["y"]]]})


def embed(name: str, folder: Path) -> None:
    """Write the features of a data set."""
    target = folder / f"{name}_features.npz"
    if target.exists():
        return
    sample, features = folder / "samples" / f"{name}.npz", folder / "samples" / f"{name}_features"
    sample.parent.mkdir(exist_ok=True)
    write_npz(sample, images(name, folder))
    arguments = ["embed", "--data", "NpzFile", "--data.path", str(sample), "--backbone", "EfficientNetLite0"]
    arguments += ["--output", str(features), "--rows_per_file", "2000", "--batch_size", "32", "--threads", "1"]
    if vri_pyro([*arguments, "--device", "cpu"]):
        raise SystemExit(2)
    arrays = FeatureFolder(features).load()
    if name in FOREIGN:
        write_npz(target, {"x": np.asarray(arrays.x_train[:], dtype=np.float32)})
        return
    assert arrays.x_test is not None
    assert arrays.y_test is not None
    parts = {"x_train": arrays.x_train[:], "x_test": arrays.x_test[:]}
    vectors = {part: np.asarray(x, dtype=np.float32) for part, x in parts.items()}
    write_npz(target, vectors | {"y_train": arrays.y_train, "y_test": arrays.y_test})


def main() -> int:
    """Write the files; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    foreign(folder)
    for name in ("fashion_mnist", "foreign_mnist", "foreign_tinyimagenet32", "cifar10"):
        embed(name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
