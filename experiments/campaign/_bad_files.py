"""The files that the bad inputs need, and configuration files that nobody should accept."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from campaign._small_method import SMALL_METHOD
from vri_pyro.cli.main import main

TINY = (
    SMALL_METHOD
    + """\
backbone: {class_path: vri_pyro.backbones.MLP, init_args: {hidden: [16]}}
epochs: 1
device: cpu
threads: 1
report: false
quiet: true
output: out
"""
)
_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_LATIN = "# übung\nepochs: 1\n"


def prepare(folder: Path) -> None:
    """Write the files: a finished run, a folder of images, tables, arrays, and many that are broken."""
    (folder / "tiny.yaml").write_text(TINY)
    _run_of(folder)
    _images(folder)
    _arrays(folder)
    _broken(folder)


def _run_of(folder: Path) -> None:
    arguments = ["fit", "--config", str(folder / "tiny.yaml"), "--output", str(folder / "run")]
    with contextlib.redirect_stdout(io.StringIO()):
        if main(arguments):
            raise RuntimeError("the run that the bad inputs need failed")
    shutil.copytree(folder / "run", folder / "damaged")
    (folder / "damaged" / "checkpoints" / "last.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    shutil.copytree(folder / "run", folder / "half")
    (folder / "half" / "config.yaml").unlink()
    shutil.copytree(folder / "run", folder / "strange")
    (folder / "strange" / "inputs.json").write_bytes(b"\xff\xfe{\x00}\x00")


def _images(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        place = folder / "photos" / ("cats", "dogs")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    (folder / "one_class" / "cats").mkdir(parents=True)
    shutil.copy(folder / "photos" / "cats" / "0.png", folder / "one_class" / "cats")
    (folder / "empty").mkdir()
    rows = [f"photos/{('cats', 'dogs')[number % 2]}/{number}.png,{number % 2}" for number in range(48)]
    (folder / "table.csv").write_text("\n".join(["path,label", *rows, ""]))
    missing = [f"photos/none{number}.png,1" for number in range(9)]
    (folder / "missing_image.csv").write_text("\n".join(["path,label", *rows, *missing, ""]))


def _arrays(folder: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 5)).astype(np.float32), np.arange(60) % 3
    np.savez(folder / "arrays.npz", x_train=x, y_train=y)
    np.savez(folder / "nan.npz", x_train=np.where(x > 2, np.nan, x), y_train=y)
    np.savez(folder / "short.npz", x_train=x, y_train=y[:50])
    np.savez(folder / "floats.npz", x_train=x, y_train=y + 0.5)
    np.savez(folder / "gap.npz", x_train=x, y_train=y * 2)
    np.savez(folder / "no_labels.npz", x_train=x)
    np.savez(folder / "one.npz", x_train=x, y_train=0 * y)
    np.savez(folder / "pickled.npz", x_train=x, y_train=np.array([{}] * 60, dtype=object))
    np.save(folder / "vectors.npy", x)


def _broken(folder: Path) -> None:
    contents = {
        "empty.yaml": b"",
        "empty.csv": b"",
        "empty.npz": b"",
        "empty.json": b"",
        "binary.csv": bytes(range(256)),
        "binary.npz": bytes(range(256)),
        "binary.json": bytes(range(256)),
        "utf16.csv": "path,label\nphotos/cats/0.png,chat\n".encode("utf-16"),
        "latin.csv": "path,label\nphotos/cats/0.png,été\n".encode("latin-1"),
        "latin_corrections.csv": "index,corrected\n1,été\n".encode("latin-1"),
        "utf16_corrections.csv": "index,corrected\n1,2\n".encode("utf-16"),
        "no_header.csv": b"photos/cats/0.png,0\n",
        "no_label.csv": b"path,label\nphotos/cats/0.png,\n",
        "corrections.csv": b"index,corrected\n1,2\n",
        "corrections_class.csv": b"index,corrected\n1,zebra\n",
        "corrections_index.csv": b"index,corrected\n100000,2\n",
        "corrections_word.csv": b"index,corrected\none,2\n",
        "corrections_twice.csv": b"index,corrected\n1,2\n1,3\n",
        "corrections_columns.csv": b"number,class\n1,2\n",
        "corrections.txt": b"index,corrected\n1,2\n",
        "list.json": b"[1, 2]",
        "matrix.csv": b"0.5,0.5\n0.5,0.5\n",
        "words.csv": b"a,b\nc,d\n",
        "notes.txt": b"Remember the milk.\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "fifo.yaml")
    os.mkfifo(folder / "fifo.csv")
    os.mkfifo(folder / "fifo.npz")


# Name of the attempt, content of the file, and words that the message must contain.
CONFIGURATIONS: list[tuple[str | bytes, ...]] = [
    ("UTF-16", "epochs: 1\n".encode("utf-16"), "given.yaml", "UTF-16", "UTF-8"),
    ("UTF-16 without a mark", "epochs: 1\n".encode("utf-16-le"), "given.yaml", "UTF-8"),
    ("Latin-1", _LATIN.encode("latin-1"), "given.yaml, line 1", "UTF-8"),
    ("a binary file", bytes(range(256)), "given.yaml", "UTF-8"),
    ("zero bytes", bytes(100), "given.yaml", "text"),
    ("a PNG image", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "given.yaml", "UTF-8"),
    ("a zip archive", b"PK\x03\x04\x14\x00\x00\x00\x08\x00", "given.yaml", "text"),
    ("a byte-order mark and an error", b"\xef\xbb\xbfepochs: 0\n", "epochs", ">= 1"),
    ("indentation with a tab", b"split:\n\tclean_per_class: 1\n", "given.yaml, line 2", "tab", "spaces"),
    ("a tab before a value", b"epochs:\t\t0\n", "given.yaml, line 1", "tab", "space"),
    ("a key twice", b"epochs: 1\nbatch_size: 5\nepochs: 2\n", "given.yaml, line 3", "epochs", "twice", "remove"),
    ("a nested key twice", b"split: {file: null, clean_size: 3, clean_size: 4}\n", "line 1", "clean_size", "twice"),
    ("an anchor bomb", _BOMB.encode(), "given.yaml", "alias", "write"),
    ("an alias without an anchor", b"epochs: *nowhere\n", "given.yaml, line 1", "nowhere"),
    ("a value that contains itself", b"method: &m {class_path: *m}\n", "given.yaml", "alias"),
    ("deep nesting", b"epochs: " + b"[" * 5000 + b"]" * 5000, "given.yaml", "nest"),
    ("a Python object", b"epochs: !!python/object/apply:os.system [ls]\n", "given.yaml, line 1", "python/object"),
    ("a local tag", b"epochs: !secret 3\n", "given.yaml, line 1", "!secret"),
    ("two documents", b"epochs: 1\n---\nepochs: 2\n", "given.yaml, line 2", "document"),
    ("a list", b"- epochs\n", "given.yaml", "map"),
    ("a number", b"3\n", "given.yaml", "map"),
    ("a sentence", b"Remember the milk.\n", "given.yaml", "map"),
    ("JSON with an error", b'{"epochs": 1,, }\n', "given.yaml, line 1"),
    ("a quote that does not end", b"output: 'here\n", "given.yaml, line", "quote"),
    ("a bracket that does not end", b"loggers: [a\n", "given.yaml, line"),
    ("a key that is a number", b"1: epochs\n", "given.yaml", "1"),
    ("a key that is null", b"null: epochs\n", "given.yaml", "null"),
    ("a key that is a list", b"[1, 2]: epochs\n", "given.yaml, line 1"),
    ("an empty key", b"'': 3\n", "given.yaml", "''"),
    ("null for epochs", b"epochs: null\n", "epochs", "null", "set a value"),
    ("nothing for epochs", b"epochs:\n", "epochs", "no value"),
    ("null for the method", b"method: null\n", "method", "null"),
    ("null for the data", b"data: null\n", "data", "null"),
    ("null for the optimiser", b"optimizer: null\n", "optimizer", "null"),
    ("null for the split", b"split: null\n", "split", "null"),
    ("null for the output", b"output: null\n", "output", "null"),
    ("null for the seed", b"seed: null\n", "seed", "null"),
    ("true for epochs", b"epochs: true\n", "given.yaml, line 1", "epochs", "an integer", "true"),
    ("false for threads", b"threads: false\n", "given.yaml, line 1", "threads", "an integer"),
    ("yes for the batch size", b"batch_size: yes\n", "given.yaml, line 1", "batch_size", "an integer"),
    ("NaN for epochs", b"epochs: .nan\n", "given.yaml, line 1", "epochs", "an integer"),
    ("infinity for epochs", b"epochs: .inf\n", "given.yaml, line 1", "epochs", "an integer"),
    ("NaN for ema", b"ema: .nan\n", "ema", "in (0, 1)"),
    ("true for ema", b"ema: true\n", "given.yaml, line 1", "ema", "a number"),
    ("a fraction for epochs", b"epochs: 1.5\n", "given.yaml, line 1", "epochs", "an integer"),
    ("a date for epochs", b"epochs: 2024-01-01\n", "given.yaml, line 1", "epochs", "an integer"),
    ("a list for epochs", b"epochs: [1, 2]\n", "given.yaml, line 1", "epochs", "an integer"),
    ("a mapping for epochs", b"epochs: {a: 1}\n", "given.yaml, line 1", "epochs", "an integer"),
    ("a word for epochs", b"batch_size: 5\nepochs: many\n", "given.yaml, line 2", "epochs", "an integer"),
    ("a list for the method", b"method: [ELR]\n", "given.yaml, line 1", "method"),
    ("a number for the method", b"method: 3\n", "given.yaml, line 1", "method"),
    ("a misspelt method", b"method: VIR\n", "given.yaml, line 1", "method", "VIR", "did you mean"),
    ("another misspelt method", b"method: Bilevell\n", "given.yaml, line 1", "did you mean Bilevel?"),
    ("a misspelt method in a class path", b"method: {class_path: ERL}\n", "given.yaml, line 1", "did you mean ELR?"),
    ("a method of another package", b"method: torch.nn.Linear\n", "given.yaml, line 1", "method", "Method"),
    ("a misspelt option", b"epohcs: 3\n", "given.yaml, line 1", "epohcs", "did you mean --epochs?"),
    ("a misspelt group", b"splt: {file: null}\n", "given.yaml, line 1", "splt", "did you mean --split"),
    ("a misspelt option in a group", b"split: {clean_sze: 3}\n", "given.yaml, line 1", "clean_sze", "clean_size"),
    ("options without a class", b"noise: {rate: 0.1}\n", "given.yaml, line 1", "noise", "class"),
    ("an option of another class", b"noise: {class_path: Flip, init_args: {path: x}}\n", "line 1", "noise", "path"),
    ("a rate in quotes that is no number", b"noise: {class_path: Flip, init_args: {rate: 'x'}}\n", "rate", "a number"),
    ("NaN for a rate", b"noise: {class_path: Flip, init_args: {rate: .nan}}\n", "Flip", "rate", "0 to 1"),
    ("null for a rate", b"noise: {class_path: Flip, init_args: {rate: null}}\n", "line 1", "set rate"),
    ("no rate", b"noise: {class_path: Flip}\n", "line 1", "noise", "rate"),
    ("an empty class path", b"noise: {class_path: ''}\n", "given.yaml, line 1", "noise", "class path"),
    ("an empty method", b"method: ''\n", "given.yaml, line 1", "method", "class path"),
    ("an empty output", b"output: ''\n", "output", "empty"),
    ("an empty path of data", b"data: {class_path: NpzFile, init_args: {path: ''}}\n", "path", "empty"),
    ("an empty file of a split", b"split: {file: ''}\n", "line 1", "file", "empty"),
    ("a huge number for epochs", b"epochs: 1" + b"0" * 400 + b"\n", "epochs"),
    ("a number of 5,000 digits", b"epochs: " + b"9" * 5000 + b"\n", "given.yaml, line 1"),
    ("a seed of 2^64", b"seed: 18446744073709551616\n", "seed", "2^63"),
    ("a negative rate of learning", b"optimizer: {init_args: {lr: -1}}\n", "optimizer.lr", "-1"),
    ("NaN for a rate of learning", b"optimizer: {init_args: {lr: .nan}}\n", "optimizer.lr", "nan"),
    ("null for a rate of learning", b"optimizer: {init_args: {lr: null}}\n", "optimizer.lr", "a number"),
    ("true for a rate of learning", b"optimizer: {init_args: {lr: true}}\n", "line 1", "optimizer.lr", "a number"),
    ("true for a width", b"backbone: {class_path: MLP, init_args: {hidden: [true]}}\n", "line 1", "hidden"),
    ("null for a width", b"backbone: {class_path: MLP, init_args: {hidden: [null]}}\n", "line 1", "hidden"),
    ("an option of an optimiser", b"optimizer: {init_args: {speed: 3}}\n", "given.yaml, line 1", "speed", "optimizer"),
    ("a configuration in itself", b"config: given.yaml\n", "given.yaml", "loop"),
]
