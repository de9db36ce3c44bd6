"""A user's own images, in a folder a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vri_pyro.data.arrays import Arrays
from vri_pyro.data.sources.base import Source
from vri_pyro.data.sources.listing import Listed, check_there, streamed_arrays, warn_of_no_trusted_labels

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
_LAYOUT = "a folder with the images of each class in a folder of its name"


@dataclass(frozen=True)
class ImageFolder(Source):
    """Images in folders: ``noisy/``, ``test/`` and, optionally, ``clean/`` and ``validation/``. Streamed from disk.

    Expected under ``root``::

        noisy/<class>/<file>         labels that are not trusted
        clean/<class>/<file>         the clean set
        validation/<class>/<file>    further trusted labels, to choose an epoch
        test/<class>/<file>

    The classes are all names of folders, sorted; a part need not have every class. Without ``clean/``, the labels of
    ``noisy/`` are all there is: the clean set is drawn from them, with a warning, and noise can be injected.

    Attributes:
        root: the folder.
        size: side in pixels that images are brought to.
        verified: whether the labels of ``noisy/`` are known to be right all the same, so that noise can be injected
            into them and clean ones drawn from them without a warning.
    """

    root: str | Path
    size: int = 224
    verified: bool = False

    def load(self) -> Arrays:
        """List the files; no image is read.

        Raises:
            UserError: ``noisy/`` or ``test/`` is missing or has no image.
        """
        root = Path(self.root)
        for part in ("noisy", "test"):
            check_there(root / part, _LAYOUT)
        parts = [part for part in ("noisy", "clean", "validation", "test") if (root / part).is_dir()]
        classes = sorted({folder.name for part in parts for folder in _folders(root / part)})
        listed = {part: _listed(root, part, classes) for part in parts}
        if "clean" not in parts and not self.verified:
            warn_of_no_trusted_labels(f"{root}", "put trusted images into clean/")
        return streamed_arrays(root, classes, self.size, **listed, verified=self.verified)


def _folders(part: Path) -> list[Path]:
    return [folder for folder in part.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def _listed(root: Path, part: str, classes: list[str]) -> Listed:
    listed = Listed()
    for label, name in enumerate(classes):
        files = sorted((root / part / name).glob("*"))
        for file in files:
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."):
                listed.add(f"{part}/{name}/{file.name}", label)
    return listed
