"""Images and labels that are not what they seem."""

from __future__ import annotations

import csv
import io
import itertools
import struct
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset

from campaign.trial import Trial
from vri_pyro.data import HuggingFace, ImageFiles, ImageFolder, NpzFile, Table, TorchDatasets
from vri_pyro.runs.new_inputs import read_new_inputs
from vri_pyro.utils.errors import UserError

SIDE = 16
SHADES = np.arange(256, dtype=np.uint8).reshape(SIDE, SIDE)
COLOURS = np.stack([SHADES, SHADES[::-1], SHADES.T], axis=2)
LOW = np.random.default_rng(0).integers(0, 256, SHADES.shape).astype(np.uint16)
DEEP = SHADES.astype(np.uint16) << 8 | LOW  # 16 bits, whose high 8 are the shades
DEEP_COLOURS = np.stack([DEEP, DEEP[::-1], DEEP.T], axis=2)
RED = np.broadcast_to(np.array([255, 0, 0], np.uint8), (SIDE, SIDE, 3))
PARTS = ("train", "clean", "validation", "test")


def grey(values: np.ndarray) -> np.ndarray:
    """Repeat one channel three times."""
    return np.repeat(values[..., None], 3, axis=2)


@dataclass(frozen=True)
class Kind:
    """An image, and what every reader must make of it.

    Attributes:
        name: file name, whose suffix is the format.
        what: description.
        write: writes the file.
        expected: the pixels, uint8 [SIDE, SIDE, 3]; None if the image must be refused.
        tolerance: largest difference from the expected pixels, for formats and conversions that round.
    """

    name: str
    what: str
    write: Callable[[Path], Any]
    expected: np.ndarray | None
    tolerance: int = 0


def saving(pixels: np.ndarray | Image.Image, **options: Any) -> Callable[[Path], Any]:
    """Return a function that saves an image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    return lambda path: image.save(path, **options)


def png(values: np.ndarray, colour_type: int, size: tuple[int, int] | None = None) -> Callable[[Path], Any]:
    """Return a function that writes a PNG file of 16 bits per channel, optionally with a false size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2] if size is None else size
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
    ]
    contents = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
    return lambda path: path.write_bytes(contents)


def pgm(values: np.ndarray, white: int) -> Callable[[Path], Any]:
    """Return a function that writes a PGM file that declares white."""
    data = values.astype(">u2" if white > 255 else np.uint8).tobytes()
    return lambda path: path.write_bytes(f"P5 {SIDE} {SIDE} {white}\n".encode() + data)


def palette(**options: Any) -> Callable[[Path], Any]:
    """Return a function that saves an image whose palette is the reversed ramp."""
    image = Image.fromarray(SHADES).convert("P")
    image.putpalette([255 - shade // 3 for shade in range(768)])
    return saving(image, **options)


# From the upright image to the one that a camera stores, by its EXIF orientation.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda x: np.rot90(x, 1),
    7: lambda x: np.rot90(x, 2).T,
    8: lambda x: np.rot90(x, -1),
}


def turned(orientation: int) -> Callable[[Path], Any]:
    """Return a function that saves the shades as a camera that was held in this orientation does."""
    image = Image.fromarray(np.ascontiguousarray(TURNS[orientation](SHADES)))
    exif = image.getexif()
    exif[0x0112] = orientation
    return saving(image, exif=exif)


def frames(**options: Any) -> Callable[[Path], Any]:
    """Return a function that saves a red, a green and a blue frame."""
    images = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    return saving(images[0], save_all=True, append_images=images[1:], **options)


def cut(write: Callable[[Path], Any], share: float) -> Callable[[Path], Any]:
    """Return a function that writes the beginning of a file."""

    def run(path: Path) -> None:
        write(path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return run


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Compute what a transparent image shows on white."""
    share = alpha[..., None] / 255
    return np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)


def kinds() -> list[Kind]:
    """Return the images of all formats, modes and depths."""
    every = [
        Kind(f"a.{end}", "8 bits, grey", saving(SHADES), grey(SHADES)) for end in ("png", "bmp", "tif", "pgm", "tga")
    ]
    every += [Kind(f"a.{end}", "8 bits, colour", saving(COLOURS), COLOURS) for end in ("png", "bmp", "tiff", "ppm")]
    every += [Kind("a.webp", "8 bits, colour", saving(COLOURS, lossless=True), COLOURS)]
    every += [Kind("a.jfif", "8 bits, grey", saving(SHADES, format="JPEG", quality=100), grey(SHADES), 3)]
    every += [Kind(f"a.{end}", "16 bits", saving(DEEP), grey(SHADES)) for end in ("png", "tif", "pgm", "jp2")]
    every += [Kind("a.TIF", "16 bits, big endian", saving(DEEP.astype(">u2")), grey(SHADES))]
    every += [Kind("a.tif", "32 bits with 16 in use", saving(DEEP.astype(np.int32)), grey(SHADES))]
    every += [Kind("a.png", "16 bits, colour", png(DEEP_COLOURS, 2), COLOURS)]
    every += [Kind(f"a.{end}", "12 in 16 bits", saving(DEEP >> 4), None) for end in ("png", "tif", "pgm")]
    every += [Kind("a.png", "12 in 16 bits, colour", png(DEEP_COLOURS >> 4, 2), None)]
    every += [Kind("a.png", "16 bits, black", saving(DEEP * 0), grey(SHADES * 0))]
    every += [
        Kind("a.pgm", f"white is {2**n - 1}", pgm(DEEP >> (16 - n), 2**n - 1), grey(SHADES), 1) for n in (9, 10, 12, 14)
    ]
    every += [Kind("a.tif", "beyond 16 bits", saving(DEEP.astype(np.int32) * 9), None)]
    every += [Kind("a.tif", "negative", saving(DEEP.astype(np.int32) - 300), None)]
    every += [Kind("a.tif", "floats from 0 to 1", saving((SHADES / 255).astype(np.float32)), grey(SHADES))]
    every += [
        Kind("a.tif", what, saving(values.astype(np.float32)), None)
        for what, values in (
            ("floats from 0 to 255", SHADES * 1.0),
            ("floats from -1 to 1", SHADES / 127.5 - 1),
            ("NaN", np.where(SHADES == 7, np.nan, 0.5)),
        )
    ]
    mask = np.where(SHADES % 3 == 0, 255, 0).astype(np.uint8)
    every += [Kind(f"a.{end}", "1 bit", saving(Image.fromarray(mask > 0)), grey(mask)) for end in ("png", "bmp", "tif")]
    every += [Kind("a.png", "transparency", saving(np.dstack([COLOURS, mask])), on_white(COLOURS, mask))]
    every += [Kind("a.png", "half transparent", saving(np.dstack([COLOURS, SHADES])), on_white(COLOURS, SHADES), 1)]
    both = Image.merge("LA", [Image.fromarray(SHADES), Image.fromarray(mask)])
    every += [Kind("a.png", "grey, transparency", saving(both), on_white(grey(SHADES), mask))]
    colours = (255 - np.arange(768) // 3).reshape(256, 3)[SHADES].astype(np.uint8)
    every += [Kind(f"a.{end}", "palette", palette(), colours) for end in ("png", "gif", "bmp")]
    clear = np.where((SHADES == 9)[..., None], 255, colours).astype(np.uint8)
    every += [Kind(f"a.{end}", "palette, transparent", palette(transparency=9), clear) for end in ("png", "gif")]
    ink = np.dstack([COLOURS, SHADES // 2])
    light = np.rint((255.0 - COLOURS) * (255.0 - SHADES[..., None] // 2) / 255).astype(np.uint8)
    every += [Kind("a.tif", "CMYK", saving(Image.fromarray(ink, "CMYK")), light, 1)]
    every += [Kind("a.png", f"orientation {number}", turned(number), grey(SHADES)) for number in range(2, 9)]
    every += [Kind(f"a.{end}", "animation", frames(), RED) for end in ("gif", "png")]
    every += [
        Kind("a.webp", "animation", frames(lossless=True), RED),
        Kind("a.jpg", "MPO", frames(format="MPO"), RED, 3),
    ]
    every += [Kind("a.tif", "three pages", frames(), None)]
    noise = np.dstack([DEEP & 255, LOW, DEEP >> 8]).astype(np.uint8)
    every += [
        Kind(f"a.{end}", f"cut at {share:.0%}", cut(saving(noise), share), None)
        for end in ("png", "jpg", "bmp", "tif", "ppm", "webp")
        for share in (0.2, 0.6)
    ]
    every += [Kind("a.png", "empty", lambda path: path.write_bytes(b""), None)]
    every += [Kind("a.jpg", "text", lambda path: path.write_text("no image"), None)]
    every += [Kind("a.png", f"declares {s} x {s}", png(DEEP, 0, (s, s)), None) for s in (20_000, 2**31 - 1)]
    return every


def from_folder(path: Path) -> Any:
    """Read an image as one of a class folder."""
    return ImageFolder(path.parents[1], size=SIDE).load().x_train


def from_table(path: Path) -> Any:
    """Read an image that a table lists."""
    table = path.parents[1] / "t.csv"
    table.write_text(f"path,label\nant/{path.name},ant\n../bee.png,bee\n")
    return Table(table, image_root=path.parents[1], size=SIDE, outside_root=True).load().x_train


def from_items(path: Path) -> Any:
    """Read an image that a data set of PyTorch opens."""

    class Opening(Dataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return Image.open(path), index

    return TorchDatasets(Opening(), size=SIDE).load().x_train


def from_hugging_face(path: Path) -> Any:
    """Read an image that a Hugging Face data set holds."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    columns = {"image": [{"bytes": path.read_bytes(), "path": None}] * 2, "label": [0, 1]}
    place = path.parents[1] / "saved"
    datasets.Dataset.from_dict(columns, features).save_to_disk(str(place))
    return HuggingFace(place, size=SIDE).load().x_train


def for_predictions(path: Path) -> Any:
    """Read an image as ``vri-pyro predict`` does."""
    return read_new_inputs(path, (3, SIDE, SIDE), "uint8")[0]


READERS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], str]]] = {
    "ImageFiles": (lambda path: ImageFiles(path.parent, [path.name], SIDE), lambda path: path.name),
    "ImageFolder": (from_folder, lambda path: path.name),
    "Table": (from_table, lambda path: path.name),
    "TorchDatasets": (from_items, lambda path: "Opening"),
    "HuggingFace": (from_hugging_face, lambda path: "Dataset[0]"),
    "predict": (for_predictions, lambda path: path.name),
}


def image_trial(group: str, kind: Kind, folder: Path) -> Trial:
    """Read one image by one reader."""
    reader, name_in_message = READERS[group]
    path = folder / "ant" / kind.name
    path.parent.mkdir(parents=True)
    (folder / "bee").mkdir()
    kind.write(path)
    name = f"{kind.name}: {kind.what}"
    try:
        found = reader(path).read(0)
    except UserError as error:
        named = name_in_message(path) in str(error)
        # A data set that opens a damaged file itself fails while its labels are read, and names the item.
        named |= group == "TorchDatasets" and "Item 0 of train" in str(error)
        return Trial(f"images: {group}", name, kind.expected is None and named and one_sentence(error), str(error))
    if kind.expected is None:
        return Trial(f"images: {group}", name, False, f"was read, with values {found.min()} to {found.max()}")
    difference = int(np.abs(found.astype(int) - kind.expected).max())
    return Trial(f"images: {group}", name, difference <= kind.tolerance, f"largest difference {difference}")


def one_sentence(error: Exception) -> bool:
    """Tell whether a message is one line."""
    return "\n" not in str(error) and 20 < len(str(error)) < 500


def damage_trials(folder: Path, seeds: range) -> Iterator[Trial]:
    """Change bytes of image files at random; they must be read, or refused by name."""
    folder.mkdir()
    sound = [kind for kind in kinds() if kind.expected is not None]
    for seed in seeds:
        generator = np.random.default_rng(seed)
        kind = sound[seed % len(sound)]
        path = folder / kind.name
        kind.write(path)
        contents = bytearray(path.read_bytes())
        for place in generator.integers(0, len(contents), generator.integers(1, 9)):
            contents[place] = generator.integers(256)
        path.write_bytes(contents)
        name = f"seed {seed}: {kind.name}: {kind.what}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of damage that it repairs
                shape = ImageFiles(folder, [kind.name], SIDE).read(0).shape
        except UserError as error:
            yield Trial("images: changed bytes", name, kind.name in str(error) and one_sentence(error), str(error))
        except Exception as error:
            yield Trial("images: changed bytes", name, False, repr(error))
        else:
            yield Trial("images: changed bytes", name, shape == (SIDE, SIDE, 3), "read")


def array_trials() -> Iterator[Trial]:
    """Read arrays and tensors of every dtype as items of a data set."""
    import torch

    cases: list[tuple[str, np.ndarray, int | None, np.ndarray | None]] = [
        ("uint8", SHADES, None, SHADES),
        ("bool", SHADES > 99, None, np.where(SHADES > 99, 255, 0)),
        *((kind, DEEP.astype(kind), None, SHADES) for kind in ("uint16", "int32", "uint32", "int64", "uint64")),
        *((f"{kind} of 8 bits", SHADES.astype(kind), None, None) for kind in ("uint16", "int32", "int64")),
        *((f"{kind} of 8 bits, told", SHADES.astype(kind), 8, SHADES) for kind in ("uint16", "int32", "int64")),
        *((f"{bits} bits, told", DEEP >> (16 - bits), bits, SHADES) for bits in range(9, 17)),
        *((f"more than {bits} bits", DEEP >> (15 - bits), bits, None) for bits in range(9, 16)),
        ("int8", np.full((SIDE, SIDE), -3, np.int8), None, None),
        *((kind, (SHADES / 255).astype(kind), None, SHADES) for kind in ("float32", "float64")),
        ("floats to 255", SHADES.astype(np.float32), None, None),
        ("normalised", (SHADES / 255 - 0.5) / 0.25, None, None),
        ("complex", SHADES.astype(complex), None, None),
    ]
    for (what, values, bits, expected), tensor in itertools.product(cases, (False, True)):
        image = torch.from_numpy(values.copy())[None] if tensor else values
        name = f"{'tensor' if tensor else 'array'}: {what}"
        items = [(image, 0), (image, 1)]
        try:
            found = np.asarray(TorchDatasets(items, size=SIDE, bits=bits).load().x_train[:1])[0, ..., 0]  # type: ignore[arg-type]
        except UserError as error:
            yield Trial("images: arrays and tensors", name, expected is None and one_sentence(error), str(error))
        else:
            right = expected is not None and bool((found == expected).all())
            yield Trial("images: arrays and tensors", name, right, f"values {found.min()} to {found.max()}")


class Labelled(Dataset):
    """Black images with labels, and attributes that may contradict them."""

    def __init__(self, own: list[int], **attributes: Any) -> None:
        self.own = own
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.zeros((4, 4), np.uint8), self.own[index]


class Relabelled(Dataset):
    """A data set that forwards the attributes of another and changes its labels."""

    def __init__(self, inner: Any, shift: int) -> None:
        self.inner, self.shift = inner, shift
        self.targets, self.labels = getattr(inner, "targets", None), getattr(inner, "labels", None)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, label = self.inner[index]
        return image, (label + self.shift) % 10


def item_trials(seeds: range) -> Iterator[Trial]:
    """Nest wrappers, subsets and concatenations at random; the labels must be those of the items."""
    for seed in seeds:
        generator = np.random.default_rng(seed)
        dataset: Any = Labelled(generator.integers(0, 10, 30).tolist(), targets=[0] * 30, labels=[1] * 30)
        steps = []
        for step in generator.integers(0, 4, 4):
            steps.append(("wrapper", "subset", "concatenation", "targets")[step])
            if step == 0:
                dataset = Relabelled(dataset, int(generator.integers(10)))
            elif step == 1:
                dataset = Subset(dataset, generator.permutation(len(dataset))[: max(2, len(dataset) // 2)].tolist())
            elif step == 2:
                dataset = ConcatDataset([dataset, Labelled(generator.integers(0, 10, 5).tolist(), targets=[2] * 5)])
            else:
                dataset.targets = [3] * len(dataset)
        found = TorchDatasets(dataset, size=4).load().y_train.tolist()
        own = [dataset[index][1] for index in range(len(dataset))]
        yield Trial("labels: items of PyTorch data sets", f"seed {seed}: {', '.join(steps)}", found == own, f"{found}")


def split_trials(folder: Path, seeds: range) -> Iterator[Trial]:
    """Save splits of Hugging Face whose classes come in different orders."""
    import datasets

    names = [unicodedata.normalize("NFC", name) for name in ("ant", "bee", "café", "Été", "10", "9")]
    for seed in seeds:
        generator = np.random.default_rng(seed)
        parts, truth = {}, {}
        for part in PARTS:
            form = ("NFC", "NFD")[generator.integers(2)]
            order = [unicodedata.normalize(form, names[place]) for place in generator.permutation(len(names))]
            numbers = generator.permutation(len(names))
            truth[part] = [unicodedata.normalize("NFC", order[number]) for number in numbers]
            text = part != "train" and generator.random() < 0.3
            kind = datasets.Value("string") if text else datasets.ClassLabel(names=order)
            labels = [order[number] for number in numbers] if text else numbers.tolist()
            pictures = [Image.new("L", (4, 4))] * len(numbers)
            features = datasets.Features({"image": datasets.Image(), "label": kind})
            parts[part] = datasets.Dataset.from_dict({"image": pictures, "label": labels}, features)
        datasets.DatasetDict(parts).save_to_disk(str(folder / f"{seed}"))
        arrays = HuggingFace(folder / f"{seed}", size=4).load()
        found = [
            arrays.classes[label] for label in [*arrays.y_train, *(arrays.y_test if arrays.y_test is not None else [])]
        ]
        expected = [name for part in PARTS for name in truth[part]]
        yield Trial("labels: Hugging Face splits in other orders", f"seed {seed}", found == expected, f"{found}")


def folder_trials(folder: Path) -> Iterator[Trial]:
    """Make folders whose names and files are not what they seem."""
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    cases: list[tuple[str, list[str], int, int, str | None]] = [
        ("a name in two Unicode forms", [f"{composed}/a.png", f"{decomposed}/b.png", "tea/c.png"], 2, 3, None),
        ("names that differ in case", ["tea/a.png", "Tea/b.png"], 2, 2, "differ only in case"),
        ("a name with a space at the end", ["tea/a.png", "tea /b.png"], 2, 2, "differ only in case"),
        ("@eaDir", ["tea/a.png", "cup/b.png", "@eaDir/c.png", "tea/@eaDir/d.png"], 2, 2, None),
        ("__MACOSX", ["tea/a.png", "cup/b.png", "__MACOSX/c.png", "tea/._a.png"], 2, 2, None),
        ("hidden folders and files", ["tea/a.png", "cup/b.png", ".git/c.png", "tea/.b.png"], 2, 2, None),
        ("annotations", ["tea/a.png", "cup/b.png", "cup/b.json", "tea/a.TXT"], 2, 2, None),
        ("Thumbs.db and .DS_Store", ["tea/a.png", "cup/b.png", "tea/Thumbs.db", "cup/.DS_Store"], 2, 2, None),
        (
            "nested folders",
            ["tea/a.png", "cup/b.png", "cup/more/c.png"],
            2,
            2,
            "there are 1, the first is cup/more/c.png",
        ),
        *(
            (f"a file with {end!r}", ["tea/a.png", "cup/b.png", f"cup/c{end}"], 2, 2, f"the first is cup/c{end}")
            for end in (".heic", ".HEIF", "", ".png.part", ".docx")
        ),
        *(
            (f"an image with {end!r}", ["tea/a.png", f"cup/b{end}"], 2, 2, None)
            for end in (".PNG", ".Jpg", ".JPEG", ".jfif", ".TIF", ".WebP", ".BMP")
        ),
    ]
    for number, (what, files, classes, images, warning) in enumerate(cases):
        for file in files:
            path = folder / f"{number}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path, "PNG")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            arrays = ImageFolder(folder / f"{number}", size=4, verified=True).load()
        messages = [str(message.message) for message in seen]
        right = (arrays.num_classes, len(arrays.y_train)) == (classes, images)
        warned = not messages if warning is None else any(warning in message for message in messages)
        yield Trial("labels: folders", what, right and warned, f"{arrays.classes}, {len(arrays.y_train)}, {messages}")


def table_trials(folder: Path) -> Iterator[Trial]:
    """Write tables whose rows contradict each other or lead out of their folder."""
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "link.png").symlink_to("/etc/hostname")
    (folder / "in" / "etc").symlink_to("/etc")
    composed, decomposed = (unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD"))
    base = [("a.png", "tea", "train"), ("b.png", "cup", "train"), (composed, "cup", "train")]
    refused = [
        *((spelling, "cup", "train") for spelling in ("a.png", "./a.png", "x/../a.png", ".//a.png")),
        *(("a.png", "tea", part) for part in ("clean", "validation", "test")),
        (decomposed, "tea", "train"),
        *(
            (path, "tea", "train")
            for path in ("/etc/hostname", "../b.png", "x/../../b.png", "link.png", "etc/hostname")
        ),
    ]
    accepted = [
        ("c.png", "tea", "train"),
        ("x/c.png", "cup", "test"),
        ("..c.png", "tea", "clean"),
        ("a.png ", "tea", "train"),
    ]
    for row in [*refused, *accepted]:
        with (folder / "in" / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *base, row])
        try:
            count = len(Table(folder / "in" / "t.csv", verified=True).load().y_train)
        except UserError as error:
            right = row in refused and " 4" in str(error) and one_sentence(error)
            yield Trial("tables", f"{row}", right, str(error))
        else:
            yield Trial("tables", f"{row}", row in accepted, f"{count} images")


def size_trials(folder: Path) -> Iterator[Trial]:
    """Write arrays that declare more than they hold."""
    folder.mkdir()
    shapes: list[tuple[int, ...]] = [
        (10**12,),
        (10**6, 10**6),
        (2**31, 2**31),
        (2**62,),
        (2**40, 2**40),
        (-5,),
        (10**7, 224, 224),
    ]
    for shape, kind in itertools.product(shapes, ("<f8", "|u1", "<U9999999")):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"shape": shape, "fortran_order": False, "descr": kind})
        (folder / "a.npy").write_bytes(header.getvalue())
        with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x_train.npy", header.getvalue())
            archive.writestr("y_train.npy", header.getvalue())
        readers: dict[str, Callable[[], Any]] = {
            "NpzFile": NpzFile(folder / "a.npz").load,
            "predict, .npy": lambda: read_new_inputs(folder / "a.npy", (3,), "float32"),
        }
        for name, reader in readers.items():
            try:
                reader()
            except UserError as error:
                yield Trial("declared sizes", f"{name}: {shape} {kind}", one_sentence(error), str(error))
            else:
                yield Trial("declared sizes", f"{name}: {shape} {kind}", False, "was read")


def trials(folder: Path, quick: bool) -> Iterator[Trial]:
    """Yield the attempts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(has no verified labels|are read once)")
        for number, (group, kind) in enumerate(itertools.product(READERS, kinds()[:: 9 if quick else 1])):
            yield image_trial(group, kind, folder / f"image {number}")
        yield from damage_trials(folder / "damage", range(5 if quick else 1500))
        yield from itertools.islice(array_trials(), 6 if quick else None)
        yield from item_trials(range(3 if quick else 60))
        yield from split_trials(folder / "splits", range(1 if quick else 20))
        yield from itertools.islice(folder_trials(folder / "folders"), 3 if quick else None)
        yield from itertools.islice(table_trials(folder / "tables"), 4 if quick else None)
        yield from itertools.islice(size_trials(folder / "sizes"), 4 if quick else None)
