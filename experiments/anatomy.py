"""Anatomy of a run: figures after every epoch that show why a method wins or loses.

    python experiments/anatomy.py --output DIR [--subset 5000] -- --config vri --data ... --noise ...
    python experiments/anatomy.py --output DIR --configs vri glc elr -- --data ... --noise ...

The options after ``--`` are those of ``vri-pyro fit``; the true labels must be known. After every epoch, instruments
look at noisy examples, with right and wrong labels apart:

* the error of the transition matrix T and its drift to the identity;
* the belief of the model that a label is right;
* the weights of the gates, and the rectifier;
* the labels that the classifier has memorised or corrected, and the fit to the clean set;
* the gradient of each term of the loss, and the pull of all of them on the logits of given and true label.

What a method does not have is left out. The results in DIR are ``anatomy.png``, ``anatomy.md`` and ``anatomy.json``.
With ``--configs``, each configuration has them in a subfolder, and ``comparison.*`` draws the same panels for all. The
runs are not affected by the instruments. Repeat the command to resume.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instruments.pages import write_comparison, write_run
from instruments.recorder import FILE

from vri_pyro.cli.main import main as vri_pyro
from vri_pyro.infer.bilevel import StructuralZeroWarning


def measured(options: Sequence[str], folder: Path, subset: int) -> dict[str, Any]:
    """Train a run, or resume it, with the instruments, and return its anatomy.

    Raises:
        SystemExit: the run failed; the reason has been printed.
    """
    logger = {"class_path": "instruments.recorder.Anatomy", "init_args": {"subset": subset}}
    own = ["--loggers+", json.dumps(logger), "--output", str(folder / "run"), "--resume", "true", "--report", "false"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructuralZeroWarning)
        if status := vri_pyro(["fit", *options, *own]):
            raise SystemExit(status)
    return json.loads((folder / "run" / FILE).read_text())


def parsed(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the own options, and those of ``vri-pyro fit`` after ``--``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--subset", type=int, default=5000, help="largest number of noisy examples that are looked at")
    parser.add_argument("--configs", nargs="+", metavar="NAME", help="configurations to compare, such as vri glc elr")
    own, _, rest = " ".join(map(shlex.quote, arguments)).partition(" -- ")
    return parser.parse_args(shlex.split(own)), shlex.split(rest)


def main() -> int:
    """Train, and write the pages; returns the exit status."""
    options, rest = parsed(sys.argv[1:])
    command = shlex.join(["python", "experiments/anatomy.py", *sys.argv[1:]])
    if not options.configs:
        anatomy = measured(rest, options.output, options.subset)
        name = rest[rest.index("--config") + 1] if "--config" in rest else "the default"
        print(write_run(anatomy, Path(name).stem, command, options.output))
        return 0
    anatomies = {}
    for config in options.configs:
        name = Path(config).stem
        anatomies[name] = measured(["--config", config, *rest], options.output / name, options.subset)
        write_run(anatomies[name], name, command, options.output / name)
    print(write_comparison(anatomies, command, options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
